// SPDX-License-Identifier: LGPL-2.1-or-later
//! What tests of several subjects need.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use guestfs::{AddDriveOptions, Handle};

/// A handle that uses the appliance of this tree, unless told otherwise.
pub(crate) fn handle() -> Handle {
    let g = Handle::create().expect("a handle");
    g.set_path(Some(appliance().as_encoded_bytes())).expect("set_path");
    g
}

/// A launched handle with these raw disks.
#[track_caller]
pub(crate) fn launched(disks: &[&Path]) -> Handle {
    let g = handle();
    for disk in disks {
        add_raw(&g, disk);
    }
    if let Err(err) = g.launch() {
        panic!("{err}");
    }
    g
}

/// A launched handle with a disk that goes with it.
#[track_caller]
pub(crate) fn with_scratch(size: i64) -> Handle {
    let g = handle();
    g.add_drive_scratch(size, &Default::default()).expect("a scratch disk");
    if let Err(err) = g.launch() {
        panic!("{err}");
    }
    g
}

/// A launched handle with an empty filesystem of this size mounted.
#[track_caller]
pub(crate) fn with_ext4(size: i64) -> Handle {
    let g = with_scratch(size);
    g.mkfs("ext4", "/dev/sda", &Default::default()).expect("mkfs");
    g.mount("/dev/sda", "/").expect("mount");
    g
}

pub(crate) fn add_raw(g: &Handle, disk: &Path) {
    let raw = AddDriveOptions { format: Some("raw".into()), ..Default::default() };
    g.add_drive(bytes(disk), &raw).expect("add_drive");
}

/// Where the appliance is looked for.
pub(crate) fn appliance() -> std::ffi::OsString {
    std::env::var_os("LIBGUESTFS_PATH").unwrap_or_else(|| target().join("appliance").into())
}

pub(crate) fn target() -> PathBuf {
    top().join("target")
}

/// Keeps `make` from replacing what a test is using, as long as the file is open.
pub(crate) fn hold_build() -> File {
    let file = build_lock();
    file.lock_shared().expect("a lock");
    file
}

/// For the test that runs `make`.
pub(crate) fn replace_build() -> File {
    let file = build_lock();
    file.lock().expect("a lock");
    file
}

fn build_lock() -> File {
    File::create(target().join("ring-4.lock")).expect("a file to lock")
}

/// The top of the source tree.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

pub(crate) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// A file of zeroes that takes no room.
pub(crate) fn sparse(path: PathBuf, size: u64) -> PathBuf {
    let file = File::create(&path).expect("a file");
    file.set_len(size).expect("its size");
    path
}

/// Makes a program of a script.
pub(crate) fn program(directory: &Path, name: &str, script: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, script).expect("a script");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("chmod");
    path
}

/// A program of the host; those for filesystems are where users don't look for programs.
pub(crate) fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

/// Runs a program that has to succeed, and returns what it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = match command.output() {
        Ok(output) => output,
        Err(err) => panic!("{command:?}: {err}"),
    };
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}

/// The program that does in a process of its own what a test must not do in the process of all.
pub(crate) fn session(scene: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_session"));
    command.arg(scene).env("LIBGUESTFS_PATH", appliance());
    command
}

/// The call failed, and its error, `ERRNO function: object: reason`, has these words.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: guestfs::Result<T>, says: &str) {
    match result {
        Ok(value) => panic!("\nexpected {says:?}\ngot the value {value:?}"),
        Err(err) => {
            let got = format!("{} {err}", guestfs_protocol::errno::name(err.errno()));
            assert!(got.contains(says), "\nexpected {says:?}\ngot      {got:?}");
        }
    }
}

/// Has a program run as a user who owns nothing, if this one may do that.
pub(crate) fn as_nobody(command: &mut Command) -> &mut Command {
    if nix::unistd::geteuid().is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

const NOBODY: u32 = 65534;

/// A pipe with a name: how far a transfer from or to it gets is up to the test.
pub(crate) fn fifo(path: PathBuf) -> PathBuf {
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    path
}

/// Something that runs in a thread, and has to end.
pub(crate) struct Running<T>(mpsc::Receiver<T>);

/// No call of a test takes that long, on any machine.
const PATIENCE: Duration = Duration::from_secs(600);

impl<T: Send + 'static> Running<T> {
    pub(crate) fn start(body: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(body()));
        Self(receiver)
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(self) -> T {
        match self.0.recv_timeout(PATIENCE) {
            Ok(value) => value,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("it panicked"),
        }
    }
}
