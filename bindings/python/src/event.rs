// SPDX-License-Identifier: LGPL-2.1-or-later
//! Events: callbacks of Python, and the names of what they are called for.

use guestfs::{Events, Payload};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::convert::string;

/// Names the events of a mask, separated by commas.
#[pyfunction]
pub(crate) fn event_to_string(events: u64) -> String {
    Events::from_bits(events).to_string()
}

/// Calls a callback of Python.  There is nobody to give an exception to: it is printed, as Python
/// does with those of destructors.
pub(crate) fn call(callback: &Py<PyAny>, event: Events, id: i32, payload: Payload<'_>) {
    // An interpreter that is at its end runs nothing any more.
    let _ = Python::try_attach(|py| {
        let result = arguments(py, payload)
            .and_then(|(buf, array)| callback.call1(py, (event.bits(), id, buf, array)).map(drop));
        if let Err(err) = result {
            err.write_unraisable(py, Some(callback.bind(py)));
        }
    });
}

fn arguments<'py>(
    py: Python<'py>,
    payload: Payload<'_>,
) -> PyResult<(Py<PyAny>, Bound<'py, PyList>)> {
    match payload {
        Payload::None => Ok((string(py, &b"")?, PyList::empty(py))),
        Payload::Buf(text) => Ok((string(py, &text)?, PyList::empty(py))),
        Payload::Array(numbers) => Ok((string(py, &b"")?, PyList::new(py, numbers)?)),
    }
}
