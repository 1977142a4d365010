// SPDX-License-Identifier: LGPL-2.1-or-later
//! base64 files, in the form of RFC 4648 with lines.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeSliceError, Engine as _};
use rustix::fs::{Mode, OFlags};

use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::file::NEW_FILE;
use crate::path::GuestPath;
use crate::transfer::{FileIn, FileOut};

/// Bytes of a line, and its characters.
const LINE: usize = 57;
const LINE_ENCODED: usize = 76;

/// How many lines are read at once.
const LINES: usize = 4096;

pub(crate) fn base64_in(cx: &mut Ctx, input: &mut FileIn<'_>, filename: &GuestPath) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let file = cx.open_regular(filename, flags, NEW_FILE)?;
    decode(input, &mut BufWriter::new(file)).about(filename)
}

pub(crate) fn base64_out(cx: &mut Ctx, filename: &GuestPath, out: &mut FileOut<'_>) -> Result<()> {
    let mut file = cx.open_regular(filename, OFlags::RDONLY, Mode::empty())?;
    encode(&mut file, out).about(filename)
}

/// Decodes whatever is not white space.
fn decode(input: &mut impl Read, out: &mut impl Write) -> io::Result<()> {
    let mut block = vec![0; 64 << 10];
    let mut plain = vec![0; block.len()];
    // Characters that are not decoded, as four of them belong together.
    let mut characters = Vec::with_capacity(block.len() + 4);
    let mut has_ended = false;
    loop {
        let n = match input.read(&mut block) {
            Ok(n) => n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(err),
        };
        characters.extend(block[..n].iter().filter(|byte| !byte.is_ascii_whitespace()));
        let whole = if n > 0 { characters.len() / 4 * 4 } else { characters.len() };
        if whole > 0 && has_ended {
            return Err(refuse("there is more behind the padding"));
        }
        let decoded =
            STANDARD.decode_slice(&characters[..whole], &mut plain).map_err(not_base64)?;
        out.write_all(&plain[..decoded])?;
        has_ended |= characters[..whole].ends_with(b"=");
        characters.drain(..whole);
        if n == 0 {
            return out.flush();
        }
    }
}

fn not_base64(err: DecodeSliceError) -> io::Error {
    match err {
        DecodeSliceError::DecodeError(err) => refuse(&err.to_string().to_lowercase()),
        DecodeSliceError::OutputSliceTooSmall => io::Error::other(err),
    }
}

fn refuse(why: &str) -> io::Error {
    Error::invalid("base64file", format_args!("not base64: {why}")).into_io()
}

fn encode(file: &mut File, out: &mut impl Write) -> io::Result<()> {
    let mut block = Vec::with_capacity(LINE * LINES);
    let mut line = [b'\n'; LINE_ENCODED + 1];
    loop {
        block.clear();
        file.take((LINE * LINES) as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(());
        }
        for bytes in block.chunks(LINE) {
            let n = STANDARD.encode_slice(bytes, &mut line).map_err(io::Error::other)?;
            line[n] = b'\n';
            out.write_all(&line[..=n])?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use bstr::ByteSlice;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut plain = Vec::new();
        let got = match decode(&mut text.as_bytes(), &mut plain).about("/x") {
            Ok(()) => plain.to_str_lossy().into_owned(),
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn decoding() {
        check("", "");
        check("\n", "");
        check("aGVsbG8K", "hello\n");
        check("aG Vs\r\nbG8\tK\n", "hello\n");
        check("eA==\n", "x");
        check("eHk=", "xy");
        check("eHk", "base64file: not base64: invalid padding");
        let why = "base64file: not base64: invalid symbol 45, offset 2.";
        check("aG-V", why);
        check("eHk=eHk=", "base64file: not base64: invalid symbol 61, offset 3.");
    }

    #[test]
    fn there_and_back() {
        for length in [0, 1, 56, 57, 58, LINE * LINES, LINE * LINES + 1, 500_000] {
            let content: Vec<u8> = (0..length).map(|n| (n * 7 + n / 256) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content).unwrap();
            file.rewind().unwrap();
            let (mut text, mut plain) = (Vec::new(), Vec::new());
            encode(&mut file, &mut text).unwrap();
            assert!(text.lines().all(|line| line.len() <= LINE_ENCODED));
            assert!(text.is_empty() || text.ends_with(b"\n"));
            decode(&mut text.as_slice(), &mut plain).unwrap();
            assert!(plain == content, "{length}");
        }
    }
}
