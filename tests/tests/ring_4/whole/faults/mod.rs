// SPDX-License-Identifier: LGPL-2.1-or-later
//! What can be wrong with a machine: a launch says what and what to do about it, without being
//! asked for messages, in a bounded time, and leaves nothing behind.

mod appliance;
mod cache;
mod death;
mod disks;
mod host;
mod qemu;

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{handle, session};

/// A launch takes seconds, on a machine that is overloaded perhaps minutes.
const BOUND_SECONDS: &str = "400";

/// Directories of a place: whatever is in them after a failed launch was left behind.
const TEMPORARY: [&str; 3] = ["tmp", "environment-tmp", "run"];

/// Somewhere to launch in a process of its own, with something wrong.
struct Place {
    dir: TempDir,
    command: Command,
    /// What is done to the process before it becomes the program that launches.
    before: String,
    mounts: bool,
    nobody: bool,
    drives: Vec<String>,
}

impl Place {
    /// Nothing is wrong with it yet.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let anyone = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
        };
        anyone(dir.path());
        for name in TEMPORARY.into_iter().chain(["cache", "files"]) {
            fs::create_dir(dir.path().join(name)).expect("a directory");
            anyone(&dir.path().join(name));
        }
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", BOUND_SECONDS]);
        for variable in ["LIBGUESTFS_DEBUG", "LIBGUESTFS_TRACE", "LIBGUESTFS_HV"] {
            command.env_remove(variable);
        }
        // Trying KVM takes a while, and is not what is wrong.
        command.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
        command.env("LIBGUESTFS_TMPDIR", dir.path().join("tmp"));
        command.env("LIBGUESTFS_CACHEDIR", dir.path().join("cache"));
        command.env("TMPDIR", dir.path().join("environment-tmp"));
        command.env("XDG_RUNTIME_DIR", dir.path().join("run"));
        let drives = vec!["scratch".to_owned()];
        Self { dir, command, before: String::new(), mounts: false, nobody: false, drives }
    }

    /// Where files of the test may be.
    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("files").join(name)
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// A shell's commands, such as `ulimit`, which change the process that launches.
    fn before(mut self, commands: &str) -> Self {
        self.before = commands.to_owned();
        self
    }

    /// The commands may mount, which nobody else sees.
    fn with_mounts(mut self, commands: &str) -> Self {
        self.mounts = true;
        self.before(commands)
    }

    /// The user has no rights, if it is up to the test.
    fn without_rights(mut self) -> Self {
        self.nobody = true;
        self
    }

    fn drives(mut self, drives: &[String]) -> Self {
        self.drives = drives.to_vec();
        self
    }

    /// Has a program instead of qemu.
    fn hypervisor(self, script: &str) -> Self {
        let path = self.file("qemu-wrapper");
        program(&path, format!("#!/bin/bash\n{script}\n").as_bytes());
        self.env("LIBGUESTFS_HV", path)
    }

    /// Has a qemu that can do everything, and does something else when it is to run an appliance.
    fn hypervisor_that(self, does: &str) -> Self {
        let real = handle().get_hv().expect("get_hv");
        self.hypervisor(&format!(
            "case \"$*\" in *' -kernel '*)\n{does}\nesac\nexec '{real}' \"$@\""
        ))
    }

    /// Launching fails.  All of `says` is in the message.
    #[track_caller]
    fn fails(self, says: &[&str]) {
        let (printed, messages) = self.run();
        eprintln!("{printed}{messages}");
        assert_ne!(printed, "launched\n");
        for words in says {
            assert!(printed.contains(words), "{words:?} is missing in\n{printed}");
        }
        assert_eq!(messages, "", "more than the error was said");
    }

    /// Launching succeeds all the same.  What a verbose handle says about it is returned.
    #[track_caller]
    fn launches(self) -> String {
        let (printed, messages) = self.run();
        assert_eq!(printed, "launched\n", "{messages}");
        messages
    }

    #[track_caller]
    fn run(mut self) -> (String, String) {
        let session = session("launch");
        for (name, value) in session.get_envs() {
            if let Some(value) = value
                && !self.command.get_envs().any(|(it, _)| it == name)
            {
                self.command.env(name, value);
            }
        }
        if self.mounts {
            self.command.args(mounting());
        }
        if !self.before.is_empty() {
            let script = format!("set -e\n{}\nexec \"$@\"", self.before);
            self.command.args(["bash", "-c", &script, "bash"]);
        }
        if self.nobody && nix::unistd::geteuid().is_root() {
            self.command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
            self.command.args(["--inh-caps=-all", "--bounding-set=-all"]);
        }
        self.command.arg(session.get_program()).args(session.get_args()).args(&self.drives);
        let Output { status, stdout, stderr } = self.command.output().expect("timeout");
        let text = |it: Vec<u8>| String::from_utf8_lossy(&it).into_owned();
        let (stdout, stderr) = (text(stdout), text(stderr));
        assert_ne!(status.code(), Some(124), "it hangs\n{stdout}{stderr}");
        assert!(status.success(), "{status}\n{stdout}{stderr}");
        for directory in TEMPORARY {
            nothing_stays(&self.dir.path().join(directory));
        }
        only_cached(&self.cache());
        (stdout, stderr)
    }
}

/// Makes a program; a script, or whatever can be run.
fn program(path: &Path, content: &[u8]) {
    // Written under another name by another process: this one's forks may have it open for a
    // moment, and what somebody can write can't be run.
    let mut command = Command::new("sh");
    command.args(["-c", "cat \"$1.new\" >\"$1\" && chmod 755 \"$1\"", "sh"]).arg(path);
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, content).expect("a file");
    crate::support::run(&mut command);
    fs::remove_file(new).expect("the file");
}

/// What runs a program that may mount.
fn mounting() -> &'static [&'static str] {
    let root = nix::unistd::geteuid().is_root();
    if root { &["unshare", "--mount"] } else { &["unshare", "--mount", "--map-root-user"] }
}

/// Whether this user may mount, be it for themselves.
fn may_mount() -> bool {
    let mut command = Command::new("env");
    command.args(mounting()).args(["mount", "-t", "tmpfs", "none", "/mnt"]);
    let may = command.output().expect("env").status.success();
    if !may {
        eprintln!("this user may not mount: not tested");
    }
    may
}

#[track_caller]
fn nothing_stays(directory: &Path) {
    let entries = fs::read_dir(directory).expect("a directory");
    let names: Vec<_> = entries.map(|it| it.expect("an entry").path()).collect();
    assert!(names.is_empty(), "left over: {names:?}");
}

/// What makes the next launch faster is kept on purpose, in one place, and is all that is.
#[track_caller]
fn only_cached(cachedir: &Path) {
    let entries = fs::read_dir(cachedir).expect("the cache directory");
    for entry in entries {
        let private = entry.expect("an entry");
        let name = private.file_name().into_string().expect("text");
        assert!(name.starts_with(".guestfs-"), "left over: {name}");
        let Ok(entries) = fs::read_dir(private.path()) else { continue };
        for entry in entries {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("text");
            let (kind, _) = name.split_once('-').expect("a kind of what is cached");
            assert!(["fact", "template"].contains(&kind), "left over: {name}");
            assert!(!name.contains("new") && !name.contains("tmp"), "half made: {name}");
            if name.ends_with("-lock") {
                let lock = File::open(entry.path()).expect("the lock");
                let held = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
                assert!(!held, "{name} is held");
            }
        }
    }
}
