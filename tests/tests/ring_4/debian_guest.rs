// SPDX-License-Identifier: LGPL-2.1-or-later
//! A disk with a Debian system: packages as users have them, configured by their own scripts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use guestfs::{AddDriveOptions, DiskCreateOptions, Handle, MkfsOptions, TarInOptions};
use tempfile::TempDir;

use crate::support::{bytes, handle, run, target, tool};

/// The release, and what of it: the essential packages, and what tests edit and run.
const SUITE: &str = "bookworm";
const PACKAGES: &str = "\
    adduser,apt,base-files,base-passwd,bash,bsdutils,coreutils,dash,debianutils,diffutils,dpkg,\
    findutils,grep,gzip,hostname,init-system-helpers,libc-bin,login,mount,ncurses-base,ncurses-bin,\
    netbase,openssh-server,perl-base,sed,sysvinit-utils,tar,usr-is-merged,util-linux";

/// What nobody reads in a test; some scripts of packages insist on manual pages.
const LEFT_OUT: [&str; 5] = [
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/i18n/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
    "path-include=/usr/share/man/man?/*",
];

/// Its directories are those of today, without a package that moves the old ones.
const MERGED: &str = "/usr/share/mmdebstrap/hooks/merged-usr";

const SIZE: i64 = 320 << 20;

/// A disk of its own for each test, on top of the one that is kept.
pub(crate) struct Guest {
    directory: TempDir,
}

impl Guest {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let guest = Self { directory };
        let backing = image();
        let options = DiskCreateOptions {
            backingfile: Some(bytes(&backing).into()),
            backingformat: Some("raw".into()),
            ..Default::default()
        };
        let g = Handle::create().expect("a handle");
        g.disk_create(bytes(&guest.disk()), "qcow2", -1, &options).expect("an overlay");
        guest
    }

    /// A file of the format qcow2, whose first partition is the system.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.path().join("disk.qcow2")
    }

    /// Where files may be put.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A handle with the disk, not launched yet.
    pub(crate) fn added(&self) -> Handle {
        let g = handle();
        let qcow2 = AddDriveOptions { format: Some("qcow2".into()), ..Default::default() };
        g.add_drive(bytes(&self.disk()), &qcow2).expect("add_drive");
        g
    }

    /// A launched handle with the system mounted.
    #[track_caller]
    pub(crate) fn mounted(&self) -> Handle {
        let g = self.added();
        if let Err(err) = g.launch().and_then(|()| g.mount("/dev/sda1", "/")) {
            panic!("{err}");
        }
        g
    }
}

/// The disk that is kept; made by the first test that wants it, and anew when it is to be another.
fn image() -> PathBuf {
    let directory = target().join("test-images");
    fs::create_dir_all(&directory).expect("test-images");
    let path = |name: &str| directory.join(name);
    let lock = File::create(path("debian.lock")).expect("a file");
    lock.lock().expect("a lock");
    let recipe = format!("{SUITE} {PACKAGES} {} {SIZE}\n", LEFT_OUT.join(" "));
    if !path("debian.img").exists()
        || fs::read_to_string(path("debian.recipe")).ok().as_ref() != Some(&recipe)
    {
        // What is there must not be taken for the new one if making it fails.
        let _ = fs::remove_file(path("debian.recipe"));
        make(&path("debian.img"));
        fs::write(path("debian.recipe"), recipe).expect("recipe");
    }
    path("debian.img")
}

/// By mmdebstrap, which needs root or user namespaces, and this library.
fn make(image: &Path) {
    let directory = tempfile::tempdir_in(target()).expect("a directory");
    let archive = directory.path().join("debian.tar");
    let mut mmdebstrap = tool("mmdebstrap");
    mmdebstrap
        .args(["--quiet", "--variant=custom", "--aptopt=APT::Install-Recommends \"false\""])
        .arg(format!("--hook-dir={MERGED}"))
        .arg(format!("--include={PACKAGES}"))
        .args(LEFT_OUT.map(|option| format!("--dpkgopt={option}")));
    run(mmdebstrap.arg(SUITE).arg(&archive));
    let g = handle();
    let disk = directory.path().join("debian.img");
    g.disk_create(bytes(&disk), "raw", SIZE, &Default::default()).expect("disk_create");
    let raw = AddDriveOptions { format: Some("raw".into()), ..Default::default() };
    g.add_drive(bytes(&disk), &raw).expect("add_drive");
    g.launch().expect("launch");
    g.part_disk("/dev/sda", "mbr").expect("part_disk");
    let label = MkfsOptions { label: Some("debian".into()), ..Default::default() };
    g.mkfs("ext4", "/dev/sda1", &label).expect("mkfs");
    g.mount("/dev/sda1", "/").expect("mount");
    let all = TarInOptions { xattrs: Some(true), acls: Some(true), ..Default::default() };
    g.tar_in(&archive, "/", &all).expect("tar_in");
    g.shutdown().expect("shutdown");
    fs::rename(disk, image).expect("rename");
}
