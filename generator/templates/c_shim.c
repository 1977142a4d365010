/* {{ notice }} */
/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The functions that take any number of options: Rust can call such functions, but not yet be
 * one.  Each collects its options into a structure and passes that on.
 */

#define GUESTFS_NO_WARN_DEPRECATED 1
#define GUESTFS_PRIVATE 1

#include <stddef.h>

#include "guestfs.h"

/* In the library, not exported by it. */
extern guestfs_h *guestfs_int_create_flags (unsigned flags);
extern void guestfs_int_unknown_option (guestfs_h *g, const char *function, int option);
extern void guestfs_int_repeated_option (guestfs_h *g, const char *function, const char *option);

/* Further arguments are for flags of the future. */
guestfs_h *
guestfs_create_flags (unsigned flags, ...)
{
  return guestfs_int_create_flags (flags);
}
{% for group in groups %}{% for function in group.functions %}{% if function.options %}
{{ function.results.c_type }}
guestfs_{{ function.options.symbol }}_va ({{ function.options.parameters }}, va_list args)
{
  struct guestfs_{{ function.options.symbol }}_argv optargs;
  int option;

  optargs.bitmask = 0;
  while ((option = va_arg (args, int)) >= 0) {
    const char *name;

    switch (option) {
{% for field in function.options.fields %}    case {{ function.options.prefix }}_{{ field.macro_name }}:
      name = "{{ field.name }}";
      optargs.{{ field.name }} = va_arg (args, {{ field.va }});
      break;
{% endfor %}    default:
      guestfs_int_unknown_option (g, "{{ function.name }}", option);
      return {{ function.results.failure }};
    }
    if (optargs.bitmask & (UINT64_C (1) << option)) {
      guestfs_int_repeated_option (g, "{{ function.name }}", name);
      return {{ function.results.failure }};
    }
    optargs.bitmask |= UINT64_C (1) << option;
  }
  return guestfs_{{ function.options.symbol }}_argv ({{ function.options.arguments }}, &optargs);
}

{{ function.results.c_type }}
guestfs_{{ function.options.symbol }} ({{ function.options.parameters }}, ...)
{
  va_list args;
  {{ function.results.c }}result;

  va_start (args, {{ function.options.last }});
  result = guestfs_{{ function.options.symbol }}_va ({{ function.options.arguments }}, args);
  va_end (args);
  return result;
}
{% endif %}{% endfor %}{% endfor %}

/* Rust and programs have the same places of fields compiled in. */

#if UINTPTR_MAX == UINT64_MAX

#define SIZE(type, size)                                                \
  _Static_assert (sizeof (struct guestfs_##type) == (size), "size of " #type)
#define OFFSET(type, member, offset)                                    \
  _Static_assert (offsetof (struct guestfs_##type, member) == (offset), \
                  "offset of " #member " in " #type)
{% for struct in structs %}
SIZE ({{ struct.name }}, {{ struct.size }});
{% for field in struct.fields %}OFFSET ({{ struct.name }}, {{ field.name }}, {{ field.place.offset }});
{% endfor %}SIZE ({{ struct.name }}_list, 16);
{% endfor %}{% for group in groups %}{% for function in group.functions %}{% if function.options %}
SIZE ({{ function.options.symbol }}_argv, {{ function.options.size }});
{% for field in function.options.fields %}OFFSET ({{ function.options.symbol }}_argv, {{ field.name }}, {{ field.place.offset }});
{% endfor %}{% endif %}{% endfor %}{% endfor %}
#endif
