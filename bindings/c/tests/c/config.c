/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything that needs no appliance: handles, errors, events, private data, options. */

#define GUESTFS_NO_WARN_DEPRECATED 1

#include <sys/stat.h>

#include <guestfs.h>

#include "check.h"

struct record {
  int count;
  guestfs_h *g;
  uint64_t event;
  int id;
  char text[256];
};

static void
on_error (guestfs_h *g, void *opaque, const char *msg)
{
  struct record *record = opaque;

  record->count++;
  record->g = g;
  snprintf (record->text, sizeof record->text, "%s", msg);
}

static void
on_event (guestfs_h *g, void *opaque, uint64_t event, int event_handle, int flags,
          const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  struct record *record = opaque;

  record->count++;
  record->g = g;
  record->event = event;
  record->id = event_handle;
  snprintf (record->text, sizeof record->text, "%.*s", (int) buf_len, buf ? buf : "");
  CHECK (flags == 0);
  CHECK (array == NULL && array_len == 0);
  CHECK (buf == NULL || buf[buf_len] == '\0');
  /* The handle may be used, also while it is being closed. */
  CHECK (guestfs_get_private (g, "none") == NULL);
}

static void
on_close (guestfs_h *g, void *opaque)
{
  (void) g;
  puts (opaque);
}

static void
test_create (void)
{
  guestfs_h *g;
  char pointer[32];

  errno = 0;
  CHECK (guestfs_create_flags (64) == NULL);
  CHECK (errno == EINVAL);

  setenv ("LIBGUESTFS_PATH", "/from/environment", 1);
  g = guestfs_create_flags (GUESTFS_CREATE_NO_ENVIRONMENT);
  CHECK (strcmp (guestfs_get_path (g), "/from/environment") != 0);
  guestfs_close (g);
  g = guestfs_create ();
  CHECK_TEXT (guestfs_get_path (g), "/from/environment");
  snprintf (pointer, sizeof pointer, "%p", (void *) g);
  CHECK (guestfs_c_pointer (g) == (int64_t) strtoll (pointer, NULL, 16));
  guestfs_close (g);
  guestfs_close (NULL);

  errno = 0;
  CHECK (guestfs_get_path (NULL) == NULL);
  CHECK (errno == EINVAL);
}

static void
test_errors (guestfs_h *g)
{
  struct record first = { 0 }, second = { 0 };
  guestfs_error_handler_cb print;
  const char *text;
  void *opaque = &first;

  CHECK (guestfs_last_error (g) == NULL);
  CHECK (guestfs_last_errno (g) == 0);

  print = guestfs_get_error_handler (g, &opaque);
  CHECK (print != NULL && opaque == NULL);
  CHECK (guestfs_disk_format (g, NULL) == NULL); /* on stderr */
  CHECK_TEXT (guestfs_last_error (g), "disk_format: filename: argument is NULL");
  CHECK (guestfs_last_errno (g) == EINVAL);

  guestfs_set_error_handler (g, on_error, &first);
  CHECK (guestfs_get_error_handler (g, &opaque) == on_error && opaque == &first);
  CHECK (guestfs_disk_virtual_size (g, "missing") == -1);
  CHECK (first.count == 1 && first.g == g);
  CHECK_TEXT (first.text, "disk_virtual_size: missing: No such file or directory");
  CHECK (guestfs_last_errno (g) == ENOENT);
  text = guestfs_last_error (g);
  CHECK (guestfs_last_error (g) == text);

  guestfs_push_error_handler (g, on_error, &second);
  CHECK (guestfs_mount (g, "/dev/sda", "/") == -1);
  CHECK (first.count == 1 && second.count == 1);
  guestfs_push_error_handler (g, NULL, NULL);
  CHECK (guestfs_mount (g, "/dev/sda", "/") == -1);
  guestfs_pop_error_handler (g);
  guestfs_pop_error_handler (g);
  CHECK (first.count == 1 && second.count == 1);
  CHECK (guestfs_get_error_handler (g, &opaque) == on_error && opaque == &first);
  guestfs_pop_error_handler (g);
  guestfs_pop_error_handler (g);
  CHECK (guestfs_get_error_handler (g, &opaque) == print && opaque == NULL);

  CHECK (guestfs_get_out_of_memory_handler (g) == abort);
  guestfs_set_out_of_memory_handler (g, NULL);
  CHECK (guestfs_get_out_of_memory_handler (g) == NULL);
}

