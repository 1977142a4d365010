// SPDX-License-Identifier: LGPL-2.1-or-later
//! Archives.

mod base64;
mod cpio;
mod initrd;
mod squashfs;
mod tar;

pub(crate) use self::base64::{base64_in, base64_out};
pub(crate) use self::cpio::cpio_out;
pub(crate) use self::initrd::{initrd_cat, initrd_list};
pub(crate) use self::squashfs::mksquashfs;
pub(crate) use self::tar::{tar_in, tar_out, tgz_in, tgz_out, txz_in, txz_out};
