/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a program must not do, or would think twice about: arguments that are NULL, options that do
 * not exist, handles that are used, closed and changed from inside their own callbacks.  Each is an
 * error or does what it says; none may harm the process.
 */

#define GUESTFS_NO_WARN_DEPRECATED 1

#include <guestfs.h>

#include "check.h"

static guestfs_h *
quiet (void)
{
  guestfs_h *g = guestfs_create ();

  if (g == NULL)
    exit (EXIT_FAILURE);
  guestfs_set_error_handler (g, NULL, NULL);
  return g;
}

#define CHECK_REFUSED(g, call, text)            \
  do {                                          \
    CHECK (call);                               \
    CHECK_TEXT (guestfs_last_error (g), text);  \
    CHECK (guestfs_last_errno (g) == EINVAL);   \
  } while (0)

/* Each kind of result, and each function that has no result to tell by. */
static void
test_null_handle (void)
{
  struct guestfs_disk_create_argv argv = { .bitmask = 0 };
  size_t size = 7;
  void *opaque;
  const char *key;

#define CHECK_NULL_HANDLE(call)                 \
  do {                                          \
    errno = 0;                                  \
    CHECK (call);                               \
    CHECK (errno == EINVAL);                    \
  } while (0)

  CHECK_NULL_HANDLE (guestfs_launch (NULL) == -1);
  CHECK_NULL_HANDLE (guestfs_is_config (NULL) == -1);
  CHECK_NULL_HANDLE (guestfs_disk_virtual_size (NULL, "x") == -1);
  CHECK_NULL_HANDLE (guestfs_get_path (NULL) == NULL);
  CHECK_NULL_HANDLE (guestfs_get_append (NULL) == NULL);
  CHECK_NULL_HANDLE (guestfs_cat (NULL, "/x") == NULL);
  CHECK_NULL_HANDLE (guestfs_ls (NULL, "/x") == NULL);
  CHECK_NULL_HANDLE (guestfs_list_filesystems (NULL) == NULL);
  CHECK_NULL_HANDLE (guestfs_version (NULL) == NULL);
  CHECK_NULL_HANDLE (guestfs_part_list (NULL, "/dev/sda") == NULL);
  CHECK_NULL_HANDLE (guestfs_read_file (NULL, "/x", &size) == NULL);
  CHECK (size == 7);
  CHECK_NULL_HANDLE (guestfs_add_drive_opts (NULL, "x", GUESTFS_ADD_DRIVE_OPTS_READONLY, 1, -1)
                     == -1);
  CHECK_NULL_HANDLE (guestfs_add_drive_opts (NULL, "x", 63, 1, -1) == -1);
  CHECK_NULL_HANDLE (guestfs_disk_create_argv (NULL, "x", "raw", 1, &argv) == -1);
  CHECK_NULL_HANDLE (guestfs_user_cancel (NULL) == -1);
  CHECK_NULL_HANDLE (guestfs_set_event_callback (NULL, NULL, 0, 0, NULL) == -1);

  CHECK (guestfs_last_error (NULL) == NULL);
  CHECK (guestfs_last_errno (NULL) == 0);
  guestfs_set_error_handler (NULL, NULL, NULL);
  guestfs_push_error_handler (NULL, NULL, NULL);
  guestfs_pop_error_handler (NULL);
  CHECK (guestfs_get_error_handler (NULL, &opaque) == NULL);
  guestfs_set_out_of_memory_handler (NULL, NULL);
  CHECK (guestfs_get_out_of_memory_handler (NULL) == NULL);
  guestfs_delete_event_callback (NULL, 1);
  guestfs_set_close_callback (NULL, NULL, NULL);
  guestfs_set_private (NULL, "key", &size);
  CHECK (guestfs_get_private (NULL, "key") == NULL);
  CHECK (guestfs_first_private (NULL, &key) == NULL);
  CHECK (guestfs_next_private (NULL, &key) == NULL);
  guestfs_close (NULL);
}

