// SPDX-License-Identifier: LGPL-2.1-or-later
//! Attaching filesystems to the guest's tree, and taking them off again.

mod options;
mod table;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bstr::{BStr, BString, ByteSlice};
use guestfs_protocol::InternalMountable;
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, unlinkat};
use rustix::mount::{MountFlags, UnmountFlags};

use self::options::MountOptions;
use self::table::Mounted;
pub(crate) use self::table::unescape;
use crate::block::{DeviceOrPath, Mountable};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::probe;
use crate::generated::{RemountOptions, UmountOptions};
use crate::path::GuestPath;
use crate::tool::{self, Tool};
use crate::{device_name, system};

/// The kinds of a mountable, as the library knows them.
const MOUNTABLE_DEVICE: i32 = 1;
const MOUNTABLE_SUBVOLUME: i32 = 2;

pub(crate) fn mount(cx: &mut Ctx, mountable: &Mountable, mountpoint: &BStr) -> Result<()> {
    attach(cx, &MountOptions::default(), None, mountable, mountpoint)
}

pub(crate) fn mount_ro(cx: &mut Ctx, mountable: &Mountable, mountpoint: &BStr) -> Result<()> {
    let options = MountOptions::parse(b"ro")?;
    attach(cx, &options, None, mountable, mountpoint)
}

pub(crate) fn mount_options(
    cx: &mut Ctx,
    options: &BStr,
    mountable: &Mountable,
    mountpoint: &BStr,
) -> Result<()> {
    attach(cx, &MountOptions::parse(options)?, None, mountable, mountpoint)
}

pub(crate) fn mount_vfs(
    cx: &mut Ctx,
    options: &BStr,
    vfstype: &BStr,
    mountable: &Mountable,
    mountpoint: &BStr,
) -> Result<()> {
    let fstype = match vfstype.as_bytes() {
        b"" | b"auto" => None,
        name => Some(name.to_str_lossy().into_owned()),
    };
    attach(cx, &MountOptions::parse(options)?, fstype, mountable, mountpoint)
}

fn attach(
    cx: &mut Ctx,
    options: &MountOptions,
    fstype: Option<String>,
    mountable: &Mountable,
    mountpoint: &BStr,
) -> Result<()> {
    let path = GuestPath::new("mountpoint", mountpoint)?;
    let directory = cx.open(&path, OFlags::PATH | OFlags::DIRECTORY)?;
    let fstype = match fstype {
        Some(fstype) => fstype,
        None => detect(mountable)?,
    };
    let target = cx.proc_fd(&directory);
    let mut options = options.clone();
    if let Some(subvolume) = &mountable.subvolume {
        options.add_data(&[b"subvol=", subvolume.as_bytes()].concat());
    }
    if fstype == "ntfs" {
        return attach_ntfs(mountable, &target, &options);
    }
    attach_as(&fstype, mountable, &target, &options)
}

/// What the superblock says.
fn detect(mountable: &Mountable) -> Result<String> {
    let file = mountable.device.open(OFlags::RDONLY)?;
    let found = probe::probe(&file).about(&mountable.device)?;
    match found {
        Some(it) if it.usage == probe::Usage::Filesystem => Ok(it.fstype.into()),
        Some(it) => {
            let why = format!("contains {}, which cannot be mounted", it.fstype);
            Err(Error::invalid(mountable, why))
        }
        None => Err(Error::invalid(mountable, "no filesystem found")),
    }
}

fn attach_as(
    fstype: &str,
    mountable: &Mountable,
    target: &Path,
    options: &MountOptions,
) -> Result<()> {
    let data = CString::new(options.data()).map_err(|_| Error::invalid("options", "NUL byte"))?;
    let source = mountable.device.path();
    let try_mount =
        |flags: MountFlags| rustix::mount::mount(source, target, fstype, flags, data.as_c_str());
    let result = match try_mount(options.flags()) {
        // The disk may have been added read-only.
        Err(Errno::ACCESS | Errno::ROFS) if options.may_be_read_only() => {
            try_mount(options.flags() | MountFlags::RDONLY)
        }
        result => result,
    };
    match result {
        Ok(()) => Ok(()),
        Err(Errno::NODEV) => {
            let why = format!("unknown filesystem type {fstype}");
            Err(Error::refused(Errno::NODEV, mountable, why))
        }
        Err(Errno::INVAL) => {
            let why = format!("no valid {fstype} filesystem, or an option that it does not know");
            Err(Error::invalid(mountable, why))
        }
        result => result.about(mountable),
    }
}

