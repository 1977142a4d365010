// SPDX-License-Identifier: LGPL-2.1-or-later
//! Names that lead to other files: hard and symbolic links.

use std::os::fd::OwnedFd;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{
    AtFlags, FileType, OFlags, fstat, linkat, readlinkat, renameat, symlinkat, unlinkat,
};

use super::without_directory;
use crate::ctx::Ctx;
use crate::directory::with_random_letters;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;

/// What a new link is called until it takes the place of an old one.
const TEMPORARY: &[u8] = b".guestfs.";

pub(crate) fn ln(cx: &mut Ctx, target: &BStr, linkname: &GuestPath) -> Result<()> {
    let target = Target::new(cx, target)?;
    let (parent, name) = cx.parent(linkname)?;
    target.link(&parent, &name, linkname)
}

pub(crate) fn ln_f(cx: &mut Ctx, target: &BStr, linkname: &GuestPath) -> Result<()> {
    let target = Target::new(cx, target)?;
    replace(cx, linkname, |parent, name| target.link(parent, name, linkname))
}

pub(crate) fn ln_s(cx: &mut Ctx, target: &BStr, linkname: &GuestPath) -> Result<()> {
    let (parent, name) = cx.parent(linkname)?;
    symlinkat(target.as_bytes(), parent, name.as_bytes()).about(linkname)
}

pub(crate) fn ln_sf(cx: &mut Ctx, target: &BStr, linkname: &GuestPath) -> Result<()> {
    replace(cx, linkname, |parent, name| symlinkat(target.as_bytes(), parent, name).about(linkname))
}

pub(crate) fn readlink(cx: &mut Ctx, path: &GuestPath) -> Result<BString> {
    let link = cx.open_nofollow(path, OFlags::PATH)?;
    if FileType::from_raw_mode(fstat(&link).about(path)?.st_mode) != FileType::Symlink {
        return Err(Error::invalid(path, "not a symbolic link"));
    }
    Ok(readlinkat(link, "", Vec::new()).about(path)?.into_bytes().into())
}

pub(crate) fn internal_readlinklist(
    cx: &mut Ctx,
    path: &GuestPath,
    names: &[BString],
) -> Result<Vec<BString>> {
    let directory = cx.open(path, OFlags::PATH | OFlags::DIRECTORY)?;
    let read = |name: &BString| {
        let text = readlinkat(&directory, without_directory(name)?, Vec::new());
        Ok(text.map_or_else(|_| BString::default(), |text| text.into_bytes().into()))
    };
    names.iter().map(read).collect()
}

pub(crate) fn realpath(cx: &mut Ctx, path: &GuestPath) -> Result<BString> {
    let place = |file: OwnedFd| rustix::fs::readlink(cx.proc_fd(&file), Vec::new()).about(path);
    let root = place(cx.root()?)?;
    let found = place(cx.open(path, OFlags::PATH)?)?;
    match found.as_bytes().strip_prefix(root.as_bytes()) {
        Some([]) => Ok("/".into()),
        Some(below @ [b'/', ..]) => Ok(below.into()),
        _ => Err(Error::refused(Errno::NOENT, path, "moved out of the guest meanwhile")),
    }
}

/// An existing file that is to have another name.
struct Target {
    path: GuestPath,
    parent: OwnedFd,
    name: BString,
}

impl Target {
    fn new(cx: &Ctx, target: &BStr) -> Result<Self> {
        let path = GuestPath::new("target", target)?;
        let (parent, name) = cx.parent(&path)?;
        Ok(Self { path, parent, name })
    }

    fn link(&self, parent: &OwnedFd, name: &[u8], linkname: &GuestPath) -> Result<()> {
        let name = name.as_bytes();
        match linkat(&self.parent, self.name.as_bytes(), parent, name, AtFlags::empty()) {
            // Both directories are open, so these can only be about the old name.
            Err(errno @ (Errno::NOENT | Errno::PERM)) => Err(Error::sys(&self.path, errno)),
            result => result.about(linkname),
        }
    }
}

