// SPDX-License-Identifier: LGPL-2.1-or-later
//! Where an archive is unpacked: a directory that no name in the archive leads out of.
//!
//! Each directory is opened beneath that one, by a system call which refuses links that lead out,
//! whether they were there before or came with the archive.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};

use crate::error::{Errno, Error, Result};
use crate::path::GuestPath;

/// The kernel takes no longer path; one that is deeper is opened step by step.
const STEP_MAX: usize = 4000;

/// The name of a member, relative and without anything superfluous.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    path: BString,
    /// Where the last component begins.
    last: usize,
}

impl Name {
    /// Fails if the name leads upwards.
    pub(super) fn new(name: &[u8]) -> Result<Self, &'static str> {
        let mut path = BString::from(Vec::with_capacity(name.len()));
        let mut last = 0;
        for component in name.split_str("/") {
            match component {
                b"" | b"." => continue,
                b".." => return Err("a name with .. in it"),
                _ if component.contains(&0) => return Err("a name with a NUL byte in it"),
                _ => {}
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            last = path.len();
            path.extend_from_slice(component);
        }
        Ok(Self { path, last })
    }

    /// Whether it is the directory itself.
    pub(super) fn is_top(&self) -> bool {
        self.path.is_empty()
    }

    pub(super) fn path(&self) -> &BStr {
        self.path.as_bstr()
    }

    /// The directory that it is in.
    pub(super) fn directory(&self) -> &BStr {
        self.path[..self.last.saturating_sub(1)].as_bstr()
    }

    /// The last component.
    pub(super) fn last(&self) -> &[u8] {
        &self.path[self.last..]
    }
}

/// The directory to unpack into.
pub(super) struct Place {
    top: OwnedFd,
    at: GuestPath,
    resolve: ResolveFlags,
    /// The directory that the last member was in: the next one usually is, too.
    current: Option<(BString, Rc<OwnedFd>)>,
}

impl Place {
    /// In the guest's root directory, absolute links mean what they mean to the guest.
    pub(super) fn new(top: OwnedFd, at: GuestPath, is_root: bool) -> Self {
        let resolve = if is_root { ResolveFlags::IN_ROOT } else { ResolveFlags::BENEATH };
        Self { top, at, resolve: resolve | ResolveFlags::NO_MAGICLINKS, current: None }
    }

    /// The path of a member for errors.
    pub(super) fn path(&self, name: &[u8]) -> GuestPath {
        match name {
            b"" => self.at.clone(),
            name => self.at.join(name),
        }
    }

    /// An error about a member.
    pub(super) fn error(&self, name: &BStr, errno: Errno) -> Error {
        let path = self.path(name);
        match errno {
            Errno::XDEV => Error::invalid(path, "a link on the way leads out of the directory"),
            errno => Error::sys(path, errno),
        }
    }

    /// Opens the directory of a member, made if it is missing.
    pub(super) fn enter(&mut self, directory: &BStr) -> rustix::io::Result<Rc<OwnedFd>> {
        if let Some((path, fd)) = &self.current
            && path == directory
        {
            return Ok(fd.clone());
        }
        let fd = match self.open(directory, OFlags::PATH) {
            Err(Errno::NOENT) => self.make(directory)?,
            opened => opened?,
        };
        let fd = Rc::new(fd);
        self.current = Some((directory.into(), fd.clone()));
        Ok(fd)
    }

    /// What was opened may not be what has the name now.
    pub(super) fn forget(&mut self) {
        self.current = None;
    }

