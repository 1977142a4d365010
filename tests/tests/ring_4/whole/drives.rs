// SPDX-License-Identifier: LGPL-2.1-or-later
//! As many drives as there can be, in the order in which they were added, each as it was asked for.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use guestfs::{AddDriveOptions, AddDriveScratchOptions, DiskCreateOptions, Handle};

use super::template::is_restored;
use crate::support::{add_raw, appliance, bytes, handle, refused, run, sparse};

const MIB: u64 = 1 << 20;
const MOST: usize = 255;

/// A disk that begins with its name.
fn marked(path: PathBuf) -> PathBuf {
    let path = sparse(path, MIB);
    let name = path.file_name().expect("a name");
    let file = File::options().write(true).open(&path).expect("a disk");
    file.write_all_at(name.as_encoded_bytes(), 0).expect("write");
    path
}

/// How a disk of the guest begins.
#[track_caller]
fn beginning(g: &Handle, device: &str, len: usize) -> String {
    let copy = tempfile::NamedTempFile::new().expect("a file");
    g.download_offset(device, copy.path(), 0, len as i64).unwrap_or_else(|err| panic!("{err}"));
    fs::read_to_string(copy.path()).expect("text")
}

/// `/dev/sda` to `/dev/sdz`, `/dev/sdaa` and so on.
fn device_names() -> impl Iterator<Item = String> {
    let letters = || (b'a'..=b'z').map(char::from);
    let pairs = letters().flat_map(move |a| letters().map(move |b| format!("/dev/sd{a}{b}")));
    letters().map(|it| format!("/dev/sd{it}")).chain(pairs)
}

fn qcow2_over(base: &Path, overlay: &Path) {
    let over = DiskCreateOptions {
        backingfile: Some(bytes(base).into()),
        backingformat: Some("raw".into()),
        ..Default::default()
    };
    handle().disk_create(bytes(overlay), "qcow2", -1, &over).expect("disk_create");
}

fn label(index: usize) -> String {
    format!("label-{index}x")
}

/// Adds the drive with this number, which is of one of five kinds.
fn add(g: &Handle, dir: &Path, index: usize) {
    let disk = dir.join(format!("drive-{index:03}"));
    let overlay = disk.with_extension("qcow2");
    let raw = || Some("raw".into());
    let (file, options) = match index % 5 {
        0 => (disk, AddDriveOptions { format: raw(), ..Default::default() }),
        1 => (
            disk,
            AddDriveOptions {
                readonly: Some(true),
                label: Some(label(index).into()),
                ..Default::default()
            },
        ),
        // Every other format is found out.
        2 => (
            overlay,
            AddDriveOptions {
                format: (index.is_multiple_of(2)).then(|| "qcow2".into()),
                copyonread: Some(true),
                ..Default::default()
            },
        ),
        3 => (
            disk,
            AddDriveOptions {
                format: raw(),
                label: Some(label(index).into()),
                blocksize: Some(4096),
                cachemode: Some("unsafe".into()),
                discard: Some("besteffort".into()),
                ..Default::default()
            },
        ),
        _ => {
            let options =
                AddDriveScratchOptions { label: Some(label(index).into()), ..Default::default() };
            return g.add_drive_scratch(scratch_size(index), &options).expect("a scratch disk");
        }
    };
    g.add_drive(bytes(&file), &options).unwrap_or_else(|err| panic!("{err}"));
}

fn scratch_size(index: usize) -> i64 {
    MIB as i64 + 512 * index as i64
}

#[test]
fn as_many_as_there_can_be() {
    let dir = tempfile::tempdir().expect("a directory");
    for index in 0..MOST {
        let disk = marked(dir.path().join(format!("drive-{index:03}")));
        if index % 5 == 2 {
            qcow2_over(&disk, &disk.with_extension("qcow2"));
        }
    }
    // Booted or not, the kernel names disks in the order in which they answer.
    for (settings, restored) in [(["template=1"], true), (["template=0"], false)] {
        let g = handle();
        g.set_backend_settings(&settings).expect("set_backend_settings");
        (0..MOST).for_each(|index| add(&g, dir.path(), index));
        let one_more = g.add_drive_scratch(512, &Default::default());
        refused(one_more, "ENOSPC add_drive_scratch: scratch disk: more than 255 drives");
        g.launch().unwrap_or_else(|err| panic!("{err}"));
        assert_eq!(is_restored(&g), restored);
        assert_eq!(g.nr_devices(), Ok(MOST as i32));
        let devices = g.list_devices().expect("list_devices");
        let expected: Vec<_> = device_names().take(MOST).collect();
        assert_eq!(devices, expected);
        // An emulator takes its time for all of them.
        let step = if restored { 1 } else { 8 };
        for (index, device) in expected.iter().enumerate().step_by(step) {
            check(&g, dir.path(), index, device);
        }
        g.close().expect("close");
    }
}

