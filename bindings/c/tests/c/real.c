/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The whole way: a new disk is partitioned, formatted, written to, and read again. */

#include <guestfs.h>

#include "check.h"

static int progress;

static void
on_event (guestfs_h *g, void *opaque, uint64_t event, int event_handle, int flags,
          const char *buf, size_t buf_len, const uint64_t *array, size_t array_len)
{
  (void) g;
  (void) event_handle;
  (void) flags;
  (void) buf;
  (void) buf_len;
  CHECK (event == GUESTFS_EVENT_LAUNCH_DONE || event == GUESTFS_EVENT_PROGRESS);
  if (event == GUESTFS_EVENT_PROGRESS)
    CHECK (array != NULL && array_len == 4);
  ++*(int *) opaque;
}

int
main (int argc, char *argv[])
{
  struct guestfs_partition_list *partitions;
  struct guestfs_statns *stat;
  char **texts, *text;
  guestfs_h *g;
  size_t size;

  if (argc != 2) {
    fprintf (stderr, "usage: %s DISK\n", argv[0]);
    return 2;
  }
  g = guestfs_create ();
  if (g == NULL)
    return EXIT_FAILURE;
  guestfs_set_event_callback (g, on_event, GUESTFS_EVENT_LAUNCH_DONE | GUESTFS_EVENT_PROGRESS, 0,
                              &progress);

  if (guestfs_disk_create (g, argv[1], "raw", 256 * 1024 * 1024, -1) == -1
      || guestfs_add_drive_opts (g, argv[1], GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw", -1) == -1
      || guestfs_launch (g) == -1)
    return EXIT_FAILURE;
  CHECK (progress >= 1);

  CHECK (guestfs_part_disk (g, "/dev/sda", "mbr") == 0);
  partitions = guestfs_part_list (g, "/dev/sda");
  CHECK (partitions != NULL && partitions->len == 1);
  CHECK (partitions != NULL && partitions->val[0].part_num == 1);
  guestfs_free_partition_list (partitions);

  CHECK (guestfs_mkfs_opts (g, "ext4", "/dev/sda1", GUESTFS_MKFS_OPTS_LABEL, "ROOT", -1) == 0);
  texts = guestfs_list_filesystems (g);
  CHECK (texts != NULL && texts[2] == NULL);
  CHECK_TEXT (texts[0], "/dev/sda1");
  CHECK_TEXT (texts[1], "ext4");
  free_texts (texts);
  text = guestfs_vfs_label (g, "/dev/sda1");
  CHECK_TEXT (text, "ROOT");
  free (text);

  CHECK (guestfs_mount (g, "/dev/sda1", "/") == 0);
  CHECK (guestfs_write (g, "/a", "a\0b", 3) == 0);
  text = guestfs_read_file (g, "/a", &size);
  CHECK (text != NULL && size == 3 && memcmp (text, "a\0b", 3) == 0);
  free (text);
  CHECK (guestfs_write (g, "/b", "text\n", 5) == 0);
  text = guestfs_cat (g, "/b");
  CHECK_TEXT (text, "text\n");
  free (text);
  CHECK (guestfs_touch (g, "/empty") == 0);
  text = guestfs_read_file (g, "/empty", &size);
  CHECK (text != NULL && size == 0);
  free (text);

  stat = guestfs_statns (g, "/b");
  CHECK (stat != NULL && stat->st_size == 5);
  guestfs_free_statns (stat);
  texts = guestfs_ls (g, "/");
  CHECK (texts != NULL);
  CHECK_TEXT (texts[0], "a");
  free_texts (texts);

  guestfs_push_error_handler (g, NULL, NULL);
  CHECK (guestfs_cat (g, "/missing") == NULL);
  CHECK (guestfs_last_errno (g) == ENOENT);
  CHECK (strstr (guestfs_last_error (g), "/missing") != NULL);
  guestfs_pop_error_handler (g);

  CHECK (guestfs_shutdown (g) == 0);
  guestfs_close (g);
  if (failures == 0)
    puts ("ok");
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
