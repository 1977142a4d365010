// SPDX-License-Identifier: LGPL-2.1-or-later
//! Opens, inspects and changes virtual machine disk images.
//!
//! A [`Handle`] is given disk images, launched, and then takes calls: each is carried out by a
//! small appliance, a virtual machine of its own, so that nothing on the disks is ever
//! interpreted by the host.
//!
//! ```no_run
//! # fn main() -> guestfs::Result<()> {
//! let g = guestfs::Handle::create()?;
//! g.add_drive("disk.img", &guestfs::AddDriveOptions { readonly: Some(true), ..Default::default() })?;
//! g.launch()?;
//! g.mount("/dev/sda1", "/")?;
//! println!("{}", g.cat("/etc/hostname")?);
//! g.close()
//! # }
//! ```

mod action;
mod appliance;
mod bind_test;
mod call;
mod connection;
mod copy;
mod device;
mod diagnose;
mod directory;
mod drive;
mod environment;
mod error;
mod event;
#[rustfmt::skip]
mod generated;
mod file;
mod handle;
mod image;
mod interrupt;
mod journal;
mod launch;
mod metadata;
mod mount;
mod per_thread;
mod private;
mod properties;
mod templates;
mod trace;
mod transfer;
mod window;
mod xattr;

pub use bstr;
pub use generated::*;
pub use guestfs_protocol::structs::*;

pub use crate::error::{Error, Result};
pub use crate::event::{Callback, CallbackId, Events, Payload};
pub use crate::handle::{CreateFlags, ErrorHandler, Handle};
pub use crate::interrupt::{Watch, interruptible};
pub use crate::launch::{ApplianceFile, FoundAppliance, Hypervisor, Template};
#[doc(hidden)]
pub use crate::per_thread::PerThread;
pub use crate::private::Private;
