# SPDX-License-Identifier: LGPL-2.1-or-later
"""Large results, as a program in Python has them; run by large.rs."""

import sys

import guestfs

NAMES = [f"{n:08}" for n in range(200_000)]
LARGE = b"0123456789abcde\n" * (4 << 20)

with guestfs.GuestFS(python_return_dict=True) as g:
    g.add_drive_opts(sys.argv[1], format="raw", readonly=1)
    g.launch()
    g.mount_ro("/dev/sda", "/")
    assert g.ls("/many") == NAMES
    assert g.find("/many") == NAMES
    entries = g.readdir("/many")
    assert [it["name"] for it in entries] == [".", "..", *NAMES]
    stats = g.lstatnslist("/many", NAMES)
    assert [it["st_ino"] for it in stats] == [it["ino"] for it in entries[2:]]
    assert g.read_file("/large") == LARGE
    assert g.cat("/large") == LARGE.decode()
    assert len(g.read_lines("/large")) == 4 << 20
    try:
        g.strings("/large")
        raise AssertionError("that is too long")
    except guestfs.Error as err:
        assert "/large: the result has more than 4194256 bytes" in str(err), err
    g.ping_daemon()
