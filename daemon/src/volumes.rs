// SPDX-License-Identifier: LGPL-2.1-or-later
//! Volumes which span the caller's disks: arrays and logical volumes are there after launch.
//!
//! Nothing is started for disks that have none, which is nearly all: the superblocks are looked
//! for first, as each program takes longer than the rest of the start.

use std::path::Path;

use rustix::fs::OFlags;

use crate::ctx::Ctx;
use crate::error::{About, Result};
use crate::filesystem::probe::volume;
use crate::system;
use crate::tool::Tool;

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
#[derive(Clone, Copy, Default)]
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
    let md = volume::linux_raid(&file).about(path.display())?.is_some();
    // A member of an array may look like the volume that is on the array.
    let lvm = !md && volume::lvm2(&file).about(path.display())?.is_some();
    Ok(Found { md, lvm })
}
