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

use super::cache;
use super::features::Features;
use super::process::{Process, Setup};
use super::report::last_error;
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
    pub(super) fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            // With erms and fsrm the kernel copies by `rep movsb`, which is emulated byte by byte.
            Self::Tcg => "max,-erms,-fsrm",
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

/// KVM if it has been seen to work, else emulation; or what the backend settings demand.  The
/// second value says why KVM isn't used.
pub(super) fn choose(
    settings: &[String],
    hv: &Path,
    features: &Features,
    files: &Files,
    cachedir: &Path,
) -> Result<(Accel, Option<String>)> {
    // "force_kvm=1" is as good as "force_kvm".
    let set = |name| settings.iter().any(|it| it == name || *it == format!("{name}=1"));
    if set("force_tcg") {
        return Ok((Accel::Tcg, Some("force_tcg is set".to_owned())));
    }
    let verdict = match openable() {
        Ok(device) => cache::remembered(cachedir, &key(hv, &device), || {
            try_it(hv, features, files).map_err(|it| Error::io(&it, hv.display()))
        })?,
        Err(error) => error.to_string(),
    };
    match verdict.as_str() {
        WORKS => Ok((Accel::Kvm, None)),
        why if set("force_kvm") => {
            let message = format!(
                "{DEVICE}: {why}; the backend setting force_kvm is set, without it the appliance \
                 runs by emulation"
            );
            Err(Error::new(0, message))
        }
        why => Ok((Accel::Tcg, Some(why.to_owned()))),
    }
}

/// What tells this `/dev/kvm` from another one, if it can be opened at all.
fn openable() -> io::Result<String> {
    let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    let it = file.metadata()?;
    Ok(format!("{:x} {:o} {}:{}", it.rdev(), it.mode(), it.uid(), it.gid()))
}

/// All that the verdict depends on.  It holds until the next boot at most: modules are reloaded
/// with other parameters then, and virtual machines moved to other hosts.
fn key(hv: &Path, device: &str) -> String {
    let hv = cache::identity(hv).unwrap_or_default();
    let read = |name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    let (kernel, boot) = (read("osrelease"), read("random/boot_id"));
    format!("kvm 1 {device} {} {} {hv}", kernel.trim(), boot.trim())
}

/// Boots the kernel of the appliance with nothing but a console.
fn try_it(hv: &Path, features: &Features, files: &Files) -> io::Result<String> {
    let (mut console, theirs) = UnixStream::pair()?;
    let mut command = Command::new(hv);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(["-machine", &format!("{},accel=kvm", features.machine)]);
    command.args(["-cpu", Accel::Kvm.cpu(), "-m", "256", "-serial", "chardev:console"]);
    command.arg("-chardev").arg(format!("socket,id=console,fd={}", theirs.as_raw_fd()));
    command.arg("-kernel").arg(&files.kernel);
    command.args(["-append", "console=ttyS0 edd=off no_timer_check panic=-1"]);
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

    #[test]
    fn last_lines() {
        assert_eq!(last_line(b"one\r\nProbing EDD\r\n\r\n"), "Probing EDD");
        assert_eq!(last_line(b""), "no output");
    }
}
