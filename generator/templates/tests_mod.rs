// {{ notice }}

{% for ring in rings %}/// {{ ring[1] }}
mod {{ ring[0] }} {
{% for module in ring[2] %}    mod {{ module }};
{% endfor %}}
{% endfor %}
use crate::prelude::*;

{% for struct in structs %}
impl Element for guestfs::{{ struct.name }} {}

impl ToValue for guestfs::{{ struct.name }} {
    fn to_value(&self) -> Value {
        fields([
{% for field in struct.fields %}            ("{{ field[0] }}", {{ field[1] }}),
{% endfor %}        ])
    }
}
{% endfor %}
