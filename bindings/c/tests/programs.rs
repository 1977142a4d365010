// SPDX-License-Identifier: LGPL-2.1-or-later
//! Programs in C that use the library; each says by itself what is not as it should be.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use common::{CRATE, compile, run_in};

mod common;

fn source(name: &str) -> PathBuf {
    Path::new(CRATE).join("tests/c").join(name)
}

#[test]
fn config() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("config");
    compile(&source("config.c"), &program);
    let output = run_in(directory.path(), &program, &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\nclosed at exit\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "libguestfs: error: create_flags: flags 0x40: unknown bit\n\
         libguestfs: error: disk_format: filename: argument is NULL\n"
    );
}

/// What is generated from the description's tests of bindings.
#[test]
fn bind_test() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("bind_test");
    let source = Path::new(CRATE).join("../../generated/bind_test/bind_test.c");
    compile(&source, &program);
    let output = run_in(directory.path(), &program, &[]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.ends_with(" cases\n") && !printed.starts_with("0 "), "{printed}");
}

/// These need an appliance, which the environment names: `LIBGUESTFS_PATH`.
mod appliance {
    use super::*;

    #[test]
    fn a_disk_is_made_and_read() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("real");
        compile(&source("real.c"), &program);
        let output = run_in(directory.path(), &program, &[OsStr::new("disk.img")]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
    }
}
