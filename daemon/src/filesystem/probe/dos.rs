// SPDX-License-Identifier: LGPL-2.1-or-later
//! Filesystems of DOS and Windows.  All begin with a boot sector, which is a weak signature.

use std::io;

use bstr::BString;

use super::{Found, Superblock, Usage};
use crate::filesystem::bytes::{Bytes, ReadAt};

/// Size of an entry of a FAT directory, of an exFAT directory too.
const ENTRY: usize = 32;
/// The most clusters of a root directory that are searched for the label.
const ROOT_CLUSTERS_MAX: usize = 100;
/// The most bytes of a directory that are read at once.
const DIRECTORY_MAX: u64 = 2 << 20;
/// How a boot sector says that there is no label.
const NO_NAME: &[u8] = b"NO NAME    ";

/// Numbers of a FAT's boot sector, in sectors unless they say otherwise.
struct Fat {
    sector_size: u64,
    cluster_sectors: u64,
    reserved: u64,
    n_fats: u64,
    fat_sectors: u64,
    root_entries: u64,
    root_cluster: u64,
    n_clusters: u64,
}

impl Fat {
    /// None if the numbers are not those of a FAT.
    fn new(boot: &Bytes) -> Option<Self> {
        let sector_size = u64::from(boot.le16(0x0b));
        let cluster_sectors = u64::from(boot.u8(0x0d));
        let reserved = u64::from(boot.le16(0x0e));
        let n_fats = u64::from(boot.u8(0x10));
        let root_entries = u64::from(boot.le16(0x11));
        let is_valid = (512..=4096).contains(&sector_size)
            && sector_size.is_power_of_two()
            && cluster_sectors.is_power_of_two()
            && reserved > 0
            && (1..=2).contains(&n_fats)
            && matches!(boot.u8(0x15), 0xf0 | 0xf8..);
        if !is_valid {
            return None;
        }
        let either = |short: u16, long: u32| match short {
            0 => u64::from(long),
            short => u64::from(short),
        };
        let n_sectors = either(boot.le16(0x13), boot.le32(0x20));
        let fat_sectors = either(boot.le16(0x16), boot.le32(0x24));
        let root_sectors = (root_entries * ENTRY as u64).div_ceil(sector_size);
        let data = n_sectors.checked_sub(reserved + n_fats * fat_sectors + root_sectors)?;
        Some(Self {
            sector_size,
            cluster_sectors,
            reserved,
            n_fats,
            fat_sectors,
            root_entries,
            root_cluster: boot.le32(0x2c).into(),
            n_clusters: data / cluster_sectors,
        })
    }

    fn version(&self, boot: &Bytes) -> &'static str {
        match self.n_clusters {
            _ if boot.le16(0x16) == 0 => "FAT32",
            0..0xff5 => "FAT12",
            0xff5..0xfff5 => "FAT16",
            _ => "FAT32",
        }
    }

    /// First byte after the allocation tables.
    fn after_fats(&self) -> u64 {
        (self.reserved + self.n_fats * self.fat_sectors) * self.sector_size
    }

    /// The label is an entry of the root directory.
    fn label(&self, disk: &impl ReadAt, version: &str) -> io::Result<Option<BString>> {
        if version != "FAT32" {
            let directory =
                read_directory(disk, self.after_fats(), self.root_entries * ENTRY as u64)?;
            return Ok(label_entry(&directory).flatten());
        }
        let mut cluster = self.root_cluster;
        for _ in 0..ROOT_CLUSTERS_MAX {
            if !(2..self.n_clusters + 2).contains(&cluster) {
                break;
            }
            let bytes = self.cluster_sectors * self.sector_size;
            let directory = read_directory(disk, self.after_fats() + (cluster - 2) * bytes, bytes)?;
            if let Some(label) = label_entry(&directory) {
                return Ok(label);
            }
            let at = self.reserved * self.sector_size + cluster * 4;
            let Some(next) = disk.bytes(at, 4)? else { break };
            cluster = u64::from(next.le32(0) & 0x0fff_ffff);
        }
        Ok(None)
    }
}

fn read_directory(disk: &impl ReadAt, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut directory = vec![0; len.min(DIRECTORY_MAX) as usize];
    let n = disk.read_up_to(&mut directory, at)?;
    directory.truncate(n);
    Ok(directory)
}

/// The volume label among the entries of a directory; the inner `None` means that the directory
/// ended before one came.
fn label_entry(directory: &[u8]) -> Option<Option<BString>> {
    const VOLUME: u8 = 0x08;
    /// Directories, and parts of long names, are not labels.
    const KINDS: u8 = 0x18;
    const LONG_NAME: u8 = 0x0f;
    for entry in directory.chunks_exact(ENTRY) {
        match (entry[0], entry[11]) {
            (0, _) => return Some(None),
            (0xe5, _) => {}
            (_, attributes) if attributes & LONG_NAME == LONG_NAME => {}
            (first, attributes) if attributes & KINDS == VOLUME => {
                let mut name = entry[..11].to_vec();
                // An escape, as 0xe5 itself means that the entry is deleted.
                if first == 0x05 {
                    name[0] = 0xe5;
                }
                let name = name.trim_ascii_end();
                return Some((!name.is_empty()).then(|| name.into()));
            }
            _ => {}
        }
    }
    None
}

