// SPDX-License-Identifier: LGPL-2.1-or-later
//! The part of libsystemd that reads journals, on the files of a guest.
#![expect(unsafe_code, reason = "the functions are of C")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;
use std::slice;

use guestfs_helper::Message;
use rustix::process::{chdir, chroot};

use crate::library::{Library, c_string};
use crate::{Answer, Serve};

type Handle = *mut c_void;

/// The functions that are used, as systemd/sd-journal.h declares them.
struct Functions {
    open_directory: unsafe extern "C" fn(*mut Handle, *const c_char, c_int) -> c_int,
    close: unsafe extern "C" fn(Handle),
    next: unsafe extern "C" fn(Handle) -> c_int,
    next_skip: unsafe extern "C" fn(Handle, u64) -> c_int,
    previous_skip: unsafe extern "C" fn(Handle, u64) -> c_int,
    get_realtime_usec: unsafe extern "C" fn(Handle, *mut u64) -> c_int,
    get_data_threshold: unsafe extern "C" fn(Handle, *mut usize) -> c_int,
    set_data_threshold: unsafe extern "C" fn(Handle, usize) -> c_int,
    restart_data: unsafe extern "C" fn(Handle),
    enumerate_data: unsafe extern "C" fn(Handle, *mut *const c_void, *mut usize) -> c_int,
}

/// The library, and one open journal.
pub(crate) struct Journal {
    functions: Functions,
    handle: Handle,
    sysroot: String,
}

impl Journal {
    pub(crate) fn load(sysroot: &str) -> Result<Self, String> {
        let library = Library::load("libsystemd.so.0")?;
        // SAFETY: these are the types of sd-journal.h.
        let functions = unsafe {
            Functions {
                open_directory: library.function("sd_journal_open_directory")?,
                close: library.function("sd_journal_close")?,
                next: library.function("sd_journal_next")?,
                next_skip: library.function("sd_journal_next_skip")?,
                previous_skip: library.function("sd_journal_previous_skip")?,
                get_realtime_usec: library.function("sd_journal_get_realtime_usec")?,
                get_data_threshold: library.function("sd_journal_get_data_threshold")?,
                set_data_threshold: library.function("sd_journal_set_data_threshold")?,
                restart_data: library.function("sd_journal_restart_data")?,
                enumerate_data: library.function("sd_journal_enumerate_available_data")?,
            }
        };
        Ok(Self { functions, handle: null_mut(), sysroot: sysroot.to_owned() })
    }

    /// Opens the files in a directory of the guest, whose root becomes that of the process.
    fn open(&mut self, directory: &[u8]) -> Answer {
        if let Err(errno) = chroot(self.sysroot.as_str()).and_then(|()| chdir("/")) {
            return refused(-errno.raw_os_error());
        }
        let directory = c_string(directory);
        // SAFETY: there is room for a pointer, and the path ends in a NUL.
        let code =
            unsafe { (self.functions.open_directory)(&raw mut self.handle, directory.as_ptr(), 0) };
        answer(code, Message::new)
    }

    /// All fields of the current entry, each with its name and `=`.
    fn fields(&self) -> Answer {
        let f = &self.functions;
        let mut fields = Message::new();
        // SAFETY: the journal is open.
        unsafe { (f.restart_data)(self.handle) };
        loop {
            let (mut data, mut length) = (std::ptr::null(), 0);
            // SAFETY: the journal is open, and there is room for a pointer and a length.
            match unsafe { (f.enumerate_data)(self.handle, &raw mut data, &raw mut length) } {
                // SAFETY: the library lends that many bytes until it is called again.
                1.. => fields
                    .push(unsafe { slice::from_raw_parts(data.cast::<u8>(), length) }.to_vec()),
                0 => return Answer::Done(fields),
                code => return refused(code),
            }
        }
    }

    fn skip(&self, entries: i64) -> c_int {
        let f = &self.functions;
        let count = entries.unsigned_abs();
        match entries {
            0 => 0,
            // SAFETY: the journal is open.
            1.. => unsafe { (f.next_skip)(self.handle, count) },
            // SAFETY: the journal is open.
            _ => unsafe { (f.previous_skip)(self.handle, count) },
        }
    }
}

impl Serve for Journal {
    fn call(&mut self, function: &str, arguments: &[&[u8]]) -> Option<Answer> {
        let f = &self.functions;
        if self.handle.is_null() {
            return match (function, arguments) {
                ("open", [directory]) => Some(self.open(directory)),
                _ => None,
            };
        }
        let number = |digits: &[u8]| str::from_utf8(digits).ok()?.parse().ok();
        Some(match (function, arguments) {
            ("next", []) => {
                // SAFETY: the journal is open.
                let code = unsafe { (f.next)(self.handle) };
                answer(code, || one(code))
            }
            ("skip", [entries]) => {
                let code = self.skip(number(entries)?);
                answer(code, || one(code))
            }
            ("realtime", []) => {
                let mut usec = 0;
                // SAFETY: the journal is open, and there is room for a number.
                let code = unsafe { (f.get_realtime_usec)(self.handle, &raw mut usec) };
                answer(code, || one(usec))
            }
            ("threshold", []) => {
                let mut bytes = 0;
                // SAFETY: the journal is open, and there is room for a number.
                let code = unsafe { (f.get_data_threshold)(self.handle, &raw mut bytes) };
                answer(code, || one(bytes))
            }
            ("set_threshold", [bytes]) => {
                let bytes = usize::try_from(number(bytes)?).ok()?;
                // SAFETY: the journal is open.
                answer(unsafe { (f.set_data_threshold)(self.handle, bytes) }, Message::new)
            }
            ("fields", []) => self.fields(),
            _ => return None,
        })
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the journal is open, and nobody uses it any more.
            unsafe { (self.functions.close)(self.handle) };
        }
    }
}

fn one(number: impl ToString) -> Message {
    vec![number.to_string().into()]
}

/// The library returns an errno with a minus.
fn answer(code: c_int, results: impl FnOnce() -> Message) -> Answer {
    match code {
        0.. => Answer::Done(results()),
        code => refused(code),
    }
}

fn refused(code: c_int) -> Answer {
    Answer::Refused(-code, std::io::Error::from_raw_os_error(-code).to_string())
}
