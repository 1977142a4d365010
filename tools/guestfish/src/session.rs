// SPDX-License-Identifier: LGPL-2.1-or-later
//! A session: the handle, and what carries out lines on it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bstr::{BString, ByteSlice};
use guestfs::{Events, Handle, Payload};

use crate::builtin::{self, Call};
use crate::command::{self, Args};
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::lex::{self, Line};
use crate::output::Output;
use crate::progress::Progress;
use crate::source::{Lines, Script};
use crate::suggest;

/// What the options of the program say about a session.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// `-v`
    pub(crate) verbose: bool,
    /// `-x`
    pub(crate) trace: bool,
    /// `-n`
    pub(crate) no_sync: bool,
    /// `--network`
    pub(crate) network: bool,
    /// `--pipe-error`
    pub(crate) pipe_error: bool,
    /// Long calls show how far they have come.
    pub(crate) progress: bool,
    /// The appliance is not in the process group that ^C goes to.
    pub(crate) interactive: bool,
    /// How secrets are asked for.
    pub(crate) keys: Keys,
}

/// The handle in use, for whoever may outlive it.
pub(crate) type Current = Arc<Mutex<Weak<Handle>>>;

/// A session.
pub(crate) struct Session {
    pub(crate) handle: Arc<Handle>,
    pub(crate) settings: Settings,
    /// Variables for the programs that are started; none for those that are taken away.
    pub(crate) environment: BTreeMap<OsString, Option<OsString>>,
    pub(crate) events: Vec<builtin::EventScript>,
    /// `quit` was said.
    pub(crate) finished: bool,
    progress: Arc<Progress>,
    current: Current,
}

impl Session {
    /// A session with a handle that is not launched.
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        let handle = Arc::new(Handle::create()?);
        handle.set_pgroup(settings.interactive)?;
        // What the environment has switched on stays on.
        if settings.trace {
            handle.set_trace(true)?;
        }
        if settings.verbose {
            handle.set_verbose(true)?;
        }
        if settings.no_sync {
            handle.set_autosync(false)?;
        }
        if settings.network {
            handle.set_network(true)?;
        }
        let mut session = Self {
            handle: handle.clone(),
            settings,
            environment: BTreeMap::new(),
            events: Vec::new(),
            finished: false,
            progress: Arc::default(),
            current: Arc::default(),
        };
        session.use_handle(handle);
        Ok(session)
    }

    /// The handle in use, whichever that is by then.
    pub(crate) fn current(&self) -> Current {
        self.current.clone()
    }

    /// Replaces the handle.
    pub(crate) fn use_handle(&mut self, handle: Arc<Handle>) {
        if self.settings.progress {
            let progress = self.progress.clone();
            handle.set_event_callback(Events::PROGRESS, move |_, _, _, payload| {
                if let Payload::Array([_, _, position, total]) = payload {
                    progress.update(*position, *total);
                }
            });
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&handle);
        self.handle = handle;
    }

    /// Ends the session; what the disks could not take shows now.
    pub(crate) fn close(self) -> Result<()> {
        if self.handle.is_ready()? {
            self.handle.shutdown()?;
        }
        Ok(())
    }

    /// Carries out lines until there are no more or one fails.
    pub(crate) fn run_script(&mut self, lines: &mut dyn Lines) -> Result<()> {
        while !self.finished
            && let Some(line) = lines.more()?
        {
            self.run_line(&line, lines)?;
        }
        Ok(())
    }

    /// Carries out one line.
    pub(crate) fn run_line(&mut self, line: &[u8], lines: &mut dyn Lines) -> Result<()> {
        match lex::line(line)? {
            Line::Nothing => Ok(()),
            Line::Shell(command) => {
                let status = self.shell(&command).status().map_err(Error::io("sh"))?;
                match status.success() {
                    true => Ok(()),
                    false => Err(Error::shell(format!("{command}: {status}"))),
                }
            }
            Line::Include(command) => {
                let output = self.shell(&command).stderr(Stdio::inherit()).output();
                let output = output.map_err(Error::io("sh"))?;
                if !output.status.success() {
                    return Err(Error::shell(format!("{command}: {}", output.status)));
                }
                self.run_script(&mut Script::new(output.stdout.as_slice(), command.to_string()))
            }
            Line::Command { forgiving, words, pipe } => {
                let result = match pipe {
                    None => self.execute(&words, &mut Output::Terminal, lines),
                    Some(shell) => self.execute_piped(&words, &shell, lines),
                };
                forgive(forgiving, result)
            }
        }
    }

    /// Carries out the commands of a command line, which are separated by `:`.
    pub(crate) fn run_words(&mut self, words: &[BString]) -> Result<()> {
        for words in words.split(|word| word == ":") {
            if words.is_empty() || self.finished {
                continue;
            }
            let mut words = words.to_vec();
            let forgiving = words[0].len() > 1 && words[0].starts_with(b"-");
            if forgiving {
                words[0].remove(0);
            }
            let result = self.execute(&words, &mut Output::Terminal, &mut crate::source::NoLines);
            forgive(forgiving, result)?;
        }
        Ok(())
    }

    /// Carries out one command.
    pub(crate) fn execute(
        &mut self,
        words: &[BString],
        out: &mut Output,
        lines: &mut dyn Lines,
    ) -> Result<()> {
        let Some((name, words)) = words.split_first() else { return Ok(()) };
        if let Some(builtin) = builtin::find(name) {
            builtin.check(words)?;
            return (builtin.run)(self, Call { name, words, out, lines });
        }
        let Some(command) = command::find(name) else { return Err(unknown(name)) };
        let mut args = Args::new(command, words, &self.settings.keys, lines, out)?;
        let result = (command.run)(&self.handle, &mut args, out);
        let finished = args.finish();
        self.progress.finish();
        result.and(finished)
    }

    fn execute_piped(
        &mut self,
        words: &[BString],
        shell: &[u8],
        lines: &mut dyn Lines,
    ) -> Result<()> {
        let (from, to) = io::pipe().map_err(Error::io("pipe"))?;
        let mut child = self.shell(shell).stdin(from).spawn().map_err(Error::io("sh"))?;
        let mut out = Output::Pipe { to, strict: self.settings.pipe_error };
        let result = self.execute(words, &mut out, lines);
        // The program sees the end of its input.
        drop(out);
        child.wait().map_err(Error::io(shell.as_bstr()))?;
        result
    }

    /// A command of the host's shell, in the environment of the session.
    pub(crate) fn shell(&self, command: &[u8]) -> Command {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(OsStr::from_bytes(command));
        for (name, value) in &self.environment {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
    }

    /// A variable of the environment of the session.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        match self.environment.get(OsStr::new(name)) {
            Some(value) => value.clone(),
            None => std::env::var_os(name),
        }
    }
}

