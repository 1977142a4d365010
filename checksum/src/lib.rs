// SPDX-License-Identifier: LGPL-2.1-or-later
//! The checksums that guestfs makes of files: the library and the daemon have to know the same.

use std::fmt::{self, Write as _};
use std::io;

use crc::{CRC_32_CKSUM, Crc, Digest as CrcDigest, Table};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// The names of all of them.
pub const NAMES: [&str; 7] = ["crc", "md5", "sha1", "sha224", "sha256", "sha384", "sha512"];

static CKSUM: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_CKSUM);

/// A checksum in the making.
pub struct Sum(Kind);

enum Kind {
    /// The sum of POSIX's `cksum`, and how many bytes went into it.
    Crc(CrcDigest<'static, u32, Table<16>>, u64),
    Digest(Box<dyn DynDigest + Send>),
}

impl Sum {
    /// Of nothing; `None` if there is no checksum of that name.
    pub fn new(name: &[u8]) -> Option<Self> {
        Some(Self(match name {
            b"crc" => Kind::Crc(CKSUM.digest(), 0),
            b"md5" => Kind::Digest(Box::new(Md5::default())),
            b"sha1" => Kind::Digest(Box::new(Sha1::default())),
            b"sha224" => Kind::Digest(Box::new(Sha224::default())),
            b"sha256" => Kind::Digest(Box::new(Sha256::default())),
            b"sha384" => Kind::Digest(Box::new(Sha384::default())),
            b"sha512" => Kind::Digest(Box::new(Sha512::default())),
            _ => return None,
        }))
    }

    /// The same of more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Kind::Crc(crc, length) => {
                crc.update(bytes);
                *length += bytes.len() as u64;
            }
            Kind::Digest(digest) => digest.update(bytes),
        }
    }

    /// What the program of that name prints: a number in decimal for `crc`, and hexadecimal
    /// digits for the others.
    pub fn finish(self) -> String {
        match self.0 {
            Kind::Crc(mut crc, length) => {
                let length = length.to_le_bytes();
                let used = length.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                crc.update(&length[..used]);
                crc.finalize().to_string()
            }
            Kind::Digest(digest) => {
                let mut text = String::new();
                for byte in digest.finalize() {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{byte:02x}");
                }
                text
            }
        }
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sum")
    }
}

impl io::Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As printed by the programs of coreutils.
    #[test]
    fn sums() {
        #[track_caller]
        fn check(name: &str, parts: &[&[u8]], expected: &str) {
            let mut sum = Sum::new(name.as_bytes()).unwrap();
            parts.iter().for_each(|part| sum.update(part));
            assert_eq!(sum.finish(), expected, "{name}");
        }
        check("crc", &[], "4294967295");
        check("crc", &[b"abc\n"], "1112837078");
        check("crc", &[b"a", b"", b"bc\n"], "1112837078");
        check("crc", &[&[b'x'; 70_000]], "4215398528");
        check("md5", &[b"a", b"bc\n"], "0bee89b07a248e27c83fc3d5951213c1");
        check("sha1", &[b"abc\n"], "03cfd743661f07975fa2f1220c5194cbaff48451");
        for name in NAMES {
            assert!(Sum::new(name.as_bytes()).is_some(), "{name}");
        }
        assert!(Sum::new(b"md6").is_none());
        assert!(Sum::new(b"").is_none());
    }
}
