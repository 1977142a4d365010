// SPDX-License-Identifier: LGPL-2.1-or-later
//! The two ways to start: booting, and going on from a template.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use guestfs_protocol::wire::{self, Announced, Header, MessageError, Nothing, Status};
use guestfs_protocol::{InternalResumeArgs, Procedure};
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::json;

use super::accel::{self, Accel, Choice};
use super::disks::Disks;
use super::features::{self, Features};
use super::kept::{Key, REFUSAL};
use super::process::{Process, Setup};
use super::qemu::{self, Memory, Plan, Sockets};
use super::qmp::Qmp;
use super::report::{self, Tail};
use super::search::{self, Files};
use super::template::{self, Found, Making, Meanwhile, Template};
use super::{
    Appliance, Config, DEADLINE_KVM, DEADLINE_TCG, DEATH_DEADLINE, Log, LogKind, Patience, arch,
    cache, foreign, manifest, progress, say, timeout,
};
use crate::drive::Drive;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::window::Window;

/// Random bytes for a clone, so that it has nothing in common with the others.
const ENTROPY_SIZE: usize = 64;

/// What an appliance is started with, whatever is on its drives.
pub(super) struct Machine {
    pub hv: PathBuf,
    pub files: Files,
    pub features: Features,
    pub accel: Accel,
    pub tsc_mhz: Option<u32>,
    /// The appliance is one of libguestfs.
    pub foreign: bool,
    /// For all attempts together.
    pub patience: Patience,
}

/// The file of the guest's memory, and whether it is changed.
#[derive(Clone, Copy)]
enum Start<'a> {
    Boot,
    Save(&'a File),
    Restore(&'a File),
}

/// Why an appliance was not restored, and what follows from that.
enum Failed {
    /// Booting would fail in the same way.
    Finally(Error),
    /// Booting may help, and if it doesn't it has the better error.
    ForOnce(Error),
    /// Nobody should try this template again.
    ByTemplate(Error),
    /// Nor make another one.
    ByDaemon(Error),
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Finally(error)
            | Failed::ForOnce(error)
            | Failed::ByTemplate(error)
            | Failed::ByDaemon(error) => error,
        }
    }
}

/// What came of making a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmed {
    /// It was there.
    Already,
    Now,
}

impl Machine {
    /// Finds everything there has to be.
    pub(super) fn find(config: &Config, log: Log<'_>) -> Result<Self> {
        let started = Instant::now();
        let limit = timeout(&config.backend_settings)?;
        let files = search::appliance(&config.path)?;
        let hv = search::hypervisor(config.hv.as_deref())?;
        let features = features::of(&hv, &config.cachedir, limit)?;
        say(log, format!("appliance: {}", files.root.display()));
        say(log, format!("hypervisor: {}, version {:?}", hv.display(), features.version));
        let settings = &config.backend_settings;
        let accel = match accel::choose(settings, &hv, &features, &files, &config.cachedir)? {
            Choice::Kvm => Accel::Kvm,
            Choice::Tcg { why } => {
                say(log, format!("not using KVM: {why}"));
                Accel::Tcg
            }
            Choice::Instead { why } => {
                say(log, format!("not using KVM: {why}"));
                let (message, is_news) = accel::warning(&why, &config.cachedir);
                log(LogKind::Warning { is_news }, message.as_bytes());
                Accel::Tcg
            }
        };
        let patience = match (limit, accel) {
            (Some(limit), _) => Patience { since: started, until: started + limit },
            (None, Accel::Kvm) => Patience::of(DEADLINE_KVM),
            (None, Accel::Tcg) => Patience::of(DEADLINE_TCG),
        };
        let tsc_mhz = accel.tsc_mhz();
        let foreign = foreign::has_such_root(&files.root)
            .map_err(|it| Error::io(&it, files.root.display()))?;
        Ok(Self { hv, files, features, accel, tsc_mhz, foreign, patience })
    }

