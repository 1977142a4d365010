// SPDX-License-Identifier: LGPL-2.1-or-later
//! Filesystems of Linux and other Unix systems, and swap.

use super::{Found, Superblock, Usage};
use crate::filesystem::bytes::ReadAt;

/// Features that decide between the members of the ext family.
const HAS_JOURNAL: u32 = 0x4;
const JOURNAL_DEV: u32 = 0x8;
const EXT2_INCOMPAT: u32 = 0x2 | 0x10;
const EXT3_INCOMPAT: u32 = EXT2_INCOMPAT | 0x4;
const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;

/// The oldest member that understands all features is the type, as for the kernel.
pub(super) fn ext(disk: &impl ReadAt) -> Found {
    let Some(block) = disk.bytes(1024, 1024)? else { return Ok(None) };
    if block.le16(0x38) != 0xef53 {
        return Ok(None);
    }
    let (compat, incompat, ro_compat) = (block.le32(0x5c), block.le32(0x60), block.le32(0x64));
    let journal = compat & HAS_JOURNAL != 0;
    let old = ro_compat & !EXT3_RO_COMPAT == 0;
    let (fstype, usage) = match () {
        () if incompat & JOURNAL_DEV != 0 => ("jbd", Usage::Other),
        () if !journal && old && incompat & !EXT2_INCOMPAT == 0 => ("ext2", Usage::Filesystem),
        () if journal && old && incompat & !EXT3_INCOMPAT == 0 => ("ext3", Usage::Filesystem),
        () => ("ext4", Usage::Filesystem),
    };
    Ok(Some(Superblock {
        label: block.text(0x78, 16),
        uuid: block.uuid(0x68),
        version: Some(format!("{}.{}", block.le32(0x4c), block.le16(0x3e))),
        sec_type: (fstype == "ext3").then_some("ext2"),
        block_size: 1024_u64.checked_shl(block.le32(0x18)),
        ..Superblock::new(fstype, usage)
    }))
}

pub(super) fn btrfs(disk: &impl ReadAt) -> Found {
    let Some(block) = disk.bytes(65536, 1024)? else { return Ok(None) };
    Ok(block.has(64, b"_BHRfS_M").then(|| Superblock {
        label: block.text(299, 256),
        uuid: block.uuid(32),
        uuid_sub: block.uuid(267),
        block_size: Some(block.le32(144).into()),
        ..Superblock::filesystem("btrfs")
    }))
}

pub(super) fn f2fs(disk: &impl ReadAt) -> Found {
    let Some(block) = disk.bytes(1024, 2048)? else { return Ok(None) };
    Ok((block.le32(0) == 0xf2f5_2010).then(|| Superblock {
        label: block.text_utf16(124, 1024),
        uuid: block.uuid(108),
        version: Some(format!("{}.{}", block.le16(4), block.le16(6))),
        block_size: 1_u64.checked_shl(block.le32(16)),
        ..Superblock::filesystem("f2fs")
    }))
}

pub(super) fn squashfs(disk: &impl ReadAt) -> Found {
    let Some(block) = disk.bytes(0, 96)? else { return Ok(None) };
    let (major, minor) = match block.array(0) {
        [b'h', b's', b'q', b's'] => (block.le16(28), block.le16(30)),
        [b's', b'q', b's', b'h'] => (block.be16(28), block.be16(30)),
        _ => return Ok(None),
    };
    let fstype = if major > 3 { "squashfs" } else { "squashfs3" };
    Ok(Some(Superblock {
        version: Some(format!("{major}.{minor}")),
        ..Superblock::filesystem(fstype)
    }))
}

/// The signature is at the end of the first page, and pages differ between machines.
pub(super) fn swap(disk: &impl ReadAt) -> Found {
    for page_size in [4096_u64, 8192, 16384, 32768, 65536] {
        let Some(signature) = disk.bytes(page_size - 10, 10)? else { break };
        let Some(header) = disk.bytes(1024, 44)? else { break };
        let version = match &signature.0[..] {
            b"SWAP-SPACE" => 0,
            // The creating machine's byte order shows in the version.
            b"SWAPSPACE2" if [header.le32(0), header.be32(0)].contains(&1) => 1,
            b"S1SUSPEND\0" | b"S2SUSPEND\0" | b"ULSUSPEND\0" | b"LINHIB0001" => {
                return Ok(Some(Superblock {
                    label: header.text(28, 16),
                    uuid: header.uuid(12),
                    ..Superblock::new("swsuspend", Usage::Other)
                }));
            }
            _ => continue,
        };
        return Ok(Some(Superblock {
            label: header.text(28, 16).filter(|_| version > 0),
            uuid: header.uuid(12).filter(|_| version > 0),
            version: Some(version.to_string()),
            ..Superblock::new("swap", Usage::Other)
        }));
    }
    Ok(None)
}

pub(super) fn reiserfs(disk: &impl ReadAt) -> Found {
    for at in [65536, 8192] {
        let Some(block) = disk.bytes(at, 204)? else { continue };
        if block.has(52, b"ReIsErFs") || block.has(52, b"ReIsEr2Fs") || block.has(52, b"ReIsEr3Fs")
        {
            return Ok(Some(Superblock {
                label: block.text(100, 16),
                uuid: block.uuid(84),
                block_size: Some(block.le16(44).into()),
                ..Superblock::filesystem("reiserfs")
            }));
        }
    }
    Ok(None)
}

