// SPDX-License-Identifier: LGPL-2.1-or-later
//! Results of any length come whole, in each language, or not at all: what a message of the
//! protocol has to hold is refused when it is longer, and the handle works on.

use std::path::{Path, PathBuf};

use guestfs::{AddDriveOptions, Handle};

use crate::support::{
    appliance, bytes, handle, hold_build, launched, refused, run, sparse, target, tool, top,
};

const NAMES: usize = 200_000;
const MIB: usize = 1 << 20;

/// Content of 64 MiB, in lines.
fn content() -> Vec<u8> {
    b"0123456789abcde\n".repeat(64 * MIB / 16)
}

/// A disk with very many files, and a large one.
fn disk(directory: &Path) -> PathBuf {
    let disk = sparse(directory.join("disk"), 1 << 30);
    run(tool("mke2fs").args(["-q", "-t", "ext4", "-O", "^has_journal", "-N", "210000"]).arg(&disk));
    let g = launched(&[&disk]);
    g.mount("/dev/sda", "/").expect("mount");
    g.mkdir("/many").expect("mkdir");
    g.fill_dir("/many", NAMES as i32).expect("fill_dir");
    g.write("/large", &content()).expect("write");
    g.close().expect("close");
    disk
}

fn mounted(disk: &Path) -> Handle {
    let g = handle();
    let readonly =
        AddDriveOptions { format: Some("raw".into()), readonly: Some(true), ..Default::default() };
    g.add_drive(bytes(disk), &readonly).expect("add_drive");
    g.launch().expect("launch");
    g.mount_ro("/dev/sda", "/").expect("mount_ro");
    g
}

#[test]
fn large_results() {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let disk = disk(dir.path());
    in_rust(&disk);
    in_python(&disk);
    in_c(&disk, dir.path());
}

fn in_rust(disk: &Path) {
    let g = mounted(disk);
    let names = g.ls("/many").expect("ls");
    let expected = (0..NAMES).map(|n| format!("{n:08}"));
    assert!(names.len() == NAMES && names.iter().zip(expected).all(|(got, it)| *got == it));
    assert!(g.find("/many").expect("find") == names);
    let entries = g.readdir("/many").expect("readdir");
    // There are `.` and `..`, too.
    assert!(entries[2..].iter().zip(&names).all(|(entry, name)| entry.name == *name));
    assert_eq!(entries.len(), NAMES + 2);
    let stats = g.lstatnslist("/many", &names).expect("lstatnslist");
    assert!(stats.iter().zip(&entries[2..]).all(|(stat, entry)| stat.st_ino == entry.ino));
    assert_eq!(stats.len(), NAMES);
    let links = g.readlinklist("/many", &names).expect("readlinklist");
    assert!(links.len() == NAMES && links.iter().all(|it| it.is_empty()));
    // A file without attributes is an empty name and their number, and no more.
    assert_eq!(g.lxattrlist("/many", &names[..5000]).expect("lxattrlist").len(), 5000);

    let large = content();
    assert!(g.read_file("/large").expect("read_file") == large);
    assert!(g.cat("/large").expect("cat") == large.as_slice());
    assert_eq!(g.read_lines("/large").expect("read_lines").len(), large.len() / 16);

    let too_long = "the result has more than 4194256 bytes";
    let check = |name: &str, result: guestfs::Result<usize>| {
        refused(result, &format!("EFBIG {name}: /large: {too_long}"));
    };
    check("strings", g.strings("/large").map(|it| it.len()));
    check("head_n", g.head_n(1 << 20, "/large").map(|it| it.len()));
    check("tail_n", g.tail_n(1 << 20, "/large").map(|it| it.len()));
    check("grep", g.grep("a", "/large", &Default::default()).map(|it| it.len()));
    refused(g.ll("/many"), "EFBIG ll: /many: too many files for one listing: use readdir");
    assert_eq!(g.glob_expand("/many/0000?000", &Default::default()).expect("some").len(), 10);
    assert_eq!(g.tail_n(2, "/large").expect("tail_n"), ["0123456789abcde"; 2]);
    g.ping_daemon().expect("the handle works");
}

fn in_python(disk: &Path) {
    let script = top().join("tests/tests/ring_4/whole/python/large.py");
    let mut command = tool("/usr/bin/python3");
    command.arg(script).arg(disk).env("PYTHONPATH", target().join("python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("LIBGUESTFS_PATH", appliance());
    assert_eq!(run(&mut command), "");
}

fn in_c(disk: &Path, directory: &Path) {
    let program = directory.join("program");
    let library = target().join("c");
    run(tool("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(top().join("generated/c"))
        .arg(top().join("tests/tests/ring_4/whole/large.c"))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(&library)
        .arg("-lguestfs"));
    let mut command = tool(program);
    command.arg(disk).env("LD_LIBRARY_PATH", library).env("LIBGUESTFS_PATH", appliance());
    assert_eq!(run(&mut command), "200000 200000 200002 200000 200000 67108864 4194304\n");
}
