// {{ notice }}

{% if deprecated %}#![expect(deprecated, reason = "what is deprecated works on")]

{% endif %}use crate::prelude::*;
{% for case in cases %}
// {{ case.function }}: {{ case.title }}
#[test]
fn {{ case.ident }}() {
    let Some(case) = Case::start({{ case.disk }}, &[{% for feature in case.needs %}"{{ feature }}", {% endfor %}]) else { return };
    let g = case.handle();
{% for line in case.steps %}    {{ line }}
{% endfor %}    let got = {{ case.last }};
{% for line in case.expectations %}    {{ line }}
{% endfor %}}
{% endfor %}
