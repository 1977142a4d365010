// SPDX-License-Identifier: LGPL-2.1-or-later
//! Directories: making and removing them, and what is in them.

mod case;
mod glob;
mod listing;
pub(crate) mod walk;

use std::collections::HashSet;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use bstr::{BString, ByteSlice};
use guestfs_protocol::{Dirent, Pack, wire};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, fstat, fstatvfs, mkdirat, mknodat, statat, unlinkat,
};

pub(crate) use self::case::case_sensitive_path;
pub(crate) use self::glob::{glob_expand, stands_for};
pub(crate) use self::listing::{database, ll, llz};
use self::walk::{enter, entries, walk};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;
use crate::random::random;
use crate::transfer::FileOut;

/// Permissions that the umask is taken from.
const ALL: Mode = Mode::from_raw_mode(0o777);

/// What stands for the random letters at the end of a template.
pub(crate) const PLACEHOLDER: &[u8; 6] = b"XXXXXX";

/// How often another random name is tried.  A second time is rare already.
const TRIES: usize = 100;

pub(crate) fn mkdir(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    make(cx, path, ALL)
}

pub(crate) fn mkdir_p(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    let mut missing = Vec::new();
    let mut at = path.clone();
    while let Err(err) = is_directory(cx, &at) {
        if err.errno() != Some(Errno::NOENT) || at.is_root() {
            return Err(err);
        }
        let (parent, _) = at.split();
        missing.push(std::mem::replace(&mut at, parent));
    }
    for path in missing.iter().rev() {
        match make(cx, path, ALL) {
            // With `..` in the path, the directory may be one that has just been made.
            Err(err) if err.errno() == Some(Errno::EXIST) => is_directory(cx, path)?,
            result => result?,
        }
    }
    Ok(())
}

pub(crate) fn mkdir_mode(cx: &mut Ctx, path: &GuestPath, mode: i32) -> Result<()> {
    make(cx, path, permissions(mode)?)
}

pub(crate) fn mkdtemp(cx: &mut Ctx, tmpl: &GuestPath) -> Result<BString> {
    let Some(path) = tmpl.as_bstr().strip_suffix(PLACEHOLDER) else {
        return Err(Error::invalid("tmpl", format_args!("{tmpl} does not end in XXXXXX")));
    };
    let (parent, name) = cx.parent(tmpl)?;
    let name = name.strip_suffix(PLACEHOLDER).unwrap_or_default();
    let letters = with_random_letters(|letters| {
        mkdirat(&parent, [name, letters].concat(), Mode::RWXU).about(tmpl)
    })?;
    Ok([path, &letters[..]].concat().into())
}

pub(crate) fn rmdir(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    if path.is_root() {
        return Err(Error::sys(path, Errno::BUSY));
    }
    let (parent, name) = cx.parent(path)?;
    unlinkat(parent, name.as_bytes(), AtFlags::REMOVEDIR).about(path)
}

pub(crate) fn ls0(cx: &mut Ctx, dir: &GuestPath, filenames: &mut FileOut<'_>) -> Result<()> {
    names(cx, dir, filenames)
}

pub(crate) fn internal_readdir(
    cx: &mut Ctx,
    dir: &GuestPath,
    filename: &mut FileOut<'_>,
) -> Result<()> {
    let mut bytes = Vec::new();
    dirents(cx, dir, |dirent| {
        bytes.clear();
        dirent.pack(&mut bytes).map_err(wire::Error::from)?;
        filename.write_all(&bytes).about(dir)
    })
}

pub(crate) fn find0(cx: &mut Ctx, directory: &GuestPath, files: &mut FileOut<'_>) -> Result<()> {
    tree(cx, directory, files)
}

