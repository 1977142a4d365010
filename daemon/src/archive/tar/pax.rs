// SPDX-License-Identifier: LGPL-2.1-or-later
//! Extended headers: records `LENGTH KEY=VALUE\n` which say what a header has no room for.
//!
//! Written after "pax Extended Header" in POSIX.1-2017.  `SCHILY.*` are those of star, which GNU
//! tar and bsdtar write too; `RHT.*` and `GNU.*` those of GNU tar; `LIBARCHIVE.*` those of bsdtar.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bstr::{BString, ByteSlice};

use super::sparse::Records;

const XATTR: &[u8] = b"SCHILY.xattr.";
const XATTR_BASE64: &[u8] = b"LIBARCHIVE.xattr.";
const ACL_ACCESS: &[u8] = b"SCHILY.acl.access";
const ACL_DEFAULT: &[u8] = b"SCHILY.acl.default";
const SELINUX: &[u8] = b"RHT.security.selinux";

/// bsdtar leaves the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A time in seconds since 1970, and nanoseconds after that.
pub(super) type Time = (i64, u32);

/// What is kept besides owner, mode and times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) xattrs: Vec<(BString, BString)>,
    /// Texts, as in acl(5).
    pub(super) acl_access: Option<BString>,
    pub(super) acl_default: Option<BString>,
    pub(super) selinux: Option<BString>,
}

/// What extended headers say about a member of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) path: Option<BString>,
    pub(super) link: Option<BString>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) attributes: Attributes,
    pub(super) sparse: Records,
}

impl Extended {
    /// Takes in the records of a header.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), String> {
        while !records.is_empty() {
            let (key, value);
            (key, value, records) = first(records).ok_or("a damaged extended header")?;
            self.set(key, value).ok_or_else(|| {
                let value = value[..value.len().min(40)].as_bstr();
                format!("{} cannot be {value:?}", key.as_bstr())
            })?;
        }
        Ok(())
    }

    /// What holds for all members: only what a file has not for itself.
    pub(super) fn for_all(&mut self, records: &[u8]) -> Result<(), String> {
        let mut extended = Self::default();
        extended.read(records)?;
        self.uid = extended.uid.or(self.uid);
        self.gid = extended.gid.or(self.gid);
        self.mtime = extended.mtime.or(self.mtime);
        Ok(())
    }

    /// An empty value takes a record back.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let text = || (!value.is_empty()).then(|| value.into());
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = unless_empty(value, decimal)?,
            b"uid" => self.uid = unless_empty(value, decimal)?,
            b"gid" => self.gid = unless_empty(value, decimal)?,
            b"mtime" => self.mtime = unless_empty(value, parse_time)?,
            ACL_ACCESS => self.attributes.acl_access = text(),
            ACL_DEFAULT => self.attributes.acl_default = text(),
            SELINUX => self.attributes.selinux = text(),
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.attributes.xattrs.push((unescaped(name), value.into()));
                } else if let Some(name) = key.strip_prefix(XATTR_BASE64) {
                    let value = BASE64.decode(value).ok()?;
                    self.attributes.xattrs.push((unescaped(name), value.into()));
                } else {
                    return self.sparse.set(key, value);
                }
            }
        }
        Some(())
    }
}

impl Attributes {
    /// About how much memory they take.
    pub(super) fn size(&self) -> usize {
        let texts = [&self.acl_access, &self.acl_default, &self.selinux];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        let pair = size_of::<(BString, BString)>();
        texts
            + self.xattrs.iter().map(|(name, value)| name.len() + value.len() + pair).sum::<usize>()
    }

    /// Writes the records.
    pub(super) fn write(&self, records: &mut Vec<u8>) {
        for (name, value) in &self.xattrs {
            // An equals sign would end the key.
            let name = name.replace("%", "%25").replace("=", "%3D");
            push(records, &[XATTR, &name].concat(), value);
        }
        let texts = [
            (SELINUX, &self.selinux),
            (ACL_ACCESS, &self.acl_access),
            (ACL_DEFAULT, &self.acl_default),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                push(records, key, value);
            }
        }
    }
}

/// Appends a record.
pub(super) fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} ").into_bytes());
    for part in [key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}

/// The first record and what is behind it.
fn first(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, _) = records.split_once_str(b" ")?;
    let end = usize::try_from(decimal(length)?).ok()?;
    let record = records.get(length.len() + 1..end)?.strip_suffix(b"\n")?;
    let (key, value) = record.split_once_str(b"=")?;
    Some((key, value, &records[end..]))
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    // The standard library would take a plus sign.
    match text.first()?.is_ascii_digit() {
        true => text.to_str().ok()?.parse().ok(),
        false => None,
    }
}

