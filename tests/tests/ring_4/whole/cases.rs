// SPDX-License-Identifier: LGPL-2.1-or-later
//! The cases of `api.yaml` in C and in Python, on the disks that the cases in Rust have.
//!
//! For each function one case is run, the first that succeeds if there is one; all of them with
//! `GUESTFS_TEST_CASES=all`, and those that have a text in their titles with that text.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disks;
use crate::filesystems::{Filesystem, image};
use crate::support::{appliance, hold_build, run, target, top};

fn generated(language: &str) -> PathBuf {
    top().join("generated/tests").join(language)
}

/// The group of a file: that of many cases has several files, `file`, `file_2` and so on.
fn group(file: &Path) -> String {
    let name = file.file_stem().expect("a name").to_string_lossy();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    name.trim_end_matches('_').to_owned()
}

fn files(language: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(generated(language)).expect("generated/tests");
    let mut files: Vec<_> = entries.map(|it| it.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "c" || it == "py"));
    files.sort();
    files
}

/// Makes all disks, and runs the program with its environment in a directory of its own.
#[track_caller]
fn run_cases(command: &mut Command, directory: &Path) {
    let ext4 = disks::ext4();
    for filesystem in [Filesystem::Xfs, Filesystem::Btrfs, Filesystem::Vfat, Filesystem::Ntfs] {
        image(filesystem);
    }
    command.env("GUESTFS_TEST_IMAGES", ext4.parent().expect("a directory"));
    command.env("LIBGUESTFS_PATH", appliance()).current_dir(directory);
    let printed = run(command);
    assert!(printed.ends_with(" cases\n"), "{printed}");
}

#[track_caller]
fn in_python(name: &str) {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(python);
    command
        .args(["-W", "error", "-W", "ignore::DeprecationWarning"])
        .arg(top().join("bindings/python/tests/run_cases.py"))
        .args(files("python").iter().filter(|file| group(file) == name))
        .env("PYTHONPATH", target().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    run_cases(&mut command, dir.path());
}

/// What the library gives away is freed by the cases, and the compiler's own means see to that.
#[track_caller]
fn in_c(name: &str) {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let support = top().join("bindings/c/tests/c");
    let library = target().join("c");
    for file in files("c").iter().filter(|file| group(file) == name) {
        let program = dir.path().join(file.file_stem().expect("a name"));
        run(Command::new("cc")
            .args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g"])
            .arg("-fsanitize=address")
            .arg("-I")
            .arg(&support)
            .arg("-I")
            .arg(&library)
            .arg(file)
            .arg(support.join("cases.c"))
            .arg("-o")
            .arg(&program)
            .arg("-L")
            .arg(&library)
            .arg("-lguestfs"));
        run_cases(Command::new(program).env("LD_LIBRARY_PATH", &library), dir.path());
    }
}

macro_rules! groups {
    ($($group:ident)*) => {
        mod python {
            $(#[test]
            fn $group() {
                super::in_python(stringify!($group));
            })*
        }

        mod c {
            $(#[test]
            fn $group() {
                super::in_c(stringify!($group));
            })*
        }
    };
}

include!("../../../../generated/tests/groups.rs");
