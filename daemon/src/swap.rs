// SPDX-License-Identifier: LGPL-2.1-or-later
//! Swap space: making it, and letting the appliance use it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bstr::{BStr, ByteSlice};
use rustix::fs::{Mode, OFlags};

use crate::block::Device;
use crate::ctx::Ctx;
use crate::device::{findfs_label, findfs_uuid};
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::bytes::ReadAt;
use crate::filesystem::{check_label, clear_edges, parse_uuid};
use crate::generated::MkswapOptions;
use crate::mount::unescape;
use crate::partition;
use crate::path::GuestPath;
use crate::system;
use crate::tool::Tool;

/// The least that the kernel takes: ten pages.
const SIZE_MIN: u64 = 40 << 10;

pub(crate) fn mkswap(_: &mut Ctx, device: &Device, options: MkswapOptions) -> Result<()> {
    let mut tool = Tool::new("mkswap").arg("-f");
    if let Some(label) = &options.label {
        check_label("swap", label.as_bstr())?;
        tool = tool.arg("-L").arg_bytes(label);
    }
    if let Some(uuid) = &options.uuid {
        tool = tool.args(["-U", &parse_uuid(uuid.as_bstr())?]);
    }
    must_be_large(&device.open(OFlags::RDONLY)?, device)?;
    clear_edges(device)?;
    partition::forget(device)?;
    tool.arg(device.path()).run()
}

pub(crate) fn mkswap_l(cx: &mut Ctx, label: &BStr, device: &Device) -> Result<()> {
    mkswap(cx, device, MkswapOptions { label: Some(label.into()), uuid: None })
}

pub(crate) fn mkswap_u(cx: &mut Ctx, uuid: &BStr, device: &Device) -> Result<()> {
    mkswap(cx, device, MkswapOptions { label: None, uuid: Some(uuid.into()) })
}

pub(crate) fn mkswap_file(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    let file = cx.open_regular(path, OFlags::RDWR, Mode::empty())?;
    must_be_large(&file, path)?;
    Tool::new("mkswap").arg("-f").arg_fd(file).run()
}

fn must_be_large(file: &impl ReadAt, about: impl std::fmt::Display) -> Result<()> {
    match file.size().about(&about)? {
        SIZE_MIN.. => Ok(()),
        size => Err(Error::invalid(about, format_args!("{size} bytes are less than ten pages"))),
    }
}

pub(crate) fn swapon_device(_: &mut Ctx, device: &Device) -> Result<()> {
    // The kernel says nothing better of what was never swap space.
    on(device.path()).about(device)
}

pub(crate) fn swapon_file(cx: &mut Ctx, file: &GuestPath) -> Result<()> {
    let open = cx.open_regular(file, OFlags::RDONLY, Mode::empty())?;
    on(&cx.proc_fd(&open.into())).about(file)
}

pub(crate) fn swapon_label(cx: &mut Ctx, label: &BStr) -> Result<()> {
    let device = by_label(cx, label)?;
    swapon_device(cx, &device)
}

pub(crate) fn swapon_uuid(cx: &mut Ctx, uuid: &BStr) -> Result<()> {
    let device = by_uuid(cx, uuid)?;
    swapon_device(cx, &device)
}

pub(crate) fn swapoff_device(_: &mut Ctx, device: &Device) -> Result<()> {
    off(device.path()).about(device)
}

pub(crate) fn swapoff_file(cx: &mut Ctx, file: &GuestPath) -> Result<()> {
    let open = cx.open(file, OFlags::PATH)?;
    off(&cx.proc_fd(&open)).about(file)
}

pub(crate) fn swapoff_label(cx: &mut Ctx, label: &BStr) -> Result<()> {
    let device = by_label(cx, label)?;
    swapoff_device(cx, &device)
}

pub(crate) fn swapoff_uuid(cx: &mut Ctx, uuid: &BStr) -> Result<()> {
    let device = by_uuid(cx, uuid)?;
    swapoff_device(cx, &device)
}

/// Stops using files of the guest: their filesystems can't be unmounted before.
pub(crate) fn off_files(cx: &Ctx) -> Result<()> {
    // Below a line of titles, the first word of each line is a path.
    for line in system::read("/proc/swaps")?.lines().skip(1) {
        let path = unescape(line.split_str(" ").next().unwrap_or_default());
        let path = path.to_path_lossy();
        if path.starts_with(cx.sysroot()) {
            off(&path).about(path.display())?;
        }
    }
    Ok(())
}

fn by_label(cx: &mut Ctx, label: &BStr) -> Result<Device> {
    let name = findfs_label(cx, label)?;
    cx.device("label", &name)
}

fn by_uuid(cx: &mut Ctx, uuid: &BStr) -> Result<Device> {
    let name = findfs_uuid(cx, uuid)?;
    cx.device("uuid", &name)
}

#[expect(unsafe_code, reason = "no crate wraps this system call")]
fn on(path: &Path) -> rustix::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the kernel reads a string that ends with a NUL.
    result(unsafe { libc::swapon(path.as_ptr(), 0) })
}

#[expect(unsafe_code, reason = "no crate wraps this system call")]
fn off(path: &Path) -> rustix::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the kernel reads a string that ends with a NUL.
    result(unsafe { libc::swapoff(path.as_ptr()) })
}

fn result(status: libc::c_int) -> rustix::io::Result<()> {
    match status {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
