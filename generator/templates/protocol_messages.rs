// {{ notice }}

{% for line in imports %}{{ line }}
{% endfor %}
{% for type in messages %}
{{ type.doc -}}
#[derive({% if type.clone %}Clone, {% endif %}Debug, PartialEq{% if type.eq %}, Eq{% endif %})]
pub struct {{ type.rust }} {
{% for field in type.fields %}{{ field.doc }}    pub {{ field.name }}: {{ field.rust_type }},
{% endfor %}}

impl<Out: Write> Pack<Out> for {{ type.rust }} {
    fn pack(&self, out: &mut Out) -> Result<usize> {
        {{ type.pack }}
    }
}

impl Unpack<Strict<'_>> for {{ type.rust }} {
    fn unpack(input: &mut Strict<'_>) -> Result<(Self, usize)> {
        let before = input.rest().len();
        let value = Self { {% for field in type.fields %}{{ field.name }}: {{ field.unpack }}.0, {% endfor %} };
        Ok((value, before - input.rest().len()))
    }
}
{% endfor %}