pub(crate) fn du(cx: &mut Ctx, path: &GuestPath) -> Result<i64> {
    let file = cx.open_nofollow(path, OFlags::PATH)?;
    let stat = fstat(&file).about(path)?;
    let mut blocks = stat.st_blocks.cast_unsigned();
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        // What the filesystem holds is the most there can be to find in it.
        let filesystem = fstatvfs(&file).about(path)?;
        let used = filesystem.f_blocks.saturating_sub(filesystem.f_bfree);
        let total = used.saturating_mul(filesystem.f_frsize) / 512;
        let mut linked = HashSet::new();
        walk(enter(file.as_fd(), c".").about(path)?, path, |entry| {
            let stat = match statat(entry.directory, entry.name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(errno) => return Err(Error::sys(path.join(&entry.path()), errno)),
            };
            let several = stat.st_nlink > 1 && entry.kind != FileType::Directory;
            if !several || linked.insert((stat.st_dev, stat.st_ino)) {
                blocks = blocks.saturating_add(stat.st_blocks.cast_unsigned());
            }
            cx.progress(blocks.min(total), total);
            Ok(())
        })?;
    }
    Ok(i64::try_from(blocks.div_ceil(2)).unwrap_or(i64::MAX))
}

pub(crate) fn fill_dir(cx: &mut Ctx, dir: &GuestPath, nr: i32) -> Result<()> {
    if nr < 0 {
        return Err(Error::invalid("nr", format_args!("{nr} is negative")));
    }
    let directory = cx.open(dir, OFlags::PATH | OFlags::DIRECTORY)?;
    let mode = Mode::from_raw_mode(0o666);
    for n in 0..nr {
        let name = format!("{n:08}");
        match mknodat(&directory, &name, FileType::RegularFile, mode, 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::sys(dir.join(name.as_bytes()), errno)),
        }
    }
    Ok(())
}

/// The permissions that an argument called `mode` asks for.
pub(crate) fn permissions(mode: i32) -> Result<Mode> {
    match u32::try_from(mode) {
        Ok(bits @ 0..=0o7777) => Ok(Mode::from_raw_mode(bits)),
        _ => Err(Error::invalid("mode", format_args!("{mode} is not from 0 to 07777"))),
    }
}

/// Calls `make` with random letters until they make a name that does not exist yet.
pub(crate) fn with_random_letters(
    mut make: impl FnMut(&[u8]) -> Result<()>,
) -> Result<[u8; PLACEHOLDER.len()]> {
    for _ in 0..TRIES {
        let letters = random_letters()?;
        match make(&letters) {
            Err(err) if err.errno() == Some(Errno::EXIST) => {}
            result => return result.map(|()| letters),
        }
    }
    Err(Error::refused(Errno::EXIST, "random name", "every name that was tried exists"))
}

fn random_letters() -> Result<[u8; PLACEHOLDER.len()]> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut number = u64::from_ne_bytes(random()?);
    Ok(std::array::from_fn(|_| {
        let letter = LETTERS[(number % 62) as usize];
        number /= 62;
        letter
    }))
}

/// Writes the names in a directory.
fn names(cx: &Ctx, dir: &GuestPath, out: &mut impl Write) -> Result<()> {
    entries(open(cx, dir)?.as_fd(), dir, |entry| match entry.is_dot() {
        true => Ok(()),
        false => out.write_all(entry.name.to_bytes_with_nul()).about(dir),
    })
}

/// Passes on the entries of a directory as the library knows them.
pub(crate) fn dirents(
    cx: &Ctx,
    dir: &GuestPath,
    mut each: impl FnMut(Dirent) -> Result<()>,
) -> Result<()> {
    entries(open(cx, dir)?.as_fd(), dir, |entry| {
        let name = entry.name.to_bytes().into();
        each(Dirent { ino: entry.ino.cast_signed(), ftyp: letter(entry.kind), name })
    })
}

/// Writes the paths of all that is beneath a directory.
fn tree(cx: &Ctx, directory: &GuestPath, out: &mut impl Write) -> Result<()> {
    walk(open(cx, directory)?, directory, |entry| {
        out.write_all(entry.prefix).about(directory)?;
        out.write_all(entry.name.to_bytes_with_nul()).about(directory)
    })
}

