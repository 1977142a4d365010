// SPDX-License-Identifier: LGPL-2.1-or-later
//! Looking into files: parts of them, counts, matching lines, and printable forms.

mod grep;
mod hexdump;
mod lines;
mod regex;
mod strings;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::ControlFlow;

use bstr::{BString, ByteSlice};
use rustix::fs::{Mode, OFlags};

pub(crate) use self::grep::{
    egrep, egrepi, fgrep, fgrepi, grep, grepi, zegrep, zegrepi, zfgrep, zfgrepi, zgrep, zgrepi,
};
pub(crate) use self::hexdump::hexdump;
use self::lines::{Flow, count, each_line, newlines, offset_behind};
pub(crate) use self::strings::{strings, strings_e};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::file::CONTENT_MAX;
use crate::filesystem::bytes::ReadAt;
use crate::path::GuestPath;
use crate::pieces::{Piece, each_piece};
use crate::texts::{Texts, too_long};

/// How many lines `head` and `tail` return.
const SOME: i32 = 10;

/// What `tail` reads at first.
const TAIL: usize = 64 << 10;

pub(crate) fn head(cx: &mut Ctx, path: &GuestPath) -> Result<Vec<BString>> {
    head_n(cx, SOME, path)
}

pub(crate) fn head_n(cx: &mut Ctx, nrlines: i32, path: &GuestPath) -> Result<Vec<BString>> {
    let mut file = open(cx, path)?;
    let wanted = match nrlines {
        0.. => u64::from(nrlines.unsigned_abs()),
        _ => count(&file).about(path)?.saturating_sub(nrlines.unsigned_abs().into()),
    };
    file.rewind().about(path)?;
    first(&mut file, wanted, path)
}

pub(crate) fn tail(cx: &mut Ctx, path: &GuestPath) -> Result<Vec<BString>> {
    tail_n(cx, SOME, path)
}

pub(crate) fn tail_n(cx: &mut Ctx, nrlines: i32, path: &GuestPath) -> Result<Vec<BString>> {
    let mut file = open(cx, path)?;
    if nrlines >= 0 {
        return last(&file, nrlines.unsigned_abs() as usize, path);
    }
    let at = offset_behind(&file, u64::from(nrlines.unsigned_abs() - 1)).about(path)?;
    file.seek(SeekFrom::Start(at)).about(path)?;
    first(&mut file, u64::MAX, path)
}

pub(crate) fn wc_c(cx: &mut Ctx, path: &GuestPath) -> Result<i32> {
    fits(open(cx, path)?.metadata().about(path)?.len(), path)
}

pub(crate) fn wc_l(cx: &mut Ctx, path: &GuestPath) -> Result<i32> {
    fits(newlines(&open(cx, path)?).about(path)?, path)
}

pub(crate) fn wc_w(cx: &mut Ctx, path: &GuestPath) -> Result<i32> {
    fits(words(&open(cx, path)?).about(path)?, path)
}

fn open(cx: &Ctx, path: &GuestPath) -> Result<File> {
    cx.open_regular(path, OFlags::RDONLY, Mode::empty())
}

/// A count that is returned as it was decided long ago.
fn fits(count: u64, path: &GuestPath) -> Result<i32> {
    i32::try_from(count).map_err(|_| {
        Error::refused(Errno::OVERFLOW, path, format_args!("{count} is more than {}", i32::MAX))
    })
}

/// So many lines, or what is there.
fn first(file: &mut File, lines: u64, path: &GuestPath) -> Result<Vec<BString>> {
    let (mut texts, mut left) = (Texts::new(), lines);
    if left > 0 {
        each_line(file, path, |line| {
            texts.push(line, path)?;
            left -= 1;
            Ok(if left > 0 { Flow::Continue(()) } else { Flow::Break(()) })
        })?;
    }
    Ok(texts.into_vec())
}

/// The same from the end: more and more is read, up to what fits into a reply.
fn last(file: &File, lines: usize, path: &GuestPath) -> Result<Vec<BString>> {
    let length = file.metadata().about(path)?.len();
    let mut window = TAIL;
    let (content, start) = loop {
        let wanted = length.min(window as u64);
        let mut content = vec![0; wanted as usize];
        let n = file.read_up_to(&mut content, length - wanted).about(path)?;
        content.truncate(n);
        // The end of the last line is not the beginning of another one.
        let body = content.strip_suffix(b"\n").unwrap_or(&content);
        match body.rfind_iter(b"\n").nth(lines.saturating_sub(1)) {
            _ if lines == 0 => return Ok(Vec::new()),
            Some(newline) => break (content, newline + 1),
            None if n as u64 == length || n < window => break (content, 0),
            None if window > CONTENT_MAX => return Err(too_long(path)),
            None => window *= 4,
        }
    };
    let mut texts = Texts::new();
    each_line(&mut &content[start..], path, |line| {
        texts.push(line, path).map(|()| Flow::Continue(()))
    })?;
    Ok(texts.into_vec())
}