static void
test_null_arguments (void)
{
  guestfs_h *g = quiet ();
  struct guestfs_mkfs_opts_argv mkfs;
  struct guestfs_add_drive_opts_argv drive;

  /* By name, also where the function could not be carried out now. */
  CHECK_REFUSED (g, guestfs_add_drive (g, NULL) == -1, "add_drive: filename: argument is NULL");
  CHECK_REFUSED (g, guestfs_cat (g, NULL) == NULL, "cat: path: argument is NULL");
  CHECK_REFUSED (g, guestfs_mount (g, "/dev/sda", NULL) == -1,
                 "mount: mountpoint: argument is NULL");
  CHECK_REFUSED (g, guestfs_upload (g, NULL, "/x") == -1, "upload: filename: argument is NULL");
  CHECK_REFUSED (g, guestfs_write (g, "/x", NULL, 1) == -1, "write: content: argument is NULL");
  CHECK_REFUSED (g, guestfs_command (g, NULL) == NULL, "command: arguments: argument is NULL");
  CHECK_REFUSED (g, guestfs_read_file (g, "/x", NULL) == NULL,
                 "read_file: size_r: argument is NULL");
  CHECK_REFUSED (g, guestfs_set_backend_settings (g, NULL) == -1,
                 "set_backend_settings: settings: argument is NULL");
  guestfs_set_private (g, NULL, g);
  CHECK (guestfs_get_private (g, NULL) == NULL);
  CHECK (guestfs_first_private (g, NULL) == NULL);
  CHECK (guestfs_next_private (g, NULL) == NULL);
  CHECK (guestfs_get_error_handler (g, NULL) == NULL);

  /* Text that may be NULL. */
  CHECK (guestfs_set_append (g, NULL) == 0);
  CHECK (guestfs_set_path (g, NULL) == 0);

  memset (&mkfs, 0xff, sizeof mkfs);
  mkfs.bitmask = GUESTFS_MKFS_OPTS_LABEL_BITMASK;
  mkfs.label = NULL;
  CHECK_REFUSED (g, guestfs_mkfs_opts_argv (g, "ext4", "/dev/sda", &mkfs) == -1,
                 "mkfs: label: argument is NULL");
  mkfs.bitmask = UINT64_C (1) << 63;
  CHECK_REFUSED (g, guestfs_mkfs_opts_argv (g, "ext4", "/dev/sda", &mkfs) == -1,
                 "mkfs: option 63: does not exist");
  memset (&drive, 0xff, sizeof drive);
  drive.bitmask = GUESTFS_ADD_DRIVE_OPTS_SERVER_BITMASK;
  drive.server = NULL;
  CHECK_REFUSED (g, guestfs_add_drive_opts_argv (g, "x", &drive) == -1,
                 "add_drive: server: argument is NULL");
  CHECK_REFUSED (g, guestfs_mkfs_opts (g, "ext4", "/dev/sda", GUESTFS_MKFS_OPTS_LABEL, "a",
                                       GUESTFS_MKFS_OPTS_LABEL, "b", -1) == -1,
                 "mkfs: label: option is given twice");
  guestfs_close (g);
}

static int calls, again;

/* All of this happens inside guestfs_close. */
static void
on_close (guestfs_h *g, void *opaque, uint64_t event, int event_handle, int flags,
          const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  struct guestfs_version *version;

  (void) flags; (void) buf; (void) buf_len; (void) array; (void) array_len;
  calls++;
  CHECK (event == GUESTFS_EVENT_CLOSE && opaque == &calls);
  version = guestfs_version (g);
  CHECK (version != NULL);
  guestfs_free_version (version);
  CHECK (guestfs_disk_format (g, NULL) == NULL);
  CHECK_TEXT (guestfs_last_error (g), "disk_format: filename: argument is NULL");
  CHECK (guestfs_is_config (g) == 1);
  guestfs_set_private (g, "key", &calls);
  CHECK (guestfs_set_event_callback (g, on_close, GUESTFS_EVENT_CLOSE, 0, &again) >= 0);
  guestfs_delete_event_callback (g, event_handle);
  guestfs_close (g);
  CHECK (guestfs_get_private (g, "key") == &calls);
}

static void
test_in_close (void)
{
  guestfs_h *g = quiet ();

  guestfs_set_event_callback (g, on_close, GUESTFS_EVENT_CLOSE, 0, &calls);
  guestfs_close (g);
  CHECK (calls == 1);
}

struct entered {
  int count;
  int closed;
};

/* Closes the handle whose function is at work. */
static void
on_enter (guestfs_h *g, void *opaque, uint64_t event, int event_handle, int flags,
          const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  struct entered *entered = opaque;

  (void) event_handle; (void) flags; (void) buf; (void) buf_len; (void) array; (void) array_len;
  if (event == GUESTFS_EVENT_CLOSE) {
    entered->closed++;
    return;
  }
  if (entered->count++ == 0) {
    guestfs_close (g);
    CHECK (entered->closed == 0);
    CHECK (guestfs_set_memsize (g, 1024) == 0);
  }
}

