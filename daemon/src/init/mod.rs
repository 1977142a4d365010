// SPDX-License-Identifier: LGPL-2.1-or-later
//! From the first instruction of process 1 to the first call, and from the last call to the end of
//! the machine.

mod cmdline;
mod devname;
mod network;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use guestfs_protocol::wire::PORT_NAME;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, symlink, unlink};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};

use self::cmdline::Options;
use crate::ctx::Ctx;
use crate::dispatch::serve_table;
use crate::error::{About, Errno, Error, Result};
use crate::uevent::Uevents;
use crate::{device_name, generated, mount as mounts, system, volumes};

/// Where the guest's filesystems are mounted.
const SYSROOT: &str = "/sysroot";

/// Where the appliance's root is mounted before it becomes `/`.
const NEW_ROOT: &str = "/root";

/// What the initrd brings along.
const MODULES: &str = "/modules";

/// How many files this process may have open.
const OPEN_FILES: u64 = 1 << 16;

/// The types that the root image may have; it is never mounted writable.
const ROOT_TYPES: &[&str] = &["erofs", "squashfs", "ext4", "ext3", "ext2"];

/// Directories which programs write to; the root is read-only.
const WRITABLE: &[(&str, &[&str])] = &[
    ("/run", &["lock", "lock/lvm", "lvm", "mdadm", "mount"]),
    ("/tmp", &[]),
    ("/var", &["cache", "lib", "log", "tmp"]),
    // A directory which the caller makes to mount something on has to be somewhere, too.
    (SYSROOT, &[]),
];

/// Links which programs expect in `/dev`.
const DEV_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Runs the appliance.  Does not return: the machine ends with its process 1.
pub fn init() -> ! {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => {}
        Ok(Err(err)) => eprintln!("guestfsd: error: {err}"),
        // The panic hook has said it.
        Err(_) => {}
    }
    rustix::fs::sync();
    // The virtual machine is started with the order to end in place of starting again, and
    // unlike powering off this works without ACPI.
    let Err(err) = reboot(RebootMode::RB_AUTOBOOT);
    eprintln!("guestfsd: reboot: {err}");
    std::process::exit(1)
}

fn run() -> Result<()> {
    mount_kernel("proc", "/proc", "proc")?;
    mount_kernel("sysfs", "/sys", "sysfs")?;
    mount_kernel("devtmpfs", "/dev", "devtmpfs")?;
    let options = Options::parse(&system::read("/proc/cmdline")?);
    // Listening starts before the modules make the devices, so no event can be missed.
    let mut uevents = Uevents::open()?;
    insert_modules()?;
    switch_root(&options, &mut uevents)?;
    set_up(&options)?;
    // A tree that is copied or removed keeps a descriptor or two open for each of its levels.
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES).about("RLIMIT_NOFILE")?;
    let mut cx = Ctx::appliance(Path::new(SYSROOT), device_name::root_device()?)?;
    cx.set_verbose(options.verbose);
    volumes::activate(&cx);
    let port = open_port(&options, &mut uevents)?;
    drop(uevents);
    let result = serve_table(generated::TABLE, port, &mut cx, |_| reap());
    if let Err(err) = mounts::umount_all(&mut cx) {
        eprintln!("guestfsd: umount_all: {err}");
    }
    Ok(result?)
}

fn mount_kernel(source: &str, at: &str, fstype: &str) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    match mount(source, at, fstype, flags, None) {
        // The kernel may have done it.
        Err(Errno::BUSY) => Ok(()),
        result => result.about(at),
    }
}

/// Inserts what the initrd has, in its order, and frees the memory which the files take up.
fn insert_modules() -> Result<()> {
    let order = Path::new(MODULES).join("order");
    for name in system::read(&order)?.lines() {
        let path = Path::new(MODULES).join(name.to_os_str_lossy());
        let file = system::open(&path, OFlags::RDONLY).about(path.display())?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            // A module may be built into the kernel, or its device may not be there.
            Ok(()) | Err(nix::Error::EEXIST | nix::Error::ENODEV) => {}
            Err(err) => return Err(err).about(path.display()),
        }
        unlink(&path).about(path.display())?;
    }
    unlink(&order).about(order.display())
}

/// Makes the root image the root of all processes to come, and of this one.
fn switch_root(options: &Options, uevents: &mut Uevents) -> Result<()> {
    let root = match &options.root {
        Some(root) => {
            let name = root.file_name().unwrap_or_default().to_owned();
            let sys = Path::new("/sys/class/block").join(&name);
            uevents.wait_until(|| Ok(exists(&sys).then_some(())), &root.display())?;
            root.clone()
        }
        // libguestfs names the disk by the UUID of a filesystem that this one is not.
        None => uevents.wait_until(|| find_root(Path::new("/dev")), &"a disk with the root")?,
    };
    mount_root(&root)?;
    for directory in ["/proc", "/sys", "/dev"] {
        let to = format!("{NEW_ROOT}{directory}");
        mount_move(directory, &to).about(&to)?;
    }
    chdir(NEW_ROOT).about(NEW_ROOT)?;
    mount_move(".", "/").about("/")?;
    chroot(".").about("/")?;
    chdir("/").about("/")
}

