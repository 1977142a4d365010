// SPDX-License-Identifier: LGPL-2.1-or-later
//! Configuration files as a tree, by libaugeas.

use bstr::{BStr, BString, ByteSlice};
use guestfs_protocol::IntBool;
use rustix::fs::OFlags;

use crate::ctx::Ctx;
use crate::error::{Errno, Error, Result};
use crate::generated::AugTransformOptions;
use crate::helper::{Failure, Helper, number};
use crate::path::GuestPath;

/// The flags that may be given.
const FLAGS: i32 = 0xff;

/// What the errors are about that are about no node.
const TREE: &str = "Augeas";

/// Errnos for the codes of aug_error(3), from 0 on; the library has no words for the first when a
/// file cannot be saved.
const ERRNOS: [Errno; 16] = [
    Errno::IO,
    Errno::NOMEM,
    Errno::IO,
    Errno::INVAL,
    Errno::NOENT,
    Errno::INVAL,
    Errno::INVAL,
    Errno::NOENT,
    Errno::INVAL,
    Errno::NOENT,
    Errno::INVAL,
    Errno::IO,
    Errno::INVAL,
    Errno::INVAL,
    Errno::INVAL,
    Errno::ACCESS,
];

/// Reasons for which a file cannot be written.
const REASONS: [(&str, Errno); 3] = [
    ("Read-only file system", Errno::ROFS),
    ("No space left on device", Errno::NOSPC),
    ("Disk quota exceeded", Errno::DQUOT),
];

/// A helper with a tree.
#[derive(Debug)]
pub(crate) struct Augeas(Helper);

pub(crate) fn aug_init(cx: &mut Ctx, root: &GuestPath, flags: i32) -> Result<()> {
    if flags & !FLAGS != 0 {
        let why = format!("{flags} is not a sum of 1, 2, 4, 8, 16, 32, 64 and 128");
        return Err(Error::invalid("flags", why));
    }
    cx.open(root, OFlags::PATH | OFlags::DIRECTORY)?;
    cx.handles().augeas = Some(Augeas(Helper::start(cx, "augeas")?));
    // Without the flag the lenses are loaded, and then the files are read.
    let flags = flags.to_string();
    let started = ask(cx, root, &[b"init", root.as_bstr(), flags.as_bytes()]);
    if started.is_err() {
        cx.handles().augeas = None;
    }
    started.map(drop)
}

pub(crate) fn aug_close(cx: &mut Ctx) -> Result<()> {
    cx.handles().augeas.take().map(drop).ok_or_else(not_started)
}

pub(crate) fn aug_defvar(cx: &mut Ctx, name: &BStr, expr: Option<&BStr>) -> Result<i32> {
    let mut request: Vec<&[u8]> = vec![b"defvar", name];
    request.extend(expr.map(|it| it.as_bytes()));
    number(&ask(cx, name, &request)?)
}

pub(crate) fn aug_defnode(cx: &mut Ctx, name: &BStr, expr: &BStr, val: &BStr) -> Result<IntBool> {
    let results = ask(cx, name, &[b"defnode", name, expr, val])?;
    let (count, made) = results.split_at(results.len() / 2);
    Ok(IntBool { i: number(count)?, b: number(made)? })
}

pub(crate) fn aug_get(cx: &mut Ctx, augpath: &BStr) -> Result<BString> {
    ask(cx, augpath, &[b"get", augpath]).map(first)
}

pub(crate) fn aug_label(cx: &mut Ctx, augpath: &BStr) -> Result<BString> {
    ask(cx, augpath, &[b"label", augpath]).map(first)
}

pub(crate) fn aug_set(cx: &mut Ctx, augpath: &BStr, val: &BStr) -> Result<()> {
    ask(cx, augpath, &[b"set", augpath, val]).map(drop)
}

pub(crate) fn aug_setm(cx: &mut Ctx, base: &BStr, sub: Option<&BStr>, val: &BStr) -> Result<i32> {
    let mut request: Vec<&[u8]> = vec![b"setm", base, val];
    request.extend(sub.map(|it| it.as_bytes()));
    number(&ask(cx, base, &request)?)
}

pub(crate) fn aug_clear(cx: &mut Ctx, augpath: &BStr) -> Result<()> {
    ask(cx, augpath, &[b"clear", augpath]).map(drop)
}

pub(crate) fn aug_insert(cx: &mut Ctx, augpath: &BStr, label: &BStr, before: bool) -> Result<()> {
    if label.is_empty() || label.contains(&b'/') {
        return Err(Error::invalid("label", format_args!("{label:?} is no label")));
    }
    ask(cx, augpath, &[b"insert", augpath, label, flag(before)]).map(drop)
}