static void
on_error (guestfs_h *g, void *opaque, const char *text)
{
  (void) text;
  ++*(int *) opaque;
  guestfs_close (g);
}

static void
test_closed_in_call (void)
{
  struct entered entered = { 0 };
  guestfs_h *g = quiet ();
  int errors = 0;

  guestfs_set_event_callback (g, on_enter, GUESTFS_EVENT_ENTER | GUESTFS_EVENT_CLOSE, 0, &entered);
  CHECK (guestfs_set_smp (g, 2) == 0);
  CHECK (entered.count == 2 && entered.closed == 1);

  g = quiet ();
  guestfs_set_error_handler (g, on_error, &errors);
  CHECK (guestfs_disk_virtual_size (g, "missing") == -1);
  g = quiet ();
  guestfs_set_error_handler (g, on_error, &errors);
  CHECK (guestfs_mkfs_opts (g, "ext4", "/dev/sda", 63, -1) == -1);
  CHECK (errors == 2);
}

static int first, second;

static void
on_trace (guestfs_h *g, void *opaque, uint64_t event, int event_handle, int flags,
          const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  (void) event; (void) event_handle; (void) flags; (void) buf; (void) buf_len;
  (void) array; (void) array_len;
  ++*(int *) opaque;
  if (opaque == &first) {
    /* Itself, then the one after it, which is not called any more. */
    guestfs_delete_event_callback (g, event_handle);
    guestfs_delete_event_callback (g, event_handle + 1);
    guestfs_delete_event_callback (g, -1);
  }
}

static void
test_deleted_in_callback (void)
{
  guestfs_h *g = quiet ();

  guestfs_set_event_callback (g, on_trace, GUESTFS_EVENT_ENTER, 0, &first);
  guestfs_set_event_callback (g, on_trace, GUESTFS_EVENT_ENTER, 0, &second);
  guestfs_get_path (g);
  guestfs_get_path (g);
  CHECK (first == 1 && second == 0);
  guestfs_close (g);
}

/* Functions inside callbacks of functions inside callbacks. */
static void
on_depth (guestfs_h *g, void *opaque, uint64_t event, int event_handle, int flags,
          const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  int *depth = opaque;

  (void) event; (void) event_handle; (void) flags; (void) buf; (void) buf_len;
  (void) array; (void) array_len;
  if (++*depth < 50) {
    CHECK (guestfs_get_path (g) != NULL);
    CHECK (guestfs_disk_virtual_size (g, "missing") == -1);
    CHECK_ERROR (g, "missing: No such file or directory");
    CHECK (guestfs_launch (NULL) == -1);
  }
}

static void
test_reentrancy (void)
{
  guestfs_h *g = quiet ();
  int depth = 0;

  guestfs_set_event_callback (g, on_depth, GUESTFS_EVENT_ENTER, 0, &depth);
  CHECK (guestfs_get_path (g) != NULL);
  CHECK (depth >= 50);
  guestfs_close (g);
}

static guestfs_h *left;

static void
at_exit (guestfs_h *g, void *opaque, uint64_t event, int event_handle, int flags,
         const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  (void) event; (void) event_handle; (void) flags; (void) buf; (void) buf_len;
  (void) array; (void) array_len;
  /* What the thread had is gone; the handle does not need it. */
  CHECK (guestfs_disk_format (g, NULL) == NULL);
  CHECK_TEXT (guestfs_last_error (g), "disk_format: filename: argument is NULL");
  guestfs_close (g);
  if (failures == 0)
    puts (opaque);
}

static void
die (guestfs_h *g, void *opaque, const char *text)
{
  (void) g; (void) text;
  guestfs_set_error_handler (g, NULL, NULL);
  exit (*(int *) opaque);
}

int
main (void)
{
  int status;

  test_null_handle ();
  test_null_arguments ();
  test_in_close ();
  test_closed_in_call ();
  test_deleted_in_callback ();
  test_reentrancy ();

  /* What many programs do when there is an error. */
  status = failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
  left = quiet ();
  guestfs_set_event_callback (left, at_exit, GUESTFS_EVENT_CLOSE, 0, (void *) "closed at exit");
  guestfs_set_error_handler (left, die, &status);
  guestfs_disk_virtual_size (left, "missing");
  puts ("not reached");
}
