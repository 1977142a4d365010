// SPDX-License-Identifier: LGPL-2.1-or-later
//! As much of the ELF format as it takes to shrink a kernel and to see what a program needs.

use anyhow::{Context, Result, bail};

/// Segment that is put into memory.
pub(crate) const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
/// Segment with the name of the dynamic linker.
pub(crate) const INTERPRETER: u32 = 3;
/// Segment of notes to the loader.
pub(crate) const NOTE: u32 = 4;

const HEADER: usize = 64;
const SEGMENT: usize = 56;
const PAGE: u64 = 4096;

/// A 64-bit little-endian ELF file.
pub(crate) struct Elf<'a> {
    bytes: &'a [u8],
}

/// A program header.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) virtual_address: u64,
    pub(crate) physical_address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) alignment: u64,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        if !bytes.starts_with(b"\x7fELF\x02\x01") || bytes.len() < HEADER {
            bail!("not a 64-bit ELF file");
        }
        Ok(Self { bytes })
    }

    pub(crate) fn segments(&self) -> Result<Vec<Segment>> {
        let table = self.number(0x20)?;
        let n_segments = self.number(0x38)? & 0xffff;
        (0..n_segments)
            .map(|nth| {
                let at = table.saturating_add(nth * SEGMENT as u64);
                let word = |offset| self.number(at.saturating_add(offset));
                Ok(Segment {
                    kind: word(0)? as u32,
                    flags: (word(0)? >> 32) as u32,
                    offset: word(8)?,
                    virtual_address: word(16)?,
                    physical_address: word(24)?,
                    file_size: word(32)?,
                    memory_size: word(40)?,
                    alignment: word(48)?,
                })
            })
            .collect()
    }

    /// The bytes of a segment that are in the file.
    pub(crate) fn content(&self, segment: &Segment) -> Result<&'a [u8]> {
        let start = usize::try_from(segment.offset)?;
        let end = start.checked_add(usize::try_from(segment.file_size)?);
        end.and_then(|end| self.bytes.get(start..end)).context("segment ends behind the file")
    }

    /// An ELF file with the header of this one and only these segments.
    pub(crate) fn with_segments(&self, segments: &[(Segment, &[u8])]) -> Result<Vec<u8>> {
        let mut out = self.bytes[..HEADER].to_vec();
        out[0x20..0x28].copy_from_slice(&(HEADER as u64).to_le_bytes());
        // No sections: their table, and in the end their number and the one with names.
        out[0x28..0x30].fill(0);
        out[0x38..0x3a].copy_from_slice(&u16::try_from(segments.len())?.to_le_bytes());
        out[0x3c..0x40].fill(0);
        let mut offset = (HEADER + segments.len() * SEGMENT) as u64;
        let mut offsets = Vec::new();
        for (segment, bytes) in segments {
            // Offset and address are the same within a page.
            offset = offset.next_multiple_of(PAGE) + segment.virtual_address % PAGE;
            offsets.push(offset);
            let alignment = segment.alignment.min(PAGE);
            out.extend_from_slice(&segment.kind.to_le_bytes());
            out.extend_from_slice(&segment.flags.to_le_bytes());
            for number in [
                offset,
                segment.virtual_address,
                segment.physical_address,
                segment.file_size,
                segment.memory_size,
                alignment,
            ] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            offset += bytes.len() as u64;
        }
        for (offset, (_, bytes)) in offsets.into_iter().zip(segments) {
            out.resize(usize::try_from(offset)?, 0);
            out.extend_from_slice(bytes);
        }
        Ok(out)
    }

    /// Names of the shared libraries that the program or library is linked against.
    pub(crate) fn needed(&self) -> Result<Vec<String>> {
        const NEEDED: u64 = 1;
        const STRING_TABLE: u64 = 5;
        let segments = self.segments()?;
        let Some(dynamic) = segments.iter().find(|it| it.kind == DYNAMIC) else {
            return Ok(vec![]);
        };
        let mut names = Vec::new();
        let mut strings = None;
        for entry in self.content(dynamic)?.chunks_exact(16) {
            let tag = u64::from_le_bytes(entry[..8].try_into()?);
            let value = u64::from_le_bytes(entry[8..].try_into()?);
            match tag {
                0 => break,
                NEEDED => names.push(value),
                STRING_TABLE => strings = Some(value),
                _ => {}
            }
        }
        let Some(strings) = strings else {
            return Ok(vec![]);
        };
        // The table is given by its address in memory.
        let segment = segments
            .iter()
            .filter(|it| it.kind == LOAD && it.virtual_address <= strings)
            .find(|it| strings - it.virtual_address < it.file_size)
            .context("string table is in no segment")?;
        let table = self.content(segment)?;
        let start = strings - segment.virtual_address;
        names
            .into_iter()
            .map(|name| {
                let at = usize::try_from(start.saturating_add(name))?;
                let text = table.get(at..).context("name of a library is not in the file")?;
                let text = text.split(|it| *it == 0).next().unwrap_or_default();
                Ok(String::from_utf8_lossy(text).into_owned())
            })
            .collect()
    }

    fn number(&self, at: u64) -> Result<u64> {
        let at = usize::try_from(at)?;
        match at.checked_add(8).and_then(|end| self.bytes.get(at..end)) {
            Some(bytes) => Ok(u64::from_le_bytes(bytes.try_into()?)),
            None => bail!("ELF file is cut off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(kind: u32, virtual_address: u64, bytes: &[u8]) -> Segment {
        Segment {
            kind,
            flags: 5,
            offset: 0,
            virtual_address,
            physical_address: virtual_address,
            file_size: bytes.len() as u64,
            memory_size: 0x10_0000,
            alignment: 0x20_0000,
        }
    }

    #[test]
    fn segments_survive_rewriting() {
        let mut header = [0; HEADER];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let parts: [(u32, u64, &[u8]); 2] = [(LOAD, 0x1000_0000, b"text"), (NOTE, 0x1123, b"note")];
        let segments: Vec<_> =
            parts.iter().map(|(kind, at, bytes)| (segment(*kind, *at, bytes), *bytes)).collect();
        let file = Elf::parse(&header).unwrap().with_segments(&segments).unwrap();
        let elf = Elf::parse(&file).unwrap();
        let read: Vec<_> = elf
            .segments()
            .unwrap()
            .iter()
            .map(|it| {
                let text = String::from_utf8_lossy(elf.content(it).unwrap()).into_owned();
                format!("{} {:#x} {:#x} {text}", it.kind, it.offset, it.virtual_address)
            })
            .collect();
        assert_eq!(read, ["1 0x1000 0x10000000 text", "4 0x2123 0x1123 note"]);
    }

    #[test]
    fn damaged_files() {
        #[track_caller]
        fn check(bytes: &[u8], expected: &str) {
            let result = Elf::parse(bytes).and_then(|it| it.needed());
            assert_eq!(result.unwrap_err().to_string(), expected);
        }
        check(b"\x7fELF", "not a 64-bit ELF file");
        check(b"#!/bin/sh\n", "not a 64-bit ELF file");
        let mut cut = [0xff; HEADER];
        cut[..6].copy_from_slice(b"\x7fELF\x02\x01");
        check(&cut, "ELF file is cut off");
    }

    #[test]
    fn libraries_of_this_test() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needed = Elf::parse(&program).unwrap().needed().unwrap();
        assert!(needed.contains(&"libc.so.6".to_owned()), "{needed:?}");
    }
}
