/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists the filesystems of a disk image, or prints a file of one of them.
 *
 *   ./inspect-disk disk.img
 *   ./inspect-disk disk.img /dev/sda1 /etc/hostname
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <guestfs.h>

static int list_filesystems (guestfs_h *g);
static int cat (guestfs_h *g, const char *mountable, const char *path);

int
main (int argc, char *argv[])
{
  guestfs_h *g;
  int r;

  if (argc != 2 && argc != 4) {
    fprintf (stderr, "usage: %s DISK [FILESYSTEM FILE]\n", argv[0]);
    exit (EXIT_FAILURE);
  }

  g = guestfs_create ();
  if (g == NULL) {
    perror ("guestfs_create");
    exit (EXIT_FAILURE);
  }

  /* Read-only: the image stays as it is, whatever its filesystems do when they are mounted. */
  if (guestfs_add_drive_opts (g, argv[1],
                              GUESTFS_ADD_DRIVE_OPTS_READONLY, 1,
                              -1) == -1)
    exit (EXIT_FAILURE);
  if (guestfs_launch (g) == -1)
    exit (EXIT_FAILURE);

  r = argc == 2 ? list_filesystems (g) : cat (g, argv[2], argv[3]);

  guestfs_close (g);
  exit (r == -1 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int
list_filesystems (guestfs_h *g)
{
  /* Keys and values in turn. */
  char **filesystems = guestfs_list_filesystems (g);
  size_t i;

  if (filesystems == NULL)
    return -1;

  for (i = 0; filesystems[i] != NULL; i += 2) {
    char *label = NULL;

    /* Swap space and the like have no label to ask for. */
    if (strcmp (filesystems[i+1], "unknown") != 0 && strcmp (filesystems[i+1], "swap") != 0)
      label = guestfs_vfs_label (g, filesystems[i]);
    printf ("%s: %s, label \"%s\"\n", filesystems[i], filesystems[i+1], label ? label : "");
    free (label);
    free (filesystems[i]);
    free (filesystems[i+1]);
  }
  free (filesystems);
  return 0;
}

static int
cat (guestfs_h *g, const char *mountable, const char *path)
{
  char *content;
  size_t size;

  if (guestfs_mount_ro (g, mountable, "/") == -1)
    return -1;

  /* That the file may be missing is no surprise, and not worth a message of the library. */
  guestfs_push_error_handler (g, NULL, NULL);
  content = guestfs_read_file (g, path, &size);
  guestfs_pop_error_handler (g);
  if (content == NULL) {
    if (guestfs_last_errno (g) == ENOENT)
      fprintf (stderr, "%s has no %s\n", mountable, path);
    else
      fprintf (stderr, "%s\n", guestfs_last_error (g));
    return -1;
  }

  fwrite (content, 1, size, stdout);
  free (content);
  return 0;
}
