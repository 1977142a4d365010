/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes a disk image with one partition, a filesystem and a file in it.
 *
 *   cc create-disk.c -o create-disk $(pkg-config libguestfs --cflags --libs)
 *   ./create-disk disk.img
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <guestfs.h>

#define SIZE (INT64_C (512) << 20)

int
main (int argc, char *argv[])
{
  static const char greeting[] = "Hello from outside.\n";
  guestfs_h *g;

  if (argc != 2) {
    fprintf (stderr, "usage: %s DISK\n", argv[0]);
    exit (EXIT_FAILURE);
  }

  g = guestfs_create ();
  if (g == NULL) {
    perror ("guestfs_create");
    exit (EXIT_FAILURE);
  }

  /* Errors are printed by the default error handler, so here the program only ends. */

  /* A sparse file of raw format; an existing one would be overwritten. */
  if (guestfs_disk_create (g, argv[1], "raw", SIZE, -1) == -1)
    exit (EXIT_FAILURE);

  /* The format is given, so that nobody has to guess it from the content. */
  if (guestfs_add_drive_opts (g, argv[1],
                              GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw",
                              -1) == -1)
    exit (EXIT_FAILURE);

  if (guestfs_launch (g) == -1)
    exit (EXIT_FAILURE);

  /* The first disk that was added is /dev/sda. */
  if (guestfs_part_disk (g, "/dev/sda", "gpt") == -1)
    exit (EXIT_FAILURE);
  if (guestfs_mkfs_opts (g, "ext4", "/dev/sda1",
                         GUESTFS_MKFS_OPTS_LABEL, "DATA",
                         -1) == -1)
    exit (EXIT_FAILURE);

  if (guestfs_mount (g, "/dev/sda1", "/") == -1)
    exit (EXIT_FAILURE);
  if (guestfs_mkdir_p (g, "/some/directory") == -1)
    exit (EXIT_FAILURE);
  if (guestfs_write (g, "/some/directory/greeting", greeting, strlen (greeting)) == -1)
    exit (EXIT_FAILURE);

  /* Closing would write everything to the disk as well, but could not say whether that worked. */
  if (guestfs_shutdown (g) == -1)
    exit (EXIT_FAILURE);
  guestfs_close (g);

  exit (EXIT_SUCCESS);
}
