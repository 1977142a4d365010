// {{ notice }}

{% for line in imports %}{{ line }}
{% endfor %}
{% for function in functions %}{% if function.options %}
pub(crate) struct {{ function.options.name }} {
{% for field in function.options.fields %}{{ field.docs }}    pub(crate) {{ field.name }}: {{ field.rust_type }},
{% endfor %}}
{% endif %}
pub(super) fn {{ function.ident }}({{ function.cx }}: &mut Ctx, {{ function.call }}: &Call<'_>) -> Result<Reply> {
{% for line in function.lines %}    {{ line }}
{% endfor %}}
{% endfor %}
