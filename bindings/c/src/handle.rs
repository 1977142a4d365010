// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a `guestfs_h *` points to, its creation and its end, and the way of every call.

use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bstr::ByteSlice;
use guestfs::{CallbackId, CreateFlags, Error, Handle, PerThread};
use parking_lot::Mutex;

use crate::arguments::Text;
use crate::error::{Errors, Failed, OutOfMemoryHandler, Reporter, set_errno};
use crate::event::OldStyle;
use crate::memory::OutOfMemory;
use crate::private::Area;
use crate::results::Returned;

/// `guestfs_h`
// The library's handle comes first: a pointer to it, as `c_pointer` returns, is one to this.
#[repr(C)]
pub(crate) struct Guestfs {
    pub(crate) handle: Handle,
    /// How many functions are at work, [`CLOSING`] set if the last of them is to close the handle.
    calls: AtomicUsize,
    pub(crate) own: Mutex<Own>,
}

/// No number of calls has this bit.
const CLOSING: usize = 1 << (usize::BITS - 1);

/// What C knows of a handle and the library does not.  It is locked for moments only, never while
/// code of the program runs.
#[derive(Default)]
pub(crate) struct Own {
    /// Text that functions have returned, by their names.
    kept: BTreeMap<&'static str, CString>,
    pub(crate) errors: PerThread<Errors>,
    pub(crate) out_of_memory: OutOfMemoryHandler,
    pub(crate) old_style: BTreeMap<OldStyle, CallbackId>,
    pub(crate) private: Area,
}

impl Guestfs {
    /// Keeps a text for the program, until the same function returns another.
    pub(crate) fn keep(&self, function: &'static str, text: &[u8]) -> *const c_char {
        let mut own = self.own.lock();
        if let Some(kept) = own.kept.get(function)
            && kept.as_bytes() == text
        {
            return kept.as_ptr();
        }
        let text = c_string(text);
        let pointer = text.as_ptr();
        own.kept.insert(function, text);
        pointer
    }
}

/// Text for C; where it has a NUL it would end, so that is left out.
pub(crate) fn c_string(text: &[u8]) -> CString {
    CString::new(text.replace([0], "")).unwrap_or_default()
}

/// `guestfs_h *`: a handle that is open, or NULL.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct HandlePtr(*const Guestfs);

// SAFETY: it is a shared reference to something that may be shared; closing it is for whoever
// knows that nobody else uses it, as with every handle of C.
unsafe impl Send for HandlePtr {}
// SAFETY: as above.
unsafe impl Sync for HandlePtr {}

impl HandlePtr {
    pub(crate) const NULL: Self = Self(ptr::null());

    pub(crate) fn get(&self) -> Option<&Guestfs> {
        // SAFETY: it is NULL or came from `create` and was not closed, as promised by whoever
        // called from C.
        unsafe { self.0.as_ref() }
    }

    /// Carries out a function of the library for C.
    pub(crate) fn call<R: Returned>(
        self,
        function: &'static str,
        body: impl FnOnce(&Handle) -> Result<R, Failed>,
    ) -> R::C {
        let called = self.enter(|g| {
            let guarded = || body(&g.handle).map(|value| value.into_c(g, function));
            match panic::catch_unwind(AssertUnwindSafe(guarded)) {
                Ok(Ok(value)) => value,
                Ok(Err(Failed::Reported)) => R::FAILURE,
                Ok(Err(Failed::Refused(why))) => {
                    g.report(libc::EINVAL, &format!("{function}: {why}"));
                    R::FAILURE
                }
                Err(panic) if panic.is::<OutOfMemory>() => g.out_of_memory(),
                Err(panic) => {
                    g.report(libc::EIO, &format!("{function}: {}", panic_text(&*panic)));
                    R::FAILURE
                }
            }
        });
        called.unwrap_or(R::FAILURE)
    }

    /// Does something in which callbacks may run.  One that closes the handle gets its wish when
    /// nobody is using it any more.
    fn enter<T>(self, body: impl FnOnce(&Guestfs) -> T) -> Option<T> {
        let Some(g) = self.get() else {
            set_errno(libc::EINVAL);
            return None;
        };
        g.calls.fetch_add(1, Ordering::SeqCst);
        let result = body(g);
        if g.calls.fetch_sub(1, Ordering::SeqCst) == CLOSING | 1 {
            self.end();
        }
        Some(result)
    }

