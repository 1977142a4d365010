# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a disk image with one partition, a filesystem and a file in it."""

import sys

import guestfs


def main(disk):
    with guestfs.GuestFS(python_return_dict=True) as g:
        g.disk_create(disk, "raw", 512 << 20)
        g.add_drive(disk, format="raw")
        g.launch()

        # The first disk that was added is /dev/sda.
        g.part_disk("/dev/sda", "gpt")
        g.mkfs("ext4", "/dev/sda1", label="DATA")
        print(g.list_filesystems())

        g.mount("/dev/sda1", "/")
        g.mkdir_p("/some/directory")
        g.write("/some/directory/greeting", b"Hello from outside.\n")
    # The handle is closed here: everything is on the disk, or there is an exception.


if __name__ == "__main__":
    main(sys.argv[1])