static void
test_events (guestfs_h *g)
{
  struct record record = { 0 };
  char *names;
  int id;

  CHECK (guestfs_set_event_callback (g, on_event, GUESTFS_EVENT_ALL, 1, &record) == -1);
  CHECK (guestfs_set_event_callback (g, NULL, GUESTFS_EVENT_ALL, 0, &record) == -1);
  id = guestfs_set_event_callback (g, on_event, GUESTFS_EVENT_ENTER, 0, &record);
  CHECK (id >= 0);
  guestfs_get_path (g);
  CHECK (record.count == 1 && record.g == g && record.id == id);
  CHECK (record.event == GUESTFS_EVENT_ENTER);
  CHECK_TEXT (record.text, "get_path");
  guestfs_delete_event_callback (g, id);
  guestfs_delete_event_callback (g, 4711);
  guestfs_get_path (g);
  CHECK (record.count == 1);

  id = guestfs_set_event_callback (g, on_event, GUESTFS_EVENT_TRACE, 0, &record);
  guestfs_set_trace (g, 1);
  guestfs_get_path (g);
  CHECK_TEXT (record.text, "get_path = \"/from/environment\"");
  guestfs_set_trace (g, 0);
  guestfs_delete_event_callback (g, id);

  names = guestfs_event_to_string (GUESTFS_EVENT_CLOSE | GUESTFS_EVENT_PROGRESS);
  CHECK_TEXT (names, "close,progress");
  free (names);
}

static void
test_close_event (void)
{
  struct record record = { 0 };
  guestfs_h *g = guestfs_create ();

  guestfs_set_error_handler (g, on_error, &record);
  guestfs_set_event_callback (g, on_event, GUESTFS_EVENT_CLOSE, 0, &record);
  /* Only the last of the old kind counts. */
  guestfs_set_close_callback (g, on_close, (void *) "replaced");
  guestfs_set_close_callback (g, on_close, (void *) "deleted");
  guestfs_set_close_callback (g, NULL, NULL);
  guestfs_close (g);
  CHECK (record.count == 1 && record.g == g && record.event == GUESTFS_EVENT_CLOSE);
}

static void
test_private (guestfs_h *g)
{
  const char *key = NULL;
  int one, two;

  CHECK (guestfs_get_private (g, "one") == NULL);
  CHECK (guestfs_first_private (g, &key) == NULL);
  guestfs_set_private (g, "one", &one);
  guestfs_set_private (g, "two", &one);
  guestfs_set_private (g, "two", &two);
  guestfs_set_private (g, "three", &one);
  guestfs_set_private (g, "three", NULL);
  CHECK (guestfs_get_private (g, "two") == &two);
  CHECK (guestfs_first_private (g, &key) == &one);
  CHECK_TEXT (key, "one");
  CHECK (guestfs_next_private (g, &key) == &two);
  CHECK_TEXT (key, "two");
  CHECK (guestfs_next_private (g, &key) == NULL);
}

static void
test_results (guestfs_h *g)
{
  const char *settings[] = { "a=1", "b", NULL };
  const char *path;
  char **texts, *text;
  struct guestfs_version *version, *copy;

  path = guestfs_get_path (g);
  CHECK (guestfs_get_path (g) == path);
  CHECK (guestfs_set_path (g, "/elsewhere") == 0);
  CHECK_TEXT (guestfs_get_path (g), "/elsewhere");
  CHECK (guestfs_get_append (g) == NULL);
  CHECK (guestfs_set_append (g, "quiet") == 0);
  CHECK_TEXT (guestfs_get_append (g), "quiet");
  CHECK (guestfs_set_append (g, NULL) == 0);
  CHECK (guestfs_get_append (g) == NULL);

  CHECK (guestfs_set_autosync (g, 0) == 0 && guestfs_get_autosync (g) == 0);
  CHECK (guestfs_set_autosync (g, 2) == 0 && guestfs_get_autosync (g) == 1);
  CHECK (guestfs_set_memsize (g, 512) == 0 && guestfs_get_memsize (g) == 512);

  CHECK (guestfs_set_backend_settings (g, (char *const *) settings) == 0);
  texts = guestfs_get_backend_settings (g);
  CHECK (texts != NULL && texts[2] == NULL);
  CHECK_TEXT (texts[0], "a=1");
  CHECK_TEXT (texts[1], "b");
  free_texts (texts);
  CHECK (guestfs_set_backend_settings (g, NULL) == -1);
  text = guestfs_get_backend_setting (g, "a");
  CHECK_TEXT (text, "1");
  free (text);

  version = guestfs_version (g);
  CHECK (version != NULL && version->major == 1 && version->extra != NULL);
  copy = guestfs_copy_version (version);
  CHECK (guestfs_compare_version (version, copy) == 0);
  CHECK (version->extra != copy->extra);
  copy->minor--;
  CHECK (guestfs_compare_version (copy, version) < 0);
  CHECK (guestfs_compare_version (version, copy) > 0);
  guestfs_free_version (version);
  guestfs_free_version (copy);
  guestfs_free_version (NULL);
  guestfs_free_version_list (NULL);
}

