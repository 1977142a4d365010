// SPDX-License-Identifier: LGPL-2.1-or-later
//! Volume groups and what belongs to them, by the program `lvm`.

pub(crate) mod mapped;
mod report;

use bstr::{BStr, BString, ByteSlice};
use guestfs_protocol::{LvmLv, LvmPv, LvmVg};
use rustix::fs::OFlags;

use self::mapped::Mapped;
use self::report::{Row, columns};
use crate::block::{Device, Mountable};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::probe::{Superblock, probe};
use crate::tool::Tool;

/// The longest name LVM accepts.
const NAME_MAX: usize = 127;

/// Volumes that are there for the caller, which LVM calls public, and not for another volume.
const USABLE: &str = "lv_role=public && lv_skip_activation!=\"skip activation\"";

/// What LVM says, and the errno which means the same.  The first that fits counts.
const COMPLAINTS: &[(&str, Errno)] = &[
    ("already in volume group", Errno::BUSY),
    ("already exists", Errno::EXIST),
    ("insufficient free", Errno::NOSPC),
    ("insufficient suitable", Errno::NOSPC),
    ("without -ff", Errno::BUSY),
    ("is used by VG", Errno::BUSY),
    ("in use", Errno::BUSY),
    ("exclusively", Errno::BUSY),
    ("open logical volume", Errno::BUSY),
    ("not found", Errno::NOENT),
    ("failed to find", Errno::NOENT),
];

pub(crate) fn pvcreate(cx: &mut Ctx, device: &Device) -> Result<()> {
    claim(device)?;
    run(cx, lvm("pvcreate").args(["--yes", "--force"]).arg(device.path()))
}

pub(crate) fn vgcreate(cx: &mut Ctx, volgroup: &BStr, physvols: &[Device]) -> Result<()> {
    check_name("volgroup", volgroup)?;
    if physvols.is_empty() {
        return Err(Error::invalid("physvols", "a volume group needs at least one"));
    }
    physvols.iter().try_for_each(claim)?;
    let tool = lvm("vgcreate").arg("--yes").arg_bytes(volgroup);
    run(cx, tool.args(physvols.iter().map(Device::path)))
}

pub(crate) fn lvcreate(cx: &mut Ctx, logvol: &BStr, volgroup: &BStr, mbytes: i32) -> Result<()> {
    run(cx, lvcreate_tool(logvol, volgroup, mbytes)?)
}

fn lvcreate_tool(logvol: &BStr, volgroup: &BStr, mbytes: i32) -> Result<Tool> {
    check_name("logvol", logvol)?;
    check_name("volgroup", volgroup)?;
    if mbytes <= 0 {
        return Err(Error::invalid("mbytes", format_args!("{mbytes} is not a size")));
    }
    let tool = lvm("lvcreate").args(["--yes", "--zero", "y", "--wipesignatures", "y"]);
    let tool = tool.args(["--size", &format!("{mbytes}m")]);
    Ok(tool.arg("--name").arg_bytes(logvol).arg_bytes(volgroup))
}

pub(crate) fn pvs(cx: &mut Ctx) -> Result<Vec<BString>> {
    let rows = report(report::tool("pvs", &["pv_name"], None))?;
    let mut names = Vec::new();
    for row in rows {
        let name = row.text("pv_name")?;
        // One that is missing has a description in place of the name.
        if name.starts_with(b"/") {
            names.push(cx.api_name(&name)?);
        }
    }
    names.sort();
    Ok(names)
}

