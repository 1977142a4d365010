// SPDX-License-Identifier: LGPL-2.1-or-later
//! The program inside the appliance that does the work.
//!
//! `dispatch` reads calls from the library and looks them up in the generated table; the
//! generated code turns arguments into checked types and calls the function of that name in the
//! module of its group.
#![expect(dead_code, reason = "until the generated table is there")]

mod block;
mod call;
mod channel;
mod ctx;
mod device_name;
mod dispatch;
mod error;
mod features;
mod path;
mod system;
mod tool;
mod transfer;

mod generated {
    pub(crate) const TABLE: &[crate::dispatch::Entry] = &[];
}

pub use ctx::Ctx;
pub use dispatch::serve;
