// SPDX-License-Identifier: LGPL-2.1-or-later
//! The appliance as a process: started, watched, and ended without a trace.
//!
//! Nothing has a name in a file system: qemu inherits its sockets, overlays and scratch disks as
//! descriptors, and its end is noticed by `poll`.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bstr::BString;
use guestfs_protocol::wire::LAUNCH_FLAG;
use nix::errno::Errno;
use serde_json::json;

use self::process::{Ended, Process};
use self::qmp::Qmp;
use self::report::{Evidence, Fate, REBUILD, Tail};
use self::start::Machine;
use self::wait::readable;
use crate::drive::Drive;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::window::Window;

mod accel;
mod arch;
mod blockdev;
mod cache;
pub(crate) mod diagnose;
mod disks;
mod features;
mod foreign;
mod kept;
mod limit;
mod manifest;
mod process;
mod qcow2;
mod qemu;
mod qmp;
mod report;
mod search;
mod start;
mod template;
mod wait;

pub use self::diagnose::{ApplianceFile, FoundAppliance, Hypervisor};
pub(crate) use self::foreign::is_unknown_function;
pub use self::kept::Template;
pub(crate) use self::limit::set_len;
pub(crate) use self::process::{keep_across_exec, run_before_exec};
pub(crate) use self::report::no_temporary_file;
pub(crate) use self::search::{default_hv, default_path};
pub(crate) use self::start::Warmed;

/// The templates in a cache directory.
pub(crate) fn templates(cachedir: &Path) -> Result<Vec<Template>> {
    kept::list(cachedir).map_err(|it| Error::io(&it, cachedir.display()))
}

/// Removes them, and says how many there were.
pub(crate) fn clear_templates(cachedir: &Path) -> Result<usize> {
    kept::clear(cachedir).map_err(|it| Error::io(&it, cachedir.display()))
}

/// Everything launch needs, copied out of the handle: no reference back.
#[derive(Clone, Default)]
pub(crate) struct Config {
    pub drives: Vec<Drive>,
    /// The qemu to run; without a directory it is looked for like a command.
    pub hv: Option<PathBuf>,
    pub memsize_mb: i32,
    pub smp: i32,
    /// More words for the kernel's command line.
    pub append: Option<BString>,
    pub verbose: bool,
    pub network: bool,
    /// Directories to look for the appliance in, separated by colons.
    pub path: String,
    pub tmpdir: PathBuf,
    pub cachedir: PathBuf,
    pub sockdir: PathBuf,
    pub backend_settings: Vec<String>,
    pub hv_params: Vec<(BString, Option<BString>)>,
    pub identifier: String,
    /// qemu gets a process group of its own.
    pub pgroup: bool,
    /// qemu is killed when this program ends.  Without it, a fork of the program can go on using
    /// the appliance.
    pub recovery_proc: bool,
    pub selinux: bool,
}

/// What launch has to tell on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogKind {
    /// A debugging message of the library.
    Library,
    /// Something that people should know; it is news if they were not told before.
    Warning { is_news: bool },
    /// Output of the appliance's console.
    Appliance,
    /// So much of `total` is done; there is no text.
    Progress { position: u64, total: u64 },
}

/// Receives what launch has to tell.
pub(crate) type Log<'a> = &'a mut dyn FnMut(LogKind, &[u8]);

/// A cold boot takes a second with KVM and some seconds without, and a launch two boots at most;
/// what takes longer than these is more likely stuck than slow.
const DEADLINE_KVM: Duration = Duration::from_secs(120);
const DEADLINE_TCG: Duration = Duration::from_secs(300);

/// A year: what is longer is a mistake.
const TIMEOUT_MAX: u64 = 365 * 24 * 60 * 60;

/// After the sockets have been closed, the process takes a moment to end.
const DEATH_DEADLINE: Duration = Duration::from_secs(3);

/// qemu answers at once, or never.
const QMP_DEADLINE: Duration = Duration::from_secs(10);

