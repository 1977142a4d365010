// SPDX-License-Identifier: LGPL-2.1-or-later
//! All that mke2fs can be told.

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::OFlags;

use super::any_uuid;
use crate::block::Device;
use crate::ctx::Ctx;
use crate::device::{findfs_label, findfs_uuid};
use crate::error::{Error, Result};
use crate::filesystem::{EXT, check_label, clear_edges};
use crate::generated::Mke2fsOptions;
use crate::partition;
use crate::system;
use crate::tool::Tool;

/// Describes kinds of filesystems.
const TYPES: &str = "/etc/mke2fs.conf";

/// Arguments of the program, as they are put together.
#[derive(Default)]
struct Arguments {
    words: Vec<BString>,
    /// What belongs to one `-E` and one `-O`.
    extended: Vec<String>,
    features: Vec<String>,
    /// Only the description of the filesystem is written, and the rest is to stay.
    keeps_content: bool,
    /// Not even a device that is in use is refused.
    forced: bool,
}

impl Arguments {
    fn word(&mut self, flag: &str, value: impl AsRef<[u8]>) {
        self.words.extend([flag.into(), value.as_ref().into()]);
    }

    fn text(&mut self, flag: &str, value: Option<&BString>) {
        if let Some(value) = value {
            self.word(flag, value);
        }
    }

    /// A number that is not less than `least`.
    fn number(&mut self, name: &str, flag: &str, value: Option<i64>, least: i64) -> Result<()> {
        if let Some(value) = checked(name, value, least)? {
            self.word(flag, value.to_string());
        }
        Ok(())
    }

    fn blocksize(&mut self, value: Option<i64>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        if !(1024..=65536).contains(&value) || value.count_ones() != 1 {
            let why = format!("{value} is not a power of two from 1024 to 65536");
            return Err(Error::invalid("blocksize", why));
        }
        self.word("-b", value.to_string());
        Ok(())
    }

    /// The program takes every word, and does as if it was not there.
    fn fstype(&mut self, fstype: Option<&BStr>) -> Result<()> {
        let Some(fstype) = fstype else { return Ok(()) };
        if !describes(&system::read(TYPES)?, fstype) {
            return Err(Error::invalid("fstype", format_args!("{fstype} is not in {TYPES}")));
        }
        self.word("-t", fstype);
        Ok(())
    }

    fn label(&mut self, label: Option<&BStr>) -> Result<()> {
        let Some(label) = label else { return Ok(()) };
        check_label("ext4", label)?;
        self.word("-L", label);
        Ok(())
    }

    fn uuid(&mut self, uuid: Option<&BStr>) -> Result<()> {
        let Some(uuid) = uuid else { return Ok(()) };
        self.word("-U", any_uuid(uuid)?);
        Ok(())
    }

    /// The journal is on another device.
    fn journal(&mut self, device: &Device) {
        self.word("-J", format!("device={}", device.path().display()));
    }

    fn extended(&mut self, name: &str, word: &str, value: Option<i64>, least: i64) -> Result<()> {
        if let Some(value) = checked(name, value, least)? {
            self.extended.push(format!("{word}={value}"));
        }
        Ok(())
    }

    fn feature(&mut self, name: &str, value: Option<bool>) {
        match value {
            Some(true) => self.features.push(name.into()),
            Some(false) => self.features.push(format!("^{name}")),
            None => {}
        }
    }

    fn tool(&self) -> Tool {
        let mut tool = Tool::new("mke2fs").args(["-F", "-q"]);
        if self.forced {
            tool = tool.arg("-F");
        }
        for word in &self.words {
            tool = tool.arg_bytes(word);
        }
        for (flag, list) in [("-E", &self.extended), ("-O", &self.features)] {
            if !list.is_empty() {
                tool = tool.arg(flag).arg(list.join(","));
            }
        }
        tool
    }

    fn run(self, device: &Device, blocks: Option<i64>) -> Result<()> {
        let blocks = checked("blockscount", blocks, 1)?;
        let mut tool = self.tool().arg(device.path());
        if let Some(blocks) = blocks {
            tool = tool.arg(blocks.to_string());
        }
        if !self.forced {
            device.open(OFlags::RDWR | OFlags::EXCL)?;
        }
        if !self.forced && !self.keeps_content {
            clear_edges(device)?;
            partition::forget(device)?;
        }
        tool.run().map_err(explain)
    }
}

