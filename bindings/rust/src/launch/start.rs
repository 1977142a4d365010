// SPDX-License-Identifier: LGPL-2.1-or-later
//! The two ways to start: booting, and going on from a template.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guestfs_protocol::wire::{self, Announced, Header, MessageError, Nothing, Status};
use guestfs_protocol::{InternalResumeArgs, Procedure};
use rustix::rand::{GetRandomFlags, getrandom};

use super::accel::Accel;
use super::disks::Disks;
use super::features::Features;
use super::process::{Process, Setup};
use super::qemu::{self, Memory, Plan, Sockets};
use super::qmp::Qmp;
use super::report::Tail;
use super::search::Files;
use super::template::{self, Found, Template};
use super::{Appliance, Config, Log, LogKind, cache, say};
use crate::drive::Drive;
use crate::error::{Error, Result};

/// A restored daemon answers at once; it looks for the drives first.
const RESUME_DEADLINE: Duration = Duration::from_secs(120);

/// Random bytes for a clone, so that it has nothing in common with the others.
const ENTROPY_SIZE: usize = 64;

/// What an appliance is started with, whatever is on its drives.
pub(super) struct Machine {
    pub hv: PathBuf,
    pub files: Files,
    pub features: Features,
    pub accel: Accel,
}

impl Machine {
    /// Boots, and waits until the daemon is ready.
    pub(super) fn boot(&self, config: &Config, log: Log<'_>) -> Result<Appliance> {
        let mut appliance = self.spawn(config, Memory::Own, log)?;
        log(LogKind::Progress { position: 3, total: 12 }, b"");
        appliance.wait_until_ready(self.accel, log)?;
        Ok(appliance)
    }

    /// The template that fits, made now if there is none; `None` if it is better to boot.
    pub(super) fn template(&self, config: &Config, log: Log<'_>) -> Option<Template> {
        if let Some(why) = unfit(config) {
            say(log, format!("no template: {why}"));
            return None;
        }
        let result =
            self.key(config).and_then(|key| match template::find(&config.cachedir, key)? {
                Found::Template(template) => Ok(template),
                Found::Missing(making) => self.make(config, making, log),
            });
        result.inspect_err(|why| say(log, format!("no template: {why}"))).ok()
    }

    /// Everything that two appliances must have in common to be clones of one template.
    fn key(&self, config: &Config) -> io::Result<String> {
        let config = Config { drives: Vec::new(), ..config.clone() };
        let disks = Disks::default();
        let plan = self.plan(&config, &disks, Sockets::default(), Memory::Own);
        let mut key = qemu::quoted(self.hv.as_os_str(), &qemu::arguments(&plan)).to_string();
        for file in [&self.hv, &self.files.kernel, &self.files.initrd, &self.files.root] {
            key.push('\n');
            key.push_str(&cache::identity(file)?);
        }
        // The cache may be on a server, and hosts differ in what processor they show the guest.
        let host = rustix::system::uname();
        let host = [host.nodename(), host.release(), host.version()];
        key.extend(host.map(|it| format!("\n{}", it.to_string_lossy())));
        Ok(key)
    }

    fn make(
        &self,
        config: &Config,
        making: template::Making,
        log: Log<'_>,
    ) -> io::Result<Template> {
        say(log, "making a template: later launches go on from here".to_owned());
        let memory = making.memory(u64::try_from(config.memsize_mb).unwrap_or(0) << 20)?;
        let state = making.state()?;
        let config = Config { drives: Vec::new(), ..config.clone() };
        let saved = Memory::Saved(&memory);
        let mut appliance = self.spawn(&config, saved, log).map_err(io::Error::other)?;
        appliance.wait_until_ready(self.accel, log).map_err(io::Error::other)?;
        template::save(&mut appliance.qmp, &state)?;
        drop(appliance);
        making.finish()
    }

    /// Goes on from a template.
    pub(super) fn restore(
        &self,
        config: &Config,
        template: &Template,
        log: Log<'_>,
    ) -> Result<Appliance> {
        let fail = |it: io::Error| Error::io(&it, "template");
        let state = template.state().map_err(fail)?;
        let memory = template.memory();
        let mut appliance = self.spawn(config, Memory::Restored(&memory), log)?;
        log(LogKind::Progress { position: 6, total: 12 }, b"");
        template::load(&mut appliance.qmp, &state).map_err(fail)?;
        appliance.resume(config.drives.len(), log)?;
        Ok(appliance)
    }

