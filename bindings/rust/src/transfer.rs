// SPDX-License-Identifier: LGPL-2.1-or-later
//! The host's ends of a transfer: where a file sent to the daemon comes from, and where one sent
//! by it goes to.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use guestfs_checksum::Sum;
use guestfs_protocol::wire::SHOWN_MIN;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use rustix::fs::{SeekFrom, seek};

use crate::error::{Error, Result};
use crate::launch::set_len;

/// What is sent to the daemon.
pub(crate) enum Source<'a> {
    /// Content in memory.
    Bytes(&'a [u8]),
    /// A file, pipe or device of the host.
    File {
        /// Its name, for errors.
        path: PathBuf,
        /// Opened for reading.
        file: File,
        /// It may have holes.
        sparse: bool,
    },
}

impl<'a> Source<'a> {
    /// A file of the host.  Opened before the call is sent: one that is not there costs no call.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|err| Error::io(&err, path.display()))?;
        let kind = file.metadata().map_err(|err| Error::io(&err, path.display()))?.file_type();
        match kind.is_dir() {
            true => Err(Error::system(Errno::EISDIR, path.display())),
            false => Ok(Self::File { path: path.to_owned(), file, sparse: kind.is_file() }),
        }
    }

    /// How many bytes there are, or 0 where that shows only at the end.
    pub(crate) fn size_hint(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { file, .. } => match file.metadata() {
                Ok(metadata) if metadata.is_file() => metadata.len(),
                _ => 0,
            },
        }
    }

    /// What to wait for before reading; memory is always there.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Bytes(_) => None,
            Self::File { file, .. } => Some(file.as_fd()),
        }
    }

    /// Leaves out a hole that is long enough to be told, and says how long.
    pub(crate) fn skip_hole(&mut self) -> Result<u64> {
        let Self::File { path, file, sparse: true } = self else { return Ok(0) };
        let named = |err: io::Error| Error::io(&err, path.display());
        let at = file.stream_position().map_err(named)?;
        let data = match seek(&*file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => file.metadata().map_err(named)?.len().max(at),
            // A filesystem that knows no holes.
            Err(_) => at,
        };
        let hole = match data - at {
            hole if hole >= SHOWN_MIN as u64 => hole,
            _ => 0,
        };
        seek(&*file, SeekFrom::Start(at + hole)).map_err(|it| named(it.into()))?;
        Ok(hole)
    }

    /// The next bytes; 0 at the end, `None` if there is nothing yet after all.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>> {
        match self {
            Self::Bytes(bytes) => {
                let (now, later) = bytes.split_at(bytes.len().min(buf.len()));
                buf[..now.len()].copy_from_slice(now);
                *bytes = later;
                Ok(Some(now.len()))
            }
            Self::File { path, file, sparse } => match file.read(before_hole(file, *sparse, buf)) {
                Ok(n) => Ok(Some(n)),
                Err(err) if is_transient(&err) => Ok(None),
                Err(err) => Err(Error::io(&err, path.display())),
            },
        }
    }
}