pub(super) fn vfat(disk: &impl ReadAt) -> Found {
    let Some(boot) = disk.bytes(0, 512)? else { return Ok(None) };
    let named = [(0x52, "FAT32   "), (0x36, "FAT16   "), (0x36, "FAT12   "), (0x36, "FAT     ")]
        .iter()
        .any(|(at, magic)| boot.has(*at, magic.as_bytes()));
    // Old disks have no name of the kind, only a jump and the signature of every boot sector.
    let bootable = matches!(boot.u8(0), 0xe9 | 0xeb) && boot.has(510, b"\x55\xaa");
    if !named && !bootable {
        return Ok(None);
    }
    let Some(fat) = Fat::new(&boot) else { return Ok(None) };
    let version = fat.version(&boot);
    let serial = if version == "FAT32" { 0x43 } else { 0x27 };
    let [a, b, c, d]: [u8; 4] = boot.array(serial);
    Ok(Some(Superblock {
        label: fat.label(disk, version)?.filter(|label| label != NO_NAME.trim_ascii_end()),
        uuid: (boot.le32(serial) != 0).then(|| format!("{d:02X}{c:02X}-{b:02X}{a:02X}")),
        version: Some(version.into()),
        sec_type: (version != "FAT32").then_some("msdos"),
        block_size: Some(fat.sector_size),
        ..Superblock::filesystem("vfat")
    }))
}

pub(super) fn exfat(disk: &impl ReadAt) -> Found {
    const LABEL: u8 = 0x83;
    let Some(boot) = disk.bytes(0, 512)? else { return Ok(None) };
    let (sector_shift, cluster_shift) = (u32::from(boot.u8(108)), u32::from(boot.u8(109)));
    let valid = boot.has(3, b"EXFAT   ")
        && (9..=12).contains(&sector_shift)
        && sector_shift + cluster_shift <= 25;
    if !valid {
        return Ok(None);
    }
    let heap = u64::from(boot.le32(88)) << sector_shift;
    let cluster = u64::from(boot.le32(96));
    let bytes = 1_u64 << (sector_shift + cluster_shift);
    let mut label = None;
    if let Some(index) = cluster.checked_sub(2) {
        // The label is where mkfs puts it, at the very start, unless it was set later.
        let directory = read_directory(disk, heap + index * bytes, bytes)?;
        label = directory
            .chunks_exact(ENTRY)
            .take_while(|entry| entry[0] != 0)
            .find(|entry| entry[0] == LABEL)
            .and_then(|entry| {
                let length = usize::from(entry[1].min(11)) * 2;
                Bytes(entry.to_vec()).text_utf16(2, length)
            });
    }
    let [a, b, c, d]: [u8; 4] = boot.array(100);
    Ok(Some(Superblock {
        label,
        uuid: (boot.le32(100) != 0).then(|| format!("{d:02X}{c:02X}-{b:02X}{a:02X}")),
        version: Some(format!("{}.{}", boot.u8(105), boot.u8(104))),
        block_size: Some(1 << sector_shift),
        ..Superblock::filesystem("exfat")
    }))
}

pub(super) fn ntfs(disk: &impl ReadAt) -> Found {
    let Some(boot) = disk.bytes(0, 512)? else { return Ok(None) };
    let sector_size = u64::from(boot.le16(0x0b));
    let valid = boot.has(3, b"NTFS    ")
        && (256..=4096).contains(&sector_size)
        && sector_size.is_power_of_two();
    if !valid {
        return Ok(None);
    }
    // Large clusters are written as a negative power of two.
    let cluster_sectors = match boot.u8(0x0d) {
        sectors @ (1 | 2 | 4 | 8 | 16 | 32 | 64 | 128) => u64::from(sectors),
        power @ 244..=249 => 1 << (256 - u32::from(power)),
        _ => return Ok(None),
    };
    let cluster = cluster_sectors * sector_size;
    let record = match boot.u8(0x40) {
        clusters @ 1..=64 => cluster * u64::from(clusters),
        power @ 226..=255 => 1 << (256 - u32::from(power)),
        _ => return Ok(None),
    };
    let Some(mft) = boot.le64(0x30).checked_mul(cluster) else { return Ok(None) };
    let serial = boot.le64(0x48);
    Ok(Some(Superblock {
        label: ntfs_label(disk, mft, record)?,
        uuid: (serial != 0).then(|| format!("{serial:016X}")),
        block_size: Some(sector_size),
        ..Superblock::filesystem("ntfs")
    }))
}

