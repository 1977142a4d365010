// SPDX-License-Identifier: LGPL-2.1-or-later
//! What every function of the API has around it: the lock, the trace, the state it is allowed in,
//! and the record of its error.

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::event::{Events, Payload};
use crate::handle::{Handle, Phase};
use crate::trace::{Trace, Traced};

/// The one function that must not wait for the call it is meant to stop.
const UNLOCKED: &str = "user_cancel";

/// A function of the API.
pub(crate) struct Action {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it is an error once the handle is launched.
    pub(crate) config_only: bool,
}

impl Handle {
    /// Carries out one function: `trace` writes its arguments down, `body` does it.
    pub(crate) fn action<T: Traced>(
        &self,
        action: &Action,
        trace: impl FnOnce(&mut Trace),
        body: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if action.name == UNLOCKED {
            return body();
        }
        self.queue(|| {
            self.emit(Events::ENTER, Payload::Buf(action.name.as_bytes()));
            // One answer for both lines: set_trace is traced whole or not at all.
            let traced = self.with(|s| s.trace);
            if traced {
                let mut call = Trace::new(action.name);
                trace(&mut call);
                self.emit_trace(&call.into_text());
            }
            let result = match action.config_only && self.phase() != Phase::Config {
                true => {
                    let why = "this function can only be called before launch";
                    Err(Error::new(Errno::EINVAL as i32, why))
                }
                false => body(),
            };
            let result = result.map_err(|err| err.of(action.name));
            if let Err(err) = &result {
                self.report_error(err);
            }
            if traced {
                let mut text = format!("{} = ", action.name);
                match &result {
                    Ok(value) => value.show(&mut text),
                    Err(_) => {
                        text.push_str(T::FAILURE);
                        text.push_str(" (error)");
                    }
                }
                self.emit_trace(&text);
            }
            result
        })
    }

    fn emit_trace(&self, text: &str) {
        let identifier = self.with(|s| s.config.identifier.clone());
        let text = match identifier.is_empty() {
            true => text.to_owned(),
            false => format!("{identifier}: {text}"),
        };
        self.emit(Events::TRACE, Payload::Buf(text.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const ACTION: Action = Action { name: "f", config_only: false };

    fn watched() -> (Handle, Arc<Mutex<Vec<String>>>) {
        let g = Handle::detached();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (events, errors) = (log.clone(), log.clone());
        g.set_event_callback(Events::ENTER | Events::TRACE, move |_, event, _, payload| {
            let Payload::Buf(text) = payload else { panic!("no text") };
            let text = String::from_utf8_lossy(text);
            events.lock().unwrap().push(format!("{event}: {text}"));
        });
        g.set_error_handler(Some(Arc::new(move |_, text| {
            errors.lock().unwrap().push(format!("error: {text}"));
        })));
        g.with(|s| s.trace = true);
        (g, log)
    }

    #[test]
    fn success_is_traced() {
        let (g, log) = watched();
        g.action(&ACTION, |t| t.string(b"/"), || Ok(7)).unwrap();
        g.with(|s| s.config.identifier = "web".into());
        g.action(&ACTION, |_| {}, || Ok(())).unwrap();
        let expected = [
            "enter: f",
            "trace: f \"/\"",
            "trace: f = 7",
            "enter: f",
            "trace: web: f",
            "trace: web: f = 0",
        ];
        assert_eq!(*log.lock().unwrap(), expected);
    }

    #[test]
    fn failure_is_recorded() {
        let (g, log) = watched();
        let body = || -> Result<Vec<u8>> { Err(Error::system(Errno::ENOENT, "/x")) };
        let err = g.action(&ACTION, |_| {}, body).unwrap_err();
        assert_eq!(err.to_string(), "f: /x: No such file or directory");
        assert_eq!(g.last_error(), Some(err.clone()));
        let error = "error: f: /x: No such file or directory";
        let expected = ["enter: f", "trace: f", error, "trace: f = NULL (error)"];
        assert_eq!(*log.lock().unwrap(), expected);
        // Success leaves the record alone.
        g.action(&ACTION, |_| {}, || Ok(())).unwrap();
        assert!(g.last_error().is_some());
        // It is this thread's.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(g.last_error(), None);
                g.action(&ACTION, |_| {}, || Err::<(), _>(Error::new(0, "no"))).unwrap_err();
                assert_eq!(g.last_error().unwrap().to_string(), "f: no");
            });
        });
        assert_eq!(g.last_error(), Some(err));
        g.clear_last_error();
        assert!(g.last_error().is_none());
    }

    #[test]
    fn handlers_are_a_stack() {
        let (g, log) = watched();
        g.with(|s| s.trace = false);
        let fail = || g.action(&ACTION, |_| {}, || Err::<(), _>(Error::new(0, "no"))).unwrap_err();
        g.push_error_handler(None);
        fail();
        g.pop_error_handler();
        fail();
        g.pop_error_handler();
        g.pop_error_handler();
        fail();
        assert!(g.error_handler().is_none());
        assert_eq!(*log.lock().unwrap(), ["enter: f", "enter: f", "error: f: no", "enter: f"]);
    }
}
