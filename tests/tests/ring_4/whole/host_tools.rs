// SPDX-License-Identifier: LGPL-2.1-or-later
//! Programs of the host find what this library makes in good order, and it reads what they make.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use guestfs::{AddDriveOptions, Handle, MkfsOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{bytes, launched, run, sparse, tool};

const MIB: u64 = 1 << 20;

// Partition tables.

#[track_caller]
fn check_table(disk: &Path, expected: &[(&str, Value)]) {
    let printed = run(tool("sfdisk").arg("--json").arg(disk));
    let table: Value = serde_json::from_str(&printed).expect("JSON");
    for (pointer, value) in expected {
        let got = table["partitiontable"].pointer(pointer);
        assert_eq!(got, Some(value), "{pointer} in {printed}");
    }
    let complaints = run(tool("sfdisk").arg("--verify").arg(disk));
    assert!(complaints.contains("No errors detected"), "{complaints}");
}

#[test]
fn partition_tables_made_here() {
    let dir = tempfile::tempdir().expect("a directory");
    let gpt = sparse(dir.path().join("gpt"), 64 * MIB);
    let mbr = sparse(dir.path().join("mbr"), 64 * MIB);
    let g = launched(&[&gpt, &mbr]);
    g.part_init("/dev/sda", "gpt").expect("part_init");
    g.part_add("/dev/sda", "p", 2048, 34815).expect("part_add");
    g.part_add("/dev/sda", "p", 34816, -2048).expect("part_add");
    g.part_set_name("/dev/sda", 2, "second one").expect("part_set_name");
    g.part_set_bootable("/dev/sda", 1, true).expect("part_set_bootable");
    g.part_init("/dev/sdb", "mbr").expect("part_init");
    g.part_add("/dev/sdb", "p", 2048, 34815).expect("part_add");
    g.part_add("/dev/sdb", "e", 34816, -1).expect("part_add");
    g.part_add("/dev/sdb", "l", 36864, 67583).expect("part_add");
    g.part_set_mbr_id("/dev/sdb", 5, 0x82).expect("part_set_mbr_id");
    g.part_set_bootable("/dev/sdb", 1, true).expect("part_set_bootable");
    g.close().expect("close");

    check_table(
        &gpt,
        &[
            ("/label", json!("gpt")),
            ("/partitions/0/start", json!(2048)),
            ("/partitions/0/size", json!(32768)),
            ("/partitions/0/type", json!("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")),
            ("/partitions/1/start", json!(34816)),
            ("/partitions/1/size", json!(64 * MIB / 512 - 2048 - 34816 + 1)),
            ("/partitions/1/name", json!("second one")),
        ],
    );
    check_table(
        &mbr,
        &[
            ("/label", json!("dos")),
            ("/partitions/0/bootable", json!(true)),
            ("/partitions/0/type", json!("83")),
            // An extended partition that is addressed by sector numbers.
            ("/partitions/1/type", json!("f")),
            ("/partitions/1/size", json!(64 * MIB / 512 - 34816)),
            ("/partitions/2/start", json!(36864)),
            ("/partitions/2/size", json!(67583 - 36864 + 1)),
            ("/partitions/2/type", json!("82")),
        ],
    );
}

// Filesystems made here.

/// A partition with a filesystem, filled here and cut out of its disk.
struct Filled {
    directory: TempDir,
    uuid: String,
}

impl Filled {
    fn new(fstype: &str, size: u64, links: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = sparse(directory.path().join("disk"), size);
        let tar = tree(directory.path(), links);
        let g = launched(&[&disk]);
        g.part_disk("/dev/sda", "gpt").expect("part_disk");
        let options = MkfsOptions { label: Some("MADE_HERE".into()), ..Default::default() };
        g.mkfs(fstype, "/dev/sda1", &options).expect("mkfs");
        g.mount("/dev/sda1", "/").expect("mount");
        fill(&g, &tar, links);
        let uuid = g.vfs_uuid("/dev/sda1").expect("vfs_uuid").to_string();
        let part = &g.part_list("/dev/sda").expect("part_list")[0];
        let (start, size) = (part.part_start, part.part_size);
        g.close().expect("close");
        cut(&disk, start, size, &directory.path().join("partition"));
        Self { directory, uuid }
    }

    fn partition(&self) -> PathBuf {
        self.directory.path().join("partition")
    }
}

/// A tar file of the host.
fn tree(directory: &Path, links: bool) -> PathBuf {
    let top = directory.join("tree");
    fs::create_dir_all(top.join("from/tar/deep")).expect("directories");
    fs::write(top.join("from/tar/file"), "from the host\n").expect("a file");
    fs::write(top.join("from/tar/deep/large"), pattern(3 << 20)).expect("a file");
    if links {
        std::os::unix::fs::symlink("file", top.join("from/tar/symlink")).expect("a link");
        fs::hard_link(top.join("from/tar/file"), top.join("from/tar/link")).expect("a link");
    }
    let tar = directory.join("tree.tar");
    run(tool("tar").arg("-cf").arg(&tar).arg("-C").arg(&top).arg("from"));
    tar
}

