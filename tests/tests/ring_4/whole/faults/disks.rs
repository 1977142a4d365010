// SPDX-License-Identifier: LGPL-2.1-or-later
//! Images that qemu cannot have, or cannot make sense of.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::Place;
use crate::support::{launched, sparse};

/// The launch of a drive of this kind, `raw`, `ro` and so on, with a message that names it.
#[track_caller]
fn check(place: Place, kind: &str, says: &[&str]) {
    let disk = place.file("disk");
    let name = disk.display().to_string();
    let says: Vec<_> = says.iter().copied().chain([name.as_str()]).collect();
    place.drives(&[format!("{kind}:{name}")]).fails(&says);
}

fn with_disk() -> Place {
    let place = Place::new();
    sparse(place.file("disk"), 1 << 20);
    place
}

#[test]
fn in_use() {
    let place = with_disk();
    let first = launched(&[&place.file("disk")]);
    check(place, "raw", &["another process has the disk open", "add the drive read-only"]);
    first.ping_daemon().expect("the first is not disturbed");
}

#[test]
fn gone() {
    check(with_disk(), "gone", &["No such file or directory"]);
}

#[test]
fn not_in_its_format() {
    let name = "name the format the drive really has";
    check(with_disk(), "qcow2", &["not in qcow2 format", name]);
    check(with_disk(), "vmdk", &["invalid VMDK image descriptor", name]);
    check(with_disk(), "nonesuch", &["nonesuch", "name a format that this qemu knows"]);
}

#[test]
fn whose_backing_file_is_gone() {
    let place = Place::new();
    let (base, disk) = (sparse(place.file("base"), 1 << 20), place.file("disk"));
    let mut qemu_img = crate::support::tool("qemu-img");
    qemu_img.args(["create", "-f", "qcow2", "-F", "raw", "-b"]).arg(&base).arg(&disk);
    crate::support::run(&mut qemu_img);
    fs::remove_file(&base).expect("the base");
    check(place, "qcow2", &["/files/base", "No such file or directory", "backing file"]);
}

#[test]
fn that_this_user_may_not_use() {
    let closed = |mode| {
        let place = with_disk().without_rights();
        fs::set_permissions(place.file("disk"), Permissions::from_mode(mode)).expect("chmod");
        place
    };
    check(closed(0o444), "raw", &["Permission denied", "it can be added read-only"]);
    check(closed(0), "ro", &["Permission denied"]);
}
