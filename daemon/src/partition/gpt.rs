// SPDX-License-Identifier: LGPL-2.1-or-later
//! The GPT: a header and a table of entries at the start of the disk, and a copy at its end.

use std::io;

use super::mbr::Mbr;
use super::{Slice, Write, taken};
use crate::error::{Errno, Error, Result};
use crate::filesystem::bytes::{Bytes, ReadAt, utf16, uuid};

const MAGIC: &[u8] = b"EFI PART";
/// Size of the header without what later revisions may append.
const HEADER: usize = 92;
const NEW_ENTRIES: usize = 128;
const NEW_ENTRY: usize = 128;
/// The largest table that is read.
const TABLE_MAX: u64 = 4 << 20;
/// Units of UTF-16 in a name.
const NAME_MAX: usize = 36;
/// Where the name is in an entry.
const NAME: usize = 56;

/// A GUID as it is on the disk.
pub(crate) type Guid = [u8; 16];

pub(crate) const LINUX: Guid = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];
pub(crate) const EFI_SYSTEM: Guid = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];
const MICROSOFT_RESERVED: Guid = [
    0x16, 0xe3, 0xc9, 0xe3, 0x5c, 0x0b, 0xb8, 0x4d, 0x81, 0x7d, 0xf9, 0x2d, 0xf0, 0x02, 0x15, 0xae,
];
const LDM_METADATA: Guid = [
    0xaa, 0xc8, 0x08, 0x58, 0x8f, 0x7e, 0xe0, 0x42, 0x85, 0xd2, 0xe1, 0xe9, 0x04, 0x34, 0xcf, 0xb3,
];
const LDM_DATA: Guid = [
    0xa0, 0x60, 0x9b, 0xaf, 0x31, 0x14, 0x62, 0x4f, 0xbc, 0x68, 0x33, 0x11, 0x71, 0x4a, 0x69, 0xad,
];

/// A disk's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gpt {
    sector_size: u64,
    revision: u32,
    pub(crate) disk_guid: Guid,
    first_usable: u64,
    last_usable: u64,
    /// Where the first table is, and the header of the copy.
    table: u64,
    copy: u64,
    entry_size: usize,
    entries: Bytes,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Guid,
    pub(crate) guid: Guid,
    start: u64,
    end: u64,
    pub(crate) attributes: u64,
    pub(crate) name: String,
}

impl Gpt {
    /// Reads the header at the start, or if that is damaged the copy at the end.
    pub(super) fn read(disk: &impl ReadAt, sector_size: u64) -> io::Result<Option<Self>> {
        let n_sectors = disk.size()? / sector_size;
        if let Some(found) = read_at(disk, sector_size, n_sectors, 1)? {
            return Ok(Some(found));
        }
        read_at(disk, sector_size, n_sectors, n_sectors.saturating_sub(1))
    }

    /// An empty table, and the MBR which keeps others from using the disk.
    pub(super) fn create(sector_size: u64, n_sectors: u64, disk_guid: Guid) -> Option<Vec<Write>> {
        let table_sectors = ((NEW_ENTRIES * NEW_ENTRY) as u64).div_ceil(sector_size);
        let first_usable = 2 + table_sectors;
        let last_usable = n_sectors.checked_sub(2 + table_sectors)?;
        if last_usable < first_usable {
            return None;
        }
        let table = Self {
            sector_size,
            revision: 0x0001_0000,
            disk_guid,
            first_usable,
            last_usable,
            table: 2,
            copy: n_sectors - 1,
            entry_size: NEW_ENTRY,
            entries: Bytes(vec![0; NEW_ENTRIES * NEW_ENTRY]),
        };
        let mut writes = table.writes();
        writes.push(Write { offset: 0, bytes: Mbr::protective(sector_size, n_sectors) });
        Some(writes)
    }

    fn n_entries(&self) -> usize {
        self.entries.0.len() / self.entry_size
    }

