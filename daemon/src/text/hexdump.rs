// SPDX-License-Identifier: LGPL-2.1-or-later
//! Content of a file in hexadecimal, in the form of `hexdump -C`.

use std::fmt::Write;
use std::ops::ControlFlow;

use bstr::BString;

use super::open;
use crate::ctx::Ctx;
use crate::error::{About, Result};
use crate::file::CONTENT_MAX;
use crate::path::GuestPath;
use crate::pieces::{Piece, each_piece};
use crate::texts::too_long;

/// Bytes of a line.
const WIDTH: usize = 16;

pub(crate) fn hexdump(cx: &mut Ctx, path: &GuestPath) -> Result<BString> {
    let file = open(cx, path)?;
    let mut dump = Dump::default();
    each_piece(&file, 0, u64::MAX, |piece| {
        match piece {
            Piece::Bytes(bytes) => dump.bytes(bytes),
            Piece::Hole(length) => dump.zeroes(length),
        }
        match dump.text.len() > CONTENT_MAX {
            true => Err(too_long(path).into_io()),
            false => Ok(ControlFlow::Continue(())),
        }
    })
    .about(path)?;
    let text = dump.finish();
    if text.len() > CONTENT_MAX { Err(too_long(path)) } else { Ok(text.into()) }
}

/// The text so far.
#[derive(Default)]
struct Dump {
    text: String,
    /// Where the line begins that is being filled.
    offset: u64,
    line: [u8; WIDTH],
    filled: usize,
    /// The line before, which is not shown again.
    last: Option<[u8; WIDTH]>,
    is_repeated: bool,
}

impl Dump {
    fn bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = bytes.len().min(WIDTH - self.filled);
            let (now, rest) = bytes.split_at(n);
            self.line[self.filled..][..n].copy_from_slice(now);
            self.filled += n;
            bytes = rest;
            if self.filled == WIDTH {
                self.end_line();
            }
        }
    }

    /// The same for so many zeroes, but quicker: all lines of them but the first are repetitions.
    fn zeroes(&mut self, length: u64) {
        let head = length.min((2 * WIDTH - self.filled) as u64);
        self.bytes(&[0; 2 * WIDTH][..head as usize]);
        let lines = (length - head) / WIDTH as u64;
        if lines > 0 {
            self.repeat(lines);
        }
        self.bytes(&[0; WIDTH][..((length - head) % WIDTH as u64) as usize]);
    }

    fn end_line(&mut self) {
        if self.last == Some(self.line) {
            self.repeat(1);
        } else {
            self.show();
            (self.last, self.is_repeated) = (Some(self.line), false);
            self.offset += WIDTH as u64;
        }
        self.filled = 0;
    }

    /// Lines that are the same as the one before.
    fn repeat(&mut self, lines: u64) {
        if !self.is_repeated {
            self.text.push_str("*\n");
            self.is_repeated = true;
        }
        self.offset += lines * WIDTH as u64;
    }

    fn show(&mut self) {
        let Self { text, offset, line, filled, .. } = self;
        // Writing to a string cannot fail.
        let _ = write!(text, "{offset:08x}");
        for (n, byte) in line.iter().enumerate() {
            if n % 8 == 0 {
                text.push(' ');
            }
            match n < *filled {
                true => drop(write!(text, " {byte:02x}")),
                false => text.push_str("   "),
            }
        }
        let shown = line[..*filled].iter().map(|&byte| match byte {
            b' '..=b'~' => char::from(byte),
            _ => '.',
        });
        text.push_str("  |");
        text.extend(shown);
        text.push_str("|\n");
    }

    fn finish(mut self) -> String {
        let length = self.offset + self.filled as u64;
        if self.filled > 0 {
            self.show();
        }
        if length > 0 {
            let _ = writeln!(self.text, "{length:08x}");
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fill: impl FnOnce(&mut Dump), expected: &str) {
        let mut dump = Dump::default();
        fill(&mut dump);
        assert_eq!(dump.finish(), expected);
    }

    #[test]
    fn lines() {
        check(|_| {}, "");
        check(
            |dump| dump.bytes(b"abc\n"),
            "00000000  61 62 63 0a                                       |abc.|\n\
             00000004\n",
        );
        check(
            |dump| dump.bytes(b"0123456789abcdef\x7f\xff"),
            "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n\
             00000010  7f ff                                             |..|\n\
             00000012\n",
        );
    }

    const ZEROES: &str = "00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|";

    #[test]
    fn repetitions() {
        let expected = format!("00000000  {ZEROES}\n*\n00000030\n");
        check(|dump| dump.bytes(&[0; 48]), &expected);
        check(|dump| dump.zeroes(48), &expected);
        let expected = format!("00000000  {ZEROES}\n00000010\n");
        check(|dump| dump.zeroes(16), &expected);
        // The last line is shown if it is shorter.
        let expected = format!("00000000  {ZEROES}\n*\n00000020  00{:48}|.|\n00000021\n", "");
        check(|dump| dump.bytes(&[0; 33]), &expected);
        check(|dump| dump.zeroes(33), &expected);
    }

    #[test]
    fn long_holes() {
        for before in 0..20 {
            for length in 0..100 {
                let mut by_bytes = Dump::default();
                by_bytes.bytes(&b"x".repeat(before));
                by_bytes.bytes(&vec![0; length]);
                by_bytes.bytes(b"y");
                let expected = by_bytes.finish();
                check(
                    |dump| {
                        dump.bytes(&b"x".repeat(before));
                        dump.zeroes(length as u64);
                        dump.bytes(b"y");
                    },
                    &expected,
                );
            }
        }
        let expected = format!("00000000  {ZEROES}\n*\n10000000000\n");
        check(|dump| dump.zeroes(1 << 40), &expected);
    }
}
