// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reading of compressed files.  How they are compressed is told by their first bytes.

use std::fmt::{self, Display};
use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;
use ruzstd::decoding::StreamingDecoder;

use crate::error::{Errno, Error};

/// The most memory for a dictionary of xz: with its highest level it takes 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// The size of the blocks in a file that was made by `lz4 -l`, before compression.
const LZ4_BLOCK: usize = 8 << 20;

/// What these blocks take at most when they do not get smaller.
const LZ4_COMPRESSED_MAX: usize = LZ4_BLOCK + LZ4_BLOCK / 255 + 16;

const LZ4_MAGIC: [u8; 4] = 0x184c_2102_u32.to_le_bytes();

/// How something is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Bzip2,
    Xz,
    Lzma,
    Lz4,
    Zstd,
}

/// The first bytes of what is compressed.
const MAGIC: &[(&[u8], Compression)] = &[
    (b"\x1f\x8b", Compression::Gzip),
    (b"BZh", Compression::Bzip2),
    (b"\xfd7zXZ\0", Compression::Xz),
    (b"\x5d\0\0", Compression::Lzma),
    (&LZ4_MAGIC, Compression::Lz4),
    (b"\x28\xb5\x2f\xfd", Compression::Zstd),
];

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

impl Compression {
    /// Looks at the beginning of the content.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map(|&(_, found)| found)
    }
}

