// SPDX-License-Identifier: LGPL-2.1-or-later
//! Partition tables, read and written without the help of a program.

mod gpt;
mod identity;
mod kernel;
mod mbr;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bstr::{BStr, BString, ByteSlice};
use guestfs_protocol::Partition;
use rustix::fs::OFlags;

use self::gpt::{EFI_SYSTEM, Gpt, Guid, LINUX, guid_text};
pub(crate) use self::identity::{
    part_get_disk_guid, part_get_gpt_attributes, part_get_gpt_guid, part_get_gpt_type,
    part_get_mbr_part_type, part_get_name, part_set_name,
};
pub(crate) use self::kernel::{disks, node};
use self::mbr::Mbr;
use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::bytes::ReadAt;
use crate::random::random;

/// Where the partition of `part_disk` begins, and how far from the end it ends.
const MARGIN: i64 = 128;

/// Names of tables that this module has no code for.
const FOREIGN: &[&str] = &["aix", "amiga", "bsd", "dasd", "dvh", "mac", "pc98", "rdb", "sun"];

/// A piece of the disk, in sectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    number: u32,
    start: u64,
    n_sectors: u64,
    /// Whether it is there to hold other partitions.
    is_container: bool,
}

/// Bytes to be written to the disk.
#[derive(Debug, PartialEq, Eq)]
struct Write {
    offset: u64,
    bytes: Vec<u8>,
}

/// What kind of partition is to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Primary,
    Logical,
    Extended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Table {
    Mbr(Mbr),
    Gpt(Gpt),
}

impl Table {
    fn read(disk: &impl ReadAt, sector_size: u64) -> io::Result<Option<Self>> {
        let Some(mbr) = Mbr::read(disk, sector_size)? else { return Ok(None) };
        if mbr.is_protective()
            && let Some(gpt) = Gpt::read(disk, sector_size)?
        {
            return Ok(Some(Self::Gpt(gpt)));
        }
        Ok(Some(Self::Mbr(mbr)))
    }

    fn slices(&self) -> Vec<Slice> {
        match self {
            Self::Mbr(mbr) => mbr.slices(),
            Self::Gpt(gpt) => gpt.slices(),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Mbr(_) => "msdos",
            Self::Gpt(_) => "gpt",
        }
    }

    fn has(&self, number: u32) -> bool {
        self.slices().iter().any(|it| it.number == number)
    }

    fn delete(&mut self, number: u32) -> bool {
        match self {
            Self::Mbr(mbr) => mbr.delete(number),
            Self::Gpt(gpt) => gpt.delete(number),
        }
    }

    /// What makes the table on the disk this one.
    fn writes(&self) -> Vec<Write> {
        match self {
            Self::Mbr(mbr) => mbr.writes(),
            Self::Gpt(gpt) => gpt.writes(),
        }
    }
}

/// An opened disk.
struct OpenDisk<'a> {
    device: &'a Device,
    file: File,
    sector_size: u64,
    n_sectors: u64,
}

impl<'a> OpenDisk<'a> {
    fn new(device: &'a Device, flags: OFlags) -> Result<Self> {
        let file = device.open(flags)?;
        let sector_size = u64::from(rustix::fs::ioctl_blksszget(&file).about(device)?);
        let n_sectors = file.size().about(device)? / sector_size;
        Ok(Self { device, file, sector_size, n_sectors })
    }

    fn table(&self) -> Result<Table> {
        Table::read(&self.file, self.sector_size)
            .about(self.device)?
            .ok_or_else(|| Error::refused(Errno::NODATA, self.device, "has no partition table"))
    }

    /// The table, if it has that partition.
    fn table_with(&self, partnum: i32) -> Result<(Table, u32)> {
        let number = partition_number(partnum)?;
        let table = self.table()?;
        if !table.has(number) {
            let why = format!("has no partition {number}");
            return Err(Error::refused(Errno::NOENT, self.device, why));
        }
        Ok((table, number))
    }

    fn write(&self, writes: &[Write]) -> Result<()> {
        for Write { offset, bytes } in writes {
            self.file.write_all_at(bytes, *offset).about(self.device)?;
        }
        self.file.sync_all().about(self.device)
    }

