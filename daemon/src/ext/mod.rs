// SPDX-License-Identifier: LGPL-2.1-or-later
//! Filesystems of the ext2 family, by the programs of e2fsprogs.

mod attributes;
mod make;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::OFlags;

pub(crate) use self::attributes::{
    get_e2attrs, get_e2generation, mklost_and_found, set_e2attrs, set_e2generation,
};
pub(crate) use self::make::{
    mke2fs, mke2fs_j, mke2fs_jl, mke2fs_ju, mke2journal, mke2journal_l, mke2journal_u,
};
use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::bytes::ReadAt;
use crate::filesystem::{EXT, must_hold, parse_uuid};
use crate::generated::{E2fsckOptions, Tune2fsOptions};
use crate::tool::Tool;

/// The bit of the exit code of e2fsck that says that there still are errors.
const NOT_REPAIRED: i32 = 4;

/// What is put in the place of a UUID to have another one.
const UUIDS: [&str; 3] = ["clear", "random", "time"];

pub(crate) fn get_e2label(_: &mut Ctx, device: &Device) -> Result<BString> {
    Ok(must_hold(device, EXT)?.label.unwrap_or_default())
}

pub(crate) fn get_e2uuid(_: &mut Ctx, device: &Device) -> Result<BString> {
    Ok(must_hold(device, EXT)?.uuid.unwrap_or_default().into())
}

pub(crate) fn set_e2label(cx: &mut Ctx, device: &Device, label: &BStr) -> Result<()> {
    must_hold(device, EXT)?;
    let mountable = crate::block::Mountable { device: device.clone(), subvolume: None };
    crate::filesystem::set_label(cx, &mountable, label)
}

pub(crate) fn set_e2uuid(_: &mut Ctx, device: &Device, uuid: &BStr) -> Result<()> {
    let uuid = any_uuid(uuid)?;
    must_hold(device, EXT)?;
    device.open(OFlags::RDONLY | OFlags::EXCL)?;
    Tool::new("tune2fs").args(["-U", &uuid]).arg(device.path()).run()
}

/// A UUID, or one of the words that stand for another one.
fn any_uuid(uuid: &BStr) -> Result<String> {
    match UUIDS.into_iter().find(|word| uuid == word) {
        Some(word) => Ok(word.into()),
        None => parse_uuid(uuid),
    }
}

pub(crate) fn e2fsck(_: &mut Ctx, device: &Device, options: E2fsckOptions) -> Result<()> {
    let answers = [
        ("correct", options.correct, "-p"),
        ("forceall", options.forceall, "-y"),
        ("forceno", options.forceno, "-n"),
    ];
    let mut given = answers.iter().filter(|(_, value, _)| *value == Some(true));
    let answer = match (given.next(), given.next()) {
        (None, _) => "-n",
        (Some((.., flag)), None) => flag,
        (Some(_), Some((name, ..))) => {
            return Err(Error::invalid(name, "only one of the options can be given"));
        }
    };
    // Exclusively: it must not be mounted.
    device.open(OFlags::RDONLY | OFlags::EXCL)?;
    let tool = Tool::new("e2fsck").args(["-f", answer]).arg(device.path());
    match tool.run() {
        Err(Error::Tool { status, program, stderr }) => match status.code() {
            // It was repaired, and a system that had booted from it should boot again.
            Some(1..NOT_REPAIRED) => Ok(()),
            Some(code) if code < 2 * NOT_REPAIRED => {
                Err(Error::refused(Errno::IO, device, "there are errors that were not repaired"))
            }
            _ => Err(Error::Tool { program, status, stderr }),
        },
        result => result,
    }
}

pub(crate) fn e2fsck_f(cx: &mut Ctx, device: &Device) -> Result<()> {
    e2fsck(cx, device, E2fsckOptions { correct: Some(true), forceall: None, forceno: None })
}

pub(crate) fn resize2fs(_: &mut Ctx, device: &Device) -> Result<()> {
    must_hold(device, EXT)?;
    Tool::new("resize2fs").arg(device.path()).run()
}

pub(crate) fn resize2fs_m(_: &mut Ctx, device: &Device) -> Result<()> {
    must_hold(device, EXT)?;
    device.open(OFlags::RDONLY | OFlags::EXCL)?;
    Tool::new("resize2fs").arg("-M").arg(device.path()).run()
}

pub(crate) fn resize2fs_size(_: &mut Ctx, device: &Device, size: i64) -> Result<()> {
    must_hold(device, EXT)?;
    let largest = device.open(OFlags::RDONLY)?.size().about(device)?;
    if !u64::try_from(size).is_ok_and(|size| (1..=largest).contains(&size)) {
        return Err(Error::invalid("size", format_args!("{size} is not from 1 to {largest}")));
    }
    let is_mounted = || device.open(OFlags::RDONLY | OFlags::EXCL).is_err();
    // Without a unit it would be in blocks, and sectors are the smallest unit.
    let tool = Tool::new("resize2fs").arg(device.path()).arg(format!("{}s", size / 512));
    tool.run().map_err(|err| match &err {
        Error::Tool { stderr, .. } if stderr.contains("smaller than minimum") => {
            Error::refused(Errno::NOSPC, "size", format_args!("{size} is too little"))
        }
        Error::Tool { stderr, .. } if stderr.contains("shrinking") && is_mounted() => {
            Error::refused(Errno::BUSY, device, "a mounted filesystem cannot shrink")
        }
        _ => err,
    })
}

