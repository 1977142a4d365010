// SPDX-License-Identifier: LGPL-2.1-or-later
//! Secrets: they are asked for, so that they are in no history and in no list of processes.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Room for a line of a terminal: a secret that grows leaves copies of itself behind.
const LINE: usize = 4096;

/// A secret, which is wiped when it has been used.
pub(crate) type Key = Zeroizing<Vec<u8>>;

/// How secrets are asked for.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Each is a line of standard input.
    pub(crate) from_stdin: bool,
    /// What is typed can be seen.
    pub(crate) echo: bool,
}

impl Keys {
    /// Asks for one.
    pub(crate) fn read(&self, name: &str) -> Result<Key> {
        let key = match self.from_stdin {
            true => read_line(&mut io::stdin().lock()).map_err(Error::io("standard input"))?,
            false => self.ask(name).map_err(Error::io("/dev/tty"))?,
        };
        key.ok_or_else(|| Error::shell(format!("{name}: no key was given")))
    }

    fn ask(&self, name: &str) -> io::Result<Option<Key>> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        write!(&terminal, "Enter key or passphrase ({name}): ")?;
        let silence = if self.echo { None } else { Some(Silence::new(&terminal)?) };
        // Whatever else is read stays in a buffer that nobody wipes.
        let key = read_line(&mut BufReader::with_capacity(1, &terminal))?;
        if silence.is_some() {
            writeln!(&terminal)?;
        }
        Ok(key)
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<Option<Key>> {
    let mut key = Zeroizing::new(Vec::with_capacity(LINE));
    let length = from.read_until(b'\n', &mut key)?;
    if key.last() == Some(&b'\n') {
        key.pop();
    }
    Ok((length > 0).then_some(key))
}

/// The terminal does not show what is typed, until this is dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that has gone away needs no echo.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keys() {
        let mut from = &b"secret\n\nlast"[..];
        let mut next = || read_line(&mut from).unwrap().map(|key| key.to_vec());
        assert_eq!(next().as_deref(), Some(&b"secret"[..]));
        assert_eq!(next().as_deref(), Some(&b""[..]));
        assert_eq!(next().as_deref(), Some(&b"last"[..]));
        assert_eq!(next(), None);
    }
}
