/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A disk is made and used: lines that must be the same whichever header this was compiled with, and
 * whichever library it runs with.  Calls whose messages have changed since are not here: the library
 * and the appliance of libguestfs are of one version.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <guestfs.h>

#include "show.h"

#define DO(call)                                        \
  do {                                                  \
    if ((call) == -1) {                                 \
      fprintf (stderr, "%s failed\n", #call);           \
      exit (EXIT_FAILURE);                              \
    }                                                   \
  } while (0)

int
main (void)
{
  struct guestfs_partition_list *partitions;
  struct guestfs_statns *stat;
  struct guestfs_statvfs *statvfs;
  char *text, large[300000];
  guestfs_h *g = guestfs_create ();
  size_t size;

  if (g == NULL)
    return EXIT_FAILURE;
  DO (guestfs_disk_create (g, "disk.img", "raw", 64 << 20, -1));
  DO (guestfs_add_drive_opts (g, "disk.img", GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw", -1));
  DO (guestfs_launch (g));
  SHOW_TEXTS (guestfs_list_devices (g));
  DO (guestfs_part_disk (g, "/dev/sda", "mbr"));
  partitions = guestfs_part_list (g, "/dev/sda");
  printf ("%u: %d at %llu\n", (unsigned) partitions->len, partitions->val[0].part_num,
          (unsigned long long) partitions->val[0].part_start);
  guestfs_free_partition_list (partitions);
  DO (guestfs_mkfs_opts (g, "ext4", "/dev/sda1", GUESTFS_MKFS_OPTS_LABEL, "PEER",
                         GUESTFS_MKFS_OPTS_BLOCKSIZE, 1024, -1));
  SHOW_TEXTS (guestfs_list_filesystems (g));
  DO (guestfs_mount (g, "/dev/sda1", "/"));
  statvfs = guestfs_statvfs (g, "/");
  printf ("block size %lld\n", (long long) statvfs->bsize);
  guestfs_free_statvfs (statvfs);

  DO (guestfs_write (g, "/small", "a\0b", 3));
  memset (large, 'x', sizeof large);
  DO (guestfs_write (g, "/large", large, sizeof large));
  DO (guestfs_mkdir_p (g, "/a/b/c"));
  DO (guestfs_ln_s (g, "small", "/link"));
  DO (guestfs_chmod (g, 0640, "/small"));
  text = guestfs_read_file (g, "/small", &size);
  printf ("%zu bytes, the last %c\n", size, text[size - 1]);
  free (text);
  text = guestfs_read_file (g, "/large", &size);
  printf ("%zu bytes\n", size);
  free (text);
  text = guestfs_checksum (g, "sha256", "/large");
  printf ("%s\n", text);
  free (text);
  text = guestfs_readlink (g, "/link");
  printf ("%s\n", text);
  free (text);
  stat = guestfs_statns (g, "/small");
  printf ("mode %llo, size %lld\n", (long long) stat->st_mode, (long long) stat->st_size);
  guestfs_free_statns (stat);
  SHOW_TEXTS (guestfs_ls (g, "/"));
  SHOW_TEXTS (guestfs_find (g, "/a"));

  DO (guestfs_tar_out (g, "/a", "a.tar"));
  DO (guestfs_download (g, "/large", "large"));
  DO (guestfs_upload (g, "large", "/again"));
  printf ("%lld bytes\n", (long long) guestfs_filesize (g, "/again"));

  guestfs_push_error_handler (g, NULL, NULL);
  text = guestfs_cat (g, "/missing");
  printf ("%s, errno %d\n", text == NULL ? "NULL" : text, guestfs_last_errno (g));
  printf ("%s\n", strstr (guestfs_last_error (g), "No such file or directory"));
  guestfs_pop_error_handler (g);
  DO (guestfs_umount_all (g));
  DO (guestfs_shutdown (g));
  guestfs_close (g);
  return EXIT_SUCCESS;
}
