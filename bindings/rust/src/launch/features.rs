// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a qemu can do, asked of the program itself.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::arch::{self, Arch};
use super::cache;
use super::process::{Ended, Process, Setup};
use super::qmp::Qmp;
use super::report::{self, last_error};
use super::wait::readable;
use crate::error::{Error, Result};

/// An idle qemu answers in a tenth of a second.
const DEADLINE: Duration = Duration::from_secs(60);

/// A program that isn't a qemu ends soon.
const DEATH_DEADLINE: Duration = Duration::from_secs(1);

/// The first version with all that the command line of an appliance has on it.
const OLDEST: [u64; 3] = [4, 2, 0];

/// Devices without which there is no appliance.
const NEEDED: [&str; 5] =
    ["virtio-blk-pci", "virtio-scsi-pci", "scsi-hd", "virtio-serial-pci", "virtserialport"];

/// Devices which are used if they are there.
const WANTED: [&str; 2] = ["virtio-rng-pci", "virtio-net-pci"];

/// Properties of the machine which are switched off if they are there.
const UNNEEDED: [&str; 3] = ["usb", "vmport", "hpet"];

/// The part of a qemu's abilities that its command line depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Features {
    pub version: [u64; 3],
    pub machine: String,
    /// Properties to switch off.
    pub unneeded: Vec<String>,
    /// Optional devices it has.
    pub devices: Vec<String>,
    /// It can lock itself in with seccomp.
    pub sandbox: bool,
}

impl Features {
    pub(super) fn has(&self, device: &str) -> bool {
        self.devices.iter().any(|it| it == device)
    }
}

/// Asks `hv`, or remembers its answer until the program is replaced.
pub(super) fn of(hv: &Path, cachedir: &Path, patience: Option<Duration>) -> Result<Features> {
    let patience = patience.unwrap_or(DEADLINE).min(DEADLINE);
    let identity = cache::identity(hv).map_err(|it| Error::io(&it, hv.display()))?;
    let found = cache::remembered(cachedir, &format!("features 2 {identity}"), || {
        serde_json::to_string(&ask(hv, patience)?).map_err(|it| unusable(hv, &it.to_string()))
    })?;
    // A cache file from another time is no reason to fail.
    serde_json::from_str(&found).or_else(|_| ask(hv, patience))
}

fn unusable(hv: &Path, why: &str) -> Error {
    let hv = hv.display();
    let remedy = "install another one, or name it with LIBGUESTFS_HV";
    Error::new(0, format!("{hv}: not a usable qemu: {why}; {remedy}"))
}

fn ask(hv: &Path, patience: Duration) -> Result<Features> {
    let start = || -> io::Result<(Process, Qmp)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(hv);
        command.args(["-S", "-machine", "none", "-nodefaults", "-no-user-config"]);
        command.args(["-display", "none", "-mon", "chardev=qmp,mode=control", "-chardev"]);
        command.arg(format!("socket,id=qmp,fd={}", theirs.as_raw_fd()));
        let inherit = vec![theirs.into()];
        let setup = Setup { inherit, dies_with_us: true, ..Setup::default() };
        Ok((Process::spawn(command, setup)?, Qmp::new(ours)))
    };
    let (mut process, mut qmp) = start().map_err(|it| report::not_started(hv, &it))?;
    let deadline = Instant::now() + patience;
    let answers = Answers::collect(arch::HOST, &mut |command, arguments| {
        qmp.execute(command, arguments, deadline)
    });
    match answers {
        Ok(answers) => answers.features(arch::HOST).map_err(|it| unusable(hv, &it)),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(unusable(hv, &format!("it has not answered in {} seconds", patience.as_secs())))
        }
        Err(error) => {
            if let Some(why) = said_version(hv, deadline).ok().and_then(too_old) {
                return Err(unusable(hv, &why));
            }
            let ended = process.wait(Instant::now() + DEATH_DEADLINE).ok().flatten();
            let why = match (last_error(&process.stderr()), ended) {
                (Some(said), _) => said,
                (None, Some(Ended::Exited(code))) => format!("it exits with status {code}"),
                (None, Some(Ended::Killed(signal))) => format!("signal {signal} kills it"),
                (None, _) => error.to_string(),
            };
            Err(unusable(hv, &why))
        }
    }
}

/// Why a qemu of this version isn't used.
fn too_old(version: [u64; 3]) -> Option<String> {
    let [major, minor, micro] = version;
    let [oldest_major, oldest_minor, _] = OLDEST;
    (version < OLDEST).then(|| {
        format!(
            "version {major}.{minor}.{micro} is too old, it takes {oldest_major}.{oldest_minor} or \
             later"
        )
    })
}

