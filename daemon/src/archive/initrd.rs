// SPDX-License-Identifier: LGPL-2.1-or-later
//! Initial ram disks: cpio archives one behind the other, compressed or not, as the kernel takes
//! them.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{FileType, Mode, OFlags};

use crate::cancel;
use crate::ctx::Ctx;
use crate::decompress::{Ahead, Compression, Decoder, damaged};
use crate::error::{About, Errno, Error, Result};
use crate::file::CONTENT_MAX;
use crate::path::GuestPath;
use crate::pieces::BLOCK;
use crate::texts::{Texts, too_long};

/// Bytes of the header of an entry: a magic and 13 numbers in hexadecimal.
const HEADER: usize = 110;

/// The longest name, which is that of a path.
const NAME_MAX: u32 = 4096;

/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

pub(crate) fn initrd_list(cx: &mut Ctx, path: &GuestPath) -> Result<Vec<BString>> {
    let mut names = Texts::new();
    each_entry(cx, path, &mut |entry, _| names.push(&entry.name, path).map(ControlFlow::Continue))?;
    Ok(names.into_vec())
}

pub(crate) fn initrd_cat(cx: &mut Ctx, initrdpath: &GuestPath, filename: &BStr) -> Result<Vec<u8>> {
    let wanted = plain_name(filename);
    let mut found = None;
    each_entry(cx, initrdpath, &mut |entry, data| {
        if plain_name(&entry.name) == wanted {
            found = Some((entry.clone(), content(entry, data, filename)));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let (entry, content) = found.ok_or_else(|| Error::sys(filename, Errno::NOENT))?;
    // Files with several names have their content with one of them.
    if !(entry.links > 1 && entry.size == 0 && content.is_ok()) {
        return content;
    }
    let mut linked = None;
    each_entry(cx, initrdpath, &mut |other, data| {
        if other.size > 0 && other.id == entry.id && other.archive == entry.archive {
            linked = Some(self::content(other, data, filename));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    linked.unwrap_or(content)
}

/// A name without what makes no difference.
fn plain_name(name: &[u8]) -> &[u8] {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"/").or_else(|| name.strip_prefix(b"./")) {
        name = rest;
    }
    name
}

fn content(entry: &Entry, data: &mut dyn Read, name: &BStr) -> Result<Vec<u8>> {
    if FileType::from_raw_mode(entry.mode) != FileType::RegularFile {
        return Err(Error::invalid(name, "not a regular file"));
    }
    if u64::from(entry.size) > CONTENT_MAX as u64 {
        return Err(too_long(name));
    }
    let mut content = Vec::new();
    data.read_to_end(&mut content).map_err(damaged(name))?;
    Ok(content)
}

/// An entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: BString,
    mode: u32,
    size: u32,
    links: u32,
    /// Number of the file, and of its device.
    id: [u32; 3],
    /// Number of the archive in the file.
    archive: u32,
}

/// Is shown an entry and what is in it, which need not be read.
type Visit<'a> = dyn FnMut(&Entry, &mut dyn Read) -> Result<ControlFlow<()>> + 'a;

fn each_entry(cx: &Ctx, path: &GuestPath, visit: &mut Visit<'_>) -> Result<()> {
    let file = cx.open_regular(path, OFlags::RDONLY, Mode::empty())?;
    let mut archives = Archives { path, visit, count: 0 };
    archives.read(&mut Ahead::new(BufReader::with_capacity(BLOCK, file)))?;
    match archives.count {
        0 => Err(archives.refuse("not an initial ram disk")),
        _ => Ok(()),
    }
}

struct Archives<'a, 'b> {
    path: &'a GuestPath,
    visit: &'a mut Visit<'b>,
    count: u32,
}

impl Archives<'_, '_> {
    /// All archives in a file.
    fn read(&mut self, input: &mut Ahead<impl BufRead>) -> Result<()> {
        loop {
            self.skip_padding(input)?;
            let start = input.peek().about(self.path)?;
            if start.is_empty() {
                return Ok(());
            }
            if is_archive(start) {
                self.archive(input)?;
                continue;
            }
            let Some(compression) = Compression::of(start) else {
                return Err(self.refuse(match self.count {
                    0 => "not an initial ram disk",
                    _ => "what follows an archive is not one",
                }));
            };
            let decoder = Decoder::new(&mut *input, compression).map_err(damaged(self.path))?;
            self.compressed(&mut Ahead::new(BufReader::new(decoder)))?;
        }
    }

    /// The same within what is compressed, where nothing is compressed again.
    fn compressed(&mut self, input: &mut Ahead<impl BufRead>) -> Result<()> {
        loop {
            self.skip_padding(input)?;
            let start = input.peek().map_err(damaged(self.path))?;
            if start.is_empty() {
                return Ok(());
            }
            if !is_archive(start) {
                return Err(self.refuse("what is compressed is not an archive"));
            }
            self.archive(input)?;
        }
    }

    fn skip_padding(&self, input: &mut impl BufRead) -> Result<()> {
        loop {
            cancel::check()?;
            let buffer = input.fill_buf().map_err(damaged(self.path))?;
            let zeroes = buffer.iter().take_while(|&&byte| byte == 0).count();
            if zeroes == 0 {
                return Ok(());
            }
            input.consume(zeroes);
        }
    }

    /// One archive, up to its end or that of the input.
    fn archive(&mut self, input: &mut impl BufRead) -> Result<()> {
        self.count += 1;
        loop {
            cancel::check()?;
            let mut header = [0; HEADER];
            input.read_exact(&mut header).map_err(|err| self.cut(err))?;
            let Some((mut entry, name_size)) = parse(&header) else {
                return Err(self.refuse("not an entry of an archive"));
            };
            if !(1..=NAME_MAX).contains(&name_size) {
                return Err(self.refuse("an entry with too long a name"));
            }
            let mut name = vec![0; name_size as usize];
            input.read_exact(&mut name).map_err(|err| self.cut(err))?;
            self.pad(input, HEADER + name.len())?;
            let length = name.find_byte(0).unwrap_or(name.len());
            name.truncate(length);
            entry.name = name.into();
            entry.archive = self.count;
            if entry.name == TRAILER {
                return Ok(());
            }
            let mut data = input.take(entry.size.into());
            let flow = (self.visit)(&entry, &mut data)?;
            if flow.is_break() {
                return Ok(());
            }
            io::copy(&mut data, &mut io::sink()).map_err(|err| self.cut(err))?;
            if data.limit() > 0 {
                return Err(self.cut(io::ErrorKind::UnexpectedEof.into()));
            }
            self.pad(input, entry.size as usize)?;
        }
    }

    /// Reads up to the next multiple of four.
    fn pad(&self, input: &mut impl Read, length: usize) -> Result<()> {
        let padding = length.next_multiple_of(4) - length;
        input.read_exact(&mut [0; 4][..padding]).map_err(|err| self.cut(err))
    }

    fn cut(&self, err: io::Error) -> Error {
        match err.kind() {
            io::ErrorKind::UnexpectedEof => self.refuse("ends within an archive"),
            _ => damaged(self.path)(err),
        }
    }

    fn refuse(&self, why: &str) -> Error {
        Error::invalid(self.path, why)
    }
}

fn is_archive(start: &[u8]) -> bool {
    matches!(start, b"070701" | b"070702")
}

/// The numbers of a header, and the length of the name that follows.
fn parse(header: &[u8; HEADER]) -> Option<(Entry, u32)> {
    let (magic, numbers) = header.split_at(6);
    if !is_archive(magic) {
        return None;
    }
    let mut fields = [0; 13];
    for (field, digits) in fields.iter_mut().zip(numbers.chunks(8)) {
        // A sign would be taken too.
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        *field = u32::from_str_radix(digits.to_str().ok()?, 16).ok()?;
    }
    let [ino, mode, _, _, links, _, size, major, minor, _, _, name_size, _] = fields;
    let id = [ino, major, minor];
    Some((Entry { name: BString::default(), mode, size, links, id, archive: 0 }, name_size))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An archive of entries: inode, links, mode, name and content.
    fn archive(entries: &[(u32, u32, u32, &str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let trailer: &[_] = &[(0, 1, 0, "TRAILER!!!", b"" as &[u8])];
        for (ino, links, mode, name, content) in entries.iter().chain(trailer) {
            let numbers = [
                *ino,
                *mode,
                0,
                0,
                *links,
                0,
                content.len() as u32,
                0,
                0,
                0,
                0,
                name.len() as u32 + 1,
                0,
            ];
            bytes.extend_from_slice(b"070701");
            for number in numbers {
                write!(bytes, "{number:08X}").unwrap();
            }
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    const FILE: u32 = 0o100644;

    fn guest(content: &[u8]) -> (tempfile::TempDir, Ctx, GuestPath) {
        let dir = tempfile::tempdir().unwrap();
        crate::system::write(dir.path().join("initrd"), content).unwrap();
        let cx = Ctx::new(dir.path());
        (dir, cx, GuestPath::new("path", b"/initrd").unwrap())
    }

    #[track_caller]
    fn list(content: &[u8], expected: &str) {
        let (_dir, cx, path) = &mut guest(content);
        let got = match initrd_list(cx, path) {
            Ok(names) => bstr::join(" ", names).to_str_lossy().into_owned(),
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn listing() {
        let microcode =
            archive(&[(1, 2, 0o40755, "kernel", b""), (2, 1, FILE, "kernel/x.bin", b"x")]);
        let root = archive(&[(1, 2, 0o40755, ".", b""), (2, 1, FILE, "init", b"#!/bin/sh\n")]);
        list(&root, ". init");
        list(&gzip(&root), ". init");
        let both = [&microcode[..], &[0; 512], &gzip(&root), &[0; 3]].concat();
        list(&both, "kernel kernel/x.bin . init");
        let three = [&gzip(&root)[..], &microcode, &gzip(&[&root[..], &[0; 8]].concat())].concat();
        list(&three, ". init kernel kernel/x.bin . init");
        list(b"", "/initrd: not an initial ram disk");
        list(&[0; 1000], "/initrd: not an initial ram disk");
        list(b"hello", "/initrd: not an initial ram disk");
        list(&gzip(b"hello"), "/initrd: what is compressed is not an archive");
        list(&[&root[..], b"x"].concat(), "/initrd: what follows an archive is not one");
        list(&root[..root.len() - 20], "/initrd: ends within an archive");
        list(&root[..50], "/initrd: ends within an archive");
        let cut = gzip(&root);
        let why = "/initrd: ends within an archive";
        list(&cut[..cut.len() / 2], why);
        let mut bad = root.clone();
        bad[20] = b'+';
        list(&bad, "/initrd: not an entry of an archive");
        let mut long = root.clone();
        long[94..102].copy_from_slice(b"FFFFFFFF");
        list(&long, "/initrd: an entry with too long a name");
    }

    #[test]
    fn reading() {
        let first = archive(&[(2, 1, FILE, "init", b"old"), (3, 1, FILE, "a/b", b"b")]);
        let second = archive(&[
            (2, 1, FILE, "./init", b"new"),
            (3, 2, FILE, "one", b""),
            (3, 2, FILE, "two", b"linked"),
            (4, 1, 0o120777, "link", b"init"),
            (5, 1, FILE, "empty", b""),
        ]);
        let (_dir, cx, path) = &mut guest(&[&first[..], &gzip(&second)].concat());
        let mut check = |name: &str, expected: &str| {
            let got = match initrd_cat(cx, path, name.into()) {
                Ok(content) => content.to_str_lossy().into_owned(),
                Err(err) => err.to_string(),
            };
            assert_eq!(got, expected);
        };
        check("init", "new");
        check("/init", "new");
        check("./a/b", "b");
        check("one", "linked");
        check("two", "linked");
        check("empty", "");
        check("link", "link: not a regular file");
        check("none", "none: No such file or directory");
    }
}
