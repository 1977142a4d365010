// SPDX-License-Identifier: LGPL-2.1-or-later
//! Extended attributes of files, and what is kept in them: ACLs and capabilities.
//!
//! A file is opened as a mere path, and its attributes are reached through `/proc`: so neither a
//! fifo is waited for nor a link followed, be it the last component or on the way.

pub(crate) mod acl;
mod capability;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use bstr::{BStr, BString, ByteSlice};
use guestfs_protocol::Xattr;
use guestfs_protocol::wire::MESSAGE_MAX;
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, XattrFlags, getxattr as get_by_path, openat};
use rustix::fs::{listxattr, removexattr as remove_by_path, setxattr as set_by_path};

pub(crate) use self::acl::{acl_delete_def_file, acl_get_file, acl_set_file};
pub(crate) use self::capability::{cap_get_file, cap_set_file};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::metadata::without_directory;
use crate::path::GuestPath;

/// The label of SELinux.
pub(crate) const SELINUX: &[u8] = b"security.selinux";

/// Neither a value nor a list of names is longer.
const MAX: usize = 64 << 10;

/// What an attribute needs in a message besides name and value.
const OVERHEAD: usize = 16;

pub(crate) fn getxattr(cx: &mut Ctx, path: &GuestPath, name: &BStr) -> Result<Vec<u8>> {
    get(&cx.proc_fd(&cx.open(path, OFlags::PATH)?), name).about(of(path, name))
}

pub(crate) fn lgetxattr(cx: &mut Ctx, path: &GuestPath, name: &BStr) -> Result<Vec<u8>> {
    get(&cx.proc_fd(&cx.open_nofollow(path, OFlags::PATH)?), name).about(of(path, name))
}

pub(crate) fn getxattrs(cx: &mut Ctx, path: &GuestPath) -> Result<Vec<Xattr>> {
    all(&cx.proc_fd(&cx.open(path, OFlags::PATH)?)).about(path)
}

pub(crate) fn lgetxattrs(cx: &mut Ctx, path: &GuestPath) -> Result<Vec<Xattr>> {
    all(&cx.proc_fd(&cx.open_nofollow(path, OFlags::PATH)?)).about(path)
}

pub(crate) fn setxattr(
    cx: &mut Ctx,
    xattr: &BStr,
    val: &BStr,
    vallen: i32,
    path: &GuestPath,
) -> Result<()> {
    let value = taken(val, vallen)?;
    set(&cx.proc_fd(&cx.open(path, OFlags::PATH)?), xattr, value).about(of(path, xattr))
}

pub(crate) fn lsetxattr(
    cx: &mut Ctx,
    xattr: &BStr,
    val: &BStr,
    vallen: i32,
    path: &GuestPath,
) -> Result<()> {
    let value = taken(val, vallen)?;
    set(&cx.proc_fd(&cx.open_nofollow(path, OFlags::PATH)?), xattr, value).about(of(path, xattr))
}

pub(crate) fn removexattr(cx: &mut Ctx, xattr: &BStr, path: &GuestPath) -> Result<()> {
    remove(&cx.proc_fd(&cx.open(path, OFlags::PATH)?), xattr).about(of(path, xattr))
}

pub(crate) fn lremovexattr(cx: &mut Ctx, xattr: &BStr, path: &GuestPath) -> Result<()> {
    remove(&cx.proc_fd(&cx.open_nofollow(path, OFlags::PATH)?), xattr).about(of(path, xattr))
}

pub(crate) fn internal_lxattrlist(
    cx: &mut Ctx,
    path: &GuestPath,
    names: &[BString],
) -> Result<Vec<Xattr>> {
    let directory = cx.open(path, OFlags::PATH | OFlags::DIRECTORY)?;
    let mut list = Vec::new();
    let mut length = 0;
    for name in names {
        let attributes = match name.as_slice() {
            // Beside the guest's root there is the appliance, which is none of the guest's.
            b".." => lgetxattrs(cx, &path.join(name)).ok(),
            name => open_entry(&directory, without_directory(name)?)
                .and_then(|file| all(&cx.proc_fd(&file)))
                .ok(),
        };
        let count = attributes.as_ref().map(|it| it.len().to_string()).unwrap_or_default();
        list.push(Xattr { attrname: BString::default(), attrval: count.into_bytes() });
        for attribute in attributes.into_iter().flatten() {
            length += attribute.attrname.len() + attribute.attrval.len() + OVERHEAD;
            list.push(attribute);
        }
        // Better now than when it has all been read.
        if length > MESSAGE_MAX {
            let text = format!("{path}: more attributes than fit into one message");
            return Err(Error::TooBig(text));
        }
    }
    Ok(list)
}

