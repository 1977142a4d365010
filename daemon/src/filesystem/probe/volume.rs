// SPDX-License-Identifier: LGPL-2.1-or-later
//! What holds other devices: physical volumes, members of arrays, encryption.

use super::{Found, Superblock, Usage};
use crate::filesystem::bytes::{Bytes, ReadAt, uuid};

const MD_MAGIC: u32 = 0xa92b_4efc;
const SECTOR: u64 = 512;

/// A member of an array of md.
pub(crate) fn linux_raid(disk: &impl ReadAt) -> Found {
    let size = disk.size()?;
    // Format 1.0 keeps it near the end, on a 4 KiB boundary; 1.1 and 1.2 near the start.
    let near_end = (size / SECTOR).checked_sub(16).map(|sector| (sector & !7) * SECTOR);
    let places = [(Some(0), "1.1"), (Some(4096), "1.2"), (near_end, "1.0")];
    for (at, version) in places {
        let Some(at) = at else { continue };
        let Some(block) = disk.bytes(at, 256)? else { continue };
        let at_home = block.le64(144) == at / SECTOR;
        if block.le32(0) == MD_MAGIC && block.le32(4) == 1 && at_home {
            return Ok(Some(Superblock {
                label: block.text(32, 32),
                uuid: block.uuid(16),
                uuid_sub: block.uuid(168),
                version: Some(version.into()),
                ..Superblock::new("linux_raid_member", Usage::Raid)
            }));
        }
    }
    linux_raid_0_90(disk, size)
}

fn linux_raid_0_90(disk: &impl ReadAt, size: u64) -> Found {
    const RESERVED: u64 = 64 << 10;
    let Some(at) = (size & !(RESERVED - 1)).checked_sub(RESERVED) else { return Ok(None) };
    let Some(block) = disk.bytes(at, 64)? else { return Ok(None) };
    // Everything is in the byte order of the machine that made it.
    let word: fn(&Bytes, usize) -> u32 = match (block.le32(0), block.be32(0)) {
        (MD_MAGIC, _) => Bytes::le32,
        (_, MD_MAGIC) => Bytes::be32,
        _ => return Ok(None),
    };
    let mut bytes = [0; 16];
    for (chunk, at) in bytes.chunks_mut(4).zip([20, 52, 56, 60]) {
        chunk.copy_from_slice(&word(&block, at).to_be_bytes());
    }
    let version = [4, 8, 12].map(|at| word(&block, at).to_string()).join(".");
    Ok(Some(Superblock {
        uuid: Some(uuid(bytes)),
        version: Some(version),
        ..Superblock::new("linux_raid_member", Usage::Raid)
    }))
}

/// A physical volume: its label is in one of the first four sectors.
pub(crate) fn lvm2(disk: &impl ReadAt) -> Found {
    for sector in 0..4 {
        let Some(block) = disk.bytes(sector * SECTOR, 512)? else { break };
        let is_label =
            block.has(0, b"LABELONE") && block.has(24, b"LVM2 001") && block.le64(8) == sector;
        if !is_label {
            continue;
        }
        let header = usize::try_from(block.le32(20)).unwrap_or(usize::MAX);
        return Ok(Some(Superblock {
            uuid: lvm_uuid(block.slice(header, 32)),
            version: Some("LVM2 001".into()),
            ..Superblock::new("LVM2_member", Usage::Raid)
        }));
    }
    Ok(None)
}

/// 32 letters and digits, in groups as LVM prints them.
fn lvm_uuid(letters: &[u8]) -> Option<String> {
    let valid = letters.len() == 32 && letters.iter().all(|it| it.is_ascii_alphanumeric());
    valid.then(|| {
        let mut text = String::with_capacity(38);
        for (idx, &letter) in letters.iter().enumerate() {
            if matches!(idx, 6 | 10 | 14 | 18 | 22 | 26) {
                text.push('-');
            }
            text.push(letter.into());
        }
        text
    })
}

pub(super) fn luks(disk: &impl ReadAt) -> Found {
    let Some(block) = disk.bytes(0, 512)? else { return Ok(None) };
    let version = block.be16(6);
    if !block.has(0, b"LUKS\xba\xbe") || !matches!(version, 1 | 2) {
        return Ok(None);
    }
    Ok(Some(Superblock {
        label: block.text(24, 48).filter(|_| version == 2),
        uuid: block.text(168, 40).map(|it| it.to_string()),
        version: Some(version.to_string()),
        ..Superblock::new("crypto_LUKS", Usage::Crypto)
    }))
}

/// The first of the four labels has a ring of uberblocks, of which one at least is valid.
pub(super) fn zfs(disk: &impl ReadAt) -> Found {
    const RING: u64 = 128 << 10;
    const MAGIC: u64 = 0x00ba_b10c;
    let Some(ring) = disk.bytes(RING, 128 << 10)? else { return Ok(None) };
    let valid = |at| [ring.le64(at), ring.le64(at).swap_bytes()].contains(&MAGIC);
    let found = (0..128).any(|slot| valid(slot * 1024));
    Ok(found.then(|| Superblock::new("zfs_member", Usage::Raid)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;

    #[track_caller]
    fn check(content: &[(usize, &[u8])], expected: &str) {
        assert_eq!(found(256 << 10, content), expected);
    }

    #[test]
    fn physical_volumes() {
        check(
            &[
                (512, b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001"),
                (544, b"T3fArvXvttsI2aqvM3akQ8uIEHu71yrS"),
            ],
            "raid LVM2_member uuid=T3fArv-Xvtt-sI2a-qvM3-akQ8-uIEH-u71yrS version=LVM2 001",
        );
        // Copied from another sector.
        check(&[(512, b"LABELONE\x02\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001")], "nothing");
    }

    #[test]
    fn arrays() {
        let magic = b"\xfc\x4e\x2b\xa9\x01\0\0\0";
        check(
            &[(4096, magic), (4096 + 32, b"host:0"), (4096 + 144, b"\x08")],
            "raid linux_raid_member label=host:0 version=1.2",
        );
        check(&[(4096, magic)], "nothing");
        check(&[(0, magic)], "raid linux_raid_member version=1.1");
        let near_end = (256 << 10) - 8192;
        check(
            &[(near_end, magic), (near_end + 144, b"\xf0\x01")],
            "raid linux_raid_member version=1.0",
        );
        check(
            &[
                (192 << 10, b"\xfc\x4e\x2b\xa9\0\0\0\0\x5a\0\0\0\0\0\0\0"),
                ((192 << 10) + 20, b"\x04\x03\x02\x01"),
            ],
            "raid linux_raid_member uuid=01020304-0000-0000-0000-000000000000 version=0.90.0",
        );
    }

    #[test]
    fn encryption() {
        let uuid = b"a3a61220-882b-4f61-89f4-cf24dcc7297d";
        check(
            &[(0, b"LUKS\xba\xbe\0\x01"), (24, b"aes"), (168, uuid)],
            "crypto crypto_LUKS uuid=a3a61220-882b-4f61-89f4-cf24dcc7297d version=1",
        );
        check(
            &[(0, b"LUKS\xba\xbe\0\x02"), (24, b"secret"), (168, uuid)],
            "crypto crypto_LUKS label=secret uuid=a3a61220-882b-4f61-89f4-cf24dcc7297d version=2",
        );
        check(&[(0, b"LUKS\xba\xbe\0\x03")], "nothing");
    }

    #[test]
    fn pools() {
        check(&[((128 + 4) << 10, b"\x0c\xb1\xba\0\0\0\0\0")], "raid zfs_member");
    }
}
