// SPDX-License-Identifier: LGPL-2.1-or-later
//! The class `GuestFS`: a handle that Python owns.

use std::sync::{Arc, Mutex, PoisonError};

use guestfs::{CallbackId, CreateFlags, Events, Handle};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::convert::{Flag, Style, ToPython};
use crate::error::{closed, exception};
use crate::event;

/// A handle: add disks, launch, call, close.
///
/// With `python_return_dict` functions that return pairs return a dictionary, else a list of
/// tuples.  With `environment` the variables LIBGUESTFS_* are taken into account.  With
/// `close_on_exit` a handle that is still open when the program ends is closed.
#[pyclass(module = "guestfs", subclass, dict, weakref)]
pub(crate) struct GuestFS {
    handle: Mutex<Option<Arc<Handle>>>,
    style: Style,
}

#[pymethods]
impl GuestFS {
    #[new]
    #[pyo3(signature = (python_return_dict=Flag(false), environment=Flag(true), close_on_exit=Flag(true)))]
    fn new(
        py: Python<'_>,
        python_return_dict: Flag,
        environment: Flag,
        close_on_exit: Flag,
    ) -> PyResult<Self> {
        let mut flags = CreateFlags::default();
        if !environment.0 {
            flags = flags | CreateFlags::NO_ENVIRONMENT;
        }
        if !close_on_exit.0 {
            flags = flags | CreateFlags::NO_CLOSE_ON_EXIT;
        }
        let handle = Handle::create_flags(flags).map_err(|err| exception(py, &err))?;
        let style = if python_return_dict.0 { Style::Dict } else { Style::Tuples };
        Ok(Self { handle: Mutex::new(Some(Arc::new(handle))), style })
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

    /// Close the handle: what was written is on the disks when this returns.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        close(py, self.take().ok_or_else(closed)?)
    }

    /// Register a callback for the events of a mask; it is given the event, the number that this
    /// method returns, a text and a list of numbers.
    fn set_event_callback(&self, cb: Bound<'_, PyAny>, event_bitmask: u64) -> PyResult<i32> {
        if !cb.is_callable() {
            return Err(PyTypeError::new_err("cb: is not callable"));
        }
        let cb = cb.unbind();
        let events = Events::from_bits(event_bitmask);
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
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)
    }

    fn take(&self) -> Option<Arc<Handle>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Calls the library without holding Python up.
    pub(crate) fn run<T: ToPython + Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Handle) -> guestfs::Result<T> + Send,
    ) -> PyResult<Py<PyAny>> {
        let handle = self.get()?;
        match py.detach(|| call(&handle)) {
            Ok(value) => value.to_python(py, self.style),
            Err(err) => Err(exception(py, &err)),
        }
    }
}

/// Closes the handle, or leaves that to the call that another thread is in.
fn close(py: Python<'_>, handle: Arc<Handle>) -> PyResult<()> {
    let result = py.detach(|| Arc::try_unwrap(handle).map_or(Ok(()), Handle::close));
    result.map_err(|err| exception(py, &err))
}

impl Drop for GuestFS {
    fn drop(&mut self) {
        // Closing waits for the appliance, and callbacks run in it: neither may hold Python up.
        if let Some(handle) = self.take() {
            Python::attach(|py| py.detach(|| drop(handle)));
        }
    }
}
