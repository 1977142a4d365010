// SPDX-License-Identifier: LGPL-2.1-or-later
//! Programs of the host that run at events: `event`, `list-events`, `delete-event`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use bstr::{BString, ByteSlice};
use guestfs::{CallbackId, Events, Handle, Payload};

use crate::builtin::Call;
use crate::error::{Error, Result};
use crate::session::Session;

/// A handler.
pub(crate) struct EventScript {
    name: BString,
    events: Events,
    script: BString,
    id: CallbackId,
}

pub(super) fn event(session: &mut Session, call: Call<'_>) -> Result<()> {
    let events = parse(&call.words[1].to_str_lossy())?;
    let (name, script) = (call.words[0].clone(), call.words[2].clone());
    let id = register(&session.handle, events, &script);
    session.events.push(EventScript { name, events, script, id });
    Ok(())
}

pub(super) fn list_events(session: &mut Session, call: Call<'_>) -> Result<()> {
    for EventScript { name, events, script, .. } in &session.events {
        call.out.line(format!("\"{name}\" ({events}): {script}").as_bytes())?;
    }
    Ok(())
}

pub(super) fn delete_event(session: &mut Session, call: Call<'_>) -> Result<()> {
    let name = &call.words[0];
    let before = session.events.len();
    session.events.retain(|it| {
        if it.name == *name {
            session.handle.delete_event_callback(it.id);
        }
        it.name != *name
    });
    match session.events.len() < before {
        true => Ok(()),
        false => Err(Error::shell(format!("{name}: there is no such event handler"))),
    }
}

/// A new handle knows nothing of the handlers.
pub(super) fn register_again(session: &mut Session) {
    for it in &mut session.events {
        it.id = register(&session.handle, it.events, &it.script);
    }
}

fn register(g: &Handle, events: Events, script: &BString) -> CallbackId {
    let script = script.clone();
    g.set_event_callback(events, move |_, event, _, payload| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(OsStr::from_bytes(&script)).arg("guestfish");
        shell.env("EVENT", event.to_string());
        match payload {
            Payload::None => {}
            Payload::Buf(text) => {
                // An argument has no NUL.
                shell.arg(OsStr::from_bytes(&text.replace("\0", "")));
            }
            Payload::Array(numbers) => {
                shell.args(numbers.map(|it| it.to_string()));
            }
        }
        // A callback has nobody to fail to: the script's own messages are on stderr.
        if let Err(err) = shell.status() {
            Error::io("sh")(err).report();
        }
    })
}

fn parse(text: &str) -> Result<Events> {
    let mut events = Events::default();
    for name in text.split(',') {
        let all = (0..Events::ALL.bits().count_ones()).map(|bit| Events::from_bits(1 << bit));
        events |= match name {
            "*" => Events::ALL,
            _ => all
                .into_iter()
                .find(|it| it.to_string() == name)
                .ok_or_else(|| Error::shell(format!("{name}: not one of {}", Events::ALL)))?,
        };
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        assert_eq!(parse("close").unwrap(), Events::CLOSE);
        assert_eq!(parse("close,trace").unwrap(), Events::CLOSE | Events::TRACE);
        assert_eq!(parse("*").unwrap(), Events::ALL);
        assert!(
            parse("closed")
                .unwrap_err()
                .to_string()
                .starts_with("guestfish: closed: not one of close,")
        );
    }
}
