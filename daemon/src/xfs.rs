// SPDX-License-Identifier: LGPL-2.1-or-later
//! XFS: its geometry, growing, and repair.

use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use guestfs_protocol::Xfsinfo;
use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags, fstatfs, statx};

use crate::block::{Device, DeviceOrPath, Mountable};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::bytes::ReadAt;
use crate::filesystem::{XFS, must_hold, set_label, set_uuid};
use crate::generated::{XfsAdminOptions, XfsGrowfsOptions, XfsRepairOptions};
use crate::path::GuestPath;
use crate::tool::Tool;

/// What the kernel calls the filesystem in statfs(2).
const MAGIC: i64 = 0x5846_5342;

/// What is put in the place of a UUID.
const UUIDS: [&str; 3] = ["generate", "nil", "restore"];

pub(crate) fn xfs_info(cx: &mut Ctx, pathordevice: &DeviceOrPath) -> Result<Xfsinfo> {
    let info = geometry(cx, pathordevice)?;
    let text = |name: &str| {
        let found = info.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let number =
        |name: &str| text(name).to_str().ok().and_then(|it| it.parse().ok()).unwrap_or(0_u64);
    let small = |name: &str| u32::try_from(number(name)).unwrap_or(u32::MAX);
    let logname = match text("log") {
        name if name == "internal log" => "internal".into(),
        name => name,
    };
    Ok(Xfsinfo {
        xfs_mntpoint: pathordevice.to_string().into(),
        xfs_inodesize: small("meta-data.isize"),
        xfs_agcount: small("meta-data.agcount"),
        xfs_agsize: small("meta-data.agsize"),
        xfs_sectsize: small("meta-data.sectsz"),
        xfs_attr: small("meta-data.attr"),
        xfs_blocksize: small("data.bsize"),
        xfs_datablocks: number("data.blocks"),
        xfs_imaxpct: small("data.imaxpct"),
        xfs_sunit: small("data.sunit"),
        xfs_swidth: small("data.swidth"),
        xfs_dirversion: small("naming.version"),
        xfs_dirblocksize: small("naming.bsize"),
        xfs_cimode: small("naming.ascii-ci"),
        xfs_logname: logname,
        xfs_logblocksize: small("log.bsize"),
        xfs_logblocks: small("log.blocks"),
        xfs_logversion: small("log.version"),
        xfs_logsectsize: small("log.sectsz"),
        xfs_logsunit: small("log.sunit"),
        xfs_lazycount: small("log.lazy-count"),
        xfs_rtname: text("realtime"),
        xfs_rtextsize: small("realtime.extsz"),
        xfs_rtblocks: number("realtime.blocks"),
        xfs_rtextents: number("realtime.rtextents"),
    })
}

pub(crate) fn xfs_info2(
    cx: &mut Ctx,
    pathordevice: &DeviceOrPath,
) -> Result<Vec<(BString, BString)>> {
    geometry(cx, pathordevice)
}

fn geometry(cx: &Ctx, of: &DeviceOrPath) -> Result<Vec<(BString, BString)>> {
    let tool = match of {
        DeviceOrPath::Device(device) => {
            must_hold(device, XFS)?;
            // Unlike xfs_info, which is a script, it needs no other program.
            Tool::new("xfs_db").args(["-r", "-p", "xfs_info", "-c", "info"]).arg(device.path())
        }
        DeviceOrPath::Path(path) => {
            let at = mount_point(cx, path)?;
            Tool::new("xfs_growfs").args(["-p", "xfs_info", "-n"]).arg(at)
        }
    };
    let mut pairs = parse(&tool.text()?);
    for (_, value) in pairs.iter_mut().filter(|(_, value)| value.starts_with(b"/dev/")) {
        *value = cx.api_name(value)?;
    }
    Ok(pairs)
}

/// Where the appliance has an XFS, for programs that look it up in the list of what is mounted.
fn mount_point(cx: &Ctx, path: &GuestPath) -> Result<PathBuf> {
    let directory = cx.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let is_xfs = fstatfs(&directory).about(path)?.f_type == MAGIC;
    let record = statx(&directory, "", AtFlags::EMPTY_PATH, StatxFlags::empty()).about(path)?;
    if !is_xfs || !record.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Err(Error::invalid(path, "not where an XFS filesystem is mounted"));
    }
    let at = rustix::fs::readlink(cx.proc_fd(&directory), Vec::new()).about(path)?;
    Ok(at.as_bytes().to_path_lossy().into_owned())
}

