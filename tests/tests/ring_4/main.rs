// SPDX-License-Identifier: LGPL-2.1-or-later
//! The library as its users have it: beside other programs, on a machine where things go wrong.
//!
//! What needs qemu and the appliance is in `whole`, so that its tests can be told by their names.

#![cfg(test)]

mod debian_guest;
#[path = "../../src/disks.rs"]
mod disks;
#[path = "../../src/filesystems.rs"]
mod filesystems;
mod support;
mod wrong_inputs;

mod whole {
    mod accelerator;
    mod anyone;
    mod archives;
    mod cases;
    mod confined;
    mod debian_clients;
    mod drives;
    mod events;
    mod faults;
    mod guest;
    mod host_tools;
    mod hostile;
    mod install;
    mod interop;
    mod large;
    mod many;
    mod python;
    mod rsync;
    mod template;
    mod template_command;
    mod transfers;
    mod wrong_inputs;
}
