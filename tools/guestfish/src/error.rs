// SPDX-License-Identifier: LGPL-2.1-or-later
//! Why a command failed, and how the user is told.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library says so.
    #[error("libguestfs: error: {0}")]
    Library(#[from] guestfs::Error),
    /// The shell says so.
    #[error("guestfish: {0}")]
    Shell(String),
    /// Nobody reads any more what is printed.
    #[error("guestfish: standard output: {0}")]
    Output(io::Error),
}

impl Error {
    /// An error of the shell itself: `object: reason`.
    pub(crate) fn shell(message: impl Into<String>) -> Self {
        Self::Shell(message.into())
    }

    /// `object: reason` for a failed operation of the host.
    pub(crate) fn io(object: impl Display) -> impl FnOnce(io::Error) -> Self {
        move |err| Self::Shell(format!("{object}: {}", reason(&err)))
    }

    /// `path: reason`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(path.display())
    }

    /// Prints it, unless it is that nobody reads: `guestfish ... | head` is no mistake.
    pub(crate) fn report(&self) {
        match self {
            Self::Output(err) if err.kind() == ErrorKind::BrokenPipe => {}
            Self::Library(_) | Self::Shell(_) | Self::Output(_) => eprintln!("{self}"),
        }
    }
}

/// The system's text without its number.
fn reason(err: &io::Error) -> String {
    let text = err.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let err = Error::file(Path::new("/x"))(io::Error::from_raw_os_error(2));
        assert_eq!(err.to_string(), "guestfish: /x: No such file or directory");
        let err = Error::from(guestfs::Error::new(2, "/x: gone"));
        assert_eq!(err.to_string(), "libguestfs: error: /x: gone");
    }
}