/// Two bytes are a weak signature, so the numbers must make sense too.
pub(super) fn minix(disk: &impl ReadAt) -> Found {
    let Some(block) = disk.bytes(1024, 32)? else { return Ok(None) };
    let version = match (block.le16(16), block.le16(24)) {
        (0x137f | 0x138f, _) => 1,
        (0x2468 | 0x2478, _) => 2,
        (_, 0x4d5a) => 3,
        _ => return Ok(None),
    };
    let (inodes, inode_blocks, zone_blocks, log_zone_size) = match version {
        3 => (block.le32(0), block.le16(6), block.le16(8), block.le16(12)),
        _ => (block.le16(0).into(), block.le16(4), block.le16(6), block.le16(10)),
    };
    // Zones larger than a block were never used, and a bitmap's blocks have a bit for each inode.
    let makes_sense = log_zone_size == 0
        && inodes > 0
        && zone_blocks > 0
        && u64::from(inode_blocks) * 8192 >= u64::from(inodes);
    Ok(makes_sense.then(|| Superblock {
        version: Some(version.to_string()),
        ..Superblock::filesystem("minix")
    }))
}

pub(super) fn hfs(disk: &impl ReadAt) -> Found {
    let Some(block) = disk.bytes(1024, 512)? else { return Ok(None) };
    let fstype = match block.array(0) {
        [b'H', b'+' | b'X'] if matches!(block.be16(2), 4 | 5) => "hfsplus",
        // A wrapper of HFS around HFS+ says so in the middle.
        [b'B', b'D'] if block.has(0x7c, b"H+") => "hfsplus",
        [b'B', b'D'] if block.be32(20) != 0 && block.be32(20) % 512 == 0 => "hfs",
        _ => return Ok(None),
    };
    let name_length = block.u8(36).min(27).into();
    Ok(Some(Superblock {
        label: (fstype == "hfs").then(|| block.text(37, name_length)).flatten(),
        ..Superblock::filesystem(fstype)
    }))
}

pub(super) fn ufs(disk: &impl ReadAt) -> Found {
    for at in [8192, 65536, 0, 262_144] {
        let Some(block) = disk.bytes(at, 1376)? else { continue };
        let version = match (block.le32(1372), block.be32(1372)) {
            (0x0001_1954, _) | (_, 0x0001_1954) => 1,
            (0x1954_0119, _) | (_, 0x1954_0119) => 2,
            _ => continue,
        };
        return Ok(Some(Superblock {
            label: block.text(680, 32).filter(|_| version == 2),
            version: Some(version.to_string()),
            ..Superblock::filesystem("ufs")
        }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;

    #[track_caller]
    fn check(content: &[(usize, &[u8])], expected: &str) {
        assert_eq!(found(200 << 10, content), expected);
    }

    #[test]
    fn the_ext_family() {
        let ext = |compat: u32, incompat: u32, ro_compat: u32| {
            let features: Vec<u8> =
                [compat, incompat, ro_compat].into_iter().flat_map(u32::to_le_bytes).collect();
            found(
                200 << 10,
                &[
                    (1024 + 0x38, b"\x53\xef"),
                    (1024 + 0x4c, b"\x01"),
                    (1024 + 0x5c, &features),
                    (1024 + 0x78, b"sixteen-bytes-16"),
                ],
            )
        };
        let named = |kind: &str| format!("{kind} label=sixteen-bytes-16 version=1.0");
        // The defaults of mke2fs for each.
        assert_eq!(ext(0x38, 0x2, 0x3), named("filesystem ext2"));
        assert_eq!(ext(0x3c, 0x2, 0x3), named("filesystem ext3"));
        assert_eq!(ext(0x3c, 0x6, 0x3), named("filesystem ext3"));
        assert_eq!(ext(0x3c, 0x2c2, 0x46b), named("filesystem ext4"));
        assert_eq!(ext(0x38, 0x2c2, 0x46b), named("filesystem ext4"));
        // Not replayed: ext2 would not do.
        assert_eq!(ext(0x38, 0x6, 0x3), named("filesystem ext4"));
        assert_eq!(ext(0, 0x8, 0), named("other jbd"));
    }

    #[test]
    fn members_of_a_btrfs() {
        check(
            &[
                (65536 + 64, b"_BHRfS_M"),
                (65536 + 32, &[0x11; 16]),
                (65536 + 267, &[0x22; 16]),
                (65536 + 299, b"a label"),
            ],
            "filesystem btrfs label=a label uuid=11111111-1111-1111-1111-111111111111 \
             sub=22222222-2222-2222-2222-222222222222",
        );
    }

    #[test]
    fn swap_of_all_machines() {
        check(
            &[(1024, b"\x01"), (1052, b"S"), (4086, b"SWAPSPACE2")],
            "other swap label=S version=1",
        );
        check(&[(1024, b"\0\0\0\x01"), (65526, b"SWAPSPACE2")], "other swap version=1");
        check(&[(4086, b"SWAPSPACE2")], "nothing");
        check(&[(4086, b"S1SUSPEND\0")], "other swsuspend");
    }

    #[test]
    fn weak_signatures() {
        check(&[(1024 + 16, b"\x7f\x13")], "nothing");
        check(
            &[(1024, b"\x60\0\x20\0\x01\0\x01\0"), (1024 + 16, b"\x7f\x13")],
            "filesystem minix version=1",
        );
        check(&[(1024, b"H+\0\x04")], "filesystem hfsplus");
        check(&[(1024, b"H+\0\x09")], "nothing");
        check(&[(8192 + 1372, b"\x54\x19\x01\0")], "filesystem ufs version=1");
        check(&[(0, b"hsqs"), (28, b"\x04\0\0\0")], "filesystem squashfs version=4.0");
    }
}
