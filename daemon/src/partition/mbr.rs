// SPDX-License-Identifier: LGPL-2.1-or-later
//! The MBR: four entries in the first sector, and chains of logical partitions inside extended
//! ones.
//!
//! Numbers are as Linux gives them: a primary partition has that of its entry, a logical one its
//! place in the chain, counted from 5.

use std::collections::BTreeMap;
use std::io;

use super::{Kind, Slice, Write, taken};
use crate::error::{Errno, Error, Result};
use crate::filesystem::bytes::{Bytes, ReadAt};

/// Type of a new partition: a Linux filesystem.
const LINUX: u8 = 0x83;
/// Type of a new extended partition: one that may be anywhere on the disk.
const EXTENDED: u8 = 0x0f;
/// Type of the one partition that a GPT shows to those who do not know it.
const PROTECTIVE: u8 = 0xee;
const ACTIVE: u8 = 0x80;
const SIGNATURE: &[u8] = &[0x55, 0xaa];
/// Where the entries are in their sector.
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
/// The longest chain that is followed.
const LINKS_MAX: usize = 256;
/// Smaller numbers are the places of the disk's own table.
pub(super) const FIRST_LOGICAL: u32 = 5;

/// An entry; sectors are counted from the start of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    flags: u8,
    pub(crate) id: u8,
    start: u64,
    /// None: the entry is free.
    n_sectors: u64,
}

impl Entry {
    fn new(id: u8, start: u64, end: u64) -> Self {
        Self { flags: 0, id, start, n_sectors: end - start + 1 }
    }

    /// An entry of the sector, which counts from `base`.
    fn parse(sector: &Bytes, slot: usize, base: u64) -> Self {
        let at = ENTRIES + slot * ENTRY;
        Self {
            flags: sector.u8(at),
            id: sector.u8(at + 4),
            start: base + u64::from(sector.le32(at + 8)),
            n_sectors: sector.le32(at + 12).into(),
        }
    }

    fn encode(&self, base: u64) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        if self.is_free() {
            return bytes;
        }
        bytes[0] = self.flags;
        bytes[1..4].copy_from_slice(&chs(self.start));
        bytes[4] = self.id;
        bytes[5..8].copy_from_slice(&chs(self.end()));
        bytes[8..12].copy_from_slice(&word(self.start - base));
        bytes[12..16].copy_from_slice(&word(self.n_sectors));
        bytes
    }

    fn is_free(&self) -> bool {
        self.n_sectors == 0
    }

    fn is_extended(&self) -> bool {
        !self.is_free() && matches!(self.id, 0x05 | EXTENDED | 0x85)
    }

    /// The last sector.
    fn end(&self) -> u64 {
        self.start + self.n_sectors.max(1) - 1
    }

    pub(crate) fn is_active(&self) -> bool {
        self.flags & ACTIVE != 0
    }

    fn slice(&self, number: u32) -> Slice {
        Slice {
            number,
            start: self.start,
            n_sectors: self.n_sectors,
            is_container: self.is_extended(),
        }
    }
}

/// A logical partition and the sector that describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    lba: u64,
    /// Free in the first link if the first logical partition was deleted.
    entry: Entry,
}

/// The logical partitions in one extended one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chain {
    slot: usize,
    links: Vec<Link>,
}

/// A disk's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mbr {
    sector_size: u64,
    /// Identity of the disk.
    pub(crate) signature: u32,
    primaries: [Entry; 4],
    chains: Vec<Chain>,
    /// What the disk says, where it describes partitions.
    on_disk: BTreeMap<u64, Vec<u8>>,
}

impl Mbr {
    /// None if the first sector is not an MBR.
    pub(super) fn read(disk: &impl ReadAt, sector_size: u64) -> io::Result<Option<Self>> {
        let Some(sector) = disk.bytes(0, 512)? else { return Ok(None) };
        if !is_mbr(&sector) {
            return Ok(None);
        }
        let primaries = [0, 1, 2, 3].map(|slot| Entry::parse(&sector, slot, 0));
        let mut chains = Vec::new();
        for (slot, entry) in primaries.iter().enumerate() {
            if entry.is_extended() {
                chains.push(Chain { slot, links: read_chain(disk, sector_size, entry.start)? });
            }
        }
        let signature = sector.le32(440);
        let on_disk = BTreeMap::new();
        let mut table = Self { sector_size, signature, primaries, chains, on_disk };
        table.on_disk = table.sectors();
        Ok(Some(table))
    }