/// Makes a link under another name and puts it where `linkname` was, in one step.
fn replace(
    cx: &Ctx,
    linkname: &GuestPath,
    make: impl Fn(&OwnedFd, &[u8]) -> Result<()>,
) -> Result<()> {
    let (parent, name) = cx.parent(linkname)?;
    let temporary = |letters: &[u8]| [TEMPORARY, letters].concat();
    let letters = with_random_letters(|letters| make(&parent, &temporary(letters)))?;
    let temporary = temporary(&letters);
    let renamed = renameat(&parent, &temporary, &parent, name.as_bytes());
    // Between two names of one file, rename(2) does nothing and says that all went well.
    match unlinkat(&parent, &temporary, AtFlags::empty()) {
        Err(Errno::NOENT) => {}
        result => result.about(linkname)?,
    }
    renamed.about(linkname)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GuestPath {
        GuestPath::new("path", text.as_bytes()).unwrap()
    }

    /// A guest with `/a`, `/b`, `/dir` and links.
    fn guest() -> (tempfile::TempDir, Ctx) {
        let root = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            crate::system::write(root.path().join(name), name.as_bytes()).unwrap();
        }
        let mut cx = Ctx::new(root.path());
        crate::directory::mkdir_p(&mut cx, &path("/dir/sub")).unwrap();
        for (link, target) in [
            ("/link", "/dir/../a"),
            ("/dangling", "missing"),
            ("/loop", "loop"),
            ("/dir/escape", "../../../../../dir/sub"),
        ] {
            ln_s(&mut cx, target.into(), &path(link)).unwrap();
        }
        (root, cx)
    }

    #[track_caller]
    fn check(result: Result<impl std::fmt::Display>, expected: &str) {
        let text = result.map_or_else(|err| err.to_string(), |value| value.to_string());
        assert_eq!(text, expected);
    }

    fn ino(cx: &Ctx, at: &str) -> String {
        cx.lstat(&path(at)).map_or_else(|err| err.to_string(), |stat| stat.st_ino.to_string())
    }

    #[test]
    fn real_paths() {
        let (_root, mut cx) = guest();
        for (at, expected) in [
            ("/", "/"),
            ("/..//.", "/"),
            ("/link", "/a"),
            ("/dir/sub/../escape/", "/dir/sub"),
            ("/missing", "/missing: No such file or directory"),
            ("/dangling", "/dangling: No such file or directory"),
            ("/loop", "/loop: Too many levels of symbolic links"),
            ("/a/", "/a/: Not a directory"),
        ] {
            check(realpath(&mut cx, &path(at)), expected);
        }
    }

    #[test]
    fn texts_of_links() {
        let (_root, mut cx) = guest();
        for (at, expected) in [
            ("/link", "/dir/../a"),
            ("/loop", "loop"),
            ("/a", "/a: not a symbolic link"),
            ("/", "/: not a symbolic link"),
            ("/missing", "/missing: No such file or directory"),
        ] {
            check(readlink(&mut cx, &path(at)), expected);
        }
    }

    #[test]
    fn texts_of_many_links() {
        let (_root, mut cx) = guest();
        let mut texts = |names: &[&str]| {
            let names: Vec<BString> = names.iter().map(|&name| name.into()).collect();
            internal_readlinklist(&mut cx, &path("/"), &names).map(|it| format!("{it:?}"))
        };
        check(texts(&["loop", "a", "dangling", "missing"]), r#"["loop", "", "missing", ""]"#);
        check(texts(&[]), "[]");
        check(texts(&["dir/escape"]), r#"names: "dir/escape" is not a name without directory"#);
    }

    #[test]
    fn hard_links() {
        let (_root, mut cx) = guest();
        let mut link = |target: &str, linkname: &str| {
            ln(&mut cx, target.into(), &path(linkname)).map(|()| ino(&cx, linkname))
        };
        let a = link("/a", "/new").unwrap();
        check(link("/new", "/dir/new"), &a);
        check(link("/a", "/b"), "/b: File exists");
        check(link("/a", "/"), "/: File exists");
        check(link("a", "/x"), r#"target: "a" is not an absolute path"#);
        check(link("/missing", "/x"), "/missing: No such file or directory");
        check(link("/a", "/missing/x"), "/missing/x: No such file or directory");
        check(link("/dir", "/x"), "/dir: Operation not permitted");
        check(link("/dir/..", "/x"), "/dir/..: Operation not permitted");
        link("/dangling", "/x").unwrap();
        check(readlink(&mut cx, &path("/x")), "missing");
    }

    #[test]
    fn links_in_place_of_others() {
        let (root, mut cx) = guest();
        let a = ino(&cx, "/a");
        // The second time both are the same file already.
        for _ in 0..2 {
            ln_f(&mut cx, "/a".into(), &path("/b")).unwrap();
            assert_eq!(ino(&cx, "/b"), a);
        }
        ln_f(&mut cx, "/a".into(), &path("/a")).unwrap();
        check(ln_f(&mut cx, "/a".into(), &path("/dir")).map(|()| ""), "/dir: Is a directory");
        let missing = ln_f(&mut cx, "/missing".into(), &path("/b")).map(|()| "");
        check(missing, "/missing: No such file or directory");
        for name in ["/b", "/link", "/new"] {
            ln_sf(&mut cx, "text".into(), &path(name)).unwrap();
            check(readlink(&mut cx, &path(name)), "text");
        }
        check(ln_sf(&mut cx, "x".into(), &path("/dir")).map(|()| ""), "/dir: Is a directory");
        check(ln_sf(&mut cx, "".into(), &path("/b")).map(|()| ""), "/b: No such file or directory");
        check(ln_s(&mut cx, "x".into(), &path("/b")).map(|()| ""), "/b: File exists");
        let names = crate::system::names(root.path()).unwrap();
        assert_eq!(names, ["a", "b", "dangling", "dir", "link", "loop", "new"]);
    }
}