    /// Writes a changed table and tells the kernel.
    fn replace(&self, table: &Table) -> Result<()> {
        self.write(&table.writes())?;
        kernel::reread(self.device, &self.file, &table.slices(), self.sector_size)
    }
}

pub(crate) fn list_partitions(cx: &mut Ctx) -> Result<Vec<BString>> {
    let mut names = Vec::new();
    for disk in disks(cx)? {
        for number in &disk.partitions {
            names.push(cx.api_name(&disk.partition(*number))?);
        }
    }
    Ok(names)
}

pub(crate) fn part_init(_: &mut Ctx, device: &Device, parttype: &BStr) -> Result<()> {
    init(device, parttype).map(drop)
}

fn init<'a>(device: &'a Device, parttype: &BStr) -> Result<OpenDisk<'a>> {
    let is_gpt = is_gpt(parttype)?;
    // Exclusively: nothing of the disk may be in use.
    let disk = OpenDisk::new(device, OFlags::RDWR | OFlags::EXCL)?;
    let (sector_size, n_sectors) = (disk.sector_size, disk.n_sectors);
    let too_small = || Error::invalid(device, "too small for a partition table");
    let writes = if is_gpt {
        Gpt::create(sector_size, n_sectors, random_guid()?).ok_or_else(too_small)?
    } else if n_sectors > 1 {
        Mbr::create(sector_size, n_sectors, u32::from_ne_bytes(random()?))
    } else {
        return Err(too_small());
    };
    disk.write(&writes)?;
    kernel::reread(device, &disk.file, &[], sector_size)?;
    Ok(disk)
}

/// Makes the kernel forget the partitions of a disk that something else is written to.
pub(crate) fn forget(device: &Device) -> Result<()> {
    if kernel::partition_of(device).is_some() {
        return Ok(());
    }
    let disk = OpenDisk::new(device, OFlags::RDONLY)?;
    kernel::reread(device, &disk.file, &[], disk.sector_size)
}

/// Whether the table is a GPT; otherwise it is an MBR.
fn is_gpt(parttype: &BStr) -> Result<bool> {
    match parttype.as_bytes() {
        b"gpt" | b"efi" => Ok(true),
        b"mbr" | b"msdos" => Ok(false),
        _ if FOREIGN.iter().any(|name| parttype == name) => {
            Err(Error::unsupported(format_args!("partition table {parttype}")))
        }
        _ => Err(Error::invalid("parttype", format_args!("{parttype} is not a partition table"))),
    }
}

pub(crate) fn part_add(
    _: &mut Ctx,
    device: &Device,
    prlogex: &BStr,
    startsect: i64,
    endsect: i64,
) -> Result<()> {
    let kind = kind(prlogex)?;
    add(&OpenDisk::new(device, OFlags::RDWR)?, kind, startsect, endsect)
}

fn add(disk: &OpenDisk<'_>, kind: Kind, startsect: i64, endsect: i64) -> Result<()> {
    let (start, end) = sectors(startsect, endsect, disk.n_sectors)?;
    let mut table = disk.table()?;
    match &mut table {
        Table::Mbr(mbr) => mbr.add(kind, start, end)?,
        Table::Gpt(gpt) if kind == Kind::Primary => gpt.add(start, end, random_guid()?)?,
        Table::Gpt(_) => {
            return Err(Error::invalid("prlogex", "a GPT has only primary partitions"));
        }
    }
    disk.replace(&table)
}

fn kind(prlogex: &BStr) -> Result<Kind> {
    match prlogex.as_bytes() {
        b"p" | b"primary" => Ok(Kind::Primary),
        b"l" | b"logical" => Ok(Kind::Logical),
        b"e" | b"extended" => Ok(Kind::Extended),
        _ => {
            let why = format!("{prlogex} is not primary, logical or extended");
            Err(Error::invalid("prlogex", why))
        }
    }
}

