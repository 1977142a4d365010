// SPDX-License-Identifier: LGPL-2.1-or-later
//! Copying of whole trees: links, special files and attributes included, and no link followed.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::File;
use std::os::fd::OwnedFd;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmod,
    chownat, fchmod, fgetxattr, flistxattr, flistxattr_query, fsetxattr, fstat, futimens, getxattr,
    linkat, listxattr, listxattr_query, mkdirat, mknodat, openat, readlinkat, setxattr, statat,
    symlinkat, unlinkat, utimensat,
};

use super::content::Contents;
use super::{below, is_same, open_directory, same_file};
use crate::cancel;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::file::names;
use crate::path::{GuestPath, Place};
use crate::tool::proc_path;

/// What a copy gets from what it is copied from, besides the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Owner, mode, times, extended attributes and hard links.
    Everything,
    /// The permissions, less the mask.
    Mode,
}

/// Enough for labels, capabilities and most lists of access.
const XATTR_USUAL: usize = 512;

/// The kernel's limit for the value of an attribute.
const XATTR_MAX: usize = 64 << 10;

/// Copies `src` and everything below to `dest`, which is its new name.
pub(super) fn copy_tree(cx: &Ctx, src: &GuestPath, dest: &GuestPath, keep: Keep) -> Result<()> {
    let (from, name) = cx.parent(src)?;
    let stat = statat(&from, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW).about(src)?;
    let (to, new_name) = cx.parent(dest)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        not_into_itself(cx, src, &stat, &to, dest)?;
    }
    let mut copier = Copier { keep, top: to, links: HashMap::new(), contents: Contents::default() };
    let top = copier.top.try_clone().about(dest)?;
    let entry = Entry {
        from: &from,
        name: name.as_bstr(),
        to: &top,
        new_name: new_name.as_bstr(),
        directory: None,
        src: Place { directory: src, name: None },
        dest: Place { directory: dest, name: None },
        fresh: false,
    };
    match copier.copy(&entry)? {
        Some(frame) => {
            let (src, dest) = (src.clone(), dest.clone());
            copier.finish(frame, At { src, dest, below: new_name })
        }
        None => Ok(()),
    }
}

/// Fails if the directory `to` is below, or is, the directory of which this is the status.
fn not_into_itself(
    cx: &Ctx,
    src: &GuestPath,
    stat: &Stat,
    to: &OwnedFd,
    dest: &GuestPath,
) -> Result<()> {
    let root = fstat(cx.root()?).about("/")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = to.try_clone().about(dest)?;
    loop {
        let at = fstat(&directory).about(dest)?;
        if is_same(&at, stat) {
            let why = format!("would be copied into itself, {dest}");
            return Err(Error::invalid(src, why));
        }
        if is_same(&at, &root) {
            return Ok(());
        }
        // Never above the guest's root, where the loop ends.
        directory = openat(&directory, "..", flags, Mode::empty()).about(dest)?;
    }
}

/// One name on both sides.
struct Entry<'a> {
    from: &'a OwnedFd,
    name: &'a BStr,
    to: &'a OwnedFd,
    new_name: &'a BStr,
    /// Path of the copy's directory, from the one that everything is copied to, if it is another.
    directory: Option<&'a BStr>,
    src: Place<'a>,
    dest: Place<'a>,
    /// The directory that it is copied to was made by this call.  What has its name there can only
    /// be a copy too: of a name that the other filesystem takes for the same one.
    fresh: bool,
}

impl Entry<'_> {
    /// Path of the copy, from the directory that everything is copied to.
    fn below(&self) -> BString {
        match self.directory {
            Some(directory) => below(directory, self.new_name),
            None => self.new_name.into(),
        }
    }
}

/// A directory that is being copied.
struct Frame {
    from: OwnedFd,
    to: OwnedFd,
    names: std::vec::IntoIter<BString>,
    stat: Stat,
    fresh: bool,
}

/// Paths of the directory that is being copied.  There is one for all, as the paths of all levels
/// of a deep tree may not fit into memory.
struct At {
    src: GuestPath,
    dest: GuestPath,
    /// From the directory that everything is copied to.
    below: BString,
}

impl At {
    /// Goes on to an entry, and answers how to come back.
    fn push(&mut self, name: &BStr) -> [usize; 3] {
        let lengths = [self.src.len(), self.dest.len(), self.below.len()];
        self.src.push(name);
        self.dest.push(name);
        self.below.push(b'/');
        self.below.extend_from_slice(name);
        lengths
    }

