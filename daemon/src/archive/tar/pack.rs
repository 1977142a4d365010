// SPDX-License-Identifier: LGPL-2.1-or-later
//! Packing: a directory and all that is in it, the files of each directory before the directories
//! in it.
//!
//! A member is written as GNU tar does it by default, unless it has holes or attributes: then, and
//! only then, it is one of pax.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, major, minor, openat, readlinkat, statat,
};

use super::attributes::{Wanted, gather};
use super::exclude::Excludes;
use super::header::{BLOCK, Format, Header, LONG, NAME_MAX, SHORT, is_too_large};
use super::pax::{self, Attributes};
use super::reader::ARCHIVE;
use super::sparse::{Map, Part};
use crate::cancel;
use crate::directory::walk::{Entry, Visitor, walk_as};
use crate::error::{About, Errno, Result};
use crate::path::GuestPath;
use crate::tool::proc_path;
use crate::xattr::open_entry;

/// How much content is read at once.
const BUFFER: usize = 256 << 10;

/// What tapes were written by, and other programs expect archives to be a multiple of.
const RECORD: u64 = 20 * BLOCK as u64;

/// The kernel counts the space of files in these.
const STAT_BLOCK: u64 = 512;

/// What the caller wants.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) wanted: Wanted,
    pub(super) excludes: Excludes,
    pub(super) users: Names,
    pub(super) groups: Names,
}

/// The path of a member for errors, put together only if there is one.
#[derive(Clone, Copy)]
struct Below<'a>(&'a GuestPath, &'a BStr);

impl fmt::Display for Below<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.join(self.1).fmt(f)
    }
}

/// The names of users or of groups.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<u32, BString>);

impl Names {
    /// Reads `/etc/passwd` or `/etc/group`.
    pub(super) fn new(database: &[u8]) -> Self {
        let mut names = HashMap::new();
        for line in database.lines() {
            let mut fields = line.split_str(":");
            let (name, number) = (fields.next(), fields.nth(1));
            let number = number.and_then(|it| it.to_str().ok()?.parse().ok());
            if let (Some(name), Some(number)) = (name, number) {
                names.entry(number).or_insert_with(|| name.into());
            }
        }
        Self(names)
    }

    fn of(&self, number: u32) -> BString {
        self.0.get(&number).cloned().unwrap_or_default()
    }
}

/// Packs all that is in the directory `start`, which is called `at`.
pub(super) fn pack(
    start: OwnedFd,
    at: &GuestPath,
    options: &Options,
    out: impl Write,
) -> Result<()> {
    let (links, buffer) = (HashMap::new(), vec![0; BUFFER]);
    let mut packer = Packer { out, written: 0, at, options, links, buffer };
    if !options.excludes.have(b".") {
        walk_as(start, at, &mut packer)?;
    }
    let end = (packer.written + 2 * BLOCK as u64).next_multiple_of(RECORD);
    packer.zeroes(end - packer.written)
}

struct Packer<'a, W> {
    out: W,
    written: u64,
    at: &'a GuestPath,
    options: &'a Options,
    /// Files with several names: the first one, and how many more there are to come.
    links: HashMap<(u64, u64), (BString, u64)>,
    buffer: Vec<u8>,
}

impl<W: Write> Visitor for Packer<'_, W> {
    fn enter(&mut self, directory: BorrowedFd<'_>, prefix: &BStr) -> Result<()> {
        let at = Below(self.at, prefix);
        let stat = fstat(directory).about(at)?;
        let header = Header { typeflag: b'5', ..self.header(prefix, &stat) };
        let attributes = self.attributes(directory, at)?;
        self.member(header, &attributes, None, stat.st_mtime_nsec as u32)
    }

    fn visit(&mut self, entry: &Entry<'_>) -> Result<bool> {
        // What is written tells it late: a compressor holds much of it back.
        cancel::check()?;
        let path = entry.path();
        let name = BString::from([b"./", path.as_slice()].concat());
        if self.options.excludes.have(&name) {
            return Ok(false);
        }
        match entry.kind {
            FileType::Directory => {}
            FileType::RegularFile => self.file(entry, path.as_bstr())?,
            _ => self.special(entry, path.as_bstr())?,
        }
        Ok(true)
    }
}

