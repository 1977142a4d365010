// SPDX-License-Identifier: LGPL-2.1-or-later
//! Callbacks of a program for events, in the form of today and in that of before 1.10.

use std::ffi::{c_char, c_int, c_void};
use std::panic;
use std::ptr;

use guestfs::{CallbackId, Events, Payload};

use crate::error::Failed;
use crate::handle::HandlePtr;
use crate::memory::place_bytes;

/// `guestfs_event_callback`
type Callback = unsafe extern "C" fn(
    HandlePtr,
    *mut c_void,
    u64,
    c_int,
    c_int,
    *const c_char,
    usize,
    *const u64,
    usize,
);

/// What the program wants its callback to be given.
#[derive(Clone, Copy)]
struct Opaque(*mut c_void);

// SAFETY: what the program passed is only handed back to it, in the thread that calls.
unsafe impl Send for Opaque {}
// SAFETY: as above.
unsafe impl Sync for Opaque {}

impl Opaque {
    /// Through a method, so that a closure has the whole of it and not the bare pointer.
    fn get(self) -> *mut c_void {
        self.0
    }
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_set_event_callback(
    g: HandlePtr,
    callback: Option<Callback>,
    events: u64,
    flags: c_int,
    opaque: *mut c_void,
) -> c_int {
    let opaque = Opaque(opaque);
    g.call("set_event_callback", |handle| {
        if flags != 0 {
            return Err(Failed::invalid("flags", "must be 0"));
        }
        let callback = callback.ok_or_else(|| Failed::invalid("cb", "argument is NULL"))?;
        let call = move |id: CallbackId, event: Events, text: &[u8], numbers: &[u64]| {
            // Some programs print the text as a string, so there is a NUL behind it.
            let buffer = [text, b"\0"].concat();
            let (buf, buf_len) = match text {
                [] => (ptr::null(), 0),
                _ => (buffer.as_ptr().cast(), text.len()),
            };
            let (array, array_len) = match numbers {
                [] => (ptr::null(), 0),
                _ => (numbers.as_ptr(), numbers.len()),
            };
            let (opaque, event, id) = (opaque.get(), event.bits(), id.as_raw());
            // SAFETY: it is a function of this type, as promised by whoever set it.
            unsafe { callback(g, opaque, event, id, 0, buf, buf_len, array, array_len) };
        };
        let id =
            handle.set_event_callback(Events::from_bits(events), move |_, event, id, payload| {
                match payload {
                    Payload::None => call(id, event, &[], &[]),
                    Payload::Buf(text) => call(id, event, text, &[]),
                    Payload::Array(numbers) => call(id, event, &[], numbers),
                }
            });
        Ok(id.as_raw())
    })
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_delete_event_callback(g: HandlePtr, id: c_int) {
    if let Some(g) = g.get() {
        g.handle.delete_event_callback(CallbackId::from_raw(id));
    }
}

/// The names of the events in a mask; the program frees them.
#[unsafe(no_mangle)]
extern "C" fn guestfs_event_to_string(events: u64) -> *mut c_char {
    let names = || place_bytes(Events::from_bits(events).to_string().as_bytes());
    panic::catch_unwind(names).unwrap_or(ptr::null_mut())
}

/// The kinds of callbacks there were when each kind had one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OldStyle {
    LogMessage,
    SubprocessQuit,
    LaunchDone,
    Close,
    Progress,
}

/// Replaces the callback of a kind.
fn replace(
    g: HandlePtr,
    kind: OldStyle,
    events: Events,
    callback: Option<impl Fn(Payload<'_>) + Send + Sync + 'static>,
) {
    let Some(g) = g.get() else { return };
    let old = g.own.lock().old_style.remove(&kind);
    if let Some(old) = old {
        g.handle.delete_event_callback(old);
    }
    if let Some(callback) = callback {
        let id = g.handle.set_event_callback(events, move |_, _, _, payload| callback(payload));
        g.own.lock().old_style.insert(kind, id);
    }
}

/// `guestfs_log_message_cb`
type LogMessage = unsafe extern "C" fn(HandlePtr, *mut c_void, *mut c_char, c_int);

/// `guestfs_subprocess_quit_cb`, `guestfs_launch_done_cb` and `guestfs_close_cb`
type Plain = unsafe extern "C" fn(HandlePtr, *mut c_void);

/// `guestfs_progress_cb`
type Progress = unsafe extern "C" fn(HandlePtr, *mut c_void, c_int, c_int, u64, u64);

#[unsafe(no_mangle)]
extern "C" fn guestfs_set_log_message_callback(
    g: HandlePtr,
    callback: Option<LogMessage>,
    opaque: *mut c_void,
) {
    let opaque = Opaque(opaque);
    let callback = callback.map(|callback| {
        move |payload: Payload<'_>| {
            let Payload::Buf(text) = payload else { return };
            // It was never const, and some program may write to it.
            let mut buffer = [text, b"\0"].concat();
            let len = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
            // SAFETY: it is a function of this type, as promised by whoever set it.
            unsafe { callback(g, opaque.get(), buffer.as_mut_ptr().cast(), len) };
        }
    });
    replace(g, OldStyle::LogMessage, Events::APPLIANCE, callback);
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_set_subprocess_quit_callback(
    g: HandlePtr,
    callback: Option<Plain>,
    opaque: *mut c_void,
) {
    replace_plain(g, OldStyle::SubprocessQuit, Events::SUBPROCESS_QUIT, callback, opaque);
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_set_launch_done_callback(
    g: HandlePtr,
    callback: Option<Plain>,
    opaque: *mut c_void,
) {
    replace_plain(g, OldStyle::LaunchDone, Events::LAUNCH_DONE, callback, opaque);
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_set_close_callback(
    g: HandlePtr,
    callback: Option<Plain>,
    opaque: *mut c_void,
) {
    replace_plain(g, OldStyle::Close, Events::CLOSE, callback, opaque);
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_set_progress_callback(
    g: HandlePtr,
    callback: Option<Progress>,
    opaque: *mut c_void,
) {
    let opaque = Opaque(opaque);
    let callback = callback.map(|callback| {
        move |payload: Payload<'_>| {
            let Payload::Array(&[procedure, serial, position, total]) = payload else { return };
            let number = |value: u64| c_int::try_from(value).unwrap_or(c_int::MAX);
            let (procedure, serial) = (number(procedure), number(serial));
            // SAFETY: it is a function of this type, as promised by whoever set it.
            unsafe { callback(g, opaque.get(), procedure, serial, position, total) };
        }
    });
    replace(g, OldStyle::Progress, Events::PROGRESS, callback);
}

fn replace_plain(
    g: HandlePtr,
    kind: OldStyle,
    events: Events,
    callback: Option<Plain>,
    opaque: *mut c_void,
) {
    let opaque = Opaque(opaque);
    let callback = callback.map(|callback| {
        // SAFETY: it is a function of this type, as promised by whoever set it.
        move |_: Payload<'_>| unsafe { callback(g, opaque.get()) }
    });
    replace(g, kind, events, callback);
}