/// Whether the file has a paragraph "fstype = { ... }".
fn describes(types: &[u8], fstype: &BStr) -> bool {
    let name = |line: &[u8]| Some(line.split_once_str("=")?.0.trim_ascii() == fstype.as_bytes());
    EXT.fstypes.iter().any(|it| fstype == it)
        || types.lines().any(|line| line.trim_ascii().ends_with(b"{") && name(line) == Some(true))
}

/// What the program knows better than this module is the caller's mistake all the same.
fn explain(err: Error) -> Error {
    let complaint = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.contains("invalid") || line.contains("unknown") || line.contains("bad ")
    };
    match &err {
        Error::Tool { stderr, .. } => match stderr.lines().find(complaint) {
            Some(line) => Error::invalid("mke2fs", line.trim_start_matches("mke2fs:").trim()),
            None => err,
        },
        _ => err,
    }
}

fn checked(name: &str, value: Option<i64>, least: i64) -> Result<Option<i64>> {
    match value {
        Some(value) if value < least => {
            Err(Error::invalid(name, format_args!("{value} is less than {least}")))
        }
        value => Ok(value),
    }
}

pub(crate) fn mke2fs(cx: &mut Ctx, device: &Device, options: Mke2fsOptions) -> Result<()> {
    let mut arguments = arguments(&options)?;
    if let Some(journal) = &options.journaldevice {
        arguments.journal(&find_journal(cx, journal)?);
    }
    arguments.run(device, options.blockscount)
}

fn arguments(options: &Mke2fsOptions) -> Result<Arguments> {
    let mut it = Arguments {
        keeps_content: options.writesbandgrouponly == Some(true),
        forced: options.forcecreate == Some(true),
        ..Arguments::default()
    };
    it.blocksize(options.blocksize)?;
    // The program had an option for it once.
    checked("fragsize", options.fragsize, 1024)?;
    it.number("blockspergroup", "-g", options.blockspergroup, 256)?;
    it.number("numberofgroups", "-G", options.numberofgroups, 1)?;
    it.number("bytesperinode", "-i", options.bytesperinode, 1024)?;
    it.number("inodesize", "-I", options.inodesize, 128)?;
    if let Some(size) = checked("journalsize", options.journalsize, 1)? {
        it.word("-J", format!("size={size}"));
    }
    it.number("numberofinodes", "-N", options.numberofinodes, 1)?;
    it.extended("stridesize", "stride", options.stridesize, 1)?;
    it.extended("stripewidth", "stripe_width", options.stripewidth, 1)?;
    it.extended("maxonlineresize", "resize", options.maxonlineresize, 1)?;
    let percentage = options.reservedblockspercentage.map(i64::from);
    if percentage.is_some_and(|it| it > 50) {
        return Err(Error::invalid("reservedblockspercentage", "more than 50"));
    }
    it.number("reservedblockspercentage", "-m", percentage, 0)?;
    let interval = options.mmpupdateinterval.map(i64::from);
    it.extended("mmpupdateinterval", "mmp_update_interval", interval, 0)?;
    it.label(options.label.as_ref().map(|it| it.as_bstr()))?;
    it.text("-M", options.lastmounteddir.as_ref());
    it.text("-o", options.creatoros.as_ref());
    it.fstype(options.fstype.as_ref().map(|it| it.as_bstr()))?;
    it.text("-T", options.usagetype.as_ref());
    it.uuid(options.uuid.as_ref().map(|it| it.as_bstr()))?;
    if it.keeps_content {
        it.words.push("-S".into());
    }
    for (word, value) in [
        ("lazy_itable_init", options.lazyitableinit),
        ("lazy_journal_init", options.lazyjournalinit),
    ] {
        if let Some(value) = value {
            it.extended.push(format!("{word}={}", i32::from(value)));
        }
    }
    if options.testfs == Some(true) {
        it.extended.push("test_fs".into());
    }
    // The program would discard even what it is to keep.
    if let Some(discard) = options.discard.or(it.keeps_content.then_some(false)) {
        it.extended.push(if discard { "discard" } else { "nodiscard" }.into());
    }
    if let Some(users) = options.quotatype {
        it.extended.push(format!("quotatype={}", if users { "usrquota" } else { "grpquota" }));
    }
    it.feature("extent", options.extent);
    it.feature("filetype", options.filetype);
    it.feature("flex_bg", options.flexbg);
    it.feature("has_journal", options.hasjournal);
    it.feature("journal_dev", options.journaldev);
    it.feature("large_file", options.largefile);
    it.feature("quota", options.quota);
    it.feature("resize_inode", options.resizeinode);
    it.feature("sparse_super", options.sparsesuper);
    it.feature("uninit_bg", options.uninitbg);
    Ok(it)
}