fn fill(g: &Handle, tar: &Path, links: bool) {
    g.tar_in(tar, "/", &Default::default()).expect("tar_in");
    g.write("/hello", b"written here\n").expect("write");
    g.write("/large", &pattern(5 << 20)).expect("write");
    g.mkdir_p("/a/b/c").expect("mkdir_p");
    for number in 0..200 {
        g.touch(format!("/a/file{number}")).expect("touch");
    }
    g.rm_rf("/a/b").expect("rm_rf");
    g.truncate_size("/from/tar/deep/large", 1 << 20).expect("truncate_size");
    if links {
        g.ln_s("../hello", "/a/symlink").expect("ln_s");
        g.ln("/hello", "/a/hard").expect("ln");
        g.chown(12, 34, "/hello").expect("chown");
        g.chmod(0o4711, "/hello").expect("chmod");
    }
}

/// Bytes that repeat only after a long while.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 31 + i / 251) as u8).collect()
}

fn cut(disk: &Path, start: u64, size: u64, partition: &Path) {
    let mut disk = File::open(disk).expect("the disk");
    disk.seek(SeekFrom::Start(start)).expect("seek");
    let mut out = File::create(partition).expect("the partition");
    io::copy(&mut disk.take(size), &mut out).expect("copy");
}

#[track_caller]
fn says(command: &mut std::process::Command, expected: &[&str]) {
    let printed = run(command);
    for it in expected {
        assert!(printed.contains(it), "no {it:?} in what {command:?} prints:\n{printed}");
    }
}

#[test]
fn ext4_made_here() {
    let made = Filled::new("ext4", 128 * MIB, true);
    let partition = made.partition();
    run(tool("e2fsck").arg("-fn").arg(&partition));
    let debugfs = |request: &str, expected: &[&str]| {
        says(tool("debugfs").args(["-R", request]).arg(&partition), expected);
    };
    debugfs("show_super_stats -h", &["MADE_HERE", &made.uuid]);
    debugfs("cat /hello", &["written here\n"]);
    debugfs("cat /from/tar/link", &["from the host\n"]);
    debugfs(
        "stat /hello",
        &["Mode:  04711", "User:    12", "Group:    34", "Links: 2", "Size: 13"],
    );
    debugfs("stat /a/symlink", &["Type: symlink", "Fast link dest: \"../hello\""]);
    debugfs("stat /from/tar/deep/large", &["Size: 1048576"]);
    let large = made.directory.path().join("large");
    run(tool("debugfs").arg("-R").arg(format!("dump /large {}", large.display())).arg(&partition));
    assert!(
        fs::read(large).expect("the dump") == pattern(5 << 20),
        "/large is not what was written"
    );
}

#[test]
fn xfs_made_here() {
    let made = Filled::new("xfs", 512 * MIB, true);
    let partition = made.partition();
    run(tool("xfs_repair").arg("-n").arg(&partition));
    says(
        tool("xfs_db").args(["-r", "-c", "label", "-c", "uuid"]).arg(&partition),
        &["MADE_HERE", &made.uuid],
    );
    says(
        tool("xfs_db").args(["-r", "-c", "path /hello", "-c", "print"]).arg(&partition),
        &["core.mode = 0104711", "core.uid = 12", "core.nlinkv2 = 2", "core.size = 13"],
    );
}

#[test]
fn btrfs_made_here() {
    let made = Filled::new("btrfs", 256 * MIB, true);
    let partition = made.partition();
    run(tool("btrfs").args(["check", "--check-data-csum"]).arg(&partition));
    says(tool("btrfs").args(["filesystem", "show"]).arg(&partition), &["MADE_HERE", &made.uuid]);
    let restored = made.directory.path().join("restored");
    fs::create_dir(&restored).expect("a directory");
    run(tool("btrfs").args(["restore", "-S"]).arg(&partition).arg(&restored));
    let read = |name: &str| fs::read(restored.join(name)).expect(name);
    assert_eq!(read("hello"), b"written here\n");
    assert_eq!(read("from/tar/link"), b"from the host\n");
    assert!(read("large") == pattern(5 << 20), "/large is not what was written");
    assert_eq!(fs::read_link(restored.join("a/symlink")).expect("a link"), Path::new("../hello"));
}

#[test]
fn vfat_made_here() {
    let made = Filled::new("vfat", 64 * MIB, false);
    let partition = made.partition();
    says(tool("fsck.vfat").arg("-nv").arg(&partition), &["files", "clusters"]);
    let blkid = run(tool("blkid").args(["-p", "-o", "export"]).arg(&partition));
    for it in ["TYPE=vfat", "LABEL=MADE_HERE", &format!("UUID={}", made.uuid)] {
        assert!(blkid.contains(it), "no {it} in {blkid}");
    }
}

