/* {{ notice }} */

#include "cases.h"
{% for case in cases %}
static void
{{ case.ident }} (guestfs_h *g)
{
{% for line in case.lines %}  {{ line }}
{% endfor %}}
{% endfor %}
static const struct test_case cases[] = {
{% for case in cases %}  {"{{ case.title }}", "{{ case.disk }}", {% if case.needs %}TEXTS ({% for it in case.needs %}"{{ it }}", {% endfor %}NULL){% else %}NULL{% endif %}, {{ case.usual }}, {{ case.ident }}},
{% endfor %}};

int
main (void)
{
  return run_cases (cases, sizeof cases / sizeof cases[0]);
}
