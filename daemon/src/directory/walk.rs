// SPDX-License-Identifier: LGPL-2.1-or-later
//! Goes through a tree of directories, however deep, with a bounded number of open files.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, StatxFlags};

use crate::cancel;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;

/// Only this many directories are kept open: the ones above are found again through `..`.
const OPEN_MAX: usize = 64;

/// Room for the entries that one system call returns.
const BUFFER: usize = 32 * 1024;

/// An entry of a directory.
pub(crate) struct Entry<'a> {
    /// The directory that holds it.
    pub(crate) directory: BorrowedFd<'a>,
    /// Path of the directory from where the walk began: empty, or ending in a slash.
    pub(crate) prefix: &'a BStr,
    pub(crate) name: &'a CStr,
    pub(crate) ino: u64,
    /// Unknown only if the file is gone or its filesystem has no type for it.
    pub(crate) kind: FileType,
}

impl Entry<'_> {
    /// Whether it is the directory itself or its parent.
    pub(crate) fn is_dot(&self) -> bool {
        matches!(self.name.to_bytes(), b"." | b"..")
    }

    /// Path of the entry below the directory where the walk began.
    pub(crate) fn path(&self) -> BString {
        let mut path = BString::from(self.prefix);
        path.extend_from_slice(self.name.to_bytes());
        path
    }
}