// Disks made by the host.

const UUID: &str = "89abcdef-0123-4567-89ab-cdef01234567";

/// An empty file in `directory`, and a program that makes a filesystem in it.
fn made_by_host(directory: &Path, fstype: &str, size: u64, tree: &Path) -> PathBuf {
    let image = sparse(directory.join(fstype), size);
    let mut mkfs = match fstype {
        "ext4" => {
            let mut command = tool("mke2fs");
            command.args(["-q", "-t", "ext4", "-L", "HOST", "-U", UUID, "-d"]).arg(tree);
            command
        }
        "xfs" => {
            let mut command = tool("mkfs.xfs");
            command.args(["-q", "-L", "HOST", "-m", &format!("uuid={UUID}")]);
            command
        }
        "btrfs" => {
            let mut command = tool("mkfs.btrfs");
            command.args(["-q", "-L", "HOST", "-U", UUID, "--rootdir"]).arg(tree);
            command
        }
        _ => {
            let mut command = tool("mkfs.vfat");
            command.args(["-n", "HOST", "-i", "89abcdef"]);
            command
        }
    };
    run(mkfs.arg(&image));
    image
}

/// Has sfdisk make the table, and copies the partitions to where they start.
fn assemble(disk: &Path, size: u64, script: &str, partitions: &[(u64, &Path)]) {
    sparse(disk.to_owned(), size);
    let mut sfdisk = tool("sfdisk")
        .arg(disk)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("sfdisk");
    sfdisk.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("sfdisk reads");
    assert!(sfdisk.wait().expect("sfdisk").success(), "sfdisk rejects\n{script}");
    let mut out = File::options().write(true).open(disk).expect("the disk");
    for (sector, image) in partitions {
        out.seek(SeekFrom::Start(sector * 512)).expect("seek");
        io::copy(&mut File::open(image).expect("an image"), &mut out).expect("copy");
    }
}

fn host_tree(directory: &Path) -> PathBuf {
    let tree = directory.join("host");
    fs::create_dir_all(tree.join("dir")).expect("directories");
    fs::write(tree.join("dir/abc"), "abc\n").expect("a file");
    std::os::unix::fs::symlink("abc", tree.join("dir/link")).expect("a link");
    tree
}

#[test]
fn image_formats_made_by_the_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let ext4 = made_by_host(dir.path(), "ext4", 16 * MIB, &host_tree(dir.path()));
    let raw = dir.path().join("disk.raw");
    let script = "label: gpt\nlabel-id: 01234567-89ab-cdef-0123-456789abcdef\n\
                  start=2048, size=32768, type=linux, name=\"from sfdisk\"\n";
    assemble(&raw, 20 * MIB, script, &[(2048, &ext4)]);
    let g = crate::support::handle();
    for format in ["raw", "qcow2", "vmdk", "vdi"] {
        let image = dir.path().join(format!("disk.{format}"));
        if format != "raw" {
            run(tool("qemu-img")
                .args(["convert", "-f", "raw", "-O", format])
                .arg(&raw)
                .arg(&image));
        }
        assert_eq!(g.disk_format(bytes(&image)).expect("disk_format"), format);
        let read_only = AddDriveOptions {
            format: Some(format.into()),
            readonly: Some(true),
            ..Default::default()
        };
        g.add_drive(bytes(&image), &read_only).expect("add_drive");
    }
    g.launch().expect("launch");
    for device in ["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd"] {
        let partition = format!("{device}1");
        assert_eq!(g.part_get_parttype(device).expect("part_get_parttype"), "gpt");
        assert_eq!(g.part_get_name(device, 1).expect("part_get_name"), "from sfdisk");
        let parts = g.part_list(device).expect("part_list");
        assert_eq!((parts.len(), parts[0].part_start, parts[0].part_size), (1, MIB, 16 * MIB));
        check_filesystem(&g, &partition, "ext4", UUID);
        g.mount_ro(&partition, "/").expect("mount_ro");
        assert_eq!(g.cat("/dir/link").expect("cat"), "abc\n");
        let sum = g.checksum("md5", "/dir/abc").expect("checksum");
        assert_eq!(sum, "0bee89b07a248e27c83fc3d5951213c1");
        g.umount_all().expect("umount_all");
    }
}

#[track_caller]
fn check_filesystem(g: &Handle, partition: &str, fstype: &str, uuid: &str) {
    assert_eq!(g.vfs_type(partition).expect("vfs_type"), fstype);
    assert_eq!(g.vfs_label(partition).expect("vfs_label"), "HOST");
    assert_eq!(g.vfs_uuid(partition).expect("vfs_uuid"), uuid);
}

