// {{ notice }}

{% for module in modules %}mod {{ module }};
{% endfor %}
{% for module in exports %}pub(crate) use {{ module }}::*;
{% endfor %}
use crate::call::{Call, Reply};
use crate::ctx::Ctx;
use crate::error::Result;

type Stub = fn(&mut Ctx, &Call<'_>) -> Result<Reply>;

/// Number, name and stub of every function, in the order of the numbers.
pub(crate) const TABLE: &[(u32, &str, Stub)] = &[
{% for entry in entries %}    ({{ entry.number }}, "{{ entry.name }}", {{ entry.path }}),
{% endfor %}];

/// Something that an appliance may lack.
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    /// Programs that must be there.
    pub(crate) programs: &'static [&'static str],
    /// Filesystem that the kernel must know.
    pub(crate) filesystem: Option<&'static str>,
    /// One of its functions, at least, has a body.
    pub(crate) implemented: bool,
}

/// Every feature, in the order of the names.
pub(crate) const FEATURES: &[Feature] = &[
{% for feature in features %}    Feature { name: "{{ feature.name }}", programs: &[{% for program in feature.programs %}"{{ program }}", {% endfor %}], filesystem: {{ feature.filesystem }}, implemented: {{ feature.implemented }} },
{% endfor %}];
