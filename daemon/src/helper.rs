// SPDX-License-Identifier: LGPL-2.1-or-later
//! Libraries that the daemon cannot load itself: the helper does, in a process of its own.

use std::io::BufReader;
use std::process::{ChildStdin, ChildStdout};

use bstr::{BString, ByteSlice};
use guestfs_helper::{ERROR, OK, receive, send};

use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::tool::{Running, Tool};

/// A helper that has loaded a library, and what the library keeps between calls.
#[derive(Debug)]
pub(crate) struct Helper {
    library: &'static str,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    running: Running,
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's code and words.
    Refused(i32, String),
    /// The helper is no more.
    Ended(Error),
}

impl Helper {
    /// Starts one, to work on the guest's files.
    pub(crate) fn start(cx: &Ctx, library: &'static str) -> Result<Self> {
        let tool = Tool::new("guestfs-helper").arg(library).arg(cx.sysroot());
        let mut running = tool.start()?;
        let Some((input, output)) = running.pipes() else {
            return Err(Error::Internal(format!("{library}: no pipes")));
        };
        Ok(Self { library, input, output: BufReader::new(output), running })
    }

    /// Calls a function of the library.
    pub(crate) fn call(&mut self, request: &[&[u8]]) -> Result<Vec<BString>, Failure> {
        // A helper that has ended does not take the request: its status tells more than that.
        let sent = send(&mut self.input, request);
        let reply = sent.and_then(|()| receive(&mut self.output)).ok().flatten();
        let fields: Vec<&[u8]> = reply.iter().flatten().map(Vec::as_slice).collect();
        match fields[..] {
            [OK, ref results @ ..] => Ok(results.iter().map(|&it| it.into()).collect()),
            [ERROR, code, words] => {
                let code = code.to_str().ok().and_then(|code| code.parse().ok()).unwrap_or(-1);
                Err(Failure::Refused(code, words.to_str_lossy().into_owned()))
            }
            _ => Err(Failure::Ended(self.end())),
        }
    }

    /// What is known about a helper that does not answer.
    fn end(&mut self) -> Error {
        match self.running.wait().about(self.library) {
            Ok(status) => {
                Error::Tool { program: self.library.into(), status, stderr: String::new() }
            }
            Err(err) => err,
        }
    }
}

/// The number that is the one result of a function.
pub(crate) fn number<T: std::str::FromStr>(results: &[BString]) -> Result<T> {
    match results {
        [digits] => digits.to_str().ok().and_then(|digits| digits.parse().ok()),
        _ => None,
    }
    .ok_or_else(|| Error::Internal(format!("{results:?} in place of a number")))
}
