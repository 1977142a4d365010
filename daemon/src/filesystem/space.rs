// SPDX-License-Identifier: LGPL-2.1-or-later
//! The free space of filesystems: giving it back, and taking away what was there.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use bstr::ByteSlice;
use rustix::fs::{AtFlags, Mode, OFlags, fstatvfs, fsync, mkdirat, openat, unlinkat};

use super::must_hold;
use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::file::{not_negative, rm_rf};
use crate::generated::FstrimOptions;
use crate::path::GuestPath;
use crate::random::random;
use crate::tool::{Tool, proc_path};

/// How much is written at once.
const BLOCK: usize = 1 << 20;

/// What the kernel is asked to discard, and then what it has discarded.
#[repr(C)]
struct Range {
    start: u64,
    len: u64,
    min_len: u64,
}

nix::ioctl_readwrite!(discard_free, b'X', 121, Range);

#[expect(unsafe_code, reason = "filesystems are trimmed by an ioctl")]
pub(crate) fn fstrim(cx: &mut Ctx, mountpoint: &GuestPath, options: FstrimOptions) -> Result<()> {
    let number = |arg, value: Option<i64>, default| match value {
        Some(value) => not_negative(arg, value),
        None => Ok(default),
    };
    let mut range = Range {
        start: number("offset", options.offset, 0)?,
        len: number("length", options.length, u64::MAX)?,
        min_len: number("minimumfreeextent", options.minimumfreeextent, 0)?,
    };
    let directory = cx.open(mountpoint, OFlags::RDONLY | OFlags::DIRECTORY)?;
    // SAFETY: the request reads and writes a structure of this layout.
    match unsafe { discard_free(directory.as_raw_fd(), &mut range) } {
        Err(nix::errno::Errno::ENOTTY) => Err(Error::sys(mountpoint, Errno::OPNOTSUPP)),
        result => result.map(drop).about(mountpoint),
    }
}

pub(crate) fn zero_free_space(cx: &mut Ctx, directory: &GuestPath) -> Result<()> {
    let dir = cx.open(directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let before = fstatvfs(&dir).about(directory)?;
    let total = before.f_bfree * before.f_frsize;
    let zeroes = vec![0; BLOCK];
    // They keep their space until they are closed.
    let mut files = Vec::new();
    let mut written = 0;
    loop {
        let mut file = nameless(&dir, u64::from_ne_bytes(random()?)).about(directory)?;
        let start = written;
        let full = loop {
            match file.write(&zeroes) {
                Ok(n) => {
                    written += n as u64;
                    cx.progress(written.min(total), total);
                }
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) if err.kind() == ErrorKind::StorageFull => break true,
                // Files of this filesystem cannot be longer; there may be room for another one.
                Err(err) if err.kind() == ErrorKind::FileTooLarge => break written == start,
                Err(err) => return Err(err).about(directory),
            }
        };
        // What nobody can find any more is not written just because of its age.
        match fsync(&file) {
            Ok(()) | Err(Errno::NOSPC) => files.push(file),
            Err(errno) => return Err(Error::sys(directory, errno)),
        }
        if full {
            return Ok(());
        }
    }
}

/// A new file whose name is gone already, so that nothing remains however this ends.
fn nameless(directory: &OwnedFd, number: u64) -> rustix::io::Result<File> {
    let name = format!(".guestfs-{number:016x}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(directory, &name, flags, Mode::RUSR | Mode::WUSR)?;
    unlinkat(directory, &name, AtFlags::empty())?;
    Ok(file.into())
}

pub(crate) fn scrub_freespace(cx: &mut Ctx, dir: &GuestPath) -> Result<()> {
    let (parent, name) = cx.parent(dir)?;
    // The program makes the directory itself, but says less clearly why it cannot.
    mkdirat(&parent, name.as_slice(), Mode::RWXU).about(dir)?;
    unlinkat(&parent, name.as_slice(), AtFlags::REMOVEDIR).about(dir)?;
    let path = proc_path(&parent).join(name.to_path_lossy());
    let result = Tool::new("scrub").args(["-X", "-S"]).arg(path).run();
    // It leaves its files behind.
    let removed = rm_rf(cx, dir);
    result.and(removed)
}

pub(crate) fn zerofree(_: &mut Ctx, device: &Device) -> Result<()> {
    must_hold(device, super::EXT)?;
    device.open(OFlags::RDWR | OFlags::EXCL)?;
    Tool::new("zerofree").arg(device.path()).run()
}
