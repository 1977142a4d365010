/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Large results, as a program in C has them.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <guestfs.h>

/* The number of strings in a list, which are freed. */
static size_t
count (char **list)
{
  size_t n;

  for (n = 0; list[n] != NULL; n++)
    free (list[n]);
  free (list);
  return n;
}

static void *
checked (void *result)
{
  if (result == NULL)
    exit (EXIT_FAILURE);
  return result;
}

int
main (int argc, char *argv[])
{
  guestfs_h *g = guestfs_create ();
  struct guestfs_dirent_list *entries;
  struct guestfs_statns_list *stats;
  char **names, *content;
  size_t size;

  if (argc != 2 || g == NULL)
    return EXIT_FAILURE;
  if (guestfs_add_drive_opts (g, argv[1],
                              GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw",
                              GUESTFS_ADD_DRIVE_OPTS_READONLY, 1, -1) == -1
      || guestfs_launch (g) == -1
      || guestfs_mount_ro (g, "/dev/sda", "/") == -1)
    return EXIT_FAILURE;

  names = checked (guestfs_ls (g, "/many"));
  stats = checked (guestfs_lstatnslist (g, "/many", names));
  printf ("%zu ", count (names));
  printf ("%zu ", count (checked (guestfs_find (g, "/many"))));
  entries = checked (guestfs_readdir (g, "/many"));
  printf ("%u %u ", entries->len, stats->len);
  guestfs_free_dirent_list (entries);
  guestfs_free_statns_list (stats);
  printf ("%zu ", count (checked (guestfs_glob_expand (g, "/many/*"))));

  content = checked (guestfs_read_file (g, "/large", &size));
  printf ("%zu ", size);
  free (content);
  printf ("%zu\n", count (checked (guestfs_read_lines (g, "/large"))));
  guestfs_close (g);
  return EXIT_SUCCESS;
}
