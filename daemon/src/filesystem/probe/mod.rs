// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tells what a device holds by its superblock, with the names that blkid gives.

mod dos;
mod linux;
mod optical;
pub(crate) mod volume;

use std::io;

use bstr::BString;

use super::bytes::{Bytes, ReadAt};

/// What a filesystem, or something in the place of one, says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// Name of the kind, such as `ext4`.
    pub(crate) fstype: &'static str,
    /// What it is good for.
    pub(crate) usage: Usage,
    /// Name given by a person.
    pub(crate) label: Option<BString>,
    /// Whatever identifies it, in the notation of its kind.
    pub(crate) uuid: Option<String>,
    /// Identity of this device among those of the same `uuid`.
    pub(crate) uuid_sub: Option<String>,
    /// Version of the format.
    pub(crate) version: Option<String>,
    /// An older name of the kind.
    pub(crate) sec_type: Option<&'static str>,
    /// The smallest piece in which the device is read and written.
    pub(crate) block_size: Option<u64>,
}

/// What a device is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// It can be mounted.
    Filesystem,
    /// It is a part of something larger.
    Raid,
    /// It must be opened with a key.
    Crypto,
    /// Swap and the like.
    Other,
}

impl Usage {
    /// The word that blkid has for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Filesystem => "filesystem",
            Self::Raid => "raid",
            Self::Crypto => "crypto",
            Self::Other => "other",
        }
    }
}

impl Superblock {
    fn new(fstype: &'static str, usage: Usage) -> Self {
        Self {
            fstype,
            usage,
            label: None,
            uuid: None,
            uuid_sub: None,
            version: None,
            sec_type: None,
            block_size: None,
        }
    }

    fn filesystem(fstype: &'static str) -> Self {
        Self::new(fstype, Usage::Filesystem)
    }
}

/// Result of looking for one kind.
type Found = io::Result<Option<Superblock>>;