impl<W: Write> Packer<'_, W> {
    /// What status says about any file.
    fn header(&self, path: &BStr, stat: &Stat) -> Header {
        Header {
            name: [b"./", path.as_bytes()].concat().into(),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid.into(),
            gid: stat.st_gid.into(),
            mtime: stat.st_mtime,
            user: self.options.users.of(stat.st_uid),
            group: self.options.groups.of(stat.st_gid),
            ..Header::default()
        }
    }

    fn file(&mut self, entry: &Entry<'_>, path: &BStr) -> Result<()> {
        let at = Below(self.at, path);
        let file = open(entry).about(at)?;
        let stat = fstat(&file).about(at)?;
        if self.is_linked(path, &stat)? {
            return Ok(());
        }
        let attributes = self.attributes(file.as_fd(), at)?;
        let size = stat.st_size.unsigned_abs();
        let map = match (stat.st_blocks.unsigned_abs()) < size.div_ceil(STAT_BLOCK) {
            true => Some(Map::of(&file, size).about(Below(self.at, path))?),
            false => None,
        };
        let map = map.filter(|map| !map.has_no_holes());
        let header = Header { size, ..self.header(path, &stat) };
        self.member(header, &attributes, map.as_ref(), stat.st_mtime_nsec as u32)?;
        let whole = [Part { start: 0, length: size }];
        let mut length = 0;
        for &part in map.as_ref().map_or(&whole[..], |map| &map.parts) {
            self.content(&file, part, path)?;
            length += part.length;
        }
        self.zeroes(length.wrapping_neg() % BLOCK as u64)
    }

    /// Writes so many bytes, whatever has become of the file since its size was taken.
    fn content(&mut self, file: &File, part: Part, path: &BStr) -> Result<()> {
        let Part { mut start, mut length } = part;
        while length > 0 {
            cancel::check()?;
            let wanted = length.min(BUFFER as u64) as usize;
            let n = match file.read_at(&mut self.buffer[..wanted], start) {
                Ok(0) => {
                    eprintln!("guestfsd: {}: became shorter", Below(self.at, path));
                    return self.zeroes(length);
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                read => read.about(Below(self.at, path))?,
            };
            self.out.write_all(&self.buffer[..n]).about(ARCHIVE)?;
            self.written += n as u64;
            start += n as u64;
            length -= n as u64;
        }
        Ok(())
    }

    /// Packs what is neither a file nor a directory.
    fn special(&mut self, entry: &Entry<'_>, path: &BStr) -> Result<()> {
        let at = Below(self.at, path);
        let (directory, name) = (entry.directory, entry.name);
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).about(at)?;
        let typeflag = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => b'2',
            FileType::CharacterDevice => b'3',
            FileType::BlockDevice => b'4',
            FileType::Fifo => b'6',
            // There is no way to say what a socket is, and it is of no use to anybody.
            _ => {
                eprintln!("guestfsd: {}: not packed, as it is a socket", at);
                return Ok(());
            }
        };
        if self.is_linked(path, &stat)? {
            return Ok(());
        }
        let mut header = Header { typeflag, ..self.header(path, &stat) };
        match typeflag {
            b'2' => {
                let link = readlinkat(directory, name, Vec::new()).about(at)?;
                header.link = link.into_bytes().into();
            }
            b'3' | b'4' => header.device = (major(stat.st_rdev), minor(stat.st_rdev)),
            _ => {}
        }
        let attributes = match self.options.wanted.any() {
            true => {
                let file = open_entry(directory, name.to_bytes()).about(at)?;
                self.attributes(file.as_fd(), at)?
            }
            false => Attributes::default(),
        };
        self.member(header, &attributes, None, stat.st_mtime_nsec as u32)
    }

    /// If the file has been packed under another name, makes a link to that.
    fn is_linked(&mut self, path: &BStr, stat: &Stat) -> Result<bool> {
        if stat.st_nlink <= 1 {
            return Ok(false);
        }
        let id = (stat.st_dev, stat.st_ino);
        let header = self.header(path, stat);
        let Some((first, left)) = self.links.get_mut(&id) else {
            self.links.insert(id, (header.name, stat.st_nlink - 1));
            return Ok(false);
        };
        *left -= 1;
        let link = first.clone();
        if *left == 0 {
            self.links.remove(&id);
        }
        let header = Header { typeflag: b'1', link, ..header };
        self.member(header, &Attributes::default(), None, stat.st_mtime_nsec as u32)?;
        Ok(true)
    }

    fn attributes(&self, file: BorrowedFd<'_>, Below(at, path): Below<'_>) -> Result<Attributes> {
        match self.options.wanted.any() {
            true => gather(&proc_path(&file), self.options.wanted, &at.join(path)),
            false => Ok(Attributes::default()),
        }
    }

    /// Writes all that is in front of the content.
    fn member(
        &mut self,
        mut header: Header,
        attributes: &Attributes,
        map: Option<&Map>,
        nanos: u32,
    ) -> Result<()> {
        if !self.options.wanted.any() && map.is_none() {
            for (typeflag, text) in [(b'K', &header.link), (b'L', &header.name)] {
                if text.len() > NAME_MAX {
                    let text = [text.as_slice(), b"\0"].concat();
                    self.extension(Format::Gnu, typeflag, b"././@LongLink", &text)?;
                }
            }
            return self.write(&header.encode());
        }
        header.format = Format::Ustar;
        let mut records = Vec::new();
        if header.link.len() > NAME_MAX {
            pax::push(&mut records, b"linkpath", &header.link);
        }
        if header.mtime < 0 || nanos > 0 {
            let time = pax::format_time((header.mtime, nanos));
            pax::push(&mut records, b"mtime", time.as_bytes());
        }
        let mut front = Vec::new();
        let name = header.name.clone();
        let last = name.trim_end_with(|c| c == '/').rsplit_str("/").next().unwrap_or_default();
        match map {
            Some(map) => {
                front = map.to_text();
                for (key, value) in [
                    ("major", b"1".as_slice()),
                    ("minor", b"0"),
                    ("name", &name),
                    ("realsize", map.size.to_string().as_bytes()),
                ] {
                    pax::push(&mut records, format!("GNU.sparse.{key}").as_bytes(), value);
                }
                // For those who know nothing of holes.
                header.name = [b"./GNUSparseFile.0/", last].concat().into();
                header.size = front.len() as u64 + map.stored();
            }
            None if name.len() > NAME_MAX => pax::push(&mut records, b"path", &name),
            None => {}
        }
        for (key, value, size) in
            [("size", header.size, LONG), ("uid", header.uid, SHORT), ("gid", header.gid, SHORT)]
        {
            if is_too_large(value.cast_signed(), size) {
                pax::push(&mut records, key.as_bytes(), value.to_string().as_bytes());
            }
        }
        attributes.write(&mut records);
        if !records.is_empty() {
            let name = [b"./PaxHeaders/", last].concat();
            self.extension(Format::Ustar, b'x', &name, &records)?;
        }
        self.write(&header.encode())?;
        self.write(&front)
    }

    /// Writes a header that belongs to the next one.
    fn extension(
        &mut self,
        format: Format,
        typeflag: u8,
        name: &[u8],
        content: &[u8],
    ) -> Result<()> {
        let size = content.len() as u64;
        let header = Header { format, typeflag, name: name.into(), size, ..Header::default() };
        self.write(&header.encode())?;
        self.write(content)?;
        self.zeroes(size.wrapping_neg() % BLOCK as u64)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).about(ARCHIVE)
    }

    fn zeroes(&mut self, mut length: u64) -> Result<()> {
        const ZEROES: &[u8] = &[0; 16 << 10];
        while length > 0 {
            let n = length.min(ZEROES.len() as u64);
            self.write(&ZEROES[..n as usize])?;
            length -= n;
        }
        Ok(())
    }
}

/// Opens a file without a trace in it, if that is allowed.
fn open(entry: &Entry<'_>) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |flags| openat(entry.directory, entry.name, flags, Mode::empty());
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        opened => opened,
    }
    .map(File::from)
}