/// The first and the last sector of a new partition.
fn sectors(startsect: i64, endsect: i64, n_sectors: u64) -> Result<(u64, u64)> {
    let outside = |arg, sector: i64| {
        let why = format!("{sector} is outside of the disk, which has {n_sectors} sectors");
        Error::invalid(arg, why)
    };
    let last = n_sectors.saturating_sub(1);
    let start = u64::try_from(startsect).map_err(|_| outside("startsect", startsect))?;
    let end = match u64::try_from(endsect) {
        Ok(end) => Some(end),
        Err(_) => n_sectors.checked_sub(endsect.unsigned_abs()),
    };
    let end = end.filter(|end| *end <= last).ok_or_else(|| outside("endsect", endsect))?;
    if start == 0 {
        return Err(Error::invalid("startsect", "the first sector holds the partition table"));
    }
    if end < start {
        return Err(Error::invalid("endsect", format!("{end} is before the start, {start}")));
    }
    Ok((start, end))
}

pub(crate) fn part_del(cx: &mut Ctx, device: &Device, partnum: i32) -> Result<()> {
    let disk = OpenDisk::new(device, OFlags::RDWR)?;
    let (before, number) = disk.table_with(partnum)?;
    let mut table = before.clone();
    table.delete(number);
    // With an extended partition others go too, and logical ones are numbered anew.
    let after = table.slices();
    for gone in before.slices().iter().filter(|it| !after.contains(it)) {
        let name = kernel::node(device.name(), gone.number);
        if let Ok(partition) = cx.device("partnum", &name) {
            partition.open(OFlags::RDONLY | OFlags::EXCL)?;
        }
    }
    disk.replace(&table)
}

pub(crate) fn part_disk(_: &mut Ctx, device: &Device, parttype: &BStr) -> Result<()> {
    let disk = init(device, parttype)?;
    add(&disk, Kind::Primary, MARGIN, -MARGIN)
}

pub(crate) fn part_list(_: &mut Ctx, device: &Device) -> Result<Vec<Partition>> {
    let disk = OpenDisk::new(device, OFlags::RDONLY)?;
    let describe = |it: Slice| {
        let (start, size) = (it.start * disk.sector_size, it.n_sectors * disk.sector_size);
        Partition {
            part_num: it.number as i32,
            part_start: start,
            part_end: start + size - 1,
            part_size: size,
        }
    };
    Ok(disk.table()?.slices().into_iter().map(describe).collect())
}

pub(crate) fn part_get_parttype(_: &mut Ctx, device: &Device) -> Result<BString> {
    Ok(OpenDisk::new(device, OFlags::RDONLY)?.table()?.name().into())
}

pub(crate) fn part_set_bootable(
    _: &mut Ctx,
    device: &Device,
    partnum: i32,
    bootable: bool,
) -> Result<()> {
    let disk = OpenDisk::new(device, OFlags::RDWR)?;
    let (mut table, number) = disk.table_with(partnum)?;
    match &mut table {
        Table::Mbr(mbr) => mbr.set_active(number, bootable),
        Table::Gpt(gpt) if bootable => gpt.set_kind(number, EFI_SYSTEM),
        Table::Gpt(gpt) if is_efi_system(gpt, number) => gpt.set_kind(number, LINUX),
        Table::Gpt(_) => {}
    }
    disk.replace(&table)
}

pub(crate) fn part_get_bootable(_: &mut Ctx, device: &Device, partnum: i32) -> Result<bool> {
    match OpenDisk::new(device, OFlags::RDONLY)?.table_with(partnum)? {
        (Table::Mbr(mbr), number) => Ok(mbr.entry(number).is_some_and(|it| it.is_active())),
        (Table::Gpt(gpt), number) => Ok(is_efi_system(&gpt, number)),
    }
}

fn is_efi_system(gpt: &Gpt, number: u32) -> bool {
    gpt.entry(number).is_some_and(|it| it.kind == EFI_SYSTEM)
}

pub(crate) fn part_set_mbr_id(
    _: &mut Ctx,
    device: &Device,
    partnum: i32,
    idbyte: i32,
) -> Result<()> {
    let id = match u8::try_from(idbyte) {
        Ok(id @ 1..) => id,
        _ => return Err(Error::invalid("idbyte", format!("{idbyte} is not from 1 to 255"))),
    };
    let disk = OpenDisk::new(device, OFlags::RDWR)?;
    let (mut table, number) = disk.table_with(partnum)?;
    match &mut table {
        Table::Mbr(mbr) => mbr.set_id(number, id),
        Table::Gpt(_) => return Err(lacks(device, &table, "type bytes")),
    }
    disk.replace(&table)
}