/// The kernel's driver is quicker, but it refuses what was not unmounted cleanly.
fn attach_ntfs(mountable: &Mountable, target: &Path, options: &MountOptions) -> Result<()> {
    let Err(err) = attach_as("ntfs3", mountable, target, options) else {
        return Ok(());
    };
    if !tool::exists("ntfs-3g") {
        return Err(err);
    }
    let mut words = options.words();
    if options.flags().contains(MountFlags::RDONLY) {
        words.push("ro".into());
    }
    let tool = match words.is_empty() {
        true => Tool::new("ntfs-3g"),
        false => Tool::new("ntfs-3g").arg("-o").arg(words.join(",")),
    };
    tool.arg(mountable.device.path()).arg(target).run()
}

pub(crate) fn remount(cx: &mut Ctx, mountpoint: &GuestPath, options: RemountOptions) -> Result<()> {
    let Some(mounted) = mounted_at(cx, mountpoint)? else {
        return Err(Error::invalid(mountpoint, "not mounted"));
    };
    // What is not named would be taken back.
    let mut flags = MountOptions::parse(&mounted.options)?.flags();
    flags.set(MountFlags::RDONLY, options.rw != Some(true));
    match rustix::mount::mount_remount(mounted.at.as_bytes(), flags, c"") {
        Err(Errno::ACCESS | Errno::ROFS) => {
            Err(Error::refused(Errno::ROFS, mountpoint, "the device is read-only"))
        }
        result => result.about(mountpoint),
    }
}

pub(crate) fn mount_loop(cx: &mut Ctx, file: &GuestPath, mountpoint: &GuestPath) -> Result<()> {
    let image = cx.open_regular(file, OFlags::RDONLY, Mode::empty())?;
    let found = probe::probe(&image).about(file)?;
    let Some(found) = found.filter(|it| it.usage == probe::Usage::Filesystem) else {
        return Err(Error::invalid(file, "no filesystem found"));
    };
    let directory = cx.open(mountpoint, OFlags::PATH | OFlags::DIRECTORY)?;
    if !Path::new("/dev/loop-control").exists() {
        Tool::new("modprobe").arg("loop").run()?;
    }
    let tool = Tool::new("mount").args(["-o", "loop", "-t", found.fstype]);
    tool.arg_fd(image).arg_fd(directory).run()
}

pub(crate) fn list_9p(_: &mut Ctx) -> Result<Vec<BString>> {
    Ok(Vec::new())
}

pub(crate) fn umount(
    cx: &mut Ctx,
    pathordevice: &DeviceOrPath,
    options: UmountOptions,
) -> Result<()> {
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::FORCE, options.force == Some(true));
    flags.set(UnmountFlags::DETACH, options.lazyunmount == Some(true));
    let found = match pathordevice {
        DeviceOrPath::Device(device) => {
            let mut mounted = below_sysroot(cx)?;
            let found = mounted.iter().rposition(|it| number_of(it) == Some(device.number()));
            found.map(|at| mounted.swap_remove(at))
        }
        DeviceOrPath::Path(path) => mounted_at(cx, path)?,
    };
    match found {
        Some(it) => detach(&it, flags).about(pathordevice),
        None => Err(Error::invalid(pathordevice, "not mounted")),
    }
}

pub(crate) fn umount_all(cx: &mut Ctx) -> Result<()> {
    // What was mounted later may be on top of what was mounted before.
    for it in below_sysroot(cx)?.iter().rev() {
        detach(it, UnmountFlags::NOFOLLOW).about(guest_name(cx, it))?;
    }
    Ok(())
}

pub(crate) fn mounts(cx: &mut Ctx) -> Result<Vec<BString>> {
    Ok(mountpoints(cx)?.into_iter().map(|(device, _)| device).collect())
}