fn unless_empty<T>(value: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if value.is_empty() { Some(None) } else { parse(value).map(Some) }
}

fn parse_time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (seconds, fraction) = text.split_once_str(b".").unwrap_or((text, b""));
    let seconds = i64::try_from(decimal(seconds)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

/// The value of a record.
pub(super) fn format_time((seconds, nanos): Time) -> String {
    if nanos == 0 {
        return seconds.to_string();
    }
    let (sign, seconds, nanos) = match seconds {
        0.. => ("", seconds, nanos),
        _ => ("-", -(seconds + 1), 1_000_000_000 - nanos),
    };
    let text = format!("{sign}{seconds}.{nanos:09}");
    text.trim_end_matches('0').to_owned()
}

/// Takes `%3D` and its like for what they stand for.
fn unescaped(name: &[u8]) -> BString {
    let mut plain = BString::default();
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high << 4 | low) as u8);
                rest = &tail[2..];
            }
            _ => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(records: &[u8], expected: Result<Extended, &str>) {
        let mut extended = Extended::default();
        let got = extended.read(records).map(|()| extended);
        assert_eq!(got, expected.map_err(String::from));
    }

    #[test]
    fn records() {
        check(b"", Ok(Extended::default()));
        let expected = Extended {
            path: Some("a\nb".into()),
            size: Some(1 << 40),
            mtime: Some((-2, 500_000_000)),
            ..Extended::default()
        };
        check(b"12 path=a\nb\n22 size=1099511627776\n14 mtime=-1.5\n", Ok(expected));
        check(b"10 path=a\n8 path=\n12 comment=\n", Ok(Extended::default()));
        let damaged = "a damaged extended header";
        for records in ["x", "10 path=a", "11 path=a\n", "5 pa\n", "+10 path=\n", "3 "] {
            check(records.as_bytes(), Err(damaged));
        }
        check(b"10 size=-\n", Err("size cannot be \"-\""));
        check(b"13 mtime=1.x\n", Err("mtime cannot be \"1.x\""));
        check(
            b"36 LIBARCHIVE.xattr.user.x=&&&&&&&&\n",
            Err("LIBARCHIVE.xattr.user.x cannot be \"&&&&&&&&\""),
        );
    }

    #[test]
    fn attributes_there_and_back() {
        let attributes = Attributes {
            xattrs: vec![
                ("user.a=b%c".into(), b"\0\n=\xff"[..].into()),
                ("user.empty".into(), "".into()),
                ("user.long".into(), "x".repeat(2000).into()),
            ],
            acl_access: Some("user::rw-\n".into()),
            acl_default: Some("user::r--\n".into()),
            selinux: Some("a:b:c:s0".into()),
        };
        let mut records = Vec::new();
        attributes.write(&mut records);
        check(&records, Ok(Extended { attributes, ..Extended::default() }));
    }

    #[test]
    fn attributes_of_bsdtar() {
        let xattrs = vec![("user.x y".into(), "1".into()), ("user.z".into(), "12".into())];
        let attributes = Attributes { xattrs, ..Attributes::default() };
        check(
            b"34 LIBARCHIVE.xattr.user.x%20y=MQ\n32 LIBARCHIVE.xattr.user.z=MTI=\n",
            Ok(Extended { attributes, ..Extended::default() }),
        );
    }

    #[test]
    fn what_holds_for_all() {
        let mut global = Extended::default();
        global.for_all(b"8 uid=7\n10 path=x\n").unwrap();
        global.for_all(b"8 gid=9\n").unwrap();
        assert_eq!(global, Extended { uid: Some(7), gid: Some(9), ..Extended::default() });
    }

    #[test]
    fn lengths_count_themselves() {
        for length in 0..2000 {
            let mut records = Vec::new();
            push(&mut records, b"path", &vec![b'x'; length]);
            let (key, value, rest) = first(&records).unwrap();
            assert_eq!((key, value.len(), rest), (&b"path"[..], length, &b""[..]));
        }
    }

    #[test]
    fn times() {
        for (time, text) in [
            ((0, 0), "0"),
            ((5, 1), "5.000000001"),
            ((5, 500_000_000), "5.5"),
            ((-1, 500_000_000), "-0.5"),
            ((-2, 999_999_999), "-1.000000001"),
            ((-7, 0), "-7"),
            ((i64::MIN + 1, 0), "-9223372036854775807"),
        ] {
            assert_eq!(format_time(time), text);
            assert_eq!(parse_time(text.as_bytes()), Some(time));
        }
        assert_eq!(parse_time(b"1.9999999999"), Some((1, 999_999_999)));
        assert_eq!(["", "-", "1.-5", " 1"].map(|it| parse_time(it.as_bytes())), [None; 4]);
    }
}