    pub(crate) fn entry(&self, number: u32) -> Option<Entry> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        if index >= self.n_entries() {
            return None;
        }
        let at = index * self.entry_size;
        let name = self.entries.slice(at + NAME, 2 * NAME_MAX).as_chunks().0;
        let entry = Entry {
            kind: self.entries.array(at),
            guid: self.entries.array(at + 16),
            start: self.entries.le64(at + 32),
            end: self.entries.le64(at + 40),
            attributes: self.entries.le64(at + 48),
            name: utf16(&name.iter().map(|unit| u16::from_le_bytes(*unit)).collect::<Vec<_>>()),
        };
        // Linux ignores those outside the disk as well.
        let is_valid = entry.kind != [0; 16] && entry.start <= entry.end && entry.end <= self.end();
        is_valid.then_some(entry)
    }

    /// The last sector that belongs to the disk by its table.
    fn end(&self) -> u64 {
        self.copy.max(self.last_usable)
    }

    pub(super) fn slices(&self) -> Vec<Slice> {
        let numbers = 1..=self.n_entries() as u32;
        numbers.filter_map(|number| Some(self.entry(number)?.slice(number))).collect()
    }

    pub(super) fn add(&mut self, start: u64, end: u64, guid: Guid) -> Result<()> {
        if start < self.first_usable {
            let why = format!("the first sector after the GPT is {}", self.first_usable);
            return Err(Error::invalid("startsect", why));
        }
        if end > self.last_usable {
            let why = format!("the last sector before the copy of the GPT is {}", self.last_usable);
            return Err(Error::invalid("endsect", why));
        }
        for other in self.slices() {
            taken(&other, start, end)?;
        }
        let free = |index: &usize| self.entries.array(index * self.entry_size) == [0; 16];
        let Some(index) = (0..self.n_entries()).find(free) else {
            return Err(Error::refused(Errno::NOSPC, "entries of the GPT", "all are taken"));
        };
        let mut entry = vec![0; self.entry_size];
        entry[..16].copy_from_slice(&LINUX);
        entry[16..32].copy_from_slice(&guid);
        entry[32..40].copy_from_slice(&start.to_le_bytes());
        entry[40..48].copy_from_slice(&end.to_le_bytes());
        let at = index * self.entry_size;
        self.entries.0[at..at + self.entry_size].copy_from_slice(&entry);
        Ok(())
    }

    /// False if there is no such partition.
    pub(super) fn delete(&mut self, number: u32) -> bool {
        let found = self.entry(number).is_some();
        if found {
            let nothing = vec![0; self.entry_size];
            self.set(number, 0, &nothing);
        }
        found
    }

    pub(super) fn set_kind(&mut self, number: u32, kind: Guid) {
        self.set(number, 0, &kind);
    }

    pub(super) fn set_name(&mut self, number: u32, name: &str) -> Result<()> {
        let units: Vec<u16> = name.encode_utf16().collect();
        if units.len() > NAME_MAX {
            let why = format!("{} units of UTF-16 are more than {NAME_MAX}", units.len());
            return Err(Error::invalid("name", why));
        }
        let mut field = [0; 2 * NAME_MAX];
        for (bytes, unit) in field.as_chunks_mut::<2>().0.iter_mut().zip(units) {
            *bytes = unit.to_le_bytes();
        }
        self.set(number, NAME, &field);
        Ok(())
    }

    /// Changes bytes of an existing entry.
    fn set(&mut self, number: u32, at: usize, bytes: &[u8]) {
        let start = (number as usize - 1) * self.entry_size + at;
        self.entries.0[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// The copy first: until the last write, one of the two is whole.
    pub(super) fn writes(&self) -> Vec<Write> {
        let table_sectors = (self.entries.0.len() as u64).div_ceil(self.sector_size);
        let copy_table = self.copy - table_sectors;
        let table = |lba| Write { offset: lba * self.sector_size, bytes: self.entries.0.clone() };
        let header = |lba, other, table| Write {
            offset: lba * self.sector_size,
            bytes: self.header(lba, other, table),
        };
        vec![
            table(copy_table),
            header(self.copy, 1, copy_table),
            table(self.table),
            header(1, self.copy, self.table),
        ]
    }

    fn header(&self, lba: u64, other: u64, table: u64) -> Vec<u8> {
        let mut header = Vec::with_capacity(self.sector_size as usize);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&self.revision.to_le_bytes());
        header.extend_from_slice(&(HEADER as u32).to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        for number in [lba, other, self.first_usable, self.last_usable] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&self.disk_guid);
        header.extend_from_slice(&table.to_le_bytes());
        header.extend_from_slice(&(self.n_entries() as u32).to_le_bytes());
        header.extend_from_slice(&(self.entry_size as u32).to_le_bytes());
        header.extend_from_slice(&crc32(&self.entries.0).to_le_bytes());
        let crc = crc32(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header.resize(self.sector_size as usize, 0);
        header
    }
}

impl Entry {
    fn slice(&self, number: u32) -> Slice {
        Slice {
            number,
            start: self.start,
            n_sectors: self.end - self.start + 1,
            is_container: false,
        }
    }

    /// Whether a filesystem may be there.
    pub(super) fn is_reserved(&self) -> bool {
        [MICROSOFT_RESERVED, LDM_METADATA, LDM_DATA].contains(&self.kind)
    }
}

/// The usual notation: the first three groups are little-endian on the disk.
pub(crate) fn guid_text(guid: Guid) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&[d, c, b, a, f, e, h, g]);
    bytes[8..].copy_from_slice(&rest);
    uuid(bytes)
}

