// SPDX-License-Identifier: LGPL-2.1-or-later
//! Lines: reading them one by one, counting them, and finding them.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;

use bstr::ByteSlice;

use crate::cancel;
use crate::error::{About, Error, Result};
use crate::file::CONTENT_MAX;
use crate::path::GuestPath;
use crate::pieces::{BLOCK, Piece, each_piece};

/// Whether there is to be another line.
pub(super) type Flow = ControlFlow<()>;

/// Shows each line to `visit`, without its end, until that says it is enough.
pub(super) fn each_line(
    input: &mut dyn Read,
    path: &GuestPath,
    mut visit: impl FnMut(&[u8]) -> Result<Flow>,
) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        // The beginning of a line is there, and has no end in it.
        let known = buffer.len();
        if known > CONTENT_MAX {
            let why = format!("{path}: a line has more than {CONTENT_MAX} bytes");
            return Err(Error::TooBig(why));
        }
        cancel::check()?;
        buffer.resize(known + BLOCK, 0);
        let n = read(input, &mut buffer[known..]).about(path)?;
        buffer.truncate(known + n);
        if n == 0 {
            if !buffer.is_empty() {
                let _ = visit(&buffer)?;
            }
            return Ok(());
        }
        let (mut start, mut searched) = (0, known);
        while let Some(at) = buffer[searched..].find_byte(b'\n') {
            let end = searched + at;
            if visit(&buffer[start..end])?.is_break() {
                return Ok(());
            }
            (start, searched) = (end + 1, end + 1);
        }
        buffer.drain(..start);
    }
}

fn read(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// How many newlines there are.
pub(super) fn newlines(file: &File) -> io::Result<u64> {
    let mut count = 0;
    each_piece(file, 0, u64::MAX, |piece| {
        if let Piece::Bytes(bytes) = piece {
            count += bytes.find_iter(b"\n").count() as u64;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// How many lines there are: the last one need not have an end.
pub(super) fn count(file: &File) -> io::Result<u64> {
    let (mut count, mut has_end) = (0, true);
    each_piece(file, 0, u64::MAX, |piece| {
        match piece {
            Piece::Bytes(bytes) => {
                count += bytes.find_iter(b"\n").count() as u64;
                has_end = bytes.last() == Some(&b'\n');
            }
            Piece::Hole(_) => has_end = false,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count + u64::from(!has_end))
}

/// Where the line begins that has so many lines before it; at the end of the file if it is not
/// there.
pub(super) fn offset_behind(file: &File, lines: u64) -> io::Result<u64> {
    let (mut left, mut at) = (lines, 0);
    if left == 0 {
        return Ok(0);
    }
    let end = each_piece(file, 0, u64::MAX, |piece| {
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Hole(length) => {
                at += length;
                return Ok(ControlFlow::Continue(()));
            }
        };
        for newline in bytes.find_iter(b"\n") {
            left -= 1;
            if left == 0 {
                at += newline as u64 + 1;
                return Ok(ControlFlow::Break(()));
            }
        }
        at += bytes.len() as u64;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(if left == 0 { at } else { end })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use bstr::BString;

    use super::*;

    fn path() -> GuestPath {
        GuestPath::new("path", b"/x").unwrap()
    }

    #[track_caller]
    fn check(content: &[u8], expected: &[&str]) {
        let mut lines: Vec<BString> = Vec::new();
        each_line(&mut &*content, &path(), |line| {
            lines.push(line.into());
            Ok(Flow::Continue(()))
        })
        .unwrap();
        assert_eq!(lines, expected);
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content, 0).unwrap();
        assert_eq!(count(&file).unwrap(), lines.len() as u64);
        for skipped in 0..=lines.len() {
            let at = offset_behind(&file, skipped as u64).unwrap() as usize;
            let mut rest = Vec::new();
            each_line(&mut &content[at..], &path(), |line| {
                rest.push(BString::from(line));
                Ok(Flow::Continue(()))
            })
            .unwrap();
            assert_eq!(rest, lines[skipped..]);
        }
    }

    #[test]
    fn lines() {
        check(b"", &[]);
        check(b"\n", &[""]);
        check(b"a", &["a"]);
        check(b"a\nb\n", &["a", "b"]);
        check(b"a\n\nb", &["a", "", "b"]);
        let long = "x".repeat(3 * BLOCK / 2);
        check(format!("{long}\n{long}\ny").as_bytes(), &[&long, &long, "y"]);
    }

    #[test]
    fn limits() {
        let result = each_line(&mut io::repeat(0), &path(), |_| Ok(Flow::Continue(())));
        let expected = "/x: a line has more than 4194256 bytes";
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}
