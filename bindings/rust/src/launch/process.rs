// SPDX-License-Identifier: LGPL-2.1-or-later
//! A child process that cannot outlive this program, and whose end is noticed at once.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::FdFlags;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, WaitId, WaitIdOptions, getpid, getppid, getrlimit,
    pidfd_open, pidfd_send_signal, set_parent_process_death_signal, setrlimit, waitid,
};

use super::wait::readable;

/// As much of standard error as is kept.
const STDERR_MAX: u64 = 64 << 10;

/// A killed process is gone in milliseconds, unless the kernel waits for a disk.
const REAP_DEADLINE: Duration = Duration::from_secs(5);

/// The guardian calls `fork` and `poll`, nothing deep.
const GUARDIAN_STACK: usize = 128 << 10;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    Killed(i32),
    /// Somebody else reaped it: a program that ignores `SIGCHLD`, or the parent of one that went
    /// into the background.
    Unknown,
}

/// What the child gets besides its arguments.
#[derive(Default)]
pub(super) struct Setup {
    /// Descriptors it keeps, under the numbers they have here.  All others are closed.
    pub inherit: Vec<OwnedFd>,
    /// Where its output goes; it is discarded otherwise.
    pub stdout: Option<OwnedFd>,
    /// It gets a process group of its own, so that Ctrl-C at a terminal doesn't reach it.
    pub own_group: bool,
    /// The kernel kills it when this program ends, however that happens.
    pub dies_with_us: bool,
}

/// A running child.  Dropping it kills it.
pub(super) struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    stderr: File,
    ended: Option<Ended>,
    /// The thread that started the child, if the child dies with it.
    guardian: Option<JoinHandle<()>>,
    /// A fork of the program has a copy of this value, but not the child.
    owner: Pid,
}

impl Process {
    /// Starts `command` with no input, and its errors kept.
    ///
    /// The kernel's parent-death signal is about the *thread* that forked.  So a thread is made
    /// for it, which lives as long as the child: it ends early only if the whole program does.
    /// A supervising process would do too, but as a fork it holds all of the program's memory.
    pub(super) fn spawn(mut command: Command, setup: Setup) -> io::Result<Self> {
        let stderr = bounded_memory_file()?;
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command.stdout(setup.stdout.map_or_else(Stdio::null, Stdio::from));
        command.stderr(Stdio::from(stderr.try_clone()?));
        if setup.own_group {
            command.process_group(0);
        }
        let child = ChildSetup {
            parent: getpid(),
            inherit: setup.inherit.iter().map(AsRawFd::as_raw_fd).collect(),
            dies_with_us: setup.dies_with_us,
        };
        run_before_exec(&mut command, move || child.enter());

        let (pid, pidfd, guardian) = if setup.dies_with_us {
            let (sender, started) = mpsc::channel();
            let guardian = thread::Builder::new()
                .name("guestfs-qemu".to_owned())
                .stack_size(GUARDIAN_STACK)
                .spawn(move || guard(command, &sender))?;
            let (pid, pidfd) = started.recv().map_err(io::Error::other)??;
            (pid, pidfd, Some(guardian))
        } else {
            let (pid, pidfd) = start(&mut command)?;
            (pid, pidfd, None)
        };
        // The child has them; as long as they are open here, its end isn't seen on them.
        drop(setup.inherit);
        Ok(Self { pid, pidfd, stderr, ended: None, guardian, owner: getpid() })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Becomes readable when the child has ended.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// What it has written to standard error, or the first 64 KiB of it.
    pub(super) fn stderr(&self) -> String {
        let mut bytes = vec![0; STDERR_MAX as usize];
        let n_read = self.stderr.read_at(&mut bytes, 0).unwrap_or(0);
        bytes.truncate(n_read);
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    }

    /// Waits for the child to end, and reaps it; `None` if it still runs at the deadline.
    pub(super) fn wait(&mut self, deadline: Instant) -> io::Result<Option<Ended>> {
        if self.ended.is_none() && readable([self.pidfd.as_fd()], Some(deadline))? == [true] {
            self.ended = Some(match waitid(WaitId::PidFd(self.pidfd.as_fd()), REAP) {
                Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Ended::Exited(code),
                    (None, Some(signal)) => Ended::Killed(signal),
                    (None, None) => Ended::Unknown,
                },
                Ok(None) | Err(_) => Ended::Unknown,
            });
        }
        Ok(self.ended)
    }

    /// Kills the child if it still runs, and reaps it.
    pub(super) fn kill(&mut self) {
        if self.ended.is_none() {
            // It fails only when the child has ended by itself.
            let _ = pidfd_send_signal(self.pidfd.as_fd(), rustix::process::Signal::KILL);
            let _ = self.wait(Instant::now() + REAP_DEADLINE);
        }
    }
}

const REAP: WaitIdOptions = WaitIdOptions::EXITED.union(WaitIdOptions::NOHANG);

impl Drop for Process {
    fn drop(&mut self) {
        // In a fork of the program, the child still serves the original.
        if self.guardian.is_some() && self.owner != getpid() {
            return;
        }
        self.kill();
        if let Some(guardian) = self.guardian.take().filter(|_| self.ended.is_some()) {
            let _ = guardian.join();
        }
    }
}

type Started = io::Result<(Pid, OwnedFd)>;

