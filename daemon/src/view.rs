// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a program sees of the filesystems: mounts of its own, which end with it.
//!
//! A program that works on hostile files must be able to follow their links, and none of them may
//! lead out of the guest.  So it is started in a mount namespace in which that cannot do harm.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use bstr::{BString, ByteSlice};
use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount,
};
use rustix::process::{chdir, chroot, fchdir};

use crate::contained::contain;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;
use crate::system;
use crate::tool::{Running, proc_path};

/// Who answers questions about names, if the appliance has a network.
pub(crate) const RESOLV_CONF: &str = "/run/resolv.conf";

/// The filesystems as one program sees them.
#[derive(Debug)]
pub(crate) struct View {
    sysroot: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The guest's root is the program's root, with what the kernel has to say in its places.
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
    pub(crate) fn start(&self, command: &mut Command) -> Result<io::Result<Running>> {
        let own = system::open("/proc/self/ns/mnt", OFlags::RDONLY).about("mount namespace")?;
        let in_thread = || {
            let started = self.spawn(command);
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

    /// Changes what this thread sees, and only this thread, and starts the program.
    fn spawn(&self, command: &mut Command) -> Result<io::Result<Running>> {
        nix::sched::unshare(CloneFlags::CLONE_NEWNS).about("mount namespace")?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .about("/")?;
        let end = match &self.place {
            Place::Guest => {
                let proc = self.enter_guest()?;
                Some(contain(command, proc).about("PID namespace")?)
            }
            Place::Directory(path) => {
                self.enter_directory(path)?;
                None
            }
        };
        Ok(command.spawn().map(|child| Running::new(child, end)))
    }

    /// Answers with the directory where `/proc` is to be mounted.
    fn enter_guest(&self) -> Result<Option<OwnedFd>> {
        let root = self.open_root()?;
        for name in ["/dev", "/sys"] {
            if let Some(directory) = place_for(&root, name)? {
                mount_bind_recursive(name, proc_path(&directory)).about(name)?;
            }
        }
        if let Some(directory) = place_for(&root, "/dev/shm")? {
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("tmpfs", proc_path(&directory), "tmpfs", flags, c"mode=1777")
                .about("/dev/shm")?;
        }
        bind_resolv_conf(&root)?;
        let proc = place_for(&root, "/proc")?;
        fchdir(root).about("/")?;
        chroot(".").about("/")?;
        chdir("/").about("/")?;
        Ok(proc)
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
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let directory = open_beneath(&root, path.relative(), flags).about(path)?;
        fchdir(directory).about(path)
    }

    /// Opened here, as the daemon's own descriptors lead to the mounts that the daemon sees.
    fn open_root(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        system::open(Path::new(&self.sysroot), flags).map(OwnedFd::from).about("/")
    }
}

/// The guest's directory on which something of the kernel is to be mounted.  A guest without it does
/// without what would be in it.
fn place_for(root: &OwnedFd, name: &str) -> Result<Option<OwnedFd>> {
    match open_beneath(root, &name.as_bytes()[1..], OFlags::PATH | OFlags::DIRECTORY) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(Error::sys(name, errno)),
    }
}

/// Puts the appliance's file over the guest's name, which may be a link that leads nowhere as long
/// as the guest's services do not run.  Who writes it is told so: it would be lost.
fn bind_resolv_conf(root: &OwnedFd) -> Result<()> {
    const NAME: &str = "/etc/resolv.conf";
    let Ok(source) = system::open(RESOLV_CONF, OFlags::PATH) else {
        return Ok(());
    };
    let open = || open_beneath(root, &NAME.as_bytes()[1..], OFlags::PATH | OFlags::NOFOLLOW);
    let target = match open() {
        Ok(target) => target,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(Error::sys(NAME, errno)),
    };
    mount_bind(proc_path(&source), proc_path(&target)).about(NAME)?;
    let mounted = open().about(NAME)?;
    mount_remount(proc_path(&mounted), MountFlags::BIND | MountFlags::RDONLY, "").about(NAME)
}

#[expect(clippy::disallowed_methods, reason = "Ctx cannot be used in another thread")]
fn open_beneath(root: &OwnedFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
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