/// Where a file from the daemon goes.
pub(crate) enum Sink<'a> {
    /// Memory, up to a number of bytes.
    Memory {
        /// What has arrived.
        content: &'a mut Vec<u8>,
        /// The most that may.
        max: usize,
    },
    /// A checksum of it all.
    Sum(&'a mut Sum),
    /// A file of the host that is not open yet.
    Path(&'a Path),
    /// A file, pipe or device of the host.
    File {
        /// Its name, for errors.
        path: &'a Path,
        /// Opened for writing.
        file: File,
        /// What is not written is zero.
        sparse: bool,
    },
}

impl Sink<'_> {
    /// Makes ready for the first byte.  Only called when the daemon has agreed to send, so that a
    /// call that fails leaves the host's file alone.
    pub(crate) fn open(&mut self) -> Result<()> {
        let Self::Path(path) = *self else { return Ok(()) };
        let named = |err: io::Error| Error::io(&err, path.display());
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o666);
        let file = options.open(path).map_err(named)?;
        let kind = file.metadata().map_err(named)?.file_type();
        if kind.is_fifo() || kind.is_char_device() {
            // A write to a pipe that nobody empties must not keep user_cancel from being seen.
            let flags = fcntl(&file, FcntlArg::F_GETFL)
                .map_err(|err| Error::system(err, path.display()))?;
            let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
            fcntl(&file, FcntlArg::F_SETFL(flags))
                .map_err(|err| Error::system(err, path.display()))?;
        }
        *self = Self::File { path, file, sparse: kind.is_file() };
        Ok(())
    }

    /// What to wait for before writing again.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::File { file, .. } => Some(file.as_fd()),
            Self::Memory { .. } | Self::Sum(_) | Self::Path(_) => None,
        }
    }

    /// Leaves out zeroes, if that makes zeroes; answers how many.
    pub(crate) fn skip(&mut self, length: u64) -> Result<u64> {
        match self {
            Self::Memory { content, max } if length > (*max - content.len()) as u64 => {
                Err(too_large(*max))
            }
            Self::File { path, file, sparse: true } => {
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                file.seek_relative(length).map_err(|err| Error::io(&err, path.display()))?;
                Ok(length as u64)
            }
            Self::Memory { .. } | Self::Sum(_) | Self::Path(_) | Self::File { .. } => Ok(0),
        }
    }

    /// Makes an end behind what was left out last.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let Self::File { path, file, sparse: true } = self else { return Ok(()) };
        let end = file.stream_position().and_then(|at| match file.metadata()?.len() {
            length if length < at => set_len(file, at),
            _ => Ok(()),
        });
        end.map_err(|err| Error::io(&err, path.display()))
    }

    /// Takes as many bytes as it can at once, which may be none.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<usize> {
        match self {
            Self::Memory { content, max } => {
                if data.len() > *max - content.len() {
                    return Err(too_large(*max));
                }
                content.extend_from_slice(data);
                Ok(data.len())
            }
            Self::Sum(sum) => {
                sum.update(data);
                Ok(data.len())
            }
            Self::File { path, file, .. } => match file.write(data) {
                Ok(0) => Err(Error::system(Errno::ENOSPC, path.display())),
                Ok(n) => Ok(n),
                Err(err) if is_transient(&err) => Ok(0),
                Err(err) => Err(Error::io(&err, path.display())),
            },
            Self::Path(path) => Err(Error::system(Errno::EBADF, path.display())),
        }
    }
}

fn too_large(max: usize) -> Error {
    let why = format!("larger than {max} bytes, which is the most that fits");
    Error::new(Errno::EFBIG as i32, why)
}

/// The part of the memory to read into, so that no long hole is read.
fn before_hole<'a>(file: &File, sparse: bool, buf: &'a mut [u8]) -> &'a mut [u8] {
    let end = || {
        let at = seek(file, SeekFrom::Current(0))?;
        let hole = seek(file, SeekFrom::Hole(at))?;
        seek(file, SeekFrom::Start(at))?;
        Ok::<_, rustix::io::Errno>(hole - at)
    };
    let length = match sparse {
        // What is shorter is worth nothing, and at the end of the file there still has to be room.
        true => end().map_or(u64::MAX, |it| it.max(SHOWN_MIN as u64)),
        false => u64::MAX,
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let length = length.min(buf.len());
    &mut buf[..length]
}

fn is_transient(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let Err(err) = Source::open(&missing) else { panic!("opened") };
        assert_eq!(err.to_string(), format!("{}: No such file or directory", missing.display()));
        let Err(err) = Source::open(dir.path()) else { panic!("opened") };
        assert_eq!(err.errno(), libc::EISDIR);
        std::fs::write(&missing, "abc").unwrap();
        let mut source = Source::open(&missing).unwrap();
        assert_eq!(source.size_hint(), 3);
        let mut buf = [0; 8];
        assert_eq!(source.read(&mut buf), Ok(Some(3)));
        assert_eq!(source.read(&mut buf), Ok(Some(0)));
        assert_eq!(Source::open(Path::new("/dev/null")).unwrap().size_hint(), 0);
    }

    #[test]
    fn sinks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut sink = Sink::Path(&path);
        assert!(!path.exists());
        sink.open().unwrap();
        assert_eq!(sink.write(b"abc"), Ok(3));
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        let missing = dir.path().join("no/such");
        assert_eq!(Sink::Path(&missing).open().unwrap_err().errno(), libc::ENOENT);
        let mut full = Sink::Path(Path::new("/dev/full"));
        full.open().unwrap();
        let err = full.write(b"x").unwrap_err();
        assert_eq!(err.to_string(), "/dev/full: No space left on device");
    }

    #[test]
    fn memory_has_a_limit() {
        let mut content = Vec::new();
        let mut sink = Sink::Memory { content: &mut content, max: 4 };
        assert_eq!(sink.write(b"abcd"), Ok(4));
        assert_eq!(sink.write(b"e").unwrap_err().errno(), libc::EFBIG);
        assert_eq!(content, b"abcd");
    }
}