pub(crate) fn part_get_mbr_id(_: &mut Ctx, device: &Device, partnum: i32) -> Result<i32> {
    match OpenDisk::new(device, OFlags::RDONLY)?.table_with(partnum)? {
        (Table::Mbr(mbr), number) => Ok(mbr.entry(number).map_or(0, |it| it.id.into())),
        (table @ Table::Gpt(_), _) => Err(lacks(device, &table, "type bytes")),
    }
}

pub(crate) fn part_to_dev(cx: &mut Ctx, partition: &Device) -> Result<BString> {
    let (disk, _) = kernel::partition_of(partition).ok_or_else(|| not_a_partition(partition))?;
    cx.api_name(&[b"/dev/", disk.as_bytes()].concat())
}

pub(crate) fn part_to_partnum(_: &mut Ctx, partition: &Device) -> Result<i32> {
    let (_, number) = kernel::partition_of(partition).ok_or_else(|| not_a_partition(partition))?;
    Ok(number as i32)
}

/// What blkid would say of the table that `device` has, or of the entry which makes it one.
pub(crate) fn describe(cx: &Ctx, device: &Device) -> Result<Vec<(&'static str, String)>> {
    let Some((disk, number)) = kernel::partition_of(device) else {
        let disk = OpenDisk::new(device, OFlags::RDONLY)?;
        let table = Table::read(&disk.file, disk.sector_size).about(device)?;
        return Ok(match table {
            None => Vec::new(),
            Some(Table::Mbr(mbr)) => {
                vec![("PTUUID", format!("{:08x}", mbr.signature)), ("PTTYPE", "dos".into())]
            }
            Some(Table::Gpt(gpt)) => {
                vec![("PTUUID", guid_text(gpt.disk_guid)), ("PTTYPE", "gpt".into())]
            }
        });
    };
    let name = cx.api_name(&[b"/dev/", disk.as_bytes()].concat())?;
    let device = cx.device("device", &name)?;
    let disk = OpenDisk::new(&device, OFlags::RDONLY)?;
    let table = Table::read(&disk.file, disk.sector_size).about(&device)?;
    Ok(table.map(|table| describe_entry(&table, number, &disk)).unwrap_or_default())
}

fn describe_entry(table: &Table, number: u32, disk: &OpenDisk<'_>) -> Vec<(&'static str, String)> {
    let Some(slice) = table.slices().into_iter().find(|it| it.number == number) else {
        return Vec::new();
    };
    let mut info = Vec::new();
    match table {
        Table::Mbr(mbr) => {
            info.push(("PART_ENTRY_SCHEME", "dos".into()));
            info.push(("PART_ENTRY_UUID", format!("{:08x}-{number:02x}", mbr.signature)));
            if let Some(entry) = mbr.entry(number) {
                info.push(("PART_ENTRY_TYPE", format!("{:#x}", entry.id)));
                if entry.is_active() {
                    info.push(("PART_ENTRY_FLAGS", "0x80".into()));
                }
            }
        }
        Table::Gpt(gpt) => {
            info.push(("PART_ENTRY_SCHEME", "gpt".into()));
            if let Some(entry) = gpt.entry(number) {
                info.push(("PART_ENTRY_UUID", guid_text(entry.guid)));
                info.push(("PART_ENTRY_TYPE", guid_text(entry.kind)));
                if !entry.name.is_empty() {
                    info.push(("PART_ENTRY_NAME", entry.name));
                }
                if entry.attributes != 0 {
                    info.push(("PART_ENTRY_FLAGS", format!("{:#x}", entry.attributes)));
                }
            }
        }
    }
    let factor = disk.sector_size / 512;
    let disk = disk.device.number();
    info.push(("PART_ENTRY_NUMBER", number.to_string()));
    info.push(("PART_ENTRY_OFFSET", (slice.start * factor).to_string()));
    info.push(("PART_ENTRY_SIZE", (slice.n_sectors * factor).to_string()));
    let (major, minor) = (rustix::fs::major(disk), rustix::fs::minor(disk));
    info.push(("PART_ENTRY_DISK", format!("{major}:{minor}")));
    info
}

