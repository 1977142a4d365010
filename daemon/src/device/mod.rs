// SPDX-License-Identifier: LGPL-2.1-or-later
//! Block devices: which there are, what the kernel knows of them, and their content as bytes.

mod discard;
mod find;

use std::fs::File;
use std::os::fd::AsRawFd;

use bstr::{BStr, BString};
use rustix::fs::OFlags;

use crate::block::Device;
use crate::cancel;
use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::filesystem::bytes::ReadAt;
use crate::lvm::mapped;
use crate::{file, partition};

pub(crate) use self::discard::{blkdiscard, blkdiscardzeroes, scrub_device};
pub(crate) use self::find::{findfs_label, findfs_partlabel, findfs_partuuid, findfs_uuid};

/// Bytes of a sector in the kernel's own units, whatever the disk has.
const SECTOR: u64 = 512;

/// How much is zeroed between two reports of progress.
const ZERO_STEP: u64 = 32 << 20;

/// How much is looked at once for a byte that is not zero.
const READ_STEP: usize = 1 << 20;

mod ioctl {
    use nix::{
        ioctl_none, ioctl_read, ioctl_read_bad, ioctl_write_int_bad, ioctl_write_ptr,
        ioctl_write_ptr_bad, request_code_none,
    };

    ioctl_read!(get_size, 0x12, 114, usize);
    ioctl_read_bad!(get_read_only, request_code_none!(0x12, 94), libc::c_int);
    ioctl_write_ptr_bad!(set_read_only, request_code_none!(0x12, 93), libc::c_int);
    ioctl_read!(get_block_size, 0x12, 112, usize);
    ioctl_write_ptr!(set_block_size, 0x12, 113, usize);
    ioctl_write_int_bad!(set_read_ahead, request_code_none!(0x12, 98));
    ioctl_none!(flush, 0x12, 97);
    ioctl_none!(reread_partitions, 0x12, 95);
    ioctl_write_ptr_bad!(zero_out, request_code_none!(0x12, 127), [u64; 2]);
}

pub(crate) fn list_devices(cx: &mut Ctx) -> Result<Vec<BString>> {
    let drives = cx.names().drives()?;
    Ok(drives.into_iter().map(|drive| format!("/dev/{}", drive.name).into()).collect())
}

pub(crate) fn nr_devices(cx: &mut Ctx) -> Result<i32> {
    Ok(cx.names().drives()?.len() as i32)
}

pub(crate) fn list_disk_labels(cx: &mut Ctx) -> Result<Vec<(BString, BString)>> {
    let disks = partition::disks(cx)?;
    let mut labels = Vec::new();
    for (label, drive) in cx.names().labels()? {
        let numbers = disks.iter().find(|it| it.kernel == drive.kernel).map(|it| &it.partitions);
        labels.push((label.clone(), format!("/dev/{}", drive.name).into()));
        for number in numbers.into_iter().flatten() {
            let name = partition::node(format!("/dev/{}", drive.name).as_bytes(), *number);
            labels.push((format!("{label}{number}").into(), name));
        }
    }
    Ok(labels)
}

pub(crate) fn list_dm_devices(_: &mut Ctx) -> Result<Vec<BString>> {
    mapped::others()
}

pub(crate) fn is_whole_device(cx: &mut Ctx, device: &Device) -> Result<bool> {
    let link = rustix::fs::readlink(device.sys_dir(), Vec::new()).about(device)?;
    let kernel = link.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    Ok(cx.names().drives()?.iter().any(|drive| drive.kernel == kernel))
}

pub(crate) fn blockdev_getsize64(_: &mut Ctx, device: &Device) -> Result<i64> {
    Ok(size(&device.open(OFlags::RDONLY)?, device)? as i64)
}

pub(crate) fn blockdev_getsz(_: &mut Ctx, device: &Device) -> Result<i64> {
    Ok((size(&device.open(OFlags::RDONLY)?, device)? / SECTOR) as i64)
}

pub(crate) fn blockdev_getss(_: &mut Ctx, device: &Device) -> Result<i32> {
    let file = device.open(OFlags::RDONLY)?;
    Ok(rustix::fs::ioctl_blksszget(file).about(device)? as i32)
}

#[expect(unsafe_code, reason = "block devices are asked by ioctls")]
pub(crate) fn blockdev_getbsz(_: &mut Ctx, device: &Device) -> Result<i32> {
    let file = device.open(OFlags::RDONLY)?;
    // The number of the request has a size_t in it, but the kernel writes an int.
    let mut size = 0_usize;
    // SAFETY: the request writes an int into a larger integer of zero.
    unsafe { ioctl::get_block_size(file.as_raw_fd(), &mut size) }.about(device)?;
    Ok(size as i32)
}

#[expect(unsafe_code, reason = "block devices are asked by ioctls")]
pub(crate) fn blockdev_getro(_: &mut Ctx, device: &Device) -> Result<bool> {
    let file = device.open(OFlags::RDONLY)?;
    let mut read_only = 0;
    // SAFETY: the request writes an int.
    unsafe { ioctl::get_read_only(file.as_raw_fd(), &mut read_only) }.about(device)?;
    Ok(read_only != 0)
}

