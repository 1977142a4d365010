// SPDX-License-Identifier: LGPL-2.1-or-later
//! Volumes which span the caller's disks: arrays and logical volumes are there after launch.
//!
//! Nothing is started for disks that have none, which is nearly all: the superblocks are looked
//! for first, as each program takes longer than the rest of the start.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::ctx::Ctx;
use crate::error::{About, Result};
use crate::system;
use crate::tool::Tool;

/// Where the sector with the label of a physical volume may be.
const LVM_SECTORS: [u64; 4] = [0, 512, 1024, 1536];

/// Magic number of Linux software RAID.
const MD_MAGIC: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();

/// Starts what is on the drives.  A broken array is for the caller to mend, so nothing fails.
pub(crate) fn activate(cx: &Ctx) {
    let drives = match cx.names().drives() {
        Ok(drives) => drives,
        Err(err) => return eprintln!("guestfsd: {err}"),
    };
    let drives: Vec<_> = drives.iter().map(|drive| drive.kernel.to_string()).collect();
    let mut found = scan(&drives);
    if found.md {
        report(Tool::new("mdadm").args(["--assemble", "--scan", "--run"]));
        let arrays = system::names("/sys/block").unwrap_or_default();
        let arrays = arrays.iter().filter(|name| name.starts_with(b"md"));
        found.lvm |= scan(&arrays.map(ToString::to_string).collect::<Vec<_>>()).lvm;
    }
    if found.lvm {
        report(Tool::new("lvm").args(["vgchange", "--activate", "y", "--sysinit"]));
    }
}

fn report(tool: Tool) {
    if let Err(err) = tool.run() {
        eprintln!("guestfsd: {err}");
    }
}

/// Which kinds of superblocks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    md: bool,
    lvm: bool,
}

/// Looks at disks and their partitions.
fn scan(disks: &[String]) -> Found {
    let mut all = Found::default();
    for disk in disks {
        let names = system::names(Path::new("/sys/block").join(disk)).unwrap_or_default();
        let partitions = names.iter().filter(|name| name.starts_with(disk.as_bytes()));
        let nodes = partitions.map(ToString::to_string).chain([disk.clone()]);
        for node in nodes {
            // A disk that cannot be read has nothing that could be started.
            if let Ok(found) = scan_node(&Path::new("/dev").join(&node)) {
                all.md |= found.md;
                all.lvm |= found.lvm;
            }
        }
    }
    all
}

fn scan_node(path: &Path) -> Result<Found> {
    let file = system::open(path, OFlags::RDONLY).about(path.display())?;
    let size = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0)).about(path.display())?;
    Ok(look(&file, size))
}

fn look(file: &File, size: u64) -> Found {
    let lvm = LVM_SECTORS.iter().any(|at| {
        let mut label = [0; 32];
        file.read_exact_at(&mut label, *at).is_ok()
            && label.starts_with(b"LABELONE")
            && label.ends_with(b"LVM2 001")
    });
    let md = md_positions(size).into_iter().flatten().any(|at| {
        let mut magic = [0; 4];
        file.read_exact_at(&mut magic, at).is_ok() && magic == MD_MAGIC
    });
    Found { md, lvm }
}

/// Where the superblock is in the formats 1.1, 1.2, 1.0 and 0.90.
fn md_positions(size: u64) -> [Option<u64>; 4] {
    let end = |sectors_from_end: u64, align: u64| {
        (size / 512).checked_sub(sectors_from_end).map(|sector| sector / align * align * 512)
    };
    let old = (size / 512 / 128 * 128).checked_sub(128).map(|sector| sector * 512);
    [Some(0), Some(4096), end(16, 8), old]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(at: u64, bytes: &[u8], expected: &str) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(bytes, at).unwrap();
        let Found { md, lvm } = look(&file, 1 << 20);
        assert_eq!(format!("md {md} lvm {lvm}"), expected);
    }

    #[test]
    fn superblocks() {
        let label = b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001";
        check(0, b"", "md false lvm false");
        check(512, label, "md false lvm true");
        check(1536, label, "md false lvm true");
        check(2048, label, "md false lvm false");
        check(0, &MD_MAGIC, "md true lvm false");
        check(4096, &MD_MAGIC, "md true lvm false");
        check((1 << 20) - 8192, &MD_MAGIC, "md true lvm false");
        check((1 << 20) - 65536, &MD_MAGIC, "md true lvm false");
        check(8192, &MD_MAGIC, "md false lvm false");
    }

    #[test]
    fn tiny_disks_have_no_superblock_at_the_end() {
        assert_eq!(md_positions(512), [Some(0), Some(4096), None, None]);
    }
}
