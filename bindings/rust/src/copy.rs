// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files and trees of the host, copied in and out by way of tar at both ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bstr::{BString, ByteSlice};
use guestfs_protocol::wire::Nothing;
use guestfs_protocol::{DownloadArgs, IsDirArgs, IsDirRet, Procedure, TarInArgs, TarOutArgs};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::call::{bit, text};
use crate::error::{Error, Result};
use crate::file::as_file;
use crate::handle::Handle;

pub(crate) fn copy_in(g: &Handle, localpath: &[u8], remotedir: &[u8]) -> Result<()> {
    let (directory, name) = split(Path::new(OsStr::from_bytes(localpath)))?;
    let (from, to) = io::pipe().map_err(|err| Error::io(&err, "pipe"))?;
    let mut tar = Command::new("tar");
    // A name may start with a dash.
    tar.arg("-C").arg(directory).args(["-cf", "-", "--"]).arg(name);
    tar.stdin(Stdio::null()).stdout(to);
    let tar = Tar::start(tar)?;
    let args = TarInArgs {
        directory: text("remotedir", remotedir)?,
        compress: BString::default(),
        xattrs: false,
        selinux: false,
        acls: false,
        keepdirlink: false,
    };
    let result = g.call_files(Procedure::TarIn, 0, &args, Some(&path_of(&from)), None);
    // If the guest has had enough, this interrupts tar: only its own failure is news.
    drop(from);
    let packed = tar.finish(localpath);
    let Nothing = result?;
    packed
}

pub(crate) fn copy_out(g: &Handle, remotepath: &[u8], localdir: &[u8]) -> Result<()> {
    let directory = Path::new(OsStr::from_bytes(localdir));
    let about = |err: io::Error| Error::io(&err, directory.display());
    if !fs::metadata(directory).map_err(about)?.is_dir() {
        return Err(Error::system(Errno::ENOTDIR, directory.display()));
    }
    let local = local_name(directory, remotepath)?;
    let path = text("remotepath", remotepath)?;
    let args = IsDirArgs { path, followsymlinks: true };
    let kind: IsDirRet = g.call(Procedure::IsDir, bit(0, true), &args)?;
    if !kind.dirflag {
        return as_file(remotepath, |remotefilename| {
            let args = DownloadArgs { remotefilename };
            let Nothing = g.call_files(Procedure::Download, 0, &args, None, Some(&local))?;
            Ok(())
        });
    }
    match fs::create_dir(&local) {
        Err(err) if err.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::io(&err, local.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let (from, to) = io::pipe().map_err(|err| Error::io(&err, "pipe"))?;
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&local).args(["-xf", "-"]).stdin(from).stdout(Stdio::null());
    let tar = Tar::start(tar)?;
    let args = TarOutArgs {
        directory: args.path,
        compress: BString::default(),
        numericowner: false,
        excludes: Vec::new(),
        xattrs: false,
        selinux: false,
        acls: false,
    };
    let _guard = NoSigpipe::new()?;
    let result = g.call_files(Procedure::TarOut, 0, &args, None, Some(&path_of(&to)));
    drop(to);
    let unpacked = tar.finish(local.as_os_str().as_bytes());
    let Nothing = result?;
    unpacked
}

/// The name by which this process gets at one of its pipes.
fn path_of(pipe: &impl AsRawFd) -> PathBuf {
    format!("/dev/fd/{}", pipe.as_raw_fd()).into()
}

/// The program at this end.
struct Tar {
    child: Child,
    complaints: File,
}

impl Tar {
    /// The command is gone afterwards, and with it the end of the pipe that it has: there is no
    /// end of file as long as that is open.
    fn start(mut command: Command) -> Result<Self> {
        let started = tempfile::tempfile().and_then(|complaints| {
            let child = command.stderr(complaints.try_clone()?).spawn()?;
            Ok(Self { child, complaints })
        });
        started.map_err(|err| Error::io(&err, "tar"))
    }

    /// Waits for it, and says what it says if it has failed.
    fn finish(mut self, what: &[u8]) -> Result<()> {
        let status = self.child.wait().map_err(|err| Error::io(&err, "tar"))?;
        if status.success() {
            return Ok(());
        }
        let mut said = Vec::new();
        let read = self.complaints.rewind();
        let _ = read.and_then(|()| self.complaints.take(64 << 10).read_to_end(&mut said));
        let said = said.trim_ascii().to_str_lossy();
        let said = if said.is_empty() { format!("tar: {status}") } else { said.into_owned() };
        Err(Error::new(0, format!("{}: {said}", what.as_bstr())))
    }
}

/// While this lives, writing to a tar that has ended is an error and not the end of the program.
/// Only this thread is changed, as the disposition of the signal belongs to the program.
struct NoSigpipe(Option<(SigSet, SignalFd)>);

impl NoSigpipe {
    fn new() -> Result<Self> {
        let about = |err| Error::system(err, "SIGPIPE");
        if SigSet::thread_get_mask().map_err(about)?.contains(Signal::SIGPIPE) {
            return Ok(Self(None));
        }
        let signal = SigSet::from(Signal::SIGPIPE);
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let pending = SignalFd::with_flags(&signal, flags).map_err(about)?;
        signal.thread_block().map_err(about)?;
        Ok(Self(Some((signal, pending))))
    }
}

impl Drop for NoSigpipe {
    fn drop(&mut self) {
        if let Some((signal, pending)) = &self.0 {
            // What has come must be gone before it is let through.
            while let Ok(Some(_)) = pending.read_signal() {}
            // It could be blocked, so it can be unblocked.
            let _ = signal.thread_unblock();
        }
    }
}

/// The directory that a file of the host is in, and its name there.
fn split(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let about = |err: io::Error| Error::io(&err, path.display());
    let resolved = match path.file_name() {
        Some(_) => path.to_owned(),
        // `..` and the like have a name too.
        None => path.canonicalize().map_err(about)?,
    };
    let name = resolved.file_name().unwrap_or(OsStr::new(".")).into();
    let parent = resolved.parent().filter(|it| !it.as_os_str().is_empty());
    fs::symlink_metadata(&resolved).map_err(about)?;
    Ok((parent.unwrap_or(Path::new(".")).to_owned(), name))
}

/// Where something of the guest goes; what has no name is not put into a directory of its own.
fn local_name(directory: &Path, remote: &[u8]) -> Result<PathBuf> {
    let name = remote.rsplit_str("/").find(|it| !it.is_empty() && *it != b".");
    match name {
        None => Ok(directory.to_owned()),
        Some(b"..") => Err(Error::invalid("remotepath", "has no name")),
        Some(name) => Ok(directory.join(OsStr::from_bytes(name))),
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
        check("/etc/..", "remotepath: has no name");
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

    #[test]
    fn what_tar_says() {
        let mut tar = Command::new("tar");
        tar.args(["-cf", "-", "/no/such/file"]).stdout(Stdio::null());
        let err = Tar::start(tar).unwrap().finish(b"/x").unwrap_err();
        assert!(err.to_string().starts_with("/x: tar: "), "{err}");
    }
}
