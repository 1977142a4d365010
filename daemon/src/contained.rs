// SPDX-License-Identifier: LGPL-2.1-or-later
//! A program of the guest and all that it starts, in a PID namespace: none of it outlives the
//! program, and none of it can signal a process of the appliance.
//!
//! The first process of such a namespace is not to be the program: signals that it does not handle
//! would have no effect on it, and orphans would stay with it.  So a copy of the daemon is the
//! first.  It starts the program, tells how it ended, and ends; with it ends all that is left.

use std::ffi::{CString, OsStr, c_char};
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::ptr;

use nix::sched::CloneFlags;
use nix::unistd::ForkResult;
use rustix::mount::MountFlags;
use rustix::process::{Pid, WaitOptions, chdir, fchdir};

/// How the program ended, once it has.
#[derive(Debug)]
pub(crate) struct End(PipeReader);

impl End {
    /// The status of the program; that of the first process, `otherwise`, if this was killed.
    pub(crate) fn status(&mut self, otherwise: ExitStatus) -> ExitStatus {
        let mut raw = [0; size_of::<i32>()];
        match self.0.read_exact(&mut raw) {
            Ok(()) => ExitStatus::from_raw(i32::from_ne_bytes(raw)),
            Err(_) => otherwise,
        }
    }
}

/// Has what this thread starts next run in a namespace of its own, with a `/proc` of its own on the
/// directory `proc`.
#[expect(unsafe_code, reason = "something has to be done in the child")]
pub(crate) fn contain(command: &mut Command, proc: Option<OwnedFd>) -> io::Result<End> {
    nix::sched::unshare(CloneFlags::CLONE_NEWPID)?;
    let (end, status) = io::pipe()?;
    let program = Program::of(command)?;
    let in_child = move || Err(start(&program, proc.as_ref(), &status));
    // SAFETY: the daemon has several threads now, so that in the child of a fork nothing is to be
    // called that might take a lock.  The function makes system calls, and nothing else.
    unsafe { command.pre_exec(in_child) };
    Ok(End(end))
}

/// Starts the program in a child of this process; what returns is why that fails.
fn start(program: &Program, proc: Option<&OwnedFd>, status: &PipeWriter) -> io::Error {
    let forked = proc.map_or(Ok(()), mount_proc).and_then(|()| fork());
    match forked {
        Ok(Some(child)) => wait_for(child, status),
        Ok(None) => program.execute(),
        Err(err) => err,
    }
}

/// What is mounted is about the namespace of the process that mounts it.
fn mount_proc(directory: &OwnedFd) -> io::Result<()> {
    fchdir(directory)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", ".", "proc", flags, None)?;
    Ok(chdir("/")?)
}

/// `None` in the child.
#[expect(unsafe_code, reason = "fork leaves but one thread")]
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: this is the child of a fork, so there is one thread already.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Pid::from_raw(child.as_raw())),
        ForkResult::Child => Ok(None),
    }
}

/// Takes care of orphans until the program ends.
fn wait_for(program: Pid, status: &PipeWriter) -> ! {
    // The outputs of the program are not to be held open here.
    close_but(status.as_raw_fd().cast_unsigned());
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, ended))) if pid == program => {
                // Nobody is left to be told if this fails.
                let _ = rustix::io::write(status, &ended.as_raw().to_ne_bytes());
                break;
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    exit()
}

#[expect(unsafe_code, reason = "descriptors of nobody in particular are closed")]
fn close_but(fd: u32) {
    // SAFETY: whatever owns one of these descriptors belongs to code that does not run any more in
    // this process.
    unsafe {
        if let Some(last) = fd.checked_sub(1) {
            libc::close_range(0, last, 0);
        }
        libc::close_range(fd + 1, u32::MAX, 0);
    }
}

#[expect(unsafe_code, reason = "what is registered for the end of the daemon is not for this one")]
fn exit() -> ! {
    // SAFETY: there are no conditions.
    unsafe { libc::_exit(0) }
}

/// What is executed, in the form that the kernel takes.  The C library's function that takes a path
/// would run by the shell what is no program.
struct Program {
    path: CString,
    arguments: Vector,
    environment: Vector,
}

/// Texts, and pointers to them with a null at the end.
struct Vector {
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

#[expect(unsafe_code, reason = "pointers cannot be sent by themselves")]
// SAFETY: they point to texts that belong to the same value and never change.
unsafe impl Send for Vector {}
#[expect(unsafe_code, reason = "pointers cannot be shared by themselves")]
// SAFETY: as above.
unsafe impl Sync for Vector {}

impl Program {
    fn of(command: &Command) -> io::Result<Self> {
        let path = command.get_program();
        let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let variable = |(name, value): (&OsStr, &OsStr)| text(&[name, OsStr::new("="), value]);
        let arguments = [path].into_iter().chain(command.get_args());
        Ok(Self {
            path: text(&[path])?,
            arguments: Vector::new(arguments.map(|it| text(&[it])).collect::<io::Result<_>>()?),
            environment: Vector::new(variables.map(variable).collect::<io::Result<_>>()?),
        })
    }

    /// Returns only if that fails.
    #[expect(unsafe_code, reason = "the C library's functions that are safe allocate memory")]
    fn execute(&self) -> io::Error {
        let (arguments, environment) = (&self.arguments.pointers, &self.environment.pointers);
        // SAFETY: the path ends in a NUL, and both lists in a null.
        unsafe { libc::execve(self.path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }
}

impl Vector {
    fn new(texts: Vec<CString>) -> Self {
        let pointers = texts.iter().map(|it| it.as_ptr()).chain([ptr::null()]).collect();
        Self { _texts: texts, pointers }
    }
}

fn text(parts: &[&OsStr]) -> io::Result<CString> {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.as_bytes()).copied().collect();
    Ok(CString::new(bytes)?)
}
