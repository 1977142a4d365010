// SPDX-License-Identifier: LGPL-2.1-or-later
//! POSIX access control lists: their text, as in acl(5), and the attribute that the kernel keeps.

use std::fmt;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{FileType, OFlags, fstat};

use super::{get_if_any, remove, set};
use crate::ctx::Ctx;
use crate::directory::database;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;

pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";

/// First word of the attribute.
const VERSION: u32 = 2;

/// The number of an entry that is for no particular user or group.
const NOBODY: u32 = u32::MAX;

pub(crate) fn acl_get_file(cx: &mut Ctx, path: &GuestPath, acltype: &BStr) -> Result<BString> {
    let file = cx.open(path, OFlags::PATH)?;
    let stat = fstat(&file).about(path)?;
    let attribute = attribute(acltype)?;
    if attribute == DEFAULT {
        must_be_directory(path, stat.st_mode, Errno::ACCESS)?;
    }
    let acl = match get_if_any(&cx.proc_fd(&file), attribute).about(path)? {
        // ntfs-3g has an empty one where there is none.
        Some(value) if !value.is_empty() => {
            Acl::decode(&value).map_err(|why| Error::invalid(path, why))?
        }
        _ if attribute == ACCESS => Acl::of_mode(stat.st_mode),
        _ => Acl::default(),
    };
    Ok(acl.to_string().into())
}

pub(crate) fn acl_set_file(
    cx: &mut Ctx,
    path: &GuestPath,
    acltype: &BStr,
    acl: &BStr,
) -> Result<()> {
    let attribute = attribute(acltype)?;
    let [passwd, group] = ["/etc/passwd", "/etc/group"].map(|file| database(cx, file));
    let value = value_of(acl, &passwd, &group).map_err(|why| Error::invalid("acl", why))?;
    let file = cx.open(path, OFlags::PATH)?;
    if attribute == DEFAULT {
        must_be_directory(path, fstat(&file).about(path)?.st_mode, Errno::ACCESS)?;
    }
    set(&cx.proc_fd(&file), attribute, &value).about(path)
}

pub(crate) fn acl_delete_def_file(cx: &mut Ctx, dir: &GuestPath) -> Result<()> {
    let file = cx.open(dir, OFlags::PATH)?;
    must_be_directory(dir, fstat(&file).about(dir)?.st_mode, Errno::NOTDIR)?;
    match remove(&cx.proc_fd(&file), DEFAULT) {
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(errno) => Err(Error::sys(dir, errno)),
    }
}

/// The text of an ACL as it is on the disk, with the numbers of users and groups.
pub(crate) fn text_of(value: &[u8]) -> Result<BString, String> {
    Acl::decode(value).map(|acl| acl.to_string().into())
}

/// What is on the disk for a text; the guest's databases know those who have names.
pub(crate) fn value_of(text: &[u8], passwd: &[u8], group: &[u8]) -> Result<Vec<u8>, String> {
    let number = |kind, name: &[u8]| match kind {
        Kind::User => account(passwd, name),
        _ => account(group, name),
    };
    Acl::parse(text, number).map(|acl| acl.encode())
}

/// The attribute that keeps an ACL of this type.
fn attribute(acltype: &BStr) -> Result<&'static [u8]> {
    match acltype.as_bytes() {
        b"access" => Ok(ACCESS),
        b"default" => Ok(DEFAULT),
        _ => {
            let why = format!("{acltype:?} is neither \"access\" nor \"default\"");
            Err(Error::invalid("acltype", why))
        }
    }
}

fn must_be_directory(path: &GuestPath, mode: u32, errno: Errno) -> Result<()> {
    match FileType::from_raw_mode(mode) {
        FileType::Directory => Ok(()),
        _ => Err(Error::refused(errno, path, "only a directory can have a default ACL")),
    }
}

/// The number of a user or group in `/etc/passwd` or `/etc/group`.
fn account(database: &[u8], name: &[u8]) -> Option<u32> {
    database.lines().find_map(|line| {
        let mut fields = line.split_str(":");
        let is_it = fields.next() == Some(name);
        is_it.then(|| fields.nth(1)?.to_str().ok()?.parse().ok()).flatten()
    })
}

/// Whom an entry is for, in the order of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Owner = 0x01,
    User = 0x02,
    OwningGroup = 0x04,
    Group = 0x08,
    Mask = 0x10,
    Other = 0x20,
}

const KINDS: [Kind; 6] =
    [Kind::Owner, Kind::User, Kind::OwningGroup, Kind::Group, Kind::Mask, Kind::Other];