    fn spawn(&self, config: &Config, memory: Memory<'_>, log: Log<'_>) -> Result<Appliance> {
        let disks = Disks::prepare(&config.drives, &config.tmpdir)?;
        let sockets = |it: io::Error| Error::io(&it, "socketpair");
        let (channel, channel_of_qemu) = UnixStream::pair().map_err(sockets)?;
        let (console, console_of_qemu) = UnixStream::pair().map_err(sockets)?;
        let (qmp, qmp_of_qemu) = UnixStream::pair().map_err(sockets)?;
        let sockets = Sockets {
            channel: channel_of_qemu.as_raw_fd(),
            console: console_of_qemu.as_raw_fd(),
            qmp: qmp_of_qemu.as_raw_fd(),
        };
        let args = qemu::arguments(&self.plan(config, &disks, sockets, memory));
        log(LogKind::Library, &qemu::quoted(self.hv.as_os_str(), &args));
        let mut inherit: Vec<OwnedFd> =
            vec![channel_of_qemu.into(), console_of_qemu.into(), qmp_of_qemu.into()];
        inherit.extend(disks.sets);
        inherit.extend(disks.others);
        let setup = Setup { inherit, own_group: config.pgroup, dies_with_us: config.recovery_proc };
        let mut command = Command::new(&self.hv);
        command.args(args);
        let process =
            Process::spawn(command, setup).map_err(|it| Error::io(&it, self.hv.display()))?;
        let drives = config.drives.iter().map(Drive::name).collect();
        let (qmp, tail) = (Qmp::new(qmp), Tail::default());
        Ok(Appliance { process, channel, console, qmp, tail, drives })
    }

    fn plan<'a>(
        &'a self,
        config: &'a Config,
        disks: &'a Disks,
        sockets: Sockets,
        memory: Memory<'a>,
    ) -> Plan<'a> {
        let Self { files, features, accel, .. } = self;
        Plan { config, files, features, accel: *accel, disks, sockets, memory }
    }
}

/// Why such an appliance is booted each time.
fn unfit(config: &Config) -> Option<&'static str> {
    let set = |setting: &str| config.backend_settings.iter().any(|it| it == setting);
    match config {
        _ if set("template=0") => Some("it is off"),
        Config { verbose: true, .. } if !set("template=1") => {
            Some("the messages of the kernel are wanted")
        }
        Config { network: true, .. } => Some("connections do not survive a restore"),
        _ if !config.hv_params.is_empty() => Some("qemu has parameters of the caller"),
        _ if set("gdb") => Some("a debugger attaches"),
        _ => None,
    }
}

impl Appliance {
    /// Tells a restored daemon what has changed since it was saved.
    fn resume(&mut self, n_drives: usize, log: Log<'_>) -> Result<()> {
        let fail = |it: &dyn std::fmt::Display| Error::new(0, format!("resume: {it}"));
        let mut entropy = vec![0; ENTROPY_SIZE];
        getrandom(&mut entropy[..], GetRandomFlags::empty()).map_err(|it| fail(&it))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let args = InternalResumeArgs {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: now.subsec_nanos() as i32,
            entropy,
            ndrives: i32::try_from(n_drives).unwrap_or(i32::MAX),
        };
        let header = Header::call(Procedure::InternalResume as u32, 0, 0, 0);
        let message = wire::encode_message(&header, &args).map_err(|it| fail(&it))?;
        (&self.channel).write_all(&message).map_err(|it| fail(&it))?;

        let word = self.read(4, RESUME_DEADLINE, log)?;
        let word = word.try_into().map(u32::from_be_bytes).unwrap_or(0);
        let Ok(Announced::Message(len)) = wire::announced(word) else {
            return Err(fail(&"the answer is not a message"));
        };
        let message = self.read(len, RESUME_DEADLINE, log)?;
        let (answer, body) = wire::split_header(&message).map_err(|it| fail(&it))?;
        if answer.status == Status::Error {
            let error: MessageError = wire::decode(body).map_err(|it| fail(&it))?;
            return Err(fail(&error.message));
        }
        let Nothing = wire::decode(body).map_err(|it| fail(&it))?;
        Ok(())
    }
}
