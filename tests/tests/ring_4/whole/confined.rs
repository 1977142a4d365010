// SPDX-License-Identifier: LGPL-2.1-or-later
//! Places where programs are locked in: containers, sandboxes and build machines.
//!
//! A test that cannot make its place, because this machine forbids namespaces, says so.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use tempfile::TempDir;

use super::template::is_restored;
use crate::support::{run, session, with_scratch};

/// A user that nobody has heard of.
const STRANGER: u32 = 54321;

/// What tells a program about its user, and where it may put things.
const VARIABLES: [&str; 9] = [
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "LIBGUESTFS_TMPDIR",
    "LIBGUESTFS_CACHEDIR",
    "LIBGUESTFS_DEBUG",
];

/// A directory of the stranger's, where everybody gets to.
fn place() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    if geteuid().is_root() {
        chown(dir.path(), Some(STRANGER), Some(STRANGER)).expect("chown");
    }
    dir
}

/// Runs a program as the stranger, or as whoever this is if that isn't possible.
fn as_stranger(command: &mut Command) -> &mut Command {
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.current_dir("/");
    if !geteuid().is_root() {
        eprintln!("not root: the user is the one who runs this test");
        return command;
    }
    command.uid(STRANGER).gid(STRANGER)
}

/// Does what everybody does inside of what `wrapper` makes, a command that ends where the program
/// is to follow.
#[track_caller]
fn check(wrapper: &[&str], temporary: Option<&Path>) {
    let words = |program: &[&str]| {
        let all: Vec<_> = wrapper.iter().chain(program).map(ToString::to_string).collect();
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]);
        command
    };
    let mut probe = words(&["true"]);
    let probed = as_stranger(&mut probe).stdout(Stdio::null()).output().expect(wrapper[0]);
    if !probed.status.success() {
        eprintln!("skipped, as {} fails here: {}", wrapper[0], probed.stderr.escape_ascii());
        return;
    }
    let session = session("write-and-read");
    let mut command = words(&[session.get_program().to_str().expect("text")]);
    command.args(session.get_args());
    for (name, value) in session.get_envs() {
        command.env(name, value.expect("a value"));
    }
    as_stranger(&mut command);
    command.envs(temporary.map(|it| ("TMPDIR", it)));
    // The first may make a template, from which the second one goes on.
    for _ in 0..2 {
        assert_eq!(run(&mut command), "content\n");
    }
}

/// What is in a directory, other than what is remembered for the next launch.
fn left_over(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let names = entries.map(|it| it.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|it| !it.starts_with(".guestfs-")).collect()
}

#[test]
fn a_user_without_name_or_home() {
    let mut command = session("write-and-read");
    assert_eq!(run(as_stranger(&mut command)), "content\n");
}

#[test]
fn read_only_but_for_one_directory() {
    let dir = place();
    let path = dir.path().to_str().expect("text");
    let readonly = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/"];
    let rest = ["--dev", "/dev", "--proc", "/proc", "--bind", path, path];
    check(&[&readonly[..], &rest].concat(), Some(dir.path()));
    assert_eq!(left_over(dir.path()), [""; 0]);
}

/// Without KVM, shared memory, terminals, settings of the kernel, and anything but a memory
/// filesystem to write to.
#[test]
fn hardly_any_devices() {
    let mut wrapper = vec!["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/"];
    wrapper.extend([
        "--proc",
        "/proc",
        "--tmpfs",
        "/proc/sys",
        "--tmpfs",
        "/sys",
        "--tmpfs",
        "/dev",
    ]);
    for node in ["/dev/null", "/dev/urandom"] {
        wrapper.extend(["--dev-bind", node, node]);
    }
    wrapper.extend(["--tmpfs", "/run", "--dir", "/run/there", "--remount-ro", "/dev"]);
    check(&wrapper, Some(Path::new("/run/there")));
}

#[test]
fn root_of_a_user_namespace() {
    let dir = place();
    check(&["unshare", "--map-root-user", "--mount"], Some(dir.path()));
    assert_eq!(left_over(dir.path()), [""; 0]);
}

/// A guest that takes over qemu gets into a process which may do little.
#[test]
fn qemu_is_confined_itself() {
    let g = with_scratch(1 << 20);
    let check = |setting: &str| {
        let pid = g.get_pid().expect("get_pid");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
        let field = |name: &str| {
            let line = status.lines().find_map(|it| it.strip_prefix(name));
            line.map(|it| it.trim().to_owned())
        };
        assert_eq!(field("Seccomp:").as_deref(), Some("2"), "{setting}: {status}");
        assert_eq!(field("NoNewPrivs:").as_deref(), Some("1"), "{setting}: {status}");
    };
    assert!(is_restored(&g));
    check("restored");
    g.shutdown().expect("shutdown");
    g.set_backend_settings(&["template=0"]).expect("set_backend_settings");
    g.add_drive_scratch(1 << 20, &Default::default()).expect("a disk");
    g.launch().expect("launch");
    check("booted");
}