/// Lines such as "data     =                       bsize=4096   blocks=81888, imaxpct=25" and
/// "log      =internal log           bsize=4096".  One without the name of a part goes on with the
/// last one.
fn parse(text: &str) -> Vec<(BString, BString)> {
    let mut pairs = Vec::new();
    let mut part = "";
    for (left, right) in text.lines().filter_map(|line| line.split_once('=')) {
        let mut values = right;
        if !left.trim().is_empty() {
            part = left.trim();
            // The name of a device may be so long that only one blank is left behind it.
            let (place, rest) = match right.find(" isize=") {
                Some(end) => right.split_at(end),
                None => right.split_once("  ").unwrap_or((right, "")),
            };
            match place.trim() {
                "" => {}
                // The only value that is in the place of one.
                place => match place.strip_prefix("version ") {
                    Some(version) => pairs.push((format!("{part}.version").into(), version.into())),
                    None => pairs.push((part.into(), place.into())),
                },
            }
            values = rest;
        }
        // Words without a value are units.
        for (name, value) in values.split_whitespace().filter_map(|word| word.split_once('=')) {
            pairs.push((format!("{part}.{name}").into(), value.trim_end_matches(',').into()));
        }
    }
    pairs
}

pub(crate) fn xfs_growfs(cx: &mut Ctx, path: &GuestPath, options: XfsGrowfsOptions) -> Result<()> {
    let mut tool = Tool::new("xfs_growfs");
    for (value, flag) in [(options.datasec, "-d"), (options.logsec, "-l"), (options.rtsec, "-r")] {
        if value == Some(true) {
            tool = tool.arg(flag);
        }
    }
    for (name, value, flag) in [
        ("datasize", options.datasize, "-D"),
        ("logsize", options.logsize, "-L"),
        ("rtsize", options.rtsize, "-R"),
        ("rtextsize", options.rtextsize, "-e"),
        ("maxpct", options.maxpct.map(i64::from), "-m"),
    ] {
        if let Some(value) = not_negative(name, value)? {
            tool = tool.arg(flag).arg(value.to_string());
        }
    }
    if options.maxpct.is_some_and(|it| it > 100) {
        return Err(Error::invalid("maxpct", "more than 100"));
    }
    tool.arg(mount_point(cx, path)?).run().map_err(|err| match &err {
        Error::Tool { stderr, .. } if stderr.contains("Read-only") => Error::sys(path, Errno::ROFS),
        Error::Tool { stderr, .. } => match stderr.lines().find(is_mistake) {
            Some(line) => Error::invalid(path, line.trim()),
            None => err,
        },
        _ => err,
    })
}

/// Whether the program says of a number that it is not possible.
fn is_mistake(line: &&str) -> bool {
    line.contains(" too ") || line.contains("Invalid argument")
}

fn not_negative(name: &str, value: Option<i64>) -> Result<Option<i64>> {
    match value {
        Some(value @ ..0) => Err(Error::invalid(name, format_args!("{value} is negative"))),
        value => Ok(value),
    }
}

pub(crate) fn xfs_admin(cx: &mut Ctx, device: &Device, options: XfsAdminOptions) -> Result<()> {
    must_hold(device, XFS)?;
    device.open(OFlags::RDWR | OFlags::EXCL)?;
    for (value, feature) in [
        (options.extunwritten, "extflg"),
        (options.v2log, "log2"),
        (options.projid32bit, "projid32bit"),
    ] {
        if value == Some(true) {
            xfs_db(device, &options, &format!("version {feature}"))?;
        }
    }
    if let Some(lazy) = options.lazycounter {
        let setting = format!("lazycount={}", i32::from(lazy));
        if !lazy && has_checksums(device)? {
            let why = "always true with checksums of metadata";
            return Err(Error::invalid("lazycounter", why));
        }
        Tool::new("xfs_repair").args(["-c", &setting]).arg(device.path()).run()?;
    }
    if let Some(label) = &options.label {
        let label = if label == "--" { b"".as_bstr() } else { label.as_bstr() };
        let mountable = Mountable { device: device.clone(), subvolume: None };
        set_label(cx, &mountable, label)?;
    }
    match &options.uuid {
        Some(word) if UUIDS.iter().any(|it| word == it) => {
            xfs_db(device, &options, &format!("uuid {word}"))
        }
        Some(uuid) => set_uuid(cx, device, uuid.as_bstr()),
        None => Ok(()),
    }
}

