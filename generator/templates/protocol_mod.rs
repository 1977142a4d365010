// {{ notice }}

{% for module in modules %}{% if module == "structs" %}/// The structures that functions return.
pub {% endif %}mod {{ module }};
{% endfor %}
{% for module in modules %}pub use {{ module }}::*;
{% endfor %}
