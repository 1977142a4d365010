// SPDX-License-Identifier: LGPL-2.1-or-later
//! NTFS, by the programs of ntfs-3g.

use std::io::{self, Read};

use bstr::{BStr, ByteSlice};
use rustix::fs::OFlags;

use crate::block::{Device, Mountable};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::bytes::ReadAt;
use crate::filesystem::{NTFS, must_hold};
use crate::generated::{NtfsChmodOptions, NtfscloneOutOptions, NtfsfixOptions, NtfsresizeOptions};
use crate::partition;
use crate::path::GuestPath;
use crate::tool::Tool;
use crate::transfer::{FileIn, FileOut};

pub(crate) fn ntfs_3g_probe(_: &mut Ctx, rw: bool, device: &Device) -> Result<i32> {
    let mode = if rw { "--readwrite" } else { "--readonly" };
    match Tool::new("ntfs-3g.probe").arg(mode).arg(device.path()).run() {
        Ok(()) => Ok(0),
        Err(Error::Tool { program, status, stderr }) => {
            status.code().ok_or(Error::Tool { program, status, stderr })
        }
        Err(err) => Err(err),
    }
}

pub(crate) fn ntfs_chmod(
    _: &mut Ctx,
    device: &Device,
    mode: i32,
    path: &BStr,
    options: NtfsChmodOptions,
) -> Result<()> {
    if !(0..=0o7777).contains(&mode) {
        return Err(Error::invalid("mode", format_args!("{mode:#o} is not from 0 to 07777")));
    }
    let path = GuestPath::new("path", path)?;
    unmounted(device)?;
    let mut tool = Tool::new("ntfssecaudit");
    if options.recursive == Some(true) {
        tool = tool.arg("-r");
    }
    let tool = tool.arg(device.path()).arg(format!("{mode:o}")).arg_bytes(path.as_bstr());
    run(tool, &mut io::empty(), |complaint| {
        complaint.contains("No such file").then(|| Error::sys(&path, Errno::NOENT))
    })
}

pub(crate) fn ntfscat_i(
    _: &mut Ctx,
    device: &Mountable,
    inode: i64,
    filename: &mut FileOut<'_>,
) -> Result<()> {
    if inode < 0 {
        return Err(Error::invalid("inode", format_args!("{inode} is negative")));
    }
    let device = &device.device;
    must_hold(device, NTFS)?;
    let tool = Tool::new("ntfscat").args(["-f", "-i", &inode.to_string()]).arg(device.path());
    tool.write_to(filename)
}

pub(crate) fn ntfsclone_in(
    _: &mut Ctx,
    backupfile: &mut FileIn<'_>,
    device: &Device,
) -> Result<()> {
    // Exclusively: it must not be in use.
    device.open(OFlags::RDWR | OFlags::EXCL)?;
    let tool = Tool::new("ntfsclone").arg("--overwrite").arg(device.path());
    let tool = tool.args(["--restore-image", "-"]);
    run(tool, backupfile, |complaint| {
        let why = "not a backup of ntfsclone";
        complaint.contains("not an image").then(|| Error::invalid("backupfile", why))
    })?;
    partition::forget(device)
}

pub(crate) fn ntfsclone_out(
    _: &mut Ctx,
    device: &Device,
    backupfile: &mut FileOut<'_>,
    options: NtfscloneOutOptions,
) -> Result<()> {
    unmounted(device)?;
    let mut tool = Tool::new("ntfsclone").args(["-o", "-", "--save-image"]);
    for (value, flag) in [
        (options.metadataonly, "--metadata"),
        (options.rescue, "--rescue"),
        (options.ignorefscheck, "--ignore-fs-check"),
        (options.preservetimestamps, "--preserve-timestamps"),
        (options.force, "--force"),
    ] {
        if value == Some(true) {
            tool = tool.arg(flag);
        }
    }
    tool.arg(device.path()).write_to(backupfile)
}

pub(crate) fn ntfsfix(_: &mut Ctx, device: &Device, options: NtfsfixOptions) -> Result<()> {
    unmounted(device)?;
    let tool = match options.clearbadsectors {
        Some(true) => Tool::new("ntfsfix").arg("-b"),
        _ => Tool::new("ntfsfix"),
    };
    tool.arg(device.path()).run()
}

pub(crate) fn ntfsresize(_: &mut Ctx, device: &Device, options: NtfsresizeOptions) -> Result<()> {
    if options.size.is_some_and(|size| size <= 0) {
        return Err(Error::invalid("size", "not positive"));
    }
    unmounted(device)?;
    let largest = device.open(OFlags::RDONLY)?.size().about(device)?;
    if let Some(size) = options.size
        && size.cast_unsigned() > largest
    {
        return Err(Error::invalid("size", format_args!("{size} is more than {largest}")));
    }
    if options.force != Some(true) {
        // Fails if the filesystem is marked for a check, as the program otherwise only would ask.
        let tool = Tool::new("ntfsresize").args(["--info", "--no-progress-bar"]);
        run(tool.arg(device.path()), &mut io::empty(), |_| None)?;
    }
    let mut tool = Tool::new("ntfsresize").args(["-f", "-f", "--no-progress-bar"]);
    if let Some(size) = options.size {
        tool = tool.arg("--size").arg(size.to_string());
    }
    run(tool.arg(device.path()), &mut io::empty(), |complaint| {
        let why = "less than what the filesystem holds";
        let is_it = complaint.contains("can't be less than the space");
        is_it.then(|| Error::refused(Errno::NOSPC, "size", why))
    })
}

pub(crate) fn ntfsresize_size(cx: &mut Ctx, device: &Device, size: i64) -> Result<()> {
    ntfsresize(cx, device, NtfsresizeOptions { size: Some(size), force: None })
}

/// Fails unless there is an NTFS which nobody else is writing to.
fn unmounted(device: &Device) -> Result<()> {
    must_hold(device, NTFS)?;
    device.open(OFlags::RDONLY | OFlags::EXCL).map(drop)
}

/// Runs a program which complains where others print; `explain` knows some of the complaints.
fn run(tool: Tool, input: &mut impl Read, explain: impl Fn(&str) -> Option<Error>) -> Result<()> {
    let mut out = Vec::new();
    tool.filter(input, &mut out).map_err(|err| match err {
        Error::Tool { program, status, stderr } => {
            let complaints = stderr + &out.to_str_lossy();
            explain(&complaints).unwrap_or_else(|| {
                let errors = complaints.lines().filter(|line| line.starts_with("ERROR"));
                let errors: Vec<_> = errors.collect();
                let stderr = if errors.is_empty() { complaints.clone() } else { errors.join("\n") };
                Error::Tool { program, status, stderr }
            })
        }
        err => err,
    })
}
