// SPDX-License-Identifier: LGPL-2.1-or-later
//! Signals that arrive while a call waits.
//!
//! Python runs handlers of signals in its main thread and between its own instructions, so a call
//! that waits there would put them off.  Python can announce signals on a descriptor, though, and
//! the library watches that: handlers run in the midst of a call, and an exception from one, as
//! `KeyboardInterrupt`, ends it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use guestfs::{Watch, interruptible};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Carries out `body` without holding Python up.  The error is an exception of a signal's handler.
pub(crate) fn detached<T: Send>(py: Python<'_>, body: impl FnOnce() -> T + Send) -> PyResult<T> {
    let Some(announced) = Announced::here(py)? else { return Ok(py.detach(body)) };
    let signals = announced.reader.try_clone()?;
    let previous = announced.previous;
    // What came before is not announced.
    py.check_signals()?;
    let (value, raised) = py.detach(|| {
        let handlers = Rc::new(Handlers { signals, previous, raised: RefCell::default() });
        let value = interruptible(handlers.clone(), body);
        // One that came too late to end anything: Python has noted it.
        handlers.drain();
        (value, handlers.raised.take())
    });
    drop(announced);
    raised.map_or(Ok(value), Err)
}

/// Signals are announced on a socket of ours, as long as this exists.
struct Announced<'py> {
    py: Python<'py>,
    reader: UnixStream,
    /// Python only knows its number.
    _writer: UnixStream,
    /// Where they were announced before.
    previous: RawFd,
}

impl<'py> Announced<'py> {
    /// None if this isn't the main thread, in which nothing needs to be done.
    fn here(py: Python<'py>) -> PyResult<Option<Self>> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        match set_wakeup_fd(py, writer.as_raw_fd()) {
            Ok(previous) => Ok(Some(Self { py, reader, _writer: writer, previous })),
            Err(err) if err.is_instance_of::<PyValueError>(py) => Ok(None),
            Err(err) => Err(err),
        }
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        // The descriptor of before may have been closed in the meantime.
        let restored = set_wakeup_fd(self.py, self.previous);
        if restored.is_err() {
            let _ = set_wakeup_fd(self.py, -1);
        }
    }
}

fn set_wakeup_fd(py: Python<'_>, fd: RawFd) -> PyResult<RawFd> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let options = PyDict::new(py);
    options.set_item("warn_on_full_buffer", false)?;
    FUNCTION.import(py, "signal", "set_wakeup_fd")?.call((fd,), Some(&options))?.extract()
}

struct Handlers {
    signals: UnixStream,
    previous: RawFd,
    raised: RefCell<Option<PyErr>>,
}

impl Watch for Handlers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    fn wake(&self) -> bool {
        self.drain();
        match Python::attach(|py| py.check_signals()) {
            Ok(()) => false,
            Err(err) => {
                self.raised.replace(Some(err));
                true
            }
        }
    }
}

impl Handlers {
    /// Passes the numbers of the signals on to whom they would have been announced.
    fn drain(&self) {
        let mut numbers = [0; 64];
        loop {
            match (&self.signals).read(&mut numbers) {
                Ok(0) => return,
                Ok(n) => {
                    // If there is no room, Python would have dropped them as well.
                    let _ = pass_on(self.previous, &numbers[..n]);
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

#[expect(unsafe_code, reason = "Python knows descriptors by number")]
fn pass_on(fd: RawFd, numbers: &[u8]) -> io::Result<()> {
    if fd < 0 {
        return Ok(());
    }
    // SAFETY: whoever gave it to Python has to keep it open; it is not closed here.
    let file = unsafe { ManuallyDrop::new(File::from_raw_fd(fd)) };
    (&*file).write_all(numbers)
}