    /// An empty table, in place of whatever was there.
    pub(super) fn create(sector_size: u64, n_sectors: u64, signature: u32) -> Vec<Write> {
        let mut sector = vec![0; sector_size as usize];
        sector[440..444].copy_from_slice(&signature.to_le_bytes());
        sector[510..512].copy_from_slice(SIGNATURE);
        let nothing = vec![0; sector_size as usize];
        // Without its headers, a GPT cannot come back.
        vec![
            Write { offset: sector_size, bytes: nothing.clone() },
            Write { offset: (n_sectors - 1) * sector_size, bytes: nothing },
            Write { offset: 0, bytes: sector },
        ]
    }

    /// The first sector of a disk with a GPT.
    pub(super) fn protective(sector_size: u64, n_sectors: u64) -> Vec<u8> {
        let mut sector = vec![0; sector_size as usize];
        let end = n_sectors.min(u64::from(u32::MAX) + 1) - 1;
        let mut entry = Entry::new(PROTECTIVE, 1, end).encode(0);
        entry[1..4].copy_from_slice(&[0, 2, 0]);
        entry[5..8].copy_from_slice(&[0xff; 3]);
        sector[ENTRIES..ENTRIES + ENTRY].copy_from_slice(&entry);
        sector[510..512].copy_from_slice(SIGNATURE);
        sector
    }

    /// Whether there should be a GPT.
    pub(super) fn is_protective(&self) -> bool {
        self.primaries.iter().any(|entry| !entry.is_free() && entry.id == PROTECTIVE)
    }

    pub(super) fn slices(&self) -> Vec<Slice> {
        self.entries().into_iter().map(|(number, entry)| entry.slice(number)).collect()
    }

