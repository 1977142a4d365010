// SPDX-License-Identifier: LGPL-2.1-or-later
//! Events: what a handle tells its user while a call is running.

use std::fmt;
use std::io::{self, Write};
use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;

use crate::handle::Handle;
use crate::launch::LogKind;

/// A set of kinds of events; the bits are those of the C API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Events(u64);

impl Events {
    /// The handle is being closed.
    pub const CLOSE: Self = Self(1 << 0);
    /// The appliance has gone, whether it was asked to or not.
    pub const SUBPROCESS_QUIT: Self = Self(1 << 1);
    /// The appliance is ready.
    pub const LAUNCH_DONE: Self = Self(1 << 2);
    /// A long call reports how far it has come.
    pub const PROGRESS: Self = Self(1 << 3);
    /// Output of the appliance's console.
    pub const APPLIANCE: Self = Self(1 << 4);
    /// Debug output of the library.
    pub const LIBRARY: Self = Self(1 << 5);
    /// A call, or the result of one, where tracing is on.
    pub const TRACE: Self = Self(1 << 6);
    /// A function of the API has been called; the buffer is its name.
    pub const ENTER: Self = Self(1 << 7);
    /// libvirt wants credentials; the buffer is its URI.
    pub const LIBVIRT_AUTH: Self = Self(1 << 8);
    /// Something the user should know although the call goes on.
    pub const WARNING: Self = Self(1 << 9);
    /// All of them.
    pub const ALL: Self = Self((1 << 10) - 1);

