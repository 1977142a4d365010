// SPDX-License-Identifier: LGPL-2.1-or-later
//! Making content unreadable.

use std::os::unix::fs::FileExt;

use bstr::ByteSlice;
use rustix::fs::{AtFlags, FileType, OFlags, unlinkat};

use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::bytes::ReadAt;
use crate::path::GuestPath;
use crate::tool::Tool;

/// How much of a device is looked at and written at once, and how often.
const PART: usize = 4096;
const PARTS: u64 = 32;

pub(crate) fn zero(cx: &mut Ctx, device: &Device) -> Result<()> {
    // Exclusive means: not what is mounted or part of a volume.
    let file = device.open(OFlags::RDWR | OFlags::EXCL)?;
    let mut part = [0; PART];
    for n in 0..PARTS {
        let at = n * PART as u64;
        let length = file.read_up_to(&mut part, at).about(device)?;
        if part[..length].iter().any(|&byte| byte != 0) {
            file.write_all_at(&[0; PART][..length], at).about(device)?;
        }
        cx.progress(n + 1, PARTS);
    }
    rustix::fs::fsync(&file).about(device)
}

pub(crate) fn scrub_file(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    let (parent, name) = cx.parent(path)?;
    match FileType::from_raw_mode(cx.lstat(path)?.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Error::sys(path, Errno::ISDIR)),
        FileType::Symlink => return Err(Error::sys(path, Errno::LOOP)),
        _ => return Err(Error::invalid(path, "not a regular file")),
    }
    let file = cx.open_nofollow(path, OFlags::RDWR | OFlags::NONBLOCK)?;
    // Even if it looks as if it had been done before, and without leaving a sign that it was.
    Tool::new("scrub").args(["-f", "-S"]).arg_fd(file).run()?;
    unlinkat(parent, name.as_bytes(), AtFlags::empty()).about(path)
}
