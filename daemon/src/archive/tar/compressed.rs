// SPDX-License-Identifier: LGPL-2.1-or-later
//! How an archive may be compressed: by a library, or by a program where nobody has written one.

use std::io::{self, BufReader, Read, Write};
use std::thread;

use bstr::BStr;
use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use liblzma::stream::{Check, LzmaOptions, Stream};
use liblzma::write::XzEncoder;

use super::reader::ARCHIVE;
use crate::cancel::check_io;
use crate::decompress::{Compression, Content};
use crate::error::{About, Errno, Error, Result};
use crate::tool::{self, Tool};

/// The level of xz when nobody says anything else.
const XZ_LEVEL: u32 = 6;

/// How much goes through a pipe at once.
const BUFFER: usize = 64 << 10;

/// What the option `compress` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    None,
    /// Read by a library, and written by one unless there is only a program.
    Library(Compression),
    /// Read and written by a program.
    Program(&'static str),
}

const METHODS: [(&str, Method); 7] = [
    ("compress", Method::Program("compress")),
    ("gzip", Method::Library(Compression::Gzip)),
    ("bzip2", Method::Library(Compression::Bzip2)),
    ("xz", Method::Library(Compression::Xz)),
    ("lzop", Method::Program("lzop")),
    ("lzma", Method::Library(Compression::Lzma)),
    ("zstd", Method::Library(Compression::Zstd)),
];

impl Method {
    pub(super) fn new(name: Option<&BStr>) -> Result<Self> {
        let Some(name) = name else { return Ok(Self::None) };
        match METHODS.iter().find(|(known, _)| name == *known) {
            Some((_, method)) => Ok(*method),
            None => {
                let known = METHODS.map(|(known, _)| known).join(", ");
                let why = format!("{name:?} is not one of {known}");
                Err(Error::invalid("compress", why))
            }
        }
    }

    /// Gives what is in the compressed `input` to `body`.
    pub(super) fn read(
        self,
        input: &mut impl Read,
        body: impl FnOnce(&mut dyn Read) -> Result<()> + Send,
    ) -> Result<()> {
        match self {
            Self::None => body(input),
            Self::Library(expected) => {
                let input = BufReader::with_capacity(BUFFER, input);
                let mut content = Content::new(input).about(ARCHIVE)?;
                match content.compression() == Some(expected) {
                    true => body(&mut content),
                    false => {
                        let why = format!("it is not compressed by {expected}");
                        Err(Error::invalid(ARCHIVE, why))
                    }
                }
            }
            Self::Program(program) => {
                let tool = program_of(program)?.args(["-d", "-c"]);
                let (from, mut to) = io::pipe().about("pipe")?;
                thread::scope(|scope| {
                    let reader =
                        scope.spawn(move || body(&mut BufReader::with_capacity(BUFFER, from)));
                    let decompressed = tool.filter(input, &mut to);
                    drop(to);
                    let read = joined(reader);
                    match decompressed {
                        // The reader has given up, and knows why.
                        Err(err) if err.errno() == Some(Errno::PIPE) => read.and(Err(err)),
                        decompressed => decompressed.and(read),
                    }
                })
            }
        }
    }

