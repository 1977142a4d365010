// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reading of archives: one member after the other, whatever the format and however hostile.

use std::io::{self, Read};

use bstr::{BString, ByteSlice};

use super::header::{BLOCK, Format, Header};
use super::pax::{Attributes, Extended, Time};
use super::sparse::{Map, Part};
use crate::decompress::Compression;
use crate::error::{Errno, Error, Result};

/// What errors are about that are about no member.
pub(super) const ARCHIVE: &str = "tar archive";

/// Names are not longer, even in a tree that is deeper than the kernel lets one name.
const NAME_MAX: u64 = 1 << 20;

/// All that stands in front of a member is not longer: a file may have many attributes.
const EXTENDED_MAX: u64 = 8 << 20;

/// How much is skipped at once.
const SKIP: usize = 64 << 10;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    HardLink,
    Symlink,
    Directory,
    CharDevice,
    BlockDevice,
    Fifo,
}

/// A member of an archive.
#[derive(Debug)]
pub(super) struct Member {
    /// As it is in the archive.
    pub(super) name: BString,
    pub(super) kind: Kind,
    pub(super) link: BString,
    /// Major and minor number.
    pub(super) device: (u32, u32),
    /// If it has holes.
    pub(super) map: Option<Map>,
    pub(super) status: Status,
}

/// What a file has besides its content.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: Time,
    pub(super) attributes: Attributes,
}

/// An archive that is being read.
pub(super) struct Archive<R> {
    input: R,
    /// What is left of the content of the last member, and the padding behind it.
    content: u64,
    padding: u64,
    /// What holds for all members to come.
    global: Extended,
    /// Name of the last member.
    last: Option<BString>,
    scratch: Vec<u8>,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(input: R) -> Self {
        let scratch = vec![0; SKIP];
        let global = Extended::default();
        Self { input, content: 0, padding: 0, global, last: None, scratch }
    }

    /// The next member; its content comes from [`Self::read`].
    pub(super) fn next(&mut self) -> Result<Option<Member>> {
        let mut extended = Extended::default();
        // There may be any number of extended headers, and what they say is kept.
        let mut room = EXTENDED_MAX;
        loop {
            self.skip()?;
            let mut block = [0; BLOCK];
            match self.fill(&mut block)? {
                BLOCK => {}
                0 => return Ok(None),
                length => return Err(self.no_header(&block[..length], "it ends in a header")),
            }
            if block == [0; BLOCK] {
                return Ok(None);
            }
            let header = Header::decode(&block).map_err(|why| self.no_header(&block, &why))?;
            let damaged = |why: String| Error::invalid(ARCHIVE, format!("{}: {why}", header.name));
            self.expect(header.size);
            match header.typeflag {
                b'L' => extended.path = Some(self.text(&header)?),
                b'K' => extended.link = Some(self.text(&header)?),
                b'x' | b'X' => {
                    let records = self.whole(&header, room)?;
                    room -= header.size;
                    extended.read(&records).map_err(damaged)?;
                }
                b'g' => {
                    let records = self.whole(&header, EXTENDED_MAX)?;
                    self.global.for_all(&records).map_err(damaged)?;
                }
                // The name of the archive, and names of old which nobody has used since 1990.
                b'V' | b'N' => {}
                b'M' => {
                    return Err(damaged("it goes on from another archive".into()));
                }
                _ => return self.member(&block, header, extended).map(Some),
            }
        }
    }

    /// Puts together what is said about a member.
    fn member(
        &mut self,
        block: &[u8; BLOCK],
        header: Header,
        mut extended: Extended,
    ) -> Result<Member> {
        let sparse_name = extended.sparse.name.take();
        let name = sparse_name.or(extended.path.take()).unwrap_or(header.name);
        self.last = Some(name.clone());
        let kind = match header.typeflag {
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            // With a list of names that is of use for backups only.
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            _ if header.format == Format::V7 && name.ends_with(b"/") => Kind::Directory,
            // POSIX has it so for types that are unknown.
            _ => Kind::File,
        };
        let has_content = kind == Kind::File || header.typeflag == b'D';
        self.expect(if has_content { extended.size.unwrap_or(header.size) } else { 0 });
        let map = match header.typeflag {
            b'S' => Some(self.old_map(block)?),
            _ if kind == Kind::File => self.map(&mut extended)?,
            _ => None,
        };
        if let Some(map) = &map {
            map.check(self.content).map_err(|why| self.damaged(&why))?;
        }
        let status = Status {
            mode: header.mode,
            uid: extended.uid.or(self.global.uid).unwrap_or(header.uid),
            gid: extended.gid.or(self.global.gid).unwrap_or(header.gid),
            mtime: extended.mtime.or(self.global.mtime).unwrap_or((header.mtime, 0)),
            attributes: extended.attributes,
        };
        let link = extended.link.unwrap_or(header.link);
        Ok(Member { name, kind, link, device: header.device, map, status })
    }

