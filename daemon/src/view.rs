// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a program sees of the filesystems: mounts of its own, which end with it.
//!
//! A program that works on hostile files must be able to follow their links, and none of them may
//! lead out of the guest.  So it is started in a mount namespace in which that cannot do harm.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use bstr::{BString, ByteSlice};
use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount_bind_recursive, mount_change, mount_remount,
};
use rustix::process::{chdir, chroot, fchdir};

use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;
use crate::system;
use crate::tool::proc_path;

/// The filesystems as one program sees them.
#[derive(Debug)]
pub(crate) struct View {
    sysroot: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The guest's root is the program's root, with `/dev`, `/proc` and `/sys` in their places.
    Guest,
    /// The program works in a directory of the guest.  It sees all of the appliance, but nothing
    /// outside of the guest can be changed.
    Directory(GuestPath),
}

impl View {
    /// For programs of the guest.
    pub(crate) fn guest(cx: &Ctx) -> Self {
        Self { sysroot: cx.sysroot().into(), place: Place::Guest }
    }

    /// For programs of the appliance that work in a directory of the guest.
    pub(crate) fn directory(cx: &Ctx, path: &GuestPath) -> Self {
        Self { sysroot: cx.sysroot().into(), place: Place::Directory(path.clone()) }
    }

    /// Whether the program is looked up among the guest's files.
    pub(crate) fn is_guest(&self) -> bool {
        matches!(self.place, Place::Guest)
    }

    /// Starts a program in a thread which has this view, as a program inherits that of the
    /// thread.  The inner result is that of the start itself.
    pub(crate) fn start(&self, command: &mut Command) -> Result<io::Result<Child>> {
        let own = system::open("/proc/self/ns/mnt", OFlags::RDONLY).about("mount namespace")?;
        let in_thread = || {
            let started = self.enter().map(|()| command.spawn());
            // A thread is said to have ended before it has given up its mounts, and a filesystem
            // that is mounted here is busy.  If this fails, the end of the thread does it anyway.
            let _ = nix::sched::setns(own, CloneFlags::CLONE_NEWNS);
            started
        };
        match thread::scope(|scope| scope.spawn(in_thread).join()) {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Changes what this thread sees, and only this thread.
    fn enter(&self) -> Result<()> {
        nix::sched::unshare(CloneFlags::CLONE_NEWNS)
            .map_err(|err| Error::sys("mount namespace", Errno::from_raw_os_error(err as i32)))?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .about("/")?;
        match &self.place {
            Place::Guest => self.enter_guest(),
            Place::Directory(path) => self.enter_directory(path),
        }
    }

    fn enter_guest(&self) -> Result<()> {
        let root = self.open_root()?;
        for name in ["/dev", "/proc", "/sys"] {
            // A guest without the directory does without what would be in it.
            match open_beneath(&root, &name.as_bytes()[1..]) {
                Ok(directory) => mount_bind_recursive(name, proc_path(&directory)).about(name)?,
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(Error::sys(name, errno)),
            }
        }
        fchdir(root).about("/")?;
        chroot(".").about("/")?;
        chdir("/").about("/")
    }

    fn enter_directory(&self, path: &GuestPath) -> Result<()> {
        // A mount of its own, so that what it is on can be made read-only.
        mount_bind_recursive(&self.sysroot, &self.sysroot).about("/")?;
        for target in mount_points(&system::read("/proc/self/mountinfo")?) {
            if target.to_path_lossy().starts_with(&self.sysroot) {
                continue;
            }
            let flags = MountFlags::BIND | MountFlags::RDONLY;
            match mount_remount(target.as_bytes(), flags, "") {
                // Another one is mounted over it, and it cannot be reached.
                Ok(()) | Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(Error::sys(target, errno)),
            }
        }
        let root = self.open_root()?;
        let directory = open_beneath(&root, path.relative()).about(path)?;
        fchdir(directory).about(path)
    }

    /// Opened here, as the daemon's own descriptors lead to the mounts that the daemon sees.
    fn open_root(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        system::open(Path::new(&self.sysroot), flags).map(OwnedFd::from).about("/")
    }
}

#[expect(clippy::disallowed_methods, reason = "Ctx cannot be used in another thread")]
fn open_beneath(root: &OwnedFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve)
}

/// The mount points in the kernel's list, in which blanks and the like are octal numbers.
fn mount_points(mountinfo: &[u8]) -> Vec<BString> {
    mountinfo.lines().filter_map(|line| line.split_str(" ").nth(4)).map(unescape).collect()
}

fn unescape(text: &[u8]) -> BString {
    let mut plain = BString::default();
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let byte;
        (byte, rest) = match (first, tail.first_chunk()) {
            (b'\\', Some(&[a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7'])) => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), &tail[3..])
            }
            _ => (first, tail),
        };
        plain.push(byte);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_of_the_kernel() {
        let list = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            23 22 0:21 / /a\\040b\\134 rw,nosuid shared:2 - tmpfs tmpfs rw\n";
        assert_eq!(mount_points(list), ["/", "/a b\\"]);
    }
}
