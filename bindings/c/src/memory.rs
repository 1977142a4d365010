// SPDX-License-Identifier: LGPL-2.1-or-later
//! Memory that C frees with `free`.

use std::ffi::c_char;
use std::panic;
use std::ptr::NonNull;

/// What unwinds to the function that C called when there is no memory left.
pub(crate) struct OutOfMemory;

/// Room for `count` values of type `T`.  It is never of size 0, so it is never NULL.
pub(crate) fn allocate<T>(count: usize) -> NonNull<T> {
    let size = count.saturating_mul(size_of::<T>());
    // SAFETY: any size may be asked for.
    let memory = unsafe { libc::malloc(size.max(1)) };
    NonNull::new(memory.cast()).unwrap_or_else(|| panic::resume_unwind(Box::new(OutOfMemory)))
}

/// A value in memory of its own.
pub(crate) fn place<T>(value: T) -> *mut T {
    let memory = allocate::<T>(1);
    // SAFETY: the memory has room for one value.
    unsafe { memory.write(value) };
    memory.as_ptr()
}

/// Values one after the other.
pub(crate) fn place_all<T>(values: Vec<T>) -> *mut T {
    let memory = allocate::<T>(values.len());
    for (i, value) in values.into_iter().enumerate() {
        // SAFETY: the memory has room for all the values.
        unsafe { memory.add(i).write(value) };
    }
    memory.as_ptr()
}

/// A copy of some bytes, with a NUL after them.
pub(crate) fn place_bytes(bytes: &[u8]) -> *mut c_char {
    let memory = allocate::<u8>(bytes.len() + 1);
    // SAFETY: the memory has room for the bytes and the NUL, and is not part of them.
    unsafe {
        memory.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        memory.add(bytes.len()).write(0);
    }
    memory.as_ptr().cast()
}
