// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds everything that may hold a filesystem.

use bstr::{BString, ByteSlice};
use rustix::fs::OFlags;
use rustix::mount::{MountFlags, UnmountFlags};

use super::probe::{Superblock, probe};
use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{About, Result};
use crate::partition;
use crate::tool::Tool;

/// Where a btrfs is mounted for a moment.
const MOUNT_POINT: &str = "/run/guestfs-btrfs";

/// The number of the subvolume that is there from the beginning.
const TOP_LEVEL: u64 = 5;

/// Names of what can be mounted, and the types of what is there.
pub(super) fn list(cx: &Ctx) -> Result<Vec<(BString, BString)>> {
    let mut found = Vec::new();
    for name in candidates(cx)? {
        let device = cx.device("device", &name)?;
        let file = device.open(OFlags::RDONLY)?;
        let Some(fstype) = fstype(probe(&file).about(&device)?.as_ref()) else { continue };
        if fstype != "btrfs" {
            found.push((name, fstype.into()));
            continue;
        }
        for subvolume in subvolumes(&device)? {
            let name = match subvolume {
                None => name.clone(),
                Some(path) => format!("btrfsvol:{name}/{path}").into(),
            };
            found.push((name, fstype.into()));
        }
    }
    Ok(found)
}

/// Disks without partitions, partitions, arrays, and logical volumes.
fn candidates(cx: &Ctx) -> Result<Vec<BString>> {
    let mut names = Vec::new();
    for disk in partition::disks(cx)? {
        let name = cx.api_name(&[b"/dev/", disk.kernel.as_bytes()].concat())?;
        if disk.partitions.is_empty() {
            names.push(name);
            continue;
        }
        let without = partition::without_filesystems(&cx.device("device", &name)?)?;
        for number in disk.partitions.iter().filter(|it| !without.contains(it)) {
            names.push(cx.api_name(&disk.partition(*number))?);
        }
    }
    if cx.has_feature("lvm2") {
        // Those of a group that is not active have no device.
        let exists = |name: &BString| cx.device("device", name).is_ok();
        names.extend(crate::lvm::names(cx)?.into_iter().filter(exists));
    }
    Ok(names)
}

/// What is told of a device; None if it is a part of something larger.
fn fstype(found: Option<&Superblock>) -> Option<&'static str> {
    match found {
        None => Some("unknown"),
        Some(it) if it.fstype.ends_with("_member") => None,
        Some(it) => Some(it.fstype),
    }
}

/// The default subvolume, which needs no name, and the paths of the others.
fn subvolumes(device: &Device) -> Result<Vec<Option<String>>> {
    let Ok(mount) = TemporaryMount::new(device) else {
        // A member of which others are missing, or a damaged one: still a btrfs.
        return Ok(vec![None]);
    };
    let list = Tool::new("btrfs").args(["subvolume", "list", MOUNT_POINT]).text()?;
    let default = Tool::new("btrfs").args(["subvolume", "get-default", MOUNT_POINT]).text()?;
    drop(mount);
    let default = parse_id(&default).unwrap_or(TOP_LEVEL);
    let others = parse_subvolumes(&list).into_iter().filter(|(id, _)| *id != default);
    Ok([None].into_iter().chain(others.map(|(_, path)| Some(path))).collect())
}

/// Number and path of each line: `ID 256 gen 7 top level 5 path home`.
fn parse_subvolumes(list: &str) -> Vec<(u64, String)> {
    let parse = |line: &str| Some((parse_id(line)?, line.split_once(" path ")?.1.to_owned()));
    list.lines().filter_map(parse).collect()
}

fn parse_id(line: &str) -> Option<u64> {
    line.strip_prefix("ID ")?.split_whitespace().next()?.parse().ok()
}

/// A filesystem that is unmounted when it goes out of scope.
struct TemporaryMount;

impl TemporaryMount {
    fn new(device: &Device) -> Result<Self> {
        let mode = rustix::fs::Mode::RWXU;
        match rustix::fs::mkdir(MOUNT_POINT, mode) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(err) => return Err(err).about(MOUNT_POINT),
        }
        // All subvolumes are beneath the first, whichever is the default.
        let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
        let data = c"subvolid=5";
        rustix::mount::mount(device.path(), MOUNT_POINT, "btrfs", flags, data).about(device)?;
        Ok(Self)
    }
}

impl Drop for TemporaryMount {
    fn drop(&mut self) {
        // Lazily: it cannot fail for a mount that exists.
        let _ = rustix::mount::unmount(MOUNT_POINT, UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subvolumes_of_btrfs() {
        let list = "ID 256 gen 7 top level 5 path home\n\
                    ID 260 gen 9 top level 256 path home/a path b\n\
                    garbage\n";
        let expected = [(256, "home".to_owned()), (260, "home/a path b".to_owned())];
        assert_eq!(parse_subvolumes(list), expected);
        assert_eq!(parse_id("ID 5 (FS_TREE)\n"), Some(5));
        assert_eq!(parse_id("ID 257 gen 13 top level 5 path @/.snapshots\n"), Some(257));
        assert_eq!(parse_id(""), None);
    }

    #[test]
    fn words_for_devices() {
        let mut disk = vec![0; 8192];
        assert_eq!(fstype(probe(&disk).unwrap().as_ref()), Some("unknown"));
        disk[512..520].copy_from_slice(b"LABELONE");
        disk[520] = 1;
        disk[536..544].copy_from_slice(b"LVM2 001");
        assert_eq!(fstype(probe(&disk).unwrap().as_ref()), None);
    }
}
