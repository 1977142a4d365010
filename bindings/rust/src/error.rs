// SPDX-License-Identifier: LGPL-2.1-or-later
//! The one error of the library: which function failed, with which errno, and why.

use std::fmt;
use std::io;

use guestfs_protocol::wire;
use nix::errno::Errno;

/// Result of every function that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a function failed.  Printed as `function: object: reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    function: Option<&'static str>,
    errno: i32,
    message: String,
}

impl Error {
    /// An error with an errno, or 0 where none fits.  The message names the object and the reason,
    /// never the function: that is added when the function returns.
    pub fn new(errno: i32, message: impl Into<String>) -> Self {
        Self { function: None, errno, message: message.into() }
    }

    /// `object: reason`, where the reason is the system's text for `errno`.
    pub fn system(errno: Errno, object: impl fmt::Display) -> Self {
        // The C library's text: it is what people know and search for.
        let text = io::Error::from(errno).to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        Self::new(errno as i32, format!("{object}: {text}"))
    }

    /// `object: reason` for a failed I/O operation of the host.
    pub fn io(error: &io::Error, object: impl fmt::Display) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::system(Errno::from_raw(errno), object),
            None => {
                // What the standard library refuses to pass to the system: a name with a NUL.
                let invalid = error.kind() == io::ErrorKind::InvalidInput;
                let errno = if invalid { Errno::EINVAL } else { Errno::EIO };
                Self::new(errno as i32, format!("{object}: {error}"))
            }
        }
    }

    /// An argument that cannot be what the caller meant: `argument: why`.
    pub fn invalid(argument: &str, why: impl fmt::Display) -> Self {
        Self::new(Errno::EINVAL as i32, format!("{argument}: {why}"))
    }

    /// What a function says that is described but has no body.
    pub(crate) fn not_implemented() -> Self {
        let message = "this version of guestfs does not implement the function";
        Self::new(Errno::ENOTSUP as i32, message)
    }

    /// The function that failed, if the error left one.
    pub fn function(&self) -> Option<&'static str> {
        self.function
    }

    /// The errno, or 0 if there is none.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// What went wrong, without the function's name.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error with another name for its object, if it begins with that.
    pub(crate) fn renamed(self, from: &str, to: &str) -> Self {
        match self.message.strip_prefix(from) {
            Some(rest) => Self { message: format!("{to}{rest}"), ..self },
            None => self,
        }
    }

    /// The error as seen by the caller of `function`.
    pub(crate) fn of(mut self, function: &'static str) -> Self {
        self.function.get_or_insert(function);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function {
            Some(function) => write!(f, "{function}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

impl From<wire::Error> for Error {
    fn from(error: wire::Error) -> Self {
        let errno = match &error {
            wire::Error::Io(io) => io.raw_os_error().unwrap_or(Errno::EIO as i32),
            wire::Error::TooLong(_) => Errno::EMSGSIZE as i32,
            wire::Error::Malformed(_) => Errno::EPROTO as i32,
        };
        Self::new(errno, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let error = Error::system(Errno::ENOENT, "/x");
        assert_eq!(error.to_string(), "/x: No such file or directory");
        assert_eq!(error.errno(), 2);
        let error = error.of("upload");
        assert_eq!(error.to_string(), "upload: /x: No such file or directory");
        assert_eq!(error.of("cat").function(), Some("upload"));
        assert_eq!(Error::system(Errno::EIO, "/x").to_string(), "/x: Input/output error");
        let error = Error::io(&io::Error::other("odd"), "/x");
        assert_eq!((error.to_string().as_str(), error.errno()), ("/x: odd", 5));
        assert_eq!(Error::from(wire::Error::TooLong(1)).errno(), 90);
    }
}
