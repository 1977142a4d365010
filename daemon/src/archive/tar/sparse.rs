// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files with holes: which parts of them are in the archive.
//!
//! Written after "Storing Sparse Files" in the manual of GNU tar.  There are four ways: in the
//! header and blocks behind it ("old"), in extended headers ("0.0" and "0.1"), and in front of
//! the content ("1.0"), which is what is written here.

use std::fs::File;
use std::io;

use bstr::{BString, ByteSlice};

use super::header::{BLOCK, number};
use super::pax::decimal;
use crate::pieces::next_data;

/// The most parts that a file may have, as they are all kept.
pub(super) const PARTS_MAX: usize = 1 << 20;

/// Where the parts are in the header of an old one, and in the blocks behind it.
const OLD: std::ops::Range<usize> = 386..482;
const OLD_BEHIND: std::ops::Range<usize> = 0..504;
const OLD_SIZE: std::ops::Range<usize> = 483..495;

/// A part that is not a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) length: u64,
}

/// What of a file is in the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) parts: Vec<Part>,
    /// Of the file, holes included.
    pub(super) size: u64,
}

impl Map {
    /// Looks for holes.
    pub(super) fn of(file: &File, size: u64) -> io::Result<Self> {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < size {
            let (start, mut end) = next_data(file, at, size)?;
            if start == end {
                break;
            }
            if parts.len() == PARTS_MAX - 1 {
                end = size;
            }
            parts.push(Part { start, length: end - start });
            at = end;
        }
        if at < size {
            // So it ends, for those who look at nothing but the parts.
            parts.push(Part { start: size, length: 0 });
        }
        Ok(Self { parts, size })
    }

    /// How much there is of it.
    pub(super) fn stored(&self) -> u64 {
        self.parts.iter().map(|part| part.length).sum()
    }

    /// Whether there is nothing to gain.
    pub(super) fn has_no_holes(&self) -> bool {
        self.stored() == self.size
    }

    /// The text in front of the content, in whole blocks.
    pub(super) fn to_text(&self) -> Vec<u8> {
        let mut text = format!("{}\n", self.parts.len());
        for Part { start, length } in &self.parts {
            text += &format!("{start}\n{length}\n");
        }
        let mut text = text.into_bytes();
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        text
    }

    /// Adds the parts in a header or in a block behind it.  Answers whether another block follows.
    pub(super) fn add_old(&mut self, block: &[u8; BLOCK], is_header: bool) -> Result<bool, String> {
        let damaged = || String::from("a damaged list of its parts");
        let value = |field| {
            let value = number(field).and_then(|value| u64::try_from(value).ok());
            value.ok_or_else(damaged)
        };
        let parts = if is_header { OLD } else { OLD_BEHIND };
        let is_followed = block[parts.end] != 0;
        for part in block[parts].chunks_exact(24) {
            if part[0] == 0 {
                break;
            }
            self.add(Part { start: value(&part[..12])?, length: value(&part[12..])? })?;
        }
        if is_header {
            self.size = value(&block[OLD_SIZE])?;
        }
        Ok(is_followed)
    }

    /// Adds the next part.
    pub(super) fn add(&mut self, part: Part) -> Result<(), String> {
        if self.parts.len() == PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} parts between its holes"));
        }
        self.parts.push(part);
        Ok(())
    }

    /// Fails unless the parts follow each other and are what is there.
    pub(super) fn check(&self, stored: u64) -> Result<(), String> {
        let mut end = 0;
        for part in &self.parts {
            let next = part.start.checked_add(part.length).filter(|&it| it <= self.size);
            end = match next {
                Some(next) if part.start >= end => next,
                _ => return Err("a damaged list of its parts".into()),
            };
        }
        match self.stored() == stored {
            true => Ok(()),
            false => Err(format!("parts of {} bytes in {stored}", self.stored())),
        }
    }
}

/// What extended headers say about holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) name: Option<BString>,
    size: Option<u64>,
    version: Option<u64>,
    /// Where the next part starts.
    start: Option<u64>,
    map: Map,
    has_map: bool,
}

