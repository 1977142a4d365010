// SPDX-License-Identifier: LGPL-2.1-or-later
//! Making files: of zeroes, of a repeated text, and with names of their own.

use std::io::Write;

use bstr::{BStr, BString};
use rustix::fs::{FallocateFlags, Mode, OFlags, openat};

use super::{BLOCK, NEW_FILE, not_negative};
use crate::cancel::check_io;
use crate::ctx::Ctx;
use crate::directory::{PLACEHOLDER, with_random_letters};
use crate::error::{About, Errno, Error, Result};
use crate::generated::MktempOptions;
use crate::path::GuestPath;

pub(crate) fn fallocate(cx: &mut Ctx, path: &GuestPath, len: i32) -> Result<()> {
    fallocate64(cx, path, len.into())
}

pub(crate) fn fallocate64(cx: &mut Ctx, path: &GuestPath, len: i64) -> Result<()> {
    let len = not_negative("len", len)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let mut file = cx.open_regular(path, flags, NEW_FILE)?;
    if len == 0 {
        return Ok(());
    }
    let result = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP) => repeat(&mut file, b"\0", len, |_| {}).about(path),
        result => result.about(path),
    };
    if result.is_err() {
        // What there was room for may have been allocated.
        file.set_len(0).about(path)?;
    }
    result
}

pub(crate) fn fill(cx: &mut Ctx, c: i32, len: i32, path: &GuestPath) -> Result<()> {
    let Ok(byte) = u8::try_from(c) else {
        return Err(Error::invalid("c", format_args!("{c} is not from 0 to 255")));
    };
    fill_with(cx, &[byte], len, path)
}

pub(crate) fn fill_pattern(cx: &mut Ctx, pattern: &BStr, len: i32, path: &GuestPath) -> Result<()> {
    if pattern.is_empty() {
        return Err(Error::invalid("pattern", "is empty"));
    }
    fill_with(cx, pattern, len, path)
}

fn fill_with(cx: &mut Ctx, unit: &[u8], len: i32, path: &GuestPath) -> Result<()> {
    let len = not_negative("len", len.into())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let mut file = cx.open_regular(path, flags, NEW_FILE)?;
    repeat(&mut file, unit, len, |written| cx.progress(written, len)).about(path)
}

/// Writes the same over and over, `len` bytes of it.
fn repeat(
    file: &mut impl Write,
    unit: &[u8],
    len: u64,
    progress: impl Fn(u64),
) -> std::io::Result<()> {
    let block = unit.repeat(BLOCK.div_ceil(unit.len()));
    let mut written = 0;
    while written < len {
        check_io()?;
        let n = (len - written).min(block.len() as u64);
        file.write_all(&block[..n as usize])?;
        written += n;
        progress(written);
    }
    Ok(())
}

pub(crate) fn mktemp(cx: &mut Ctx, tmpl: &GuestPath, options: MktempOptions) -> Result<BString> {
    let suffix = options.suffix.unwrap_or_default();
    if suffix.contains(&b'/') {
        return Err(Error::invalid("suffix", format_args!("{suffix:?} has a slash in it")));
    }
    let Some(path) = tmpl.as_bstr().strip_suffix(PLACEHOLDER) else {
        return Err(Error::invalid("tmpl", format_args!("{tmpl} does not end in XXXXXX")));
    };
    let (parent, name) = cx.parent(tmpl)?;
    let name = name.strip_suffix(PLACEHOLDER).unwrap_or_default();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let letters = with_random_letters(|letters| {
        let name = [name, letters, &suffix].concat();
        openat(&parent, name, flags, Mode::RUSR | Mode::WUSR).map(drop).about(tmpl)
    })?;
    Ok([path, &letters[..], &suffix].concat().into())
}

#[cfg(test)]
mod tests {
    use bstr::ByteSlice;

    use super::super::tests::{check, guest, path};
    use super::*;

    #[track_caller]
    fn content(cx: &Ctx, name: &str, expected: &[u8]) {
        use std::io::Read;
        let mut content = Vec::new();
        let file = cx.open_regular(&path(name), OFlags::RDONLY, Mode::empty());
        file.unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content.as_bstr(), expected.as_bstr());
    }

    #[test]
    fn repetition() {
        let (_dir, cx) = &mut guest();
        check(fill(cx, 120, 3, &path("/abc")), "()");
        content(cx, "/abc", b"xxx");
        check(fill_pattern(cx, "abc".into(), 8, &path("/new")), "()");
        content(cx, "/new", b"abcabcab");
        let long = "0123456789".repeat(BLOCK / 5);
        check(fill_pattern(cx, long.as_str().into(), 3 * BLOCK as i32, &path("/new")), "()");
        content(cx, "/new", &long.repeat(2).as_bytes()[..3 * BLOCK]);
        check(fill(cx, 0, 0, &path("/abc")), "()");
        content(cx, "/abc", b"");
        check(fill(cx, 256, 1, &path("/abc")), "c: 256 is not from 0 to 255 [Some(22)]");
        check(fill(cx, 0, -1, &path("/abc")), "len: -1 is negative [Some(22)]");
        check(fill_pattern(cx, "".into(), 1, &path("/abc")), "pattern: is empty [Some(22)]");
        check(fill(cx, 0, 1, &path("/fifo")), "/fifo: not a regular file [Some(22)]");
    }

    #[test]
    fn names_of_their_own() {
        let (dir, cx) = &mut guest();
        let options = |suffix: &str| MktempOptions { suffix: Some(suffix.into()) };
        let made = mktemp(cx, &path("/dir/xXXXXXX"), options(".conf")).unwrap();
        assert!(made.starts_with(b"/dir/x") && made.ends_with(b".conf") && made.len() == 17);
        assert!(dir.path().join(made[1..].to_str().unwrap()).exists());
        check(
            mktemp(cx, &path("/dir/x"), options("")),
            "tmpl: /dir/x does not end in XXXXXX [Some(22)]",
        );
        let expected = "suffix: \"/x\" has a slash in it [Some(22)]";
        check(mktemp(cx, &path("/dir/XXXXXX"), options("/x")), expected);
    }
}
