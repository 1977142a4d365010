# SPDX-License-Identifier: LGPL-2.1-or-later
"""Edits a file of a guest by Augeas."""

import sys

import guestfs

g = guestfs.GuestFS(python_return_dict=True)
g.add_drive(sys.argv[1], format="qcow2")
g.launch()
g.mount("/dev/sda1", "/")
g.aug_init("/", 96)
g.aug_transform("Hosts.lns", "/etc/hosts")
g.aug_load()
print(g.aug_defvar("hosts", "/files/etc/hosts"))
print(g.aug_match("$hosts/*[ipaddr]"))
old = g.aug_defnode("localhost", "$hosts/*[canonical = 'localhost']", "")
new = g.aug_defnode("five", "$hosts/05", "")
print((old["i"], old["b"]), (new["i"], new["b"]))
g.aug_set("$five/ipaddr", "10.0.0.1")
g.aug_set("$five/canonical", "five")
try:
    g.aug_get("/files/nothing")
except RuntimeError as err:
    print(err)
g.aug_save()
g.aug_close()
print(g.read_lines("/etc/hosts")[-1].replace("\t", " "))
g.umount_all()
g.close()