    pub(crate) fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries().into_iter().find_map(|(it, entry)| (it == number).then_some(entry))
    }

    fn entries(&self) -> Vec<(u32, &Entry)> {
        let primaries = (1..).zip(&self.primaries).filter(|(_, entry)| !entry.is_free());
        let links = self.chains.iter().flat_map(|chain| &chain.links);
        let logicals = links.map(|link| &link.entry).filter(|entry| !entry.is_free());
        primaries.chain((FIRST_LOGICAL..).zip(logicals)).collect()
    }

    fn entry_mut(&mut self, number: u32) -> Option<&mut Entry> {
        if number < FIRST_LOGICAL {
            let slot = usize::try_from(number.checked_sub(1)?).ok()?;
            return self.primaries.get_mut(slot).filter(|entry| !entry.is_free());
        }
        self.chains
            .iter_mut()
            .flat_map(|chain| &mut chain.links)
            .map(|link| &mut link.entry)
            .filter(|entry| !entry.is_free())
            .nth((number - FIRST_LOGICAL) as usize)
    }

    pub(super) fn add(&mut self, kind: Kind, start: u64, end: u64) -> Result<()> {
        if end > u64::from(u32::MAX) {
            return Err(Error::invalid("endsect", "an MBR has no room for so large a number"));
        }
        match kind {
            Kind::Primary => self.add_primary(Entry::new(LINUX, start, end)),
            Kind::Extended if !self.chains.is_empty() => {
                Err(Error::invalid("prlogex", "there is an extended partition already"))
            }
            Kind::Extended => {
                let slot = self.add_primary(Entry::new(EXTENDED, start, end))?;
                // An old chain in these sectors must not come back.
                let links = vec![Link { lba: start, entry: Entry::default() }];
                self.chains.push(Chain { slot, links });
                return Ok(());
            }
            Kind::Logical => return self.add_logical(Entry::new(LINUX, start, end)),
        }
        .map(drop)
    }

    fn add_primary(&mut self, entry: Entry) -> Result<usize> {
        for (number, other) in (1..).zip(&self.primaries) {
            taken(&other.slice(number), entry.start, entry.end())?;
        }
        let Some(slot) = self.primaries.iter().position(Entry::is_free) else {
            let why = "all four are taken; more partitions must be logical";
            return Err(Error::refused(Errno::NOSPC, "entries of the MBR", why));
        };
        self.primaries[slot] = entry;
        Ok(slot)
    }

    fn add_logical(&mut self, entry: Entry) -> Result<()> {
        if self.chains.is_empty() {
            return Err(Error::invalid("prlogex", "there is no extended partition for it"));
        }
        let contains = |chain: &Chain| {
            let extended = &self.primaries[chain.slot];
            extended.start < entry.start && entry.end() <= extended.end()
        };
        let Some(index) = self.chains.iter().position(contains) else {
            let why = "not inside the extended partition, behind its first sector";
            return Err(Error::invalid("startsect", why));
        };
        let first = self.primaries[self.chains[index].slot].start;
        let links = &self.chains[index].links;
        let is_first = links.iter().all(|link| link.entry.is_free());
        let lba = if is_first { first } else { entry.start - 1 };
        for (number, other) in self.entries() {
            if number >= FIRST_LOGICAL {
                taken(&other.slice(number), if is_first { entry.start } else { lba }, entry.end())?;
            }
        }
        if let Some(link) =
            links.iter().find(|link| !is_first && (lba..=entry.end()).contains(&link.lba))
        {
            let why = "it describes a logical partition";
            return Err(Error::refused(Errno::NOSPC, format_args!("sector {}", link.lba), why));
        }
        let links = &mut self.chains[index].links;
        if is_first {
            links.clear();
        }
        links.push(Link { lba, entry });
        Ok(())
    }

    /// False if there is no such partition.
    pub(super) fn delete(&mut self, number: u32) -> bool {
        let Some(entry) = self.entry_mut(number) else { return false };
        *entry = Entry::default();
        if number < FIRST_LOGICAL {
            let primaries = &self.primaries;
            self.chains.retain(|chain| !primaries[chain.slot].is_free());
            return true;
        }
        for chain in &mut self.chains {
            // The first link stays where Linux looks for it, even if it describes nothing.
            let mut index = 0;
            chain.links.retain(|link| {
                index += 1;
                index == 1 || !link.entry.is_free()
            });
        }
        true
    }

    /// At most one partition is active.
    pub(super) fn set_active(&mut self, number: u32, active: bool) {
        let logicals = self.chains.iter_mut().flat_map(|chain| &mut chain.links);
        let all = self.primaries.iter_mut().chain(logicals.map(|link| &mut link.entry));
        if active {
            all.for_each(|entry| entry.flags = 0);
        }
        if let Some(entry) = self.entry_mut(number) {
            entry.flags = if active { ACTIVE } else { 0 };
        }
    }

    pub(super) fn set_id(&mut self, number: u32, id: u8) {
        if let Some(entry) = self.entry_mut(number) {
            entry.id = id;
        }
    }

    /// What makes the table on the disk this one.
    pub(super) fn writes(&self) -> Vec<Write> {
        let changed = |(lba, it): &(u64, Vec<u8>)| self.on_disk.get(lba) != Some(it);
        let changed = self.sectors().into_iter().filter(changed);
        changed
            .map(|(lba, bytes)| Write { offset: lba * self.sector_size + ENTRIES as u64, bytes })
            // The first sector last: until then, the old table is valid.
            .rev()
            .collect()
    }

    /// The ends of all sectors that describe partitions.
    fn sectors(&self) -> BTreeMap<u64, Vec<u8>> {
        let mut sectors = BTreeMap::new();
        for chain in &self.chains {
            let first = self.primaries[chain.slot].start;
            for (index, link) in chain.links.iter().enumerate() {
                let next = match chain.links.get(index + 1) {
                    Some(next) => Entry::new(0x05, next.lba, next.entry.end().max(next.lba)),
                    None => Entry::default(),
                };
                let entries = [link.entry.encode(link.lba), next.encode(first)].concat();
                sectors.insert(link.lba, end_of_sector(&entries));
            }
        }
        let entries = self.primaries.map(|entry| entry.encode(0)).concat();
        sectors.insert(0, end_of_sector(&entries));
        sectors
    }
}

