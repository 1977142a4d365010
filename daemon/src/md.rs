// SPDX-License-Identifier: LGPL-2.1-or-later
//! Arrays of Linux software RAID.

use std::path::Path;

use bstr::{BStr, BString, ByteSlice};
use guestfs_protocol::Mdstat;

use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::system;
use crate::tool::Tool;

/// States of an array that does not run.
const STOPPED: &[&str] = &["clear", "inactive"];

pub(crate) fn list_md_devices(_: &mut Ctx) -> Result<Vec<BString>> {
    let block = Path::new("/sys/block");
    let mut names = system::names(block)?;
    names.retain(|name| {
        let state = system::read_line(block.join(name.to_os_str_lossy()).join("md/array_state"));
        state.is_ok_and(|state| !STOPPED.contains(&state.as_str()))
    });
    names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    Ok(names.iter().map(|name| format!("/dev/{name}").into()).collect())
}

pub(crate) fn md_detail(_: &mut Ctx, md: &Device) -> Result<Vec<(BString, BString)>> {
    kernel_name(md)?;
    let text = Tool::new("mdadm").args(["--detail", "--export"]).arg(md.path()).text()?;
    Ok(parse_detail(&text))
}

/// Lines such as `MD_LEVEL=raid1`.  Those of the single devices have the kernel's names in their
/// own, and are left out.
fn parse_detail(text: &str) -> Vec<(BString, BString)> {
    let parse = |line: &str| {
        let (key, value) = line.strip_prefix("MD_")?.split_once('=')?;
        let of_one_device = key.starts_with("DEVICE_");
        (!of_one_device).then(|| (key.to_ascii_lowercase().into(), value.into()))
    };
    text.lines().filter_map(parse).collect()
}

pub(crate) fn md_stat(cx: &mut Ctx, md: &Device) -> Result<Vec<Mdstat>> {
    let name = kernel_name(md)?;
    let mut devices = parse_mdstat(&system::read("/proc/mdstat")?, name.as_bstr());
    for device in &mut devices {
        device.mdstat_device = cx.api_name(&device.mdstat_device)?;
    }
    Ok(devices)
}

/// What the kernel calls an array.
fn kernel_name(md: &Device) -> Result<BString> {
    let not_an_array = || Error::invalid(md, "not an array");
    system::read(md.sys_dir().join("md/level")).map_err(|_| not_an_array())?;
    let link = rustix::fs::readlink(md.sys_dir(), Vec::new()).map_err(|_| not_an_array())?;
    link.as_bytes().rsplit_str("/").next().map(Into::into).ok_or_else(not_an_array)
}

/// The devices on the line of an array: `md127 : active raid1 sdb[1](S) sda[0]`.
fn parse_mdstat(mdstat: &[u8], name: &BStr) -> Vec<Mdstat> {
    let of_array = |line: &&[u8]| line.split_str(" : ").next() == Some(name.as_bytes());
    let line = mdstat.lines().find(of_array).unwrap_or_default();
    let mut devices: Vec<_> = line.split_str(" ").filter_map(parse_member).collect();
    devices.sort_by_key(|it| it.mdstat_index);
    devices
}

fn parse_member(word: &[u8]) -> Option<Mdstat> {
    let (device, rest) = word.split_once_str("[")?;
    let (index, flags) = rest.split_once_str("]")?;
    let flags = flags.iter().filter(|byte| byte.is_ascii_alphabetic());
    Some(Mdstat {
        mdstat_device: [b"/dev/", device].concat().into(),
        mdstat_index: index.to_str().ok()?.parse().ok()?,
        mdstat_flags: flags.copied().collect::<Vec<u8>>().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        #[track_caller]
        fn check(name: &str, expected: &str) {
            let mdstat = b"Personalities : [raid1] [raid6] \n\
                md12 : active (auto-read-only) raid1 sdd[0]\n\
                md1 : active raid5 sdc1[3](S) sdb1[1](F) sda1[0]\n      \
                2048 blocks super 1.2 level 5, 512k chunk, algorithm 2 [2/1] [U_]\n\n\
                unused devices: <none>\n";
            let got: Vec<String> = parse_mdstat(mdstat, name.into())
                .iter()
                .map(|it| format!("{}={}{}", it.mdstat_index, it.mdstat_device, it.mdstat_flags))
                .collect();
            assert_eq!(got.join(" "), expected);
        }
        check("md1", "0=/dev/sda1 1=/dev/sdb1F 3=/dev/sdc1S");
        check("md12", "0=/dev/sdd");
        check("md2", "");
    }

    #[test]
    fn details() {
        let text =
            "MD_LEVEL=raid1\nMD_UUID=01:02\nMD_DEVICE_dev_sda_ROLE=0\nMD_NAME=a=b\nrubbish\n";
        let got: Vec<String> =
            parse_detail(text).iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(got.join(" "), "level=raid1 uuid=01:02 name=a=b");
    }
}
