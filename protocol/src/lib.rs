// SPDX-License-Identifier: LGPL-2.1-or-later
//! The wire shared by the library and the daemon: messages in XDR (RFC 4506) over a byte stream.
//!
//! Both ends treat what they read as hostile: everything is decoded from a [`xdr::Strict`]
//! reader, which knows how many bytes there are, so a message that lies about a length is an
//! error and never a hang, a large allocation or a wrong value.

mod disk;
pub mod errno;
mod key;
pub mod wire;
pub mod xdr;

#[rustfmt::skip]
mod generated;

pub use disk::disk_name;
pub use generated::*;
pub use key::{Arguments, Key, Locked};
pub use xdr_codec::{Pack, Unpack};