/// Opens an entry of a directory, for [`Ctx::proc_fd`].
pub(crate) fn open_entry(directory: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// The names of the attributes of an open file, sorted.
pub(crate) fn names(file: &Path) -> rustix::io::Result<Vec<BString>> {
    let mut list = Vec::with_capacity(MAX);
    match listxattr(file, spare_capacity(&mut list)) {
        Ok(_) => {}
        // A filesystem that has no attributes has none of them.
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    }
    let mut names: Vec<BString> =
        list.split_str("\0").filter(|name| !name.is_empty()).map(BString::from).collect();
    names.sort_unstable();
    Ok(names)
}

/// An attribute of an open file.
pub(crate) fn get(file: &Path, name: &[u8]) -> rustix::io::Result<Vec<u8>> {
    let mut value = Vec::with_capacity(MAX);
    get_by_path(file, name, spare_capacity(&mut value))?;
    value.shrink_to_fit();
    Ok(value)
}

/// An attribute of an open file, if it has that one.
pub(crate) fn get_if_any(file: &Path, name: &[u8]) -> rustix::io::Result<Option<Vec<u8>>> {
    match get(file, name) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Makes or replaces an attribute of an open file.
pub(crate) fn set(file: &Path, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
    set_by_path(file, name, value, XattrFlags::empty())
}

/// Removes an attribute of an open file.
pub(crate) fn remove(file: &Path, name: &[u8]) -> rustix::io::Result<()> {
    remove_by_path(file, name)
}

fn all(file: &Path) -> rustix::io::Result<Vec<Xattr>> {
    let mut attributes = Vec::new();
    for attrname in names(file)? {
        let attrval = get(file, &attrname)?;
        attributes.push(Xattr { attrname, attrval });
    }
    Ok(attributes)
}

/// The part of `val` that is meant.
fn taken(val: &BStr, vallen: i32) -> Result<&[u8]> {
    let value = usize::try_from(vallen).ok().and_then(|length| val.get(..length));
    value.ok_or_else(|| {
        let why = format!("{vallen} is not from 0 to {}, the length of val", val.len());
        Error::invalid("vallen", why)
    })
}

/// What an error is about.
fn of(path: &GuestPath, name: &BStr) -> String {
    format!("{path}: attribute {name}")
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, mkfifoat, symlinkat};

    use super::*;

    fn path(text: &str) -> GuestPath {
        GuestPath::new("path", text.as_bytes()).unwrap()
    }

    /// A guest with a file, a link to it, and a fifo; or none, where there are no attributes.
    fn guest() -> Option<(tempfile::TempDir, Ctx)> {
        let root = tempfile::tempdir().unwrap();
        crate::system::write(root.path().join("file"), b"").unwrap();
        mkfifoat(CWD, root.path().join("fifo"), Mode::RUSR).unwrap();
        symlinkat("/file", CWD, root.path().join("link")).unwrap();
        match set(&root.path().join("file"), b"user.one", b"1") {
            Err(Errno::OPNOTSUPP) => None,
            result => {
                result.unwrap();
                let cx = Ctx::new(root.path());
                Some((root, cx))
            }
        }
    }

    #[track_caller]
    fn check<T: std::fmt::Debug>(result: Result<T>, expected: &str) {
        assert_eq!(result.map_or_else(|err| err.to_string(), |it| format!("{it:?}")), expected);
    }

    #[test]
    fn attributes_of_files_and_links() {
        let Some((_root, mut cx)) = guest() else { return };
        let cx = &mut cx;
        check(setxattr(cx, b"user.two".into(), b"234".into(), 2, &path("/link")), "()");
        check(getxattr(cx, &path("/link"), b"user.two".into()).map(BString::from), "\"23\"");
        check(getxattrs(cx, &path("/file")).map(|it| it.len()), "2");
        check(lgetxattrs(cx, &path("/link")).map(|it| it.len()), "0");
        check(
            lsetxattr(cx, b"user.x".into(), b"".into(), 0, &path("/link")),
            "/link: attribute user.x: Operation not permitted",
        );
        check(
            setxattr(cx, b"user.x".into(), b"".into(), 0, &path("/fifo")),
            "/fifo: attribute user.x: Operation not permitted",
        );
        check(
            lgetxattr(cx, &path("/link"), b"user.one".into()),
            "/link: attribute user.one: No data available",
        );
        check(removexattr(cx, b"user.one".into(), &path("/link")), "()");
        check(
            removexattr(cx, b"user.one".into(), &path("/file")),
            "/file: attribute user.one: No data available",
        );
        check(
            lremovexattr(cx, b"nonsense".into(), &path("/file")),
            "/file: attribute nonsense: Operation not supported",
        );
        for vallen in [-1, 4] {
            let expected = format!("vallen: {vallen} is not from 0 to 3, the length of val");
            check(setxattr(cx, b"user.x".into(), b"abc".into(), vallen, &path("/file")), &expected);
        }
    }

    #[test]
    fn attributes_of_many_files() {
        let Some((_root, mut cx)) = guest() else { return };
        let mut list = |names: &[&str]| {
            let names: Vec<BString> = names.iter().map(|&name| name.into()).collect();
            let list = internal_lxattrlist(&mut cx, &path("/"), &names)?;
            let pair = |it: Xattr| format!("{}={}", it.attrname, it.attrval.as_bstr());
            Ok(list.into_iter().map(pair).collect::<Vec<_>>().join(" "))
        };
        check(list(&["link", "file", "missing", ""]), r#""=0 =1 user.one=1 = =""#);
        check(list(&[]), r#""""#);
        check(list(&["x/y"]), r#"names: "x/y" is not a name without directory"#);
    }
}
