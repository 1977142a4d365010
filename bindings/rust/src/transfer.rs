// SPDX-License-Identifier: LGPL-2.1-or-later
//! The host's ends of a transfer: where a file sent to the daemon comes from, and where one sent
//! by it goes to.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::error::{Error, Result};

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
    },
}

impl<'a> Source<'a> {
    /// A file of the host.  Opened before the call is sent: one that is not there costs no call.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|err| Error::io(&err, path.display()))?;
        match file.metadata() {
            Ok(metadata) if metadata.is_dir() => Err(Error::system(Errno::EISDIR, path.display())),
            _ => Ok(Self::File { path: path.to_owned(), file }),
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

    /// The next bytes; 0 at the end, `None` if there is nothing yet after all.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>> {
        match self {
            Self::Bytes(bytes) => {
                let (now, later) = bytes.split_at(bytes.len().min(buf.len()));
                buf[..now.len()].copy_from_slice(now);
                *bytes = later;
                Ok(Some(now.len()))
            }
            Self::File { path, file } => match file.read(buf) {
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
    /// A file of the host that is not open yet.
    Path(&'a Path),
    /// A file, pipe or device of the host.
    File {
        /// Its name, for errors.
        path: &'a Path,
        /// Opened for writing.
        file: File,
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
        *self = Self::File { path, file };
        Ok(())
    }

    /// What to wait for before writing again.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::File { file, .. } => Some(file.as_fd()),
            Self::Memory { .. } | Self::Path(_) => None,
        }
    }

    /// Takes as many bytes as it can at once, which may be none.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<usize> {
        match self {
            Self::Memory { content, max } => {
                if data.len() > *max - content.len() {
                    let why = format!("larger than {max} bytes, which is the most that fits");
                    return Err(Error::new(Errno::EFBIG as i32, why));
                }
                content.extend_from_slice(data);
                Ok(data.len())
            }
            Self::File { path, file } => match file.write(data) {
                Ok(0) => Err(Error::system(Errno::ENOSPC, path.display())),
                Ok(n) => Ok(n),
                Err(err) if is_transient(&err) => Ok(0),
                Err(err) => Err(Error::io(&err, path.display())),
            },
            Self::Path(path) => Err(Error::system(Errno::EBADF, path.display())),
        }
    }
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