fn xfs_db(device: &Device, options: &XfsAdminOptions, command: &str) -> Result<()> {
    let tool = Tool::new("xfs_db").args(["-x", "-p", "xfs_admin", "-c", command]);
    let tool = if options.imgfile == Some(true) { tool.arg("-f") } else { tool };
    tool.arg(device.path()).run()
}

/// Only the fifth version of the format has them.
fn has_checksums(device: &Device) -> Result<bool> {
    let version = device.open(OFlags::RDONLY)?.bytes(100, 2).about(device)?;
    Ok(version.is_some_and(|it| it.be16(0) & 0xf == 5))
}

pub(crate) fn xfs_repair(
    cx: &mut Ctx,
    device: &DeviceOrPath,
    options: XfsRepairOptions,
) -> Result<i32> {
    let mut tool = Tool::new("xfs_repair");
    for (value, flag) in
        [(options.forcelogzero, "-L"), (options.nomodify, "-n"), (options.noprefetch, "-P")]
    {
        if value == Some(true) {
            tool = tool.arg(flag);
        }
    }
    if options.forcegeometry == Some(true) {
        tool = tool.args(["-o", "force_geometry"]);
    }
    if let Some(memory) = not_negative("maxmem", options.maxmem)? {
        tool = tool.arg("-m").arg(memory.to_string());
    }
    // The program had an option for it once.
    not_negative("ihashsize", options.ihashsize)?;
    for (name, value, word) in
        [("bhashsize", options.bhashsize, "bhash"), ("agstride", options.agstride, "ag_stride")]
    {
        if let Some(value) = not_negative(name, value)? {
            tool = tool.arg("-o").arg(format!("{word}={value}"));
        }
    }
    for (name, value, flag) in [("logdev", &options.logdev, "-l"), ("rtdev", &options.rtdev, "-r")]
    {
        if let Some(value) = value {
            tool = tool.arg(flag).arg(cx.device(name, value)?.path());
        }
    }
    let tool = match device {
        DeviceOrPath::Device(device) => {
            // Looking is as little to be trusted as repair while somebody writes.
            device.open(OFlags::RDONLY | OFlags::EXCL)?;
            tool.arg(device.path())
        }
        DeviceOrPath::Path(path) => {
            let image = cx.open_regular(path, OFlags::RDWR, Mode::empty())?;
            tool.arg("-f").arg_fd(image)
        }
    };
    match tool.run() {
        Ok(()) => Ok(0),
        Err(Error::Tool { status, program, stderr }) => match status.code() {
            Some(code @ 1) if options.nomodify == Some(true) => Ok(code),
            _ => Err(Error::Tool { status, program, stderr }),
        },
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry_as_it_is_printed() {
        let text = "\
meta-data=/dev/sda1              isize=512    agcount=4, agsize=20472 blks
         =                       sectsz=512   attr=2, projid32bit=1
         =                       reflink=1    bigtime=1 inobtcount=1 nrext64=0
data     =                       bsize=4096   blocks=81888, imaxpct=25
         =                       sunit=0      swidth=0 blks
naming   =version 2              bsize=4096   ascii-ci=0, ftype=1
log      =internal log           bsize=4096   blocks=16384, version=2
         =                       sectsz=512   sunit=0 blks, lazy-count=1
realtime =none                   extsz=4096   blocks=0, rtextents=0
";
        let pairs: Vec<_> =
            parse(text).iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = "meta-data=/dev/sda1 meta-data.isize=512 meta-data.agcount=4 \
            meta-data.agsize=20472 meta-data.sectsz=512 meta-data.attr=2 \
            meta-data.projid32bit=1 meta-data.reflink=1 meta-data.bigtime=1 \
            meta-data.inobtcount=1 meta-data.nrext64=0 data.bsize=4096 data.blocks=81888 \
            data.imaxpct=25 data.sunit=0 data.swidth=0 naming.version=2 naming.bsize=4096 \
            naming.ascii-ci=0 naming.ftype=1 log=internal log log.bsize=4096 log.blocks=16384 \
            log.version=2 log.sectsz=512 log.sunit=0 log.lazy-count=1 realtime=none \
            realtime.extsz=4096 realtime.blocks=0 realtime.rtextents=0";
        assert_eq!(pairs.join(" "), expected);
    }
}