impl Records {
    /// Takes in a record, if it is about holes.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"GNU.sparse.name" => self.name = Some(value.into()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.size = Some(decimal(value)?),
            b"GNU.sparse.major" => self.version = Some(decimal(value)?),
            b"GNU.sparse.offset" => self.start = Some(decimal(value)?),
            b"GNU.sparse.numblocks" => self.has_map = true,
            b"GNU.sparse.numbytes" => {
                let part = Part { start: self.start.take()?, length: decimal(value)? };
                self.map.add(part).ok()?;
            }
            b"GNU.sparse.map" => {
                self.has_map = true;
                let mut numbers = value.split_str(",").filter(|it| !it.is_empty()).map(decimal);
                while let Some(start) = numbers.next() {
                    let part = Part { start: start?, length: numbers.next()?? };
                    self.map.add(part).ok()?;
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Whether the list of parts is in front of the content.
    pub(super) fn is_in_front(&self) -> bool {
        self.version.is_some_and(|version| version > 0)
    }

    /// The list of parts, as far as it is known.
    pub(super) fn take_map(&mut self) -> Option<Map> {
        if !self.has_map && !self.is_in_front() {
            return None;
        }
        let mut map = std::mem::take(&mut self.map);
        map.size = self.size?;
        Some(map)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn map(parts: &[(u64, u64)], size: u64) -> Map {
        let parts = parts.iter().map(|&(start, length)| Part { start, length }).collect();
        Map { parts, size }
    }

    #[test]
    fn holes_of_a_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 30).unwrap();
        assert_eq!(Map::of(&file, 1 << 30).unwrap(), map(&[(1 << 30, 0)], 1 << 30));
        file.write_all_at(&[1; 65536], 1 << 29).unwrap();
        let found = Map::of(&file, 1 << 30).unwrap();
        assert_eq!(found, map(&[(1 << 29, 65536), (1 << 30, 0)], 1 << 30));
        assert_eq!(
            (found.stored(), found.has_no_holes(), found.check(65536)),
            (65536, false, Ok(()))
        );
        let text = found.to_text();
        assert!(text.len() == BLOCK && text.starts_with(b"2\n536870912\n65536\n1073741824\n0\n\0"));
        let found = Map::of(&file, 0).unwrap();
        assert!(found.has_no_holes());
    }

    #[test]
    fn lists_that_cannot_be() {
        #[track_caller]
        fn check(parts: &[(u64, u64)], size: u64, stored: u64, expected: &str) {
            let got = map(parts, size).check(stored).err().unwrap_or_default();
            assert_eq!(got, expected);
        }
        check(&[(0, 5), (5, 5), (20, 0)], 20, 10, "");
        check(&[(0, 5)], 20, 6, "parts of 5 bytes in 6");
        let damaged = "a damaged list of its parts";
        check(&[(0, 5), (4, 5)], 20, 10, damaged);
        check(&[(10, 5), (0, 5)], 20, 10, damaged);
        check(&[(0, 21)], 20, 21, damaged);
        check(&[(u64::MAX, 2)], 20, 2, damaged);
    }

    #[test]
    fn records() {
        #[track_caller]
        fn check(records: &[(&str, &str)], expected: Option<Map>) {
            let mut found = Records::default();
            for (key, value) in records {
                found.set(format!("GNU.sparse.{key}").as_bytes(), value.as_bytes()).unwrap();
            }
            assert_eq!(found.take_map(), expected);
        }
        check(&[], None);
        let one = map(&[(1, 2), (9, 0)], 9);
        check(
            &[
                ("size", "9"),
                ("numblocks", "2"),
                ("offset", "1"),
                ("numbytes", "2"),
                ("offset", "9"),
                ("numbytes", "0"),
            ],
            Some(one.clone()),
        );
        check(&[("size", "9"), ("map", "1,2,9,0")], Some(one));
        check(&[("major", "1"), ("minor", "0"), ("realsize", "5")], Some(map(&[], 5)));
        check(&[("map", "")], None);
        for (key, value) in [("map", "1"), ("map", "1,x"), ("numbytes", "1"), ("size", "")] {
            let key = format!("GNU.sparse.{key}");
            assert_eq!(Records::default().set(key.as_bytes(), value.as_bytes()), None);
        }
    }
}
