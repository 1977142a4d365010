// SPDX-License-Identifier: LGPL-2.1-or-later
//! Checksums of files and devices.

use std::fs::File;
use std::io::{self, Read, Write};

use bstr::{BStr, BString, ByteSlice};
use guestfs_checksum::{NAMES, Sum};
use rustix::fs::{FileType, Mode, OFlags, openat};

use super::BLOCK;
use crate::cancel::check_io;
use crate::ctx::Ctx;
use crate::directory::walk::walk;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;
use crate::transfer::FileOut;

pub(crate) fn checksum(cx: &mut Ctx, csumtype: &BStr, path: &GuestPath) -> Result<BString> {
    let sum = sum_of(csumtype)?;
    let mut file = cx.open_regular(path, OFlags::RDONLY, Mode::empty())?;
    finish(sum, &mut file).about(path)
}

pub(crate) fn checksums_out(
    cx: &mut Ctx,
    csumtype: &BStr,
    directory: &GuestPath,
    out: &mut FileOut<'_>,
) -> Result<()> {
    sum_of(csumtype)?;
    let has_length = csumtype == "crc";
    let start = cx.open(directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
    walk(start, directory, |entry| {
        if entry.kind != FileType::RegularFile {
            return Ok(());
        }
        let below = entry.path();
        let path = directory.join(&below);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(entry.directory, entry.name, flags, Mode::empty());
        let mut file = File::from(file.about(&path)?);
        let length = has_length.then_some(file.metadata().about(&path)?.len());
        let sum = finish(sum_of(csumtype)?, &mut file).about(&path)?;
        out.write_all(&line(sum.as_bstr(), length, below.as_bstr())).about(&path)
    })
}

/// A line in the form of `cksum` if there is a length, or else in that of `sha256sum`.
fn line(sum: &BStr, length: Option<u64>, path: &BStr) -> Vec<u8> {
    let separator = length.map_or_else(|| String::from("  "), |length| format!(" {length} "));
    let escaped = path.replace(r"\", r"\\").replace("\n", r"\n").replace("\r", r"\r");
    // A backslash in front says that there are some in the name.
    let (sign, path) = match length.is_none() && escaped != path.as_bytes() {
        true => (r"\", escaped.as_slice()),
        false => ("", path.as_bytes()),
    };
    [sign.as_bytes(), sum, separator.as_bytes(), b"./", path, b"\n"].concat()
}

/// The beginning of a checksum of this type.
pub(crate) fn sum_of(csumtype: &BStr) -> Result<Sum> {
    if let Some(sum) = Sum::new(csumtype) {
        return Ok(sum);
    }
    if matches!(csumtype.as_bytes(), b"gost" | b"gost12") {
        let why = "checksums of this type are not supported";
        return Err(Error::refused(Errno::NOTSUP, csumtype, why));
    }
    let (last, others) = NAMES.split_last().unwrap_or((&"", &[]));
    let why = format!("{csumtype:?} is not one of {} and {last}", others.join(", "));
    Err(Error::invalid("csumtype", why))
}

/// The checksum of all that can be read.
pub(crate) fn finish(mut sum: Sum, input: &mut impl Read) -> io::Result<BString> {
    let mut block = vec![0; BLOCK];
    loop {
        check_io()?;
        match input.read(&mut block) {
            Ok(0) => return Ok(sum.finish().into()),
            Ok(n) => sum.update(&block[..n]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(csumtype: &str, content: &[u8], expected: &str) {
        let got = match sum_of(csumtype.into()) {
            Ok(sum) => finish(sum, &mut &*content).unwrap().to_string(),
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn lines() {
        #[track_caller]
        fn check(length: Option<u64>, path: &str, expected: &str) {
            assert_eq!(line("0".into(), length, path.into()).as_bstr(), expected);
        }
        check(None, "a b", "0  ./a b\n");
        check(None, "a\nb\\", "\\0  ./a\\nb\\\\\n");
        check(Some(4), "a/b", "0 4 ./a/b\n");
        check(Some(4), "a\\", "0 4 ./a\\\n");
    }

    #[test]
    fn sums() {
        check("crc", b"", "4294967295");
        check("crc", b"abc\n", "1112837078");
        check("crc", &[0; 8 << 20], "2532515601");
        check("md5", b"", "d41d8cd98f00b204e9800998ecf8427e");
        check("md5", b"abc\n", "0bee89b07a248e27c83fc3d5951213c1");
        check("md5", &[0; 8 << 20], "96995b58d4cbf6aaa9041b4f00c7f6ae");
        check("sha1", b"abc\n", "03cfd743661f07975fa2f1220c5194cbaff48451");
        check("sha224", b"", "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f");
        check(
            "sha256",
            b"a\0b",
            "59b271ae1bbcb1d31d41929817f4b16fb439eb4f31520b5ad1d5ce98920a7138",
        );
        check(
            "sha384",
            b"",
            "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da\
             274edebfe76f65fbd51ad2f14898b95b",
        );
        check(
            "sha512",
            b"abc\n",
            "4f285d0c0cc77286d8731798b7aae2639e28270d4166f40d769cbbdca5230714\
             d848483d364e2f39fe6cb9083c15229b39a33615ebc6d57605f7c43f6906739d",
        );
        check("gost", b"", "gost: checksums of this type are not supported");
        check(
            "SHA1",
            b"",
            "csumtype: \"SHA1\" is not one of crc, md5, sha1, sha224, sha256, sha384 and sha512",
        );
    }
}
