// {{ notice }}

{% for line in imports %}{{ line }}
{% endfor %}
{% for function in functions %}{% if function.options %}
/// Options of [`Handle::{{ function.ident }}`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct {{ function.options.name }} {
{% for field in function.options.fields %}{{ field.docs }}    pub {{ field.name }}: {{ field.rust_type }},
{% endfor %}}
{% endif %}{% endfor %}
impl Handle {
{% for function in functions %}
{{ function.docs -}}
{% if function.deprecated %}    #[deprecated = "{{ function.deprecated }}"]
{% endif %}    pub fn {{ function.ident }}(&self{% for parameter in function.parameters %}, {{ parameter }}{% endfor %}) -> Result<{{ function.returns }}> {
{% for line in function.binds %}        {{ line }}
{% endfor %}        self.action(
            &Action { name: "{{ function.name }}", config_only: {{ function.config_only }} },
            |{% if function.traces %}record{% else %}_{% endif %}| {
{% for line in function.traces %}                {{ line }};
{% endfor %}            },
            || {
{% for line in function.body %}                {{ line }}
{% endfor %}            },
        )
    }
{% endfor %}}
