// SPDX-License-Identifier: LGPL-2.1-or-later
//! Whole trees, by way of tar: `copy-in` and `copy-out`.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use bstr::{BString, ByteSlice};
use guestfs::{IsDirOptions, TarInOptions, TarOutOptions};

use crate::builtin::Call;
use crate::error::{Error, Result};
use crate::session::Session;

pub(super) fn copy_in(session: &mut Session, call: Call<'_>) -> Result<()> {
    let Some((target, locals)) = call.words.split_last() else { return Ok(()) };
    let follow = IsDirOptions { followsymlinks: Some(true) };
    if !session.handle.is_dir(target, &follow)? {
        return Err(Error::shell(format!("{target}: not a directory of the guest")));
    }
    for local in locals {
        let (directory, name) = split(Path::new(OsStr::from_bytes(local)))?;
        let (from, to) = io::pipe().map_err(Error::io("pipe"))?;
        let mut tar = Command::new("tar");
        // A name may start with a dash.
        tar.arg("-C").arg(directory).args(["-cf", "-", "--"]).arg(name).stdout(to);
        let mut child = spawn(&mut tar)?;
        // The command has an end of the pipe too, and there is no end of file as long as it does.
        drop(tar);
        let pipe = PathBuf::from(format!("/dev/fd/{}", from.as_raw_fd()));
        let result = session.handle.tar_in(&pipe, target, &TarInOptions::default());
        drop(from);
        // If the guest had enough, tar has been interrupted: only its own failure is news.
        let status = child.wait().map_err(Error::io("tar"))?;
        result?;
        if !status.success() {
            return Err(Error::shell(format!("{local}: tar: {status}")));
        }
    }
    Ok(())
}

pub(super) fn copy_out(session: &mut Session, call: Call<'_>) -> Result<()> {
    let Some((target, remotes)) = call.words.split_last() else { return Ok(()) };
    let target = Path::new(OsStr::from_bytes(target));
    if !target.is_dir() {
        return Err(Error::shell(format!("{}: not a directory of the host", target.display())));
    }
    let follow = IsDirOptions { followsymlinks: Some(true) };
    for remote in remotes {
        let local = local_name(target, remote)?;
        if !session.handle.is_dir(remote, &follow)? {
            session.handle.download(remote, &local)?;
            continue;
        }
        match fs::create_dir(&local) {
            Err(err) if err.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::file(&local)(err));
            }
            Ok(()) | Err(_) => extract(session, remote, &local)?,
        }
    }
    Ok(())
}

fn extract(session: &Session, remote: &BString, local: &Path) -> Result<()> {
    let (from, to) = io::pipe().map_err(Error::io("pipe"))?;
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(local).args(["-xf", "-"]).stdin(from);
    let mut child = spawn(&mut tar)?;
    drop(tar);
    let pipe = PathBuf::from(format!("/dev/fd/{}", to.as_raw_fd()));
    let result = session.handle.tar_out(remote, &pipe, &TarOutOptions::default());
    drop(to);
    let status = child.wait().map_err(Error::io("tar"))?;
    result?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::shell(format!("{}: tar: {status}", local.display()))),
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(Error::io("tar"))
}

/// The directory that a file of the host is in, and its name there.
fn split(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let resolved = match path.file_name() {
        Some(_) => path.to_owned(),
        // `..` and the like have a name too.
        None => path.canonicalize().map_err(Error::file(path))?,
    };
    let name = resolved.file_name().unwrap_or(OsStr::new(".")).into();
    let parent = resolved.parent().filter(|it| !it.as_os_str().is_empty());
    fs::symlink_metadata(&resolved).map_err(Error::file(path))?;
    Ok((parent.unwrap_or(Path::new(".")).to_owned(), name))
}

/// Where something of the guest goes; what has no name is not put into a directory of its own.
fn local_name(target: &Path, remote: &[u8]) -> Result<PathBuf> {
    let name = remote.rsplit_str("/").find(|it| !it.is_empty() && *it != b".");
    match name {
        None => Ok(target.to_owned()),
        Some(b"..") => Err(Error::shell(format!("{}: has no name", remote.as_bstr()))),
        Some(name) => Ok(target.join(OsStr::from_bytes(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(remote: &str, expected: &str) {
        let actual = local_name(Path::new("/t"), remote.as_bytes());
        assert_eq!(actual.map_or_else(|e| e.to_string(), |it| it.display().to_string()), expected);
    }

    #[test]
    fn names() {
        check("/etc/hosts", "/t/hosts");
        check("/etc/", "/t/etc");
        check("/", "/t");
        check("/etc/..", "guestfish: /etc/..: has no name");
    }

    #[test]
    fn parts_of_local_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        assert!(split(&path).is_err());
        fs::write(&path, "").unwrap();
        assert_eq!(split(&path).unwrap(), (directory.path().to_owned(), "x".into()));
        assert_eq!(split(Path::new("Cargo.toml")).unwrap(), (".".into(), "Cargo.toml".into()));
    }
}