/// The device that the caller means by its name, label or UUID.
fn find_journal(cx: &mut Ctx, journal: &BString) -> Result<Device> {
    let name = if let Some(label) = journal.strip_prefix(b"LABEL=") {
        findfs_label(cx, label.into())?
    } else if let Some(uuid) = journal.strip_prefix(b"UUID=") {
        findfs_uuid(cx, uuid.into())?
    } else {
        journal.clone()
    };
    cx.device("journaldevice", &name)
}

pub(crate) fn mke2fs_j(
    _: &mut Ctx,
    fstype: &BStr,
    blocksize: i32,
    device: &Device,
    journal: &Device,
) -> Result<()> {
    with_journal(fstype, blocksize, device, journal)
}

pub(crate) fn mke2fs_jl(
    cx: &mut Ctx,
    fstype: &BStr,
    blocksize: i32,
    device: &Device,
    label: &BStr,
) -> Result<()> {
    let name = findfs_label(cx, label)?;
    let journal = cx.device("label", &name)?;
    with_journal(fstype, blocksize, device, &journal)
}

pub(crate) fn mke2fs_ju(
    cx: &mut Ctx,
    fstype: &BStr,
    blocksize: i32,
    device: &Device,
    uuid: &BStr,
) -> Result<()> {
    let uuid = crate::filesystem::parse_uuid(uuid)?;
    let name = findfs_uuid(cx, uuid.as_str().into())?;
    let journal = cx.device("uuid", &name)?;
    with_journal(fstype, blocksize, device, &journal)
}

fn with_journal(fstype: &BStr, blocksize: i32, device: &Device, journal: &Device) -> Result<()> {
    let mut arguments = Arguments::default();
    arguments.blocksize(Some(blocksize.into()))?;
    arguments.fstype(Some(fstype))?;
    arguments.journal(journal);
    arguments.run(device, None)
}

pub(crate) fn mke2journal(_: &mut Ctx, blocksize: i32, device: &Device) -> Result<()> {
    journal(blocksize, device, None, None)
}

pub(crate) fn mke2journal_l(
    _: &mut Ctx,
    blocksize: i32,
    label: &BStr,
    device: &Device,
) -> Result<()> {
    journal(blocksize, device, Some(label), None)
}

pub(crate) fn mke2journal_u(
    _: &mut Ctx,
    blocksize: i32,
    uuid: &BStr,
    device: &Device,
) -> Result<()> {
    let uuid = crate::filesystem::parse_uuid(uuid)?;
    journal(blocksize, device, None, Some(uuid.as_str().into()))
}

fn journal(
    blocksize: i32,
    device: &Device,
    label: Option<&BStr>,
    uuid: Option<&BStr>,
) -> Result<()> {
    let mut arguments = Arguments::default();
    arguments.blocksize(Some(blocksize.into()))?;
    arguments.label(label)?;
    arguments.uuid(uuid)?;
    arguments.feature("journal_dev", Some(true));
    arguments.run(device, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let mut it = Arguments { forced: true, ..Arguments::default() };
        it.blocksize(Some(1024)).unwrap();
        it.label(Some("A B".into())).unwrap();
        it.uuid(Some("random".into())).unwrap();
        it.journal(&Device::fake("/dev/sdb"));
        it.extended("stridesize", "stride", Some(16), 1).unwrap();
        it.extended("stripewidth", "stripe_width", Some(32), 1).unwrap();
        it.feature("quota", Some(true));
        it.feature("extent", Some(false));
        it.feature("filetype", None);
        let expected = "mke2fs -F -q -F -b 1024 -L 'A B' -U random -J device=/dev/sdb \
            -E stride=16,stripe_width=32 -O quota,^extent";
        assert_eq!(it.tool().to_string(), expected);
    }

    #[test]
    fn mistakes() {
        #[track_caller]
        fn check(result: Result<()>, expected: &str) {
            assert_eq!(result.unwrap_err().to_string(), expected);
        }
        let mut it = Arguments::default();
        let error = "blocksize: 1000 is not a power of two from 1024 to 65536";
        check(it.blocksize(Some(1000)), error);
        check(it.number("inodesize", "-I", Some(-1), 128), "inodesize: -1 is less than 128");
        check(it.uuid(Some("x".into())), "uuid: x is not a UUID");
        let types = b"[defaults]\n\tblocksize = 4096\n[fs_types]\n\text4 = {\n\t}\n\tnews = {\n";
        let described =
            ["ext2", "news", "blocksize", "x", ""].map(|it| describes(types, it.into()));
        assert_eq!(described, [true, true, false, false, false]);
    }
}
