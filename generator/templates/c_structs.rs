// {{ notice }}

//! The structures of C, and the functions that compare, copy and free them.

use std::cmp::Ordering;
use std::ffi::{c_char, c_int};
use std::mem::offset_of;

use crate::structs::*;
{% for struct in structs %}
/// `struct guestfs_{{ struct.name }}`
#[repr(C)]
pub(crate) struct {{ struct.rust }} {
{% for field in struct.fields %}    {{ field.ident }}: {{ field.rust }},
{% endfor %}}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<{{ struct.rust }}>() == {{ struct.size }});
{% for field in struct.fields %}    assert!(offset_of!({{ struct.rust }}, {{ field.ident }}) == {{ field.place.offset }});
{% endfor %}};

impl Mirrored for guestfs::{{ struct.rust }} {
    type C = {{ struct.rust }};

    fn mirror(&self) -> {{ struct.rust }} {
        {{ struct.rust }} {
{% for field in struct.fields %}            {{ field.ident }}: {{ field.mirror }},
{% endfor %}        }
    }
}

impl Clone for {{ struct.rust }} {
    fn clone(&self) -> Self {
        Self {
{% for field in struct.fields %}            {{ field.ident }}: {{ field.clone }},
{% endfor %}        }
    }
}

impl Compare for {{ struct.rust }} {
    fn compare(&self, other: &Self) -> Ordering {
        Ordering::Equal
{% for field in struct.fields %}{% if field.compare %}            .then_with(|| {{ field.compare }})
{% endif %}{% endfor %}    }
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_compare_{{ struct.name }}(a: Shared<{{ struct.rust }}>, b: Shared<{{ struct.rust }}>) -> c_int {
    a.compare(&b)
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_compare_{{ struct.name }}_list(a: Shared<List<{{ struct.rust }}>>, b: Shared<List<{{ struct.rust }}>>) -> c_int {
    a.compare(&b)
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_copy_{{ struct.name }}(it: Shared<{{ struct.rust }}>) -> *mut {{ struct.rust }} {
    it.copy()
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_copy_{{ struct.name }}_list(it: Shared<List<{{ struct.rust }}>>) -> *mut List<{{ struct.rust }}> {
    it.copy()
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_free_{{ struct.name }}(it: Owned<{{ struct.rust }}>) {
    it.free();
}

#[unsafe(no_mangle)]
extern "C" fn guestfs_free_{{ struct.name }}_list(it: Owned<List<{{ struct.rust }}>>) {
    it.free();
}
{% endfor %}
