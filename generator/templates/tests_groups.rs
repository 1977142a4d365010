// {{ notice }}

groups! {
{% for group in groups %}    {{ group }}
{% endfor %}}