    /// The set with these bits; bits without a meaning are dropped.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The bits of the set.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether every kind in `other` is in the set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Events {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Events {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

const NAMES: [(Events, &str); 10] = [
    (Events::CLOSE, "close"),
    (Events::SUBPROCESS_QUIT, "subprocess_quit"),
    (Events::LAUNCH_DONE, "launch_done"),
    (Events::PROGRESS, "progress"),
    (Events::APPLIANCE, "appliance"),
    (Events::LIBRARY, "library"),
    (Events::TRACE, "trace"),
    (Events::ENTER, "enter"),
    (Events::LIBVIRT_AUTH, "libvirt_auth"),
    (Events::WARNING, "warning"),
];

impl fmt::Display for Events {
    /// The names of the kinds, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (event, name) in NAMES {
            if self.contains(event) {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

/// What comes with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Nothing: `CLOSE`, `SUBPROCESS_QUIT`, `LAUNCH_DONE`.
    None,
    /// Text or console output, any bytes.
    Buf(&'a [u8]),
    /// `PROGRESS`: number of the function, serial number of the call, position, total.
    Array(&'a [u64; 4]),
}

/// Called with the handle, the kind of event (exactly one), the callback's own id and the payload.
/// It may use the handle, except for what needs the appliance during a call.
pub type Callback = Arc<dyn Fn(&Handle, Events, CallbackId, Payload<'_>) + Send + Sync>;

/// Names a registered callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallbackId(i32);

impl CallbackId {
    /// The id with this number.
    pub fn from_raw(id: i32) -> Self {
        Self(id)
    }

    /// The number, as C knows it.
    pub fn as_raw(self) -> i32 {
        self.0
    }
}

/// The callbacks of one handle, in the order they were registered.
#[derive(Default)]
pub(crate) struct Callbacks {
    next_id: i32,
    registered: Vec<(CallbackId, Events, Callback)>,
}

impl Callbacks {
    fn add(&mut self, events: Events, callback: Callback) -> CallbackId {
        let id = CallbackId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.registered.push((id, events, callback));
        id
    }

    fn remove(&mut self, id: CallbackId) -> Option<Callback> {
        let at = self.registered.iter().position(|(it, ..)| *it == id)?;
        Some(self.registered.remove(at).2)
    }

    fn ids(&self, event: Events) -> Vec<CallbackId> {
        self.registered.iter().filter(|it| it.1.contains(event)).map(|it| it.0).collect()
    }

    fn get(&self, id: CallbackId) -> Option<Callback> {
        self.registered.iter().find(|it| it.0 == id).map(|it| it.2.clone())
    }
}

impl Handle {
    /// Registers a callback for these kinds of events.  Callbacks are called in the order of
    /// registration, in the thread whose call caused the event.
    pub fn set_event_callback(
        &self,
        events: Events,
        callback: impl Fn(&Handle, Events, CallbackId, Payload<'_>) + Send + Sync + 'static,
    ) -> CallbackId {
        self.with(|s| s.callbacks.add(events, Arc::new(callback)))
    }

    /// Removes a callback, also from inside a callback; an id that is not registered is ignored.
    pub fn delete_event_callback(&self, id: CallbackId) {
        // Dropping what the callback owns may run the user's code: not with the state borrowed.
        let removed = self.with(|s| s.callbacks.remove(id));
        drop(removed);
    }

    /// Delivers one event.  Where nobody listens, messages for people go to stderr.
    pub(crate) fn emit(&self, event: Events, payload: Payload<'_>) {
        let ids = self.with(|s| s.callbacks.ids(event));
        if ids.is_empty() {
            if let Payload::Buf(text) = payload {
                let verbose = self.with(|s| s.config.verbose);
                // There is nobody left to tell that stderr is closed.
                let _ = io::stderr().write_all(&default_output(event, text, verbose));
            }
            return;
        }
        for id in ids {
            // An earlier callback may have deleted this one.
            if let Some(callback) = self.with(|s| s.callbacks.get(id)) {
                callback(self, event, id, payload);
            }
        }
    }

    /// Passes on what a launch has to tell.
    pub(crate) fn log(&self, kind: LogKind, text: &[u8]) {
        match kind {
            LogKind::Appliance => self.emit(Events::APPLIANCE, Payload::Buf(text)),
            LogKind::Library => {
                if self.with(|s| s.config.verbose) {
                    self.emit(Events::LIBRARY, Payload::Buf(text));
                }
            }
            // Who does not listen is told what is new: a program that is run often is not to
            // repeat itself.
            LogKind::Warning { is_news } => {
                if is_news || self.with(|s| !s.callbacks.ids(Events::WARNING).is_empty()) {
                    self.emit(Events::WARNING, Payload::Buf(text));
                }
            }
            // A launch is no call to the daemon, so it has no numbers.
            LogKind::Progress { position, total } => {
                self.emit(Events::PROGRESS, Payload::Array(&[0, 0, position, total]));
            }
        }
    }
}

/// What is printed for an event that nobody listens to.
fn default_output(event: Events, text: &[u8], verbose: bool) -> Vec<u8> {
    let prefix = match event {
        Events::APPLIANCE if verbose => return text.to_vec(),
        Events::LIBRARY if verbose => "libguestfs: ",
        Events::TRACE => "libguestfs: trace: ",
        Events::WARNING => "libguestfs: warning: ",
        _ => return Vec::new(),
    };
    // One write, so that lines of several threads do not mix.
    [prefix.as_bytes(), text, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[track_caller]
    fn check_name(events: Events, expected: &str) {
        assert_eq!(events.to_string(), expected);
    }

    #[test]
    fn names() {
        check_name(Events::CLOSE, "close");
        check_name(Events::LIBRARY | Events::APPLIANCE, "appliance,library");
        check_name(Events::from_bits(1 << 20), "");
        check_name(
            Events::ALL,
            "close,subprocess_quit,launch_done,progress,appliance,library,trace,enter,\
             libvirt_auth,warning",
        );
    }

    #[track_caller]
    fn check_output(event: Events, verbose: bool, expected: &str) {
        assert_eq!(String::from_utf8(default_output(event, b"text", verbose)).unwrap(), expected);
    }

    #[test]
    fn without_a_callback() {
        check_output(Events::APPLIANCE, true, "text");
        check_output(Events::APPLIANCE, false, "");
        check_output(Events::LIBRARY, true, "libguestfs: text\n");
        check_output(Events::LIBRARY, false, "");
        check_output(Events::TRACE, false, "libguestfs: trace: text\n");
        check_output(Events::WARNING, false, "libguestfs: warning: text\n");
        check_output(Events::ENTER, true, "");
    }

    fn recorder(
        log: &Arc<Mutex<Vec<String>>>,
        name: &'static str,
    ) -> impl Fn(&Handle, Events, CallbackId, Payload<'_>) + use<> {
        let log = log.clone();
        move |_, event, id, payload| {
            log.lock().unwrap().push(format!("{name} {event} {} {payload:?}", id.as_raw()));
        }
    }

    #[test]
    fn callbacks_run_in_order_and_see_only_their_events() {
        let g = Handle::detached();
        let log = Arc::default();
        g.set_event_callback(Events::WARNING | Events::ENTER, recorder(&log, "a"));
        g.set_event_callback(Events::WARNING, recorder(&log, "b"));
        g.emit(Events::WARNING, Payload::Buf(b"w"));
        g.emit(Events::ENTER, Payload::Buf(b"e"));
        let log = log.lock().unwrap();
        assert_eq!(
            *log,
            ["a warning 0 Buf([119])", "b warning 1 Buf([119])", "a enter 0 Buf([101])"]
        );
    }

    #[test]
    fn callbacks_may_delete_and_register() {
        let g = Handle::detached();
        let log = Arc::default();
        g.set_event_callback(Events::WARNING, |g, _, id, _| {
            g.delete_event_callback(id);
            g.delete_event_callback(CallbackId::from_raw(1));
            g.emit(Events::ENTER, Payload::None);
        });
        g.set_event_callback(Events::WARNING, recorder(&log, "deleted by the first"));
        g.set_event_callback(Events::WARNING | Events::ENTER, recorder(&log, "last"));
        g.emit(Events::WARNING, Payload::None);
        g.emit(Events::WARNING, Payload::None);
        let log = log.lock().unwrap();
        assert_eq!(*log, ["last enter 2 None", "last warning 2 None", "last warning 2 None"]);
    }
}
