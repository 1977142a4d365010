# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints what is on a disk image, and how full its filesystems are."""

import errno
import sys

import guestfs

# What looks like a filesystem in a list, and has nothing to mount.
NOT_MOUNTABLE = ("unknown", "swap", "crypto_LUKS")


def main(disk):
    with guestfs.GuestFS(python_return_dict=True) as g:
        g.add_drive(disk, readonly=True)
        g.launch()
        for device in g.list_devices():
            print(f"{device}: {g.blockdev_getsize64(device)} bytes")
        for mountable, kind in sorted(g.list_filesystems().items()):
            print(f"{mountable}: {kind}")
            if kind not in NOT_MOUNTABLE:
                show(g, mountable)


def show(g, mountable):
    try:
        g.mount_ro(mountable, "/")
    except guestfs.Error as err:
        print(f"  cannot be mounted: {err.strerror}")
        return
    usage = g.statvfs("/")
    print(f"  {usage['bavail'] * usage['frsize']} bytes free")
    try:
        print(f"  hostname: {g.cat('/etc/hostname').strip()}")
    except guestfs.Error as err:
        if err.errno != errno.ENOENT:
            raise
    g.umount_all()


if __name__ == "__main__":
    main(sys.argv[1])