/// Shows each entry of a directory to `visit`, in the order of the filesystem, `.` and `..` too.
pub(crate) fn entries(
    directory: BorrowedFd<'_>,
    at: &GuestPath,
    visit: impl FnMut(&Entry<'_>) -> Result<()>,
) -> Result<()> {
    Reader::new().read(directory, at, b"".as_bstr(), visit)
}

/// Shows all that is beneath `start` to `visit`: the entries of a directory before those of the
/// directories in it.  Links are not followed; what is mounted beneath is entered.
pub(crate) fn walk(
    start: OwnedFd,
    at: &GuestPath,
    visit: impl FnMut(&Entry<'_>) -> Result<()>,
) -> Result<()> {
    walk_as(start, at, &mut Everything(visit))
}

/// Who decides where a walk goes.
pub(crate) trait Visitor {
    /// Of the directories that are entered, before what is in them.  The prefix is that of its
    /// entries.
    fn enter(&mut self, directory: BorrowedFd<'_>, prefix: &BStr) -> Result<()>;

    /// Of the entries.  A directory is entered if the answer is true.
    fn visit(&mut self, entry: &Entry<'_>) -> Result<bool>;
}

struct Everything<F>(F);

impl<F: FnMut(&Entry<'_>) -> Result<()>> Visitor for Everything<F> {
    fn enter(&mut self, _: BorrowedFd<'_>, _: &BStr) -> Result<()> {
        Ok(())
    }

    fn visit(&mut self, entry: &Entry<'_>) -> Result<bool> {
        self.0(entry).map(|()| true)
    }
}

/// The same with a visitor that decides where it goes.
pub(crate) fn walk_as(start: OwnedFd, at: &GuestPath, visitor: &mut impl Visitor) -> Result<()> {
    let mut reader = Reader::new();
    let mut prefix = BString::default();
    let mut levels: Vec<Level> = Vec::new();
    let mut ids = HashSet::new();
    let mut next = Some(start);
    loop {
        if let Some(directory) = next.take() {
            let id = Id::of(directory.as_fd()).about(at.join(&prefix))?;
            if !ids.insert(id) {
                let why = "the directory contains itself: the filesystem is damaged";
                return Err(Error::refused(Errno::LOOP, at.join(&prefix), why));
            }
            visitor.enter(directory.as_fd(), prefix.as_bstr())?;
            let mut children = Vec::new();
            reader.read(directory.as_fd(), at, prefix.as_bstr(), |entry| {
                if entry.is_dot() {
                    return Ok(());
                }
                if visitor.visit(entry)? && entry.kind == FileType::Directory {
                    children.push(entry.name.to_owned());
                }
                Ok(())
            })?;
            levels.push(Level { directory: Some(directory), id, children, prefix: prefix.len() });
            if let Some(above) = levels.len().checked_sub(OPEN_MAX + 1) {
                levels[above].directory = None;
            }
        }
        let Some(level) = levels.last_mut() else { return Ok(()) };
        prefix.truncate(level.prefix);
        match (level.children.pop(), &level.directory) {
            (Some(name), Some(directory)) => {
                prefix.extend_from_slice(name.to_bytes());
                next = Some(enter(directory.as_fd(), &name).about(at.join(&prefix))?);
                prefix.push(b'/');
            }
            _ => {
                ids.remove(&level.id);
                leave(&mut levels).about(at.join(&prefix))?;
            }
        }
    }
}

/// A directory on the way from the start to where the walk is.
struct Level {
    directory: Option<OwnedFd>,
    id: Id,
    /// Directories in it that have not been entered.
    children: Vec<CString>,
    /// Length of its prefix.
    prefix: usize,
}

/// Goes back to the parent, opening it again if it had to be closed.
fn leave(levels: &mut Vec<Level>) -> rustix::io::Result<()> {
    let left = levels.pop();
    if let (Some(left), Some(parent)) = (left.and_then(|it| it.directory), levels.last_mut())
        && parent.directory.is_none()
    {
        let directory = enter(left.as_fd(), c"..")?;
        // Somebody moved the directory meanwhile: its new parent is none of this walk's business.
        if Id::of(directory.as_fd())? != parent.id {
            return Err(Errno::STALE);
        }
        parent.directory = Some(directory);
    }
    Ok(())
}

/// Opens a directory in another one.
pub(crate) fn enter(directory: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(directory, name, flags, Mode::empty())
}

/// Tells directories apart.  A filesystem may be mounted at two places of the guest, which does
/// not make its root contain itself: hence the mount.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Id {
    mount: u64,
    device: (u32, u32),
    ino: u64,
}

impl Id {
    fn of(file: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let stat = fs::statx(file, c"", AtFlags::EMPTY_PATH, wanted)?;
        let device = (stat.stx_dev_major, stat.stx_dev_minor);
        Ok(Self { mount: stat.stx_mnt_id, device, ino: stat.stx_ino })
    }
}

/// The buffer that entries are read into.
struct Reader(Vec<MaybeUninit<u8>>);

impl Reader {
    fn new() -> Self {
        Self(vec![MaybeUninit::uninit(); BUFFER])
    }

    fn read(
        &mut self,
        directory: BorrowedFd<'_>,
        at: &GuestPath,
        prefix: &BStr,
        mut visit: impl FnMut(&Entry<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut entries = RawDir::new(directory, &mut self.0);
        while let Some(entry) = entries.next() {
            cancel::check()?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(err) => return Err(err).about(at.join(prefix)),
            };
            let name = entry.file_name();
            let kind = match entry.file_type() {
                FileType::Unknown => look(directory, name),
                known => known,
            };
            visit(&Entry { directory, prefix, name, ino: entry.ino(), kind })?;
        }
        Ok(())
    }
}

/// The type of a file whose directory does not tell it.
fn look(directory: BorrowedFd<'_>, name: &CStr) -> FileType {
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
        Err(_) => FileType::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        fs::openat(fs::CWD, path, flags, Mode::empty()).unwrap()
    }

    fn found(start: OwnedFd) -> Vec<String> {
        let at = GuestPath::new("path", b"/").unwrap();
        let mut found = Vec::new();
        walk(start, &at, |entry| {
            found.push(format!("{:?} {}", entry.kind, entry.path()));
            Ok(())
        })
        .unwrap();
        found.sort();
        found
    }

    #[test]
    fn links_are_seen_and_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let top = open(root.path());
        fs::mkdirat(&top, "a", Mode::RWXU).unwrap();
        fs::mkdirat(&top, "a/b", Mode::RWXU).unwrap();
        fs::symlinkat("..", &top, "a/b/up").unwrap();
        fs::symlinkat("missing", &top, "gone").unwrap();
        let expected = ["Directory a", "Directory a/b", "Symlink a/b/up", "Symlink gone"];
        assert_eq!(found(top), expected);
    }

    #[test]
    fn a_tree_may_be_deeper_than_files_may_be_open() {
        const DEPTH: usize = 2000;
        let root = tempfile::tempdir().unwrap();
        let mut directory = open(root.path());
        for _ in 0..DEPTH {
            // A sibling on each level: the walk has to come back to directories it has closed.
            fs::mkdirat(&directory, "sibling", Mode::RWXU).unwrap();
            fs::mkdirat(&directory, "deeper", Mode::RWXU).unwrap();
            directory = enter(directory.as_fd(), c"deeper").unwrap();
        }
        assert_eq!(found(open(root.path())).len(), 2 * DEPTH);
    }
}
