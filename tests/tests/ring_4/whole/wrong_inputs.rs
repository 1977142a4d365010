// SPDX-License-Identifier: LGPL-2.1-or-later
//! What turns out to be wrong only in the appliance: the error says what, and nothing else breaks.

use std::fs;

use guestfs::{AddDriveOptions, Handle};

use crate::support::{add_raw, bytes, handle, launched, refused, sparse, with_ext4};

const MIB: usize = 1 << 20;

#[test]
fn a_launched_handle_is_not_launched_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = sparse(dir.path().join("disk"), 1 << 20);
    let g = launched(&[&disk]);
    refused(g.launch(), "EINVAL launch: this function can only be called before launch");
    let late = g.add_drive(bytes(&disk), &Default::default());
    refused(late, "EINVAL add_drive: drives can only be added before launch");
    refused(g.set_memsize(1000), "EINVAL set_memsize: this function can only be called before");
    g.ping_daemon().expect("the handle works");
}

#[test]
fn formats() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = sparse(dir.path().join("disk"), 1 << 20);
    let launch = |format: &str, readonly| {
        let g = handle();
        let options = AddDriveOptions {
            format: Some(format.into()),
            readonly: Some(readonly),
            ..Default::default()
        };
        g.add_drive(bytes(&disk), &options).expect("add_drive");
        let result = g.launch();
        assert_eq!(g.is_config(), Ok(true));
        (result, g)
    };
    let name = disk.display();
    for readonly in [false, true] {
        let (result, _) = launch("nonesuch", readonly);
        refused(result, "'nonesuch'");
        let (result, _) = launch("qcow2", readonly);
        refused(result, &format!("{name}: "));
    }
    let (result, _) = launch("qcow2", false);
    refused(result, "name the format the drive really has");
}

#[test]
fn an_image_that_another_process_has() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = sparse(dir.path().join("disk"), 1 << 20);
    let first = launched(&[&disk]);
    let second = handle();
    add_raw(&second, &disk);
    refused(
        second.launch(),
        &format!("{}: Failed to get \"write\" lock; another process has the disk", disk.display()),
    );
    assert_eq!(second.is_config(), Ok(true));
    first.ping_daemon().expect("the first is not disturbed");
    first.close().expect("close");
    second.launch().expect("now the disk is free");
}

#[test]
fn read_only_disks_stay_as_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = dir.path().join("disk");
    let content = vec![0x5a; 4 * MIB];
    fs::write(&disk, &content).expect("a disk");
    let g = handle();
    g.add_drive_ro(bytes(&disk)).expect("add_drive_ro");
    g.launch().expect("launch");
    g.mkfs("ext4", "/dev/sda", &Default::default()).expect("writes go elsewhere");
    g.mount_ro("/dev/sda", "/").expect("mount_ro");
    refused(g.write("/new", b"x"), "EROFS write: /new: Read-only file system");
    refused(g.mkdir("/new"), "EROFS mkdir: /new: Read-only file system");
    g.close().expect("close");
    assert!(fs::read(&disk).expect("the disk") == content, "the disk was written");
}

/// Names of guests' files and devices, and how much fits where.
#[test]
fn arguments_of_calls() {
    let g = with_ext4(64 << 20);
    refused(g.cat("relative"), "EINVAL cat: path: \"relative\" is not an absolute path");
    refused(g.mkdir("relative"), "EINVAL mkdir: path: \"relative\" is not an absolute path");
    refused(g.cat("/missing"), "ENOENT cat: /missing: No such file or directory");
    refused(g.write("/a\0b", b""), "EINVAL write: path: contains a NUL byte");
    refused(g.mount("/dev/sdz", "/"), "ENOENT mount: /dev/sdz: No such file or directory");
    let mkfs = |fstype, device| g.mkfs(fstype, device, &Default::default());
    refused(mkfs("nofs", "/dev/sda"), "ENOTSUP mkfs: filesystem nofs is not supported");
    refused(mkfs("ext4", "sda"), "EINVAL mkfs: sda: the name of a device starts with /dev/");
    let part_disk = g.part_disk("/dev/sda", "nonesuch");
    refused(part_disk, "EINVAL part_disk: parttype: nonesuch is not a partition table");

    // Content of any size is written, but what goes in one message has to fit into one.
    let five = vec![0x37; 5 * MIB];
    g.write("/five", &five).expect("write");
    assert!(g.read_file("/five").expect("read_file") == five, "not what was written");
    refused(g.pwrite("/five", &five, 0), "EMSGSIZE pwrite: message of 5242");
    refused(g.pread("/five", 5 << 20, 0), "EMSGSIZE pread: count: 5242880 is more than");
    g.ping_daemon().expect("the handle works");
}

#[test]
fn full_disks() {
    let g = with_ext4(16 << 20);
    let large = vec![1; 20 * MIB];
    refused(g.write("/large", &large), "ENOSPC write: /large: No space left on device");
    works(&g);
}

/// A full disk can be emptied.
fn works(g: &Handle) {
    g.rm("/large").expect("rm");
    g.write("/small", b"small").expect("write");
    assert_eq!(g.cat("/small").expect("cat"), "small");
}