    /// Closes the handle, now or when the functions at work are through.
    fn close(self) {
        let Some(g) = self.get() else { return };
        if g.calls.fetch_or(CLOSING, Ordering::SeqCst) == 0 {
            self.end();
        }
    }

    /// Closes the handle of a program that exits, maybe from inside a callback: what is at work
    /// stays where it is.
    fn close_at_exit(self) {
        let Some(g) = self.get() else { return };
        match g.calls.fetch_or(CLOSING, Ordering::SeqCst) {
            0 => self.end(),
            calls if calls & CLOSING == 0 => Self::finish(g),
            _ => {}
        }
    }

    fn finish(g: &Guestfs) {
        // Callbacks that close the handle once more, or call functions, find it at work.
        g.calls.fetch_add(1, Ordering::SeqCst);
        let closed = panic::catch_unwind(AssertUnwindSafe(|| g.handle.finish()));
        if let Ok(Err(error)) = closed {
            g.handle.report_error(&error);
        }
    }

    /// Closes the handle and gives its memory back.
    fn end(self) {
        let Some(g) = self.get() else { return };
        Self::finish(g);
        // SAFETY: it came from `Box::into_raw` in `create`, and nobody uses it any more.
        drop(unsafe { Box::from_raw(self.0.cast_mut()) });
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("internal error: {}", text.unwrap_or("panic"))
}

/// The handles to close when the program ends, each with the process that made it: a child that
/// was forked must not shut down the appliances of its parent.
static OPEN: Mutex<Vec<(u32, HandlePtr)>> = Mutex::new(Vec::new());

extern "C" fn close_all() {
    // One at a time: the callbacks of one may close another.
    while let Some((pid, g)) = { OPEN.lock().pop() } {
        if pid == process::id() {
            g.close_at_exit();
        }
    }
}

fn forget(g: HandlePtr) {
    OPEN.lock().retain(|(_, open)| !ptr::eq(open.0, g.0));
}

fn remember(g: HandlePtr) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function stays as long as the library, which runs it before it goes.
        // If there is no room in the list, handles are closed by those who made them, or not.
        let _ = unsafe { libc::atexit(close_all) };
    });
    OPEN.lock().push((process::id(), g));
}

fn create(bits: c_uint) -> Result<HandlePtr, Error> {
    let flags = CreateFlags::from_bits(bits).ok_or_else(|| {
        Error::new(libc::EINVAL, format!("create_flags: flags {bits:#x}: unknown bit"))
    })?;
    let handle = Handle::create_flags(flags)?;
    let g = Guestfs { handle, calls: AtomicUsize::new(0), own: Mutex::default() };
    let g = HandlePtr(Box::into_raw(Box::new(g)));
    if let Some(it) = g.get() {
        it.handle.set_error_handler(Some(Arc::new(move |_, text| Reporter::current(g, text))));
    }
    if !flags.contains(CreateFlags::NO_CLOSE_ON_EXIT) {
        remember(g);
    }
    Ok(g)
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_int_create_flags(flags: c_uint) -> HandlePtr {
    match panic::catch_unwind(|| create(flags)) {
        Ok(Ok(g)) => g,
        Ok(Err(error)) => {
            Reporter::default().report(HandlePtr::NULL, &error.to_string());
            set_errno(error.errno());
            HandlePtr::NULL
        }
        // The panic has been printed.
        Err(_) => HandlePtr::NULL,
    }
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_create() -> HandlePtr {
    guestfs_int_create_flags(0)
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_close(g: HandlePtr) {
    forget(g);
    g.close();
}

/// For the shim: a number which is that of no option.
#[unsafe(no_mangle)]
extern "C" fn guestfs_int_unknown_option(g: HandlePtr, function: Text, option: c_int) {
    refuse(g, function, &format!("option {option}: does not exist"));
}

/// For the shim: an option that stands in the arguments twice.
#[unsafe(no_mangle)]
extern "C" fn guestfs_int_repeated_option(g: HandlePtr, function: Text, option: Text) {
    let option = option.c_str().map(CStr::to_string_lossy).unwrap_or_default();
    refuse(g, function, &format!("{option}: option is given twice"));
}

fn refuse(g: HandlePtr, function: Text, why: &str) {
    let function = function.c_str().map(CStr::to_string_lossy).unwrap_or_default();
    g.enter(|g| g.report(libc::EINVAL, &format!("{function}: {why}")));
}