/// None unless header and table are whole and make sense on a disk of this size.
fn read_at(
    disk: &impl ReadAt,
    sector_size: u64,
    n_sectors: u64,
    lba: u64,
) -> io::Result<Option<Gpt>> {
    let sector = usize::try_from(sector_size).unwrap_or(512);
    let Some(header) = disk.bytes(lba * sector_size, sector)? else { return Ok(None) };
    let header_size = header.le32(12) as usize;
    if !header.has(0, MAGIC) || !(HEADER..=sector).contains(&header_size) {
        return Ok(None);
    }
    let mut checked = header.slice(0, header_size).to_vec();
    checked[16..20].fill(0);
    if crc32(&checked) != header.le32(16) || header.le64(24) != lba {
        return Ok(None);
    }
    let (n_entries, entry_size) = (u64::from(header.le32(80)), u64::from(header.le32(84)));
    let table_size = n_entries * entry_size;
    let table = header.le64(72);
    let (first_usable, last_usable) = (header.le64(40), header.le64(48));
    let makes_sense = (128..=4096).contains(&entry_size)
        && entry_size.is_multiple_of(8)
        && (1..=TABLE_MAX).contains(&table_size)
        && first_usable <= last_usable
        && last_usable < n_sectors
        && table > 1
        && table < n_sectors;
    if !makes_sense {
        return Ok(None);
    }
    let Some(entries) = disk.bytes(table * sector_size, table_size as usize)? else {
        return Ok(None);
    };
    if crc32(&entries.0) != header.le32(88) {
        return Ok(None);
    }
    let table_sectors = table_size.div_ceil(sector_size);
    // A disk may have grown since: the copy stays where the table says, if that is possible.
    let copy = if lba == 1 { header.le64(32) } else { lba };
    let copy_fits = copy < n_sectors && copy.saturating_sub(table_sectors) > last_usable;
    let first_fits = |table: u64| table > 1 && table + table_sectors <= first_usable;
    let table = if lba == 1 { table } else { 2 };
    Ok((copy_fits && first_fits(table)).then(|| Gpt {
        sector_size,
        revision: header.le32(8),
        disk_guid: header.array(56),
        first_usable,
        last_usable,
        table,
        copy,
        entry_size: entry_size as usize,
        entries,
    }))
}