/// Body of the guardian: starts the child and stays until it has ended.
fn guard(mut command: Command, started: &mpsc::Sender<Started>) {
    // Signal handlers of the program must not run on a thread it doesn't know of.
    let _ = SigSet::all().thread_block();
    let child = start(&mut command);
    // It may hold descriptors of the child's.
    drop(command);
    let watched = child.as_ref().ok().and_then(|(_, pidfd)| pidfd.try_clone().ok());
    if started.send(child).is_ok()
        && let Some(pidfd) = watched
    {
        let _ = readable([pidfd.as_fd()], None);
    }
}

fn start(command: &mut Command) -> Started {
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    // Nobody has waited for the child yet, so the number is still its own.
    Ok((pid, pidfd_open(pid, PidfdFlags::empty())?))
}

/// What happens in the child between fork and exec: system calls only.
struct ChildSetup {
    parent: Pid,
    inherit: Vec<RawFd>,
    dies_with_us: bool,
}

impl ChildSetup {
    fn enter(&self) -> io::Result<()> {
        if self.dies_with_us {
            set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            // The parent may have died before the signal was asked for.  (None: it is in another
            // PID namespace.)
            if getppid().is_some_and(|it| it != self.parent) {
                return Err(rustix::io::Errno::SRCH.into());
            }
        }
        for &fd in &self.inherit {
            keep_across_exec(fd)?;
        }
        raise_descriptor_limit()?;
        // A program started with SIGINT or SIGCHLD ignored would pass that on.
        for it in Signal::iterator().filter(|it| !matches!(it, Signal::SIGKILL | Signal::SIGSTOP)) {
            default_action(it)?;
        }
        SigSet::empty().thread_set_mask()?;
        Ok(())
    }
}

/// Lets qemu have as many files open as this program could.  Some hundred drives are more than the
/// customary limit, which is as low as that only for programs that call `select`.
fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// Lets the program that is about to be run keep the descriptor.
#[expect(unsafe_code, reason = "descriptors are given to the child by number")]
pub(crate) fn keep_across_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: the callers keep the descriptor open until the child has been started.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(rustix::io::fcntl_setfd(fd, FdFlags::empty())?)
}

#[expect(unsafe_code, reason = "signal actions are process-wide")]
fn default_action(it: Signal) -> io::Result<()> {
    // SAFETY: this runs in a child which is about to exec, and no handler is installed.
    unsafe { signal(it, SigHandler::SigDfl) }?;
    Ok(())
}

/// Has `enter` run in the child, right before it becomes the other program.
#[expect(unsafe_code, reason = "code between fork and exec")]
pub(crate) fn run_before_exec(
    command: &mut Command,
    enter: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the two callers make system calls only; they take no lock and allocate nothing.
    unsafe { command.pre_exec(enter) };
}

/// A file without a name that can't grow: a talkative child fills it and then writes in vain, but
/// never blocks, as it would on a pipe nobody reads.
fn bounded_memory_file() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create("guestfs-stderr", flags)?);
    file.set_len(STDERR_MAX)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dies_with_us: bool) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Process::spawn(command, Setup { dies_with_us, ..Setup::default() }).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[track_caller]
    fn check(script: &str, ended: Ended, stderr: &str) {
        for dies_with_us in [false, true] {
            let mut process = shell(script, dies_with_us);
            assert_eq!(process.wait(soon()).unwrap(), Some(ended), "{script}");
            assert_eq!(process.stderr(), stderr);
        }
    }

    #[test]
    fn ends() {
        check("echo oops >&2; exit 3", Ended::Exited(3), "oops\n");
        check("kill -9 $$", Ended::Killed(9), "");
        // Written in full, or not at all: never blocked.
        check("head -c 65536 /dev/zero >&2; echo more >&2; exit 0", Ended::Exited(0), "");
    }

    #[test]
    fn drop_kills() {
        let process = shell("exec sleep 1000", true);
        let pidfd = process.pidfd.try_clone().unwrap();
        assert_eq!(readable([pidfd.as_fd()], Some(Instant::now())).unwrap(), [false]);
        drop(process);
        assert_eq!(readable([pidfd.as_fd()], Some(soon())).unwrap(), [true]);
    }

    #[test]
    fn the_thread_that_launched_may_end() {
        let mut process =
            thread::spawn(|| shell("read x </dev/null; exit 7", true)).join().unwrap();
        assert_eq!(process.wait(soon()).unwrap(), Some(Ended::Exited(7)));
    }

    #[test]
    fn only_the_given_descriptors_are_inherited() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let script = format!(
            "test -e /proc/self/fd/{} && ! test -e /proc/self/fd/{}",
            theirs.as_raw_fd(),
            ours.as_raw_fd()
        );
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]);
        let setup = Setup { inherit: vec![theirs.into()], ..Setup::default() };
        let mut process = Process::spawn(command, setup).unwrap();
        assert_eq!(process.wait(soon()).unwrap(), Some(Ended::Exited(0)));
        // Ours is the only end left.
        assert_eq!(readable([ours.as_fd()], Some(soon())).unwrap(), [true]);
    }

    #[test]
    fn program_that_is_not_there() {
        for dies_with_us in [false, true] {
            let setup = Setup { dies_with_us, ..Setup::default() };
            let error = Process::spawn(Command::new("/no/such"), setup).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
