// SPDX-License-Identifier: LGPL-2.1-or-later
//! Black-box tests.
//!
//! The cases of `api.yaml` are in `generated`; those below `appliance::` need qemu and a built
//! appliance.  What a list of steps can't say is in `tests/`, one file a subject.

#![cfg(test)]

mod case;
mod disks;
mod expect;
mod filesystems;
#[rustfmt::skip]
mod generated;
mod value;

/// What generated cases are made of.
mod prelude {
    pub(crate) use guestfs::*;

    pub(crate) use crate::case::{Case, Disk, step};
    pub(crate) use crate::expect::{fails, matches, returns};
    pub(crate) use crate::value::*;
}
