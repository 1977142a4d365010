// SPDX-License-Identifier: LGPL-2.1-or-later
//! `libguestfs.so.0`: the C interface of the library.
//!
//! What C calls is generated (`generated/c/entry`); here is what these functions are made of, and
//! the functions that are not about disks: creating and closing, errors, events, private data.
//!
//! Pointers that come from C are wrapped, at the boundary, in types such as [`arguments::Text`]
//! which nothing in Rust can make.  Each stands for the promise that `guestfs.h` asks of a C
//! program, so the functions that use them are safe, and the places that rely on the promise are
//! the few methods of these types.
#![expect(unsafe_code, reason = "the whole crate is the border to C")]

mod arguments;
mod error;
mod event;
#[rustfmt::skip]
mod generated;
mod handle;
mod memory;
mod private;
mod results;
mod structs;
