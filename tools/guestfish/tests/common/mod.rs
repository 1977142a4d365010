// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runs the program in an empty directory, and compares what it says.

#![expect(clippy::unwrap_used, reason = "called by tests, which end where something is wrong")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// An empty directory to run in, which is also the home.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs it with these arguments and this standard input: exit status, standard output and
    /// standard error.
    pub fn run(&self, args: &[&str], stdin: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guestfish"));
        command.args(args).current_dir(self.directory.path()).env("HOME", self.directory.path());
        for name in ["LIBGUESTFS_TRACE", "LIBGUESTFS_DEBUG", "XDG_CONFIG_HOME", "EDITOR", "PAGER"] {
            command.env_remove(name);
        }
        if std::env::var_os("LIBGUESTFS_PATH").is_none() {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
            command.env("LIBGUESTFS_PATH", root.join("target/appliance"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It need not read all of it.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |it: Vec<u8>| String::from_utf8_lossy(&it).into_owned();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// All goes well, and this is printed.
    #[track_caller]
    pub fn check(&self, args: &[&str], stdin: &str, expected: &str) {
        let (status, stdout, stderr) = self.run(args, stdin);
        assert_eq!((stdout.as_str(), stderr.as_str(), status), (expected, "", 0));
    }
}