/// The drive is the one with this number, and as it was asked for.
#[track_caller]
fn check(g: &Handle, dir: &Path, index: usize, device: &str) {
    let labelled = format!("/dev/disk/guestfs/{}", label(index));
    let name = format!("drive-{index:03}");
    match index % 5 {
        4 => {
            assert_eq!(g.blockdev_getsize64(device), Ok(scratch_size(index)), "{device}");
            assert_eq!(g.blockdev_getsize64(&labelled), Ok(scratch_size(index)), "{device}");
        }
        kind => {
            assert_eq!(beginning(g, device, name.len()), name, "{device}");
            if [1, 3].contains(&kind) {
                assert_eq!(beginning(g, &labelled, name.len()), name, "{labelled}");
            }
            let sector = if kind == 3 { 4096 } else { 512 };
            assert_eq!(g.blockdev_getss(device), Ok(sector), "{device}");
        }
    }
    // What is written to a drive is in its image, unless that is only to be read.
    if index < 5 {
        let note = dir.join("note");
        fs::write(&note, format!("note for {name}")).expect("a file");
        g.upload_offset(&note, device, 8192).expect("upload_offset");
        g.sync().expect("sync");
        let mut content = [0; 18];
        let file = File::open(dir.join(&name)).expect("a disk");
        file.read_exact_at(&mut content, 8192).expect("read");
        let written = content.escape_ascii().to_string();
        assert_eq!(written == format!("note for {name}"), [0, 3].contains(&index), "{written}");
    }
}

/// Drives of a program which may open few files are no fewer.
#[test]
fn more_than_files_may_be_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let disks: Vec<_> = (0..100).map(|it| marked(dir.path().join(format!("{it:03}")))).collect();
    let program = run(std::process::Command::new("prlimit")
        .arg("--nofile=64:4096")
        .arg(env!("CARGO_BIN_EXE_session"))
        .arg("launch")
        .args(disks.iter().map(|it| format!("raw:{}", it.display())))
        .env("LIBGUESTFS_PATH", appliance()));
    assert_eq!(program, "launched\n");
}

/// Two disks, of which only the second has the option; how many blocks of the host each has lost
/// or won by what was done in the guest.
#[track_caller]
fn effect(make: impl Fn(&Path), option: AddDriveOptions, deed: impl FnOnce(&Handle)) -> [i64; 2] {
    let dir = tempfile::tempdir().expect("a directory");
    let disks = ["without", "with"].map(|it| dir.path().join(it));
    disks.iter().for_each(|it| make(it));
    let blocks = || disks.each_ref().map(|it| fs::metadata(it).expect("a disk").blocks() as i64);
    let before = blocks();
    let g = handle();
    let without = AddDriveOptions { format: option.format.clone(), ..Default::default() };
    g.add_drive(bytes(&disks[0]), &without).expect("add_drive");
    g.add_drive(bytes(&disks[1]), &option).expect("add_drive");
    g.launch().unwrap_or_else(|err| panic!("{err}"));
    deed(&g);
    g.close().expect("close");
    let after = blocks();
    [after[0] - before[0], after[1] - before[1]]
}

#[test]
fn what_is_discarded_is_given_back() {
    let full = |path: &Path| {
        fs::write(path, vec![0x55; MIB as usize]).expect("a disk");
        File::open(path).and_then(|it| it.sync_all()).expect("sync");
    };
    for discard in ["enable", "besteffort"] {
        let option = AddDriveOptions {
            format: Some("raw".into()),
            discard: Some(discard.into()),
            ..Default::default()
        };
        let [without, with] = effect(full, option, |g| {
            let command = "for disk in /dev/sd?; do blkdiscard $disk || exit 1; done";
            g.debug("sh", &[command]).unwrap_or_else(|err| panic!("{err}"));
        });
        assert_eq!(without, 0);
        assert!(with < 0, "{with}");
    }
}

#[test]
fn what_is_read_is_copied() {
    let bases = tempfile::tempdir().expect("a directory");
    let base = bases.path().join("base");
    fs::write(&base, vec![0x55; MIB as usize]).expect("a disk");
    let option = AddDriveOptions {
        format: Some("qcow2".into()),
        copyonread: Some(true),
        ..Default::default()
    };
    let [without, with] = effect(
        |path| qcow2_over(&base, path),
        option,
        |g| {
            for device in ["/dev/sda", "/dev/sdb"] {
                g.download(device, "/dev/null").expect("download");
            }
        },
    );
    assert_eq!(without, 0);
    assert!(with > 0, "{with}");
}

/// qemu is told what costs speed, or saves it.
#[test]
fn caches() {
    let dir = tempfile::tempdir().expect("a directory");
    let g = handle();
    for mode in ["writeback", "unsafe"] {
        let option = AddDriveOptions { cachemode: Some(mode.into()), ..Default::default() };
        g.add_drive(bytes(&marked(dir.path().join(mode))), &option).expect("add_drive");
    }
    add_raw(&g, &marked(dir.path().join("default")));
    g.launch().unwrap_or_else(|err| panic!("{err}"));
    let pid = g.get_pid().expect("get_pid");
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).expect("the arguments");
    let flushed = |name: &str| {
        let mut arguments = arguments.split(|it| *it == 0).map(|it| String::from_utf8_lossy(it));
        let node = arguments.find(|it| it.contains(&format!("/{name}\""))).expect("a node");
        node.contains(r#""no-flush":false"#)
    };
    assert_eq!(["writeback", "unsafe", "default"].map(flushed), [true, false, true]);
}