/// A boot sector of a filesystem has the same signature, but other bytes in place of the entries.
fn is_mbr(sector: &Bytes) -> bool {
    let flags_make_sense =
        (0..4).all(|slot| matches!(sector.u8(ENTRIES + slot * ENTRY), 0 | ACTIVE));
    let is_filesystem = [(0x36, "FAT"), (0x52, "FAT32"), (3, "NTFS    "), (3, "EXFAT   ")]
        .iter()
        .any(|(at, name)| sector.has(*at, name.as_bytes()));
    let is_empty = sector.slice(ENTRIES, 4 * ENTRY).iter().all(|byte| *byte == 0);
    sector.has(510, SIGNATURE) && flags_make_sense && !(is_filesystem && is_empty)
}

fn read_chain(disk: &impl ReadAt, sector_size: u64, first: u64) -> io::Result<Vec<Link>> {
    let mut links: Vec<Link> = Vec::new();
    let mut lba = first;
    while links.len() < LINKS_MAX && links.iter().all(|link| link.lba != lba) {
        let Some(sector) = disk.bytes(lba * sector_size, 512)? else { break };
        if !sector.has(510, SIGNATURE) {
            break;
        }
        let entries = |base| [0, 1, 2, 3].map(|slot| Entry::parse(&sector, slot, base));
        let is_data = |entry: &Entry| !entry.is_free() && !entry.is_extended();
        let data = entries(lba).into_iter().find(is_data);
        links.push(Link { lba, entry: data.unwrap_or_default() });
        match entries(first).into_iter().find(Entry::is_extended) {
            Some(next) => lba = next.start,
            None => break,
        }
    }
    Ok(links)
}

fn end_of_sector(entries: &[u8]) -> Vec<u8> {
    let mut bytes = entries.to_vec();
    bytes.resize(4 * ENTRY, 0);
    bytes.extend_from_slice(SIGNATURE);
    bytes
}

fn word(number: u64) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