/// The error of a command with `-` in front is told, and that is all.
fn forgive(forgiving: bool, result: Result<()>) -> Result<()> {
    match result {
        Err(err) if forgiving => {
            err.report();
            Ok(())
        }
        result => result,
    }
}

fn unknown(name: &[u8]) -> Error {
    let typed = name.to_str_lossy().replace('_', "-");
    if let Some(why) = builtin::not_available(&typed) {
        return Error::shell(format!("{typed}: not available in this build: {why}"));
    }
    let names = command::all().filter(|it| it.listed).map(|it| it.name);
    let near = suggest::near(&typed, names.chain(builtin::TABLE.iter().map(|it| it.name)));
    let hint = match near.as_slice() {
        [] => "'help' lists the commands".to_owned(),
        near => format!("did you mean {}?", near.join(", ")),
    };
    Error::shell(format!("{}: unknown command; {hint}", name.as_bstr()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let mut session = Session::new(Settings::default()).unwrap();
        let result = session.run_line(line.as_bytes(), &mut crate::source::NoLines);
        assert_eq!(result.map_or_else(|err| err.to_string(), |()| "ok".to_owned()), expected);
    }

    #[test]
    fn outcomes_of_lines() {
        check("", "ok");
        check("!true", "ok");
        check("!exit 2", "guestfish: exit 2: exit status: 2");
        check("<!echo '# nothing'", "ok");
        check("<!echo frob", "guestfish: frob: unknown command; 'help' lists the commands");
        check("moutn /x /", "guestfish: moutn: unknown command; did you mean mount?");
        check("-moutn", "ok");
        check("is-config | cat >/dev/null", "ok");
        check(
            "is-config x",
            "guestfish: is-config: takes no parameters, not 1; 'help is-config' tells more",
        );
        check(
            "display x",
            "guestfish: display: not available in this build: it needs a viewer of images",
        );
        check(
            "mount /dev/sda1 /",
            "libguestfs: error: mount: call launch before using this function",
        );
    }

    #[test]
    fn commands_of_the_command_line() {
        let mut session = Session::new(Settings::default()).unwrap();
        let words = |line: &str| lex::list(line.as_bytes()).unwrap();
        session.run_words(&words("set-memsize 1G : -frob : set-smp 2 : quit : frob")).unwrap();
        assert_eq!(session.handle.get_memsize().unwrap(), 1024);
        assert_eq!(session.handle.get_smp().unwrap(), 2);
        assert!(session.finished);
    }
}
