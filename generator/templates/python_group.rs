// {{ notice }}

{% if deprecated %}#![expect(deprecated, reason = "what is deprecated works on")]

{% endif %}use pyo3::prelude::*;

use crate::convert::*;
use crate::handle::GuestFS;

#[pymethods]
impl GuestFS {
{% for function in functions %}
{{ function.docs -}}
{% if function.stub.name != function.ident %}    #[pyo3(name = "{{ function.stub.name }}")]
{% endif %}{% if function.signature %}    #[pyo3(signature = ({{ function.signature }}))]
{% endif %}    fn {{ function.ident }}(&self, py: Python<'_>{% for parameter in function.parameters %}, {{ parameter }}{% endfor %}) -> PyResult<Py<PyAny>> {
{% for line in function.lines %}        {{ line }}
{% endfor %}    }
{% endfor %}}
