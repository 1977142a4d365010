// SPDX-License-Identifier: LGPL-2.1-or-later
//! Names of files in the guest: absolute, of bytes, and only openable through [`Ctx`](crate::ctx::Ctx).

use std::fmt;

use bstr::{BStr, BString, ByteSlice};

use crate::error::{Errno, Error, Result};

/// The longest path the kernel takes, with its NUL.
const PATH_MAX: usize = 4096;

/// An absolute path of the guest.  What it names is decided beneath the guest's root directory,
/// whatever links and `..` are in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GuestPath(BString);

impl GuestPath {
    /// Checks the argument called `arg`.
    pub(crate) fn new(arg: &'static str, path: &[u8]) -> Result<Self> {
        if !path.starts_with(b"/") {
            let why = format!("{:?} is not an absolute path", path.as_bstr());
            return Err(Error::invalid(arg, why));
        }
        if path.contains(&0) {
            return Err(Error::invalid(arg, "NUL byte in a path"));
        }
        if path.len() >= PATH_MAX {
            return Err(Error::sys(arg, Errno::NAMETOOLONG));
        }
        Ok(Self(path.into()))
    }

    /// The path as the caller wrote it.
    pub(crate) fn as_bstr(&self) -> &BStr {
        self.0.as_bstr()
    }

    /// The path as the kernel resolves it from the directory that is the guest's root.
    pub(crate) fn relative(&self) -> &[u8] {
        match self.0.trim_start_with(|c| c == '/') {
            [] => b".",
            rest => rest,
        }
    }

    /// Whether it is the root directory by its letters alone.
    pub(crate) fn is_root(&self) -> bool {
        self.0.iter().all(|&byte| byte == b'/')
    }

    /// Path of a directory's entry.
    pub(crate) fn join(&self, name: &[u8]) -> Self {
        let mut path = self.clone();
        path.push(name);
        path
    }

    /// Goes on to an entry of the directory.
    pub(crate) fn push(&mut self, name: &[u8]) {
        if !self.0.ends_with(b"/") {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Goes back to where it had this length.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Directory and name of the last component; trailing slashes do not count.
    pub(crate) fn split(&self) -> (Self, &BStr) {
        let (directory, name) = self.parts();
        let directory = if directory.len() <= 1 { b"/" } else { &directory[..directory.len() - 1] };
        (Self(directory.into()), name)
    }

    /// Name of the last component.
    pub(crate) fn name(&self) -> &BStr {
        self.parts().1
    }

    fn parts(&self) -> (&[u8], &BStr) {
        let path = self.0.trim_end_with(|c| c == '/');
        let (directory, name) = path.split_at(path.rfind_byte(b'/').map_or(0, |at| at + 1));
        (directory, name.as_bstr())
    }
}

/// An entry of a directory as errors name it.  Its path is put together when there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) directory: &'a GuestPath,
    /// None stands for the directory itself.
    pub(crate) name: Option<&'a BStr>,
}

impl Place<'_> {
    pub(crate) fn path(&self) -> GuestPath {
        match self.name {
            Some(name) => self.directory.join(name),
            None => self.directory.clone(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &[u8], expected: &str) {
        let got = match GuestPath::new("path", path) {
            Ok(path) => {
                let (directory, name) = path.split();
                format!("{} | {directory} | {name}", path.relative().as_bstr())
            }
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn paths() {
        check(b"/", ". | / | ");
        check(b"///", ". | / | ");
        check(b"/etc", "etc | / | etc");
        check(b"//etc//passwd//", "etc//passwd// | //etc/ | passwd");
        check(b"/a/..", "a/.. | /a | ..");
        check(b"etc", r#"error: path: "etc" is not an absolute path"#);
        check(b"", r#"error: path: "" is not an absolute path"#);
        check(b"/a\0b", "error: path: NUL byte in a path");
        check(&[b'/'; 4096], "error: path: File name too long");
    }

    #[test]
    fn entries() {
        let path = |text: &str| GuestPath::new("path", text.as_bytes()).unwrap();
        assert_eq!(path("/").join(b"a").to_string(), "/a");
        assert_eq!(path("/a").join(b"b").to_string(), "/a/b");
        let directory = &path("/a");
        let place = |name| Place { directory, name }.to_string();
        assert_eq!([place(None), place(Some("b".into()))], ["/a", "/a/b"]);
    }
}
