// SPDX-License-Identifier: LGPL-2.1-or-later
//! Logical volumes as the kernel knows them: what LVM wrote into the device mapper, without LVM.

use std::path::Path;

use bstr::{BStr, BString, ByteSlice};

use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::system;

/// In front of what LVM calls its own.
const PREFIX: &str = "LVM-";

/// Letters and digits of a UUID.
const UUID: usize = 32;

/// Volumes whose names have one of these in them are parts of others.
const PARTS: &[&str] = &[
    "_cdata", "_cmeta", "_corig", "_cvol", "_imeta", "_iorig", "_mimage", "_mlog", "_pmspare",
    "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig",
];

/// What the device mapper knows of one of its devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// Name below `/dev/mapper`.
    pub(crate) name: BString,
    uuid: String,
}

impl Mapped {
    /// None if the device is not one of the device mapper's.
    pub(crate) fn of(sys_dir: &Path) -> Option<Self> {
        let read = |file: &str| system::read_line(sys_dir.join("dm").join(file)).ok();
        Some(Self { name: read("name")?.into(), uuid: read("uuid")? })
    }

    /// LVM made it, be it for the caller or for itself.
    pub(crate) fn is_of_lvm(&self) -> bool {
        self.uuid.starts_with(PREFIX)
    }

    /// The device as the caller knows it.
    pub(crate) fn api_name(&self) -> BString {
        match self.volume() {
            Some(volume) => volume.device,
            None => format!("/dev/mapper/{}", self.name).into(),
        }
    }

    /// The logical volume that it is.
    pub(crate) fn volume(&self) -> Option<Volume> {
        // The UUIDs of group and volume; a layer of a volume has a word after them.
        let uuids = self.uuid.strip_prefix(PREFIX).filter(|it| it.len() == 2 * UUID)?;
        let uuid = hyphenate(uuids.get(UUID..)?);
        let (group, volume) = split(self.name.as_bstr())?;
        let is_part = PARTS.iter().any(|part| volume.contains_str(part));
        (!is_part).then(|| Volume { device: format!("/dev/{group}/{volume}").into(), uuid })
    }
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Its usual name.
    pub(crate) device: BString,
    /// Its UUID in LVM's notation.
    pub(crate) uuid: String,
}

/// All devices of the device mapper.
fn all() -> Result<Vec<Mapped>> {
    let block = Path::new("/sys/block");
    let names = system::names(block)?;
    let mapped = names.iter().filter(|name| name.starts_with(b"dm-"));
    Ok(mapped.filter_map(|name| Mapped::of(&block.join(name.to_os_str_lossy()))).collect())
}

/// Those which LVM has not made.
pub(crate) fn others() -> Result<Vec<BString>> {
    let others = all()?.into_iter().filter(|it| !it.is_of_lvm());
    let mut names: Vec<BString> = others.map(|it| it.api_name()).collect();
    names.sort();
    Ok(names)
}

/// Those which hold something for the caller.
pub(crate) fn usable() -> Result<Vec<BString>> {
    let all = all()?.into_iter().filter(|it| !it.is_of_lvm() || it.volume().is_some());
    let mut names: Vec<BString> = all.map(|it| it.api_name()).collect();
    names.sort();
    Ok(names)
}

/// The logical volume that a device is.
pub(super) fn volume(device: &Device) -> Result<Volume> {
    let found = Mapped::of(&device.sys_dir()).and_then(|it| it.volume());
    found.ok_or_else(|| Error::invalid(device, "not a logical volume"))
}

/// Whether the device is a logical volume.
pub(super) fn is_volume(device: &Device) -> bool {
    volume(device).is_ok()
}

/// The device of this name, which must be a logical volume.
pub(super) fn find(cx: &Ctx, name: &BStr) -> Result<Volume> {
    volume(&Device::new(cx.names(), name)?)
}

/// Group and volume: a hyphen is between them, and two of them stand for one in a name.
fn split(mapped: &BStr) -> Option<(BString, BString)> {
    let mut names = [BString::default(), BString::default()];
    let mut index = 0;
    let mut rest = mapped.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'-' {
            match tail.strip_prefix(b"-") {
                Some(tail) => rest = tail,
                None => {
                    index += 1;
                    continue;
                }
            }
        }
        names.get_mut(index)?.push(byte);
    }
    let [group, volume] = names;
    (!volume.is_empty()).then_some((group, volume))
}

/// The groups of letters in which LVM prints a UUID.
fn hyphenate(uuid: &str) -> String {
    let mut out = String::with_capacity(UUID + 6);
    for (idx, letter) in uuid.chars().enumerate() {
        if matches!(idx, 6 | 10 | 14 | 18 | 22 | 26) {
            out.push('-');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, uuid: &str, expected: &str) {
        let mapped = Mapped { name: name.into(), uuid: uuid.into() };
        let volume = mapped.volume().map(|it| it.uuid).unwrap_or_default();
        assert_eq!(format!("{} {volume}", mapped.api_name()), expected);
    }

    #[test]
    fn volumes() {
        let group = "T3fArvXvttsI2aqvM3akQ8uIEHu71yrS";
        let lv = "abcdefABCDabcdABCDabcdABCDabcdef";
        let uuid = &format!("LVM-{group}{lv}");
        let text = "abcdef-ABCD-abcd-ABCD-abcd-ABCD-abcdef";
        check("VG-LV", uuid, &format!("/dev/VG/LV {text}"));
        check("my--vg-my--lv", uuid, &format!("/dev/my-vg/my-lv {text}"));
        check("VG-LV_rimage_0", uuid, "/dev/mapper/VG-LV_rimage_0 ");
        check("VG-pool-tpool", &format!("{uuid}-tpool"), "/dev/mapper/VG-pool-tpool ");
        check("luks", "CRYPT-LUKS2-0123-luks", "/dev/mapper/luks ");
        check("a-b", "", "/dev/mapper/a-b ");
        check("VG", uuid, "/dev/mapper/VG ");
        check("a-b-c", uuid, "/dev/mapper/a-b-c ");
    }
}