    /// Compresses what `body` writes.
    pub(super) fn write(
        self,
        out: &mut impl Write,
        body: impl FnOnce(&mut dyn Write) -> Result<()> + Send,
    ) -> Result<()> {
        let xz = |stream: Result<Stream, liblzma::stream::Error>| {
            stream.map_err(io::Error::from).about("xz")
        };
        match self {
            Self::None => body(out),
            Self::Library(Compression::Gzip) => {
                let mut encoder = GzEncoder::new(out, flate2::Compression::new(6));
                body(&mut encoder)?;
                encoder.finish().map(drop).about(ARCHIVE)
            }
            Self::Library(Compression::Bzip2) => {
                let mut encoder = BzEncoder::new(out, bzip2::Compression::new(9));
                body(&mut encoder)?;
                encoder.finish().map(drop).about(ARCHIVE)
            }
            Self::Library(Compression::Xz) => {
                let stream = xz(Stream::new_easy_encoder(XZ_LEVEL, Check::Crc64))?;
                let mut encoder = XzEncoder::new_stream(out, stream);
                body(&mut encoder)?;
                encoder.finish().map(drop).about(ARCHIVE)
            }
            Self::Library(Compression::Lzma) => {
                let options = LzmaOptions::new_preset(XZ_LEVEL);
                let stream = xz(options.and_then(|options| Stream::new_lzma_encoder(&options)))?;
                let mut encoder = XzEncoder::new_stream(out, stream);
                body(&mut encoder)?;
                encoder.finish().map(drop).about(ARCHIVE)
            }
            Self::Library(compression @ (Compression::Zstd | Compression::Lz4)) => {
                by_program(&compression.to_string(), out, body)
            }
            Self::Program(program) => by_program(program, out, body),
        }
    }
}

fn by_program(
    program: &str,
    out: &mut impl Write,
    body: impl FnOnce(&mut dyn Write) -> Result<()> + Send,
) -> Result<()> {
    let tool = program_of(program)?.arg("-c");
    let (from, mut to) = io::pipe().about("pipe")?;
    thread::scope(|scope| {
        let writer = scope.spawn(move || body(&mut to));
        // The pipe is closed then: if the program has failed nobody wants the rest.
        let compressed = tool.filter(&mut Wanted(from), out);
        let written = joined(writer);
        match written {
            Err(err) if err.errno() == Some(Errno::PIPE) => compressed.and(Err(err)),
            written => written.and(compressed),
        }
    })
}

/// What is read as long as the caller wants it: a program writes late what it makes of it.
struct Wanted<R>(R);

impl<R: Read> Read for Wanted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        check_io()?;
        self.0.read(buffer)
    }
}

fn program_of(program: &str) -> Result<Tool> {
    match tool::exists(program) {
        true => Ok(Tool::new(program)),
        false => Err(Error::unsupported(program)),
    }
}

fn joined(thread: thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_can_be_read() {
        let content = b"hello\n".repeat(100_000);
        for (name, method) in METHODS {
            let mut out = Vec::new();
            let written = method.write(&mut out, |out| out.write_all(&content).about("x"));
            if let Err(err) = written {
                // A program that this machine does without.
                assert_eq!(err.errno(), Some(Errno::NOTSUP), "{name}: {err}");
                continue;
            }
            assert!(out.len() < content.len() / 4, "{name}");
            let mut plain = Vec::new();
            let read = |input: &mut dyn Read| input.read_to_end(&mut plain).map(drop).about("x");
            method.read(&mut &out[..], read).unwrap();
            assert!(plain == content, "{name}");
        }
    }

    #[test]
    fn errors() {
        #[track_caller]
        fn check(name: &str, input: &[u8], expected: &str) {
            let read =
                |input: &mut dyn Read| input.read_to_end(&mut Vec::new()).map(drop).about("x");
            let result = Method::new(Some(name.into())).and_then(|it| it.read(&mut &*input, read));
            assert_eq!(result.unwrap_err().to_string(), expected);
        }
        check("gzip", b"", "tar archive: it is not compressed by gzip");
        check("xz", b"BZh91AY&SY", "tar archive: it is not compressed by xz");
        check(
            "rar",
            b"",
            "compress: \"rar\" is not one of compress, gzip, bzip2, xz, lzop, lzma, zstd",
        );
        let refusal = |_: &mut dyn Write| Err(Error::invalid("member", "refused"));
        for (_, method) in METHODS {
            match method.write(&mut Vec::new(), refusal) {
                Err(Error::Unsupported(_)) => {}
                other => assert_eq!(other.unwrap_err().to_string(), "member: refused"),
            }
        }
    }
}
