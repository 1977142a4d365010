// SPDX-License-Identifier: LGPL-2.1-or-later
//! Copying and moving of files and trees.

mod content;
mod tree;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, renameat, statat, unlinkat,
};

use self::content::Contents;
use self::tree::{Keep, copy_tree};
use super::remove::remove_tree;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;

pub(crate) fn cp(cx: &mut Ctx, src: &GuestPath, dest: &GuestPath) -> Result<()> {
    let from = cx.open_regular(src, OFlags::RDONLY, Mode::empty())?;
    let stat = fstat(&from).about(src)?;
    let dest = inside(cx, src, dest)?;
    if cx.stat(&dest).is_ok_and(|there| is_same(&there, &stat)) {
        return Err(same_file(src, &dest));
    }
    let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
    let to = cx.open_regular(&dest, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC, mode)?;
    Contents::default().copy(&from, &to, &stat).about(dest)
}

pub(crate) fn cp_a(cx: &mut Ctx, src: &GuestPath, dest: &GuestPath) -> Result<()> {
    let dest = inside(cx, src, dest)?;
    copy_tree(cx, src, &dest, Keep::Everything)
}

pub(crate) fn cp_r(cx: &mut Ctx, src: &GuestPath, dest: &GuestPath) -> Result<()> {
    let dest = inside(cx, src, dest)?;
    copy_tree(cx, src, &dest, Keep::Mode)
}

pub(crate) fn mv(cx: &mut Ctx, src: &GuestPath, dest: &GuestPath) -> Result<()> {
    let (from, name) = cx.parent(src)?;
    if name == "." {
        return Err(Error::invalid(src, "the root directory, \".\" and \"..\" cannot be moved"));
    }
    let stat = statat(&from, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW).about(src)?;
    let dest = inside(cx, src, dest)?;
    let (to, new_name) = cx.parent(&dest)?;
    if let Ok(there) = statat(&to, new_name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)
        && is_same(&there, &stat)
    {
        let directories = (fstat(&from).about(src)?, fstat(&to).about(&dest)?);
        let is_only_name =
            stat.st_nlink < 2 || FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_only_name || name == new_name && is_same(&directories.0, &directories.1) {
            return Err(same_file(src, &dest));
        }
        // Two names of one file: renaming would leave both.
        return unlinkat(from, name.as_bytes(), AtFlags::empty()).about(src);
    }
    match renameat(&from, name.as_bytes(), &to, new_name.as_bytes()) {
        Err(Errno::XDEV) => {}
        result => return result.about(format_args!("{src} to {dest}")),
    }
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        // As when renaming, only an empty directory may be there.
        match unlinkat(&to, new_name.as_bytes(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(Error::sys(format_args!("{src} to {dest}"), errno)),
        }
    }
    copy_tree(cx, src, &dest, Keep::Everything)?;
    remove_tree(&from, name.as_bstr(), src)
}

pub(crate) fn rename(cx: &mut Ctx, oldpath: &GuestPath, newpath: &GuestPath) -> Result<()> {
    let ((from, name), (to, new_name)) = (cx.parent(oldpath)?, cx.parent(newpath)?);
    for (path, name) in [(oldpath, &name), (newpath, &new_name)] {
        if name == "." {
            let why = "the root directory, \".\" and \"..\" cannot be renamed or replaced";
            return Err(Error::invalid(path, why));
        }
    }
    renameat(from, name.as_bytes(), to, new_name.as_bytes())
        .about(format_args!("{oldpath} to {newpath}"))
}

/// The name that the copy gets: in the directory `dest` if it is one.
fn inside(cx: &Ctx, src: &GuestPath, dest: &GuestPath) -> Result<GuestPath> {
    match cx.stat(dest) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Ok(match src.split().1.as_bytes() {
                // What has no name of its own is merged into the directory.
                b"" | b"." | b".." => dest.clone(),
                name => dest.join(name),
            })
        }
        _ => Ok(dest.clone()),
    }
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn same_file(src: &GuestPath, dest: &GuestPath) -> Error {
    Error::invalid(dest, format_args!("the same file as {src}"))
}

/// Opens a directory of the tree to work in it.
fn open_directory(
    parent: impl std::os::fd::AsFd,
    name: &BStr,
) -> rustix::io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name.as_bytes(), flags, Mode::empty())
}

