// SPDX-License-Identifier: LGPL-2.1-or-later
//! Values of Python and of the library.
//!
//! Names of guest files are bytes.  In Python they are `str`, with `surrogateescape` as for files
//! of the host, so that any name can be read and given back.

use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use bstr::BString;
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyString, PyTuple};

/// Text or bytes: `str`, `bytes` and its kind, or anything that is a path.
pub(crate) struct Text(Vec<u8>);

impl Text {
    pub(crate) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Text> for BString {
    fn from(text: Text) -> Self {
        text.0.into()
    }
}

impl<'py> FromPyObject<'_, 'py> for Text {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self(bytes.as_bytes().to_vec()));
        }
        if object.is_instance_of::<PyString>() {
            return Ok(Self(object.extract::<OsString>()?.into_vec()));
        }
        if let Ok(bytes) = object.cast::<PyByteArray>() {
            return Ok(Self(bytes.to_vec()));
        }
        if object.is_instance_of::<PyMemoryView>() {
            return object.call_method0("tobytes")?.extract();
        }
        if object.hasattr("__fspath__")? {
            // A str or bytes.
            return object.call_method0("__fspath__")?.extract();
        }
        let kind = object.get_type().name()?;
        Err(PyTypeError::new_err(format!("expected str, bytes or a path, not {kind}")))
    }
}

/// A boolean: programs have always been giving numbers too.
pub(crate) struct Flag(pub(crate) bool);

impl<'py> FromPyObject<'_, 'py> for Flag {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(object.extract::<i64>()? != 0))
    }
}

/// How pairs are returned.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// As a list of tuples.
    Tuples,
    /// As a dictionary.
    Dict,
}

/// A result of the library.
pub(crate) trait ToPython {
    fn to_python(self, py: Python<'_>, style: Style) -> PyResult<Py<PyAny>>;
}

/// Text as `str`.
pub(crate) fn string(py: Python<'_>, text: &impl AsRef<[u8]>) -> PyResult<Py<PyAny>> {
    Ok(OsStr::from_bytes(text.as_ref()).into_pyobject(py)?.into_any().unbind())
}

/// Bytes as `bytes`.
pub(crate) fn octets(py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
    Ok(PyBytes::new(py, bytes).into_any().unbind())
}

/// One byte as a `str` of one character.
pub(crate) fn character(py: Python<'_>, byte: &u8) -> PyResult<Py<PyAny>> {
    string(py, &[*byte])
}

/// A number.
pub(crate) fn plain<'py, T>(py: Python<'py>, value: &T) -> PyResult<Py<PyAny>>
where
    T: Copy + IntoPyObject<'py>,
{
    (*value).into_py_any(py)
}

impl ToPython for () {
    fn to_python(self, py: Python<'_>, _: Style) -> PyResult<Py<PyAny>> {
        Ok(py.None())
    }
}

impl ToPython for bool {
    fn to_python(self, py: Python<'_>, _: Style) -> PyResult<Py<PyAny>> {
        plain(py, &i32::from(self))
    }
}

impl ToPython for i32 {
    fn to_python(self, py: Python<'_>, _: Style) -> PyResult<Py<PyAny>> {
        plain(py, &self)
    }
}

impl ToPython for i64 {
    fn to_python(self, py: Python<'_>, _: Style) -> PyResult<Py<PyAny>> {
        plain(py, &self)
    }
}

impl ToPython for BString {
    fn to_python(self, py: Python<'_>, _: Style) -> PyResult<Py<PyAny>> {
        string(py, &self)
    }
}

impl ToPython for Option<BString> {
    fn to_python(self, py: Python<'_>, style: Style) -> PyResult<Py<PyAny>> {
        self.map_or_else(|| Ok(py.None()), |text| text.to_python(py, style))
    }
}

impl ToPython for Vec<u8> {
    fn to_python(self, py: Python<'_>, _: Style) -> PyResult<Py<PyAny>> {
        octets(py, &self)
    }
}

impl ToPython for Vec<(BString, BString)> {
    fn to_python(self, py: Python<'_>, style: Style) -> PyResult<Py<PyAny>> {
        match style {
            Style::Dict => {
                let dict = PyDict::new(py);
                for (key, value) in &self {
                    dict.set_item(string(py, key)?, string(py, value)?)?;
                }
                Ok(dict.into_any().unbind())
            }
            Style::Tuples => {
                let list = PyList::empty(py);
                for (key, value) in &self {
                    list.append(PyTuple::new(py, [string(py, key)?, string(py, value)?])?)?;
                }
                Ok(list.into_any().unbind())
            }
        }
    }
}

/// What a list is made of; bytes are none of it.
pub(crate) trait Element: ToPython {}

impl Element for BString {}

impl<T: Element> ToPython for Vec<T> {
    fn to_python(self, py: Python<'_>, style: Style) -> PyResult<Py<PyAny>> {
        let list = PyList::empty(py);
        for item in self {
            list.append(item.to_python(py, style)?)?;
        }
        Ok(list.into_any().unbind())
    }
}
