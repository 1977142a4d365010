// SPDX-License-Identifier: LGPL-2.1-or-later
//! Checked arguments which name block devices: a value of these types was looked up and exists.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{FileType, OFlags, major, minor};

use crate::device_name::DeviceNames;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;
use crate::system;

/// In front of the name of a btrfs subvolume.
const SUBVOLUME: &[u8] = b"btrfsvol:";

/// A block device of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    name: BString,
    path: PathBuf,
    number: u64,
}

impl Device {
    /// Looks up the device that the caller calls `name`.
    pub(crate) fn new(names: &DeviceNames, name: &BStr) -> Result<Self> {
        let path = names.to_kernel(name)?;
        let stat = rustix::fs::stat(&path).about(name)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
            return Err(Error::sys(name, Errno::NOTBLK));
        }
        if names.hidden().contains(&stat.st_rdev) {
            return Err(Error::refused(Errno::NOENT, name, "this disk is the appliance's own"));
        }
        Ok(Self { name: name.into(), path, number: stat.st_rdev })
    }

    /// A file in place of a device.
    #[cfg(test)]
    pub(crate) fn fake(name: &str) -> Self {
        Self { name: name.into(), path: name.into(), number: 0 }
    }

    /// The name as the caller wrote it, for messages.
    pub(crate) fn name(&self) -> &BStr {
        self.name.as_bstr()
    }

    /// The node, for system calls and programs.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The device's number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Its directory in `/sys`.
    pub(crate) fn sys_dir(&self) -> PathBuf {
        format!("/sys/dev/block/{}:{}", major(self.number), minor(self.number)).into()
    }

    /// Opens the node.
    pub(crate) fn open(&self, flags: OFlags) -> Result<File> {
        system::open(&self.path, flags).about(self)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// What can be mounted: a device, or a subvolume of the btrfs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mountable {
    /// Where the filesystem is.
    pub(crate) device: Device,
    /// The subvolume, if not the default one.
    pub(crate) subvolume: Option<BString>,
}

impl Mountable {
    /// Looks up `/dev/sda1` or `btrfsvol:/dev/sda2/home`.
    pub(crate) fn new(names: &DeviceNames, name: &BStr) -> Result<Self> {
        let Some(rest) = name.strip_prefix(SUBVOLUME) else {
            return Ok(Self { device: Device::new(names, name)?, subvolume: None });
        };
        let (device, subvolume) =
            split_subvolume(rest, |device| Device::new(names, device.as_bstr()).ok())
                .ok_or_else(|| Error::sys(name, Errno::NOENT))?;
        Ok(Self { device, subvolume: Some(subvolume.into()) })
    }
}

impl fmt::Display for Mountable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subvolume {
            None => self.device.fmt(f),
            Some(subvolume) => write!(f, "btrfsvol:{}/{subvolume}", self.device),
        }
    }
}

/// The name of a device may have slashes in it, so the first part that is a device counts.
fn split_subvolume<T>(name: &[u8], lookup: impl Fn(&[u8]) -> Option<T>) -> Option<(T, &[u8])> {
    name.find_iter("/").filter(|&at| at > b"/dev".len()).find_map(|at| {
        let subvolume = &name[at + 1..];
        (!subvolume.is_empty()).then_some((lookup(&name[..at])?, subvolume))
    })
}

/// A device if there is one of that name, or else a path of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceOrPath {
    /// A block device.
    Device(Device),
    /// A file of the guest.
    Path(GuestPath),
}

impl From<&Device> for DeviceOrPath {
    fn from(device: &Device) -> Self {
        Self::Device(device.clone())
    }
}

impl From<&GuestPath> for DeviceOrPath {
    fn from(path: &GuestPath) -> Self {
        Self::Path(path.clone())
    }
}

impl fmt::Display for DeviceOrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => device.fmt(f),
            Self::Path(path) => path.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        let devices: [&[u8]; 2] = [b"/dev/sda2", b"/dev/VG/LV"];
        let found = split_subvolume(name.as_bytes(), |device| {
            devices.contains(&device).then(|| device.as_bstr().to_owned())
        });
        let got = match found {
            Some((device, subvolume)) => format!("{device} {}", subvolume.as_bstr()),
            None => String::from("none"),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn subvolumes() {
        check("/dev/sda2/home", "/dev/sda2 home");
        check("/dev/sda2/home/joe", "/dev/sda2 home/joe");
        check("/dev/VG/LV/home", "/dev/VG/LV home");
        check("/dev/sda2/", "none");
        check("/dev/sda2", "none");
        check("/dev/sdz/home", "none");
    }
}