/// The partitions of a disk that never have a filesystem, whatever is in them.
pub(crate) fn without_filesystems(device: &Device) -> Result<Vec<u32>> {
    let disk = OpenDisk::new(device, OFlags::RDONLY)?;
    let Some(table) = Table::read(&disk.file, disk.sector_size).about(device)? else {
        return Ok(Vec::new());
    };
    let reserved = |number| match &table {
        Table::Mbr(_) => false,
        Table::Gpt(gpt) => gpt.entry(number).is_some_and(|it| it.is_reserved()),
    };
    let never = table.slices().into_iter().filter(|it| it.is_container || reserved(it.number));
    Ok(never.map(|it| it.number).collect())
}

fn not_a_partition(device: &Device) -> Error {
    Error::invalid(device, "not a partition")
}

fn lacks(device: &Device, table: &Table, what: &str) -> Error {
    let why = format!("its partition table, {}, has no {what}", table.name());
    Error::refused(Errno::NOTSUP, device, why)
}

/// The largest number is the kernel's.
fn partition_number(partnum: i32) -> Result<u32> {
    match u32::try_from(partnum) {
        Ok(number @ 1..) => Ok(number),
        _ => Err(Error::invalid("partnum", format!("{partnum} is not the number of a partition"))),
    }
}

/// An error if a new partition would have a sector of this one.
fn taken(other: &Slice, start: u64, end: u64) -> Result<()> {
    let other_end = other.start + other.n_sectors.saturating_sub(1);
    if other.n_sectors == 0 || other_end < start || end < other.start {
        return Ok(());
    }
    let what = format_args!("sectors {start} to {end}");
    let first = start.max(other.start);
    let why = format!("sector {first} belongs to partition {}", other.number);
    Err(Error::refused(Errno::NOSPC, what, why))
}

/// A GUID of version 4, whose third group is little-endian.
fn random_guid() -> Result<Guid> {
    let mut guid = random::<16>()?;
    guid[7] = guid[7] & 0x0f | 0x40;
    guid[8] = guid[8] & 0x3f | 0x80;
    Ok(guid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        #[track_caller]
        fn check(start: i64, end: i64, expected: &str) {
            let got = match sectors(start, end, 1000) {
                Ok((start, end)) => format!("{start} {end}"),
                Err(err) => err.to_string(),
            };
            assert_eq!(got, expected);
        }
        check(1, 1, "1 1");
        check(128, -1, "128 999");
        check(128, -128, "128 872");
        check(0, 10, "startsect: the first sector holds the partition table");
        let error = "startsect: -1 is outside of the disk, which has 1000 sectors";
        check(-1, 10, error);
        check(10, 9, "endsect: 9 is before the start, 10");
        check(999, -2, "endsect: 998 is before the start, 999");
        check(1, 1000, "endsect: 1000 is outside of the disk, which has 1000 sectors");
        check(1, -1001, "endsect: -1001 is outside of the disk, which has 1000 sectors");
        let error = format!("endsect: {} is outside of the disk, which has 1000 sectors", i64::MIN);
        check(1, i64::MIN, &error);
    }

    #[test]
    fn kinds_of_tables() {
        #[track_caller]
        fn check(name: &str, expected: &str) {
            let got = match is_gpt(name.into()) {
                Ok(true) => "gpt".into(),
                Ok(false) => "mbr".into(),
                Err(err) => err.to_string(),
            };
            assert_eq!(got, expected);
        }
        check("efi", "gpt");
        check("msdos", "mbr");
        check("sun", "partition table sun is not supported by this appliance");
        check("silly", "parttype: silly is not a partition table");
    }

    #[test]
    fn a_protective_entry_alone_is_no_gpt() {
        let mut disk = vec![0; 1 << 20];
        for Write { offset, bytes } in Gpt::create(512, 2048, [1; 16]).unwrap() {
            disk[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let name = |disk: &Vec<u8>| Table::read(disk, 512).unwrap().unwrap().name();
        assert_eq!(name(&disk), "gpt");
        disk[512] = 0;
        disk[2047 * 512] = 0;
        assert_eq!(name(&disk), "msdos");
        assert_eq!(Table::read(&vec![0; 1 << 20], 512).unwrap(), None);
    }

    #[test]
    fn guids_are_of_version_4() {
        let guid = guid_text(random_guid().unwrap());
        assert_eq!(guid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&guid.as_bytes()[19]));
    }
}
