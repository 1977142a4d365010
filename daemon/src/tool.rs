// SPDX-License-Identifier: LGPL-2.1-or-later
//! The one way to run a program.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cancel;
use crate::contained::End;
use crate::error::{About, Errno, Error, Result};
use crate::system;
use crate::view::View;

/// Where programs are.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The most output that is kept: what fits into a reply.
const STDOUT_MAX: usize = (4 << 20) - 4096;

/// The most complaints that are kept.
const STDERR_MAX: usize = 60 << 10;

/// A program with its arguments: nothing runs before one of the last methods is called.
#[derive(Debug)]
pub(crate) struct Tool {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    /// Keeps what the arguments name open until the program ends.
    held: Vec<OwnedFd>,
    view: Option<View>,
}

/// What came of a program.
#[derive(Debug)]
pub(crate) struct Output {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it printed.
    pub(crate) stdout: Vec<u8>,
    /// What it complained about.
    pub(crate) stderr: Vec<u8>,
}

impl Tool {
    /// A program of the appliance, without directory.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().into(),
            args: Vec::new(),
            env: Vec::new(),
            held: Vec::new(),
            view: None,
        }
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    /// Adds an argument of bytes.
    pub(crate) fn arg_bytes(self, arg: &[u8]) -> Self {
        self.arg(OsStr::from_bytes(arg))
    }

    /// Adds several arguments.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().into()));
        self
    }

    /// Adds a path by which the program gets at an open file.
    pub(crate) fn arg_fd(mut self, fd: impl Into<OwnedFd>) -> Self {
        let fd = fd.into();
        self.args.push(proc_path(&fd).into());
        self.held.push(fd);
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// What the program sees of the filesystems; the same as the daemon by default.
    pub(crate) fn view(mut self, view: View) -> Self {
        self.view = Some(view);
        self
    }

    /// Runs it for its effect.
    pub(crate) fn run(self) -> Result<()> {
        self.stdout().map(drop)
    }

    /// Runs it for what it prints.
    pub(crate) fn stdout(self) -> Result<Vec<u8>> {
        self.output().map(|output| output.stdout)
    }

    /// Runs it for what it prints, as text.
    pub(crate) fn text(self) -> Result<String> {
        self.stdout().map(|stdout| String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Runs it for all that comes of it.
    pub(crate) fn output(self) -> Result<Output> {
        let mut stdout = Limited { bytes: Vec::new(), of: self.name() };
        let (status, stderr) = self.stream(&mut io::empty(), &mut stdout)?;
        Ok(Output { status, stdout: stdout.bytes, stderr })
    }

    /// Runs it with what it prints going to `out`.
    pub(crate) fn write_to(self, out: &mut impl Write) -> Result<()> {
        self.stream(&mut io::empty(), out).map(drop)
    }

    /// Runs it from one to the other.
    pub(crate) fn filter(self, input: &mut impl Read, out: &mut impl Write) -> Result<()> {
        self.stream(input, out).map(drop)
    }

    /// Starts it, to be talked to for as long as it is held.  What it complains about goes to the
    /// console.
    pub(crate) fn start(self) -> Result<Running> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stderr(Stdio::inherit());
        match command.spawn() {
            Ok(child) => Ok(Running::new(child, None)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                Err(Error::unsupported(self.name()))
            }
            Err(err) => Err(err).about(self.name()),
        }
    }

    fn name(&self) -> String {
        let name = Path::new(&self.program).file_name().unwrap_or(&self.program);
        name.to_string_lossy().into_owned()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", "/")
            .env("TERM", "dumb")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn spawn(&self, has_input: bool) -> Result<Running> {
        let mut command = self.command();
        if has_input {
            command.stdin(Stdio::piped());
        }
        let started = match &self.view {
            Some(view) => {
                if !has_input {
                    // What has that name in the view might be the guest's.
                    command.stdin(system::open("/dev/null", OFlags::RDONLY).about("/dev/null")?);
                }
                view.start(&mut command)?
            }
            None => command.spawn().map(|child| Running::new(child, None)),
        };
        let is_ours = self.view.as_ref().is_none_or(|view| !view.is_guest());
        match started {
            Ok(running) => Ok(running),
            Err(err) if err.kind() == io::ErrorKind::NotFound && is_ours => {
                Err(Error::unsupported(self.name()))
            }
            Err(err) => Err(err).about(self.program.to_string_lossy()),
        }
    }

    /// Runs it, moving bytes in both directions until both outputs are closed.
    fn stream(self, input: &mut impl Read, out: &mut impl Write) -> Result<(ExitStatus, Vec<u8>)> {
        let mut pending = Pending::default();
        // A program without input gets /dev/null, so whether there is any must be known first.
        pending.fill(input)?;
        let mut running = self.spawn(!pending.is_empty())?;
        let mut stderr = Vec::new();
        // Half of what a program of ours does would be worse than all of it.
        let may_stop = self.view.as_ref().is_some_and(View::is_guest);
        pump(&mut running.child, may_stop, input, pending, out, &mut stderr).map_err(|err| {
            match err {
                Error::Io { why, .. } => Error::Io { what: self.name(), why },
                err => err,
            }
        })?;
        let status = running.wait().about(self.name())?;
        if status.success() {
            return Ok((status, stderr));
        }
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Err(Error::Tool { program: self.name(), status, stderr })
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.display())?;
        for arg in &self.args {
            let plain = !arg.is_empty() && !arg.as_bytes().contains(&b' ');
            match plain {
                true => write!(f, " {}", arg.display())?,
                false => write!(f, " '{}'", arg.display())?,
            }
        }
        Ok(())
    }
}

/// The path by which another process gets at an open file of this one.
pub(crate) fn proc_path(fd: &impl AsRawFd) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()).into()
}

