// SPDX-License-Identifier: LGPL-2.1-or-later
//! Looking for an architecture in bytes as they come, through any number of cpio archives.

use std::io::{self, Write};

use super::{HEADER, Header, header};

/// Length of a header of the cpio format "newc".
const CPIO_HEADER: usize = 110;
/// As much of a file in an archive as an ELF header has.
const CONTENT: usize = 64;
/// Longer names are no archive.
const NAME_MAX: u64 = 4096;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The name of the architecture.
    Architecture(&'static str),
    /// A machine in words, which has no name as an architecture.
    Machine(String),
    /// Something follows that this program takes apart.
    Compressed { program: &'static str, at: u64 },
    /// Nothing of that.
    Unrecognized,
}

/// Takes the bytes of a file, until it knows.
#[derive(Debug)]
pub(super) struct Scan {
    /// The bytes that are looked at next, and how many of them are needed.
    buffer: Vec<u8>,
    needed: usize,
    /// Bytes in front of these which are of no interest.
    skip: u64,
    /// Where the buffer begins.
    position: u64,
    expecting: Expecting,
    verdict: Option<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expecting {
    /// The beginning of a file, or of what follows an archive.
    Anything,
    /// Zeroes behind an archive.
    Padding,
    /// The rest of the header of a file in an archive.
    CpioHeader,
    /// The name of the file, which is of that size.
    Name { size: u64 },
    /// The beginning of a file of that size.
    Content { size: u64 },
}

impl Scan {
    pub(super) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            needed: HEADER,
            skip: 0,
            position: 0,
            expecting: Expecting::Anything,
            verdict: None,
        }
    }

    /// Whether more bytes cannot tell more.
    pub(super) fn is_done(&self) -> bool {
        self.verdict.is_some()
    }

    /// The verdict, now that there are no more bytes.
    pub(super) fn finish(mut self) -> Verdict {
        // Files may be shorter than what is usually looked at.
        while self.verdict.is_none()
            && (self.expecting == Expecting::Anything || self.buffer.len() >= self.needed)
        {
            self.step();
        }
        self.verdict.unwrap_or(Verdict::Unrecognized)
    }

    /// Looks at the bytes that were needed.
    fn step(&mut self) {
        match self.expecting {
            Expecting::Anything => match header(&self.buffer) {
                Header::Architecture(name) => self.verdict = Some(Verdict::Architecture(name)),
                Header::Machine(machine) => self.verdict = Some(Verdict::Machine(machine)),
                Header::Compressed(program) => {
                    self.verdict = Some(Verdict::Compressed { program, at: self.position });
                }
                Header::Cpio => self.expect(Expecting::CpioHeader, CPIO_HEADER),
                Header::Unknown => self.verdict = Some(Verdict::Unrecognized),
            },
            Expecting::Padding => match self.buffer.iter().position(|&byte| byte != 0) {
                Some(zeroes) => {
                    self.consume(zeroes);
                    self.expect(Expecting::Anything, HEADER);
                }
                None => self.consume(self.buffer.len()),
            },
            Expecting::CpioHeader => match cpio_sizes(&self.buffer) {
                Some((size, name)) => {
                    self.consume(CPIO_HEADER);
                    // Header and name are padded together.
                    let name = (CPIO_HEADER + name).next_multiple_of(4) - CPIO_HEADER;
                    self.expect(Expecting::Name { size }, name);
                }
                None => self.verdict = Some(Verdict::Unrecognized),
            },
            Expecting::Name { size } => {
                let is_end = self.buffer.starts_with(b"TRAILER!!!\0");
                self.consume(self.needed);
                match (is_end, size) {
                    (true, _) => self.expect(Expecting::Padding, 1),
                    (false, 0) => self.expect(Expecting::CpioHeader, CPIO_HEADER),
                    (false, _) => {
                        let looked_at = size.min(CONTENT as u64) as usize;
                        self.expect(Expecting::Content { size }, looked_at);
                    }
                }
            }
            Expecting::Content { size } => {
                match header(&self.buffer[..self.needed]) {
                    Header::Architecture(name) if self.buffer.starts_with(b"\x7fELF") => {
                        self.verdict = Some(Verdict::Architecture(name));
                    }
                    _ => self.discard(size.next_multiple_of(4)),
                }
                self.expect(Expecting::CpioHeader, CPIO_HEADER);
            }
        }
    }

    fn expect(&mut self, expecting: Expecting, needed: usize) {
        (self.expecting, self.needed) = (expecting, needed);
    }

    fn consume(&mut self, n: usize) {
        self.buffer.drain(..n);
        self.position += n as u64;
    }

    /// Consumes bytes of which some may not have come yet.
    fn discard(&mut self, n: u64) {
        let here = n.min(self.buffer.len() as u64);
        self.consume(here as usize);
        self.skip = n - here;
        self.position += self.skip;
    }
}

impl Write for Scan {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skip.min(bytes.len() as u64);
        self.skip -= skipped;
        self.buffer.extend_from_slice(&bytes[skipped as usize..]);
        while self.verdict.is_none() && self.buffer.len() >= self.needed {
            self.step();
        }
        match self.verdict {
            None => Ok(bytes.len()),
            Some(_) => Err(io::Error::other("nothing more is needed")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Size of the file, and length of its name.
fn cpio_sizes(header: &[u8]) -> Option<(u64, usize)> {
    let field = |n: usize| {
        let digits = header.get(6 + 8 * n..)?.get(..8)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let magic = header.starts_with(b"070701") || header.starts_with(b"070702");
    let (size, name) = (field(6)?, field(11)?);
    (magic && (1..=NAME_MAX).contains(&name)).then_some((size, name as usize))
}
