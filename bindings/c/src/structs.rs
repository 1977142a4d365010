// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the structures of C are made of, and what can be done with any of them.

use std::cmp::Ordering;
use std::ffi::{CStr, c_char, c_int};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

use crate::memory::{place, place_all, place_bytes};

/// A structure of the library that C has too.
pub(crate) trait Mirrored {
    /// The structure of C.
    type C;

    fn mirror(&self) -> Self::C;
}

/// The order of structures: by the first field that differs.
pub(crate) trait Compare {
    fn compare(&self, other: &Self) -> Ordering;
}

/// `struct guestfs_X_list`
#[repr(C)]
pub(crate) struct List<T> {
    len: u32,
    val: *mut T,
}

impl<T> List<T> {
    pub(crate) fn new(values: Vec<T>) -> Self {
        Self { len: length(&values), val: place_all(values) }
    }

    fn values(&self) -> &[T] {
        match self.val.is_null() {
            true => &[],
            // SAFETY: that is what the two fields mean, here and in C.
            false => unsafe { std::slice::from_raw_parts(self.val, self.len as usize) },
        }
    }
}

impl<T: Clone> Clone for List<T> {
    fn clone(&self) -> Self {
        Self::new(self.values().to_vec())
    }
}

impl<T: Compare> Compare for List<T> {
    /// Shorter lists come first.
    fn compare(&self, other: &Self) -> Ordering {
        let pairs = || self.values().iter().zip(other.values());
        let differs = || pairs().map(|(a, b)| a.compare(b)).find(|order| order.is_ne());
        self.len.cmp(&other.len).then_with(|| differs().unwrap_or(Ordering::Equal))
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        for i in 0..self.values().len() {
            // SAFETY: there are so many values, and each is dropped once.
            unsafe { self.val.add(i).drop_in_place() };
        }
        // SAFETY: the memory is from malloc, here and in C, or NULL.
        unsafe { libc::free(self.val.cast()) };
    }
}

/// `char *` in a structure, which owns it.
#[repr(transparent)]
pub(crate) struct OwnedText(*mut c_char);

impl OwnedText {
    pub(crate) fn new(text: &[u8]) -> Self {
        Self(place_bytes(text))
    }

    fn bytes(&self) -> &[u8] {
        match self.0.is_null() {
            true => &[],
            // SAFETY: it is a string, here and in C.
            false => unsafe { CStr::from_ptr(self.0) }.to_bytes(),
        }
    }

    pub(crate) fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Clone for OwnedText {
    fn clone(&self) -> Self {
        Self::new(self.bytes())
    }
}

impl Drop for OwnedText {
    fn drop(&mut self) {
        // SAFETY: the memory is from malloc, here and in C, or NULL.
        unsafe { libc::free(self.0.cast()) };
    }
}

/// `char *` in a structure, which owns it, with the number of bytes in the field before.
#[repr(transparent)]
pub(crate) struct OwnedBytes(*mut c_char);

impl OwnedBytes {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(place_bytes(bytes))
    }

    pub(crate) fn copy(&self, len: u32) -> Self {
        Self::new(self.bytes(len))
    }

    pub(crate) fn compare(&self, len: u32, other: &Self, other_len: u32) -> Ordering {
        self.bytes(len).cmp(other.bytes(other_len))
    }

    fn bytes(&self, len: u32) -> &[u8] {
        match self.0.is_null() {
            true => &[],
            // SAFETY: there are so many bytes, here and in C.
            false => unsafe { std::slice::from_raw_parts(self.0.cast(), len as usize) },
        }
    }
}

impl Drop for OwnedBytes {
    fn drop(&mut self) {
        // SAFETY: the memory is from malloc, here and in C, or NULL.
        unsafe { libc::free(self.0.cast()) };
    }
}

/// The number of bytes or values in a field before them.
pub(crate) fn length<T>(values: &[T]) -> u32 {
    // Everything in a structure has travelled in one message of at most 4 MiB.
    u32::try_from(values.len()).unwrap_or(u32::MAX)
}

/// What a program points to and keeps: the argument of compare and copy.
#[repr(transparent)]
pub(crate) struct Shared<T>(*const T);

impl<T> Shared<T> {
    /// NULL comes before everything.
    pub(crate) fn compare(&self, other: &Self) -> c_int
    where
        T: Compare,
    {
        // SAFETY: both are NULL or structures, as promised by whoever called from C.
        let order = match unsafe { (self.0.as_ref(), other.0.as_ref()) } {
            (Some(a), Some(b)) => a.compare(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        order as c_int
    }

    /// A copy with memory of its own; NULL if there is none left.
    pub(crate) fn copy(&self) -> *mut T
    where
        T: Clone,
    {
        // SAFETY: it is NULL or a structure, as promised by whoever called from C.
        let Some(original) = (unsafe { self.0.as_ref() }) else { return ptr::null_mut() };
        let copied = panic::catch_unwind(AssertUnwindSafe(|| place(original.clone())));
        copied.unwrap_or(ptr::null_mut())
    }
}

/// What a program gives away: the argument of free.
#[repr(transparent)]
pub(crate) struct Owned<T>(*mut T);

impl<T> Owned<T> {
    pub(crate) fn free(self) {
        if !self.0.is_null() {
            // SAFETY: it came from this library by malloc, and C does not use it any more.
            unsafe {
                self.0.drop_in_place();
                libc::free(self.0.cast());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Thing(OwnedText);

    impl Compare for Thing {
        fn compare(&self, other: &Self) -> Ordering {
            self.0.cmp(&other.0)
        }
    }

    fn list(texts: &[&str]) -> List<Thing> {
        List::new(texts.iter().map(|text| Thing(OwnedText::new(text.as_bytes()))).collect())
    }

    #[track_caller]
    fn check(a: &[&str], b: &[&str], expected: Ordering) {
        let (a, b) = (list(a), list(b));
        assert_eq!(a.clone().compare(&b.clone()), expected);
        assert_eq!(b.compare(&a), expected.reverse());
    }

    #[test]
    fn lists_compare() {
        check(&[], &[], Ordering::Equal);
        check(&["a", "b"], &["a", "b"], Ordering::Equal);
        check(&["a", "b"], &["a", "c"], Ordering::Less);
        check(&["b"], &["a", "a"], Ordering::Less);
    }

    #[test]
    fn bytes_compare() {
        let (a, b) = (OwnedBytes::new(b"a\0b"), OwnedBytes::new(b"a\0c"));
        assert_eq!(a.compare(3, &b, 3), Ordering::Less);
        assert_eq!(a.compare(2, &b, 2), Ordering::Equal);
        assert_eq!(a.copy(3).bytes(3), b"a\0b");
    }

    #[test]
    fn null_comes_first() {
        let thing = list(&["a"]);
        let (null, some) = (Shared(ptr::null()), Shared(&raw const thing));
        assert_eq!([null.compare(&some), some.compare(&null), null.compare(&null)], [-1, 1, 0]);
        assert!(null.copy().is_null());
        let copy = some.copy();
        assert_eq!(some.compare(&Shared(copy)), 0);
        Owned(copy).free();
        Owned::<Thing>(ptr::null_mut()).free();
    }
}
