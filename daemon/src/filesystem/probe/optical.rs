// SPDX-License-Identifier: LGPL-2.1-or-later
//! Filesystems of CDs and DVDs: sectors of 2 KiB, and descriptors from the sixteenth one on.

use std::io;

use bstr::BString;

use super::{Found, Superblock};
use crate::filesystem::bytes::{Bytes, ReadAt, utf16};

const SECTOR: u64 = 2048;
const FIRST: u64 = 16;
/// The most descriptors that are looked at.
const DESCRIPTORS_MAX: u64 = 64;

/// The volume descriptors of any standard, up to the first sector that is none.
fn descriptors(disk: &impl ReadAt) -> io::Result<Vec<Bytes>> {
    let mut found = Vec::new();
    for sector in FIRST..FIRST + DESCRIPTORS_MAX {
        let Some(block) = disk.bytes(sector * SECTOR, SECTOR as usize)? else { break };
        match &block.array::<5>(1) {
            b"CD001" | b"BEA01" | b"NSR02" | b"NSR03" | b"BOOT2" | b"TEA01" => found.push(block),
            _ => break,
        }
    }
    Ok(found)
}

pub(super) fn iso9660(disk: &impl ReadAt) -> Found {
    const PRIMARY: u8 = 1;
    const SUPPLEMENTARY: u8 = 2;
    let descriptors = descriptors(disk)?;
    let of_type = |kind: u8| descriptors.iter().find(|it| it.has(1, b"CD001") && it.u8(0) == kind);
    let Some(primary) = of_type(PRIMARY) else { return Ok(None) };
    // An escape sequence says that names are UCS-2.
    let joliet = of_type(SUPPLEMENTARY)
        .is_some_and(|it| [&b"%/@"[..], b"%/C", b"%/E"].iter().any(|escape| it.has(88, escape)));
    Ok(Some(Superblock {
        label: primary.text(40, 32),
        uuid: date(primary, 830).or_else(|| date(primary, 813)),
        version: joliet.then(|| "Joliet Extension".into()),
        block_size: Some(SECTOR),
        ..Superblock::filesystem("iso9660")
    }))
}

/// A moment of the making in digits is the nearest thing to a UUID.
fn date(descriptor: &Bytes, at: usize) -> Option<String> {
    let digits = descriptor.array::<16>(at);
    let set = digits.iter().all(u8::is_ascii_digit) && digits.iter().any(|it| *it != b'0');
    set.then(|| {
        let digits = String::from_utf8_lossy(&digits).into_owned();
        let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16];
        parts.map(|range| digits[range].to_owned()).join("-")
    })
}

pub(super) fn udf(disk: &impl ReadAt) -> Found {
    let is_udf = descriptors(disk)?.iter().any(|it| it.has(1, b"NSR02") || it.has(1, b"NSR03"));
    if !is_udf {
        return Ok(None);
    }
    for block_size in [2048, 512, 1024, 4096] {
        if let Some(found) = udf_volume(disk, block_size)? {
            return Ok(Some(found));
        }
    }
    Ok(Some(Superblock::filesystem("udf")))
}

/// What the descriptors say to which the anchor leads.  None if there is no anchor, so that blocks
/// have another size.
fn udf_volume(disk: &impl ReadAt, block_size: u64) -> Found {
    const PRIMARY: u16 = 1;
    const ANCHOR: u16 = 2;
    const LOGICAL_VOLUME: u16 = 6;
    const TERMINATOR: u16 = 8;
    let Some(anchor) = disk.bytes(256 * block_size, 512)? else { return Ok(None) };
    if anchor.le16(0) != ANCHOR || anchor.le32(12) != 256 {
        return Ok(None);
    }
    let mut found = Superblock::filesystem("udf");
    found.block_size = Some(block_size);
    let (len, start) = (u64::from(anchor.le32(16)), u64::from(anchor.le32(20)));
    for index in 0..(len / block_size).min(DESCRIPTORS_MAX) {
        let Some(descriptor) = disk.bytes((start + index) * block_size, 512)? else { break };
        match descriptor.le16(0) {
            PRIMARY => found.uuid = dstring(&descriptor, 72, 128).and_then(unique_part),
            LOGICAL_VOLUME => {
                found.label = dstring(&descriptor, 84, 128);
                let [minor, major] = descriptor.array(240);
                found.version = (major != 0).then(|| format!("{major:x}.{minor:02x}"));
            }
            TERMINATOR => break,
            _ => {}
        }
    }
    Ok(Some(found))
}

/// The name of a set of volumes begins with 16 hexadecimal digits which no other set has.
fn unique_part(name: BString) -> Option<String> {
    let digits = name.get(..16)?;
    let valid = digits.iter().all(u8::is_ascii_hexdigit);
    valid.then(|| String::from_utf8_lossy(digits).to_ascii_lowercase())
}

/// A text with its encoding in the first byte and its length in the last.
fn dstring(block: &Bytes, at: usize, field: usize) -> Option<BString> {
    let len = usize::from(block.u8(at + field - 1)).min(field - 1);
    let content = block.slice(at + 1, len.checked_sub(1)?);
    let units: Vec<u16> = match block.u8(at) {
        8 => content.iter().map(|byte| u16::from(*byte)).collect(),
        16 => content.as_chunks().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect(),
        _ => return None,
    };
    let text = utf16(&units);
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;

    #[track_caller]
    fn check(content: &[(usize, &[u8])], expected: &str) {
        assert_eq!(found(600 << 10, content), expected);
    }

    #[test]
    fn iso9660() {
        let primary = 16 * 2048;
        let date = b"2024022913051700";
        check(
            &[(primary, b"\x01CD001"), (primary + 40, b"DEBIAN  "), (primary + 813, date)],
            "filesystem iso9660 label=DEBIAN uuid=2024-02-29-13-05-17-00",
        );
        check(
            &[
                (primary, b"\x01CD001"),
                (primary + 830, b"0000000000000000"),
                (primary + 2048, b"\x02CD001"),
                (primary + 2048 + 88, b"%/E"),
            ],
            "filesystem iso9660 version=Joliet Extension",
        );
        check(&[(primary, b"\xffCD001")], "nothing");
    }

    #[test]
    fn udf() {
        let anchor = 256 * 2048;
        let volume = 20 * 2048;
        let chain: &[(usize, &[u8])] =
            &[(16 * 2048, b"\0BEA01"), (17 * 2048, b"\0NSR03"), (18 * 2048, b"\0TEA01")];
        check(chain, "filesystem udf");
        let label: &[(usize, &[u8])] = &[
            (anchor, b"\x02\0"),
            (anchor + 12, b"\0\x01\0\0\0\x40\0\0\x14"),
            (volume, b"\x06\0"),
            (volume + 240, b"\x01\x02"),
            (volume + 2048, b"\x01\0"),
            (volume + 2048 + 72, b"\x086B0320b580e89597LinuxUDF"),
            (volume + 2048 + 72 + 127, b"\x19"),
            (volume + 84, b"\x10\0D\0V\0D"),
            (volume + 84 + 127, b"\x07"),
        ];
        check(
            &[chain, label].concat(),
            "filesystem udf label=DVD uuid=6b0320b580e89597 version=2.01",
        );
    }
}