impl Kind {
    /// Whether there may be several, each with a number.
    fn is_named(self) -> bool {
        matches!(self, Self::User | Self::Group)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Owner | Self::User => "user",
            Self::OwningGroup | Self::Group => "group",
            Self::Mask => "mask",
            Self::Other => "other",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    kind: Kind,
    id: u32,
    /// 4 to read, 2 to write, 1 to execute.
    permissions: u16,
}

/// A list in the order of the kernel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Acl(Vec<Entry>);

impl Acl {
    /// The list that says no more than permissions do.
    fn of_mode(mode: u32) -> Self {
        let entry = |kind, shift: u32| {
            let permissions = (mode >> shift & 7) as u16;
            Entry { kind, id: NOBODY, permissions }
        };
        Self(vec![entry(Kind::Owner, 6), entry(Kind::OwningGroup, 3), entry(Kind::Other, 0)])
    }

    /// The guest wrote this.
    fn decode(value: &[u8]) -> Result<Self, String> {
        let damaged = || String::from("the ACL on the disk is damaged");
        let (version, entries) = value.split_first_chunk().ok_or_else(damaged)?;
        if u32::from_le_bytes(*version) != VERSION || !entries.len().is_multiple_of(8) {
            return Err(damaged());
        }
        let decode = |bytes: &[u8; 8]| {
            let [t0, t1, p0, p1, id @ ..] = *bytes;
            let tag = u16::from_le_bytes([t0, t1]);
            let kind = KINDS.into_iter().find(|&kind| kind as u16 == tag).ok_or_else(damaged)?;
            let id = if kind.is_named() { u32::from_le_bytes(id) } else { NOBODY };
            Ok(Entry { kind, id, permissions: u16::from_le_bytes([p0, p1]) & 7 })
        };
        let (entries, _) = entries.as_chunks();
        Ok(Self(entries.iter().map(decode).collect::<Result<_, String>>()?))
    }

    fn encode(&self) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            value.extend((entry.kind as u16).to_le_bytes());
            value.extend(entry.permissions.to_le_bytes());
            value.extend(entry.id.to_le_bytes());
        }
        value
    }

    /// Reads the long or the short form; `number` knows those who have names.
    fn parse(text: &[u8], number: impl Fn(Kind, &[u8]) -> Option<u32>) -> Result<Self, String> {
        let mut entries = Vec::new();
        for line in text.lines() {
            let line = line.split_str("#").next().unwrap_or_default();
            for entry in line.split_str(",").map(|it| it.trim_ascii()).filter(|it| !it.is_empty()) {
                let parsed = parse_entry(entry, &number);
                entries.push(parsed.map_err(|why| format!("{:?}: {why}", entry.as_bstr()))?);
            }
        }
        entries.sort_unstable();
        let acl = Self(entries);
        acl.check()?;
        Ok(acl)
    }

    /// What acl_valid(3) asks for.
    fn check(&self) -> Result<(), String> {
        for pair in self.0.windows(2) {
            if (pair[0].kind, pair[0].id) == (pair[1].kind, pair[1].id) {
                return Err(format!("two entries for {}", pair[0].whom()));
            }
        }
        let has = |kind| self.0.iter().any(|entry| entry.kind == kind);
        for kind in [Kind::Owner, Kind::OwningGroup, Kind::Other] {
            if !has(kind) {
                return Err(format!("no entry {}::", kind.word()));
            }
        }
        match (has(Kind::User) || has(Kind::Group)) && !has(Kind::Mask) {
            true => Err("no entry mask::, which entries for others than the owners need".into()),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.0 {
            let letter = |bit, letter| if entry.permissions & bit == 0 { '-' } else { letter };
            let [read, write, execute] = [letter(4, 'r'), letter(2, 'w'), letter(1, 'x')];
            writeln!(f, "{}{read}{write}{execute}", entry.whom())?;
        }
        Ok(())
    }
}

impl Entry {
    fn whom(&self) -> String {
        match self.kind.is_named() {
            true => format!("{}:{}:", self.kind.word(), self.id),
            false => format!("{}::", self.kind.word()),
        }
    }
}