    fn truncate(&mut self, [src, dest, below]: [usize; 3]) {
        self.src.truncate(src);
        self.dest.truncate(dest);
        self.below.truncate(below);
    }
}

struct Copier {
    keep: Keep,
    /// The directory that everything is copied to.
    top: OwnedFd,
    /// Files with several names which were copied, and where to.
    links: HashMap<(u64, u64), BString>,
    contents: Contents,
}

impl Copier {
    /// Copies what is in a directory and below.
    fn finish(&mut self, top: Frame, mut at: At) -> Result<()> {
        // On the heap, as the guest decides how deep its directories are.
        let mut frames = vec![(top, [0; 3])];
        while let Some((frame, above)) = frames.last_mut() {
            let Some(name) = frame.names.next() else {
                // Last of all, as the time changes with each new entry.
                self.keep_attributes(&frame.from, &frame.to, &frame.stat, &at.dest)?;
                at.truncate(*above);
                frames.pop();
                continue;
            };
            cancel::check()?;
            let entered = self.copy(&Entry {
                from: &frame.from,
                name: name.as_bstr(),
                to: &frame.to,
                new_name: name.as_bstr(),
                directory: Some(at.below.as_bstr()),
                src: Place { directory: &at.src, name: Some(name.as_bstr()) },
                dest: Place { directory: &at.dest, name: Some(name.as_bstr()) },
                fresh: frame.fresh,
            })?;
            if let Some(inner) = entered {
                frames.push((inner, at.push(name.as_bstr())));
            }
        }
        Ok(())
    }

    /// Copies an entry.  Of a directory, what is in it is for the caller to copy.
    fn copy(&mut self, entry: &Entry<'_>) -> Result<Option<Frame>> {
        let stat = statat(entry.from, entry.name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)
            .about(entry.src)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return enter(entry, stat, self.keep).map(Some);
        }
        let new_name = entry.new_name.as_bytes();
        if self.keep == Keep::Everything && stat.st_nlink > 1 {
            let file = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&file) {
                let first = first.as_bytes();
                make(entry, &stat, || {
                    linkat(&self.top, first, entry.to, new_name, AtFlags::empty())
                })?;
                return Ok(None);
            }
            self.links.insert(file, entry.below());
        }
        match kind {
            FileType::RegularFile => self.copy_file(entry, &stat)?,
            FileType::Symlink => {
                let target =
                    readlinkat(entry.from, entry.name.as_bytes(), Vec::new()).about(entry.src)?;
                make(entry, &stat, || symlinkat(&target, entry.to, new_name))?;
                self.keep_by_name(entry, &stat)?;
            }
            _ => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
                make(entry, &stat, || mknodat(entry.to, new_name, kind, mode, stat.st_rdev))?;
                self.keep_by_name(entry, &stat)?;
            }
        }
        Ok(None)
    }

    fn copy_file(&mut self, entry: &Entry<'_>, stat: &Stat) -> Result<()> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let from =
            openat(entry.from, entry.name.as_bytes(), flags, Mode::empty()).about(entry.src)?;
        let mode = match self.keep {
            // Nobody else's until it has the right owner.
            Keep::Everything if (stat.st_uid, stat.st_gid) != (0, 0) => Mode::RUSR | Mode::WUSR,
            _ => Mode::from_raw_mode(stat.st_mode & 0o777),
        };
        let flags = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let new_name = entry.new_name.as_bytes();
        let to = make(entry, stat, || openat(entry.to, new_name, flags, mode))?;
        let (from, to) = (File::from(from), File::from(to));
        self.contents.copy(&from, &to, stat).about(entry.dest)?;
        self.keep_attributes(&from.into(), &to.into(), stat, entry.dest)
    }

    /// Attributes of what cannot be opened, only named.
    fn keep_by_name(&self, entry: &Entry<'_>, stat: &Stat) -> Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open =
            |directory, name: &BStr| openat(directory, name.as_bytes(), flags, Mode::empty());
        let from = open(entry.from, entry.name).about(entry.src)?;
        let to = open(entry.to, entry.new_name).about(entry.dest)?;
        self.keep_attributes(&from, &to, stat, entry.dest)
    }

    fn keep_attributes(
        &self,
        from: &OwnedFd,
        to: &OwnedFd,
        stat: &Stat,
        dest: impl Display,
    ) -> Result<()> {
        match self.keep {
            Keep::Everything => keep_everything(from, to, stat).about(dest),
            Keep::Mode => Ok(()),
        }
    }
}

