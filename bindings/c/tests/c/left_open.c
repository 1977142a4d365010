/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Writes to a new disk, or reads from it, and ends without closing the handle. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <guestfs.h>

static void
on_close (guestfs_h *g, void *opaque, uint64_t event, int event_handle, int flags,
          const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  (void) g; (void) opaque; (void) event; (void) event_handle; (void) flags; (void) buf;
  (void) buf_len; (void) array; (void) array_len;
  puts ("closed");
}

int
main (int argc, char *argv[])
{
  guestfs_h *g = guestfs_create ();
  int writes;
  char *text;

  if (g == NULL || argc != 3)
    return EXIT_FAILURE;
  writes = strcmp (argv[2], "write") == 0;
  guestfs_set_event_callback (g, on_close, GUESTFS_EVENT_CLOSE, 0, NULL);
  if (writes && guestfs_disk_create (g, argv[1], "raw", 64 << 20, -1) == -1)
    return EXIT_FAILURE;
  if (guestfs_add_drive_opts (g, argv[1], GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw", -1) == -1
      || guestfs_launch (g) == -1
      || (writes && guestfs_mkfs (g, "ext4", "/dev/sda") == -1)
      || guestfs_mount (g, "/dev/sda", "/") == -1
      || (writes && guestfs_write (g, "/file", "text\n", 5) == -1))
    return EXIT_FAILURE;
  if (!writes) {
    text = guestfs_cat (g, "/file");
    fputs (text == NULL ? "nothing\n" : text, stdout);
    free (text);
  }
  exit (EXIT_SUCCESS);
}
