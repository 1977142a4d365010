// SPDX-License-Identifier: LGPL-2.1-or-later
//! guestfs-helper: loads a library, and calls its functions as guestfsd asks for them.

mod attributes;
mod augeas;
mod journal;
mod library;

use std::io;
use std::process::ExitCode;

use guestfs_helper::{ERROR, Message, OK, receive, send};

use crate::augeas::Augeas;
use crate::journal::Journal;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["augeas", sysroot] => Augeas::load(sysroot).and_then(serve),
        ["journal", sysroot] => Journal::load(sysroot).and_then(serve),
        // For who builds the appliance: whether all is there that will be needed.
        ["check"] => Augeas::load("/").and(Journal::load("/")).map(drop),
        _ => Err("usage: guestfs-helper augeas|journal SYSROOT".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("guestfs-helper: {err}");
            ExitCode::FAILURE
        }
    }
}

/// What the library said.
pub(crate) enum Answer {
    /// The results.
    Done(Message),
    /// Its code and its words.
    Refused(i32, String),
}

/// A library whose functions can be called by name.
pub(crate) trait Serve {
    /// Calls one; none if it has no such function, or one with other arguments.
    fn call(&mut self, function: &str, arguments: &[&[u8]]) -> Option<Answer>;
}

/// Answers requests until there are no more.
fn serve(mut library: impl Serve) -> Result<(), String> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    while let Some(request) = receive(&mut input).map_err(|err| format!("request: {err}"))? {
        let fields: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        let answer = fields.split_first().and_then(|(function, arguments)| {
            library.call(str::from_utf8(function).ok()?, arguments)
        });
        let reply: Message = match answer {
            Some(Answer::Done(results)) => [vec![OK.to_vec()], results].concat(),
            Some(Answer::Refused(code, words)) => {
                vec![ERROR.to_vec(), code.to_string().into(), words.into()]
            }
            None => return Err("request: there is no such function".into()),
        };
        send(&mut output, &reply).map_err(|err| format!("reply: {err}"))?;
    }
    Ok(())
}
