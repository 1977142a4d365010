// SPDX-License-Identifier: LGPL-2.1-or-later
//! Printable strings in files that need not be text, by the rules of GNU strings.

use std::ops::ControlFlow;

use bstr::{BStr, BString, ByteSlice};

use super::open;
use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::path::GuestPath;
use crate::pieces::{Piece, each_piece};
use crate::texts::Texts;

/// The shortest string that counts.
const LENGTH_MIN: usize = 4;

/// What a character is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Encoding {
    /// Bytes of a character.
    width: usize,
    is_big_endian: bool,
    /// Bytes above 127 count as printable.
    is_eight_bit: bool,
}

pub(crate) fn strings(cx: &mut Ctx, path: &GuestPath) -> Result<Vec<BString>> {
    strings_e(cx, "s".into(), path)
}

pub(crate) fn strings_e(cx: &mut Ctx, encoding: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    let encoding = Encoding::new(encoding)?;
    let file = open(cx, path)?;
    let mut scan =
        Scan { encoding, pending: Vec::new(), found: Vec::new(), texts: Texts::new(), path };
    each_piece(&file, 0, u64::MAX, |piece| {
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            // One zero for each byte of a character is as good as more.
            Piece::Hole(_) => &[0; 4][..encoding.width],
        };
        scan.read(bytes).map(|()| ControlFlow::Continue(())).map_err(Error::into_io)
    })
    .about(path)?;
    scan.finish()
}

impl Encoding {
    fn new(letter: &BStr) -> Result<Self> {
        let (width, is_big_endian, is_eight_bit) = match letter.as_bytes() {
            b"s" => (1, false, false),
            b"S" => (1, false, true),
            b"b" => (2, true, false),
            b"l" => (2, false, false),
            b"B" => (4, true, false),
            b"L" => (4, false, false),
            _ => {
                let why = format!("{letter:?} is not one of s, S, b, l, B and L");
                return Err(Error::invalid("encoding", why));
            }
        };
        Ok(Self { width, is_big_endian, is_eight_bit })
    }

    /// The character in ASCII, if it is printable.
    fn printable(self, character: &[u8]) -> Option<u8> {
        let (byte, zeroes) = match self.is_big_endian {
            true => character.split_last()?,
            false => character.split_first()?,
        };
        let is_printable = matches!(byte, b'\t' | b' '..=b'~') || self.is_eight_bit && *byte > 127;
        (is_printable && zeroes.iter().all(|&byte| byte == 0)).then_some(*byte)
    }
}

/// Goes through the content.
struct Scan<'a> {
    encoding: Encoding,
    /// The beginning of a character whose end has not been read.
    pending: Vec<u8>,
    /// The string so far.
    found: Vec<u8>,
    texts: Texts,
    path: &'a GuestPath,
}

impl Scan<'_> {
    fn read(&mut self, bytes: &[u8]) -> Result<()> {
        // A few bytes of the last block, in front of the next ones.
        let joined;
        let mut rest = bytes;
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.pending);
            rest = &joined;
        }
        while let Some((character, behind)) = rest.split_at_checked(self.encoding.width) {
            match self.encoding.printable(character) {
                Some(byte) => {
                    self.found.push(byte);
                    rest = behind;
                }
                None => {
                    self.end()?;
                    // The next character may begin within this one.
                    rest = &rest[1..];
                }
            }
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.found.len() >= LENGTH_MIN {
            self.texts.push(&self.found, self.path)?;
        }
        self.found.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<BString>> {
        self.end()?;
        Ok(self.texts.into_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, guest, path};
    use super::*;
    use crate::pieces::BLOCK;

    #[track_caller]
    fn find(encoding: &str, content: &[u8], expected: &str) {
        let (_dir, cx) = &mut guest(content);
        check(strings_e(cx, encoding.into(), &path()), expected);
    }

    fn wide(text: &str, width: usize, before: usize) -> Vec<u8> {
        let zero = |n| vec![0; n];
        let each = |byte: u8| [zero(before), vec![byte], zero(width - 1 - before)].concat();
        text.bytes().flat_map(each).collect()
    }

    #[test]
    fn one_byte() {
        find("s", b"", "[]");
        find("s", b"abc", "[]");
        find("s", b"abcd", r#"["abcd"]"#);
        find("s", b"abc\0\x01ab\tcd \nxyz~\x7f", r#"["ab\tcd ", "xyz~"]"#);
        find("s", b"abc\xe9d", "[]");
        find("S", b"abc\xe9d", r#"["abc\xe9d"]"#);
        find("x", b"", "encoding: \"x\" is not one of s, S, b, l, B and L [Some(22)]");
        find("", b"", "encoding: \"\" is not one of s, S, b, l, B and L [Some(22)]");
    }

    #[test]
    fn several_bytes() {
        find("l", &wide("hello", 2, 0), r#"["hello"]"#);
        find("b", &wide("hello", 2, 1), r#"["hello"]"#);
        find("L", &wide("hello", 4, 0), r#"["hello"]"#);
        find("B", &wide("hello", 4, 3), r#"["hello"]"#);
        find("l", &[b"x".to_vec(), wide("hello", 2, 0)].concat(), r#"["hello"]"#);
        find("l", b"hello", "[]");
        find("L", &wide("hello", 2, 0), "[]");
    }

    #[test]
    fn over_the_edge_of_a_block() {
        for at in BLOCK - 12..BLOCK + 2 {
            let mut content = vec![1; at];
            content.extend(wide("hello", 2, 0));
            find("l", &content, r#"["hello"]"#);
        }
    }
}