    /// Makes the template of such a handle unless it is there, and tries it.
    pub(super) fn warm(&self, config: &Config, log: Log<'_>) -> Result<Warmed> {
        let config = for_template(config);
        if let Some(why) = self.unfit(&config) {
            return Err(Error::new(0, format!("such handles have no template: {why}")));
        }
        let (template, warmed) = self
            .find_or_make(&config, Meanwhile::Wait, log)
            .map_err(|it| Error::new(0, format!("no template: {it}")))?;
        match self.restore(&config, &template, log) {
            Ok(appliance) => appliance.shutdown().map(|()| warmed),
            Err(Failed::Finally(error) | Failed::ForOnce(error)) => Err(error),
            Err(Failed::ByTemplate(error)) => {
                template.forget();
                Err(error)
            }
            Err(Failed::ByDaemon(error)) => {
                template.forget();
                self.refuse(&config, error.message());
                Err(error)
            }
        }
    }

    /// Goes on from the template if there is one, and boots otherwise.
    pub(super) fn start(&self, config: &Config, log: Log<'_>) -> Result<Appliance> {
        let template = match self.template(config, log) {
            Ok(template) => template,
            // Nothing is left for a boot, and this one has seen more.
            Err(why) if self.patience.is_over() || interrupt::requested() => {
                return Err(why.downcast().unwrap_or_else(|it| Error::io(&it, "template")));
            }
            Err(_) => return self.boot(config, 3, log),
        };
        progress(log, 6);
        let why = match self.restore(config, &template, log) {
            Ok(appliance) => return Ok(appliance),
            // That was nobody's fault.
            Err(failed) if interrupt::requested() => return Err(failed.into()),
            Err(Failed::Finally(error)) => return Err(error),
            Err(Failed::ForOnce(why)) => why,
            Err(Failed::ByTemplate(why)) => {
                template.forget();
                say(log, "the template is removed".to_owned());
                why
            }
            Err(Failed::ByDaemon(why)) => {
                template.forget();
                self.refuse(&for_template(config), why.message());
                say(log, "the template is removed, and no other made".to_owned());
                why
            }
        };
        say(log, format!("not restored from a template: {why}"));
        self.boot(config, 9, log)
    }

    fn boot(&self, config: &Config, position: u64, log: Log<'_>) -> Result<Appliance> {
        let started = Instant::now();
        let mut appliance = self.spawn(config, Start::Boot, log)?;
        progress(log, position);
        self.wait_until_ready(&mut appliance, log)?;
        say(log, format!("booted in {}", ms(started)));
        Ok(appliance)
    }

    /// An appliance that does not come up may be told why by looking at its files.
    fn wait_until_ready(&self, appliance: &mut Appliance, log: Log<'_>) -> Result<()> {
        appliance.wait_until_ready(self.patience, log).map_err(
            |error| match report::refuses_a_drive(&appliance.process.stderr()) {
                true => error,
                false => manifest::blame(&self.files, error),
            },
        )
    }

    /// The template that fits, made now if there is none; an error if it is better to boot.
    fn template(&self, config: &Config, log: Log<'_>) -> io::Result<Template> {
        let meanwhile = match set(config, &["template", "template=1"]) {
            true => Meanwhile::Wait,
            false => Meanwhile::Boot,
        };
        let config = for_template(config);
        let result = match self.unfit(&config) {
            Some(why) => Err(io::Error::other(why)),
            None => self.find_or_make(&config, meanwhile, log),
        };
        let (template, warmed) =
            result.inspect_err(|why| say(log, format!("no template: {why}")))?;
        if config.verbose && warmed == Warmed::Already {
            say(log, "this is what the template said when it was booted:".to_owned());
            log(LogKind::Appliance, template.console());
        }
        Ok(template)
    }

