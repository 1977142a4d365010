// SPDX-License-Identifier: LGPL-2.1-or-later
//! Unpacking: each member is made with few system calls, in the directory of the one before if it
//! is the same.
//!
//! Files get their owner before their mode and attributes, as a new owner takes set-user-id bits
//! and capabilities away.  Directories get theirs in the end, so that they can be filled, and that
//! filling them does not change their times.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat,
    chownat, fchmod, fchown, fstat, ftruncate, futimens, linkat, makedev, mkdirat, mknodat, openat,
    statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::pwrite;

use super::attributes::{Databases, Restored, Wanted};
use super::pax::Time;
use super::place::{Name, Place};
use super::reader::{Archive, Kind, Member, Status};
use super::sparse::Part;
use crate::error::{Errno, Error, Result};
use crate::tool::proc_path;
use crate::xattr::open_entry;

/// How much content is written at once.
const BUFFER: usize = 256 << 10;

/// How much is kept about directories until the end.  With more of them the times of some may not
/// be those in the archive.
const KEPT_MAX: usize = 64 << 20;

/// What the caller wants.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) wanted: Wanted,
    /// A link to a directory stays where the archive has a directory.
    pub(super) keep_links: bool,
    pub(super) databases: Databases,
}

/// Unpacks an archive.  A member which cannot be made does not stop the others; the first reason
/// is the error.
pub(super) fn unpack(input: impl Read, place: Place, options: &Options) -> Result<()> {
    let archive = Archive::new(input);
    let mut unpacker = Unpacker {
        archive,
        place,
        options,
        directories: Vec::new(),
        indices: HashMap::new(),
        kept: 0,
        first: None,
        buffer: vec![0; BUFFER],
    };
    let mut unpacked = unpacker.members();
    if unpacked.is_ok() {
        unpacked = unpacker.archive.finish();
    }
    let finished = unpacker.finish_directories();
    unpacked.and(finished).and(unpacker.first.map_or(Ok(()), Err))
}

struct Unpacker<'a, R> {
    archive: Archive<R>,
    place: Place,
    options: &'a Options,
    /// Those which get their attributes in the end.
    directories: Vec<Directory>,
    /// Where they are in that list: if one is in the archive several times, the last one counts.
    indices: HashMap<Id, usize>,
    /// About how many bytes these two have.
    kept: usize,
    /// The first member that could not be made, or not as it should be.
    first: Option<Error>,
    buffer: Vec<u8>,
}

/// A directory of the archive.
struct Directory {
    path: BString,
    /// Something else may have its name by the end.
    id: Id,
    status: Status,
}

/// Device and inode number.
type Id = (u64, u64);

/// A name in an open directory, and the member that it belongs to.
struct Target<'a> {
    parent: Rc<OwnedFd>,
    name: &'a Name,
}

impl Directory {
    fn size(&self) -> usize {
        self.path.len() + self.status.attributes.size() + 2 * size_of::<Self>()
    }
}