#[test]
fn filesystems_made_by_the_host_in_logical_partitions() {
    let dir = tempfile::tempdir().expect("a directory");
    let tree = host_tree(dir.path());
    let vfat = made_by_host(dir.path(), "vfat", 32 * MIB, &tree);
    let xfs = made_by_host(dir.path(), "xfs", 320 * MIB, &tree);
    let btrfs = made_by_host(dir.path(), "btrfs", 128 * MIB, &tree);
    let disk = dir.path().join("disk");
    let sectors = |mib: u64| mib * MIB / 512;
    let script = format!(
        "label: dos\nlabel-id: 0x12345678\n\
         start={}, size={}, type=c, bootable\n\
         start={}, size={}, type=5\n\
         start={}, size={}, type=83\n\
         start={}, size={}, type=83\n",
        sectors(1),
        sectors(32),
        sectors(34),
        sectors(456),
        sectors(35),
        sectors(320),
        sectors(356),
        sectors(128),
    );
    let at = [(sectors(1), &*vfat), (sectors(35), &*xfs), (sectors(356), &*btrfs)];
    assemble(&disk, 500 * MIB, &script, &at);
    let g = launched(&[&disk]);
    assert_eq!(g.part_get_parttype("/dev/sda").expect("part_get_parttype"), "msdos");
    let parts = g.part_list("/dev/sda").expect("part_list");
    let parts: Vec<_> = parts.iter().map(|it| (it.part_num, it.part_start / MIB)).collect();
    assert_eq!(parts, [(1, 1), (2, 34), (5, 35), (6, 356)]);
    assert_eq!(g.part_get_mbr_id("/dev/sda", 1).expect("part_get_mbr_id"), 0x0c);
    assert_eq!(g.part_get_mbr_id("/dev/sda", 2).expect("part_get_mbr_id"), 0x05);
    assert!(g.part_get_bootable("/dev/sda", 1).expect("part_get_bootable"));
    assert!(!g.part_get_bootable("/dev/sda", 5).expect("part_get_bootable"));
    let mut found: Vec<_> = g
        .list_filesystems()
        .expect("list_filesystems")
        .into_iter()
        .map(|(name, fstype)| format!("{name} {fstype}"))
        .collect();
    found.sort();
    assert_eq!(found, ["/dev/sda1 vfat", "/dev/sda5 xfs", "/dev/sda6 btrfs"]);
    check_filesystem(&g, "/dev/sda1", "vfat", "89AB-CDEF");
    check_filesystem(&g, "/dev/sda5", "xfs", UUID);
    check_filesystem(&g, "/dev/sda6", "btrfs", UUID);
    g.mount("/dev/sda6", "/").expect("mount");
    assert_eq!(g.cat("/dir/link").expect("cat"), "abc\n");
    g.umount_all().expect("umount_all");
    for partition in ["/dev/sda1", "/dev/sda5"] {
        g.mount(partition, "/").expect("mount");
        g.write("/new", b"new\n").expect("write");
        assert_eq!(g.cat("/new").expect("cat"), "new\n");
        g.umount_all().expect("umount_all");
    }
    g.close().expect("close");
}

/// The host's own LVM needs root and the host's kernel: what is told apart here is two appliances.
#[test]
fn logical_volumes_are_found_by_the_next_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let disks = ["one", "two"].map(|name| sparse(dir.path().join(name), 64 * MIB));
    let g = launched(&[&disks[0], &disks[1]]);
    g.pvcreate("/dev/sda").expect("pvcreate");
    g.pvcreate("/dev/sdb").expect("pvcreate");
    g.vgcreate("vg", &["/dev/sda", "/dev/sdb"]).expect("vgcreate");
    g.lvcreate("lv", "vg", 100).expect("lvcreate");
    g.mkfs("ext4", "/dev/vg/lv", &Default::default()).expect("mkfs");
    g.mount("/dev/vg/lv", "/").expect("mount");
    g.write("/known", b"in a volume\n").expect("write");
    g.close().expect("close");
    let text = run(tool("blkid").args(["-p", "-o", "export"]).arg(&disks[0]));
    assert!(text.contains("TYPE=LVM2_member"), "{text}");

    // The order of the disks is not that of the first session.
    let g = launched(&[&disks[1], &disks[0]]);
    assert_eq!(g.pvs().expect("pvs"), ["/dev/sda", "/dev/sdb"]);
    assert_eq!(g.vgs().expect("vgs"), ["vg"]);
    assert_eq!(g.lvs().expect("lvs"), ["/dev/vg/lv"]);
    g.mount("/dev/vg/lv", "/").expect("mount");
    assert_eq!(g.cat("/known").expect("cat"), "in a volume\n");
    g.close().expect("close");
}