    fn unfit(&self, config: &Config) -> Option<&'static str> {
        self.foreign.then_some(foreign::NO_TEMPLATE).or_else(|| unfit(config))
    }

    fn find_or_make(
        &self,
        config: &Config,
        meanwhile: Meanwhile,
        log: Log<'_>,
    ) -> io::Result<(Template, Warmed)> {
        let key = self.key(config)?.text()?;
        // A qemu that can't do it is not asked again and again.
        let refusal = refusal(&key);
        if let Ok(why) = cache::remembered(&config.cachedir, &refusal, || Err(())) {
            return Err(io::Error::other(why));
        }
        let making = match template::find(&config.cachedir, key, meanwhile)? {
            Found::Template(template) => return Ok((template, Warmed::Already)),
            Found::Missing(making) => making,
        };
        say(log, "making a template: later launches go on from here".to_owned());
        let started = Instant::now();
        let console = self.fill(&making, config, log).inspect_err(|error| {
            if error.kind() == io::ErrorKind::Other {
                remember(config, &refusal, &error.to_string());
            }
        })?;
        let template = making.finish(console.as_bytes())?;
        say(log, format!("template made in {}", ms(started)));
        Ok((template, Warmed::Now))
    }

    /// Keeps such appliances from being saved again.
    fn refuse(&self, config: &Config, why: &str) {
        // Without a cache directory there are no templates either.
        if let Ok(key) = self.key(config).and_then(|it| it.text()) {
            remember(config, &refusal(&key), why);
        }
    }

    /// Boots and saves what becomes a template.  Returns what was on the console.
    fn fill(&self, making: &Making, config: &Config, log: Log<'_>) -> io::Result<String> {
        // Whatever keeps it from booting may be gone the next time.
        let fail = |it: Error| io::Error::new(io::ErrorKind::NotConnected, it);
        let memory = making.memory(u64::try_from(config.memsize_mb).unwrap_or(0) << 20)?;
        let mut appliance = self.spawn(config, Start::Save(memory), log).map_err(fail)?;
        progress(log, 3);
        self.wait_until_ready(&mut appliance, log).map_err(fail)?;
        making.save(&mut appliance.qmp, self.patience.until)?;
        // Now it says nothing more.
        appliance.drain_console();
        Ok(appliance.tail.text())
    }

    fn key(&self, config: &Config) -> io::Result<Key> {
        let disks = Disks::default();
        let plan = self.plan(config, &disks, Sockets::default(), Memory::Own, Some(0));
        let command = qemu::quoted(self.hv.as_os_str(), &qemu::arguments(&plan)).to_string();
        let files = [&self.hv, &self.files.kernel, &self.files.initrd, &self.files.root];
        let files = files.map(|it| Ok((it.display().to_string(), cache::identity(it)?)));
        let host = match self.accel {
            // The guest has seen the host's processor, and the cache may be on a server.
            Accel::Kvm => Some(processor()?),
            // It was shown one of qemu's.
            Accel::Tcg => None,
        };
        let files = files.into_iter().collect::<io::Result<_>>()?;
        Ok(Key { about: self.about(config), command, files, host })
    }

    /// What launches a template is for, in the words of the settings.
    fn about(&self, config: &Config) -> String {
        let flags =
            [("verbose", config.verbose), ("network", config.network), ("selinux", config.selinux)];
        let mut text =
            format!("{} MiB, smp {}, {}", config.memsize_mb, config.smp, self.accel.name());
        for (name, _) in flags.iter().filter(|(_, is_set)| *is_set) {
            text.push_str(&format!(", {name}"));
        }
        if let Some(append) = &config.append {
            text.push_str(&format!(", append {append}"));
        }
        let [major, minor, micro] = self.features.version;
        let place = self.files.root.parent().unwrap_or(&self.files.root).display();
        format!("{text}, qemu {major}.{minor}.{micro}, {place}")
    }

    fn restore(
        &self,
        config: &Config,
        template: &Template,
        log: Log<'_>,
    ) -> std::result::Result<Appliance, Failed> {
        let started = Instant::now();
        let patience = self.patience.for_a_first_attempt();
        let by_template = |it: io::Error| Failed::ByTemplate(Error::io(&it, "template"));
        let mut appliance =
            self.spawn(config, Start::Restore(template.memory()), log).map_err(Failed::Finally)?;
        progress(log, 9);
        template::prepare(&mut appliance.qmp, patience.until)
            .map_err(|why| appliance.early_death(&why))?;
        template.load(&mut appliance.qmp, patience.until).map_err(by_template)?;
        // The drives are locked only now, so this fails if another program has one.
        let go_on = appliance.qmp.execute("cont", json!({}), patience.until);
        go_on.map_err(|it| Failed::ForOnce(Error::io(&it, "qemu")))?;
        say(log, format!("state loaded after {}", ms(started)));
        appliance.resume(config.drives.len(), patience, log)?;
        say(log, format!("restored from a template in {}", ms(started)));
        Ok(appliance)
    }

    fn spawn(&self, config: &Config, start: Start<'_>, log: Log<'_>) -> Result<Appliance> {
        let mut disks = Disks::prepare(&config.drives, &config.tmpdir)?;
        if self.foreign {
            disks.cover_root(&self.files.root, &config.tmpdir)?;
        }
        let sockets = |it: io::Error| Error::io(&it, "socketpair");
        let (channel, channel_of_qemu) = UnixStream::pair().map_err(sockets)?;
        let (console, console_of_qemu) = UnixStream::pair().map_err(sockets)?;
        let (qmp, qmp_of_qemu) = UnixStream::pair().map_err(sockets)?;
        let sockets = Sockets {
            channel: channel_of_qemu.as_raw_fd(),
            console: console_of_qemu.as_raw_fd(),
            qmp: qmp_of_qemu.as_raw_fd(),
        };
        let mut inherit: Vec<OwnedFd> =
            vec![channel_of_qemu.into(), console_of_qemu.into(), qmp_of_qemu.into()];
        let mut lend = |file: &File| {
            let file = file.try_clone().map_err(|it| Error::io(&it, "memory"))?;
            let fd = file.as_raw_fd();
            inherit.push(file.into());
            Ok::<_, Error>(fd)
        };
        let memory = match start {
            Start::Boot => Memory::Own,
            Start::Save(file) => Memory::Saved(lend(file)?),
            Start::Restore(file) => Memory::Restored(lend(file)?),
        };
        let window = match self.foreign {
            true => None,
            false => Window::new()
                .inspect_err(|why| say(log, format!("no memory for a window: {why}")))
                .ok(),
        };
        let fd = window.as_ref().map(|it| lend(it.file())).transpose()?;
        let args = qemu::arguments(&self.plan(config, &disks, sockets, memory, fd));
        say(log, qemu::quoted(self.hv.as_os_str(), &args).to_string());
        inherit.extend(disks.sets);
        inherit.extend(disks.others);
        // Ctrl-C at a terminal is for the program, if it knows what to do with it.
        let own_group = config.pgroup || interrupt::current().is_some();
        let dies_with_us = config.recovery_proc;
        let setup = Setup { inherit, own_group, dies_with_us, stdout: None };
        let mut command = Command::new(&self.hv);
        command.args(args);
        let process =
            Process::spawn(command, setup).map_err(|it| report::not_started(&self.hv, &it))?;
        let drives = config.drives.iter().map(Drive::name).collect();
        let (qmp, tail) = (Qmp::new(qmp), Tail::default());
        let window = window.map(Arc::new);
        Ok(Appliance { process, channel, console, qmp, window, tail, drives, launching: true })
    }

    fn plan<'a>(
        &'a self,
        config: &'a Config,
        disks: &'a Disks,
        sockets: Sockets,
        memory: Memory,
        window: Option<RawFd>,
    ) -> Plan<'a> {
        let Self { files, features, accel, tsc_mhz, .. } = self;
        let (accel, tsc_mhz) = (*accel, *tsc_mhz);
        let arch = arch::HOST;
        let window = (!self.foreign).then_some(window);
        Plan { config, files, features, arch, accel, tsc_mhz, disks, sockets, window, memory }
    }
}