/// Cylinder, head and sector, as if there still were such things.
fn chs(lba: u64) -> [u8; 3] {
    const HEADS: u64 = 255;
    const SECTORS: u64 = 63;
    let (track, sector) = (lba / SECTORS, lba % SECTORS + 1);
    let (cylinder, head) = (track / HEADS, track % HEADS);
    if cylinder > 1023 {
        return [0xfe, 0xff, 0xff];
    }
    [head as u8, (sector | cylinder >> 8 << 6) as u8, cylinder as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank() -> Vec<u8> {
        let mut disk = vec![0; 1 << 20];
        write(&mut disk, &Mbr::create(512, 2048, 0x1234_5678));
        disk
    }

    fn write(disk: &mut [u8], writes: &[Write]) {
        for Write { offset, bytes } in writes {
            disk[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }

    fn describe(disk: &Vec<u8>) -> String {
        let table = Mbr::read(disk, 512).unwrap().unwrap();
        let describe = |(number, entry): (u32, &Entry)| {
            let active = if entry.is_active() { "*" } else { "" };
            format!("{number}{active}:{:x}:{}-{}", entry.id, entry.start, entry.end())
        };
        table.entries().into_iter().map(describe).collect::<Vec<_>>().join(" ")
    }

    /// Changes the disk and describes what is on it then.
    #[track_caller]
    fn check(disk: &mut Vec<u8>, change: impl FnOnce(&mut Mbr) -> Result<()>, expected: &str) {
        let mut table = Mbr::read(disk, 512).unwrap().unwrap();
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
    fn primary_partitions() {
        let disk = &mut blank();
        check(disk, |it| it.add(Kind::Primary, 8, 15), "1:83:8-15");
        check(disk, |it| it.add(Kind::Primary, 16, 31), "1:83:8-15 2:83:16-31");
        check(
            disk,
            |it| it.add(Kind::Primary, 20, 40),
            "sectors 20 to 40: sector 20 belongs to partition 2",
        );
        check(
            disk,
            |it| {
                it.set_active(1, true);
                it.set_active(2, true);
                it.set_id(2, 0x8e);
                Ok(())
            },
            "1:83:8-15 2*:8e:16-31",
        );
        check(
            disk,
            |it| {
                assert!(it.delete(1) && !it.delete(3) && !it.delete(5) && !it.delete(0));
                Ok(())
            },
            "2*:8e:16-31",
        );
        assert_eq!(Mbr::read(disk, 512).unwrap().unwrap().signature, 0x1234_5678);
    }

    #[test]
    fn logical_partitions() {
        let disk = &mut blank();
        let error = "prlogex: there is no extended partition for it";
        check(disk, |it| it.add(Kind::Logical, 100, 110), error);
        check(disk, |it| it.add(Kind::Extended, 64, 1000), "1:f:64-1000");
        let error = "startsect: not inside the extended partition, behind its first sector";
        check(disk, |it| it.add(Kind::Logical, 64, 80), error);
        check(disk, |it| it.add(Kind::Logical, 65, 1001), error);
        check(disk, |it| it.add(Kind::Logical, 65, 99), "1:f:64-1000 5:83:65-99");
        check(
            disk,
            |it| it.add(Kind::Logical, 100, 199),
            "sectors 99 to 199: sector 99 belongs to partition 5",
        );
        check(disk, |it| it.add(Kind::Logical, 102, 199), "1:f:64-1000 5:83:65-99 6:83:102-199");
        check(
            disk,
            |it| it.add(Kind::Logical, 300, 400),
            "1:f:64-1000 5:83:65-99 6:83:102-199 7:83:300-400",
        );
        let delete = |number| {
            move |it: &mut Mbr| {
                assert!(it.delete(number));
                Ok(())
            }
        };
        check(disk, delete(5), "1:f:64-1000 5:83:102-199 6:83:300-400");
        check(disk, delete(5), "1:f:64-1000 5:83:300-400");
        let error = "sector 299: it describes a logical partition";
        check(disk, |it| it.add(Kind::Logical, 200, 299), error);
        check(disk, delete(5), "1:f:64-1000");
        check(disk, |it| it.add(Kind::Logical, 500, 600), "1:f:64-1000 5:83:500-600");
        check(disk, delete(1), "");
        check(disk, |it| it.add(Kind::Extended, 64, 1000), "1:f:64-1000");
    }

    #[test]
    fn a_chain_may_be_a_circle() {
        let disk = &mut blank();
        check(disk, |it| it.add(Kind::Extended, 64, 1000), "1:f:64-1000");
        check(disk, |it| it.add(Kind::Logical, 65, 99), "1:f:64-1000 5:83:65-99");
        // The second entry leads back to the first sector of the extended partition.
        let second = 64 * 512 + ENTRIES + ENTRY;
        disk[second + 4] = 5;
        disk[second + 12] = 1;
        assert_eq!(describe(disk), "1:f:64-1000 5:83:65-99");
    }

    #[test]
    fn boot_sectors_of_filesystems() {
        let mut sector = vec![0; 512];
        sector[510..].copy_from_slice(SIGNATURE);
        assert!(Mbr::read(&sector, 512).unwrap().is_some());
        sector[0x52..0x57].copy_from_slice(b"FAT32");
        assert!(Mbr::read(&sector, 512).unwrap().is_none());
        sector[0x52] = 0;
        sector[ENTRIES] = 0x61;
        assert!(Mbr::read(&sector, 512).unwrap().is_none());
        assert!(Mbr::read(&vec![0; 512], 512).unwrap().is_none());
    }

    #[test]
    fn geometry() {
        assert_eq!(chs(0), [0, 1, 0]);
        assert_eq!(chs(2048), [32, 33, 0]);
        assert_eq!(chs(256 * 255 * 63), [0, 0x41, 0]);
        assert_eq!(chs(u64::MAX), [0xfe, 0xff, 0xff]);
    }
}
