// SPDX-License-Identifier: LGPL-2.1-or-later
//! One case of `api.yaml`: a handle on fresh copies of known disks.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use guestfs::{AddDriveOptions, DiskCreateOptions, Handle, Result};
use tempfile::TempDir;

use crate::filesystems::Filesystem;
use crate::{disks, filesystems};

/// What a case starts from.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Disk {
    /// A handle that was not launched, in an empty directory.
    Config,
    /// The same, and there is an appliance to launch.
    Unlaunched,
    /// Three disks of zeroes.
    Blank,
    /// A partition with the known tree.
    Ext4,
    /// The same, mounted.
    Ext4Mounted,
    /// As `Ext4`, added read-only.
    Readonly,
    /// A partition with a small tree, mounted.
    Xfs,
    Btrfs,
    Vfat,
    Ntfs,
}

impl Disk {
    /// The filesystem is not the one which most cases are about.
    fn other_filesystem(self) -> Option<Filesystem> {
        match self {
            Self::Xfs => Some(Filesystem::Xfs),
            Self::Btrfs => Some(Filesystem::Btrfs),
            Self::Vfat => Some(Filesystem::Vfat),
            Self::Ntfs => Some(Filesystem::Ntfs),
            Self::Config
            | Self::Unlaunched
            | Self::Blank
            | Self::Ext4
            | Self::Ext4Mounted
            | Self::Readonly => None,
        }
    }
}

/// The current directory belongs to the process: one case at a time may have it.
static CURRENT_DIRECTORY: Mutex<()> = Mutex::new(());

/// A case while it runs.
pub(crate) struct Case {
    handle: Handle,
    files: RefCell<u32>,
    directory: TempDir,
    _current: Option<MutexGuard<'static, ()>>,
}

impl Case {
    /// Prepares a case; `None`, with the reason on stderr, if the appliance lacks a feature.
    pub(crate) fn start(disk: Disk, needs: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let handle = Handle::create().expect("a handle");
        let mut current = None;
        if disk != Disk::Config {
            disks::use_built_appliance(&handle);
        }
        if matches!(disk, Disk::Config | Disk::Unlaunched) {
            current = Some(CURRENT_DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner));
            std::env::set_current_dir(directory.path()).expect("the temporary directory");
        } else {
            add_disks(&handle, disk, directory.path()).expect("disks");
            handle.launch().expect("launch");
            if !needs.is_empty() && !handle.feature_available(needs).expect("features") {
                eprintln!("skipped: the appliance lacks one of {}", needs.join(", "));
                return None;
            }
            if disk == Disk::Ext4Mounted || disk.other_filesystem().is_some() {
                handle.mount("/dev/sda1", "/").expect("mount");
            }
        }
        Some(Self { handle, files: RefCell::new(0), directory, _current: current })
    }

    /// The handle.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// A file of the host with this content.
    pub(crate) fn sends(&self, content: &[u8]) -> PathBuf {
        let number = self.files.replace_with(|it| *it + 1);
        let path = self.directory.path().join(format!("sent{number}"));
        fs::write(&path, content).expect("a file to send");
        path
    }

    /// A file of the host to be written.
    pub(crate) fn output(&self) -> PathBuf {
        self.directory.path().join("output")
    }

    /// What was written is exactly this.
    #[track_caller]
    pub(crate) fn wrote(&self, expected: &[u8]) {
        let got = fs::read(self.output()).expect("the file that was written");
        let lossy = String::from_utf8_lossy;
        assert!(got == expected, "\nexpected {:?}\ngot      {:?}", lossy(expected), lossy(&got));
    }
}

fn add_disks(g: &Handle, disk: Disk, directory: &Path) -> Result<()> {
    if disk == Disk::Blank {
        for size in [512 << 20, 512 << 20, 50 << 20] {
            g.add_drive_scratch(size, &Default::default())?;
        }
        return Ok(());
    }
    let base = match disk.other_filesystem() {
        Some(filesystem) => filesystems::image(filesystem),
        None => disks::ext4(),
    };
    if disk == Disk::Readonly {
        g.add_drive_ro(path(&base))?;
    } else {
        let overlay = directory.join("overlay.qcow2");
        let options = DiskCreateOptions {
            backingfile: Some(path(&base).into()),
            backingformat: Some("raw".into()),
            ..Default::default()
        };
        g.disk_create(path(&overlay), "qcow2", -1, &options)?;
        let qcow2 = AddDriveOptions { format: Some("qcow2".into()), ..Default::default() };
        g.add_drive(path(&overlay), &qcow2)?;
    }
    g.add_drive_scratch(512 << 20, &Default::default())
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

/// A step before the last one has to succeed.
#[track_caller]
pub(crate) fn step<T>(name: &str, result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(err) => panic!("\nstep {name} failed: {err}"),
    }
}
