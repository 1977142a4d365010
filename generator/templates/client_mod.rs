// {{ notice }}

{% for module in modules %}mod {{ module }};
{% endfor %}
{% for module in exports %}pub use {{ module }}::*;
{% endfor %}
use crate::trace::ApiStruct;
{% for struct in structs %}
impl ApiStruct for guestfs_protocol::structs::{{ struct[0] }} {
    const NAME: &'static str = "{{ struct[1] }}";
}
{% endfor %}