/// CRC-32 of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let polynomial = if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            (crc >> 1) ^ polynomial
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: Guid = [0x11; 16];

    fn blank() -> Vec<u8> {
        let mut disk = vec![0; 1 << 20];
        write(&mut disk, &Gpt::create(512, 2048, GUID).unwrap());
        disk
    }

    fn write(disk: &mut [u8], writes: &[Write]) {
        for Write { offset, bytes } in writes {
            disk[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }

    fn describe(disk: &Vec<u8>) -> String {
        let Some(table) = Gpt::read(disk, 512).unwrap() else { return "nothing".into() };
        let describe = |it: Slice| {
            let entry = table.entry(it.number).unwrap();
            format!("{}:{}-{}:{}", it.number, entry.start, entry.end, entry.name)
        };
        table.slices().into_iter().map(describe).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(disk: &mut Vec<u8>, change: impl FnOnce(&mut Gpt) -> Result<()>, expected: &str) {
        let mut table = Gpt::read(disk, 512).unwrap().unwrap();
        let got = match change(&mut table) {
            Ok(()) => {
                write(disk, &table.writes());
                describe(disk)
            }
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn partitions() {
        let disk = &mut blank();
        check(disk, |it| it.add(34, 99, GUID), "1:34-99:");
        check(disk, |it| it.add(100, 2014, GUID), "1:34-99: 2:100-2014:");
        check(
            disk,
            |it| it.add(2014, 2014, GUID),
            "sectors 2014 to 2014: sector 2014 belongs to partition 2",
        );
        let error = "startsect: the first sector after the GPT is 34";
        check(disk, |it| it.add(33, 40, GUID), error);
        let error = "endsect: the last sector before the copy of the GPT is 2014";
        check(disk, |it| it.add(34, 2015, GUID), error);
        check(disk, |it| it.set_name(2, "größe"), "1:34-99: 2:100-2014:größe");
        let long = "x".repeat(37);
        let error = "name: 37 units of UTF-16 are more than 36";
        check(disk, |it| it.set_name(2, &long), error);
        check(
            disk,
            |it| it.set_name(2, &long[1..]),
            &format!("1:34-99: 2:100-2014:{}", &long[1..]),
        );
        let delete = |it: &mut Gpt| {
            assert!(it.delete(1) && !it.delete(1) && !it.delete(129) && !it.delete(0));
            Ok(())
        };
        check(disk, delete, &format!("2:100-2014:{}", &long[1..]));
    }

    #[test]
    fn either_copy_is_enough() {
        let disk = &mut blank();
        check(disk, |it| it.add(34, 99, GUID), "1:34-99:");
        let whole = disk.clone();
        disk[512] = 0;
        assert_eq!(describe(disk), "1:34-99:");
        // A change repairs what was damaged.
        check(disk, |it| it.set_name(1, "x"), "1:34-99:x");
        assert!(disk[512..].starts_with(MAGIC));
        // An entry damaged in the first table only.
        *disk = whole;
        disk[1024 + 32] ^= 1;
        assert_eq!(describe(disk), "1:34-99:");
        disk[2047 * 512] = 0;
        assert_eq!(describe(disk), "nothing");
    }

    /// Numbers with valid checksums, but which lead out of the disk or into the partitions.
    #[test]
    fn absurd_headers() {
        #[track_caller]
        fn refused(at: usize, bytes: &[u8]) {
            let mut disk = blank();
            disk[2047 * 512] = 0;
            disk[512 + at..512 + at + bytes.len()].copy_from_slice(bytes);
            disk[512 + 16..512 + 20].fill(0);
            let crc = crc32(&disk[512..512 + HEADER]);
            disk[512 + 16..512 + 20].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(describe(&disk), "nothing");
        }
        refused(12, &u32::MAX.to_le_bytes());
        refused(24, &2_u64.to_le_bytes());
        refused(32, &u64::MAX.to_le_bytes());
        refused(32, &40_u64.to_le_bytes());
        refused(48, &u64::MAX.to_le_bytes());
        refused(72, &u64::MAX.to_le_bytes());
        refused(72, &0_u64.to_le_bytes());
        refused(80, &u32::MAX.to_le_bytes());
        refused(80, &0_u32.to_le_bytes());
        refused(84, &0_u32.to_le_bytes());
        refused(84, &u32::MAX.to_le_bytes());
    }

    #[test]
    fn small_disks() {
        assert!(Gpt::create(512, 0, GUID).is_none());
        assert!(Gpt::create(512, 67, GUID).is_none());
        assert!(Gpt::create(512, 68, GUID).is_some());
        assert_eq!(describe(&Vec::new()), "nothing");
    }

    #[test]
    fn numbers() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(guid_text(LINUX), "0fc63daf-8483-4772-8e79-3d69d8477de4");
        assert_eq!(guid_text(EFI_SYSTEM), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(guid_text(MICROSOFT_RESERVED), "e3c9e316-0b5c-4db8-817d-f92df00215ae");
        assert_eq!(guid_text(LDM_METADATA), "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3");
        assert_eq!(guid_text(LDM_DATA), "af9b60a0-1431-4f62-bc68-3311714a69ad");
    }
}
