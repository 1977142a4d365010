// SPDX-License-Identifier: LGPL-2.1-or-later
//! Headers of tar archives: blocks of 512 bytes with fields at fixed places.
//!
//! Written after "ustar Interchange Format" in POSIX.1-2017 (pax) and "Basic Tar Format" in the
//! manual of GNU tar.  The crate `tar` reads neither the sparse files of pax nor values with a
//! newline in them, such as those of `security.capability`, nor times before 1970; and what it
//! would be left with is this file.

use std::ops::Range;

use bstr::{BString, ByteSlice};

/// Everything in an archive begins at a multiple of this.
pub(super) const BLOCK: usize = 512;

/// The longest name that fits into a header.
pub(super) const NAME_MAX: usize = 100;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPEFLAG: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const USER: Range<usize> = 265..297;
const GROUP: Range<usize> = 297..329;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;

const USTAR: &[u8] = b"ustar\x0000";
const GNU: &[u8] = b"ustar  \0";

/// Which of the formats a header is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Before there were users in it, or of an unknown kind.
    V7,
    /// Of POSIX, with or without extended headers.
    Ustar,
    Gnu,
}

/// What a header says by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) format: Format,
    pub(super) typeflag: u8,
    pub(super) name: BString,
    pub(super) link: BString,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    /// Major and minor number.
    pub(super) device: (u32, u32),
    /// For archives that are written.
    pub(super) user: BString,
    pub(super) group: BString,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            format: Format::Gnu,
            typeflag: b'0',
            name: BString::default(),
            link: BString::default(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 0,
            device: (0, 0),
            user: BString::default(),
            group: BString::default(),
        }
    }
}

impl Header {
    /// Reads a block that is not all zero.
    pub(super) fn decode(block: &[u8; BLOCK]) -> Result<Self, String> {
        if !has_checksum(block) {
            return Err("the checksum is wrong".into());
        }
        let format = match &block[MAGIC] {
            GNU => Format::Gnu,
            // Some write another version, or none.
            magic if magic.starts_with(b"ustar\0") => Format::Ustar,
            _ => Format::V7,
        };
        let mut name = BString::default();
        if format == Format::Ustar && block[PREFIX.start] != 0 {
            name.extend_from_slice(text(&block[PREFIX]));
            name.push(b'/');
        }
        name.extend_from_slice(text(&block[NAME]));
        let typeflag = block[TYPEFLAG];
        let number = |field: Range<usize>, what| {
            number(&block[field]).ok_or_else(|| format!("the {what} is not a number"))
        };
        let natural = |field, what| {
            u64::try_from(number(field, what)?).map_err(|_| format!("the {what} is negative"))
        };
        let device = match typeflag {
            b'3' | b'4' => {
                let part = |field| {
                    let number = natural(field, "number of the device")?;
                    u32::try_from(number).map_err(|_| format!("there is no device {number}"))
                };
                (part(MAJOR)?, part(MINOR)?)
            }
            _ => (0, 0),
        };
        Ok(Self {
            format,
            typeflag,
            name,
            link: text(&block[LINK]).into(),
            mode: (natural(MODE, "mode")? & 0o7777) as u32,
            uid: natural(UID, "owner")?,
            gid: natural(GID, "group")?,
            size: natural(SIZE, "size")?,
            mtime: number(MTIME, "time")?,
            device,
            user: text(&block[USER]).into(),
            group: text(&block[GROUP]).into(),
        })
    }

    /// Makes a block of it; of names there is what fits.
    pub(super) fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put_text(&mut block[NAME], &self.name, NAME_MAX);
        put_text(&mut block[LINK], &self.link, NAME_MAX);
        block[TYPEFLAG] = self.typeflag;
        for (field, value) in [(MODE, self.mode.into()), (UID, self.uid), (GID, self.gid)] {
            put_number(&mut block[field], value.cast_signed());
        }
        put_number(&mut block[SIZE], self.size.cast_signed());
        put_number(&mut block[MTIME], self.mtime);
        let magic = match self.format {
            Format::V7 => b"",
            Format::Ustar => USTAR,
            Format::Gnu => GNU,
        };
        block[MAGIC][..magic.len()].copy_from_slice(magic);
        // The last byte stays NUL.
        put_text(&mut block[USER], &self.user, USER.len() - 1);
        put_text(&mut block[GROUP], &self.group, GROUP.len() - 1);
        if matches!(self.typeflag, b'3' | b'4') {
            put_number(&mut block[MAJOR], self.device.0.into());
            put_number(&mut block[MINOR], self.device.1.into());
        }
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        put_octal(&mut block[CHECKSUM][..6], u64::from(sum));
        block[CHECKSUM.start + 6] = 0;
        block
    }
}