pub(crate) fn tune2fs(_: &mut Ctx, device: &Device, options: Tune2fsOptions) -> Result<()> {
    let arguments = tune(&options)?;
    must_hold(device, EXT)?;
    match arguments.is_empty() {
        // Without any, the program explains itself.
        true => Ok(()),
        false => {
            let tool = Tool::new("tune2fs");
            arguments.iter().fold(tool, |tool, it| tool.arg_bytes(it)).arg(device.path()).run()
        }
    }
}

fn tune(options: &Tune2fsOptions) -> Result<Vec<BString>> {
    let numbers = [
        ("maxmountcount", options.maxmountcount.map(i64::from), "-c", -1..=i64::from(u16::MAX)),
        ("mountcount", options.mountcount.map(i64::from), "-C", 0..=i64::from(u16::MAX)),
        ("group", options.group, "-g", 0..=i64::from(u32::MAX)),
        ("intervalbetweenchecks", options.intervalbetweenchecks.map(i64::from), "-i", 0..=i64::MAX),
        ("reservedblockspercentage", options.reservedblockspercentage.map(i64::from), "-m", 0..=50),
        ("reservedblockscount", options.reservedblockscount, "-r", 0..=i64::MAX),
        ("user", options.user, "-u", 0..=i64::from(u32::MAX)),
    ];
    let mut arguments = Vec::new();
    for (name, value, flag, range) in numbers {
        let Some(value) = value else { continue };
        if !range.contains(&value) {
            return Err(Error::invalid(name, format_args!("{value} is out of range")));
        }
        // An interval is in days, if not said otherwise.
        let unit = if flag == "-i" { "s" } else { "" };
        arguments.extend([flag.into(), format!("{value}{unit}").into()]);
    }
    if let Some(behavior) = &options.errorbehavior {
        arguments.extend(["-e".into(), behavior.clone()]);
    }
    if let Some(directory) = &options.lastmounteddirectory {
        if directory.len() > 63 {
            let why = "longer than the 63 bytes for it";
            return Err(Error::invalid("lastmounteddirectory", why));
        }
        arguments.extend(["-M".into(), directory.clone()]);
    }
    if options.force == Some(true) && !arguments.is_empty() {
        arguments.push("-f".into());
    }
    Ok(arguments)
}

pub(crate) fn tune2fs_l(_: &mut Ctx, device: &Device) -> Result<Vec<(BString, BString)>> {
    must_hold(device, EXT)?;
    Ok(listing(&Tool::new("tune2fs").arg("-l").arg(device.path()).stdout()?))
}

/// Lines such as "Filesystem state:         clean", below one with the version of the program.
fn listing(text: &[u8]) -> Vec<(BString, BString)> {
    let pair = |line: &[u8]| {
        let (name, value) = line.split_once_str(":")?;
        let value = match value.trim_ascii() {
            b"<none>" | b"(none)" | b"<not available>" => b"",
            value => value,
        };
        Some((name.trim_ascii().into(), value.into()))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superblocks() {
        let text = b"tune2fs 1.47.0 (5-Feb-2023)\n\
            Filesystem volume name:   <none>\n\
            Last mounted on:          /a:b\n\
            Inode size:\t          256\n";
        let pairs: Vec<_> =
            listing(text).iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = ["Filesystem volume name=", "Last mounted on=/a:b", "Inode size=256"];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn tuning() {
        let none = || Tune2fsOptions {
            force: None,
            maxmountcount: None,
            mountcount: None,
            errorbehavior: None,
            group: None,
            intervalbetweenchecks: None,
            reservedblockspercentage: None,
            lastmounteddirectory: None,
            reservedblockscount: None,
            user: None,
        };
        #[track_caller]
        fn check(options: Tune2fsOptions, expected: &str) {
            let got = tune(&options)
                .map_or_else(|err| err.to_string(), |it| bstr::join(" ", it).as_bstr().to_string());
            assert_eq!(got, expected);
        }
        check(none(), "");
        let all = Tune2fsOptions {
            force: Some(true),
            maxmountcount: Some(-1),
            intervalbetweenchecks: Some(86400),
            errorbehavior: Some("panic".into()),
            user: Some(1000),
            ..none()
        };
        check(all, "-c -1 -i 86400s -u 1000 -e panic -f");
        let options = Tune2fsOptions { reservedblockspercentage: Some(51), ..none() };
        check(options, "reservedblockspercentage: 51 is out of range");
        let options = Tune2fsOptions { mountcount: Some(-1), ..none() };
        check(options, "mountcount: -1 is out of range");
    }
}
