# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `mypy --strict` has to accept."""

from pathlib import Path
from typing import Any

import guestfs


def on_event(event: int, handle: int, buf: Any, numbers: list[int]) -> None:
    print(guestfs.event_to_string(event), handle, buf, numbers)


def main(disk: Path) -> int:
    with guestfs.GuestFS(python_return_dict=True) as g:
        g.set_event_callback(on_event, guestfs.EVENT_PROGRESS | guestfs.EVENT_TRACE)
        g.add_drive(disk, readonly=True, format="raw")
        g.launch()
        devices: list[str] = g.list_devices()
        for device in devices:
            size: int = g.blockdev_getsize64(device)
            print(device, size)
        g.mkfs("ext4", devices[0], label=b"label")
        g.mount(devices[0], "/")
        g.write("/file", b"bytes")
        g.write("/file", "text")
        text: str = g.cat("/file")
        content: bytes = g.read_file("/file")
        for entry in g.readdir("/"):
            name: str = entry["name"]
            print(name, entry["ino"])
        print(text, content, g.statns("/file")["st_size"])
        g.write("/file", bytearray(b"more"))
        g.mkfs_opts("ext4", devices[0], blocksize=1024)
        try:
            g.cat("/missing")
        except guestfs.Error as err:
            return err.errno or 0
    return 0
