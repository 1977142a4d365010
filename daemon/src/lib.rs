// SPDX-License-Identifier: LGPL-2.1-or-later
//! The program inside the appliance that does the work.
//!
//! `dispatch` reads calls from the library and looks them up in the generated table; the
//! generated code turns arguments into checked types and calls the function of that name in the
//! module of its group.

mod appliance;
mod archive;
mod augeas;
mod bind_test;
mod block;
mod call;
mod cancel;
mod channel;
mod command;
mod contained;
mod copy;
mod ctx;
mod decompress;
mod device;
mod device_name;
mod directory;
mod dispatch;
mod error;
mod ext;
mod features;
mod file;
mod filesystem;
mod handles;
mod helper;
#[cfg(test)]
mod hostile;
mod init;
mod inotify;
mod journal;
mod lvm;
mod md;
mod metadata;
mod mount;
mod ntfs;
mod older;
mod partition;
mod path;
mod pieces;
mod random;
mod resume;
mod rsync;
mod selinux;
mod swap;
mod system;
mod text;
mod texts;
mod tool;
mod transfer;
mod uevent;
mod view;
mod volumes;
mod window;
mod xattr;
mod xfs;

#[rustfmt::skip]
mod generated;

pub use ctx::Ctx;
pub use dispatch::serve;
pub use init::init;