fn parse_entry(
    text: &[u8],
    number: impl Fn(Kind, &[u8]) -> Option<u32>,
) -> Result<Entry, &'static str> {
    let fields: Vec<&[u8]> = text.split_str(":").map(|it| it.trim_ascii()).collect();
    let (word, qualifier, permissions) = match fields[..] {
        [word, qualifier, permissions] => (word, qualifier, permissions),
        // As in archives of star and bsdtar, which have the number, too.
        [word, name, permissions, number] if !name.is_empty() => (word, number, permissions),
        // These two need no second colon.
        [word @ (b"mask" | b"m" | b"other" | b"o"), permissions] => {
            (word, b"".as_slice(), permissions)
        }
        _ => return Err("not of the form WHO:NAME:PERMISSIONS"),
    };
    let kind = match (word, qualifier.is_empty()) {
        (b"user" | b"u", true) => Kind::Owner,
        (b"user" | b"u", false) => Kind::User,
        (b"group" | b"g", true) => Kind::OwningGroup,
        (b"group" | b"g", false) => Kind::Group,
        (b"mask" | b"m", true) => Kind::Mask,
        (b"other" | b"o", true) => Kind::Other,
        (b"mask" | b"m" | b"other" | b"o", false) => return Err("this entry has no name"),
        _ => return Err("not an entry for user, group, mask or other"),
    };
    let id = match kind.is_named() {
        true => {
            let digits = qualifier.to_str().ok().and_then(|it| it.parse().ok());
            digits.or_else(|| number(kind, qualifier)).ok_or("the guest has no such name")?
        }
        false => NOBODY,
    };
    if kind.is_named() && id == NOBODY {
        return Err("this number is nobody's");
    }
    let bit = |bits: u16, letter: &u8| match letter {
        b'r' => Ok(bits | 4),
        b'w' => Ok(bits | 2),
        b'x' => Ok(bits | 1),
        b'-' => Ok(bits),
        _ => Err("permissions are made of the letters rwx and -"),
    };
    Ok(Entry { kind, id, permissions: permissions.iter().try_fold(0, bit)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let number = |kind, name: &[u8]| match (kind, name) {
            (Kind::User, b"me") => Some(1000),
            (Kind::Group, b"us") => Some(100),
            _ => None,
        };
        let got = match Acl::parse(text.as_bytes(), number) {
            Ok(acl) => {
                assert_eq!(Acl::decode(&acl.encode()).as_ref(), Ok(&acl));
                acl.to_string().trim_end().replace('\n', " ")
            }
            Err(why) => why,
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn long_and_short_forms() {
        check("user::rw-\ngroup::r--\nother::---\n", "user::rw- group::r-- other::---");
        check(
            "u:me:r:7,u::r,g::r,m::r,o::r",
            "user::r-- user:7:r-- group::r-- mask::r-- other::r--",
        );
        check("u::rwx,g::rx,o::-", "user::rwx group::r-x other::---");
        check(" u :: xr # me\n\n#x\ng::,o:w", "user::r-x group::--- other::-w-");
        check(
            "o::r,m:rx,g:us:r,g:5:w,u:me:rwx,u:7:,g::r,u::rw",
            "user::rw- user:7:--- user:1000:rwx group::r-- group:5:-w- group:100:r-- \
             mask::r-x other::r--",
        );
        check(
            "u::r,g::r,o::r,u:4294967294:r,m::r",
            "user::r-- user:4294967294:r-- group::r-- mask::r-- other::r--",
        );
    }

    #[test]
    fn what_is_no_acl() {
        check("", "no entry user::");
        check("u::r,g::r", "no entry other::");
        check("u::r,g::r,o::r,u::w", "two entries for user::");
        check("u::r,g::r,o::r,u:me:r,u:1000:w,m::r", "two entries for user:1000:");
        check(
            "u::r,g::r,o::r,u:me:r",
            "no entry mask::, which entries for others than the owners need",
        );
        check("u:you:r", "\"u:you:r\": the guest has no such name");
        check("u:4294967295:r", "\"u:4294967295:r\": this number is nobody's");
        check("u:r", "\"u:r\": not of the form WHO:NAME:PERMISSIONS");
        check("x::r", "\"x::r\": not an entry for user, group, mask or other");
        check("o:me:r", "\"o:me:r\": this entry has no name");
        check("u::rwxt", "\"u::rwxt\": permissions are made of the letters rwx and -");
    }

    #[test]
    fn the_attribute() {
        let acl = Acl::of_mode(0o100_640);
        let bytes = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x04\0\x04\0\xff\xff\xff\xff\
            \x20\0\0\0\xff\xff\xff\xff";
        assert_eq!(acl.encode().as_bstr(), bytes.as_bstr());
        for damaged in [&bytes[..3], &bytes[..11], b"\x01\0\0\0", b"\x02\0\0\0\x03\0\0\0\0\0\0\0"] {
            assert_eq!(Acl::decode(damaged), Err("the ACL on the disk is damaged".into()));
        }
    }

    #[test]
    fn names_of_the_guest() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/:\nbad:x:no:\nshort\n";
        let number = |name: &str| account(passwd, name.as_bytes());
        assert_eq!(
            ["root", "me", "bad", "short", ""].map(number),
            [Some(0), Some(1000), None, None, None]
        );
    }
}