/// Whether the appliance has a program.
pub(crate) fn exists(program: &str) -> bool {
    let access = |dir: &str| {
        let path = Path::new(dir).join(program);
        rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    PATH.split(':').any(access)
}

/// A program that ends when nobody holds it any more.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// Tells more than the child, if this is not the program itself.
    end: Option<End>,
}

impl Running {
    /// The child is the program, or started it and tells how it ended.
    pub(crate) fn new(child: Child, end: Option<End>) -> Self {
        Self { child, end }
    }

    /// Its standard input and output, the first time.
    pub(crate) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.child.stdin.take().zip(self.child.stdout.take())
    }

    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        Ok(self.end.as_mut().map_or(status, |end| end.status(status)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Output that must fit into a reply.
struct Limited {
    bytes: Vec<u8>,
    of: String,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > STDOUT_MAX {
            let message = format!("{}: more than {STDOUT_MAX} bytes of output", self.of);
            return Err(Error::TooBig(message).into_io());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Input on its way to the program.
struct Pending {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Default for Pending {
    fn default() -> Self {
        Self { bytes: vec![0; 64 << 10].into(), start: 0, end: 0 }
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn fill(&mut self, input: &mut impl Read) -> Result<()> {
        (self.start, self.end) = (0, 0);
        loop {
            match input.read(&mut self.bytes) {
                Ok(n) => {
                    self.end = n;
                    return Ok(());
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err).about("input"),
            }
        }
    }

    /// False if the program does not want any more.
    fn send(&mut self, stdin: &mut ChildStdin) -> Result<bool> {
        match stdin.write(&self.bytes[self.start..self.end]) {
            Ok(n) => self.start += n,
            Err(err) if err.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(err) if is_temporary(&err) => {}
            Err(err) => return Err(err).about("standard input"),
        }
        Ok(true)
    }
}

fn is_temporary(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Moves bytes until the program has closed its outputs, so that it never waits for a full pipe, or
/// until it has ended: what it leaves behind in the background may keep them open for ever.  An
/// error if it `may_stop` before, and the caller says so.
fn pump(
    child: &mut Child,
    may_stop: bool,
    input: &mut impl Read,
    mut pending: Pending,
    out: &mut impl Write,
    complaints: &mut Vec<u8>,
) -> Result<()> {
    let (mut stdin, mut stdout, mut stderr) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take());
    if let Some(stdin) = &stdin {
        rustix::fs::fcntl_setfl(stdin, OFlags::NONBLOCK).about("standard input")?;
    }
    let mut end = Some(end_of(child)?);
    let mut buffer = vec![0; 64 << 10];
    while stdout.is_some() || stderr.is_some() {
        if stdin.is_some() && pending.is_empty() {
            pending.fill(input)?;
            if pending.is_empty() {
                stdin = None;
            }
        }
        // With an input, what comes from the caller is that.
        let caller = cancel::channel().filter(|_| may_stop && stdin.is_none());
        let [can_write, can_read, can_complain, has_ended, is_called] = match end {
            Some(_) => wait(&stdin, &stdout, &stderr, &end, &caller)?,
            None => [false, true, true, false, false],
        };
        if is_called {
            cancel::check_now()?;
            out.flush().about("standard output")?;
        }
        if has_ended {
            // What is in the pipes is all that will come.
            (end, stdin) = (None, None);
            do_not_block(&stdout)?;
            do_not_block(&stderr)?;
        }
        if let (true, Some(pipe)) = (can_write, &mut stdin)
            && !pending.send(pipe)?
        {
            stdin = None;
        }
        if let (true, Some(pipe)) = (can_read, &mut stdout) {
            match read(pipe, &mut buffer)? {
                0 => stdout = None,
                n => out.write_all(&buffer[..n]).about("standard output")?,
            }
        }
        if let (true, Some(pipe)) = (can_complain, &mut stderr) {
            let n = read(pipe, &mut buffer)?;
            if n == 0 {
                stderr = None;
            }
            let room = STDERR_MAX - complaints.len();
            complaints.extend_from_slice(&buffer[..n.min(room)]);
        }
    }
    Ok(())
}

/// Something that is ready to be read when the program has ended.
fn end_of(child: &Child) -> Result<OwnedFd> {
    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).about("end of the program")
}

fn do_not_block(pipe: &Option<impl AsFd>) -> Result<()> {
    match pipe {
        Some(pipe) => {
            rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK).about("output of the program")
        }
        None => Ok(()),
    }
}

fn read(pipe: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match pipe.read(buffer) {
            // Only once the program has ended.
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            result => return result.about("output of the program"),
        }
    }
}

/// Which of the pipes is ready.
fn wait(
    stdin: &Option<impl AsFd>,
    stdout: &Option<impl AsFd>,
    stderr: &Option<impl AsFd>,
    end: &Option<impl AsFd>,
    caller: &Option<impl AsFd>,
) -> Result<[bool; 5]> {
    let mut fds = Vec::with_capacity(5);
    fds.extend(stdin.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)));
    fds.extend(stdout.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
    fds.extend(stderr.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
    fds.extend(end.as_ref().map(|pidfd| PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)));
    fds.extend(caller.as_ref().map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)));
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => {}
        Err(nix::errno::Errno::EINTR) => return Ok([false; 5]),
        Err(err) => return Err(Error::sys("poll", Errno::from_raw_os_error(err as i32))),
    }
    let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
    let mut next = |open: bool| open && ready.next().unwrap_or(false);
    Ok([
        next(stdin.is_some()),
        next(stdout.is_some()),
        next(stderr.is_some()),
        next(end.is_some()),
        next(caller.is_some()),
    ])
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use guestfs_protocol::wire::CANCEL_FLAG;

    use super::*;
    use crate::channel::Channel;

    #[track_caller]
    fn check(tool: Tool, expected: &str) {
        let got = match tool.output() {
            Ok(output) => format!(
                "{} {:?}",
                output.status.code().unwrap(),
                String::from_utf8_lossy(&output.stdout)
            ),
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(got, expected);
    }

    fn sh(script: &str) -> Tool {
        Tool::new("sh").args(["-c", script])
    }

    #[test]
    fn outcomes() {
        check(sh("echo hello"), r#"0 "hello\n""#);
        check(sh("echo why >&2; exit 3"), "error: sh: why");
        check(sh("exit 3"), "error: sh: exit status: 3");
        check(sh("kill -9 $$"), "error: sh: signal: 9 (SIGKILL)");
        check(sh("cat"), r#"0 """#);
        check(sh("echo $LC_ALL $V").env("V", "v"), r#"0 "C v\n""#);
        check(
            Tool::new("no-such-program"),
            "error: no-such-program is not supported by this appliance",
        );
        check(
            sh("cat /dev/zero | head -c 4200000; echo much >&2"),
            "error: sh: more than 4190208 bytes of output",
        );
    }

    #[test]
    fn full_pipes_do_not_block() {
        let mut input = io::repeat(b'x').take(3_000_000);
        let mut out = Vec::new();
        let (_, complaints) = sh("tee /dev/stderr").stream(&mut input, &mut out).unwrap();
        assert_eq!((out.len(), complaints.len()), (3_000_000, STDERR_MAX));
    }

    #[test]
    fn a_program_may_stop_reading() {
        let mut input = io::repeat(b'x').take(3_000_000);
        sh("head -c 1 >/dev/null").filter(&mut input, &mut io::sink()).unwrap();
    }

    #[test]
    fn a_failing_reader_ends_the_program() {
        struct Fails(u32);
        impl Read for Fails {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 1 {
                    return Err(Error::Cancelled.into_io());
                }
                buf[0] = b'x';
                Ok(1)
            }
        }
        let start = Instant::now();
        let err = sh("exec sleep 1000").filter(&mut Fails(0), &mut io::sink()).unwrap_err();
        assert_eq!(err.to_string(), "cancelled by the caller");
        assert!(start.elapsed() < Duration::from_secs(100));
    }

    #[test]
    fn processes_left_behind_do_not_hold_the_caller() {
        let start = Instant::now();
        check(sh("sleep 100 & echo started"), r#"0 "started\n""#);
        assert!(start.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn a_caller_may_stop_what_it_waits_for() {
        let (mut library, daemon) = UnixStream::pair().unwrap();
        let channel = Channel::new(daemon.into());
        let mut run = |may_stop, script| {
            let mut running = sh(script).spawn(false).unwrap();
            let (mut out, mut complaints) = (Vec::new(), Vec::new());
            let mut out = Tell(&mut out, &mut library);
            let child = &mut running.child;
            let (input, pending) = (&mut io::empty(), Pending::default());
            cancel::during(&channel, || {
                pump(child, may_stop, input, pending, &mut out, &mut complaints)
            })
        };
        /// Has the flag sent when the program has begun.
        struct Tell<'a>(&'a mut Vec<u8>, &'a mut UnixStream);
        impl Write for Tell<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1.write_all(&CANCEL_FLAG.to_be_bytes())?;
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let err = run(true, "echo started; exec sleep 1000").unwrap_err();
        assert_eq!(err.to_string(), "cancelled by the caller");
        run(false, "echo started").unwrap();
    }

    #[test]
    fn open_files_as_arguments() {
        let dir = tempfile::tempdir().unwrap();
        crate::system::write(dir.path().join("file"), b"content").unwrap();
        let file = crate::system::open(dir.path().join("file"), OFlags::PATH).unwrap();
        check(Tool::new("cat").arg_fd(file), r#"0 "content""#);
    }

    #[test]
    fn display_is_a_command_line() {
        let tool = Tool::new("mke2fs").args(["-F", "-L", "a b", ""]).arg("/dev/sda");
        assert_eq!(tool.to_string(), "mke2fs -F -L 'a b' '' /dev/sda");
    }
}
