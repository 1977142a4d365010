// SPDX-License-Identifier: LGPL-2.1-or-later
//! Whether KVM works here: a `/dev/kvm` that opens is not yet one that runs a kernel.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bstr::ByteSlice;

use super::arch::{self, Arch};
use super::cache;
use super::features::Features;
use super::process::{Process, Setup};
use super::report::{last_error, remedy_for_kvm};
use super::search::Files;
use super::wait::readable;
use crate::error::{Error, Result};

const DEVICE: &str = "/dev/kvm";

/// A kernel that runs prints a line every few milliseconds; slow hosts and nested
/// virtualization are allowed for.
const STALL: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(30);

/// Without an initrd, a healthy kernel gets all the way to this.
const EXPECTED: &[u8] = b"Kernel panic - not syncing: VFS";

const WORKS: &str = "works";

/// How the processor of the appliance is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accel {
    Kvm,
    Tcg,
}

impl Accel {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// The processor to show to the guest.
    pub(super) fn cpu(self, arch: &Arch) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::Tcg => arch.emulated_cpu,
        }
    }

    /// How fast the time stamp counter runs, if the guest has no way to be told by KVM: emulation
    /// hands out that of the host.
    pub(super) fn tsc_mhz(self) -> Option<u32> {
        match self {
            Self::Kvm => None,
            Self::Tcg if !cfg!(target_arch = "x86_64") => None,
            Self::Tcg => tsc_mhz(&fs::read_to_string("/proc/cpuinfo").ok()?),
        }
    }
}

/// The kernel computes its "bogomips" from the counter's rate, which it doesn't tell.  It finds
/// out a slightly different one each time it boots; what is lost here is refined by the guest.
fn tsc_mhz(cpuinfo: &str) -> Option<u32> {
    let line = cpuinfo.lines().find(|it| it.starts_with("bogomips"))?;
    let bogomips: f64 = line.split_once(':')?.1.trim().parse().ok()?;
    let mhz = (bogomips / 2.0).round() as u32;
    (500..10_000).contains(&mhz).then_some(mhz)
}

/// What an appliance is to run by, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Kvm,
    /// Nothing else was to be expected.
    Tcg {
        why: String,
    },
    /// There is a KVM, and it is of no use.
    Instead {
        why: String,
    },
}

/// KVM if it has been seen to work, else emulation; or what the backend settings demand.
pub(super) fn choose(
    settings: &[String],
    hv: &Path,
    features: &Features,
    files: &Files,
    cachedir: &Path,
) -> Result<Choice> {
    decide(settings, || {
        let device = openable().map_err(NoKvm::Closed)?;
        let key = key(hv, &files.kernel, &device);
        let verdict = cache::remembered(cachedir, &key, || {
            try_it(hv, features, files).map_err(|it| Error::io(&it, hv.display()))
        });
        match verdict.map_err(NoKvm::Untried)?.as_str() {
            WORKS => Ok(()),
            why => Err(NoKvm::Broken(why.to_owned())),
        }
    })
}

/// Why there is no KVM to use.
enum NoKvm {
    Closed(io::Error),
    Broken(String),
    /// It could not be tried.
    Untried(Error),
}

fn decide(
    settings: &[String],
    works: impl FnOnce() -> std::result::Result<(), NoKvm>,
) -> Result<Choice> {
    // "force_kvm=1" is as good as "force_kvm".
    let set = |name| settings.iter().any(|it| it == name || *it == format!("{name}=1"));
    let (force_kvm, force_tcg) = (set("force_kvm"), set("force_tcg"));
    if force_kvm && force_tcg {
        let why = "force_kvm and force_tcg are both set";
        return Err(Error::invalid("backend settings", why));
    }
    if force_tcg {
        return Ok(Choice::Tcg { why: "force_tcg is set".to_owned() });
    }
    let (why, is_there) = match works() {
        Ok(()) => return Ok(Choice::Kvm),
        Err(NoKvm::Closed(error)) => {
            let is_there = error.kind() != io::ErrorKind::NotFound;
            (Error::io(&error, DEVICE).message().to_owned(), is_there)
        }
        Err(NoKvm::Broken(why)) => (format!("{DEVICE}: {why}"), true),
        Err(NoKvm::Untried(error)) => return Err(error),
    };
    match (force_kvm, is_there) {
        (true, _) => {
            let message = format!(
                "{why}; {}; the backend setting force_kvm is set, without it the appliance runs \
                 by emulation",
                remedy_for_kvm(&why)
            );
            Err(Error::new(0, message))
        }
        (false, true) => Ok(Choice::Instead { why }),
        (false, false) => Ok(Choice::Tcg { why }),
    }
}

/// The warning that KVM is not used, and whether it is news on this machine: programs are not to
/// say it each time they are run.
pub(super) fn warning(why: &str, cachedir: &Path) -> (String, bool) {
    let message = format!(
        "{why}; the appliance is emulated, which is slower (the backend setting force_tcg ends \
         this warning)"
    );
    let mut is_news = false;
    let told = cache::remembered(cachedir, &format!("told {} {why}", boot_id()), || {
        is_news = true;
        Ok::<_, std::convert::Infallible>(String::new())
    });
    // Whatever was remembered says no more than that.
    drop(told);
    (message, is_news)
}

