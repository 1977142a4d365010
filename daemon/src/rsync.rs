// SPDX-License-Identifier: LGPL-2.1-or-later
//! Synchronizing, by rsync.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use bstr::{BStr, ByteSlice};
use rustix::fs::{FileType, OFlags, fstat};

use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::generated::{RsyncInOptions, RsyncOptions, RsyncOutOptions};
use crate::path::GuestPath;
use crate::tool::{Tool, proc_path};
use crate::view::View;

pub(crate) fn rsync(
    cx: &mut Ctx,
    src: &GuestPath,
    dest: &GuestPath,
    options: RsyncOptions,
) -> Result<()> {
    let tool = tool(options.archive, options.deletedest);
    let tool = source(cx, tool, src)?;
    let (target, _held) = target(cx, dest)?;
    tool.arg(target).run()
}

pub(crate) fn rsync_in(
    cx: &mut Ctx,
    remote: &BStr,
    dest: &GuestPath,
    options: RsyncInOptions,
) -> Result<()> {
    check_remote(remote)?;
    let tool = tool(options.archive, options.deletedest).arg_bytes(remote);
    let (target, _held) = target(cx, dest)?;
    tool.arg(target).run()
}

pub(crate) fn rsync_out(
    cx: &mut Ctx,
    src: &GuestPath,
    remote: &BStr,
    options: RsyncOutOptions,
) -> Result<()> {
    check_remote(remote)?;
    let tool = tool(options.archive, options.deletedest);
    source(cx, tool, src)?.arg_bytes(remote).run()
}

/// The program with its options: what follows are names, whatever they look like.
fn tool(archive: Option<bool>, delete: Option<bool>) -> Tool {
    let mut tool = Tool::new("rsync");
    if archive == Some(true) {
        tool = tool.arg("--archive");
    }
    if delete == Some(true) {
        tool = tool.arg("--delete");
    }
    tool.arg("--")
}

/// Names what is to be read from the directory that it is in, as rsync looks at names: without a
/// slash at its end a directory is copied itself.
fn source(cx: &Ctx, tool: Tool, src: &GuestPath) -> Result<Tool> {
    // A link that is named is not followed, unless by a slash.
    cx.lstat(src)?;
    let (parent, name) = src.split();
    if src.as_bstr().ends_with(b"/") || matches!(name.as_bytes(), b"" | b"." | b"..") {
        cx.open(src, OFlags::PATH | OFlags::DIRECTORY)?;
        return Ok(tool.view(View::directory(cx, src)).arg("./"));
    }
    let name = OsString::from_vec([b"./", name.as_bytes()].concat());
    Ok(tool.view(View::directory(cx, &parent)).arg(name))
}

/// The path by which rsync gets at what is to be written, and what keeps it open.  As it is opened
/// here, no link of the guest leads anywhere else.
fn target(cx: &Ctx, dest: &GuestPath) -> Result<(OsString, OwnedFd)> {
    match cx.open(dest, OFlags::PATH) {
        Ok(there) => {
            let kind = FileType::from_raw_mode(fstat(&there).about(dest)?.st_mode);
            if kind == FileType::Directory {
                let mut path = proc_path(&there).into_os_string();
                path.push("/");
                return Ok((path, there));
            }
        }
        Err(err) if err.errno() == Some(Errno::NOENT) => {}
        Err(err) => return Err(err),
    }
    // A name that rsync makes, or replaces.
    let (parent, name) = cx.parent(dest)?;
    Ok((proc_path(&parent).join(name.to_os_str_lossy()).into_os_string(), parent))
}

/// Whatever is not on another machine would be in the appliance.
fn check_remote(remote: &BStr) -> Result<()> {
    let host = remote.split_str("::").next().filter(|host| host.len() < remote.len());
    let is_remote = remote.starts_with(b"rsync://")
        || host.is_some_and(|it| !it.is_empty() && !it.contains(&b'/'));
    match is_remote {
        true => Ok(()),
        false => {
            let why =
                format!("{remote:?} is neither HOST::MODULE/PATH nor rsync://HOST/MODULE/PATH");
            Err(Error::invalid("remote", why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes() {
        #[track_caller]
        fn check(remote: &str, expected: bool) {
            assert_eq!(check_remote(remote.into()).is_ok(), expected);
        }
        check("host::module/path", true);
        check("user@host::module", true);
        check("rsync://host/module", true);
        check("[fe80::1]::module", true);
        check("host:path", false);
        check("/etc", false);
        check("etc", false);
        check("./a::b", false);
        check("::module", false);
        check("", false);
    }

    #[test]
    fn command_lines() {
        assert_eq!(tool(None, Some(false)).to_string(), "rsync --");
        assert_eq!(tool(Some(true), Some(true)).to_string(), "rsync --archive --delete --");
    }
}
