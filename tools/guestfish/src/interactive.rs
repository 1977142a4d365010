// SPDX-License-Identifier: LGPL-2.1-or-later
//! The shell as people use it: prompt, history, completion, and ^C for what takes too long.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::thread;

use bstr::BString;
use nix::sys::signal::{SigSet, Signal};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor, Helper, Highlighter, Hinter, Validator};

use crate::complete::{self, Entry, Places};
use crate::error::{Error, Result};
use crate::lex;
use crate::session::{Current, Session};
use crate::source::Lines;
use crate::wildcard::Guest;

const PROMPT: &str = "><fs> ";

const WELCOME: &str = "\
This is guestfish, the guest filesystem shell: it looks into disk images of
virtual machines, and changes them.

'help' lists the commands, 'man' shows the manual, 'quit' ends the session.
";

/// The signal of ^C, which is to stop a transfer and not the program.
fn interrupt() -> SigSet {
    SigSet::from(Signal::SIGINT)
}

/// Keeps ^C from ending the program.  To be called while there is one thread: the others inherit
/// it.  Programs that are started do not.
pub(crate) fn hold_interrupts() -> Result<()> {
    interrupt().thread_block().map_err(|err| Error::shell(format!("SIGINT: {}", err.desc())))
}

/// Carries out what the user types, until there is no more.
pub(crate) fn run(session: &mut Session, paths: bool) -> Result<()> {
    let current = session.current();
    thread::spawn(move || cancel_at_interrupt(&current));
    let failed = |err: ReadlineError| Error::shell(format!("terminal: {err}"));
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<Typist, DefaultHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Typist { current: session.current(), paths }));
    let history = env::home_dir().map(|home| home.join(".guestfish"));
    if let Some(history) = &history {
        // At the first time there is none.
        let _ = editor.load_history(history);
    }
    println!("{WELCOME}");
    let decoration = |name: &str| env::var(name).map(|it| lex::decoration(&it)).unwrap_or_default();
    print!("{}", decoration("GUESTFISH_INIT"));
    let prompt = env::var("GUESTFISH_PS1").map_or(PROMPT.to_owned(), |it| lex::decoration(&it));
    let output = decoration("GUESTFISH_OUTPUT");
    let mut typed = Typed { editor, pasted: VecDeque::new() };
    while !session.finished {
        match typed.next(&prompt) {
            Ok(line) => {
                print!("{output}");
                if let Err(err) = session.run_line(&line, &mut typed) {
                    err.report();
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(err) => return Err(failed(err)),
        }
    }
    print!("{}", decoration("GUESTFISH_RESTORE"));
    if let Some(history) = &history {
        typed.editor.append_history(history).map_err(failed)?;
    }
    Ok(())
}

fn cancel_at_interrupt(current: &Current) {
    // Waiting fails only for a signal that does not exist.
    while interrupt().wait().is_ok() {
        let handle = current.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(handle) = handle {
            // It does nothing if no transfer is running, and has no other way to fail.
            let _ = handle.user_cancel();
        }
    }
}

/// Lines that are typed or pasted.
struct Typed {
    editor: Editor<Typist, DefaultHistory>,
    /// What was pasted has more than one line.
    pasted: VecDeque<BString>,
}

impl Typed {
    /// The next command.
    fn next(&mut self, prompt: &str) -> rustyline::Result<BString> {
        if let Some(line) = self.pasted.pop_front() {
            return Ok(line);
        }
        let text = self.editor.readline(prompt)?;
        if !text.trim().is_empty() {
            self.editor.add_history_entry(text.as_str())?;
        }
        Ok(self.first_line(&text))
    }

    fn first_line(&mut self, text: &str) -> BString {
        self.pasted = text.split('\n').map(BString::from).collect();
        self.pasted.pop_front().unwrap_or_default()
    }
}

impl Lines for Typed {
    fn more(&mut self) -> Result<Option<BString>> {
        if let Some(line) = self.pasted.pop_front() {
            return Ok(Some(line));
        }
        // A line of a document is no command, so it is not in the history.
        match self.editor.readline("> ") {
            Ok(text) => Ok(Some(self.first_line(&text))),
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(err) => Err(Error::shell(format!("terminal: {err}"))),
        }
    }
}

#[derive(Helper, Highlighter, Hinter, Validator)]
struct Typist {
    current: Current,
    /// Paths of the guest are completed, for which it has to be asked.
    paths: bool,
}

impl Typist {
    fn ask<T: Default>(&self, question: impl FnOnce(&guestfs::Handle) -> Option<T>) -> T {
        let handle = self.current.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let handle = handle.filter(|handle| self.paths && handle.is_ready().unwrap_or(false));
        handle.and_then(|handle| question(&handle)).unwrap_or_default()
    }
}

impl Completer for Typist {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, candidates) = complete::complete(&line[..pos], self);
        let pair = |it: complete::Candidate| Pair { display: it.shown, replacement: it.typed };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

impl Places for Typist {
    fn launched(&self) -> bool {
        let handle = self.current.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        handle.is_some_and(|handle| handle.is_ready().unwrap_or(false))
    }

    fn guest(&self, directory: &str) -> Vec<Entry> {
        let text = |name: BString| String::from_utf8(name.into()).ok();
        self.ask(|g| {
            let entries = g.readdir(directory).ok()?.into_iter();
            let entries = entries.filter_map(|it| {
                let name = text(it.name)?;
                let directory = it.ftyp == b'd';
                (name != "." && name != "..").then_some(Entry { name, directory })
            });
            Some(entries.collect())
        })
    }

    fn host(&self, directory: &str) -> Vec<Entry> {
        let path = match directory.strip_prefix("~/") {
            Some(rest) => env::home_dir().unwrap_or_default().join(rest),
            None if directory.is_empty() => PathBuf::from("."),
            None => Path::new(directory).to_owned(),
        };
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let entry = |it: fs::DirEntry| {
            let directory = it.path().is_dir();
            Some(Entry { name: it.file_name().into_string().ok()?, directory })
        };
        entries.filter_map(entry).collect()
    }

    fn devices(&self) -> Vec<String> {
        let devices = self.ask(|g| Some(Guest::devices(g)));
        devices.into_iter().filter_map(|it| String::from_utf8(it.into()).ok()).collect()
    }
}
