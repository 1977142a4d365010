/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Encodes one value of each kind with the code that rpcgen made, and prints the bytes. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rpc/rpc.h>

#include "messages.h"

static void
show (const char *name, xdrproc_t encode, void *value)
{
  char buffer[4096];
  XDR xdr;
  u_int size;

  xdrmem_create (&xdr, buffer, sizeof buffer, XDR_ENCODE);
  if (!encode (&xdr, value)) {
    fprintf (stderr, "%s: cannot be encoded\n", name);
    exit (EXIT_FAILURE);
  }
  size = xdr_getpos (&xdr);
  printf ("%s ", name);
  for (u_int i = 0; i < size; i++)
    printf ("%02x", (unsigned char) buffer[i]);
  putchar ('\n');
  xdr_destroy (&xdr);
}

#define SHOW(name, type, ...)                                           \
  do {                                                                  \
    type value = { __VA_ARGS__ };                                       \
    show (name, (xdrproc_t) xdr_##type, &value);                        \
  } while (0)

int
main (void)
{
  guestfs_text words[] = { (char *) "a", (char *) "", (char *) "four" };
  guestfs_int_dirent entries[] = {
    { .ino = 1, .ftyp = 'd', .name = (char *) "." },
    { .ino = -1, .ftyp = '?', .name = (char *) "\xe9" },
  };
  guestfs_text optional = (char *) "text";
  guestfs_int_lvm_lv lv = {
    .lv_name = (char *) "root", .lv_attr = (char *) "-wi", .lv_major = -1, .lv_minor = 2,
    .lv_kernel_major = 253, .lv_kernel_minor = 0, .lv_size = 1LL << 40, .seg_count = 1,
    .origin = (char *) "", .snap_percent = -1, .copy_percent = 12.5, .move_pv = (char *) "",
    .lv_tags = (char *) "a,b", .mirror_log = (char *) "", .modules = (char *) "",
  };

  memcpy (lv.lv_uuid, "0123456789abcdefghijklmnopqrstuv", 32);

  SHOW ("int", guestfs_umask_args, .mask = 022);
  SHOW ("text", guestfs_mount_args, (char *) "/dev/sda1", (char *) "/");
  SHOW ("bool", guestfs_part_set_bootable_args, (char *) "/dev/sda", -2, 1);
  SHOW ("hyper", guestfs_pread_args, (char *) "/a", 5, 1LL << 33);
  SHOW ("opaque", guestfs_internal_write_args, (char *) "/a", { 5, (char *) "a\0b\xff." });
  SHOW ("list", guestfs_command_args, { 3, words });
  SHOW ("empty list", guestfs_command_args, { 0, NULL });
  SHOW ("options", guestfs_mkfs_args, (char *) "ext4", (char *) "/dev/sda1", 4096, (char *) "",
        0, 0, (char *) "ROOT");
  SHOW ("struct", guestfs_internal_parse_mountable_ret, { 1, (char *) "/dev/sda1", (char *) "home" });
  SHOW ("struct with uuid and floats", guestfs_lvs_full_ret, { 1, &lv });
  SHOW ("structs with char", test_dirents, { 2, entries });
  SHOW ("optional text", test_optional, .text = &optional);
  SHOW ("no text", test_optional, .text = NULL);

  SHOW ("header", guestfs_message_header, GUESTFS_PROGRAM, GUESTFS_PROTOCOL_VERSION,
        GUESTFS_PROC_MKFS, GUESTFS_DIRECTION_CALL, 7, 0, 17, GUESTFS_STATUS_OK);
  SHOW ("error", guestfs_message_error, (char *) "ENOENT", (char *) "/a: missing");
  SHOW ("chunk", guestfs_chunk, 0, { 3, (char *) "abc" });
  SHOW ("progress", guestfs_progress, GUESTFS_PROC_MKFS, 7, 1, 1ULL << 40);
  return EXIT_SUCCESS;
}
