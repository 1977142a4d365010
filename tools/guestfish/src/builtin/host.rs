// SPDX-License-Identifier: LGPL-2.1-or-later
//! Commands about the host: `echo`, `lcd`, `man`, `setenv`, `unsetenv`.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bstr::{BString, ByteSlice};

use crate::builtin::Call;
use crate::error::{Error, Result};
use crate::session::Session;

pub(super) fn echo(_: &mut Session, call: Call<'_>) -> Result<()> {
    call.out.line(&bstr::join(" ", call.words))
}

pub(super) fn lcd(session: &mut Session, call: Call<'_>) -> Result<()> {
    let directory = match call.words[0].strip_prefix(b"~") {
        Some(rest) if rest.is_empty() || rest.starts_with(b"/") => {
            let home = session.variable("HOME").unwrap_or_default();
            [home.as_bytes(), rest].concat()
        }
        _ => call.words[0].to_vec(),
    };
    let directory = Path::new(OsStr::from_bytes(&directory));
    env::set_current_dir(directory).map_err(Error::file(directory))
}

pub(super) fn man(session: &mut Session, _: Call<'_>) -> Result<()> {
    let status = session.shell(b"man 1 guestfish").status().map_err(Error::io("sh"))?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::shell(format!("man: {status}"))),
    }
}

pub(super) fn setenv(session: &mut Session, call: Call<'_>) -> Result<()> {
    let name = variable_name(&call.words[0])?;
    let value = OsStr::from_bytes(&call.words[1]).to_owned();
    session.environment.insert(name.to_owned(), Some(value));
    Ok(())
}

pub(super) fn unsetenv(session: &mut Session, call: Call<'_>) -> Result<()> {
    let name = variable_name(&call.words[0])?;
    session.environment.insert(name.to_owned(), None);
    Ok(())
}

/// What cannot be a name would end the program that is started.
fn variable_name(name: &BString) -> Result<&OsStr> {
    match name.is_empty() || name.find_byteset(b"=\0").is_some() {
        true => Err(Error::shell(format!("{name}: not the name of a variable"))),
        false => Ok(OsStr::from_bytes(name)),
    }
}
