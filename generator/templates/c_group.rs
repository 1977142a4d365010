// {{ notice }}

{% for line in imports %}{{ line }}
{% endfor %}{% for function in functions %}{% if function.options %}
/// `struct guestfs_{{ function.options.symbol }}_argv`
#[repr(C)]
struct {{ function.options.argv }} {
    bitmask: u64,
{% for field in function.options.fields %}    {{ field.ident }}: Field<{{ field.rust }}>,
{% endfor %}}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<{{ function.options.argv }}>() == {{ function.options.size }});
{% for field in function.options.fields %}    assert!(std::mem::offset_of!({{ function.options.argv }}, {{ field.ident }}) == {{ field.place.offset }});
{% endfor %}};

impl Argv for {{ function.options.argv }} {
    type Options = guestfs::{{ function.options.library }};
    const COUNT: u32 = {{ function.options.count }};

    fn bitmask(&self) -> u64 {
        self.bitmask
    }

    fn options(&self, given: Given) -> Result<Self::Options, Failed> {
        Ok(guestfs::{{ function.options.library }} {
{% for field in function.options.fields %}            {{ field.ident }}: {{ field.value }},
{% endfor %}        })
    }
}
{% endif %}{% if function.plain %}
{% if function.deprecated %}#[expect(deprecated, reason = "C programs may use it")]
{% endif %}#[unsafe(no_mangle)]
extern "C" fn guestfs_{{ function.plain }}(g: HandlePtr{% for parameter in function.parameters %}, {{ parameter.rust }}{% endfor %}) -> {{ function.results.rust }} {
    g.call("{{ function.name }}", |g| Ok({{ function.results.wrap_before }}g.{{ function.method }}({{ function.arguments }}{% if function.options %}{% if function.arguments %}, {% endif %}&Default::default(){% endif %})?{{ function.results.wrap_after }}))
}
{% endif %}{% if function.options %}
{% if function.deprecated %}#[expect(deprecated, reason = "C programs may use it")]
{% endif %}#[unsafe(no_mangle)]
extern "C" fn guestfs_{{ function.options.symbol }}_argv(g: HandlePtr{% for parameter in function.parameters %}, {{ parameter.rust }}{% endfor %}, optargs: Options<{{ function.options.argv }}>) -> {{ function.results.rust }} {
    g.call("{{ function.name }}", |g| Ok({{ function.results.wrap_before }}g.{{ function.method }}({{ function.arguments }}{% if function.arguments %}, {% endif %}&optargs.read()?)?{{ function.results.wrap_after }}))
}
{% endif %}{% endfor %}
