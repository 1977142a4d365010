// SPDX-License-Identifier: LGPL-2.1-or-later
//! Loading a library of C, and the strings that its functions take and give.
#![expect(unsafe_code, reason = "the functions are of C")]

use std::ffi::{CStr, CString, c_char};
use std::mem::ManuallyDrop;

use libloading::os::unix::{Library as Loaded, RTLD_GLOBAL, RTLD_NOW};

/// A library that is never unloaded, so that its functions may be copied out of it.
pub(crate) struct Library(ManuallyDrop<Loaded>);

impl Library {
    /// Loads it by its name, such as `libaugeas.so.0`.
    pub(crate) fn load(name: &str) -> Result<Self, String> {
        // SAFETY: what runs now are the constructors of a library of the appliance, which expect
        // nothing.
        let loaded = unsafe { Loaded::open(Some(name), RTLD_NOW | RTLD_GLOBAL) };
        loaded.map(|it| Self(ManuallyDrop::new(it))).map_err(|err| err.to_string())
    }

    /// A function of the library.
    ///
    /// # Safety
    ///
    /// `F` must be the type that the library declares the function with.
    pub(crate) unsafe fn function<F: Copy>(&self, name: &str) -> Result<F, String> {
        // SAFETY: the caller knows the type.
        let symbol = unsafe { self.0.get::<F>(name.as_bytes()) };
        symbol.map(|it| *it).map_err(|err| format!("{name}: {err}"))
    }
}

/// An argument of the C library; text ends at a NUL.
pub(crate) fn c_string(argument: &[u8]) -> CString {
    let end = argument.iter().position(|&byte| byte == 0).unwrap_or(argument.len());
    CString::new(&argument[..end]).unwrap_or_default()
}

/// A copy of what the library returned; nothing for a null pointer.
///
/// # Safety
///
/// `text` must be null, or end in a NUL.
pub(crate) unsafe fn copied(text: *const c_char) -> Option<Vec<u8>> {
    // SAFETY: the caller says so.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes().to_vec())
}
