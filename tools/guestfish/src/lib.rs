// SPDX-License-Identifier: LGPL-2.1-or-later
//! The guest filesystem shell.
//!
//! What is public is what the generated table of commands is written in.

mod builtin;
mod cli;
pub mod command;
mod complete;
mod config;
pub mod error;
mod files;
#[rustfmt::skip]
mod generated;
mod help;
mod interactive;
mod keys;
mod lex;
pub mod output;
mod progress;
mod session;
mod source;
mod suggest;
mod units;
mod uri;
mod wildcard;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use bstr::BString;
use guestfs::{AddDriveOptions, Handle};

use crate::cli::{Access, Drive, Mount, Options, Request};
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::output::Output;
use crate::session::{Session, Settings};
use crate::source::Script;

/// The program.
pub fn main() -> ExitCode {
    match cli::parse(std::env::args_os()).and_then(fulfil) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            err.report();
            ExitCode::FAILURE
        }
    }
}

fn fulfil(request: Request) -> Result<()> {
    let mut out = Output::Terminal;
    match request {
        Request::Print(text) => out.bytes(text.as_bytes()),
        Request::Help(None) => out.bytes(help::list().as_bytes()),
        Request::Help(Some(name)) => out.bytes(help::of(&name)?.as_bytes()),
        Request::Version => {
            let version = Handle::create()?.version()?;
            let (major, minor, release) = (version.major, version.minor, version.release);
            out.line(format!("guestfish {major}.{minor}.{release}{}", version.extra).as_bytes())
        }
        Request::Session(options) => work(*options),
    }
}

/// Where commands come from.
enum Source {
    CommandLine,
    File(BufReader<File>),
    StandardInput,
    Terminal,
}

fn work(mut options: Options) -> Result<()> {
    take_disks(&mut options)?;
    let source = match &options.file {
        _ if !options.words.is_empty() => Source::CommandLine,
        Some(path) => {
            let path = Path::new(path);
            Source::File(BufReader::new(File::open(path).map_err(Error::file(path))?))
        }
        None if io::stdin().is_terminal() => Source::Terminal,
        None => Source::StandardInput,
    };
    if !options.words.is_empty() && options.file.is_some() {
        return Err(Error::shell("--file: commands are given on the command line as well"));
    }
    let interactive = matches!(source, Source::Terminal);
    if interactive {
        interactive::hold_interrupts()?;
    }
    let mut session = Session::new(Settings {
        verbose: options.verbose,
        trace: options.trace,
        no_sync: options.no_sync,
        network: options.network,
        pipe_error: options.pipe_error,
        progress: options.progress_bars.unwrap_or(interactive),
        interactive,
        keys: Keys { from_stdin: options.keys_from_stdin, echo: options.echo_keys },
    })?;
    prepare(&session.handle, &options)?;
    let result = match source {
        Source::CommandLine => session.run_words(&options.words),
        Source::File(file) => {
            let name = options.file.as_deref().unwrap_or_default().to_string_lossy();
            session.run_script(&mut Script::new(file, name))
        }
        Source::StandardInput => {
            session.run_script(&mut Script::new(io::stdin().lock(), "standard input"))
        }
        Source::Terminal => interactive::run(&mut session, !options.no_dest_paths),
    };
    let closed = session.close();
    result.and(closed)
}

/// `guestfish disk.img`: words in front that are files, and not commands, are disks.
fn take_disks(options: &mut Options) -> Result<()> {
    let is_command = |word: &[u8]| command::find(word).is_some() || builtin::find(word).is_some();
    let is_disk = |word: &BString| !is_command(word) && Path::new(OsStr::from_bytes(word)).exists();
    let count = options.words.iter().take_while(|word| is_disk(word)).count();
    for name in options.words.drain(..count) {
        options.drives.push(Drive { name, format: None, blocksize: None });
    }
    // It would be a command whose failure is ignored.
    match options.words.first().and_then(|word| Some((word, word.strip_prefix(b"-")?))) {
        Some((word, command)) if count > 0 && !is_command(command) => {
            Err(Error::shell(format!("{word}: options have to stand before the disks")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Adds the disks and mounts the filesystems that the options name.
fn prepare(g: &Handle, options: &Options) -> Result<()> {
    let readonly = match options.access {
        Access::ReadOnly => true,
        Access::ReadWrite => false,
        Access::Default => config::read_only().unwrap_or(true),
    };
    for Drive { name, format, blocksize } in &options.drives {
        let disk = uri::parse(name)?;
        let format = format.clone();
        let blocksize = *blocksize;
        let options =
            AddDriveOptions { readonly: Some(readonly), format, blocksize, ..disk.options };
        g.add_drive(&disk.filename, &options)?;
    }
    if options.mounts.is_empty() {
        return Ok(());
    }
    g.launch()?;
    for Mount { device, mountpoint, options, fstype } in &options.mounts {
        let options = match (readonly, options.is_empty()) {
            (false, _) => options.clone(),
            (true, true) => "ro".into(),
            (true, false) => BString::from(format!("ro,{options}")),
        };
        match (options.is_empty(), fstype.is_empty()) {
            (true, true) => g.mount(device, mountpoint)?,
            (false, true) => g.mount_options(&options, device, mountpoint)?,
            (_, false) => g.mount_vfs(&options, fstype, device, mountpoint)?,
        }
    }
    Ok(())
}
