// SPDX-License-Identifier: LGPL-2.1-or-later
//! The program inside the appliance that does the work.
//!
//! `dispatch` reads calls from the library and looks them up in the generated table; the
//! generated code turns arguments into checked types and calls the function of that name in the
//! module of its group.
#![expect(dead_code, reason = "until the generated table is there")]

mod appliance;
mod archive;
mod block;
mod call;
mod channel;
mod command;
mod ctx;
mod device;
mod device_name;
mod directory;
mod dispatch;
mod error;
mod features;
mod file;
mod filesystem {
    pub(crate) mod bytes;
    pub(crate) mod probe;
}
mod init;
mod metadata;
mod mount;
mod path;
mod system;
mod tool;
mod transfer;
mod view;
mod volumes;

mod generated {
    mod appliance;
    mod archive;
    mod command;
    mod device;
    mod directory;
    mod file;
    mod metadata;
    mod mount;
    pub(crate) use archive::*;
    pub(crate) use metadata::*;
    pub(crate) use mount::*;
    pub(crate) struct Feature {
        pub(crate) name: &'static str,
        pub(crate) programs: &'static [&'static str],
        pub(crate) filesystem: Option<&'static str>,
    }
    pub(crate) const FEATURES: &[Feature] =
        &[Feature { name: "lvm2", programs: &["lvm"], filesystem: None }];
    pub(crate) const TABLE: &[crate::dispatch::Entry] = &[
        (1, "mount", mount::mount),
        (2, "sync", appliance::sync),
        (7, "list_devices", device::list_devices),
        (45, "umount", mount::umount),
        (46, "mounts", mount::mounts),
        (47, "umount_all", mount::umount_all),
        (62, "blockdev_getsz", device::blockdev_getsz),
        (76, "debug", appliance::debug),
        (92, "ping_daemon", appliance::ping_daemon),
        (228, "zero_device", device::zero_device),
        (414, "internal_exit", appliance::internal_exit),
    ];
}

pub use ctx::Ctx;
pub use dispatch::serve;
pub use init::init;
