// SPDX-License-Identifier: LGPL-2.1-or-later
//! Removing files and trees, without ever following a link.

use std::os::fd::{AsFd, OwnedFd};

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};

use super::names;
use crate::cancel;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::path::{GuestPath, Place};

pub(crate) fn rm(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    let (parent, name) = cx.parent(path)?;
    unlinkat(parent, name.as_bytes(), AtFlags::empty()).about(path)
}

pub(crate) fn rm_f(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    unless_missing(rm(cx, path))
}

pub(crate) fn rm_rf(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    unless_missing(cx.parent(path).and_then(|(parent, name)| {
        if name == "." {
            let why = "the root directory cannot be removed, nor can \".\" and \"..\"";
            return Err(Error::invalid(path, why));
        }
        remove_tree(&parent, name.as_bstr(), path)
    }))
}

fn unless_missing(result: Result<()>) -> Result<()> {
    match result {
        Err(err) if err.errno() == Some(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// A directory that is being emptied.
struct Frame {
    directory: OwnedFd,
    names: std::vec::IntoIter<BString>,
}

/// Removes `name` from the directory `parent`, with everything in it.  `path` is for messages.
///
/// What cannot be removed does not stop the rest; the first reason is the error.
pub(super) fn remove_tree(parent: &OwnedFd, name: &BStr, path: &GuestPath) -> Result<()> {
    let mut first = Ok(());
    // On the heap, as the guest decides how deep its directories are; each with the length of the
    // path of its parent.
    let mut frames = Vec::new();
    let mut at = path.clone();
    match remove_or_open(parent, name, Place { directory: path, name: None }) {
        Ok(None) => return Ok(()),
        Ok(Some(frame)) => frames.push((frame, at.len())),
        Err(err) => return Err(err),
    }
    while let Some((frame, _)) = frames.last_mut() {
        cancel::check()?;
        if let Some(name) = frame.names.next() {
            let place = Place { directory: &at, name: Some(name.as_bstr()) };
            match remove_or_open(&frame.directory, name.as_bstr(), place) {
                Ok(None) => {}
                Ok(Some(inner)) => {
                    frames.push((inner, at.len()));
                    at.push(&name);
                }
                Err(err) => first = first.and(Err(err)),
            }
            continue;
        }
        let Some((_, above)) = frames.pop() else { break };
        let (parent, name) = match frames.last() {
            Some((outer, _)) => (outer.directory.as_fd(), at.name()),
            None => (parent.as_fd(), name),
        };
        match unlinkat(parent, name.as_bytes(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            // Something in it could not be removed, and that is the better reason.
            Err(Errno::NOTEMPTY) if first.is_err() => {}
            Err(errno) => first = first.and(Err(Error::sys(&at, errno))),
        }
        at.truncate(above);
    }
    first
}

/// Removes anything but a directory, which it opens instead.
fn remove_or_open(parent: &OwnedFd, name: &BStr, at: Place<'_>) -> Result<Option<Frame>> {
    match unlinkat(parent, name.as_bytes(), AtFlags::empty()) {
        Ok(()) => return Ok(None),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(Error::sys(at, errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name.as_bytes(), flags, Mode::empty()).about(at)?;
    let names = names(&directory).about(at)?.into_iter();
    Ok(Some(Frame { directory, names }))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "these files are the test's own")]
mod tests {
    use super::super::tests::{check, guest, path};
    use super::*;

    #[test]
    fn removing() {
        let (dir, cx) = &mut guest();
        check(rm(cx, &path("/dir")), "/dir: Is a directory [Some(21)]");
        check(rm(cx, &path("/none")), "/none: No such file or directory [Some(2)]");
        check(rm_f(cx, &path("/none")), "()");
        check(rm_f(cx, &path("/none/none")), "()");
        check(rm_f(cx, &path("/abc/none")), "/abc/none: Not a directory [Some(20)]");
        check(rm(cx, &path("/link")), "()");
        check(rm(cx, &path("/fifo")), "()");
        assert!(dir.path().join("abc").exists());
        check(rm_rf(cx, &path("/none")), "()");
        check(rm_rf(cx, &path("/dir/")), "()");
        assert!(!dir.path().join("dir").exists());
        let why = "the root directory cannot be removed, nor can \".\" and \"..\" [Some(22)]";
        check(rm_rf(cx, &path("/")), &format!("/: {why}"));
        check(rm_rf(cx, &path("/..")), &format!("/..: {why}"));
    }

    #[test]
    fn deep_trees() {
        let (dir, cx) = &mut guest();
        let depth = 300;
        for n in 1..=depth {
            std::fs::create_dir(dir.path().join("d/".repeat(n))).unwrap();
        }
        check(rm_rf(cx, &path("/d")), "()");
        assert!(!dir.path().join("d").exists());
    }
}