/// The fact that an appliance with this key can't be saved and gone on from.
fn refusal(key: &str) -> String {
    format!("{REFUSAL}{key}")
}

fn remember(config: &Config, refusal: &str, why: &str) {
    let _ = cache::remembered(&config.cachedir, refusal, || Ok::<_, ()>(why.to_owned()));
}

/// The settings that reach the guest, and nothing of the drives.
fn for_template(config: &Config) -> Config {
    let identifier = String::new();
    Config { drives: Vec::new(), identifier, recovery_proc: true, ..config.clone() }
}

fn set(config: &Config, settings: &[&str]) -> bool {
    config.backend_settings.iter().any(|it| settings.contains(&it.as_str()))
}

/// Why such an appliance is booted each time.
fn unfit(config: &Config) -> Option<&'static str> {
    match config {
        _ if set(config, &["template=0"]) => Some("the backend setting template is 0"),
        // A drive may be among them, and what a kernel remembers of one soon is wrong.
        _ if !config.hv_params.is_empty() => Some("qemu has parameters of the caller"),
        _ if set(config, &["gdb", "gdb=1"]) => Some("a debugger attaches"),
        _ => None,
    }
}

/// What KVM shows of the host to a guest.
fn processor() -> io::Result<String> {
    const FIELDS: [&str; 6] =
        ["vendor_id", "cpu family", "model", "stepping", "microcode", "flags"];
    let host = rustix::system::uname();
    let [release, version] = [host.release(), host.version()].map(|it| it.to_string_lossy());
    let mut text = format!("\n{release} {version}");
    let all = fs::read_to_string("/proc/cpuinfo")?;
    for line in all.lines().take_while(|it| !it.is_empty()) {
        if line.split_once(':').is_some_and(|(name, _)| FIELDS.contains(&name.trim())) {
            text.push('\n');
            text.push_str(line);
        }
    }
    Ok(text)
}

