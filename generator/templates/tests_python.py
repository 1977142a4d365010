# {{ notice }}

from cases import *
{% for case in cases %}

@case("{{ case.title }}", "{{ case.disk }}"{% if case.needs %}, needs=[{% for it in case.needs %}"{{ it }}"{% if not loop.last %}, {% endif %}{% endfor %}]{% endif %}{% if case.usual %}, usual=True{% endif %})
def {{ case.ident }}(g):
{% for line in case.lines %}    {{ line }}
{% endfor %}{% endfor %}
