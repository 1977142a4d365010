// SPDX-License-Identifier: LGPL-2.1-or-later
//! Getting rid of what is on a device.

use std::os::fd::AsRawFd;

use rustix::fs::OFlags;

use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{About, Result};
use crate::filesystem::bytes::ReadAt;
use crate::partition;
use crate::tool::Tool;

mod ioctl {
    use nix::{ioctl_read_bad, ioctl_write_ptr_bad, request_code_none};

    ioctl_write_ptr_bad!(discard, request_code_none!(0x12, 119), [u64; 2]);
    ioctl_read_bad!(discard_zeroes, request_code_none!(0x12, 124), libc::c_uint);
}

#[expect(unsafe_code, reason = "blocks are discarded by an ioctl")]
pub(crate) fn blkdiscard(_: &mut Ctx, device: &Device) -> Result<()> {
    // Exclusive means: not what is mounted or part of a volume.
    let file = device.open(OFlags::WRONLY | OFlags::EXCL)?;
    let size = file.size().about(device)?;
    // SAFETY: the request reads two integers, start and length in bytes.
    unsafe { ioctl::discard(file.as_raw_fd(), &[0, size]) }.about(device)?;
    drop(file);
    partition::forget(device)
}

#[expect(unsafe_code, reason = "block devices are asked by ioctls")]
pub(crate) fn blkdiscardzeroes(_: &mut Ctx, device: &Device) -> Result<bool> {
    let file = device.open(OFlags::RDONLY)?;
    let mut zeroes = 0;
    // SAFETY: the request writes an int.
    unsafe { ioctl::discard_zeroes(file.as_raw_fd(), &mut zeroes) }.about(device)?;
    Ok(zeroes != 0)
}

pub(crate) fn scrub_device(_: &mut Ctx, device: &Device) -> Result<()> {
    device.open(OFlags::RDWR | OFlags::EXCL)?;
    // Even if it looks as if it had been done before, and without leaving a sign that it was.
    Tool::new("scrub").args(["-f", "-S"]).arg(device.path()).run()?;
    partition::forget(device)
}
