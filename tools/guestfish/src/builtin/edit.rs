// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files of the guest in programs of the host: `edit` and `more`.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use bstr::{BString, ByteSlice};

use crate::builtin::Call;
use crate::error::{Error, Result};
use crate::session::Session;

pub(super) fn edit(session: &mut Session, call: Call<'_>) -> Result<()> {
    let path = &call.words[0];
    let editor = program(session, &call, "edit", "EDITOR", "vi");
    let directory = tempfile::tempdir().map_err(Error::io("temporary directory"))?;
    // Under its own name: that is how editors know what is in it.
    let name = path.rsplit_str("/").next().filter(|it| !it.is_empty()).unwrap_or(b"file");
    let local = directory.path().join(std::ffi::OsStr::from_bytes(name));
    session.handle.download(path, &local)?;
    let before = fs::read(&local).map_err(Error::file(&local))?;

    let command = [editor.as_slice(), b" ", &quoted(local.as_os_str().as_bytes())].concat();
    let status = session.shell(&command).status().map_err(Error::io("sh"))?;
    if !status.success() {
        return Err(Error::shell(format!("{}: {status}", editor.as_bstr())));
    }
    if fs::read(&local).map_err(Error::file(&local))? == before {
        return Ok(());
    }
    // Written into the file that is there, which keeps its owner, permissions, labels and links.
    Ok(session.handle.upload(&local, path)?)
}

pub(super) fn more(session: &mut Session, call: Call<'_>) -> Result<()> {
    let pager = program(session, &call, "more", "PAGER", "more");
    let words: [BString; 3] =
        ["download".into(), call.words[0].clone(), [b"|", pager.as_slice()].concat().into()];
    session.execute(&words, call.out, call.lines)
}

/// The program that a command was called as; under its own name, the one that a variable names.
fn program(
    session: &Session,
    call: &Call<'_>,
    own_name: &str,
    variable: &str,
    default: &str,
) -> Vec<u8> {
    if *call.name != own_name {
        return call.name.to_vec();
    }
    let named = session.variable(variable).filter(|it| !it.is_empty());
    named.map_or(default.into(), OsStringExt::into_vec)
}

/// A word for the shell.
fn quoted(word: &[u8]) -> Vec<u8> {
    [b"'", word.replace("'", r"'\''").as_slice(), b"'"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        assert_eq!(quoted(b"it's").as_bstr(), r"'it'\''s'");
    }
}
