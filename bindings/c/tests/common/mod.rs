// SPDX-License-Identifier: LGPL-2.1-or-later
//! The library as programs get it, and a C compiler.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Where the crate is.
pub const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// The directory of the library, which is built first.
pub fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c");
        let mut build = Command::new(Path::new(CRATE).join("build"));
        if cfg!(debug_assertions) {
            build.arg("--debug");
        }
        run(build.arg(&directory));
        directory
    })
}

/// Runs a program that must succeed.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|err| panic!("{command:?}: {err}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Compiles a program against the library, as its users do.
pub fn compile(source: &Path, program: &Path) {
    compile_with(&[], source, program);
}

/// The same with flags for the compiler.
pub fn compile_with(extra: &[&str], source: &Path, program: &Path) {
    let flags = run(Command::new("pkg-config")
        .args(["--cflags", "--libs", "libguestfs"])
        .env("PKG_CONFIG_PATH", library()));
    let flags = String::from_utf8(flags.stdout).unwrap();
    run(Command::new("cc")
        .args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g"])
        .args(extra)
        .arg(format!("-I{CRATE}/tests/c"))
        .arg(source)
        .arg("-o")
        .arg(program)
        .args(flags.split_whitespace()));
}

/// Runs a program that is linked with the library, in a directory of its own.
#[track_caller]
pub fn run_in(directory: &Path, program: &Path, args: &[&OsStr]) -> Output {
    run(Command::new(program).args(args).current_dir(directory).env("LD_LIBRARY_PATH", library()))
}