pub(crate) fn mountpoints(cx: &mut Ctx) -> Result<Vec<(BString, BString)>> {
    let mut list = Vec::new();
    for it in below_sysroot(cx)?.iter().filter(|it| it.source.starts_with(b"/dev/")) {
        list.push((source_name(cx, it)?, guest_name(cx, it)));
    }
    Ok(list)
}

pub(crate) fn mkmountpoint(cx: &mut Ctx, exemptpath: &BStr) -> Result<()> {
    let path = GuestPath::new("exemptpath", exemptpath)?;
    let (directory, name) = cx.parent(&path)?;
    mkdirat(directory, name.as_bytes(), Mode::from_raw_mode(0o777)).about(path)
}

pub(crate) fn rmmountpoint(cx: &mut Ctx, exemptpath: &BStr) -> Result<()> {
    let path = GuestPath::new("exemptpath", exemptpath)?;
    let (directory, name) = cx.parent(&path)?;
    unlinkat(directory, name.as_bytes(), AtFlags::REMOVEDIR).about(path)
}

pub(crate) fn internal_parse_mountable(
    _: &mut Ctx,
    mountable: &Mountable,
) -> Result<InternalMountable> {
    Ok(InternalMountable {
        im_type: match mountable.subvolume {
            None => MOUNTABLE_DEVICE,
            Some(_) => MOUNTABLE_SUBVOLUME,
        },
        im_device: mountable.device.name().into(),
        im_volume: mountable.subvolume.clone().unwrap_or_default(),
    })
}

/// What was mounted last on a directory.
fn mounted_at(cx: &Ctx, path: &GuestPath) -> Result<Option<Mounted>> {
    let directory = cx.open(path, OFlags::PATH)?;
    // It is closed before the end: an open directory would make its filesystem busy.
    let at = rustix::fs::readlink(cx.proc_fd(&directory), Vec::new()).about(path)?;
    let mut mounted = below_sysroot(cx)?;
    let found = mounted.iter().rposition(|it| it.at.as_bytes() == at.as_bytes());
    Ok(found.map(|at| mounted.swap_remove(at)))
}

/// The guest's filesystems, in the order in which they were mounted.
fn below_sysroot(cx: &Ctx) -> Result<Vec<Mounted>> {
    let sysroot = cx.sysroot().as_os_str().as_bytes();
    let mut mounted = table::parse(&system::read("/proc/self/mountinfo")?);
    mounted.retain(|it| {
        let below = it.at.strip_prefix(sysroot);
        Some(it.id) != cx.empty_mount()
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    });
    Ok(mounted)
}

/// Writes everything that is mounted to the disks.
pub(crate) fn sync_all(cx: &Ctx) -> Result<()> {
    for it in below_sysroot(cx)? {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = system::open(it.at.to_path_lossy(), flags);
        // Unlike sync(2), which has no result, this tells of what could not be written.
        directory.and_then(rustix::fs::syncfs).about(guest_name(cx, &it))?;
    }
    rustix::fs::sync();
    Ok(())
}

fn detach(mounted: &Mounted, flags: UnmountFlags) -> rustix::io::Result<()> {
    rustix::mount::unmount(mounted.at.as_bytes(), flags)
}

/// Path of the mount point as the guest sees it.
fn guest_name(cx: &Ctx, mounted: &Mounted) -> BString {
    let sysroot = cx.sysroot().as_os_str().as_bytes();
    match mounted.at.strip_prefix(sysroot) {
        None | Some(b"") => "/".into(),
        Some(path) => path.into(),
    }
}

/// The caller's name of what is mounted; logical volumes have one name for everybody.
fn source_name(cx: &Ctx, mounted: &Mounted) -> Result<BString> {
    if let Some(number) = number_of(mounted)
        && let Some(name) = mapper_name(number)
    {
        return Ok(name);
    }
    cx.api_name(&mounted.source)
}

fn mapper_name(number: u64) -> Option<BString> {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let name = system::read_line(format!("/sys/dev/block/{major}:{minor}/dm/name")).ok()?;
    Some(format!("/dev/mapper/{name}").into())
}

/// Number of the device that is mounted.  That of the filesystem may be another: btrfs makes up
/// its own.
fn number_of(mounted: &Mounted) -> Option<u64> {
    device_name::number_of_node(&mounted.source.to_path_lossy())
}
