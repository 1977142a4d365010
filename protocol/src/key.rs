// SPDX-License-Identifier: LGPL-2.1-or-later
//! Secrets in memory: neither swapped out nor dumped, never printed, and wiped after use.

use std::fmt;
use std::io::{self, Write};
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{self, Advice, MapFlags, ProtFlags};
use zeroize::Zeroize as _;

use crate::Pack;

/// No page is smaller, so that no memory of a mapping is left unused where they have this size.
const UNIT: usize = 4096;

/// A key or a passphrase.
///
/// It appears in no trace, error or debug output, and leaves no copy behind where it was.
#[derive(PartialEq, Eq)]
pub struct Key(Locked);

impl Key {
    /// A copy of these bytes, which stay the caller's to wipe.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let mut copy = Locked::with_capacity(bytes.len())?;
        copy.write_all(bytes)?;
        Ok(Self(copy))
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Says that there is a key, and not how long it is.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// What can be encoded into ordinary memory and into locked memory, as all arguments can.
pub trait Arguments: Pack<Vec<u8>> + Pack<Locked> {}

impl<T: Pack<Vec<u8>> + Pack<Locked>> Arguments for T {}

/// Bytes in pages of their own, which are wiped when they are not needed any more.
///
/// The pages are locked as far as the limit on that allows: a secret that might be swapped out is
/// better than a disk that can't be opened.
pub struct Locked {
    pages: Pages,
    len: usize,
}

impl Locked {
    /// Nothing yet, with room for so many bytes.
    pub fn with_capacity(capacity: usize) -> io::Result<Self> {
        Ok(Self { pages: Pages::new(capacity)?, len: 0 })
    }

    /// Wipes the bytes; there is room for others then.
    pub fn clear(&mut self) {
        self.pages.wipe();
        self.len = 0;
    }
}

impl Deref for Locked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages.all()[..self.len]
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.pages.all_mut()[..self.len]
    }
}

impl PartialEq for Locked {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Locked {}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked(***)")
    }
}

/// Grows by moving; what was there is wiped.
impl Write for Locked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.len + bytes.len();
        if end > self.pages.size {
            let mut more = Pages::new(end.max(2 * self.pages.size))?;
            more.all_mut()[..self.len].copy_from_slice(self);
            self.pages = more;
        }
        self.pages.all_mut()[self.len..end].copy_from_slice(bytes);
        self.len = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A mapping.
///
/// Memory of the heap would not do: locks do not nest, and whoever unlocks a page would do so for
/// everything else on it.
struct Pages {
    start: NonNull<u8>,
    size: usize,
}

impl Pages {
    fn new(size: usize) -> io::Result<Self> {
        let size = size.max(1).next_multiple_of(UNIT);
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without an address the kernel takes one at which there is nothing.
        #[expect(unsafe_code, reason = "memory that shares its pages with nothing")]
        let start = unsafe { mm::mmap_anonymous(ptr::null_mut(), size, access, MapFlags::PRIVATE) };
        let start = NonNull::new(start?.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // Neither can be insisted on: the limit of locked memory may be 0.
        // SAFETY: the range is the new mapping; neither call changes what it holds.
        #[expect(unsafe_code, reason = "advice about memory")]
        let _ = unsafe {
            let at = start.as_ptr().cast();
            (mm::mlock(at, size), mm::madvise(at, size, Advice::LinuxDontDump))
        };
        Ok(Self { start, size })
    }

    #[expect(unsafe_code, reason = "the bytes of a mapping")]
    fn all(&self) -> &[u8] {
        // SAFETY: the mapping is of this size, was zeroed by the kernel, and lives as long as self.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.size) }
    }

    #[expect(unsafe_code, reason = "the bytes of a mapping")]
    fn all_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `all`, and nobody else has a reference while this one is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.size) }
    }

    fn wipe(&mut self) {
        self.all_mut().zeroize();
    }
}

impl Drop for Pages {
    #[expect(unsafe_code, reason = "the end of a mapping")]
    fn drop(&mut self) {
        self.wipe();
        // SAFETY: the mapping was made by `new`, and no reference outlives self.  It can't fail for
        // a whole mapping; its lock goes with it.
        let _ = unsafe { mm::munmap(self.start.as_ptr().cast(), self.size) };
    }
}

// SAFETY: the pointer is that of memory which only this value uses, whatever thread has it.
#[expect(unsafe_code, reason = "the memory has one owner")]
unsafe impl Send for Pages {}

// SAFETY: through a shared reference the memory is only read.
#[expect(unsafe_code, reason = "the memory has one owner")]
unsafe impl Sync for Pages {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown() {
        let key = Key::new(b"sesame").unwrap();
        assert_eq!(format!("{key:?} {:?}", key.0), "Key(***) Locked(***)");
        assert_eq!(key.as_ref(), b"sesame");
        assert!(key != Key::new(b"sesam").unwrap());
    }

    #[test]
    fn what_is_cleared_is_wiped() {
        let mut bytes = Locked::with_capacity(0).unwrap();
        bytes.write_all(&[7; 5000]).unwrap();
        assert_eq!(*bytes, [7; 5000]);
        bytes.clear();
        assert_eq!(*bytes, []);
        assert!(bytes.pages.all().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_pages_are_locked_and_not_dumped() {
        let key = Key::new(b"sesame").unwrap();
        let flags = flags_of(key.as_ref().as_ptr().addr());
        assert!(flags.contains(" dd"), "{flags}");
        // A limit of 0 is no fault of ours.
        let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
        if limit.current != Some(0) {
            assert!(flags.contains(" lo"), "{flags}");
        }
    }

    /// What the kernel knows of the mapping that holds an address.
    fn flags_of(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|it| it.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16).ok();
            if let Some((start, end)) = range.and_then(|(a, b)| number(a).zip(number(b))) {
                inside = (start..end).contains(&address);
            } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
                return flags.to_owned();
            }
        }
        String::new()
    }
}
