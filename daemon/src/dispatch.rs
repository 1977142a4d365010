// SPDX-License-Identifier: LGPL-2.1-or-later
//! Answers calls, one after the other, until the library goes away.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use guestfs_protocol::errno;
use guestfs_protocol::wire::{
    self, ERROR_MAX, Header, Incoming, LAUNCH_FLAG, MessageError, Status,
};
use zeroize::Zeroizing;

use crate::call::{Call, Reply};
use crate::cancel;
use crate::channel::{Channel, Reporter};
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::{generated, older};

/// What the library is told about a call that failed.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    errno: Option<i32>,
    message: String,
}

/// One entry of the table: number and name of a function, and the code that decodes its arguments.
pub(crate) type Entry = (u32, &'static str, fn(&mut Ctx, &Call<'_>) -> Result<Reply>);

/// Says that the daemon is there, and answers calls until the other end closes the channel, or
/// one of the calls ends the daemon.  An error is one of the channel: those of calls go to the
/// library.
pub fn serve(channel: impl Into<OwnedFd>, cx: &mut Ctx) -> wire::Result<()> {
    serve_table(generated::TABLE, channel.into(), cx, |_| {})
}

/// The same, with something to do between calls.
pub(crate) fn serve_table(
    table: &[Entry],
    channel: OwnedFd,
    cx: &mut Ctx,
    between_calls: impl Fn(&mut Ctx),
) -> wire::Result<()> {
    let channel = Channel::new(channel);
    channel.send(&LAUNCH_FLAG.to_be_bytes())?;
    while !cx.is_exiting() {
        match channel.receive() {
            // It may hold a key.
            Ok(Incoming::Message(message)) => {
                answer(table, &channel, cx, &Zeroizing::new(message))?;
            }
            // The flag crossed the end of the transfer that it was meant for.
            Ok(Incoming::Cancel | Incoming::Taken) => {}
            Ok(other) => eprintln!("guestfsd: {other:?} ignored"),
            Err(wire::Error::Io(err)) if err.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(err) => return Err(err),
        }
        between_calls(cx);
    }
    Ok(())
}

/// Answers one message.
fn answer(
    table: &[Entry],
    channel: &Rc<Channel>,
    cx: &mut Ctx,
    message: &[u8],
) -> wire::Result<()> {
    let (header, args) = match wire::split_header(message) {
        Ok(parts) => parts,
        Err(err) => {
            // Without a header there is no call that could fail.  This may be a chunk of a file
            // which came after the call had ended.
            eprintln!("guestfsd: message ignored: {err}");
            return Ok(());
        }
    };
    let reporter = Reporter::new(channel, &header);
    cx.set_reporter(reporter.clone());
    let call = Call::new(channel, &reporter, cx.window(), header, args);
    let Some(outcome) = cancel::during(channel, || dispatch(table, cx, call))? else {
        return Ok(());
    };
    let outcome = outcome.and_then(|reply| {
        let encoded = reply.encode(&header.reply(Status::Ok));
        encoded.map_err(|err| refusal(cx, &err))
    });
    let bytes = match outcome {
        Ok(bytes) => bytes,
        Err(refusal) => encode_refusal(&header, refusal)?,
    };
    Ok(channel.send(&bytes)?)
}

/// Does one call; `None` if the reply has been sent.  The library adds the name of the function to
/// an error.  A bug in one function is an error of that function: the appliance stays up.
fn dispatch(
    table: &[Entry],
    cx: &mut Ctx,
    call: Call<'_>,
) -> wire::Result<Option<Result<Reply, Refusal>>> {
    let find = |table: &[Entry]| {
        let found = table.binary_search_by_key(&call.proc_nr(), |(proc_nr, ..)| *proc_nr);
        found.ok().map(|at| table[at])
    };
    let Some((_, name, handler)) = find(table).or_else(|| find(older::TABLE)) else {
        let message = format!("procedure {} is unknown to this daemon", call.proc_nr());
        return Ok(Some(Err(Refusal { errno: None, message })));
    };
    if cx.is_verbose() {
        eprintln!("guestfsd: {name}");
    }
    let result = catch_unwind(AssertUnwindSafe(|| handler(cx, &call)));
    let result = match result {
        Ok(result) => result,
        Err(panic) => Err(Error::Internal(text_of(&*panic))),
    };
    match call.finish(result) {
        Ok(None) => Ok(None),
        Ok(Some(Ok(reply))) => Ok(Some(Ok(reply))),
        Ok(Some(Err(err))) | Err(err) => Ok(Some(Err(refusal(cx, &err)))),
    }
}

fn refusal(cx: &Ctx, err: &Error) -> Refusal {
    let errno = err.errno().map(|errno| errno.raw_os_error());
    let mut text = err.to_string();
    // Programs know the kernel's names of the devices only.
    if let Error::Tool { .. } = err
        && let Ok(translated) = cx.names().to_api_in_text(&text)
    {
        text = translated;
    }
    Refusal { errno, message: text }
}

fn encode_refusal(header: &Header, refusal: Refusal) -> wire::Result<Vec<u8>> {
    let mut message = refusal.message;
    message.truncate(message.floor_char_boundary(ERROR_MAX));
    let errno_string = refusal.errno.map_or("", errno::name).into();
    let message = MessageError { errno_string, message: message.into() };
    wire::encode_message(&header.reply(Status::Error), &message)
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).into(),
        (_, Some(text)) => text.clone(),
        _ => "panic".into(),
    }
}

#[cfg(test)]
mod tests;
