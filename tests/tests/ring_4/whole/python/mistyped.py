# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `mypy --strict` has to reject: each line marked so, and no other."""

import guestfs

g = guestfs.GuestFS()
g.add_drive("disk.img", readnly=True)  # wrong
g.add_drive(17)  # wrong
g.launch("now")  # wrong
number: int = g.cat("/file")  # wrong
g.readdir("/")[0]["nme"]  # wrong
g.no_such_function()  # wrong
g.set_event_callback(print, "all")  # wrong