impl<R: Read> Unpacker<'_, R> {
    fn members(&mut self) -> Result<()> {
        while let Some(member) = self.archive.next()? {
            self.unpack(member)?;
        }
        Ok(())
    }

    fn unpack(&mut self, member: Member) -> Result<()> {
        let name = match Name::new(&member.name) {
            Ok(name) => name,
            Err(why) => return self.complain(Error::invalid(&member.name, why)),
        };
        let parent = match self.place.enter(name.directory()) {
            Ok(parent) => parent,
            Err(errno) => return self.refused(name.path(), errno),
        };
        let target = Target { parent, name: &name };
        match member.kind {
            Kind::Directory => self.directory(&target, member.status),
            _ if name.is_top() => {
                let why = "a member that is no directory has the name of the directory itself";
                self.complain(Error::invalid(self.place.path(b""), why))
            }
            Kind::File => self.file(&target, &member),
            Kind::HardLink => self.hard_link(&target, member.link.as_bstr()),
            Kind::Symlink => {
                let text = member.link.as_bytes();
                let make = |parent: &OwnedFd, name: &[u8]| symlinkat(text, parent, name);
                self.special(&target, make, &member)
            }
            Kind::CharDevice => self.node(&target, FileType::CharacterDevice, &member),
            Kind::BlockDevice => self.node(&target, FileType::BlockDevice, &member),
            Kind::Fifo => self.node(&target, FileType::Fifo, &member),
        }
    }

    /// Remembers an error of a member, unless all that follow would have it, too.
    fn complain(&mut self, err: Error) -> Result<()> {
        match err.errno() {
            Some(Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS) => Err(err),
            _ => {
                self.first.get_or_insert(err);
                Ok(())
            }
        }
    }

    fn refused(&mut self, name: &BStr, errno: Errno) -> Result<()> {
        self.complain(self.place.error(name, errno))
    }

    /// Makes something, in place of what has the name.
    fn make<T>(
        &mut self,
        target: &Target<'_>,
        make: impl Fn(&OwnedFd, &[u8]) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        match make(&target.parent, target.name.last()) {
            Err(Errno::EXIST) => {
                self.clear(target)?;
                make(&target.parent, target.name.last())
            }
            made => made,
        }
    }

    /// Removes what has the name; a directory only if it is empty.
    fn clear(&mut self, target: &Target<'_>) -> rustix::io::Result<()> {
        self.place.forget();
        match unlinkat(&target.parent, target.name.last(), AtFlags::empty()) {
            Err(Errno::ISDIR) => unlinkat(&target.parent, target.name.last(), AtFlags::REMOVEDIR),
            result => result,
        }
    }

    fn file(&mut self, target: &Target<'_>, member: &Member) -> Result<()> {
        let path = target.name.path();
        let mode = Mode::from_raw_mode(member.status.mode & 0o777);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let made = self.make(target, |parent, name| openat(parent, name, flags, mode));
        let file = match made {
            Ok(file) => file,
            Err(errno) => return self.refused(path, errno),
        };
        match &member.map {
            None => {
                let whole = Part { start: 0, length: u64::MAX };
                self.content(&file, whole, path)?;
            }
            Some(map) => {
                for &part in &map.parts {
                    self.content(&file, part, path)?;
                }
                if let Err(errno) = ftruncate(&file, map.size) {
                    self.refused(path, errno)?;
                }
            }
        }
        match fstat(&file) {
            Ok(stat) => self.set_status(&file, &stat, &member.status, path),
            Err(errno) => self.refused(path, errno),
        }
    }

    /// Writes content of the member, as far as there is any.
    fn content(&mut self, file: &OwnedFd, part: Part, path: &BStr) -> Result<()> {
        let Part { mut start, mut length } = part;
        while length > 0 {
            let wanted = length.min(BUFFER as u64) as usize;
            let n = self.archive.read(&mut self.buffer[..wanted])?;
            if n == 0 {
                break;
            }
            let mut rest = &self.buffer[..n];
            while !rest.is_empty() {
                match pwrite(file, rest, start) {
                    Ok(n) => {
                        start += n as u64;
                        rest = &rest[n..];
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return self.refused(path, errno),
                }
            }
            length -= n as u64;
        }
        Ok(())
    }

    fn hard_link(&mut self, target: &Target<'_>, link: &BStr) -> Result<()> {
        let path = target.name.path();
        let about = |why| Error::invalid(format_args!("{path}: link to {link}"), why);
        let first = match Name::new(link) {
            Ok(first) if first.is_top() => return self.complain(about("not a file")),
            Ok(first) => first,
            Err(why) => return self.complain(about(why)),
        };
        let linked = self.place.enter(first.directory()).and_then(|from| {
            let there = statat(&*from, first.last(), AtFlags::SYMLINK_NOFOLLOW)?;
            let stat = statat(&*target.parent, target.name.last(), AtFlags::SYMLINK_NOFOLLOW);
            // It has been linked, or is the same name.
            if stat.is_ok_and(|stat| id(&stat) == id(&there)) {
                return Ok(());
            }
            self.make(target, |parent, name| {
                linkat(&*from, first.last(), parent, name, AtFlags::empty())
            })
        });
        match linked {
            Ok(()) => Ok(()),
            Err(Errno::XDEV) => {
                self.complain(about("it is in another filesystem, or out of the directory"))
            }
            Err(errno) => {
                let what = format!("{}: link to {link}", self.place.path(path));
                self.complain(Error::sys(what, errno))
            }
        }
    }

    fn node(&mut self, target: &Target<'_>, kind: FileType, member: &Member) -> Result<()> {
        let mode = Mode::from_raw_mode(member.status.mode & 0o777);
        let device = makedev(member.device.0, member.device.1);
        let make = |parent: &OwnedFd, name: &[u8]| mknodat(parent, name, kind, mode, device);
        self.special(target, make, member)
    }

    /// Makes what cannot be opened to give it its attributes.
    fn special(
        &mut self,
        target: &Target<'_>,
        make: impl Fn(&OwnedFd, &[u8]) -> rustix::io::Result<()>,
        member: &Member,
    ) -> Result<()> {
        let (path, status) = (target.name.path(), &member.status);
        if let Err(errno) = self.make(target, make) {
            return self.refused(path, errno);
        }
        let (parent, name) = (&*target.parent, target.name.last());
        let is_link = member.kind == Kind::Symlink;
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = self.owner(status, path)?
            && let Err(errno) = chownat(parent, name, Some(uid), Some(gid), nofollow)
        {
            self.refused(path, errno)?;
        }
        if self.options.wanted.any() {
            match open_entry(parent, name) {
                Ok(file) => self.set_attributes(&file, status, is_link, false, path)?,
                Err(errno) => self.refused(path, errno)?,
            }
        }
        if !is_link {
            let mode = Mode::from_raw_mode(status.mode);
            // It was made a moment ago, so it is no link that could be followed.
            if let Err(errno) = chmodat(parent, name, mode, AtFlags::empty()) {
                self.refused(path, errno)?;
            }
        }
        match utimensat(parent, name, &times(status.mtime), nofollow) {
            Ok(()) => Ok(()),
            Err(errno) => self.refused(path, errno),
        }
    }

    fn directory(&mut self, target: &Target<'_>, status: Status) -> Result<()> {
        let path = target.name.path();
        match self.make_directory(target, &status) {
            Ok(None) => Ok(()),
            Ok(Some(id)) => self.finish_later(Directory { path: path.into(), id, status }),
            Err(errno) => self.refused(path, errno),
        }
    }

    fn finish_later(&mut self, directory: Directory) -> Result<()> {
        self.kept += directory.size();
        match self.indices.get(&directory.id) {
            Some(&index) => {
                self.kept -= self.directories[index].size();
                self.directories[index] = directory;
            }
            None => {
                self.indices.insert(directory.id, self.directories.len());
                self.directories.push(directory);
            }
        }
        if self.kept > KEPT_MAX { self.finish_directories() } else { Ok(()) }
    }

    /// Answers what it is told by, unless it is to stay as it is.
    fn make_directory(
        &mut self,
        target: &Target<'_>,
        status: &Status,
    ) -> rustix::io::Result<Option<Id>> {
        if target.name.is_top() {
            return Ok(Some(id(&fstat(&*target.parent)?)));
        }
        let name = target.name.last();
        let look = || statat(&*target.parent, name, AtFlags::SYMLINK_NOFOLLOW);
        let mode = Mode::from_raw_mode(status.mode & 0o777) | Mode::RWXU;
        match mkdirat(&*target.parent, name, mode) {
            Err(Errno::EXIST) => {}
            made => {
                made?;
                return Ok(Some(id(&look()?)));
            }
        }
        let there = look()?;
        match FileType::from_raw_mode(there.st_mode) {
            FileType::Directory => return Ok(Some(id(&there))),
            FileType::Symlink if self.options.keep_links => {
                match self.place.open(target.name.path(), OFlags::PATH) {
                    Ok(_) => return Ok(None),
                    // It leads to no directory.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(errno) => return Err(errno),
                }
            }
            _ => {}
        }
        self.clear(target)?;
        mkdirat(&*target.parent, name, mode)?;
        Ok(Some(id(&look()?)))
    }

    /// Gives the directories what they have in the archive, the inner ones before the outer ones,
    /// which may not let anybody in.
    fn finish_directories(&mut self) -> Result<()> {
        self.kept = 0;
        self.indices.clear();
        while let Some(Directory { path, id: made, status }) = self.directories.pop() {
            let path = path.as_bstr();
            let opened = self.place.open(path, OFlags::RDONLY | OFlags::NOFOLLOW);
            match opened.and_then(|fd| fstat(&fd).map(|stat| (fd, stat))) {
                Ok((fd, stat)) if id(&stat) == made => {
                    self.set_status(&fd, &stat, &status, path)?;
                }
                // The archive itself has put something else in its place.
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
                Err(errno) => self.refused(path, errno)?,
            }
        }
        Ok(())
    }

    /// Gives an open file what it has in the archive.
    fn set_status(
        &mut self,
        file: &OwnedFd,
        stat: &Stat,
        status: &Status,
        path: &BStr,
    ) -> Result<()> {
        if let Some((uid, gid)) = self.owner(status, path)?
            && (uid.as_raw(), gid.as_raw()) != (stat.st_uid, stat.st_gid)
            && let Err(errno) = fchown(file, Some(uid), Some(gid))
        {
            self.refused(path, errno)?;
        }
        if self.options.wanted.any() {
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            self.set_attributes(file, status, false, is_directory, path)?;
        }
        // An ACL may have changed the mode.
        if (stat.st_mode & 0o7777 != status.mode || self.options.wanted.any())
            && let Err(errno) = fchmod(file, Mode::from_raw_mode(status.mode))
        {
            self.refused(path, errno)?;
        }
        match futimens(file, &times(status.mtime)) {
            Ok(()) => Ok(()),
            Err(errno) => self.refused(path, errno),
        }
    }

    fn set_attributes(
        &mut self,
        file: &OwnedFd,
        status: &Status,
        is_link: bool,
        is_directory: bool,
        path: &BStr,
    ) -> Result<()> {
        let Options { wanted, databases, .. } = self.options;
        let attributes = &status.attributes;
        let restored = Restored { attributes, wanted: *wanted, databases, is_directory, is_link };
        match restored.set(&proc_path(file), &self.place.path(path)) {
            Ok(()) => Ok(()),
            Err(err) => self.complain(err),
        }
    }

    fn owner(&mut self, status: &Status, path: &BStr) -> Result<Option<(Uid, Gid)>> {
        let number = |value: u64| u32::try_from(value).ok().filter(|&it| it != u32::MAX);
        match (number(status.uid), number(status.gid)) {
            (Some(uid), Some(gid)) => Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid)))),
            _ => {
                let why = format!("no file can belong to {}:{}", status.uid, status.gid);
                self.complain(Error::invalid(self.place.path(path), why)).map(|()| None)
            }
        }
    }
}

fn id(stat: &Stat) -> Id {
    (stat.st_dev, stat.st_ino)
}

fn times((seconds, nanos): Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos.into() },
    }
}