/// The label is an attribute of the file `$Volume`, which has the fourth record.
fn ntfs_label(disk: &impl ReadAt, mft: u64, record: u64) -> io::Result<Option<BString>> {
    const VOLUME_NAME: u32 = 0x60;
    const END: u32 = 0xffff_ffff;
    let at = mft.saturating_add(3 * record);
    let Some(record) = disk.bytes(at, record.min(64 << 10) as usize)? else { return Ok(None) };
    if !record.has(0, b"FILE") {
        return Ok(None);
    }
    let mut at = usize::from(record.le16(20));
    while at < record.0.len() {
        let (kind, len) = (record.le32(at), record.le32(at + 4) as usize);
        match kind {
            VOLUME_NAME => {
                let value = at + usize::from(record.le16(at + 20));
                return Ok(record.text_utf16(value, record.le32(at + 16).min(256) as usize));
            }
            END => break,
            // An attribute has a header, so this makes progress.
            _ if len < 16 => break,
            _ => at += len,
        }
    }
    Ok(None)
}

pub(super) fn bitlocker(disk: &impl ReadAt) -> Found {
    let Some(boot) = disk.bytes(0, 512)? else { return Ok(None) };
    // "To Go" looks like a FAT to machines that do not know it, and has its identity elsewhere.
    const IDENTITY: [u8; 16] = [
        0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 1,
    ];
    let to_go = boot.has(3, b"MSWIN4.1") && boot.has(424, &IDENTITY);
    let found = boot.has(3, b"-FVE-FS-") || to_go;
    Ok(found.then(|| Superblock::new("BitLocker", Usage::Crypto)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;

    /// 64 KiB in clusters of one sector: reserved 1, two tables of 1, 16 entries in the root.
    const FAT12: &[u8] = b"\xeb\x3c\x90mkfs.fat\0\x02\x01\x01\0\x02\x10\0\x80\0\xf8\x01\0";

    #[track_caller]
    fn check(content: &[(usize, &[u8])], expected: &str) {
        assert_eq!(found(64 << 10, content), expected);
    }

    #[test]
    fn fat() {
        let signature: (usize, &[u8]) = (510, b"\x55\xaa");
        let serial: (usize, &[u8]) = (0x27, b"\x4d\x3c\x2b\x1a");
        let name: (usize, &[u8]) = (0x36, b"FAT12   ");
        check(
            &[(0, FAT12), signature, serial, name],
            "filesystem vfat uuid=1A2B-3C4D version=FAT12",
        );
        let root = 3 * 512;
        check(
            &[
                (0, FAT12),
                name,
                (root, b"\xe5ELETED    \x08"),
                (root + 32, b"A LONG NAME\x0f"),
                (root + 64, b"FILE    TXT\x20"),
                (root + 96, b"MY LABEL   \x08"),
            ],
            "filesystem vfat label=MY LABEL version=FAT12",
        );
        check(&[(0, FAT12), name, (root, b"NO NAME    \x08")], "filesystem vfat version=FAT12");
        // An MBR has a jump and the signature too.
        check(&[(0, b"\xeb\x63\x90"), signature], "nothing");
    }

    #[test]
    fn ntfs() {
        let mut boot = *b"\xeb\x52\x90NTFS    \0\x02\x08";
        let label: &[(usize, &[u8])] = &[
            (0x30, b"\x04"),
            (0x40, b"\xf6"),
            (0x48, b"\x08\x07\x06\x05\x04\x03\x02\x01"),
            // The record of $Volume: an attribute to skip, then the name.
            (4 * 4096 + 3072, b"FILE"),
            (4 * 4096 + 3072 + 20, b"\x38"),
            (4 * 4096 + 3072 + 0x38, b"\x10\0\0\0\x18\0\0\0"),
            (4 * 4096 + 3072 + 0x50, b"\x60\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\x04\0\0\0\x18"),
            (4 * 4096 + 3072 + 0x68, b"C\0:\0"),
        ];
        check(
            &[&[(0, &boot[..])], label].concat(),
            "filesystem ntfs label=C: uuid=0102030405060708",
        );
        boot[12] = 3;
        check(&[&[(0, &boot[..])], label].concat(), "nothing");
    }

    #[test]
    fn exfat() {
        check(
            &[
                (0, b"\xeb\x76\x90EXFAT   "),
                (88, b"\x08"),
                (96, b"\x03\0\0\0\x04\x03\x02\x01\0\x01"),
                (108, b"\x09\x03"),
                (8192, b"\x83\x02E\0X\0"),
            ],
            "filesystem exfat label=EX uuid=0102-0304 version=1.0",
        );
    }

    #[test]
    fn bitlocker() {
        check(&[(0, b"\xeb\x58\x90-FVE-FS-")], "crypto BitLocker");
    }
}
