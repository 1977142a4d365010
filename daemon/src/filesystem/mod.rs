// SPDX-License-Identifier: LGPL-2.1-or-later
//! Making and identifying filesystems.

pub(crate) mod bytes;
mod check;
mod identity;
mod list;
mod make;
mod minimum;
pub(crate) mod probe;
mod space;

use std::os::unix::fs::FileExt;

use bstr::{BStr, BString};
use rustix::fs::OFlags;

use self::bytes::ReadAt;
pub(crate) use self::check::{filesystem_available, fsck};
pub(crate) use self::identity::{check_label, parse_uuid};
pub(crate) use self::minimum::vfs_minimum_size;
use self::probe::{Superblock, probe};
pub(crate) use self::space::{fstrim, scrub_freespace, zero_free_space, zerofree};
use crate::block::{Device, Mountable};
use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::generated::MkfsOptions;
use crate::partition;
use crate::random::random;
use crate::tool::Tool;

/// Superblocks are this near to the start or the end of a device.
const EDGE: u64 = 1 << 20;

pub(crate) fn list_filesystems(cx: &mut Ctx) -> Result<Vec<(BString, BString)>> {
    list::list(cx)
}

pub(crate) fn mkfs(
    _: &mut Ctx,
    fstype: &BStr,
    device: &Device,
    options: MkfsOptions,
) -> Result<()> {
    let command = make::Command::new(fstype, device, &options)?;
    clear_edges(device)?;
    partition::forget(device)?;
    command.run()
}

pub(crate) fn mkfs_b(cx: &mut Ctx, fstype: &BStr, blocksize: i32, device: &Device) -> Result<()> {
    let (features, label, blocksize) = (None, None, Some(blocksize));
    let options = MkfsOptions { blocksize, features, inode: None, sectorsize: None, label };
    mkfs(cx, fstype, device, options)
}

/// Overwrites the places where another filesystem would be recognized, as not every program that
/// makes one does.
pub(crate) fn clear_edges(device: &Device) -> Result<()> {
    // Exclusively: it must not be in use.
    let file = device.open(OFlags::RDWR | OFlags::EXCL)?;
    let size = file.size().about(device)?;
    let zeroes = vec![0; size.min(EDGE) as usize];
    for offset in [0, size.saturating_sub(EDGE)] {
        file.write_all_at(&zeroes, offset).about(device)?;
    }
    file.sync_all().about(device)
}

pub(crate) fn vfs_type(_: &mut Ctx, mountable: &Mountable) -> Result<BString> {
    let found = superblock(&mountable.device)?;
    Ok(found.map(|it| it.fstype.into()).unwrap_or_default())
}

pub(crate) fn vfs_label(_: &mut Ctx, mountable: &Mountable) -> Result<BString> {
    Ok(superblock(&mountable.device)?.and_then(|it| it.label).unwrap_or_default())
}

pub(crate) fn vfs_uuid(_: &mut Ctx, mountable: &Mountable) -> Result<BString> {
    Ok(superblock(&mountable.device)?.and_then(|it| it.uuid).unwrap_or_default().into())
}

/// What `device` says that it holds.
fn superblock(device: &Device) -> Result<Option<Superblock>> {
    probe(&device.open(OFlags::RDONLY)?).about(device)
}

/// Kinds of filesystems which the same programs are for.
pub(crate) struct Family {
    pub(crate) fstypes: &'static [&'static str],
    /// What people call them.
    words: &'static str,
}

pub(crate) const EXT: Family =
    Family { fstypes: &["ext2", "ext3", "ext4"], words: "ext2, ext3 or ext4" };
pub(crate) const XFS: Family = Family { fstypes: &["xfs"], words: "XFS" };
pub(crate) const NTFS: Family = Family { fstypes: &["ntfs"], words: "NTFS" };
const F2FS: Family = Family { fstypes: &["f2fs"], words: "F2FS" };

/// Fails unless the device has a filesystem of that kind.
pub(crate) fn must_hold(device: &Device, family: Family) -> Result<Superblock> {
    superblock(device)?
        .filter(|it| family.fstypes.contains(&it.fstype))
        .ok_or_else(|| Error::invalid(device, format_args!("holds no {}", family.words)))
}

/// The same, for a function which needs that there is something.
fn known_superblock(device: &Device) -> Result<Superblock> {
    let why = || Error::unsupported(format_args!("{device}: what it holds"));
    superblock(device)?.ok_or_else(why)
}

pub(crate) fn set_label(_: &mut Ctx, mountable: &Mountable, label: &BStr) -> Result<()> {
    if mountable.subvolume.is_some() {
        return Err(Error::unsupported(format_args!("{mountable}: a label of a subvolume")));
    }
    let found = known_superblock(&mountable.device)?;
    identity::set_label(&mountable.device, found.fstype, label)
}

pub(crate) fn set_uuid(_: &mut Ctx, device: &Device, uuid: &BStr) -> Result<()> {
    let uuid = identity::parse_uuid(uuid)?;
    let found = known_superblock(device)?;
    if found.uuid.as_ref() == Some(&uuid) {
        return Ok(());
    }
    // Exclusively: the kernel would write the old one again.
    device.open(OFlags::RDONLY | OFlags::EXCL)?;
    identity::set_uuid(device, found.fstype, &uuid)
}

pub(crate) fn set_uuid_random(cx: &mut Ctx, device: &Device) -> Result<()> {
    let mut number: [u8; 16] = random()?;
    // Version 4, variant 1.
    number[6] = number[6] & 0x0f | 0x40;
    number[8] = number[8] & 0x3f | 0x80;
    set_uuid(cx, device, bytes::uuid(number).as_str().into())
}

pub(crate) fn f2fs_expand(_: &mut Ctx, device: &Device) -> Result<()> {
    must_hold(device, F2FS)?;
    device.open(OFlags::RDWR | OFlags::EXCL)?;
    Tool::new("resize.f2fs").arg(device.path()).run()
}

pub(crate) fn blkid(cx: &mut Ctx, device: &Device) -> Result<Vec<(BString, BString)>> {
    let mut info: Vec<(&str, BString)> = Vec::new();
    if let Some(found) = superblock(device)? {
        let mut add = |name, value: Option<BString>| info.extend(value.map(|it| (name, it)));
        add("LABEL", found.label);
        add("UUID", found.uuid.map(Into::into));
        add("UUID_SUB", found.uuid_sub.map(Into::into));
        add("SEC_TYPE", found.sec_type.map(Into::into));
        add("VERSION", found.version.map(Into::into));
        add("BLOCK_SIZE", found.block_size.map(|it| it.to_string().into()));
        add("TYPE", Some(found.fstype.into()));
        add("USAGE", Some(found.usage.name().into()));
    }
    for (name, value) in partition::describe(cx, device)? {
        info.push((name, value.into()));
    }
    Ok(info.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

pub(crate) fn wipefs(_: &mut Ctx, device: &Device) -> Result<()> {
    device.open(OFlags::RDWR | OFlags::EXCL)?;
    // Without force it leaves partition tables.
    Tool::new("wipefs").args(["--all", "--force", "--quiet"]).arg(device.path()).run()?;
    partition::forget(device)
}
