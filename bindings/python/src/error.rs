// SPDX-License-Identifier: LGPL-2.1-or-later
//! Errors of the library as exceptions.

use std::ffi::CStr;

use pyo3::create_exception;
use pyo3::exceptions::{PyDeprecationWarning, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    guestfs,
    Error,
    PyRuntimeError,
    "A call failed; `errno` says why, if it is known."
);
create_exception!(guestfs, ClosedHandle, PyValueError, "A method was called on a closed handle.");

/// The exception that says what the error says.
pub(crate) fn exception(py: Python<'_>, err: &guestfs::Error) -> PyErr {
    let exception = Error::new_err(err.to_string());
    let value = exception.value(py);
    let errno = (err.errno() != 0).then_some(err.errno());
    let attributes = value
        .setattr("errno", errno)
        .and_then(|()| value.setattr("last_errno", err.errno()))
        .and_then(|()| value.setattr("function", err.function()))
        .and_then(|()| value.setattr("strerror", err.message()));
    attributes.err().unwrap_or(exception)
}

/// Warns the caller of a method that should not be used any more.
pub(crate) fn deprecated(py: Python<'_>, what_to_do: &CStr) -> PyResult<()> {
    // Methods that are not written in Python have no level: the first is the caller's.
    PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), what_to_do, 1)
}

/// The exception for a handle that is no more.
pub(crate) fn closed() -> PyErr {
    ClosedHandle::new_err("GuestFS: method called on closed handle")
}