/// On its way out, it writes what the host has cached of the disks, perhaps to a slow server.
const EXIT_DEADLINE: Duration = Duration::from_secs(300);

/// A running appliance.  Dropping it kills qemu.
pub(crate) struct Appliance {
    process: Process,
    channel: UnixStream,
    console: UnixStream,
    qmp: Qmp,
    window: Option<Arc<Window>>,
    tail: Tail,
    /// What messages call the drives.
    drives: Vec<String>,
    /// It has never been ready.
    launching: bool,
}

impl Appliance {
    /// Boots an appliance and waits until its daemon is ready.
    pub(crate) fn start(config: &Config, log: Log<'_>) -> Result<Self> {
        let started = Instant::now();
        progress(log, 0);
        let machine = Machine::find(config, log).map_err(report::of_limits)?;
        let mut appliance = machine.start(config, log).map_err(report::of_limits)?;
        appliance.launching = false;
        progress(log, 12);
        say(log, format!("appliance is ready after {} ms", started.elapsed().as_millis()));
        Ok(appliance)
    }

    /// Makes what such a launch goes on from, so that none has to.
    pub(crate) fn warm(config: &Config, log: Log<'_>) -> Result<Warmed> {
        Machine::find(config, log)?.warm(config, log)
    }

    /// The connection to the daemon.
    pub(crate) fn socket(&self) -> &UnixStream {
        &self.channel
    }

    /// Memory that is a disk of the appliance.
    pub(crate) fn window(&self) -> Option<Arc<Window>> {
        self.window.clone()
    }

    /// The output of the console; its end, like that of the socket, means that qemu has died.
    pub(crate) fn console(&self) -> BorrowedFd<'_> {
        self.console.as_fd()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Keeps console output, in case it has to explain a death.
    pub(crate) fn absorb_console(&mut self, bytes: &[u8]) {
        self.tail.absorb(bytes);
    }

    /// Says why the appliance has died, once a connection to it is at its end.
    pub(crate) fn death_report(&mut self) -> String {
        // A qemu which closes its sockets and lives on is as good as dead.
        let ended = self.process.wait(Instant::now() + DEATH_DEADLINE).ok().flatten();
        self.drain_console();
        self.explain(Fate::Ended(ended))
    }

    /// Ends the appliance.  The daemon has been told to write everything it has; what is in the
    /// caches of qemu is written here.
    pub(crate) fn shutdown(mut self) -> Result<()> {
        let now = Instant::now();
        let asked = self.qmp.execute("quit", json!({}), now + QMP_DEADLINE);
        // A connection lost over the answer is what quitting looks like, too.
        let deadline = match asked {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => now + QMP_DEADLINE,
            _ => now + EXIT_DEADLINE,
        };
        match self.process.wait(deadline) {
            Ok(Some(Ended::Exited(0) | Ended::Unknown)) => Ok(()),
            Ok(Some(_)) => Err(Error::new(0, self.death_report())),
            Ok(None) => {
                let seconds = now.elapsed().as_secs();
                let message = format!(
                    "qemu has not exited in {seconds} seconds and is killed; what was written last \
                     may be lost"
                );
                Err(Error::new(0, message))
            }
            Err(error) => Err(Error::io(&error, "qemu")),
        }
    }

    /// Waits for the flag with which the daemon begins.
    fn wait_until_ready(&mut self, patience: Patience, log: Log<'_>) -> Result<()> {
        check_flag(&self.read(4, patience, log)?)
    }

