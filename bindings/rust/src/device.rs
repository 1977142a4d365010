// SPDX-License-Identifier: LGPL-2.1-or-later
//! Names of disks.

use bstr::{BString, ByteSlice};
use guestfs_checksum::Sum;
use guestfs_protocol::wire::Nothing;
use guestfs_protocol::{
    ChecksumDeviceArgs, ChecksumDeviceRet, ListDevicesRet, LvsRet, Procedure, disk_name,
};
use nix::errno::Errno;

use crate::call::text;
use crate::error::{Error, Result};
use crate::file::sum_here;
use crate::handle::Handle;

/// Names of the same disks by the drivers that other appliances use for them.
const OTHER_DRIVERS: [&[u8]; 4] = [b"/dev/hd", b"/dev/vd", b"/dev/ubd", b"/dev/xvd"];

pub(crate) fn device_index(g: &Handle, device: &[u8]) -> Result<i32> {
    let name = canonical_device_name(g, device)?;
    let ret: ListDevicesRet = g.call(Procedure::ListDevices, 0, &Nothing)?;
    let index = ret.devices.iter().position(|it| *it == name);
    index.and_then(|it| i32::try_from(it).ok()).ok_or_else(|| {
        let why = format!("{}: not a disk of this appliance", device.as_bstr());
        Error::new(Errno::ENODEV as i32, why)
    })
}

pub(crate) fn canonical_device_name(g: &Handle, device: &[u8]) -> Result<BString> {
    if let Some(name) = canonical_disk(device) {
        return Ok(name);
    }
    let device = text("device", device)?;
    let Some(name) = device.strip_prefix(b"/dev/mapper/").and_then(logical_volume) else {
        return Ok(device);
    };
    // Encrypted devices are there too, and their names may look just the same.
    let ret: LvsRet = g.call(Procedure::Lvs, 0, &Nothing)?;
    Ok(if ret.logvols.contains(&name) { name } else { device })
}

pub(crate) fn device_name(_: &Handle, index: i32) -> Result<BString> {
    let index = usize::try_from(index)
        .map_err(|_| Error::invalid("index", format!("{index} is negative")))?;
    Ok(format!("/dev/{}", disk_name(index)).into())
}

pub(crate) fn checksum_device(g: &Handle, csumtype: &[u8], device: &[u8]) -> Result<BString> {
    let name = text("device", device)?;
    match Sum::new(csumtype) {
        // Any other name is one of a file for those who send the content.
        Some(sum) if name.starts_with(b"/dev/") && g.has_window()? => sum_here(g, sum, name),
        _ => {
            let args = ChecksumDeviceArgs { csumtype: text("csumtype", csumtype)?, device: name };
            g.call(Procedure::ChecksumDevice, 0, &args).map(|it: ChecksumDeviceRet| it.checksum)
        }
    }
}

/// The name of the logical volume that the device mapper would call so: a hyphen separates group
/// and volume, and two of them stand for one in a name.
fn logical_volume(mapped: &[u8]) -> Option<BString> {
    let mut name = BString::from("/dev/");
    let mut separated = false;
    let mut rest = mapped;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail.strip_prefix(b"-")) {
            (b'-', Some(tail)) => {
                name.push(b'-');
                rest = tail;
            }
            (b'-', None) if separated => return None,
            (b'-', None) => {
                name.push(b'/');
                separated = true;
            }
            _ => name.push(byte),
        }
    }
    separated.then_some(name)
}

/// The name that a disk or a partition of one has here, if it is written in another way.
fn canonical_disk(device: &[u8]) -> Option<BString> {
    let unit = OTHER_DRIVERS.iter().find_map(|it| device.strip_prefix(*it))?;
    let letters = unit.iter().take_while(|it| it.is_ascii_lowercase()).count();
    let plain = letters > 0 && unit[letters..].iter().all(u8::is_ascii_digit);
    plain.then(|| [b"/dev/sd", unit].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(device: &str, expected: &str) {
        let got = canonical_device_name(&Handle::detached(), device.as_bytes());
        assert_eq!(got.map_or_else(|err| err.to_string(), |it| it.to_string()), expected);
    }

    #[test]
    fn canonical_names() {
        check("/dev/sda", "/dev/sda");
        check("/dev/hda1", "/dev/sda1");
        check("/dev/vdab12", "/dev/sdab12");
        check("/dev/xvdb", "/dev/sdb");
        check("/dev/vg/lv", "/dev/vg/lv");
        check("/dev/vdisks/lv", "/dev/vdisks/lv");
        check("/dev/vda/lv", "/dev/vda/lv");
        check("/dev/md0", "/dev/md0");
        check("/dev/mapper/vg-lv", "call launch before using this function");
        check("/dev/mapper/luks", "/dev/mapper/luks");
        check("/dev/a\0", "device: contains a NUL byte");
    }

    #[test]
    fn names_by_index() {
        #[track_caller]
        fn check(index: i32, expected: &str) {
            let got = device_name(&Handle::detached(), index);
            assert_eq!(got.map_or_else(|err| err.to_string(), |it| it.to_string()), expected);
        }
        check(0, "/dev/sda");
        check(25, "/dev/sdz");
        check(26, "/dev/sdaa");
        check(701, "/dev/sdzz");
        check(702, "/dev/sdaaa");
        check(-1, "index: -1 is negative");
    }

    #[track_caller]
    fn check_mapped(mapped: &str, expected: Option<&str>) {
        assert_eq!(logical_volume(mapped.as_bytes()), expected.map(BString::from));
    }

    #[test]
    fn names_of_the_device_mapper() {
        check_mapped("vg-lv", Some("/dev/vg/lv"));
        check_mapped("my--vg-my--lv--1", Some("/dev/my-vg/my-lv-1"));
        check_mapped("vg", None);
        check_mapped("my--vg", None);
        check_mapped("vg-lv-tpool", None);
    }
}