    /// Opens a directory.
    pub(super) fn open(&self, path: &BStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        if path.len() <= STEP_MAX {
            return self.step(&self.top, path, self.resolve, flags);
        }
        let mut rest = path;
        let mut directory = None;
        loop {
            let end = match rest.len() > STEP_MAX {
                true => rest[..STEP_MAX].rfind_byte(b'/').ok_or(Errno::NAMETOOLONG)?,
                false => rest.len(),
            };
            // On such a way no link may lead even out of what has been reached.
            let opened = match &directory {
                None => self.step(&self.top, &rest[..end], self.resolve, flags)?,
                Some(directory) => {
                    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                    self.step(directory, &rest[..end], resolve, flags)?
                }
            };
            if end == rest.len() {
                return Ok(opened);
            }
            rest = rest[end + 1..].as_bstr();
            directory = Some(opened);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "Ctx knows the guest's root only")]
    fn step(
        &self,
        directory: &OwnedFd,
        path: &[u8],
        resolve: ResolveFlags,
        flags: OFlags,
    ) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        loop {
            // The kernel gives up if something was renamed while it walked over a `..`.
            match openat2(directory, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
    }

    /// Makes what is missing of a directory.
    fn make(&self, path: &BStr) -> rustix::io::Result<OwnedFd> {
        let mut directory = self.open(b"".as_bstr(), OFlags::PATH)?;
        let mut start = 0;
        while start <= path.len() {
            let end = path[start..].find_byte(b'/').map_or(path.len(), |at| start + at);
            let prefix = path[..end].as_bstr();
            directory = match self.open(prefix, OFlags::PATH) {
                Err(Errno::NOENT) => {
                    match mkdirat(
                        &directory,
                        path[start..end].as_bytes(),
                        Mode::from_raw_mode(0o777),
                    ) {
                        // A link to nothing.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    self.open(prefix, OFlags::PATH)?
                }
                opened => opened?,
            };
            start = end + 1;
        }
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::system;

    #[test]
    fn names() {
        #[track_caller]
        fn check(name: &str, expected: &str) {
            let got = match Name::new(name.as_bytes()) {
                Ok(name) if name.is_top() => "top".into(),
                Ok(name) => format!("{} | {}", name.directory(), name.last().as_bstr()),
                Err(why) => why.into(),
            };
            assert_eq!(got, expected);
        }
        check("a", " | a");
        check("./a/b", "a | b");
        check("//a//./b/c/", "a/b | c");
        check("...", " | ...");
        for top in ["", "/", "./", "././/."] {
            check(top, "top");
        }
        for name in ["..", "a/../b", "/..", "a/.."] {
            check(name, "a name with .. in it");
        }
        check("a\0b", "a name with a NUL byte in it");
    }

    #[test]
    fn nothing_leads_out() {
        let outer = tempfile::tempdir().unwrap();
        let top = outer.path().join("top");
        system::make_directories(top.join("sub/deep"));
        system::make_directories(outer.path().join("beside"));
        for (target, link) in [
            ("sub", "relative"),
            ("../sub", "sub/up"),
            ("../beside", "out"),
            ("../../beside", "sub/out"),
            ("/sub", "absolute"),
            ("/proc/self/root", "magic"),
            ("nothing", "dangling"),
            ("loop", "loop"),
        ] {
            symlink(target, top.join(link)).unwrap();
        }
        system::write(top.join("file"), b"").unwrap();
        let open = |is_root| {
            let fd = system::open(&top, OFlags::PATH).unwrap().into();
            Place::new(fd, GuestPath::new("path", b"/top").unwrap(), is_root)
        };
        #[track_caller]
        fn check(place: &mut Place, path: &str, expected: &str) {
            let got = place.enter(path.into()).map_err(|err| place.error(path.into(), err));
            assert_eq!(got.map_or_else(|err| err.to_string(), |_| "ok".into()), expected);
        }
        for is_root in [false, true] {
            let place = &mut open(is_root);
            check(place, "", "ok");
            check(place, "sub/deep", "ok");
            check(place, "new/and/deeper", "ok");
            check(place, "relative/deep", "ok");
            check(place, "sub/up/deep", "ok");
            check(place, "file/x", "/top/file/x: Not a directory");
            check(place, "dangling/x", "/top/dangling/x: No such file or directory");
            check(place, "loop", "/top/loop: Too many levels of symbolic links");
        }
        let refusal =
            |path: &str| format!("/top/{path}: a link on the way leads out of the directory");
        let place = &mut open(false);
        for path in ["out", "sub/out/x", "absolute", "magic"] {
            check(place, path, &refusal(path));
        }
        let place = &mut open(true);
        check(place, "absolute/deep", "ok");
        // Nothing is above the root.
        check(place, "out/x", "/top/out/x: No such file or directory");
        assert_eq!(system::names(outer.path().join("beside")).unwrap().len(), 0);
    }

    #[test]
    fn a_path_may_be_longer_than_the_kernel_takes() {
        let top = tempfile::tempdir().unwrap();
        let fd = system::open(top.path(), OFlags::PATH).unwrap().into();
        let mut place = Place::new(fd, GuestPath::new("path", b"/").unwrap(), false);
        let path = format!("{}end", "directory/".repeat(1000));
        place.enter(path.as_str().into()).unwrap();
        place.open(path.as_str().into(), OFlags::RDONLY).unwrap();
        let name = "x".repeat(5000);
        assert_eq!(place.enter(name.as_str().into()).unwrap_err(), Errno::NAMETOOLONG);
    }
}