/// Finds out what `disk` holds; the first kind found counts.
pub(crate) fn probe(disk: &impl ReadAt) -> Found {
    for kind in kinds() {
        if let Some(found) = kind(disk)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// All kinds.  Containers come first, as what they contain may begin at the same place; those with
/// weak signatures come last.
fn kinds<D: ReadAt>() -> [fn(&D) -> Found; 20] {
    [
        volume::linux_raid,
        volume::lvm2,
        volume::luks,
        dos::bitlocker,
        volume::zfs,
        linux::swap,
        linux::btrfs,
        linux::ext,
        linux::f2fs,
        linux::squashfs,
        simple,
        dos::exfat,
        dos::ntfs,
        dos::vfat,
        optical::udf,
        optical::iso9660,
        linux::reiserfs,
        linux::minix,
        linux::hfs,
        linux::ufs,
    ]
}

/// A kind that says everything at fixed places of one block.
struct Simple {
    fstype: &'static str,
    /// Where the block is, and the magic in it.
    at: u64,
    magic: (usize, &'static [u8]),
    uuid: Option<usize>,
    label: Option<(usize, usize)>,
    block_size: fn(&Bytes) -> Option<u64>,
}

const SIMPLE: &[Simple] = &[
    Simple {
        fstype: "xfs",
        at: 0,
        magic: (0, b"XFSB"),
        uuid: Some(32),
        label: Some((108, 12)),
        block_size: |it| Some(it.be16(102).into()),
    },
    Simple {
        fstype: "erofs",
        at: 1024,
        magic: (0, &[0xe2, 0xe1, 0xf5, 0xe0]),
        uuid: Some(48),
        label: Some((64, 16)),
        block_size: |it| 1_u64.checked_shl(it.u8(12).into()),
    },
    Simple {
        fstype: "jfs",
        at: 32768,
        magic: (0, b"JFS1"),
        uuid: Some(136),
        label: Some((152, 16)),
        block_size: |it| Some(it.le32(24).into()),
    },
    Simple {
        fstype: "nilfs2",
        at: 1024,
        magic: (6, &[0x34, 0x34]),
        uuid: Some(152),
        label: Some((168, 80)),
        block_size: |it| 1_u64.checked_shl(it.le32(20).saturating_add(10)),
    },
    Simple {
        fstype: "cramfs",
        at: 0,
        magic: (0, &[0x45, 0x3d, 0xcd, 0x28]),
        uuid: None,
        label: Some((48, 16)),
        block_size: |_| None,
    },
    Simple {
        fstype: "bcachefs",
        at: 4096,
        magic: (
            24,
            &[
                0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d,
                0xf7, 0xef,
            ],
        ),
        uuid: Some(56),
        label: Some((72, 32)),
        block_size: |it| Some(u64::from(it.le16(124)) * 512),
    },
];

fn simple(disk: &impl ReadAt) -> Found {
    for kind in SIMPLE {
        let Some(block) = disk.bytes(kind.at, 512)? else { continue };
        let (at, magic) = kind.magic;
        if block.has(at, magic) {
            return Ok(Some(Superblock {
                uuid: kind.uuid.and_then(|at| block.uuid(at)),
                label: kind.label.and_then(|(at, len)| block.text(at, len)),
                block_size: (kind.block_size)(&block),
                ..Superblock::filesystem(kind.fstype)
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found on a disk of this size with these bytes at these places.
    pub(super) fn found(size: usize, content: &[(usize, &[u8])]) -> String {
        let mut disk = vec![0; size];
        for (at, bytes) in content {
            disk[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        describe(&disk)
    }

    pub(super) fn describe(disk: &Vec<u8>) -> String {
        let Some(found) = probe(disk).unwrap() else { return "nothing".into() };
        let mut text = format!("{} {}", found.usage.name(), found.fstype);
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!(" {name}={value}"));
            }
        };
        add("label", found.label.map(|it| it.to_string()));
        add("uuid", found.uuid);
        add("sub", found.uuid_sub);
        add("version", found.version);
        text
    }

    const UUID: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";

    #[track_caller]
    fn check(content: &[(usize, &[u8])], expected: &str) {
        assert_eq!(found(200 << 10, content), expected);
    }

    #[test]
    fn fixed_places() {
        check(
            &[(0, b"XFSB"), (32, &UUID), (108, b"twelve bytes")],
            "filesystem xfs label=twelve bytes uuid=01234567-89ab-cdef-0123-456789abcdef",
        );
        check(&[(1024, b"\xe2\xe1\xf5\xe0")], "filesystem erofs");
        check(&[(32768, b"JFS1"), (32920, b"j")], "filesystem jfs label=j");
        check(&[], "nothing");
    }

    #[test]
    fn no_disk_is_too_small() {
        for size in [0, 1, 511, 512, 513, 1024, 4096, 65535] {
            assert_eq!(found(size, &[]), "nothing");
        }
    }

    /// No claim of a disk may make the prober panic, loop or allocate without bound.
    #[test]
    fn absurd_numbers() {
        let magics: &[(usize, &[u8])] = &[
            (1024 + 0x38, b"\x53\xef"),
            (65536 + 64, b"_BHRfS_M"),
            (3, b"NTFS    "),
            (3, b"EXFAT   "),
            (0x52, b"FAT32   "),
            (0, b"XFSB"),
            (0, b"LUKS\xba\xbe\xff\xff"),
            (512, b"LABELONE"),
            (512 + 24, b"LVM2 001"),
            (4096, b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
            (32769, b"CD001"),
            (1024, b"\x10\x20\xf5\xf2"),
            (4086, b"SWAPSPACE2"),
        ];
        for fill in [0xff, 0x80, 0x7f, 0x01] {
            for (at, magic) in magics {
                let mut disk = vec![fill; 200 << 10];
                disk[*at..at + magic.len()].copy_from_slice(magic);
                disk[510..512].copy_from_slice(b"\x55\xaa");
                describe(&disk);
            }
        }
    }
}