/// The version of a qemu that can't even be asked for it properly.
fn said_version(hv: &Path, deadline: Instant) -> io::Result<[u64; 3]> {
    let (mut output, theirs) = UnixStream::pair()?;
    let mut command = Command::new(hv);
    command.arg("--version");
    let setup = Setup { stdout: Some(theirs.into()), dies_with_us: true, ..Setup::default() };
    let _process = Process::spawn(command, setup)?;
    let mut text = [0; 256];
    let mut filled = 0;
    while filled < text.len() && readable([output.as_fd()], Some(deadline))? == [true] {
        match output.read(&mut text[filled..])? {
            0 => break,
            n_read => filled += n_read,
        }
    }
    let text = String::from_utf8_lossy(&text[..filled]);
    version_in(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn version_in(text: &str) -> Option<[u64; 3]> {
    let (_, rest) = text.split_once(" version ")?;
    let mut numbers = rest.split(|it: char| !it.is_ascii_digit()).map(|it| it.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// What qemu says, before it is made sense of.
struct Answers {
    version: Value,
    machines: Value,
    properties: Value,
    devices: Value,
    options: Value,
}

impl Answers {
    fn collect(
        arch: &Arch,
        ask: &mut dyn FnMut(&str, Value) -> io::Result<Value>,
    ) -> io::Result<Self> {
        let version = ask("query-version", json!({}))?;
        let machines = ask("query-machines", json!({}))?;
        let devices = ask("qom-list-types", json!({"implements": "device"}))?;
        let options = ask("query-command-line-options", json!({}))?;
        let properties = match machine(arch, &machines) {
            Some((_, full_name)) => {
                let typename = format!("{full_name}-machine");
                ask("qom-list-properties", json!({"typename": typename}))?
            }
            None => Value::Null,
        };
        Ok(Self { version, machines, properties, devices, options })
    }

    fn features(&self, arch: &Arch) -> std::result::Result<Features, String> {
        let version = &self.version["qemu"];
        let version = ["major", "minor", "micro"].map(|it| version[it].as_u64().unwrap_or(0));
        if let Some(why) = too_old(version) {
            return Err(why);
        }
        let devices = names(&self.devices, "name");
        let missing: Vec<_> = NEEDED.iter().filter(|it| !devices.contains(it)).copied().collect();
        if !missing.is_empty() {
            return Err(format!("it has no {}", missing.join(", ")));
        }
        let Some((machine, _)) = machine(arch, &self.machines) else {
            return Err(format!("it has no machine of the type {}", arch.machines.join(" or ")));
        };
        let properties = names(&self.properties, "name");
        let present = |wanted: &[&str], there: &[&str]| {
            wanted.iter().filter(|it| there.contains(it)).map(|it| (*it).to_owned()).collect()
        };
        Ok(Features {
            version,
            machine: machine.to_owned(),
            unneeded: present(&UNNEEDED, &properties),
            devices: present(&WANTED, &devices),
            sandbox: names(&self.options, "option").contains(&"sandbox"),
        })
    }
}

/// The best machine there is: its short name and its versioned one.
fn machine<'a>(arch: &Arch, machines: &'a Value) -> Option<(&'static str, &'a str)> {
    let machines = machines.as_array()?;
    arch.machines.iter().find_map(|alias| {
        let it = machines.iter().find(|it| it["alias"] == *alias || it["name"] == *alias)?;
        Some((*alias, it["name"].as_str()?))
    })
}

fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|it| it[key].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A qemu with these lists.
    fn features(devices: &[&str], machines: &[&str]) -> std::result::Result<Features, String> {
        features_of(&arch::X86_64, devices, machines)
    }

    fn features_of(
        arch: &Arch,
        devices: &[&str],
        machines: &[&str],
    ) -> std::result::Result<Features, String> {
        let list = |names: &[&str]| -> Value {
            names.iter().map(|it| json!({"name": it, "option": it})).collect()
        };
        let answers = Answers::collect(arch, &mut |command, arguments| {
            Ok(match command {
                "query-version" => json!({"qemu": {"major": 7, "minor": 2, "micro": 22}}),
                "query-machines" => machines
                    .iter()
                    .map(|it| json!({"alias": it, "name": format!("{it}-9")}))
                    .collect(),
                "qom-list-types" => list(devices),
                "query-command-line-options" => list(&["add-fd", "sandbox"]),
                "qom-list-properties" if arguments == json!({"typename": "pc-9-machine"}) => {
                    list(&["hpet", "kernel", "usb"])
                }
                "qom-list-properties" => list(&[]),
                other => return Err(io::Error::other(other.to_owned())),
            })
        });
        answers.unwrap().features(arch)
    }

    #[test]
    fn answers() {
        let all = [&NEEDED[..], &["virtio-rng-pci", "isa-serial"]].concat();
        assert_eq!(
            features(&all, &["q35", "pc"]).unwrap(),
            Features {
                version: [7, 2, 22],
                machine: "pc".into(),
                unneeded: vec!["usb".into(), "hpet".into()],
                devices: vec!["virtio-rng-pci".into()],
                sandbox: true,
            }
        );
        assert_eq!(features(&all, &["q35"]).unwrap().machine, "q35");
        assert_eq!(
            features(&all, &["virt"]).unwrap_err(),
            "it has no machine of the type pc or q35"
        );
        assert_eq!(features_of(&arch::AARCH64, &all, &["virt"]).unwrap().machine, "virt");
        assert_eq!(features(&NEEDED[1..], &["pc"]).unwrap_err(), "it has no virtio-blk-pci");
    }

    #[test]
    fn versions() {
        let check = |text: &str, version, expected: Option<&str>| {
            assert_eq!(version_in(text), version);
            assert_eq!(version.and_then(too_old).as_deref(), expected);
        };
        check(
            "QEMU emulator version 2.8.1(Debian 1:2.8+dfsg-6+deb9u17)\n",
            Some([2, 8, 1]),
            Some("version 2.8.1 is too old, it takes 4.2 or later"),
        );
        check("QEMU emulator version 9.1.0\nCopyright", Some([9, 1, 0]), None);
        check("sh (version x.y)", None, None);
        check("", None, None);
    }
}