#[expect(unsafe_code, reason = "block devices are changed by ioctls")]
pub(crate) fn blockdev_setbsz(_: &mut Ctx, device: &Device, blocksize: i32) -> Result<()> {
    let why = || Error::invalid("blocksize", format_args!("{blocksize} is not possible"));
    let size = usize::try_from(blocksize).map_err(|_| why())?;
    let file = device.open(OFlags::RDONLY)?;
    // SAFETY: the request reads an int, which is the lower half of this on the systems we run on.
    match unsafe { ioctl::set_block_size(file.as_raw_fd(), &size) } {
        Err(nix::errno::Errno::EINVAL) => Err(why()),
        result => result.map(drop).about(device),
    }
}

#[expect(unsafe_code, reason = "block devices are changed by ioctls")]
pub(crate) fn blockdev_setra(_: &mut Ctx, device: &Device, sectors: i32) -> Result<()> {
    if sectors < 0 {
        return Err(Error::invalid("sectors", format_args!("{sectors} is negative")));
    }
    let file = device.open(OFlags::RDONLY)?;
    // SAFETY: the request takes a number.
    unsafe { ioctl::set_read_ahead(file.as_raw_fd(), sectors) }.about(device)?;
    Ok(())
}

pub(crate) fn blockdev_setro(_: &mut Ctx, device: &Device) -> Result<()> {
    set_read_only(device, 1)
}

pub(crate) fn blockdev_setrw(_: &mut Ctx, device: &Device) -> Result<()> {
    set_read_only(device, 0)
}

#[expect(unsafe_code, reason = "block devices are changed by ioctls")]
fn set_read_only(device: &Device, read_only: libc::c_int) -> Result<()> {
    let file = device.open(OFlags::RDONLY)?;
    // SAFETY: the request reads an int.
    unsafe { ioctl::set_read_only(file.as_raw_fd(), &read_only) }.about(device)?;
    Ok(())
}

#[expect(unsafe_code, reason = "block devices are flushed by ioctls")]
pub(crate) fn blockdev_flushbufs(_: &mut Ctx, device: &Device) -> Result<()> {
    let file = device.open(OFlags::RDONLY)?;
    // SAFETY: the request has no argument.
    unsafe { ioctl::flush(file.as_raw_fd()) }.about(device)?;
    Ok(())
}

#[expect(unsafe_code, reason = "partition tables are read again by an ioctl")]
pub(crate) fn blockdev_rereadpt(_: &mut Ctx, device: &Device) -> Result<()> {
    let file = device.open(OFlags::RDONLY)?;
    // SAFETY: the request has no argument.
    unsafe { ioctl::reread_partitions(file.as_raw_fd()) }.about(device)?;
    Ok(())
}

#[expect(unsafe_code, reason = "block devices are zeroed by an ioctl")]
pub(crate) fn zero_device(cx: &mut Ctx, device: &Device) -> Result<()> {
    // Exclusive means: not what is mounted or part of a volume.
    let file = device.open(OFlags::WRONLY | OFlags::EXCL)?;
    let total = size(&file, device)?;
    for start in (0..total).step_by(ZERO_STEP as usize) {
        cancel::check()?;
        let len = ZERO_STEP.min(total - start);
        // SAFETY: the request reads two integers, start and length in bytes.
        unsafe { ioctl::zero_out(file.as_raw_fd(), &[start, len]) }.about(device)?;
        cx.progress(start + len, total);
    }
    rustix::fs::fsync(&file).about(device)
}

pub(crate) fn is_zero_device(cx: &mut Ctx, device: &Device) -> Result<bool> {
    let file = device.open(OFlags::RDONLY)?;
    let total = size(&file, device)?;
    let mut block = vec![0; READ_STEP];
    for start in (0..total).step_by(READ_STEP) {
        cancel::check()?;
        let n = file.read_up_to(&mut block, start).about(device)?;
        if block[..n].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        cx.progress(start + n as u64, total);
    }
    Ok(true)
}

pub(crate) fn checksum_device(_: &mut Ctx, csumtype: &BStr, device: &Device) -> Result<BString> {
    let sum = file::sum_of(csumtype)?;
    file::finish(sum, &mut device.open(OFlags::RDONLY)?).about(device)
}

pub(crate) fn pread_device(
    _: &mut Ctx,
    device: &Device,
    count: i32,
    offset: i64,
) -> Result<Vec<u8>> {
    let part = file::Part::new(count, offset)?;
    let file = device.open(OFlags::RDONLY)?;
    let length = size(&file, device)?;
    part.read(&file, length).about(device)
}

pub(crate) fn pwrite_device(
    _: &mut Ctx,
    device: &Device,
    content: &[u8],
    offset: i64,
) -> Result<i32> {
    file::write_part(&device.open(OFlags::WRONLY)?, content, offset, device)
}

/// Bytes of a device.
#[expect(unsafe_code, reason = "block devices are asked by ioctls")]
fn size(file: &File, device: &Device) -> Result<u64> {
    let mut size = 0_usize;
    // SAFETY: the request writes a 64-bit integer, which `usize` is on the systems we run on.
    unsafe { ioctl::get_size(file.as_raw_fd(), &mut size) }.about(device)?;
    i64::try_from(size)
        .map(|size| size as u64)
        .map_err(|_| Error::TooBig(format!("{device}: {size} bytes")))
}
