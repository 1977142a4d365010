/* {{ notice }} */

/* Each type of argument and of result goes through the library and comes back. */

#define GUESTFS_PRIVATE 1

#include <inttypes.h>

#include <guestfs.h>

#include "check.h"

#define TEXTS(...) ((char *[]) { __VA_ARGS__ })
{% for case in cases %}
static void
{{ case.ident }} (guestfs_h *g)
{
{% for line in case.c %}  {{ line }}
{% endfor %}}
{% endfor %}
int
main (void)
{
  guestfs_h *g = guestfs_create ();

  guestfs_set_error_handler (g, NULL, NULL);
{% for case in cases %}  {{ case.ident }} (g);
{% endfor %}  guestfs_close (g);
  if (failures == 0)
    puts ("{{ cases | length }} cases");
  return failures != 0;
}
