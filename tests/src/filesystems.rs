// SPDX-License-Identifier: LGPL-2.1-or-later
//! Disks with filesystems that differ from ext4 in what they keep of a file.  They are made in the
//! appliance: the host need not have their programs.

use std::path::{Path, PathBuf};

use guestfs::{AddDriveOptions, DiskCreateOptions, Handle, MkfsOptions, Result};

use crate::disks;

/// What stands in the only partition of a disk.
#[derive(Clone, Copy)]
pub(crate) enum Filesystem {
    Xfs,
    Btrfs,
    Vfat,
    Ntfs,
}

/// How a disk is made; a disk that was made otherwise is made anew.
#[derive(Debug)]
struct Recipe {
    fstype: &'static str,
    /// The programs refuse to make smaller ones.
    mbytes: i64,
    mbr_id: i32,
    label: &'static str,
    directories: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
    /// What only the filesystem's own programs make; its root is `/sysroot`.
    commands: &'static [&'static str],
}

/// What all of them have.
const DIRECTORIES: &[&str] = &["/dir", "/dir/sub"];
const FILES: &[(&str, &str)] = &[
    ("/file", "content\n"),
    ("/empty", ""),
    ("/dir/sub/deep", "deep\n"),
    ("/Mixed Case.txt", "mixed\n"),
    ("/utf8-\u{e9}", "x"),
];

impl Recipe {
    fn of(filesystem: Filesystem) -> Self {
        let base = Self {
            fstype: "",
            mbytes: 0,
            mbr_id: 0x83,
            label: "TREE",
            directories: DIRECTORIES,
            files: FILES,
            commands: &[],
        };
        match filesystem {
            Filesystem::Xfs => Self { fstype: "xfs", mbytes: 320, ..base },
            Filesystem::Btrfs => Self {
                fstype: "btrfs",
                mbytes: 128,
                commands: &[
                    "btrfs subvolume create /sysroot/volume",
                    "btrfs subvolume create /sysroot/volume/nested",
                    "echo inside > /sysroot/volume/inside",
                ],
                ..base
            },
            // From 512 MiB on it is FAT32, which is what guests have.
            Filesystem::Vfat => Self { fstype: "vfat", mbytes: 544, mbr_id: 0x0c, ..base },
            Filesystem::Ntfs => Self { fstype: "ntfs", mbytes: 64, mbr_id: 0x07, ..base },
        }
    }

    fn make(&self, image: &Path) -> Result<()> {
        let image = image.to_str().expect("paths of tests are text");
        let g = Handle::create()?;
        disks::use_built_appliance(&g);
        g.disk_create(image, "raw", self.mbytes << 20, &DiskCreateOptions::default())?;
        let raw = AddDriveOptions { format: Some("raw".into()), ..Default::default() };
        g.add_drive(image, &raw)?;
        g.launch()?;
        g.part_disk("/dev/sda", "mbr")?;
        g.part_set_mbr_id("/dev/sda", 1, self.mbr_id)?;
        let options = MkfsOptions { label: Some(self.label.into()), ..Default::default() };
        g.mkfs(self.fstype, "/dev/sda1", &options)?;
        g.mount("/dev/sda1", "/")?;
        for directory in self.directories {
            g.mkdir(directory)?;
        }
        for (name, content) in self.files {
            g.write(name, content.as_bytes())?;
        }
        for command in self.commands {
            g.debug("sh", &[command])?;
        }
        g.umount_all()?;
        g.shutdown()
    }
}

/// The disk with that filesystem.
pub(crate) fn image(filesystem: Filesystem) -> PathBuf {
    let recipe = Recipe::of(filesystem);
    disks::kept(recipe.fstype, &format!("{recipe:#?}\n"), |image| {
        recipe.make(image).unwrap_or_else(|err| panic!("{}: {err}", recipe.fstype));
    })
}