fn open(cx: &Ctx, directory: &GuestPath) -> Result<OwnedFd> {
    cx.open(directory, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// The type of a file as `dirent` tells it.
fn letter(kind: FileType) -> u8 {
    match kind {
        FileType::BlockDevice => b'b',
        FileType::CharacterDevice => b'c',
        FileType::Directory => b'd',
        FileType::Fifo => b'f',
        FileType::Symlink => b'l',
        FileType::RegularFile => b'r',
        FileType::Socket => b's',
        FileType::Unknown => b'u',
    }
}

fn is_directory(cx: &Ctx, path: &GuestPath) -> Result<()> {
    cx.open(path, OFlags::PATH | OFlags::DIRECTORY).map(drop)
}

fn make(cx: &Ctx, path: &GuestPath, mode: Mode) -> Result<()> {
    let (parent, name) = cx.parent(path)?;
    mkdirat(parent, name.as_bytes(), mode).about(path)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn path(text: &str) -> GuestPath {
        GuestPath::new("path", text.as_bytes()).unwrap()
    }

    /// A guest with `/dir/sub`, `/file`, `/to-dir` and `/dangling`.
    fn guest() -> (tempfile::TempDir, Ctx) {
        let root = tempfile::tempdir().unwrap();
        let mut cx = Ctx::new(root.path());
        mkdir_p(&mut cx, &path("/dir/sub")).unwrap();
        let top = cx.open(&path("/"), OFlags::RDONLY).unwrap();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        cx.open_mode(&path("/file"), flags, Mode::RUSR | Mode::WUSR).unwrap();
        rustix::fs::symlinkat("/dir", &top, "to-dir").unwrap();
        rustix::fs::symlinkat("missing", &top, "dangling").unwrap();
        (root, cx)
    }

    fn text(result: Result<impl std::fmt::Display>) -> String {
        result.map_or_else(|err| err.to_string(), |value| value.to_string())
    }

    fn tree_of(cx: &Ctx, at: &str) -> String {
        let mut out = Vec::new();
        tree(cx, &path(at), &mut out).unwrap();
        let mut paths: Vec<_> = out.split(|&byte| byte == 0).filter(|it| !it.is_empty()).collect();
        paths.sort_unstable();
        bstr::join(" ", paths).as_bstr().to_string()
    }

    #[test]
    fn making_with_parents() {
        #[track_caller]
        fn check(at: &str, expected: &str) {
            let (_root, mut cx) = guest();
            let result = mkdir_p(&mut cx, &path(at)).map(|()| tree_of(&cx, "/dir"));
            assert_eq!(text(result), expected);
        }
        check("/", "sub");
        check("/dir/sub/", "sub");
        check("/dir/a/b", "a a/b sub");
        check("/dir/./a//b/", "a a/b sub");
        check("/to-dir/a", "a sub");
        check("/dir/a/../b", "a b sub");
        check("/../../dir/a", "a sub");
        check("/file", "/file: Not a directory");
        check("/file/a/b", "/file/a/b: Not a directory");
        check("/dangling/a", "/dangling: No such file or directory");
    }

    #[test]
    fn making_and_removing() {
        let (_root, mut cx) = guest();
        assert_eq!(text(mkdir(&mut cx, &path("/")).map(|()| "")), "/: File exists");
        assert_eq!(text(mkdir(&mut cx, &path("/dir/..")).map(|()| "")), "/dir/..: File exists");
        assert_eq!(
            text(mkdir(&mut cx, &path("/a/b")).map(|()| "")),
            "/a/b: No such file or directory"
        );
        assert_eq!(
            text(mkdir_mode(&mut cx, &path("/a"), -1).map(|()| "")),
            "mode: -1 is not from 0 to 07777"
        );
        mkdir_mode(&mut cx, &path("/a"), 0o1700).unwrap();
        assert_eq!(cx.lstat(&path("/a")).unwrap().st_mode, 0o41700);
        rmdir(&mut cx, &path("/a/")).unwrap();
        for (at, expected) in [
            ("/", "/: Device or resource busy"),
            ("/dir", "/dir: Directory not empty"),
            ("/file", "/file: Not a directory"),
            ("/to-dir", "/to-dir: Not a directory"),
            ("/a", "/a: No such file or directory"),
        ] {
            assert_eq!(text(rmdir(&mut cx, &path(at)).map(|()| "")), expected);
        }
    }

    #[test]
    fn temporary_names() {
        let (_root, mut cx) = guest();
        let made = mkdtemp(&mut cx, &path("/dir/XXXXXXXX")).unwrap();
        assert!(made.starts_with(b"/dir/XX") && made.len() == 13, "{made}");
        let made = GuestPath::new("path", &made).unwrap();
        assert_eq!(cx.lstat(&made).unwrap().st_mode, 0o40700);
        assert_eq!(
            text(mkdtemp(&mut cx, &path("/dir/XXXXX"))),
            "tmpl: /dir/XXXXX does not end in XXXXXX"
        );
        assert_eq!(
            text(mkdtemp(&mut cx, &path("/a/XXXXXX"))),
            "/a/XXXXXX: No such file or directory"
        );
    }

    #[test]
    fn what_is_in_a_directory() {
        let (_root, cx) = guest();
        let mut out = Vec::new();
        names(&cx, &path("/to-dir"), &mut out).unwrap();
        assert_eq!(out.as_bstr(), "sub\0");
        assert_eq!(
            text(names(&cx, &path("/file"), &mut out).map(|()| "")),
            "/file: Not a directory"
        );
        assert_eq!(tree_of(&cx, "/"), "dangling dir dir/sub file to-dir");
        let mut found = Vec::new();
        let each = |dirent: Dirent| {
            found.push(format!("{} {}", char::from(dirent.ftyp), dirent.name));
            Ok(())
        };
        dirents(&cx, &path("/"), each).unwrap();
        found.sort_unstable();
        assert_eq!(found, ["d .", "d ..", "d dir", "l dangling", "l to-dir", "r file"]);
    }

    #[test]
    fn holes_take_no_space() {
        let (_root, mut cx) = guest();
        let file = cx.open(&path("/file"), OFlags::WRONLY).unwrap();
        rustix::fs::ftruncate(file, 1 << 30).unwrap();
        assert_eq!(du(&mut cx, &path("/file")).unwrap(), 0);
        assert_eq!(du(&mut cx, &path("/dangling")).unwrap(), 0);
        assert_eq!(text(du(&mut cx, &path("/a"))), "/a: No such file or directory");
    }

    #[test]
    fn listings() {
        let (_root, mut cx) = guest();
        #[track_caller]
        fn check(cx: &mut Ctx, at: &str, expected: &[&str]) {
            let listing = ll(cx, &path(at)).unwrap();
            let names: Vec<_> = listing
                .lines()
                .map(|line| {
                    let (mode, name) = (&line[..10], line.rsplit(|&it| it == b':').next());
                    format!("{} {}", mode.as_bstr(), name.unwrap_or_default()[3..].as_bstr())
                })
                .collect();
            assert_eq!(names, expected);
        }
        check(&mut cx, "/file", &["-rw------- /file"]);
        check(&mut cx, "/to-dir", &["lrwxrwxrwx /to-dir -> /dir"]);
        let listing = ll(&mut cx, &path("/to-dir/")).unwrap();
        let modes: Vec<_> = listing.lines().skip(1).map(|it| it[..10].as_bstr()).collect();
        assert_eq!(modes[0], "drwxr-xr-x");
        assert_eq!(modes.len(), 3);
    }
}