pub(crate) fn aug_rm(cx: &mut Ctx, augpath: &BStr) -> Result<i32> {
    number(&ask(cx, augpath, &[b"rm", augpath])?)
}

pub(crate) fn aug_mv(cx: &mut Ctx, src: &BStr, dest: &BStr) -> Result<()> {
    ask(cx, src, &[b"mv", src, dest]).map(drop)
}

pub(crate) fn aug_match(cx: &mut Ctx, augpath: &BStr) -> Result<Vec<BString>> {
    ask(cx, augpath, &[b"match", augpath])
}

pub(crate) fn aug_ls(cx: &mut Ctx, augpath: &BStr) -> Result<Vec<BString>> {
    let below = match augpath.as_bytes() {
        b"/" => BString::from("/*"),
        path if path.ends_with(b"/") => {
            return Err(Error::invalid("augpath", format_args!("{augpath} ends in a slash")));
        }
        path => [path, b"/*"].concat().into(),
    };
    let mut paths = ask(cx, augpath, &[b"match", &below])?;
    paths.sort_unstable();
    Ok(paths)
}

pub(crate) fn aug_load(cx: &mut Ctx) -> Result<()> {
    ask(cx, TREE, &[b"load"]).map(drop)
}

pub(crate) fn aug_save(cx: &mut Ctx) -> Result<()> {
    ask(cx, TREE, &[b"save"]).map(drop)
}

pub(crate) fn aug_transform(
    cx: &mut Ctx,
    lens: &BStr,
    file: &BStr,
    options: AugTransformOptions,
) -> Result<()> {
    let remove = options.remove == Some(true);
    ask(cx, lens, &[b"transform", lens, file, flag(remove)]).map(drop)
}

/// Calls a function of the library; `about` is what it fails about.
fn ask(cx: &mut Ctx, about: impl std::fmt::Display, request: &[&[u8]]) -> Result<Vec<BString>> {
    let Augeas(helper) = cx.handles().augeas.as_mut().ok_or_else(not_started)?;
    match helper.call(request) {
        Ok(results) => Ok(results),
        Err(Failure::Refused(code, words)) => {
            Err(Error::refused(errno(code, &words), about, words))
        }
        Err(Failure::Ended(err)) => {
            cx.handles().augeas = None;
            Err(err)
        }
    }
}

fn errno(code: i32, words: &str) -> Errno {
    let reason = REASONS.iter().find(|(reason, _)| words.ends_with(reason));
    let of_code = || usize::try_from(code).ok().and_then(|code| ERRNOS.get(code).copied());
    reason.map(|&(_, errno)| errno).or_else(of_code).unwrap_or(Errno::IO)
}

fn not_started() -> Error {
    Error::refused(Errno::INVAL, TREE, "aug_init has to be called first")
}

fn first(results: Vec<BString>) -> BString {
    results.into_iter().next().unwrap_or_default()
}

fn flag(value: bool) -> &'static [u8] {
    if value { b"1" } else { b"0" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos() {
        #[track_caller]
        fn check(code: i32, words: &str, expected: Errno) {
            assert_eq!(errno(code, words), expected);
        }
        check(4, "no such node", Errno::NOENT);
        check(3, "invalid path expression", Errno::INVAL);
        check(0, "/etc/hosts: Read-only file system", Errno::ROFS);
        check(0, "/etc/hosts: put_failed", Errno::IO);
        check(99, "", Errno::IO);
        check(-1, "", Errno::IO);
    }

    #[test]
    fn nothing_is_asked_before_the_start() {
        let root = tempfile::tempdir().unwrap();
        let mut cx = Ctx::new(root.path());
        let expected = "Augeas: aug_init has to be called first";
        assert_eq!(aug_close(&mut cx).unwrap_err().to_string(), expected);
        assert_eq!(aug_get(&mut cx, "/".into()).unwrap_err().to_string(), expected);
        let err = aug_ls(&mut cx, "/files/".into()).unwrap_err();
        assert_eq!(err.to_string(), "augpath: /files/ ends in a slash");
        for flags in [-1, 256] {
            let path = GuestPath::new("root", b"/").unwrap();
            let expected = format!("flags: {flags} is not a sum of 1, 2, 4, 8, 16, 32, 64 and 128");
            assert_eq!(aug_init(&mut cx, &path, flags).unwrap_err().to_string(), expected);
        }
    }
}