/// Makes a directory; what is in it comes later.
fn enter(entry: &Entry<'_>, stat: Stat, keep: Keep) -> Result<Frame> {
    let mode = match keep {
        // Nobody else's until it has the right owner.
        Keep::Everything => Mode::RWXU,
        Keep::Mode => Mode::from_raw_mode(stat.st_mode & 0o777) | Mode::RWXU,
    };
    let fresh = match mkdirat(entry.to, entry.new_name.as_bytes(), mode) {
        Ok(()) => true,
        Err(Errno::EXIST) if !entry.fresh => false,
        Err(errno) => return Err(Error::sys(entry.dest, errno)),
    };
    let from = open_directory(entry.from, entry.name).about(entry.src)?;
    let to = match open_directory(entry.to, entry.new_name) {
        Err(Errno::LOOP) => return Err(Error::sys(entry.dest, Errno::NOTDIR)),
        to => to.about(entry.dest)?,
    };
    let names = names(&from).about(entry.src)?.into_iter();
    Ok(Frame { from, to, names, stat, fresh })
}

/// Makes a copy that is not a directory, having removed what is in its way.  Mostly nothing is.
fn make<T>(entry: &Entry<'_>, stat: &Stat, make: impl Fn() -> rustix::io::Result<T>) -> Result<T> {
    let made = match make() {
        Err(Errno::EXIST) if !entry.fresh => {
            make_room(entry, stat)?;
            make()
        }
        made => made,
    };
    made.about(entry.dest)
}

fn make_room(entry: &Entry<'_>, stat: &Stat) -> Result<()> {
    let new_name = entry.new_name.as_bytes();
    let there = match statat(entry.to, new_name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => there,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(Error::sys(entry.dest, errno)),
    };
    if is_same(&there, stat) {
        return Err(same_file(&entry.src.path(), &entry.dest.path()));
    }
    unlinkat(entry.to, new_name, AtFlags::empty()).about(entry.dest)
}

fn keep_everything(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> rustix::io::Result<()> {
    // To look is cheap, while each change is a transaction of a filesystem with a journal.
    let made = fstat(to)?;
    // First, as a new owner takes set-user-id bits and capabilities away.
    if (made.st_uid, made.st_gid) != (stat.st_uid, stat.st_gid) {
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        unless_refused(chownat(to, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH))?;
    }
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let has_mode = made.st_mode & 0o7777 == stat.st_mode & 0o7777;
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    if matches!(kind, FileType::RegularFile | FileType::Directory) {
        if !has_mode {
            unless_refused(fchmod(to, mode))?;
        }
        keep_xattrs(
            flistxattr_query(from),
            |list| flistxattr(from, list),
            |name, value| fgetxattr(from, name, value),
            |name, value| fsetxattr(to, name, value, XattrFlags::empty()),
        )?;
        return futimens(to, &times);
    }
    // The others are not open for any of this, but a path in `/proc` names the file itself, even
    // if it is a link.
    let (source, target) = (proc_path(from), proc_path(to));
    if kind != FileType::Symlink && !has_mode {
        unless_refused(chmod(&target, mode))?;
    }
    keep_xattrs(
        listxattr_query(&source),
        |list| listxattr(&source, list),
        |name, value| getxattr(&source, name, value),
        |name, value| setxattr(&target, name, value, XattrFlags::empty()),
    )?;
    utimensat(CWD, &target, &times, AtFlags::empty())
}

/// Nobody but a filesystem that has no owners, or no such modes, says to root that it may not.
fn unless_refused(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::PERM) => Ok(()),
        result => result,
    }
}

fn keep_xattrs(
    // Most files have none: asking for the size is cheaper than a buffer for the most.
    list_size: rustix::io::Result<usize>,
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
    set: impl Fn(&[u8], &[u8]) -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    let mut names = match list_size {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
        size => vec![0; size?],
    };
    let length = list(&mut names)?;
    names.truncate(length);
    let mut buffer = vec![0; XATTR_USUAL];
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let length = match get(name, &mut buffer) {
            Err(Errno::RANGE) if buffer.len() < XATTR_MAX => {
                buffer.resize(XATTR_MAX, 0);
                get(name, &mut buffer)?
            }
            length => length?,
        };
        match set(name, &buffer[..length]) {
            // The other filesystem has no attributes of this kind.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
