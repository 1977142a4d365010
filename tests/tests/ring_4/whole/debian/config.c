/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a handle does without an appliance, told in lines that must be the same whichever header
 * this was compiled with, and whichever library it runs with.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The functions that test bindings are not for everybody. */
#define GUESTFS_PRIVATE 1
#include <guestfs.h>

#include "show.h"

#define SHOW(call) printf ("%s = %lld\n", #call, (long long) (call))

#define SHOW_TEXT(call)                                 \
  do {                                                  \
    const char *it = (call);                            \
    printf ("%s = %s\n", #call, it ? it : "NULL");      \
  } while (0)

#define SHOW_OWN_TEXT(call)                             \
  do {                                                  \
    char *own = (call);                                 \
    printf ("%s = %s\n", #call, own ? own : "NULL");    \
    free (own);                                         \
  } while (0)

static void
on_event (guestfs_h *g, void *opaque, uint64_t event, int event_handle, int flags,
          const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  (void) array;
  printf ("event 0x%llx, flags %d, array %zu: %.*s\n", (unsigned long long) event, flags,
          array_len, (int) buf_len, buf ? buf : "");
  if (event == GUESTFS_EVENT_CLOSE)
    SHOW_TEXT (guestfs_get_private (g, "key"));
  if (opaque != NULL)
    guestfs_delete_event_callback (g, event_handle);
}

static void
on_error (guestfs_h *g, void *opaque, const char *text)
{
  (void) g;
  (void) text;
  ++*(int *) opaque;
}

static void
properties (guestfs_h *g)
{
  const char *settings[] = { "gdb", "force_tcg=1", NULL };
  const char *environment[] = { "LIBGUESTFS_MEMSIZE=900", NULL };
  struct guestfs_version *version;

  SHOW (guestfs_set_memsize (g, 700));
  SHOW (guestfs_get_memsize (g));
  SHOW (guestfs_set_memsize (g, 1));
  SHOW (guestfs_get_memsize (g));
  SHOW (guestfs_parse_environment_list (g, (char **) environment));
  SHOW (guestfs_get_memsize (g));
  SHOW (guestfs_set_smp (g, 3));
  SHOW (guestfs_set_smp (g, 0));
  SHOW (guestfs_get_smp (g));
  SHOW (guestfs_get_autosync (g));
  SHOW (guestfs_get_verbose (g));
  SHOW (guestfs_get_trace (g));
  SHOW (guestfs_get_network (g));
  SHOW (guestfs_get_recovery_proc (g));
  SHOW (guestfs_get_pgroup (g));
  SHOW (guestfs_is_config (g));
  SHOW (guestfs_is_ready (g));
  SHOW (guestfs_is_launching (g));
  SHOW (guestfs_is_busy (g));
  SHOW (guestfs_get_state (g));
  SHOW (guestfs_set_path (g, "/some/where"));
  SHOW_TEXT (guestfs_get_path (g));
  SHOW (guestfs_set_append (g, "quiet"));
  SHOW_TEXT (guestfs_get_append (g));
  SHOW (guestfs_set_append (g, NULL));
  SHOW_TEXT (guestfs_get_append (g));
  SHOW (guestfs_set_program (g, "virt-x"));
  SHOW_TEXT (guestfs_get_program (g));
  SHOW (guestfs_set_identifier (g, "id"));
  SHOW_TEXT (guestfs_get_identifier (g));
  SHOW (guestfs_set_identifier (g, ""));
  SHOW (guestfs_set_backend (g, "direct"));
  SHOW_OWN_TEXT (guestfs_get_backend (g));
  SHOW (guestfs_set_backend_settings (g, (char **) settings));
  SHOW_TEXTS (guestfs_get_backend_settings (g));
  SHOW_OWN_TEXT (guestfs_get_backend_setting (g, "force_tcg"));
  SHOW_OWN_TEXT (guestfs_get_backend_setting (g, "none"));
  SHOW (guestfs_set_backend_setting (g, "gdb", "2"));
  SHOW (guestfs_clear_backend_setting (g, "force_tcg"));
  SHOW (guestfs_clear_backend_setting (g, "force_tcg"));
  SHOW_TEXTS (guestfs_get_backend_settings (g));
  SHOW (guestfs_set_tmpdir (g, "/var/tmp"));
  SHOW_OWN_TEXT (guestfs_get_tmpdir (g));
  SHOW_OWN_TEXT (guestfs_canonical_device_name (g, "/dev/vdb3"));
  SHOW_OWN_TEXT (guestfs_canonical_device_name (g, "/dev/hda"));
  SHOW (guestfs_c_pointer (g) == (intptr_t) g);

  version = guestfs_version (g);
  SHOW (version->major);
  guestfs_free_version (version);
}

static void
disks (guestfs_h *g)
{
  struct guestfs_disk_create_argv argv = { .bitmask = 0 };

  SHOW (guestfs_disk_create (g, "raw.img", "raw", 1 << 20, -1));
  SHOW (guestfs_disk_create (g, "full.img", "raw", 1 << 20,
                             GUESTFS_DISK_CREATE_PREALLOCATION, "full", -1));
  argv.bitmask = GUESTFS_DISK_CREATE_BACKINGFILE_BITMASK
    | GUESTFS_DISK_CREATE_BACKINGFORMAT_BITMASK;
  argv.backingfile = "raw.img";
  argv.backingformat = "raw";
  SHOW (guestfs_disk_create_argv (g, "overlay.img", "qcow2", -1, &argv));
  SHOW_OWN_TEXT (guestfs_disk_format (g, "overlay.img"));
  SHOW (guestfs_disk_virtual_size (g, "overlay.img"));
  SHOW (guestfs_disk_has_backing_file (g, "overlay.img"));
  SHOW_OWN_TEXT (guestfs_disk_format (g, "full.img"));
  SHOW (guestfs_disk_virtual_size (g, "full.img"));
  SHOW (guestfs_disk_has_backing_file (g, "full.img"));
  SHOW (guestfs_disk_create (g, "c.img", "raw", -1, -1));
  SHOW (guestfs_disk_create (g, "c.img", "nonsense", 1 << 20, -1));
  SHOW (guestfs_disk_create (g, "c.img", "raw", 1 << 20, 63, "x", -1));

  SHOW (guestfs_add_drive (g, "raw.img"));
  SHOW (guestfs_add_drive_ro (g, "overlay.img"));
  SHOW (guestfs_add_drive_opts (g, "full.img",
                                GUESTFS_ADD_DRIVE_OPTS_READONLY, 1,
                                GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw",
                                GUESTFS_ADD_DRIVE_OPTS_LABEL, "data",
                                GUESTFS_ADD_DRIVE_OPTS_CACHEMODE, "unsafe", -1));
  SHOW (guestfs_add_drive_opts (g, "full.img", GUESTFS_ADD_DRIVE_OPTS_CACHEMODE, "odd", -1));
  SHOW (guestfs_add_drive (g, "missing.img"));
  SHOW (guestfs_mount (g, "/dev/sda", "/"));
  SHOW (guestfs_shutdown (g));
}

/* The functions that are there to try each kind of argument and result. */
static void
bindings (guestfs_h *g)
{
  const char *list[] = { "one", "", "three", NULL };
  struct guestfs_lvm_pv *pv, *copy;
  struct guestfs_lvm_pv_list *pvs;
  char *buffer;
  size_t size;

  SHOW (guestfs_internal_test_set_output (g, "output"));
  SHOW (guestfs_internal_test (g, "str", NULL, (char **) list, 1, -7, INT64_C (1) << 40,
                               "in", "out", "a\0b", 3, -1));
  SHOW (guestfs_internal_test (g, "str", "opt", (char **) list, 0, 7, -1, "in", "out", "", 0,
                               GUESTFS_INTERNAL_TEST_OBOOL, 1,
                               GUESTFS_INTERNAL_TEST_OINT, -2,
                               GUESTFS_INTERNAL_TEST_OINT64, INT64_C (-3),
                               GUESTFS_INTERNAL_TEST_OSTRING, "text",
                               GUESTFS_INTERNAL_TEST_OSTRINGLIST, list, -1));
  SHOW (guestfs_internal_test_only_optargs (g, GUESTFS_INTERNAL_TEST_ONLY_OPTARGS_TEST, 5, -1));
  SHOW (guestfs_internal_test_63_optargs (g, GUESTFS_INTERNAL_TEST_63_OPTARGS_OPT63, 63,
                                          GUESTFS_INTERNAL_TEST_63_OPTARGS_OPT1, 1, -1));
  SHOW (guestfs_internal_test_close_output (g));

  SHOW (guestfs_internal_test_rint (g, "-10"));
  SHOW (guestfs_internal_test_rint64 (g, "1099511627776"));
  SHOW (guestfs_internal_test_rbool (g, "true"));
  SHOW_TEXT (guestfs_internal_test_rconststring (g, "x"));
  SHOW_TEXT (guestfs_internal_test_rconstoptstring (g, "x"));
  SHOW_OWN_TEXT (guestfs_internal_test_rstring (g, "text"));
  SHOW_TEXTS (guestfs_internal_test_rstringlist (g, "4"));
  SHOW_TEXTS (guestfs_internal_test_rhashtable (g, "3"));
  buffer = guestfs_internal_test_rbufferout (g, "bytes", &size);
  printf ("%zu %s\n", size, buffer);
  free (buffer);
  pvs = guestfs_internal_test_rstructlist (g, "5");
  SHOW (pvs->len);
  guestfs_free_lvm_pv_list (pvs);
  pv = guestfs_internal_test_rstruct (g, "unused");
  copy = guestfs_copy_lvm_pv (pv);
  SHOW (guestfs_compare_lvm_pv (pv, copy));
  copy->pv_size++;
  SHOW (guestfs_compare_lvm_pv (pv, copy) < 0);
  guestfs_free_lvm_pv (pv);
  guestfs_free_lvm_pv (copy);
  SHOW (guestfs_internal_test_rinterr (g));
  SHOW (guestfs_internal_test_rint64err (g));
  SHOW (guestfs_internal_test_rboolerr (g));
  SHOW_TEXT (guestfs_internal_test_rconststringerr (g));
  SHOW_OWN_TEXT (guestfs_internal_test_rstringerr (g));
  SHOW_TEXTS (guestfs_internal_test_rstringlisterr (g));
  SHOW_TEXTS (guestfs_internal_test_rhashtableerr (g));
  SHOW (guestfs_internal_test_rstructerr (g) == NULL);
  SHOW (guestfs_internal_test_rstructlisterr (g) == NULL);
}

int
main (void)
{
  guestfs_h *g;
  char *names;
  const char *key;
  int id, errors = 0;
  void *opaque;

  g = guestfs_create_flags (GUESTFS_CREATE_NO_ENVIRONMENT | GUESTFS_CREATE_NO_CLOSE_ON_EXIT);
  if (g == NULL)
    return EXIT_FAILURE;
  guestfs_push_error_handler (g, on_error, &errors);
  SHOW (guestfs_get_error_handler (g, &opaque) == on_error && opaque == &errors);
  SHOW_TEXT (guestfs_last_error (g));
  SHOW (guestfs_last_errno (g));
  properties (g);
  SHOW (errors);
  disks (g);
  SHOW (errors);
  bindings (g);
  SHOW (errors);
  guestfs_push_error_handler (g, NULL, NULL);
  SHOW (guestfs_set_memsize (g, 1));
  guestfs_pop_error_handler (g);
  SHOW (errors);

  /* Whether the number of one that was deleted is used again is up to the library. */
  id = guestfs_set_event_callback (g, on_event, GUESTFS_EVENT_TRACE, 0, NULL);
  SHOW (id >= 0);
  SHOW (guestfs_set_trace (g, 1));
  SHOW (guestfs_set_smp (g, 2));
  SHOW_TEXT (guestfs_get_path (g));
  SHOW (guestfs_get_autosync (g));
  SHOW (guestfs_set_trace (g, 0));
  guestfs_delete_event_callback (g, id);
  SHOW (guestfs_set_event_callback (g, on_event, GUESTFS_EVENT_ENTER, 0, g) >= 0);
  SHOW (guestfs_get_smp (g));
  SHOW (guestfs_get_smp (g));
  SHOW (guestfs_set_event_callback (g, on_event, GUESTFS_EVENT_CLOSE, 0, NULL) >= 0);
  names = guestfs_event_to_string (GUESTFS_EVENT_CLOSE | GUESTFS_EVENT_PROGRESS);
  SHOW_TEXT (names);
  free (names);

  guestfs_set_private (g, "key", (void *) "value");
  guestfs_set_private (g, "gone", (void *) "value");
  guestfs_set_private (g, "gone", NULL);
  SHOW_TEXT (guestfs_get_private (g, "key"));
  SHOW_TEXT (guestfs_get_private (g, "gone"));
  SHOW_TEXT (guestfs_first_private (g, &key));
  SHOW_TEXT (key);
  SHOW (guestfs_next_private (g, &key) == NULL);
  guestfs_close (g);
  puts ("closed");
  return EXIT_SUCCESS;
}
