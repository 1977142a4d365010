// SPDX-License-Identifier: LGPL-2.1-or-later
//! Copying of ranges between files and devices.

mod compress;
mod range;

pub(crate) use self::compress::{compress_device_out, compress_out};
use self::range::{Range, copy};
use crate::block::{Device, DeviceOrPath};
use crate::ctx::Ctx;
use crate::error::Result;
use crate::generated::{
    CopyDeviceToDeviceOptions, CopyDeviceToFileOptions, CopyFileToDeviceOptions,
    CopyFileToFileOptions,
};
use crate::path::GuestPath;

pub(crate) fn copy_device_to_device(
    cx: &mut Ctx,
    src: &Device,
    dest: &Device,
    options: CopyDeviceToDeviceOptions,
) -> Result<()> {
    let CopyDeviceToDeviceOptions { srcoffset, destoffset, size, sparse, append } = options;
    copy(cx, &src.into(), &dest.into(), &Range { srcoffset, destoffset, size, sparse, append })
}

pub(crate) fn copy_device_to_file(
    cx: &mut Ctx,
    src: &Device,
    dest: &GuestPath,
    options: CopyDeviceToFileOptions,
) -> Result<()> {
    let CopyDeviceToFileOptions { srcoffset, destoffset, size, sparse, append } = options;
    copy(cx, &src.into(), &dest.into(), &Range { srcoffset, destoffset, size, sparse, append })
}

pub(crate) fn copy_file_to_device(
    cx: &mut Ctx,
    src: &GuestPath,
    dest: &Device,
    options: CopyFileToDeviceOptions,
) -> Result<()> {
    let CopyFileToDeviceOptions { srcoffset, destoffset, size, sparse, append } = options;
    copy(cx, &src.into(), &dest.into(), &Range { srcoffset, destoffset, size, sparse, append })
}

pub(crate) fn copy_file_to_file(
    cx: &mut Ctx,
    src: &GuestPath,
    dest: &GuestPath,
    options: CopyFileToFileOptions,
) -> Result<()> {
    let CopyFileToFileOptions { srcoffset, destoffset, size, sparse, append } = options;
    copy(cx, &src.into(), &dest.into(), &Range { srcoffset, destoffset, size, sparse, append })
}

pub(crate) fn copy_size(
    cx: &mut Ctx,
    src: &DeviceOrPath,
    dest: &DeviceOrPath,
    size: i64,
) -> Result<()> {
    copy(cx, src, dest, &Range { size: Some(size), ..Range::default() })
}

pub(crate) fn dd(cx: &mut Ctx, src: &DeviceOrPath, dest: &DeviceOrPath) -> Result<()> {
    copy(cx, src, dest, &Range::default())
}