/// One compressed stream.  It ends where the compressed data say so, and what follows can be read
/// from what [`Self::into_inner`] returns.
pub(crate) enum Decoder<R: BufRead> {
    Gzip(GzDecoder<R>),
    Bzip2(BzDecoder<R>),
    /// Both kinds that xz knows.
    Xz(XzDecoder<R>),
    Lz4(Lz4Decoder<R>),
    /// In a box because of its tables.
    Zstd(Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
}

impl<R: BufRead> Decoder<R> {
    /// Starts at the first byte.
    pub(crate) fn new(input: R, compression: Compression) -> io::Result<Self> {
        let damaged = |err| io::Error::new(io::ErrorKind::InvalidData, err);
        Ok(match compression {
            Compression::Gzip => Self::Gzip(GzDecoder::new(input)),
            Compression::Bzip2 => Self::Bzip2(BzDecoder::new(input)),
            Compression::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, 0)?;
                Self::Xz(XzDecoder::new_stream(input, stream))
            }
            Compression::Lzma => {
                let stream = Stream::new_lzma_decoder(XZ_MEMORY)?;
                Self::Xz(XzDecoder::new_stream(input, stream))
            }
            Compression::Lz4 => Self::Lz4(Lz4Decoder::new(input)?),
            Compression::Zstd => {
                let decoder = StreamingDecoder::new(input).map_err(io::Error::other);
                Self::Zstd(Box::new(decoder.map_err(damaged)?))
            }
        })
    }

    /// The input, behind what was decompressed.
    pub(crate) fn into_inner(self) -> R {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Bzip2(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Lz4(decoder) => decoder.input,
            Self::Zstd(decoder) => decoder.into_inner(),
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Lz4(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// Input of which the next bytes can be looked at before they are read.
pub(crate) struct Ahead<R> {
    /// What has been looked at and not read.
    head: Vec<u8>,
    input: R,
}

/// The longest of [`MAGIC`].
const MAGIC_MAX: usize = 6;

impl<R: BufRead> Ahead<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { head: Vec::new(), input }
    }

    /// The next bytes: enough to tell a format by, or all that there are.
    pub(crate) fn peek(&mut self) -> io::Result<&[u8]> {
        let missing = MAGIC_MAX.saturating_sub(self.head.len());
        (&mut self.input).take(missing as u64).read_to_end(&mut self.head)?;
        Ok(&self.head)
    }
}

impl<R: BufRead> Read for Ahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.head.is_empty() {
            return self.input.read(buffer);
        }
        let n = buffer.len().min(self.head.len());
        buffer[..n].copy_from_slice(&self.head[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.head.is_empty() { self.input.fill_buf() } else { Ok(&self.head) }
    }

    fn consume(&mut self, n: usize) {
        if self.head.is_empty() {
            self.input.consume(n);
        } else {
            self.head.drain(..n);
        }
    }
}

/// The content of a file that may be compressed, in one stream or in several.
pub(crate) struct Content<R: BufRead> {
    stage: Stage<R>,
    compression: Option<Compression>,
}

enum Stage<R: BufRead> {
    Plain(Ahead<R>),
    Compressed(Decoder<Ahead<R>>),
    Ended,
}

impl<R: BufRead> Content<R> {
    /// Looks at the first bytes.
    pub(crate) fn new(input: R) -> io::Result<Self> {
        let mut input = Ahead::new(input);
        let compression = Compression::of(input.peek()?);
        let stage = match compression {
            Some(compression) => Stage::Compressed(Decoder::new(input, compression)?),
            None => Stage::Plain(input),
        };
        Ok(Self { stage, compression })
    }

    /// What the first bytes told.
    pub(crate) fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Goes on behind a stream that has ended.
    fn next_stream(&mut self) -> io::Result<()> {
        if let Stage::Compressed(decoder) = std::mem::replace(&mut self.stage, Stage::Ended) {
            let mut input = decoder.into_inner();
            // What begins no other stream is of no account, as for gzip.
            if let Some(next) = Compression::of(input.peek()?)
                && self.compression == Some(next)
            {
                self.stage = Stage::Compressed(Decoder::new(input, next)?);
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Content<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.stage {
                Stage::Plain(input) => return input.read(buffer),
                Stage::Ended => return Ok(0),
                Stage::Compressed(decoder) => match decoder.read(buffer)? {
                    0 if !buffer.is_empty() => self.next_stream()?,
                    n => return Ok(n),
                },
            }
        }
    }
}

/// An error of reading compressed content: the content's fault, unless the system says otherwise.
pub(crate) fn damaged(what: impl Display) -> impl FnOnce(io::Error) -> Error {
    move |err| match err.raw_os_error() {
        Some(errno) => Error::sys(what, Errno::from_raw_os_error(errno)),
        None => Error::invalid(what, format_args!("damaged compressed content: {err}")),
    }
}

/// The format of `lz4 -l`, which is that of the kernel: blocks, each with its length in front.
pub(crate) struct Lz4Decoder<R> {
    input: R,
    block: Vec<u8>,
    start: usize,
    has_ended: bool,
}

impl<R: BufRead> Lz4Decoder<R> {
    fn new(mut input: R) -> io::Result<Self> {
        input.read_exact(&mut [0; LZ4_MAGIC.len()])?;
        Ok(Self { input, block: Vec::new(), start: 0, has_ended: false })
    }

    /// Decompresses the next block, if there is one.
    fn fill(&mut self) -> io::Result<()> {
        self.start = 0;
        self.block.clear();
        let mut length = LZ4_MAGIC;
        // Files may be put together.
        while length == LZ4_MAGIC {
            // At the end there is nothing, or the padding in front of something else.
            if self.input.fill_buf()?.is_empty() {
                length = [0; 4];
            } else {
                self.input.read_exact(&mut length)?;
            }
        }
        if length == [0; 4] {
            self.has_ended = true;
            return Ok(());
        }
        let length = u32::from_le_bytes(length) as usize;
        let damaged = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        if length > LZ4_COMPRESSED_MAX {
            return Err(damaged("too long a block of lz4".to_owned()));
        }
        let mut compressed = vec![0; length];
        self.input.read_exact(&mut compressed)?;
        self.block.resize(LZ4_BLOCK, 0);
        let n = lz4_flex::block::decompress_into(&compressed, &mut self.block)
            .map_err(|err| damaged(format!("lz4: {err}")))?;
        self.block.truncate(n);
        Ok(())
    }
}

impl<R: BufRead> Read for Lz4Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.start == self.block.len() && !self.has_ended {
            self.fill()?;
        }
        let n = buffer.len().min(self.block.len() - self.start);
        buffer[..n].copy_from_slice(&self.block[self.start..][..n]);
        self.start += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use bstr::ByteSlice;

    use super::*;

    /// `hello\n`, by the programs of these names.
    const HELLO: &[(&str, &str)] = &[
        ("gzip", "1f8b0800000000000003cb48cdc9c9e7020020303a3606000000"),
        (
            "bzip2",
            "425a6839314159265359c1c080e2000001410000100244a00030cd00c3462997177245385090c1c080e2",
        ),
        (
            "xz",
            "fd377a585a000004e6d6b4460200210116000000742fe5a301000568656c6c6f0a000000a56097f194f6fd\
             e000011e06c12fa41d1fb6f37d010000000004595a",
        ),
        ("lzma", "5d00008000ffffffffffffffff00341949ee8ddd3d3adfffffdd120000"),
        ("lz4 -l", "02214c18070000006068656c6c6f0a"),
        ("zstd", "28b52ffd045831000068656c6c6f0a5388bd91"),
    ];

    fn hello() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        HELLO.iter().map(move |(name, hex)| (*name, hex.as_bytes().chunks(2).map(byte).collect()))
    }

    fn read(content: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Content::new(content)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn streams() {
        assert_eq!(read(b"").unwrap(), b"");
        assert_eq!(read(b"plain").unwrap(), b"plain");
        for (name, compressed) in hello() {
            assert_eq!(read(&compressed).unwrap().as_bstr(), "hello\n", "{name}");
            let twice = [&compressed[..], &compressed].concat();
            assert_eq!(read(&twice).unwrap().as_bstr(), "hello\nhello\n", "two of {name}");
            let padded = [&compressed[..], &[0; 8]].concat();
            assert_eq!(read(&padded).unwrap().as_bstr(), "hello\n", "padded {name}");
        }
    }

    #[test]
    fn damage_is_an_error() {
        for (name, compressed) in hello() {
            for length in 7..compressed.len() - 1 {
                if name == "zstd" && length >= compressed.len() - 4 {
                    continue;
                }
                assert!(read(&compressed[..length]).is_err(), "{name} cut at {length}");
            }
        }
    }
}
