// SPDX-License-Identifier: LGPL-2.1-or-later
//! Content that is compressed on its way to the library.

use std::fs::File;
use std::io::{self, Write};

use bstr::{BStr, ByteSlice};
use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use liblzma::stream::{Check, Stream};
use liblzma::write::XzEncoder;
use rustix::fs::{Mode, OFlags};

use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::generated::{CompressDeviceOutOptions, CompressOutOptions};
use crate::path::GuestPath;
use crate::tool::Tool;
use crate::transfer::FileOut;

pub(crate) fn compress_out(
    cx: &mut Ctx,
    ctype: &BStr,
    file: &GuestPath,
    out: &mut FileOut<'_>,
    options: CompressOutOptions,
) -> Result<()> {
    let compressor = Compressor::new(ctype, options.level)?;
    let mut input = cx.open_regular(file, OFlags::RDONLY, Mode::empty())?;
    compressor.run(&mut input, out, file)
}

pub(crate) fn compress_device_out(
    _: &mut Ctx,
    ctype: &BStr,
    device: &Device,
    out: &mut FileOut<'_>,
    options: CompressDeviceOutOptions,
) -> Result<()> {
    let compressor = Compressor::new(ctype, options.level)?;
    compressor.run(&mut device.open(OFlags::RDONLY)?, out, device)
}

/// A way to compress.
#[derive(Clone, Copy, Debug)]
enum Compressor {
    Gzip(flate2::Compression),
    Bzip2(bzip2::Compression),
    Xz(u32),
    /// Nobody has written these as libraries.
    Lzop(Option<u32>),
    Compress,
}

impl Compressor {
    fn new(ctype: &BStr, level: Option<i32>) -> Result<Self> {
        let level = match (level, ctype.as_bytes()) {
            (Some(_), b"compress") => {
                return Err(Error::invalid("level", "compress has no levels"));
            }
            (Some(level @ 1..=9), _) => Some(level.unsigned_abs()),
            (Some(level), _) => {
                return Err(Error::invalid("level", format_args!("{level} is not from 1 to 9")));
            }
            (None, _) => None,
        };
        // Without a level, the ones that the programs take.
        Ok(match ctype.as_bytes() {
            b"gzip" => Self::Gzip(flate2::Compression::new(level.unwrap_or(6))),
            b"bzip2" => Self::Bzip2(bzip2::Compression::new(level.unwrap_or(9))),
            b"xz" => Self::Xz(level.unwrap_or(6)),
            b"lzop" => Self::Lzop(level),
            b"compress" => Self::Compress,
            _ => {
                let why = format!("{ctype:?} is not one of compress, gzip, bzip2, xz and lzop");
                return Err(Error::invalid("ctype", why));
            }
        })
    }

    fn run(
        self,
        input: &mut File,
        out: &mut impl Write,
        what: impl std::fmt::Display,
    ) -> Result<()> {
        match self {
            Self::Gzip(level) => {
                let mut encoder = GzEncoder::new(out, level);
                io::copy(input, &mut encoder).and_then(|_| encoder.finish()).map(drop).about(what)
            }
            Self::Bzip2(level) => {
                let mut encoder = BzEncoder::new(out, level);
                io::copy(input, &mut encoder).and_then(|_| encoder.finish()).map(drop).about(what)
            }
            Self::Xz(level) => {
                let stream = Stream::new_easy_encoder(level, Check::Crc64);
                let stream = stream.map_err(io::Error::from).about("xz")?;
                let mut encoder = XzEncoder::new_stream(out, stream);
                io::copy(input, &mut encoder).and_then(|_| encoder.finish()).map(drop).about(what)
            }
            Self::Lzop(level) => {
                let level = level.map(|level| format!("-{level}"));
                Tool::new("lzop").arg("-c").args(level).filter(input, out)
            }
            Self::Compress => Tool::new("compress").args(["-c", "-f"]).filter(input, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;
    use crate::decompress::Content;

    #[track_caller]
    fn check(ctype: &str, level: Option<i32>, expected: &str) {
        let content = b"hello\n".repeat(10_000);
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(&content).unwrap();
        input.rewind().unwrap();
        let mut out = Vec::new();
        let run = |compressor: Compressor| compressor.run(&mut input, &mut out, "/x");
        let got = match Compressor::new(ctype.into(), level).and_then(run) {
            Ok(()) => {
                let mut plain = Vec::new();
                Content::new(&out[..]).unwrap().read_to_end(&mut plain).unwrap();
                assert!(out.len() < content.len() / 10 && plain == content);
                String::from("ok")
            }
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn what_is_compressed_can_be_read() {
        for ctype in ["gzip", "bzip2", "xz"] {
            for level in [None, Some(1), Some(9)] {
                check(ctype, level, "ok");
            }
        }
        check("gzip", Some(0), "level: 0 is not from 1 to 9");
        check("xz", Some(10), "level: 10 is not from 1 to 9");
        check("compress", Some(1), "level: compress has no levels");
        let why = "ctype: \"zip\" is not one of compress, gzip, bzip2, xz and lzop";
        check("zip", None, why);
    }
}