fn ms(started: Instant) -> String {
    format!("{} ms", started.elapsed().as_millis())
}

impl Appliance {
    /// What to make of a qemu that was to be restored, and has not come to listen.
    fn early_death(&mut self, why: &io::Error) -> Failed {
        let ended = self.process.wait(Instant::now() + DEATH_DEADLINE);
        if !matches!(ended, Ok(Some(_))) {
            return Failed::ForOnce(Error::io(why, "qemu"));
        }
        let refused = report::refuses_a_drive(&self.process.stderr());
        let report = Error::new(0, self.death_report());
        if refused { Failed::Finally(report) } else { Failed::ForOnce(report) }
    }

    /// Tells a restored daemon what has changed since it was saved.
    fn resume(
        &mut self,
        n_drives: usize,
        patience: Patience,
        log: Log<'_>,
    ) -> std::result::Result<(), Failed> {
        let message = resume_message(n_drives).map_err(Failed::ForOnce)?;
        let unheard = |it: &dyn std::fmt::Display| {
            Failed::ByTemplate(Error::new(0, format!("its daemon: {it}")))
        };
        (&self.channel).write_all(&message).map_err(|it| unheard(&it))?;
        let word = self.read(4, patience, log).map_err(Failed::ByTemplate)?;
        let word = word.try_into().map(u32::from_be_bytes).unwrap_or(0);
        let Ok(Announced::Message(len)) = wire::announced(word) else {
            return Err(unheard(&"the answer is not a message"));
        };
        let message = self.read(len, patience, log).map_err(Failed::ByTemplate)?;
        let (answer, body) = wire::split_header(&message).map_err(|it| unheard(&it))?;
        if answer.status == Status::Error {
            let error: MessageError = wire::decode(body).map_err(|it| unheard(&it))?;
            let why = error.message.to_string();
            if foreign::is_unknown_function(&why) {
                return Err(Failed::ByDaemon(Error::new(0, format!("its daemon: {why}"))));
            }
            // It lives: what it didn't find is not the template's.
            return Err(Failed::ForOnce(Error::new(0, why)));
        }
        let Nothing = wire::decode(body).map_err(|it| unheard(&it))?;
        Ok(())
    }
}

fn resume_message(n_drives: usize) -> Result<Vec<u8>> {
    let mut entropy = vec![0; ENTROPY_SIZE];
    // So few bytes are never cut short.
    getrandom(&mut entropy[..], GetRandomFlags::empty())
        .map_err(|it| Error::io(&it.into(), "getrandom"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let args = InternalResumeArgs {
        seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: now.subsec_nanos() as i32,
        entropy,
        ndrives: i32::try_from(n_drives).unwrap_or(i32::MAX),
    };
    let header = Header::call(Procedure::InternalResume as u32, 0, 0, 0);
    wire::encode_message(&header, &args).map_err(|it| Error::new(0, format!("resume: {it}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(settings: &[&str], config: Config, expected: Option<&str>) {
        let backend_settings = settings.iter().map(ToString::to_string).collect();
        assert_eq!(unfit(&Config { backend_settings, ..config }), expected);
    }

    #[test]
    fn booted_each_time() {
        let hv_params = vec![("-foo".into(), None)];
        let own = Config { hv_params, ..Config::default() };
        check(&[], Config::default(), None);
        check(&["template=0"], Config::default(), Some("the backend setting template is 0"));
        check(&[], Config { verbose: true, network: true, ..Config::default() }, None);
        check(&["template=1"], own, Some("qemu has parameters of the caller"));
        check(&["gdb"], Config::default(), Some("a debugger attaches"));
    }
}