    /// Reads so many bytes from the daemon, and meanwhile what the console has to say.
    fn read(&mut self, size: usize, patience: Patience, log: Log<'_>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        let mut filled = 0;
        while filled < size {
            let scope = interrupt::current();
            let process = self.process.as_fd();
            // Without such a descriptor, one of the others stands in for it.
            let signals = scope.as_deref().map_or(process, interrupt::Scope::as_fd);
            let fds = [self.channel.as_fd(), self.console.as_fd(), process, signals];
            let [channel, console, process, signals] =
                readable(fds, Some(patience.until)).map_err(|it| Error::io(&it, "poll"))?;
            if let Some(scope) = scope.filter(|_| signals) {
                scope.wake();
            }
            if interrupt::requested() {
                return Err(Error::new(Errno::EINTR as i32, "interrupted"));
            }
            if [channel, console, process, signals] == [false; 4] {
                let fate = Fate::Silent(patience.since.elapsed().as_secs());
                return Err(Error::new(0, self.explain(fate)));
            }
            if console {
                let mut chunk = [0; 4096];
                let n_read = self.console.read(&mut chunk).unwrap_or(0);
                self.tail.absorb(&chunk[..n_read]);
                if n_read == 0 {
                    return Err(Error::new(0, self.death_report()));
                }
                log(LogKind::Appliance, &chunk[..n_read]);
            }
            if channel {
                let n_read = self.channel.read(&mut bytes[filled..]).unwrap_or(0);
                if n_read == 0 {
                    return Err(Error::new(0, self.death_report()));
                }
                filled += n_read;
            }
            // The console has been read to its end by now, or there was nothing left to read.
            if [channel, console, process] == [false, false, true] {
                return Err(Error::new(0, self.death_report()));
            }
        }
        Ok(bytes)
    }

    fn drain_console(&mut self) {
        if self.console.set_nonblocking(true).is_ok() {
            let mut chunk = [0; 4096];
            while let Ok(n_read @ 1..) = self.console.read(&mut chunk) {
                self.tail.absorb(&chunk[..n_read]);
            }
        }
    }

    fn explain(&self, fate: Fate) -> String {
        report::explain(&Evidence {
            fate,
            stderr: &self.process.stderr(),
            console: &self.tail.text(),
            drives: &self.drives,
            launching: self.launching,
        })
    }
}

/// How long to wait for something, and since when.
#[derive(Clone, Copy)]
struct Patience {
    since: Instant,
    until: Instant,
}

impl Patience {
    fn of(duration: Duration) -> Self {
        let since = Instant::now();
        Self { since, until: since + duration }
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.until
    }

    /// Leaves as much as it takes for another attempt.
    fn for_a_first_attempt(self) -> Self {
        Self::of(self.until.saturating_duration_since(Instant::now()) / 2)
    }
}

/// How long a launch may take, if the backend settings say so.
fn timeout(settings: &[String]) -> Result<Option<Duration>> {
    let Some(value) = settings.iter().find_map(|it| it.strip_prefix("timeout=")) else {
        return Ok(None);
    };
    match value.parse() {
        Ok(seconds @ 1..=TIMEOUT_MAX) => Ok(Some(Duration::from_secs(seconds))),
        _ => {
            let why = format!("{value} is not a number of seconds up to {TIMEOUT_MAX}");
            Err(Error::invalid("the backend setting timeout", why))
        }
    }
}

fn progress(log: Log<'_>, position: u64) {
    log(LogKind::Progress { position, total: 12 }, b"");
}

fn say(log: Log<'_>, message: String) {
    log(LogKind::Library, message.as_bytes());
}

fn check_flag(flag: &[u8]) -> Result<()> {
    if flag == LAUNCH_FLAG.to_be_bytes() {
        return Ok(());
    }
    let message = format!(
        "the daemon begins with {flag:02x?}: the appliance is not one of guestfs, or of another \
         version; {REBUILD}"
    );
    Err(Error::new(0, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(setting: &str, expected: std::result::Result<Option<u64>, &str>) {
        let found = timeout(&["force_tcg".to_owned(), setting.to_owned()]);
        let found = found.map(|it| it.map(|it| it.as_secs()));
        let found = found.map_err(|it| it.message().to_owned());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn timeouts() {
        const OBJECT: &str = "the backend setting timeout";
        check("template=0", Ok(None));
        check("timeout=10", Ok(Some(10)));
        for value in ["", "0", "-1", "ten", "31536001"] {
            let why = format!("{OBJECT}: {value} is not a number of seconds up to 31536000");
            check(&format!("timeout={value}"), Err(&why));
        }
    }
}