/// A path from the copy's top, with one more name.
fn below(path: &BStr, name: &BStr) -> BString {
    let mut path = path.to_owned();
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "these files are the test's own")]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{XattrFlags, getxattr, setxattr};

    use super::super::tests::{check, guest, path};
    use super::*;
    use crate::system;

    #[track_caller]
    fn holds(dir: &tempfile::TempDir, name: &str, expected: &str) {
        assert_eq!(system::read(dir.path().join(name)).unwrap().as_bstr(), expected);
    }

    #[test]
    fn files() {
        let (dir, cx) = &mut guest();
        check(cp(cx, &path("/link"), &path("/new")), "()");
        holds(dir, "new", "abc\n");
        check(cp(cx, &path("/abc"), &path("/dir")), "()");
        holds(dir, "dir/abc", "abc\n");
        check(cp(cx, &path("/empty"), &path("/new")), "()");
        holds(dir, "new", "");
        check(cp(cx, &path("/abc"), &path("/link")), "/link: the same file as /abc [Some(22)]");
        check(cp(cx, &path("/dir"), &path("/new")), "/dir: Is a directory [Some(21)]");
        check(cp(cx, &path("/fifo"), &path("/new")), "/fifo: not a regular file [Some(22)]");
        check(cp(cx, &path("/none"), &path("/new")), "/none: No such file or directory [Some(2)]");
        holds(dir, "abc", "abc\n");
    }

    #[test]
    fn trees() {
        let (dir, cx) = &mut guest();
        let at = |name: &str| dir.path().join(name);
        std::fs::hard_link(at("abc"), at("dir/one")).unwrap();
        std::fs::hard_link(at("abc"), at("dir/sub/two")).unwrap();
        std::fs::File::create(at("dir/hole")).unwrap().set_len(1 << 20).unwrap();
        check(cp_a(cx, &path("/dir"), &path("/copy")), "()");
        holds(dir, "copy/sub/deep", "deep\n");
        let up = std::fs::read_link(at("copy/up")).unwrap();
        assert_eq!(up, std::fs::read_link(at("dir/up")).unwrap());
        let [one, two, hole] = ["copy/one", "copy/sub/two", "copy/hole"]
            .map(|name| std::fs::metadata(at(name)).unwrap());
        assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
        assert_eq!((hole.len(), hole.blocks()), (1 << 20, 0));
        let times = ["dir/sub", "copy/sub"].map(|name| {
            let it = std::fs::metadata(at(name)).unwrap();
            (it.mtime(), it.mtime_nsec(), it.mode())
        });
        assert_eq!(times[0], times[1]);
        // Merged with what is there.
        check(cp_r(cx, &path("/dir/."), &path("/copy")), "()");
        check(cp_r(cx, &path("/fifo"), &path("/copy")), "()");
        check(cp_a(cx, &path("/dangling"), &path("/copy/link")), "()");
        assert_eq!(std::fs::read_link(at("copy/link")).unwrap().to_str(), Some("/missing"));
        let expected = "/dir: would be copied into itself, /dir/sub/dir [Some(22)]";
        check(cp_a(cx, &path("/dir"), &path("/dir/sub")), expected);
        let expected = "/: would be copied into itself, /dir [Some(22)]";
        check(cp_r(cx, &path("/"), &path("/dir")), expected);
        check(cp_a(cx, &path("/abc"), &path("/abc")), "/abc: the same file as /abc [Some(22)]");
        check(cp_a(cx, &path("/dir"), &path("/abc")), "/abc: Not a directory [Some(20)]");
        std::fs::create_dir(at("copy/abc")).unwrap();
        check(cp_a(cx, &path("/abc"), &path("/copy")), "/copy/abc: Is a directory [Some(21)]");
        holds(dir, "abc", "abc\n");
    }

    #[test]
    fn extended_attributes() {
        let (dir, cx) = &mut guest();
        let at = |name: &str| dir.path().join(name);
        let names = ["dir/sub", "dir/sub/deep"];
        for (name, attribute) in names.iter().flat_map(|name| [(name, "one"), (name, "two")]) {
            let attribute = format!("user.{attribute}");
            match setxattr(at(name), &attribute, name.as_bytes(), XattrFlags::empty()) {
                Ok(()) => {}
                // The temporary directory is on a filesystem that has none.
                Err(Errno::OPNOTSUPP) => return,
                Err(errno) => panic!("{name}: {errno}"),
            }
        }
        check(cp_a(cx, &path("/dir"), &path("/copy")), "()");
        for (name, attribute) in names.iter().flat_map(|name| [(name, "one"), (name, "two")]) {
            let mut value = [0; 100];
            let copy = at(&name.replace("dir", "copy"));
            let length = getxattr(copy, format!("user.{attribute}"), &mut value[..]).unwrap();
            assert_eq!(value[..length].as_bstr(), *name);
        }
    }

    #[test]
    fn moving() {
        let (dir, cx) = &mut guest();
        let at = |name: &str| dir.path().join(name);
        check(mv(cx, &path("/abc"), &path("/dir")), "()");
        holds(dir, "dir/abc", "abc\n");
        check(mv(cx, &path("/dir/"), &path("/new")), "()");
        holds(dir, "new/abc", "abc\n");
        let expected = "/new to /new/sub/new: Invalid argument [Some(22)]";
        check(mv(cx, &path("/new"), &path("/new/sub")), expected);
        let expected = "/new to /empty: Not a directory [Some(20)]";
        check(mv(cx, &path("/new"), &path("/empty")), expected);
        check(mv(cx, &path("/none"), &path("/x")), "/none: No such file or directory [Some(2)]");
        check(
            mv(cx, &path("/empty"), &path("/empty")),
            "/empty: the same file as /empty [Some(22)]",
        );
        std::fs::hard_link(at("empty"), at("other")).unwrap();
        check(mv(cx, &path("/empty"), &path("/other")), "()");
        assert!(!at("empty").exists() && at("other").exists());
    }
}
