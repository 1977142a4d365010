// SPDX-License-Identifier: LGPL-2.1-or-later
//! Errors of the daemon: each names an object and a reason, and its kind decides the errno.

use std::fmt::{self, Display};
use std::io;
use std::process::ExitStatus;

use guestfs_protocol::wire;
pub(crate) use rustix::io::Errno;

/// Why a call failed.  The text never names the function of the API: dispatch adds that.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A system call refused.
    #[error("{what}: {}", Reason(*errno))]
    Sys {
        /// What it was about: a path or device as the caller wrote it.
        what: String,
        /// Reason of the kernel.
        errno: Errno,
    },
    /// Reading or writing failed for a reason which is not an errno.
    #[error("{what}: {why}")]
    Io {
        /// What was read or written.
        what: String,
        /// Words of the standard library.
        why: String,
    },
    /// A program failed.
    #[error("{program}: {}", complaint(*status, stderr))]
    Tool {
        /// Its name, without directory.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The caller's argument cannot be right.
    #[error("{arg}: {why}")]
    Invalid {
        /// Name of the argument, or the object it names.
        arg: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something is not what the function needs, with the errno that says so.
    #[error("{what}: {why}")]
    Refused {
        /// The object.
        what: String,
        /// The reason in words.
        why: String,
        /// The reason for programs.
        errno: Errno,
    },
    /// The program or kernel feature is not in this appliance.
    #[error("{0} is not supported by this appliance")]
    Unsupported(String),
    /// The function has a number and a description, but no body yet.
    #[error("this version of guestfs does not implement the function")]
    NotImplemented,
    /// No filesystem is mounted on `/`.
    #[error("you must call 'mount' first to mount the root filesystem")]
    NeedsRoot,
    /// The caller stopped the transfer.
    #[error("cancelled by the caller")]
    Cancelled,
    /// The result does not fit into a reply.
    #[error("{0}")]
    TooBig(String),
    /// The arguments of the call do not follow the protocol.
    #[error("{0}")]
    Protocol(String),
    /// A bug in the daemon.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Result of almost everything in the daemon.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A refusal of the kernel, or one that the kernel would have given.
    pub(crate) fn sys(what: impl Display, errno: Errno) -> Self {
        Self::Sys { what: what.to_string(), errno }
    }

    /// An argument, or the object that it names, and what is wrong with it.
    pub(crate) fn invalid(arg: impl Display, why: impl Display) -> Self {
        Self::Invalid { arg: arg.to_string(), why: why.to_string() }
    }

    /// A refusal in the daemon's own words.
    pub(crate) fn refused(errno: Errno, what: impl Display, why: impl Display) -> Self {
        Self::Refused { what: what.to_string(), why: why.to_string(), errno }
    }

    /// Something this appliance cannot do.
    pub(crate) fn unsupported(what: impl Display) -> Self {
        Self::Unsupported(what.to_string())
    }

    /// What the caller's program can tell the reason by; a failed program has none.
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Sys { errno, .. } | Self::Refused { errno, .. } => Some(*errno),
            Self::Invalid { .. } | Self::NeedsRoot => Some(Errno::INVAL),
            Self::Unsupported(_) | Self::NotImplemented => Some(Errno::NOTSUP),
            Self::Cancelled => Some(Errno::INTR),
            Self::TooBig(_) => Some(Errno::FBIG),
            Self::Protocol(_) => Some(Errno::PROTO),
            Self::Io { .. } | Self::Tool { .. } | Self::Internal(_) => None,
        }
    }

    /// The same, as what a reader or writer may return; [`About::about`] takes it out again.
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl From<wire::Error> for Error {
    fn from(err: wire::Error) -> Self {
        match err {
            wire::Error::TooLong(_) => Self::TooBig(err.to_string()),
            wire::Error::Io(err) => from_io("channel to the library", err),
            wire::Error::Malformed(_) => Self::Protocol(err.to_string()),
        }
    }
}

/// Gives a bare error of the system the object that it is about.
pub(crate) trait About<T> {
    /// `what` is the path, device or argument as the caller wrote it.
    fn about(self, what: impl Display) -> Result<T>;
}

impl<T, E: Into<io::Error>> About<T> for Result<T, E> {
    fn about(self, what: impl Display) -> Result<T> {
        self.map_err(|err| from_io(what, err.into()))
    }
}

fn from_io(what: impl Display, err: io::Error) -> Error {
    if let Some(errno) = err.raw_os_error() {
        return Error::sys(what, Errno::from_raw_os_error(errno));
    }
    match err.downcast::<Error>() {
        Ok(inner) => inner,
        Err(err) => Error::Io { what: what.to_string(), why: err.to_string() },
    }
}

/// An errno in the words of the C library, without the number that the standard library appends.
struct Reason(Errno);

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = io::Error::from(self.0).to_string();
        f.write_str(text.split(" (os error").next().unwrap_or(&text))
    }
}

/// What a program said, in one line if it said little, or else how it ended.
fn complaint(status: ExitStatus, stderr: &str) -> String {
    let text = stderr.trim();
    if text.is_empty() { status.to_string() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[track_caller]
    fn check(err: Error, errno: Option<Errno>, text: &str) {
        assert_eq!((err.errno(), err.to_string().as_str()), (errno, text));
    }

    #[test]
    fn errors_name_object_and_reason() {
        check(
            Error::sys("/known/abc", Errno::NOTDIR),
            Some(Errno::NOTDIR),
            "/known/abc: Not a directory",
        );
        check(
            Error::invalid("blocksize", "1000 is not a power of two"),
            Some(Errno::INVAL),
            "blocksize: 1000 is not a power of two",
        );
        check(
            Error::unsupported("zfs"),
            Some(Errno::NOTSUP),
            "zfs is not supported by this appliance",
        );
        let program = String::from("mke2fs");
        let status = ExitStatus::from_raw(0x100);
        let stderr = String::from("bad option\n");
        check(Error::Tool { program, status, stderr }, None, "mke2fs: bad option");
        let (program, stderr) = (String::from("sh"), String::new());
        let status = ExitStatus::from_raw(9);
        check(Error::Tool { program, status, stderr }, None, "sh: signal: 9 (SIGKILL)");
    }

    #[test]
    fn an_error_survives_a_reader() {
        let err = Err::<(), _>(Error::Cancelled.into_io()).about("/x").unwrap_err();
        check(err, Some(Errno::INTR), "cancelled by the caller");
        let eof = io::Error::from(io::ErrorKind::UnexpectedEof);
        check(Err::<(), _>(eof).about("/x").unwrap_err(), None, "/x: unexpected end of file");
    }
}
