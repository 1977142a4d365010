// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finding devices by what they hold, or by what the partition table says of them.

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::OFlags;

use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::probe::{Superblock, Usage, probe};
use crate::lvm::mapped;
use crate::partition;

pub(crate) fn findfs_label(cx: &mut Ctx, label: &BStr) -> Result<BString> {
    let wanted = |it: &Superblock| it.label.as_ref().is_some_and(|it| it == label);
    by_superblock(cx, wanted)?.ok_or_else(|| not_found("label", label))
}

pub(crate) fn findfs_uuid(cx: &mut Ctx, uuid: &BStr) -> Result<BString> {
    let same = |it: &String| it.as_bytes().eq_ignore_ascii_case(uuid);
    let wanted = |it: &Superblock| it.uuid.as_ref().is_some_and(same);
    by_superblock(cx, wanted)?.ok_or_else(|| not_found("uuid", uuid))
}

pub(crate) fn findfs_partlabel(cx: &mut Ctx, label: &BStr) -> Result<BString> {
    let found = by_partition_entry(cx, "PART_ENTRY_NAME", |it| it.as_bytes() == label.as_bytes())?;
    found.ok_or_else(|| not_found("label", label))
}

pub(crate) fn findfs_partuuid(cx: &mut Ctx, uuid: &BStr) -> Result<BString> {
    let same = |it: &str| it.as_bytes().eq_ignore_ascii_case(uuid);
    by_partition_entry(cx, "PART_ENTRY_UUID", same)?.ok_or_else(|| not_found("uuid", uuid))
}

fn not_found(arg: &str, wanted: &BStr) -> Error {
    Error::refused(Errno::NOENT, arg, format!("{wanted:?} is on none of the devices"))
}

/// The first device with such a superblock.  Parts of arrays and of volume groups do not count: they
/// have the label of the whole.
fn by_superblock(cx: &Ctx, wanted: impl Fn(&Superblock) -> bool) -> Result<Option<BString>> {
    for name in candidates(cx)? {
        let device = cx.device("device", &name)?;
        let found = probe(&device.open(OFlags::RDONLY)?).about(&device)?;
        if found.is_some_and(|it| it.usage != Usage::Raid && wanted(&it)) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The first partition of whose entry in the table that value is wanted.
fn by_partition_entry(
    cx: &Ctx,
    key: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Option<BString>> {
    for disk in partition::disks(cx)? {
        for number in &disk.partitions {
            let name = cx.api_name(&disk.partition(*number))?;
            let entry = partition::describe(cx, &cx.device("device", &name)?)?;
            if entry.iter().any(|(it, value)| *it == key && wanted(value)) {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

/// Partitions before their disks: an image of a CD may have the same label for both.
fn candidates(cx: &Ctx) -> Result<Vec<BString>> {
    let mut names = Vec::new();
    for disk in partition::disks(cx)? {
        for number in &disk.partitions {
            names.push(cx.api_name(&disk.partition(*number))?);
        }
        names.push(cx.api_name(&[b"/dev/", disk.kernel.as_bytes()].concat())?);
    }
    names.extend(mapped::usable()?);
    Ok(names)
}
