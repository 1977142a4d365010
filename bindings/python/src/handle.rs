// SPDX-License-Identifier: LGPL-2.1-or-later
//! The class `GuestFS`: a handle that Python owns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use guestfs::{CallbackId, CreateFlags, Events, Handle};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyTuple};

use crate::convert::{Flag, Style, Text, ToPython};
use crate::error::{closed, exception};
use crate::event;
use crate::signals::detached;

/// A handle that may have been closed.
type Slot = Mutex<Option<Arc<Handle>>>;

/// What is closed when the interpreter ends.
static OPEN: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

/// A handle: add disks, launch, call, close.
///
/// With `python_return_dict` functions that return pairs return a dictionary, else a list of
/// tuples.  With `environment` the variables LIBGUESTFS_* are taken into account.  With
/// `close_on_exit` a handle that is still open when the program ends is closed.
#[pyclass(module = "guestfs", subclass, dict, weakref)]
pub(crate) struct GuestFS {
    handle: Arc<Slot>,
    style: Style,
}

#[pymethods]
impl GuestFS {
    /// A subclass may have arguments of its own, and give others to `__init__`.
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self { handle: Arc::default(), style: Style::Tuples }
    }

    #[pyo3(signature = (python_return_dict=Flag(false), environment=Flag(true), close_on_exit=Flag(true)))]
    fn __init__(
        &mut self,
        py: Python<'_>,
        python_return_dict: Flag,
        environment: Flag,
        close_on_exit: Flag,
    ) -> PyResult<()> {
        let mut flags = CreateFlags::default();
        if !environment.0 {
            flags = flags | CreateFlags::NO_ENVIRONMENT;
        }
        if !close_on_exit.0 {
            flags = flags | CreateFlags::NO_CLOSE_ON_EXIT;
        }
        let handle = Handle::create_flags(flags).map_err(|err| exception(py, &err))?;
        if let Some(program) = program(py)? {
            handle.set_program(&program).map_err(|err| exception(py, &err))?;
        }
        self.style = if python_return_dict.0 { Style::Dict } else { Style::Tuples };
        let before = lock(&self.handle).replace(Arc::new(handle));
        py.detach(|| drop(before));
        if close_on_exit.0 {
            let mut open = lock(&OPEN);
            open.retain(|it| it.strong_count() > 0);
            open.push(Arc::downgrade(&self.handle));
        }
        Ok(())
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (_kind, _value, _traceback))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match self.take() {
            Some(handle) => close(py, handle),
            None => Ok(()),
        }
    }

    /// Close the handle, if it is open; subclasses may call this from their own.
    fn __del__(&self, py: Python<'_>) {
        let handle = self.take();
        py.detach(|| drop(handle));
    }

    /// Close the handle: what was written is on the disks when this returns.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        close(py, self.take().ok_or_else(closed)?)
    }

    /// Register a callback for the events of a mask; it is given the event, the number that this
    /// method returns, a text and a list of numbers.
    fn set_event_callback(&self, cb: Bound<'_, PyAny>, event_bitmask: i64) -> PyResult<i32> {
        if !cb.is_callable() {
            return Err(PyTypeError::new_err("cb: is not callable"));
        }
        let cb = cb.unbind();
        // Minus one is a mask of all.
        let events = Events::from_bits(event_bitmask.cast_unsigned());
        let callback =
            move |_: &Handle, event: Events, id: CallbackId, payload: guestfs::Payload<'_>| {
                event::call(&cb, event, id.as_raw(), payload);
            };
        Ok(self.get()?.set_event_callback(events, callback).as_raw())
    }

    /// Take a callback back.
    fn delete_event_callback(&self, event_handle: i32) -> PyResult<()> {
        self.get()?.delete_event_callback(CallbackId::from_raw(event_handle));
        Ok(())
    }
}

impl GuestFS {
    fn get(&self) -> PyResult<Arc<Handle>> {
        lock(&self.handle).clone().ok_or_else(closed)
    }

    fn take(&self) -> Option<Arc<Handle>> {
        lock(&self.handle).take()
    }

    /// Calls the library without holding Python up.
    pub(crate) fn run<T: ToPython + Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Handle) -> guestfs::Result<T> + Send,
    ) -> PyResult<Py<PyAny>> {
        let handle = self.get()?;
        let result = detached(py, || {
            let result = call(&handle);
            // Another thread may have closed it meanwhile, and then it goes here.
            drop(handle);
            result
        });
        match result? {
            Ok(value) => value.to_python(py, self.style),
            Err(err) => Err(exception(py, &err)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the program was started as; all would be called python otherwise.
fn program(py: Python<'_>) -> PyResult<Option<Text>> {
    let argv = py.import("sys")?.getattr("argv");
    // Where Python is embedded, there may be none.
    let Some(first) = argv.and_then(|it| it.get_item(0)).ok() else { return Ok(None) };
    let name = py.import("os.path")?.call_method1("basename", (first,))?;
    Ok(name.extract().ok())
}

/// Closes the handle, or leaves that to the call that another thread is in.
fn close(py: Python<'_>, handle: Arc<Handle>) -> PyResult<()> {
    let result = detached(py, || Arc::try_unwrap(handle).map_or(Ok(()), Handle::close));
    result?.map_err(|err| exception(py, &err))
}

/// Closes all handles that should be when the interpreter ends, but those which another thread
/// is using: nobody waits for that thread any more.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>) -> PyResult<()> {
    let open = std::mem::take(&mut *lock(&OPEN));
    for slot in open.iter().filter_map(Weak::upgrade) {
        let handle = lock(&slot).take();
        if let Some(handle) = handle {
            detached(py, || drop(handle))?;
        }
    }
    Ok(())
}

impl Drop for GuestFS {
    fn drop(&mut self) {
        // Closing waits for the appliance, and callbacks run in it: neither may hold Python up.
        if let Some(handle) = self.take() {
            Python::attach(|py| py.detach(|| drop(handle)));
        }
    }
}