    /// The parts of a sparse file as GNU tar had them first.
    fn old_map(&mut self, header: &[u8; BLOCK]) -> Result<Map> {
        let mut map = Map::default();
        let mut is_followed = map.add_old(header, true).map_err(|why| self.damaged(&why))?;
        while is_followed {
            let mut block = [0; BLOCK];
            if self.fill(&mut block)? != BLOCK {
                return Err(self.ends());
            }
            is_followed = map.add_old(&block, false).map_err(|why| self.damaged(&why))?;
        }
        Ok(map)
    }

    /// The parts of a sparse file as extended headers say, or what is in front of the content.
    fn map(&mut self, extended: &mut Extended) -> Result<Option<Map>> {
        let Some(mut map) = extended.sparse.take_map() else { return Ok(None) };
        if extended.sparse.is_in_front() {
            let mut lines = Lines { block: [0; BLOCK], at: BLOCK };
            for _ in 0..lines.number(self)? {
                let part = Part { start: lines.number(self)?, length: lines.number(self)? };
                map.add(part).map_err(|why| self.damaged(&why))?;
            }
        }
        Ok(Some(map))
    }

    /// Reads content of the last member, until there is no more of it.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = self.content.min(buffer.len() as u64) as usize;
        if self.fill(&mut buffer[..wanted])? != wanted {
            return Err(self.ends());
        }
        self.content -= wanted as u64;
        Ok(wanted)
    }

    /// Reads what is behind the end: there may be anything, but a compressed archive has a
    /// checksum there.
    pub(super) fn finish(&mut self) -> Result<()> {
        while self.input.read(&mut self.scratch).map_err(failure)? > 0 {}
        Ok(())
    }

    /// The content that comes next.
    fn expect(&mut self, size: u64) {
        self.content = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// Skips what is left of the last member.
    fn skip(&mut self) -> Result<()> {
        let mut left = u128::from(self.content) + u128::from(self.padding);
        while left > 0 {
            let wanted = left.min(SKIP as u128) as usize;
            match self.input.read(&mut self.scratch[..wanted]) {
                Ok(0) => return Err(self.ends()),
                Ok(n) => left -= n as u128,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(failure(err)),
            }
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    /// All of the content.
    fn whole(&mut self, header: &Header, max: u64) -> Result<Vec<u8>> {
        if header.size > max {
            let why = format!("{}: {} bytes are too many for it", header.name, header.size);
            return Err(Error::invalid(ARCHIVE, why));
        }
        let mut content = vec![0; header.size as usize];
        self.read(&mut content)?;
        Ok(content)
    }

    /// A long name.
    fn text(&mut self, header: &Header) -> Result<BString> {
        let mut text = self.whole(header, NAME_MAX)?;
        let end = text.find_byte(0).unwrap_or(text.len());
        text.truncate(end);
        Ok(text.into())
    }

    /// Fills the buffer, unless the archive ends before.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut length = 0;
        while length < buffer.len() {
            match self.input.read(&mut buffer[length..]) {
                Ok(0) => break,
                Ok(n) => length += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(failure(err)),
            }
        }
        Ok(length)
    }

    /// What is wrong with a header that is none.
    fn no_header(&self, block: &[u8], why: &str) -> Error {
        match (&self.last, Compression::of(block)) {
            (Some(name), _) => {
                Error::invalid(ARCHIVE, format_args!("damaged behind {name}: {why}"))
            }
            (None, Some(compression)) => {
                let why = format!("it is compressed by {compression}, which compress has to say");
                Error::invalid(ARCHIVE, why)
            }
            (None, None) => Error::invalid(ARCHIVE, "this is none"),
        }
    }

    fn damaged(&self, why: &str) -> Error {
        let name = self.last.as_ref().map(|it| it.as_bstr()).unwrap_or_default();
        Error::invalid(ARCHIVE, format_args!("{name}: {why}"))
    }

    fn ends(&self) -> Error {
        match &self.last {
            Some(name) => Error::invalid(ARCHIVE, format_args!("it ends in the middle of {name}")),
            None => Error::invalid(ARCHIVE, "it ends in the middle of the first name"),
        }
    }
}

/// Why the archive could not be read: nobody else's fault than its own, unless the system or the
/// channel says so.
fn failure(err: io::Error) -> Error {
    match err.raw_os_error() {
        Some(errno) => Error::sys(ARCHIVE, Errno::from_raw_os_error(errno)),
        None => match err.downcast::<Error>() {
            Ok(err) => err,
            Err(err) => Error::invalid(ARCHIVE, format_args!("damaged: {err}")),
        },
    }
}

/// Lines of numbers in front of the content of a sparse file.
struct Lines {
    block: [u8; BLOCK],
    at: usize,
}

impl Lines {
    fn number<R: Read>(&mut self, archive: &mut Archive<R>) -> Result<u64> {
        let mut number = None;
        loop {
            if self.at == BLOCK {
                if archive.read(&mut self.block)? != BLOCK {
                    return Err(archive.damaged("a damaged list of its parts"));
                }
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            number = match (byte, number) {
                (b'\n', Some(number)) => return Ok(number),
                (b'0'..=b'9', number) => {
                    let shifted = number.unwrap_or(0_u64).checked_mul(10);
                    shifted.and_then(|it| it.checked_add(u64::from(byte - b'0')))
                }
                _ => None,
            };
            if number.is_none() {
                return Err(archive.damaged("a damaged list of its parts"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pax;
    use super::*;

    /// A member with content.
    fn member(header: Header, content: &[u8]) -> Vec<u8> {
        let mut member = Header { size: content.len() as u64, ..header }.encode().to_vec();
        member.extend_from_slice(content);
        member.resize(member.len().next_multiple_of(BLOCK), 0);
        member
    }

    fn named(name: &str, typeflag: u8) -> Header {
        Header { name: name.into(), typeflag, ..Header::default() }
    }

    fn extended(records: &[(&str, &str)]) -> Vec<u8> {
        let mut content = Vec::new();
        for (key, value) in records {
            pax::push(&mut content, key.as_bytes(), value.as_bytes());
        }
        member(Header { format: Format::Ustar, ..named("x", b'x') }, &content)
    }

    /// Shows the members and their content.
    #[track_caller]
    fn check(archive: &[&[u8]], expected: &str) {
        let mut got = Vec::new();
        let mut show = || {
            let input = archive.concat();
            let mut archive = Archive::new(&input[..]);
            while let Some(member) = archive.next()? {
                let mut content = vec![0; 1 << 20];
                let length = archive.read(&mut content)?;
                let content = content[..length].as_bstr();
                let mut text = format!("{:?} {}", member.kind, member.name);
                if !member.link.is_empty() {
                    text += &format!(" -> {}", member.link);
                }
                if let Some(map) = &member.map {
                    let parts: Vec<_> =
                        map.parts.iter().map(|it| format!("{}+{}", it.start, it.length)).collect();
                    text += &format!(" {} of {}", parts.join(" "), map.size);
                }
                if length > 0 {
                    text += &format!(" {content:?}");
                }
                got.push(text);
            }
            archive.finish()
        };
        if let Err(err) = show() {
            got.push(format!("error: {err}"));
        }
        assert_eq!(got.join("; "), expected);
    }

    #[test]
    fn members() {
        check(&[], "");
        check(&[&[0; 1024], b"garbage"], "");
        let file = member(named("a", b'0'), b"hello");
        check(&[&file, &file], "File a \"hello\"; File a \"hello\"");
        let v7 = Header { format: Format::V7, ..named("d/", 0) };
        check(&[&member(v7, b"")], "Directory d/");
        check(&[&member(named("d/", 0), b"")], "File d/");
        check(&[&member(named("c", b'7'), b"x"), &file], "File c \"x\"; File a \"hello\"");
        check(
            &[&member(named("backup", b'D'), b"Yfile\0\0"), &file],
            "Directory backup \"Yfile\\0\\0\"; File a \"hello\"",
        );
        // These have no content, whatever their size.
        let link = Header { link: "a".into(), size: 5, ..named("l", b'2') };
        check(&[&link.encode(), &file], "Symlink l -> a; File a \"hello\"");
    }

    #[test]
    fn long_names() {
        let file = member(named("short", b'0'), b"");
        let long = member(named("././@LongLink", b'L'), b"long\0");
        let link = member(named("././@LongLink", b'K'), b"target");
        check(&[&long, &link, &file, &file], "File long -> target; File short");
        let pax = extended(&[("path", "of pax"), ("linkpath", "there")]);
        check(&[&pax, &member(named("s", b'1'), b"")], "HardLink of pax -> there");
        let large = "v".repeat(5 << 20);
        let [one, two] = ["user.one", "user.two"]
            .map(|name| extended(&[(&format!("SCHILY.xattr.{name}"), large.as_str())]));
        check(&[&one, &two, &file], "error: tar archive: x: 5242911 bytes are too many for it");
        let huge = Header { size: NAME_MAX + 1, ..named("././@LongLink", b'L') };
        check(
            &[&huge.encode()],
            "error: tar archive: ././@LongLink: 1048577 bytes are too many for it",
        );
    }

    #[test]
    fn sizes_of_pax() {
        let wrong = Header { size: 7, ..named("a", b'0') }.encode();
        let content = [b'x'; BLOCK];
        check(&[&extended(&[("size", "2")]), &wrong, &content], "File a \"xx\"");
    }

    #[test]
    fn sparse_files() {
        let hello = member(named("s", b'0'), b"hello");
        let parts = "File s 3+5 20+0 of 20 \"hello\"";
        let size = ("GNU.sparse.size", "20");
        let pax_0_0 = [
            size,
            ("GNU.sparse.numblocks", "2"),
            ("GNU.sparse.offset", "3"),
            ("GNU.sparse.numbytes", "5"),
            ("GNU.sparse.offset", "20"),
            ("GNU.sparse.numbytes", "0"),
        ];
        check(&[&extended(&pax_0_0), &hello], parts);
        let name = ("GNU.sparse.name", "s");
        let other = member(named("GNUSparseFile.0/s", b'0'), b"hello");
        check(&[&extended(&[name, size, ("GNU.sparse.map", "3,5,20,0")]), &other], parts);
        let pax_1_0 = extended(&[
            name,
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.realsize", "20"),
        ]);
        let map = Map {
            parts: vec![Part { start: 3, length: 5 }, Part { start: 20, length: 0 }],
            size: 20,
        };
        let content = [&map.to_text()[..], b"hello"].concat();
        check(&[&pax_1_0, &member(named("x", b'0'), &content)], parts);
        let mut old = member(named("s", b'S'), b"hello");
        for (at, value) in [(386, 3), (398, 5), (410, 20), (422, 0), (483, 20)] {
            old[at..at + 12].copy_from_slice(format!("{value:011o}\0").as_bytes());
        }
        old[148..156].fill(b' ');
        let sum: u32 = old[..BLOCK].iter().map(|&byte| u32::from(byte)).sum();
        old[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        check(&[&old], parts);
        let damaged = "error: tar archive: s: a damaged list of its parts";
        check(&[&extended(&[size, ("GNU.sparse.map", "30,5")]), &hello], damaged);
        for content in ["x", "\n", "99999999999999999999\n"] {
            let mut content = content.as_bytes().to_vec();
            content.resize(BLOCK, 0);
            check(&[&pax_1_0, &member(named("x", b'0'), &content)], damaged);
        }
    }

    #[test]
    fn what_is_no_archive() {
        check(&[&[b'x'; 600]], "error: tar archive: this is none");
        check(&[b"x"], "error: tar archive: this is none");
        check(
            &[b"\x1f\x8b\x08\0\0\0\0\0\0\x03"],
            "error: tar archive: it is compressed by gzip, which compress has to say",
        );
        let file = member(named("a", b'0'), &[b'x'; 600]);
        let got = "File a \"".to_owned() + &"x".repeat(600) + "\"; ";
        check(
            &[&file, b"x"],
            &(got.clone() + "error: tar archive: damaged behind a: it ends in a header"),
        );
        check(
            &[&file, &[1; BLOCK]],
            &(got.clone() + "error: tar archive: damaged behind a: the checksum is wrong"),
        );
        check(&[&file[..BLOCK + 599]], "error: tar archive: it ends in the middle of a");
        check(&[&file[..BLOCK + 600]], &(got + "error: tar archive: it ends in the middle of a"));
        check(
            &[&member(named("a", b'M'), b"")],
            "error: tar archive: a: it goes on from another archive",
        );
        check(&[&extended(&[("size", "x")])], "error: tar archive: x: size cannot be \"x\"");
    }
}