pub(crate) fn vgs(_: &mut Ctx) -> Result<Vec<BString>> {
    let rows = report(report::tool("vgs", &["vg_name"], None))?;
    let mut names = rows.iter().map(|row| row.text("vg_name")).collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

pub(crate) fn lvs(cx: &mut Ctx) -> Result<Vec<BString>> {
    names(cx)
}

/// Devices of the logical volumes, whether active or not.
pub(crate) fn names(_: &Ctx) -> Result<Vec<BString>> {
    let rows = report(report::tool("lvs", &["vg_name", "lv_name"], Some(USABLE)))?;
    let mut names = Vec::new();
    for row in rows {
        names.push((row.text("vg_name")?, row.text("lv_name")?));
    }
    names.sort();
    Ok(names.iter().map(|(vg, lv)| format!("/dev/{vg}/{lv}").into()).collect())
}

columns! { pv_columns, LvmPv {
    pv_name: text, pv_uuid: uuid, pv_fmt: text, pv_size: size, dev_size: size, pv_free: size,
    pv_used: size, pv_attr: text, pv_pe_count: number, pv_pe_alloc_count: number, pv_tags: text,
    pe_start: size, pv_mda_count: number, pv_mda_free: size,
} }

columns! { vg_columns, LvmVg {
    vg_name: text, vg_uuid: uuid, vg_fmt: text, vg_attr: text, vg_size: size, vg_free: size,
    vg_sysid: text, vg_extent_size: size, vg_extent_count: number, vg_free_count: number,
    max_lv: number, max_pv: number, pv_count: number, lv_count: number, snap_count: number,
    vg_seqno: number, vg_tags: text, vg_mda_count: number, vg_mda_free: size,
} }

columns! { lv_columns, LvmLv {
    lv_name: text, lv_uuid: uuid, lv_attr: text, lv_major: number, lv_minor: number,
    lv_kernel_major: number, lv_kernel_minor: number, lv_size: size, seg_count: number,
    origin: text, snap_percent: percent, copy_percent: percent, move_pv: text, lv_tags: text,
    mirror_log: text, modules: text,
} }

pub(crate) fn pvs_full(cx: &mut Ctx) -> Result<Vec<LvmPv>> {
    let rows = report(report::tool("pvs", &pv_columns::NAMES, None))?;
    let mut pvs = rows.iter().map(pv_columns::parse).collect::<Result<Vec<_>>>()?;
    for pv in &mut pvs {
        pv.pv_name = cx.api_name(&pv.pv_name)?;
    }
    pvs.sort_by(|a, b| a.pv_name.cmp(&b.pv_name));
    Ok(pvs)
}

pub(crate) fn vgs_full(_: &mut Ctx) -> Result<Vec<LvmVg>> {
    report(report::tool("vgs", &vg_columns::NAMES, None))?.iter().map(vg_columns::parse).collect()
}

pub(crate) fn lvs_full(_: &mut Ctx) -> Result<Vec<LvmLv>> {
    report(report::tool("lvs", &lv_columns::NAMES, None))?.iter().map(lv_columns::parse).collect()
}

pub(crate) fn vg_activate(cx: &mut Ctx, activate: bool, volgroups: &[BString]) -> Result<()> {
    volgroups.iter().try_for_each(|name| check_name("volgroups", name.as_bstr()))?;
    run(cx, activate_tool(activate).args(volgroups.iter().map(|name| name.to_os_str_lossy())))
}

pub(crate) fn vg_activate_all(cx: &mut Ctx, activate: bool) -> Result<()> {
    run(cx, activate_tool(activate))
}

fn activate_tool(activate: bool) -> Tool {
    lvm("vgchange").args(["--activate", if activate { "y" } else { "n" }])
}

pub(crate) fn lvremove(cx: &mut Ctx, device: &Device) -> Result<()> {
    match Mapped::of(&device.sys_dir()) {
        Some(mapped) if mapped.is_of_lvm() => {
            let tool = lvm("lvremove").args(["--yes", "--force"]);
            run(cx, tool.arg(format!("/dev/mapper/{}", mapped.name)))
        }
        _ => Err(Error::invalid(device, "not a logical volume")),
    }
}

pub(crate) fn vgremove(cx: &mut Ctx, vgname: &BStr) -> Result<()> {
    check_name("vgname", vgname)?;
    run(cx, lvm("vgremove").args(["--yes", "--force"]).arg_bytes(vgname))
}

pub(crate) fn pvremove(cx: &mut Ctx, device: &Device) -> Result<()> {
    physical_volume(device)?;
    run(cx, lvm("pvremove").arg("--yes").arg(device.path()))
}

/// What the label of a physical volume says.
fn physical_volume(device: &Device) -> Result<Superblock> {
    let found = probe(&device.open(OFlags::RDONLY)?).about(device)?;
    found
        .filter(|it| it.fstype == "LVM2_member")
        .ok_or_else(|| Error::invalid(device, "not a physical volume"))
}

pub(crate) fn is_lv(_: &mut Ctx, mountable: &Mountable) -> Result<bool> {
    Ok(mountable.subvolume.is_none() && mapped::is_volume(&mountable.device))
}

pub(crate) fn lvm_canonical_lv_name(cx: &mut Ctx, lvname: &BStr) -> Result<BString> {
    Ok(mapped::find(cx, lvname)?.device)
}

pub(crate) fn lvm_scan(cx: &mut Ctx, activate: bool) -> Result<()> {
    run(cx, lvm("vgscan"))?;
    if activate { vg_activate_all(cx, true) } else { Ok(()) }
}

pub(crate) fn vgscan(cx: &mut Ctx) -> Result<()> {
    lvm_scan(cx, false)
}

pub(crate) fn lvuuid(_: &mut Ctx, device: &Device) -> Result<BString> {
    Ok(mapped::volume(device)?.uuid.into())
}

pub(crate) fn pvuuid(_: &mut Ctx, device: &Device) -> Result<BString> {
    Ok(physical_volume(device)?.uuid.unwrap_or_default().into())
}

pub(crate) fn vguuid(_: &mut Ctx, vgname: &BStr) -> Result<BString> {
    Ok(uuids("vgs", "vg_uuid", None, vgname)?.pop().unwrap_or_default())
}

pub(crate) fn vgpvuuids(_: &mut Ctx, vgname: &BStr) -> Result<Vec<BString>> {
    uuids("vgs", "pv_uuid", None, vgname)
}

pub(crate) fn vglvuuids(_: &mut Ctx, vgname: &BStr) -> Result<Vec<BString>> {
    uuids("lvs", "lv_uuid", Some("lv_role=public"), vgname)
}

/// One column of what belongs to a volume group.
fn uuids(command: &str, column: &str, select: Option<&str>, vgname: &BStr) -> Result<Vec<BString>> {
    check_name("vgname", vgname)?;
    let tool = report::tool(command, &[column], select).arg_bytes(vgname);
    report(tool)?.iter().map(|row| row.text(column)).collect()
}

fn lvm(command: &str) -> Tool {
    // The daemon's files are no business of LVM's, but it complains of those it inherits.
    Tool::new("lvm").env("LVM_SUPPRESS_FD_WARNINGS", "1").arg(command)
}

fn report(tool: Tool) -> Result<Vec<Row>> {
    report::parse(&tool.stdout().map_err(explain)?)
}

/// Runs a command that changes something; what it says of devices is put in the caller's words.
fn run(cx: &Ctx, tool: Tool) -> Result<()> {
    tool.run().map_err(|err| match explain(err) {
        Error::Refused { what, why, errno } => {
            let why = cx.names().to_api_in_text(&why).unwrap_or(why);
            Error::Refused { what, why, errno }
        }
        err => err,
    })
}

/// Fails if the device is mounted, or otherwise held.
fn claim(device: &Device) -> Result<()> {
    device.open(OFlags::RDWR | OFlags::EXCL).map(drop)
}

/// Gives an error the errno that its words mean.
fn explain(err: Error) -> Error {
    let Error::Tool { program, status, stderr } = err else { return err };
    let meant = |line: &str| {
        let line = line.to_ascii_lowercase();
        COMPLAINTS.iter().find(|(words, _)| line.contains(&words.to_ascii_lowercase()))
    };
    let lines = stderr.lines().map(str::trim).filter(|line| !line.starts_with("WARNING"));
    match lines.clone().find_map(|line| Some((line, meant(line)?.1))) {
        Some((line, errno)) => Error::refused(errno, program, line.trim_end_matches('.')),
        None => Error::Tool { program, status, stderr: lines.collect::<Vec<_>>().join("\n") },
    }
}

/// Names are checked here because LVM would take one with a hyphen in front for an option.
fn check_name(arg: &str, name: &BStr) -> Result<()> {
    let why = match name.as_bytes() {
        b"" => "a name is not empty",
        b"." | b".." => "not a name for LVM",
        [b'-', ..] => "a name does not begin with a hyphen",
        it if it.len() > NAME_MAX => "longer than 127 bytes",
        it if !it.iter().all(|it| it.is_ascii_alphanumeric() || b"+_.-".contains(it)) => {
            "a name is made of letters, digits and +_.-"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid(arg, format_args!("{name:?}: {why}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn command_lines() {
        #[track_caller]
        fn check(lv: &str, vg: &str, mbytes: i32, expected: &str) {
            let got = lvcreate_tool(lv.into(), vg.into(), mbytes);
            assert_eq!(got.map_or_else(|err| err.to_string(), |it| it.to_string()), expected);
        }
        check(
            "LV",
            "VG",
            100,
            "lvm lvcreate --yes --zero y --wipesignatures y --size 100m --name LV VG",
        );
        check("LV", "VG", 0, "mbytes: 0 is not a size");
        check("", "VG", 1, "logvol: \"\": a name is not empty");
        check("-L", "VG", 1, "logvol: \"-L\": a name does not begin with a hyphen");
        check("LV", "..", 1, "volgroup: \"..\": not a name for LVM");
        check("a b", "VG", 1, "logvol: \"a b\": a name is made of letters, digits and +_.-");
        check("a/b", "VG", 1, "logvol: \"a/b\": a name is made of letters, digits and +_.-");
        let tool = activate_tool(false).args(["VG"]);
        assert_eq!(tool.to_string(), "lvm vgchange --activate n VG");
    }

    #[test]
    fn complaints() {
        #[track_caller]
        fn check(stderr: &str, errno: Option<Errno>, text: &str) {
            let (program, status) = ("lvm".into(), ExitStatus::from_raw(5 << 8));
            let err = explain(Error::Tool { program, status, stderr: stderr.into() });
            assert_eq!((err.errno(), err.to_string().as_str()), (errno, text));
        }
        check(
            "  WARNING: PV /dev/sdz is not found.\n  A volume group called VG already exists.\n",
            Some(Errno::EXIST),
            "lvm: A volume group called VG already exists",
        );
        check(
            "  Logical Volume \"LV\" already exists in volume group \"VG\"\n",
            Some(Errno::EXIST),
            "lvm: Logical Volume \"LV\" already exists in volume group \"VG\"",
        );
        check(
            "  Physical volume '/dev/sda' is already in volume group 'VG'\n  Unable to add\n",
            Some(Errno::BUSY),
            "lvm: Physical volume '/dev/sda' is already in volume group 'VG'",
        );
        check(
            "  Can't initialize physical volume \"/dev/sda\" of volume group \"VG\" without -ff\n",
            Some(Errno::BUSY),
            "lvm: Can't initialize physical volume \"/dev/sda\" of volume group \"VG\" without -ff",
        );
        check(
            "  Volume group \"VG\" has insufficient free space (36 extents): 200 required.\n",
            Some(Errno::NOSPC),
            "lvm: Volume group \"VG\" has insufficient free space (36 extents): 200 required",
        );
        check(
            "  Volume group \"VG\" not found\n  Cannot process volume group VG\n",
            Some(Errno::NOENT),
            "lvm: Volume group \"VG\" not found",
        );
        check(
            "  PV /dev/sda is used by VG VG so please use vgreduce first.\n",
            Some(Errno::BUSY),
            "lvm: PV /dev/sda is used by VG VG so please use vgreduce first",
        );
        check(
            "  Logical volume VG/LV contains a filesystem in use.\n",
            Some(Errno::BUSY),
            "lvm: Logical volume VG/LV contains a filesystem in use",
        );
        check("  something new\n", None, "lvm: something new");
    }
}