/// Whether a number has to be written in the way of GNU tar.
pub(super) fn is_too_large(value: i64, field_size: usize) -> bool {
    value < 0 || value >> (3 * (field_size - 1)) != 0
}

/// Fields of owners and of device numbers.
pub(super) const SHORT: usize = 8;

/// Those of sizes and times.
pub(super) const LONG: usize = 12;

fn has_checksum(block: &[u8; BLOCK]) -> bool {
    let Some(expected) = number(&block[CHECKSUM]) else { return false };
    let others = || block[..CHECKSUM.start].iter().chain(&block[CHECKSUM.end..]);
    let blanks = CHECKSUM.len() as i64 * i64::from(b' ');
    let unsigned: i64 = others().map(|&byte| i64::from(byte)).sum();
    // Some of old took bytes for signed ones.
    expected == blanks + unsigned
        || expected == blanks + others().map(|&byte| i64::from(byte.cast_signed())).sum::<i64>()
}

/// A number in octal digits, or in binary if the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The bit below is the sign.
        let first = i128::from((first << 1).cast_signed() >> 1);
        let value = rest.iter().fold(first, |value, &byte| value << 8 | i128::from(byte));
        return i64::try_from(value).ok();
    }
    let digits = field.trim_start_with(|c| c == ' ');
    let end = digits.iter().position(|byte| matches!(byte, b' ' | 0)).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0_i64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

fn put_number(field: &mut [u8], value: i64) {
    let length = field.len();
    if is_too_large(value, length) {
        for (at, byte) in field.iter_mut().rev().enumerate() {
            *byte = (value >> (8 * at).min(63)) as u8;
        }
        field[0] = if value < 0 { 0xff } else { 0x80 };
    } else {
        put_octal(&mut field[..length - 1], value.unsigned_abs());
    }
}

fn put_octal(field: &mut [u8], mut value: u64) {
    for byte in field.iter_mut().rev() {
        *byte = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

fn put_text(field: &mut [u8], text: &[u8], max: usize) {
    let length = text.len().min(max);
    field[..length].copy_from_slice(&text[..length]);
}

/// What is in front of the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        #[track_caller]
        fn check(field: &[u8], expected: Option<i64>) {
            assert_eq!(number(field), expected);
        }
        check(b"0000644\0", Some(0o644));
        check(b"   644 \0", Some(0o644));
        check(b"  644 9\0", Some(0o644));
        check(b"77777777", Some(0o7777_7777));
        check(b"\0\0\0\0\0\0\0\0", Some(0));
        check(b"        ", Some(0));
        check(b"12a\0\0\0\0\0", None);
        check(b"-1\0\0\0\0\0\0", None);
        check(b"\x80\0\0\0\0\x20\0\0", Some(1 << 21));
        check(b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2));
        check(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", None);
        check(b"", None);
        for value in [0, 1, 0o7777777, 1 << 21, u32::MAX.into(), -1, -1 << 40] {
            let mut field = [0; SHORT];
            put_number(&mut field, value);
            assert_eq!(number(&field), Some(value));
            let mut field = [0; LONG];
            put_number(&mut field, value << 20);
            assert_eq!(number(&field), Some(value << 20));
        }
        for value in [i64::MAX, i64::MIN] {
            let mut field = [0; LONG];
            put_number(&mut field, value);
            assert_eq!(number(&field), Some(value));
        }
    }

    #[test]
    fn headers_there_and_back() {
        for format in [Format::V7, Format::Ustar, Format::Gnu] {
            let header = Header {
                format,
                typeflag: b'3',
                name: "n".repeat(100).into(),
                link: b"\xff"[..].into(),
                mode: 0o4755,
                uid: 3_000_000,
                size: 9 << 30,
                mtime: -5,
                device: (8, 1_000_000),
                user: "me".into(),
                ..Header::default()
            };
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn a_prefix_is_of_posix_only() {
        let mut block = Header { name: "name".into(), ..Header::default() }.encode();
        let name = |block: &mut [u8; BLOCK], magic: &[u8]| {
            block[MAGIC].copy_from_slice(magic);
            block[PREFIX][..3].copy_from_slice(b"a/b");
            block[CHECKSUM].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            put_octal(&mut block[CHECKSUM][..6], u64::from(sum));
            Header::decode(block).map(|header| header.name)
        };
        assert_eq!(name(&mut block, USTAR), Ok("a/b/name".into()));
        assert_eq!(name(&mut block, GNU), Ok("name".into()));
        assert_eq!(name(&mut block, &[0; 8]), Ok("name".into()));
    }

    #[test]
    fn damage() {
        let good = Header::default().encode();
        // The last byte of the checksum itself is of no account.
        for at in (0..BLOCK).filter(|&at| at != CHECKSUM.end - 1) {
            let mut block = good;
            block[at] ^= 1;
            assert!(Header::decode(&block).is_err(), "byte {at}");
        }
    }
}
