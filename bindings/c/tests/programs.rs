// SPDX-License-Identifier: LGPL-2.1-or-later
//! Programs in C that use the library; each says by itself what is not as it should be.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{CRATE, compile, compile_with, library, run_in};

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

#[test]
fn misuse() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("misuse");
    compile(&source("misuse.c"), &program);
    let output = run_in(directory.path(), &program, &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "closed at exit\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn threads() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("threads");
    compile(&source("threads.c"), &program);
    let output = run_in(directory.path(), &program, &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
}

/// What is generated from the description's tests of bindings.
#[test]
fn bind_test() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("bind_test");
    let cases = Path::new(CRATE).join("../../generated/tests/c/bind_test.c");
    let support = source("cases.c").display().to_string();
    compile_with(&[&support], &cases, &program);
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

    /// A program that exits closes its handles, and what was written is on the disk.
    #[test]
    fn a_handle_is_left_open() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("left_open");
        compile(&source("left_open.c"), &program);
        let run = |arg| {
            let output = run_in(directory.path(), &program, &[OsStr::new("disk.img"), arg]);
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert_eq!(run(OsStr::new("write")), "closed\n");
        assert_eq!(run(OsStr::new("read")), "text\nclosed\n");
    }

    /// What is allocated is freed.  Valgrind has never heard of `pidfd_open`, so that nothing can
    /// be launched with it; the compiler's own means see less, but let qemu be started.
    #[test]
    fn memory_of_a_session() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("real");
        compile_with(&["-fsanitize=address"], &source("real.c"), &program);
        let output = run_in(directory.path(), &program, &[OsStr::new("disk.img")]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }

    /// A program reads nothing that it must not, and what is not in use any more was freed.  These
    /// are here as they take their time.
    #[track_caller]
    fn memory(name: &str, says: &str) {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join(name);
        compile(&source(&format!("{name}.c")), &program);
        let log = directory.path().join("log");
        let mut command = Command::new("valgrind");
        command
            .args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--num-callers=30"])
            .arg("--show-leak-kinds=definite,indirect")
            .arg("--errors-for-leak-kinds=definite,indirect")
            .arg(format!("--log-file={}", log.display()))
            .arg(program)
            .current_dir(directory.path())
            .env("LD_LIBRARY_PATH", library());
        let output = command.output().unwrap_or_else(|err| panic!("{command:?}: {err}"));
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(output.status.success(), "{name}: {}: {printed}{log}", output.status);
        assert!(printed.contains(says), "{printed}");
    }

    #[test]
    fn memory_of_config() {
        memory("config", "ok\nclosed at exit\n");
    }

    #[test]
    fn memory_of_misuse() {
        memory("misuse", "closed at exit\n");
    }

    #[test]
    fn memory_of_threads() {
        memory("threads", "ok\n");
    }
}
