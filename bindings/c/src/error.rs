// SPDX-License-Identifier: LGPL-2.1-or-later
//! Errors, and the functions of the program that are told about them.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{self, Write};
use std::process;
use std::ptr;

use guestfs::Error;

use crate::handle::{Guestfs, HandlePtr, c_string};

/// Why a function of C fails.
pub(crate) enum Failed {
    /// The library has said why.
    Reported,
    /// An argument that the library cannot be given.
    Refused(String),
}

impl Failed {
    pub(crate) fn invalid(argument: &str, why: &str) -> Self {
        Self::Refused(format!("{argument}: {why}"))
    }
}

impl From<Error> for Failed {
    /// Whatever fails in the library has been told to the error handler by then.
    fn from(_: Error) -> Self {
        Self::Reported
    }
}

impl Guestfs {
    /// An error that the library does not know of.
    pub(crate) fn report(&self, errno: c_int, text: &str) {
        self.handle.report_error(&Error::new(errno, text));
    }

    /// There is no memory left: the program decides how it ends.
    pub(crate) fn out_of_memory(&self) -> ! {
        let handler = self.own.lock().out_of_memory;
        if let Some(handler) = handler.0 {
            // SAFETY: it is a function of this type, as promised by whoever set it.
            unsafe { handler() }
        }
        process::abort()
    }
}

/// For functions that have no other way to say what was wrong.
pub(crate) fn set_errno(errno: c_int) {
    // SAFETY: it points to the errno of this thread.
    unsafe { *libc::__errno_location() = errno };
}

/// `guestfs_error_handler_cb`
type ErrorHandler = unsafe extern "C" fn(HandlePtr, *mut c_void, *const c_char);

/// An error handler with what the program wants it to be given.
#[derive(Clone, Copy)]
pub(crate) struct Reporter {
    handler: Option<ErrorHandler>,
    opaque: *mut c_void,
}

// SAFETY: what the program passed is only handed back to it, in the thread that calls.
unsafe impl Send for Reporter {}

impl Default for Reporter {
    fn default() -> Self {
        Self { handler: Some(print), opaque: ptr::null_mut() }
    }
}

impl Reporter {
    pub(crate) fn report(self, g: HandlePtr, text: &str) {
        if let Some(handler) = self.handler {
            let text = c_string(text.as_bytes());
            // SAFETY: it is a function of this type, as promised by whoever set it.
            unsafe { handler(g, self.opaque, text.as_ptr()) };
        }
    }

    /// Tells the error handler that is in force.
    pub(crate) fn current(g: HandlePtr, text: &str) {
        if let Some(it) = g.get() {
            // A variable of its own: the handler must not run with the lock held.
            let current = it.own.lock().errors.get_mut().reporter();
            current.report(g, text);
        }
    }
}

/// What a thread knows of errors of a handle: handlers and texts are not shared with others.
#[derive(Default)]
pub(crate) struct Errors {
    /// The handler in force is the last, or the one of new handles if there is none.
    reporters: Vec<Reporter>,
    /// What `guestfs_last_error` returned.
    text: CString,
}

impl Errors {
    fn reporter(&self) -> Reporter {
        self.reporters.last().copied().unwrap_or_default()
    }
}

/// The error handler of every new handle, and of a handle in every new thread.
unsafe extern "C" fn print(_: HandlePtr, _: *mut c_void, text: *const c_char) {
    // SAFETY: error handlers are given a string.
    let text = unsafe { CStr::from_ptr(text) };
    let line = [b"libguestfs: error: ", text.to_bytes(), b"\n"].concat();
    // There is nobody left to tell that stderr is closed.
    let _ = io::stderr().write_all(&line);
}

/// `guestfs_abort_cb`
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct OutOfMemoryHandler(Option<unsafe extern "C" fn() -> !>);

impl Default for OutOfMemoryHandler {
    fn default() -> Self {
        Self(Some(libc::abort))
    }
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_last_error(g: HandlePtr) -> *const c_char {
    let Some(g) = g.get() else { return ptr::null() };
    let Some(error) = g.handle.last_error() else { return ptr::null() };
    let text = c_string(error.to_string().as_bytes());
    let mut own = g.own.lock();
    let errors = own.errors.get_mut();
    // The same error is the same pointer.
    if errors.text != text {
        errors.text = text;
    }
    errors.text.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_last_errno(g: HandlePtr) -> c_int {
    g.get().and_then(|g| g.handle.last_error()).map_or(0, |error| error.errno())
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_set_error_handler(
    g: HandlePtr,
    handler: Option<ErrorHandler>,
    opaque: *mut c_void,
) {
    if let Some(g) = g.get() {
        let mut own = g.own.lock();
        let reporters = &mut own.errors.get_mut().reporters;
        reporters.pop();
        reporters.push(Reporter { handler, opaque });
    }
}

/// A place for the second result, or NULL.
#[repr(transparent)]
struct OpaqueOut(*mut *mut c_void);

#[unsafe(no_mangle)]
extern "C" fn guestfs_get_error_handler(g: HandlePtr, opaque: OpaqueOut) -> Option<ErrorHandler> {
    let reporter = g.get()?.own.lock().errors.get_mut().reporter();
    if !opaque.0.is_null() {
        // SAFETY: it points to a pointer, as promised by whoever called from C.
        unsafe { opaque.0.write(reporter.opaque) };
    }
    reporter.handler
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_push_error_handler(
    g: HandlePtr,
    handler: Option<ErrorHandler>,
    opaque: *mut c_void,
) {
    if let Some(g) = g.get() {
        g.own.lock().errors.get_mut().reporters.push(Reporter { handler, opaque });
    }
}

/// Popping more than was pushed brings back the handler of a new handle.
#[unsafe(no_mangle)]
extern "C" fn guestfs_pop_error_handler(g: HandlePtr) {
    if let Some(g) = g.get() {
        g.own.lock().errors.get_mut().reporters.pop();
    }
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_set_out_of_memory_handler(g: HandlePtr, handler: OutOfMemoryHandler) {
    if let Some(g) = g.get() {
        g.own.lock().out_of_memory = handler;
    }
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_get_out_of_memory_handler(g: HandlePtr) -> OutOfMemoryHandler {
    g.get().map_or(OutOfMemoryHandler(None), |g| g.own.lock().out_of_memory)
}