/// Counts what is between white space.
fn words(file: &File) -> io::Result<u64> {
    let (mut count, mut inside) = (0, false);
    each_piece(file, 0, u64::MAX, |piece| {
        match piece {
            Piece::Bytes(bytes) => {
                for byte in bytes {
                    let is_space = matches!(byte, b' ' | b'\t'..=b'\r');
                    count += u64::from(inside && is_space);
                    inside = !is_space;
                }
            }
            Piece::Hole(_) => inside = true,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count + u64::from(inside))
}

#[cfg(test)]
mod tests {
    use super::*;
    pub(super) use crate::file::tests::check;

    pub(super) fn path() -> GuestPath {
        GuestPath::new("path", b"/file").unwrap()
    }

    /// A guest with one file.
    pub(super) fn guest(content: &[u8]) -> (tempfile::TempDir, Ctx) {
        let dir = tempfile::tempdir().unwrap();
        crate::system::write(dir.path().join("file"), content).unwrap();
        let cx = Ctx::new(dir.path());
        (dir, cx)
    }

    #[test]
    fn beginnings() {
        let (_dir, cx) = &mut guest(b"a\nb\nc");
        check(head(cx, &path()), r#"["a", "b", "c"]"#);
        check(head_n(cx, 2, &path()), r#"["a", "b"]"#);
        check(head_n(cx, 0, &path()), "[]");
        check(head_n(cx, -1, &path()), r#"["a", "b"]"#);
        check(head_n(cx, -3, &path()), "[]");
        check(head_n(cx, i32::MIN, &path()), "[]");
        check(head_n(cx, i32::MAX, &path()), r#"["a", "b", "c"]"#);
    }

    #[test]
    fn ends() {
        let (_dir, cx) = &mut guest(b"a\n\nc\n");
        check(tail(cx, &path()), r#"["a", "", "c"]"#);
        check(tail_n(cx, 2, &path()), r#"["", "c"]"#);
        check(tail_n(cx, 0, &path()), "[]");
        check(tail_n(cx, -1, &path()), r#"["a", "", "c"]"#);
        check(tail_n(cx, -3, &path()), r#"["c"]"#);
        check(tail_n(cx, -4, &path()), "[]");
        check(tail_n(cx, i32::MIN, &path()), "[]");
        check(tail_n(cx, i32::MAX, &path()), r#"["a", "", "c"]"#);
        let (_dir, cx) = &mut guest(b"\n");
        check(tail_n(cx, 1, &path()), r#"[""]"#);
        let (_dir, cx) = &mut guest(b"");
        check(tail(cx, &path()), "[]");
    }

    #[test]
    fn ends_of_large_files() {
        let line = "x".repeat(TAIL);
        let (_dir, cx) = &mut guest(format!("{line}\n{line}\n{line}").as_bytes());
        check(tail_n(cx, 2, &path()).map(|lines| lines.len()), "2");
        let (_dir, cx) = &mut guest(&b"\n".repeat(3 << 20));
        check(tail_n(cx, 1000, &path()).map(|lines| lines.len()), "1000");
        let expected = "/file: the result has more than 4194256 bytes [Some(27)]";
        check(tail_n(cx, 2 << 20, &path()), expected);
    }

    #[test]
    fn counts() {
        #[track_caller]
        fn check(content: &[u8], expected: [i32; 3]) {
            let (_dir, cx) = &mut guest(content);
            let path = path();
            let [bytes, lines, words] = [wc_c, wc_l, wc_w].map(|count| count(cx, &path).unwrap());
            assert_eq!([bytes, lines, words], expected);
        }
        check(b"", [0, 0, 0]);
        check(b"abc", [3, 0, 1]);
        check(b"a\nb c\n", [6, 2, 3]);
        check(b" \t\r\n\x0b\x0c", [6, 1, 0]);
        check(b"a\0b \xff\xfe", [6, 0, 2]);
    }

    #[test]
    fn the_largest_files() {
        let (dir, cx) = &mut guest(b"");
        let file = crate::system::open(dir.path().join("file"), OFlags::RDWR).unwrap();
        file.set_len(1 << 42).unwrap();
        check(wc_l(cx, &path()), "0");
        check(wc_w(cx, &path()), "1");
        let why = "/file: 4398046511104 is more than 2147483647 [Some(75)]";
        check(wc_c(cx, &path()), why);
        let long = "/file: a line has more than 4194256 bytes [Some(27)]";
        check(head(cx, &path()), long);
        check(tail(cx, &path()), "/file: the result has more than 4194256 bytes [Some(27)]");
        check(head_n(cx, -1, &path()), "[]");
        check(tail_n(cx, -2, &path()), "[]");
    }
}
