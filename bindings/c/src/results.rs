// SPDX-License-Identifier: LGPL-2.1-or-later
//! Results of functions of C.  Except for text that the handle keeps, they are the caller's, who
//! frees them.

use std::ffi::{c_char, c_int};
use std::ptr;

use bstr::BString;

use crate::arguments::SizeOut;
use crate::handle::Guestfs;
use crate::memory::{place, place_all, place_bytes};
use crate::structs::{List, Mirrored};

/// A result of the library that C can have.
pub(crate) trait Returned {
    /// Its type in C.
    type C;
    /// What is returned in case of an error.
    const FAILURE: Self::C;

    /// The result in C.  `function` is the one that C called.
    fn into_c(self, g: &Guestfs, function: &'static str) -> Self::C;
}

/// Text that the handle keeps.
pub(crate) struct Kept(pub(crate) Option<BString>);

/// Bytes whose number goes somewhere else.
pub(crate) struct Measured(pub(crate) SizeOut, pub(crate) Vec<u8>);

impl Returned for () {
    type C = c_int;
    const FAILURE: c_int = -1;

    fn into_c(self, _: &Guestfs, _: &'static str) -> c_int {
        0
    }
}

impl Returned for bool {
    type C = c_int;
    const FAILURE: c_int = -1;

    fn into_c(self, _: &Guestfs, _: &'static str) -> c_int {
        c_int::from(self)
    }
}

impl Returned for i32 {
    type C = c_int;
    const FAILURE: c_int = -1;

    fn into_c(self, _: &Guestfs, _: &'static str) -> c_int {
        self
    }
}

impl Returned for i64 {
    type C = i64;
    const FAILURE: i64 = -1;

    fn into_c(self, _: &Guestfs, _: &'static str) -> i64 {
        self
    }
}

impl Returned for Kept {
    type C = *const c_char;
    const FAILURE: *const c_char = ptr::null();

    fn into_c(self, g: &Guestfs, function: &'static str) -> *const c_char {
        self.0.map_or(ptr::null(), |text| g.keep(function, &text))
    }
}

impl Returned for BString {
    type C = *mut c_char;
    const FAILURE: *mut c_char = ptr::null_mut();

    fn into_c(self, _: &Guestfs, _: &'static str) -> *mut c_char {
        place_bytes(&self)
    }
}

impl Returned for Measured {
    type C = *mut c_char;
    const FAILURE: *mut c_char = ptr::null_mut();

    fn into_c(self, _: &Guestfs, _: &'static str) -> *mut c_char {
        let bytes = place_bytes(&self.1);
        self.0.set(self.1.len());
        bytes
    }
}

impl Returned for Vec<BString> {
    type C = *mut *mut c_char;
    const FAILURE: *mut *mut c_char = ptr::null_mut();

    fn into_c(self, _: &Guestfs, _: &'static str) -> *mut *mut c_char {
        let texts = self.iter().map(|text| place_bytes(text));
        place_all(texts.chain([ptr::null_mut()]).collect())
    }
}

/// Keys and values take turns.
impl Returned for Vec<(BString, BString)> {
    type C = *mut *mut c_char;
    const FAILURE: *mut *mut c_char = ptr::null_mut();

    fn into_c(self, g: &Guestfs, function: &'static str) -> *mut *mut c_char {
        let texts: Vec<BString> = self.into_iter().flat_map(|(key, value)| [key, value]).collect();
        texts.into_c(g, function)
    }
}

impl<T: Mirrored> Returned for T {
    type C = *mut T::C;
    const FAILURE: *mut T::C = ptr::null_mut();

    fn into_c(self, _: &Guestfs, _: &'static str) -> *mut T::C {
        place(self.mirror())
    }
}

impl<T: Mirrored> Returned for Vec<T> {
    type C = *mut List<T::C>;
    const FAILURE: *mut List<T::C> = ptr::null_mut();

    fn into_c(self, _: &Guestfs, _: &'static str) -> *mut List<T::C> {
        place(List::new(self.iter().map(Mirrored::mirror).collect()))
    }
}
