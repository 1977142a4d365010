// {{ notice }}

{% for it in structs %}use guestfs::{{ it.rust }};
{% endfor %}
use crate::output::{Field, Fields};
{% for it in structs %}
impl Fields for {{ it.rust }} {
    fn fields(&self) -> Vec<(&'static str, Field<'_>)> {
        vec![{% for f in it.fields %}
            ("{{ f.name }}", {{ f.value }}),{% endfor %}
        ]
    }
}
{% endfor %}