/// What tells this `/dev/kvm` from another one, if it can be opened at all.
fn openable() -> io::Result<String> {
    let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    let it = file.metadata()?;
    Ok(format!("{:x} {:o} {}:{}", it.rdev(), it.mode(), it.uid(), it.gid()))
}

/// All that the verdict depends on.  It holds until the next boot at most: modules are reloaded
/// with other parameters then, and virtual machines moved to other hosts.
fn key(hv: &Path, kernel: &Path, device: &str) -> String {
    let [hv, kernel] = [hv, kernel].map(|it| cache::identity(it).unwrap_or_default());
    let release = of_kernel("osrelease");
    format!("kvm 2 {device} {release} {} {hv} {kernel}", boot_id())
}

fn boot_id() -> String {
    of_kernel("random/boot_id")
}

fn of_kernel(name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    text.trim().to_owned()
}

/// Boots the kernel of the appliance with nothing but a console.
fn try_it(hv: &Path, features: &Features, files: &Files) -> io::Result<String> {
    let (mut console, theirs) = UnixStream::pair()?;
    let mut command = Command::new(hv);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(["-machine", &format!("{},accel=kvm", features.machine)]);
    command.args(["-cpu", Accel::Kvm.cpu(arch::HOST), "-m", "256", "-serial", "chardev:console"]);
    command.arg("-chardev").arg(format!("socket,id=console,fd={}", theirs.as_raw_fd()));
    command.arg("-kernel").arg(&files.kernel);
    let words = arch::HOST.kernel_words.join(" ");
    command.args(["-append", &format!("console={} {words} panic=-1", arch::HOST.console)]);
    let setup = Setup { inherit: vec![theirs.into()], dies_with_us: true, ..Setup::default() };
    let mut process = Process::spawn(command, setup)?;

    let started = Instant::now();
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while text.find(EXPECTED).is_none() {
        if started.elapsed() > TOTAL
            || readable([console.as_fd()], Some(Instant::now() + STALL))? == [false]
        {
            process.kill();
            return Ok(format!("a test kernel hangs after \"{}\"", last_line(&text)));
        }
        match console.read(&mut chunk)? {
            0 => {
                process.kill();
                let stderr = process.stderr();
                let said = last_error(&stderr).unwrap_or_else(|| last_line(&text));
                return Ok(format!("qemu gives up with \"{said}\""));
            }
            n => text.extend_from_slice(&chunk[..n]),
        }
    }
    Ok(WORKS.to_owned())
}

fn last_line(text: &[u8]) -> String {
    let line = text.lines().rev().map(<[u8]>::trim_ascii).find(|it| !it.is_empty());
    line.map_or_else(|| "no output".to_owned(), |it| it.to_str_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters() {
        assert_eq!(tsc_mhz("processor : 0\nbogomips\t: 5192.24\nTLB size\t: 192\n"), Some(2596));
        assert_eq!(tsc_mhz("bogomips\t: 2.00\n"), None);
        assert_eq!(tsc_mhz("processor : 0\n"), None);
    }

    #[track_caller]
    fn check(settings: &[&str], kvm: std::result::Result<(), NoKvm>, expected: &str) {
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        let text = match decide(&settings, || kvm) {
            Ok(Choice::Kvm) => "kvm".to_owned(),
            Ok(Choice::Tcg { why }) => format!("tcg: {why}"),
            Ok(Choice::Instead { why }) => format!("instead: {why}"),
            Err(error) => format!("error: {}", error.message()),
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn choices() {
        let closed = |errno| Err(NoKvm::Closed(io::Error::from_raw_os_error(errno)));
        let broken = || Err(NoKvm::Broken("a test kernel hangs".to_owned()));
        check(&[], Ok(()), "kvm");
        check(&["force_kvm"], Ok(()), "kvm");
        check(&["force_tcg=1"], Ok(()), "tcg: force_tcg is set");
        check(&["force_tcg=0"], Ok(()), "kvm");
        check(&[], closed(libc::ENOENT), "tcg: /dev/kvm: No such file or directory");
        check(&[], closed(libc::EACCES), "instead: /dev/kvm: Permission denied");
        check(&[], broken(), "instead: /dev/kvm: a test kernel hangs");
        check(
            &["force_kvm=1"],
            broken(),
            "error: /dev/kvm: a test kernel hangs; guestfs-test-tool tells more; the backend \
             setting force_kvm is set, without it the appliance runs by emulation",
        );
        check(
            &["force_kvm", "force_tcg"],
            Ok(()),
            "error: backend settings: force_kvm and force_tcg are both set",
        );
        let untried = Err(NoKvm::Untried(Error::new(0, "/q: Permission denied")));
        check(&[], untried, "error: /q: Permission denied");
    }

    #[test]
    fn news_is_told_once() {
        let cachedir = tempfile::tempdir().unwrap();
        let (message, is_news) = warning("/dev/kvm: no", cachedir.path());
        assert!(message.starts_with("/dev/kvm: no; the appliance is emulated"));
        assert!(is_news);
        assert!(!warning("/dev/kvm: no", cachedir.path()).1);
        assert!(warning("/dev/kvm: never", cachedir.path()).1);
    }

    #[test]
    fn last_lines() {
        assert_eq!(last_line(b"one\r\nProbing EDD\r\n\r\n"), "Probing EDD");
        assert_eq!(last_line(b""), "no output");
    }
}
