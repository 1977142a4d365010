// SPDX-License-Identifier: LGPL-2.1-or-later
//! Arguments of functions of C: pointers that keep to what `guestfs.h` says.
//!
//! None of these types can be made in Rust.  A C program makes them by calling a function, and
//! promises that each is NULL or points to what its type says, for as long as the call lasts.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bstr::BString;

use crate::error::Failed;

const NULL: &str = "argument is NULL";

/// `const char *`: a string.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Text(*const c_char);

impl Text {
    /// The text, or none for NULL.
    pub(crate) fn optional(&self) -> Option<&[u8]> {
        self.c_str().map(CStr::to_bytes)
    }

    /// The text; NULL is an error.
    pub(crate) fn bytes(&self, argument: &str) -> Result<&[u8], Failed> {
        self.optional().ok_or_else(|| Failed::invalid(argument, NULL))
    }

    /// The text as the name of a file of the host.
    pub(crate) fn path(&self, argument: &str) -> Result<&Path, Failed> {
        self.bytes(argument).map(|name| Path::new(OsStr::from_bytes(name)))
    }

    pub(crate) fn c_str(&self) -> Option<&CStr> {
        // SAFETY: it is NULL or a string, as promised by whoever called from C.
        (!self.0.is_null()).then(|| unsafe { CStr::from_ptr(self.0) })
    }
}

/// `char *const *`: strings, and NULL after the last.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct TextList(*const *const c_char);

impl TextList {
    /// The strings; NULL is an error, for an empty list is something else.
    pub(crate) fn items(&self, argument: &str) -> Result<Vec<&[u8]>, Failed> {
        if self.0.is_null() {
            return Err(Failed::invalid(argument, NULL));
        }
        let mut items = Vec::new();
        let mut next = self.0;
        loop {
            // SAFETY: the list goes on until NULL, as promised by whoever called from C.
            let item = unsafe { next.read() };
            if item.is_null() {
                return Ok(items);
            }
            // SAFETY: every item is a string, and they live as long as the list.
            items.push(unsafe { CStr::from_ptr(item) }.to_bytes());
            // SAFETY: this was not the last.
            next = unsafe { next.add(1) };
        }
    }
}

/// `const char *` with a size in the next argument.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Buffer(*const u8);

impl Buffer {
    /// The bytes; NULL is an error unless there are none.
    pub(crate) fn bytes(&self, argument: &str, size: usize) -> Result<&[u8], Failed> {
        match (self.0.is_null(), size) {
            (true, 0) => Ok(&[]),
            (true, _) => Err(Failed::invalid(argument, NULL)),
            // SAFETY: there are so many bytes, as promised by whoever called from C.
            (false, _) => Ok(unsafe { std::slice::from_raw_parts(self.0, size) }),
        }
    }
}

/// `size_t *`: where the size of the result goes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct SizeOut(*mut usize);

impl SizeOut {
    /// The place; NULL is an error.
    pub(crate) fn place(self, argument: &str) -> Result<Self, Failed> {
        match self.0.is_null() {
            true => Err(Failed::invalid(argument, NULL)),
            false => Ok(self),
        }
    }

    pub(crate) fn set(self, size: usize) {
        if !self.0.is_null() {
            // SAFETY: it points to a size, as promised by whoever called from C.
            unsafe { self.0.write(size) };
        }
    }
}

/// `const struct guestfs_F_argv *`: the options of a function.
#[repr(transparent)]
pub(crate) struct Options<A>(*const A);

impl<A: Argv> Options<A> {
    /// The options that were given; NULL is none.
    pub(crate) fn read(&self) -> Result<A::Options, Failed> {
        // SAFETY: it is NULL or a structure, as promised by whoever called from C.
        let Some(argv) = (unsafe { self.0.as_ref() }) else {
            return Ok(A::Options::default());
        };
        let bitmask = argv.bitmask();
        let unknown = bitmask.checked_shr(A::COUNT).unwrap_or(0);
        if unknown != 0 {
            let option = A::COUNT + unknown.trailing_zeros();
            return Err(Failed::invalid(&format!("option {option}"), "does not exist"));
        }
        argv.options(Given(bitmask))
    }
}

/// `struct guestfs_F_argv`
pub(crate) trait Argv {
    /// What the library takes.
    type Options: Default;
    /// How many options there are.
    const COUNT: u32;

    fn bitmask(&self) -> u64;
    fn options(&self, given: Given) -> Result<Self::Options, Failed>;
}

/// A field of `struct guestfs_F_argv`, which C fills in only if it sets the field's bit.
#[repr(transparent)]
pub(crate) struct Field<T>(MaybeUninit<T>);

/// The mask of the fields that were filled in.
#[derive(Clone, Copy)]
pub(crate) struct Given(u64);

impl Given {
    pub(crate) fn bool(self, bit: u32, field: &Field<c_int>) -> Option<bool> {
        self.number(bit, field).map(|value| value != 0)
    }

    pub(crate) fn number<T: Copy>(self, bit: u32, field: &Field<T>) -> Option<T> {
        // SAFETY: whoever set the bit in C filled in the field.
        (self.0 & 1 << bit != 0).then(|| unsafe { field.0.assume_init() })
    }

    pub(crate) fn text(
        self,
        bit: u32,
        name: &str,
        field: &Field<Text>,
    ) -> Result<Option<BString>, Failed> {
        self.number(bit, field).map(|text| Ok(text.bytes(name)?.into())).transpose()
    }

    pub(crate) fn list(
        self,
        bit: u32,
        name: &str,
        field: &Field<TextList>,
    ) -> Result<Option<Vec<BString>>, Failed> {
        let owned = |list: TextList| Ok(list.items(name)?.into_iter().map(BString::from).collect());
        self.number(bit, field).map(owned).transpose()
    }
}