static int
add_drive (guestfs_h *g, const char *filename, ...)
{
  va_list args;
  int r;

  va_start (args, filename);
  r = guestfs_add_drive_opts_va (g, filename, args);
  va_end (args);
  return r;
}

static void
test_options (guestfs_h *g)
{
  struct guestfs_disk_create_argv argv;
  struct stat st;
  char *format;

  CHECK (guestfs_disk_create (g, "a.img", "raw", 1048576, -1) == 0);
  CHECK (stat ("a.img", &st) == 0 && st.st_size == 1048576);
  CHECK (guestfs_disk_create (g, "b.img", "raw", 1048576,
                              GUESTFS_DISK_CREATE_PREALLOCATION, "full", -1) == 0);
  CHECK (stat ("b.img", &st) == 0 && st.st_blocks >= 2048);
  CHECK (guestfs_disk_virtual_size (g, "b.img") == 1048576);
  format = guestfs_disk_format (g, "a.img");
  CHECK_TEXT (format, "raw");
  free (format);

  guestfs_push_error_handler (g, NULL, NULL);
  CHECK (guestfs_disk_create (g, "c.img", "raw", 1048576, 63, "x", -1) == -1);
  CHECK_TEXT (guestfs_last_error (g), "disk_create: option 63: does not exist");
  CHECK (guestfs_last_errno (g) == EINVAL);
  CHECK (guestfs_disk_create (g, "c.img", "raw", 1048576,
                              GUESTFS_DISK_CREATE_PREALLOCATION, "off",
                              GUESTFS_DISK_CREATE_PREALLOCATION, "full", -1) == -1);
  CHECK_TEXT (guestfs_last_error (g), "disk_create: preallocation: option is given twice");
  CHECK (guestfs_disk_create (g, "c.img", "raw", 1048576,
                              GUESTFS_DISK_CREATE_PREALLOCATION, NULL, -1) == -1);
  CHECK_TEXT (guestfs_last_error (g), "disk_create: preallocation: argument is NULL");

  /* Fields whose bit is not set are never looked at. */
  memset (&argv, 0xff, sizeof argv);
  CHECK (guestfs_disk_create_argv (g, "c.img", "raw", 1048576, &argv) == -1);
  CHECK_TEXT (guestfs_last_error (g), "disk_create: option 5: does not exist");
  CHECK (stat ("c.img", &st) == -1);
  argv.bitmask = 0;
  CHECK (guestfs_disk_create_argv (g, "c.img", "raw", 1048576, &argv) == 0);
  CHECK (guestfs_disk_create_argv (g, "d.img", "raw", 1048576, NULL) == 0);
  guestfs_pop_error_handler (g);

  /* The three forms of a function that had no options once. */
  CHECK (guestfs_add_drive (g, "a.img") == 0);
  CHECK (guestfs_add_drive_opts (g, "b.img", GUESTFS_ADD_DRIVE_OPTS_READONLY, 1,
                                 GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw", -1) == 0);
  CHECK (add_drive (g, "c.img", GUESTFS_ADD_DRIVE_OPTS_LABEL, "data", -1) == 0);
}

int
main (void)
{
  /* Static, so that it is not lost when the function returns. */
  static guestfs_h *kept;
  guestfs_h *g, *forgotten;

  test_create ();
  g = guestfs_create ();
  if (g == NULL)
    return EXIT_FAILURE;
  test_errors (g);
  guestfs_push_error_handler (g, NULL, NULL);
  test_events (g);
  guestfs_pop_error_handler (g);
  test_close_event ();
  test_private (g);
  guestfs_push_error_handler (g, NULL, NULL);
  test_results (g);
  guestfs_pop_error_handler (g);
  test_options (g);
  guestfs_close (g);

  if (failures == 0)
    puts ("ok");
  forgotten = guestfs_create ();
  guestfs_set_close_callback (forgotten, on_close, (void *) "closed at exit");
  kept = guestfs_create_flags (GUESTFS_CREATE_NO_CLOSE_ON_EXIT);
  guestfs_set_close_callback (kept, on_close, (void *) "closed although it should not be");
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
