// {{ notice }}

{% for module in modules %}mod {{ module }};
{% endfor %}
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::*;

/// Names and values of the constants of the module.
pub(crate) const EVENTS: &[(&str, u64)] = &[
{% for event in events %}    ("{{ event.constant }}", {{ event.value }}),
{% endfor %}];

/// Other names of methods.
pub(crate) const ALIASES: &[(&str, &str)] = &[
{% for it in aliases %}    ("{{ it.alias }}", "{{ it.name }}"),
{% endfor %}];
{% for struct in structs %}
impl Element for guestfs::{{ struct.rust }} {}

impl ToPython for guestfs::{{ struct.rust }} {
    fn to_python(self, py: Python<'_>, _: Style) -> PyResult<Py<PyAny>> {
        let dict = PyDict::new(py);
{% for field in struct.fields %}        dict.set_item("{{ field.name }}", {{ field.convert }}(py, &self.{{ field.ident }})?)?;
{% endfor %}        Ok(dict.into_any().unbind())
    }
}
{% endfor %}
