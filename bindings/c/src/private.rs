// SPDX-License-Identifier: LGPL-2.1-or-later
//! The private data area: pointers that a program hangs on a handle under names of its own.
//!
//! The library has such an area too, for values that it can drop.  A C program's pointers are its
//! own business, its keys may be any bytes, and it is given the keys to look at, so they are kept
//! here.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::Bound;
use std::ptr;

use crate::arguments::Text;
use crate::handle::HandlePtr;

/// The pointers of a handle.
#[derive(Default)]
pub(crate) struct Area {
    values: BTreeMap<CString, *mut c_void>,
    /// The key at which a walk through the area has arrived.
    cursor: CString,
}

// SAFETY: what the program passed is only handed back to it.
unsafe impl Send for Area {}

impl Area {
    /// NULL is what an unknown key has, so setting it forgets the key.
    fn set(&mut self, key: &CStr, value: *mut c_void) {
        match value.is_null() {
            true => self.values.remove(key),
            false => self.values.insert(key.to_owned(), value),
        };
    }

    fn get(&self, key: &CStr) -> *mut c_void {
        self.values.get(key).copied().unwrap_or(ptr::null_mut())
    }

    /// The entry after the cursor, which moves there.
    fn next(&mut self, from: Bound<CString>) -> Option<(*const c_char, *mut c_void)> {
        let (key, value) = self.values.range((from, Bound::Unbounded)).next()?;
        self.cursor = key.clone();
        Some((key.as_ptr(), *value))
    }
}

/// A place for a key, or NULL.
#[repr(transparent)]
struct KeyOut(*mut *const c_char);

impl KeyOut {
    fn fill(self, found: Option<(*const c_char, *mut c_void)>) -> *mut c_void {
        let Some((key, value)) = found else { return ptr::null_mut() };
        if !self.0.is_null() {
            // SAFETY: it points to a pointer, as promised by whoever called from C.
            unsafe { self.0.write(key) };
        }
        value
    }
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_set_private(g: HandlePtr, key: Text, data: *mut c_void) {
    if let (Some(g), Some(key)) = (g.get(), key.c_str()) {
        g.own.lock().private.set(key, data);
    }
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_get_private(g: HandlePtr, key: Text) -> *mut c_void {
    match (g.get(), key.c_str()) {
        (Some(g), Some(key)) => g.own.lock().private.get(key),
        _ => ptr::null_mut(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_first_private(g: HandlePtr, key: KeyOut) -> *mut c_void {
    let Some(g) = g.get() else { return ptr::null_mut() };
    let found = g.own.lock().private.next(Bound::Unbounded);
    key.fill(found)
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_next_private(g: HandlePtr, key: KeyOut) -> *mut c_void {
    let Some(g) = g.get() else { return ptr::null_mut() };
    let mut own = g.own.lock();
    let cursor = own.private.cursor.clone();
    key.fill(own.private.next(Bound::Excluded(cursor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walk() {
        let mut area = Area::default();
        let values = [1, 2].map(ptr::without_provenance_mut);
        area.set(c"b", values[1]);
        area.set(c"a", values[0]);
        area.set(c"c", values[0]);
        area.set(c"c", ptr::null_mut());
        assert_eq!((area.get(c"b"), area.get(c"c")), (values[1], ptr::null_mut()));
        let mut found = vec![area.next(Bound::Unbounded).unwrap().1];
        while let Some((_, value)) = area.next(Bound::Excluded(area.cursor.clone())) {
            found.push(value);
        }
        assert_eq!(found, values);
    }
}
