// SPDX-License-Identifier: LGPL-2.1-or-later
//! qemu dies, or the program does: nothing hangs, nothing stays, and a handle can go on.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use guestfs::{Events, Handle};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{nothing_stays, only_cached, program};
use crate::support::{Running, bytes, fifo, handle, refused, run, session};

const MIB: usize = 1 << 20;

fn kill_9(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill");
}

/// A handle whose directories are its own, and which counts the ends of its appliance.
struct Watched {
    g: Arc<Handle>,
    quits: Arc<AtomicUsize>,
    dir: TempDir,
}

impl Watched {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let g = handle();
        for name in ["tmp", "cache", "pipes"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        g.set_tmpdir(Some(bytes(&dir.path().join("tmp")))).expect("set_tmpdir");
        g.set_cachedir(Some(bytes(&dir.path().join("cache")))).expect("set_cachedir");
        let quits = Arc::new(AtomicUsize::new(0));
        let counter = quits.clone();
        g.set_event_callback(Events::SUBPROCESS_QUIT, move |_, _, _, _| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        g.add_drive_scratch(256 << 20, &Default::default()).expect("a disk");
        Self { g: Arc::new(g), quits, dir }
    }

    fn launched() -> Self {
        let it = Self::new();
        it.g.launch().expect("launch");
        it
    }

    /// The error says what happened, and the handle is as good as new.
    #[track_caller]
    fn recovers(&self, result: guestfs::Result<()>, quits: usize) {
        refused(result, "qemu was killed by signal 9");
        assert_eq!(self.quits.load(Ordering::SeqCst), quits, "events that the appliance has gone");
        assert_eq!(self.g.is_config(), Ok(true));
        refused(self.g.get_pid(), "ESRCH get_pid: the appliance is not running");
        nothing_stays(&self.dir.path().join("tmp"));
        only_cached(&self.dir.path().join("cache"));
        let g = self.g.clone();
        Running::start(move || {
            g.add_drive_scratch(64 << 20, &Default::default()).expect("a disk");
            g.launch().expect("a second launch");
            g.mkfs("ext4", "/dev/sda", &Default::default()).expect("mkfs");
            g.mount("/dev/sda", "/").expect("mount");
            g.write("/file", b"content").expect("write");
            assert_eq!(g.cat("/file").expect("cat"), "content");
            g.shutdown().expect("shutdown");
        })
        .end();
    }
}

#[test]
fn qemu_dies_while_it_is_sent_a_file() {
    let it = Watched::launched();
    let pid = it.g.get_pid().expect("get_pid");
    let pipe = fifo(it.dir.path().join("pipes/source"));
    let upload = {
        let (g, pipe) = (it.g.clone(), pipe.clone());
        Running::start(move || g.upload(&pipe, "/dev/sda"))
    };
    let mut source = File::create(&pipe).expect("a pipe");
    source.write_all(&vec![1; 8 * MIB]).expect("most of it is on its way");
    kill_9(pid);
    // The source stays open: it is the death that ends the call.
    it.recovers(upload.end(), 1);
    drop(source);
}

#[test]
fn qemu_dies_while_it_sends_a_file() {
    let it = Watched::launched();
    let pid = it.g.get_pid().expect("get_pid");
    let pipe = fifo(it.dir.path().join("pipes/sink"));
    let download = {
        let (g, pipe) = (it.g.clone(), pipe.clone());
        Running::start(move || g.download("/dev/sda", &pipe))
    };
    let mut sink = File::open(&pipe).expect("a pipe");
    sink.read_exact(&mut vec![0; 8 * MIB]).expect("some of it");
    kill_9(pid);
    // The pipe is full, and nobody empties it.
    it.recovers(download.end(), 1);
    drop(sink);
}

#[test]
fn qemu_dies_between_two_calls() {
    let it = Watched::launched();
    kill_9(it.g.get_pid().expect("get_pid"));
    let g = it.g.clone();
    let result = Running::start(move || g.ping_daemon()).end();
    it.recovers(result, 1);
}

#[test]
fn qemu_dies_while_it_boots() {
    let it = Watched::new();
    let (wrapper, pid) = (it.dir.path().join("qemu"), it.dir.path().join("pid"));
    let hv = it.g.get_hv().expect("get_hv");
    let script = format!("#!/bin/sh\necho $$ >'{}'\nexec {hv} \"$@\"\n", pid.display());
    program(&wrapper, script.as_bytes());
    it.g.set_hv(bytes(&wrapper)).expect("set_hv");
    // A verbose kernel speaks as soon as it runs, and a verbose appliance boots each time.
    it.g.set_verbose(true).expect("set_verbose");
    let id = it.g.set_event_callback(Events::APPLIANCE | Events::LIBRARY, move |g, event, _, _| {
        let killed = pid.with_extension("killed");
        if event == Events::APPLIANCE && fs::rename(&pid, &killed).is_ok() {
            assert_eq!(g.is_launching(), Ok(true));
            let pid = fs::read_to_string(killed).expect("the number of the process");
            kill_9(pid.trim().parse().expect("a number"));
        }
    });
    let g = it.g.clone();
    let result = Running::start(move || g.launch()).end();
    it.g.delete_event_callback(id);
    it.g.set_verbose(false).expect("set_verbose");
    // What was never ready has not quit.
    it.recovers(result, 0);
}

#[test]
fn the_program_dies() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("chmod");
        path
    };
    let (tmp, cache, sockets) = (place("tmp"), place("cache"), place("run"));
    let mut program = session("wait")
        .env("TMPDIR", &tmp)
        .env("LIBGUESTFS_TMPDIR", &tmp)
        .env("LIBGUESTFS_CACHEDIR", &cache)
        .env("XDG_RUNTIME_DIR", &sockets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a session");
    let mut line = String::new();
    let mut output = BufReader::new(program.stdout.take().expect("a pipe"));
    output.read_line(&mut line).expect("a line");
    let qemu = line.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    let qemu = qemu.expect("the number of a process");
    // Names the process even when its number has another one.
    let flags = rustix::process::PidfdFlags::empty();
    let qemu = rustix::process::pidfd_open(qemu, flags).expect("qemu runs");
    let mut source = program.stdin.take().expect("a pipe");
    source.write_all(&vec![1; 8 * MIB]).expect("a call is in progress");

    program.kill().expect("kill");
    program.wait().expect("the program");
    let ended = poll(&mut [PollFd::new(qemu.as_fd(), PollFlags::POLLIN)], PollTimeout::MAX);
    assert_eq!(ended, Ok(1), "qemu lives on");
    nothing_stays(&tmp);
    nothing_stays(&sockets);
    only_cached(&cache);
}

#[test]
fn sessions_leave_no_descriptors() {
    let printed = run(session("descriptors").arg("5"));
    let (before, after) = printed.split_once('\n').expect("two lines");
    assert_eq!(before.strip_prefix("before: "), after.trim().strip_prefix("after:  "));
}