/// The disk with the appliance's root image.
fn find_root(dev: &Path) -> Result<Option<PathBuf>> {
    let disks = system::names("/sys/block")?.into_iter();
    Ok(disks.map(|it| dev.join(it.to_path_lossy())).find(|it| has_mark(it).unwrap_or(false)))
}

/// EROFS, with a UUID in which the magic number of ext2 is found where it would stand in ext2: so
/// does the builder mark the image, as libguestfs takes no other.
fn has_mark(disk: &Path) -> Result<bool> {
    const EROFS: &[u8] = &0xe0f5_e1e2_u32.to_le_bytes();
    const EXT2: &[u8] = &0xef53_u16.to_le_bytes();
    let file = system::open(disk, OFlags::RDONLY).about(disk.display())?;
    let mut block = [0; 128];
    let n_read = rustix::io::pread(&file, &mut block, 1024).about(disk.display())?;
    Ok(block[..n_read].starts_with(EROFS) && block[56..].starts_with(EXT2))
}

fn mount_root(root: &Path) -> Result<()> {
    let known = system::read("/proc/filesystems")?;
    let known = |fstype: &str| known.lines().any(|line| line.trim_ascii() == fstype.as_bytes());
    let mut result = Err(Error::refused(
        Errno::NODEV,
        root.display(),
        format_args!("this kernel has none of {}", ROOT_TYPES.join(", ")),
    ));
    for fstype in ROOT_TYPES.iter().filter(|fstype| known(fstype)) {
        result = mount(root, NEW_ROOT, *fstype, MountFlags::RDONLY, None).about(root.display());
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Makes the root a place in which programs find what they expect.
fn set_up(options: &Options) -> Result<()> {
    for (directory, children) in WRITABLE {
        mount_tmpfs(directory)?;
        for child in *children {
            let path = format!("{directory}/{child}");
            mkdirat(CWD, &path, Mode::from_raw_mode(0o755)).about(&path)?;
        }
    }
    for (name, target) in DEV_LINKS {
        let path = format!("/dev/{name}");
        symlink(*target, &path).about(&path)?;
    }
    for directory in ["/dev/pts", "/dev/shm"] {
        mkdirat(CWD, directory, Mode::from_raw_mode(0o755)).about(directory)?;
    }
    devname::make_nodes(Path::new("/lib/modules"), Path::new("/dev"));
    mount_kernel("devpts", "/dev/pts", "devpts")?;
    mount_tmpfs("/dev/shm")?;
    let hostname = system::read_line("/etc/hostname").unwrap_or_else(|_| "guestfs".into());
    nix::unistd::sethostname(&hostname).about("hostname")?;
    network::loopback_up()?;
    if options.network {
        network::configure()?;
    }
    Ok(())
}

fn mount_tmpfs(at: &str) -> Result<()> {
    mount("tmpfs", at, "tmpfs", MountFlags::NOSUID, c"mode=755").about(at)
}

/// Opens the channel to the library.
fn open_port(options: &Options, uevents: &mut Uevents) -> Result<OwnedFd> {
    let path = match &options.channel {
        Some(path) => path.clone(),
        None => {
            let what = format!("virtio-serial port {PORT_NAME}");
            uevents.wait_until(|| find_port(Path::new("/sys/class/virtio-ports")), &what)?
        }
    };
    let port: File = system::open(&path, OFlags::RDWR).about(path.display())?;
    Ok(port.into())
}

/// There is no udev that would make links by name.
fn find_port(class: &Path) -> Result<Option<PathBuf>> {
    if !exists(class) {
        return Ok(None);
    }
    for port in system::names(class)? {
        let port = port.to_os_str_lossy();
        // A port gets its name after it has appeared.
        let name = system::read_line(class.join(&port).join("name")).unwrap_or_default();
        if name == PORT_NAME {
            return Ok(Some(Path::new("/dev").join(&port)));
        }
    }
    Ok(None)
}

fn exists(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXISTS).is_ok()
}

/// Orphans become children of process 1.  Between two calls no program of ours is running, so
/// nobody else waits for what is found here.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_name() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find_port(&dir.path().join("none")).unwrap(), None);
        for (port, name) in [("vport1p0", "other\n"), ("vport1p1", "org.libguestfs.channel.0\n")] {
            system::make_directories(dir.path().join(port));
            system::write(dir.path().join(port).join("name"), name.as_bytes()).unwrap();
        }
        assert_eq!(find_port(dir.path()).unwrap(), Some("/dev/vport1p1".into()));
    }
}
