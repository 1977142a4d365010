# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs for libguestfs do: prints the same with Debian's extension and with this module."""

import os
import sys
import warnings

import guestfs

warnings.simplefilter("ignore")


def show(name, call):
    try:
        print(name, "->", call())
    except RuntimeError as err:
        print(name, "fails:", err)
    except Exception as err:
        print(name, "raises", type(err).__mro__[-4:])


def handles():
    class Mine(guestfs.GuestFS):
        def __init__(self, name):
            super().__init__(python_return_dict=True, environment=False)
            self.name = name

    g = Mine("of a subclass")
    print(g.name, g.get_program() == os.path.basename(sys.argv[0]))
    g.private = 1
    show("closed", g.close)
    show("closed again", g.close)
    show("closed", g.get_path)
    print(issubclass(guestfs.ClosedHandle, ValueError), g.private)
    for flags in ({"python_return_dict": 1}, {"environment": 0}, {"close_on_exit": False}):
        guestfs.GuestFS(**flags).get_verbose()
    show("unknown flag", lambda: guestfs.GuestFS(unknown=1))
    guestfs.GuestFS().__del__()


def arguments(g):
    for name, value in [("1", 1), ("True", True), ("0", 0), ("text", "a"), ("None", None), ("2.0", 2.0)]:
        show("verbose " + name, lambda: (g.set_verbose(value), g.get_verbose()))
    g.set_verbose(0)
    show("autosync", g.get_autosync)
    show("append", lambda: (g.set_append("x"), g.get_append(), g.set_append(None), g.get_append()))
    show("memsize", lambda: (g.set_memsize(512), g.get_memsize()))
    show("memsize", lambda: g.set_memsize("512"))
    show("memsize", lambda: g.set_memsize(1 << 40))
    show("settings", lambda: g.set_backend_settings(["a", "b"]))
    show("settings", g.get_backend_settings)
    show("settings", lambda: g.set_backend_settings(("template=1",)))
    show("settings", lambda: g.set_backend_settings(17))
    show("trailing options", lambda: g.disk_create("positional", "qcow2", -1, "disk.img", "raw"))
    show("options", lambda: g.disk_create("named", "qcow2", 1 << 20, compat="1.1", clustersize=None))
    show("no such option", lambda: g.disk_create("x", "raw", 512, colour="red"))
    show("too few", lambda: g.disk_create("x"))
    show("old name", lambda: g.add_drive_opts("disk.img", format="raw", readonly=False))
    show("missing", lambda: g.add_drive("missing"))
    show("wrong value", lambda: g.add_drive("disk.img", cachemode="none of them"))
    show("too early", lambda: g.sync())
    show("no method", lambda: g.no_such_function())
    opts = [name for name in dir(guestfs.GuestFS) if name.endswith("_opts")]
    print(opts)


def events(g):
    seen = []
    show("callback", lambda: g.set_event_callback(17, guestfs.EVENT_ALL))
    number = g.set_event_callback(lambda *it: seen.append(it), guestfs.EVENT_TRACE)
    g.set_trace(1)
    g.get_autosync()
    g.set_trace(0)
    g.delete_event_callback(number)
    g.delete_event_callback(number)
    g.get_autosync()
    print(seen)
    names = sorted(name for name in dir(guestfs) if name.startswith("EVENT_"))
    for name in names:
        print(name, getattr(guestfs, name), guestfs.event_to_string(getattr(guestfs, name)))
    show("no event", lambda: guestfs.event_to_string(0))


def disks(g):
    g.launch()
    for call in (
        lambda: g.list_devices(),
        lambda: g.part_disk("/dev/sda", "mbr"),
        lambda: g.mkfs_opts("ext4", "/dev/sda1", label="ROOT"),
        lambda: g.mount("/dev/sda1", "/"),
        lambda: g.write("/x", "text\n"),
        lambda: g.write("/y", b"a\0\xff"),
        lambda: g.cat("/x"),
        lambda: g.read_file("/y"),
        lambda: g.read_lines("/x"),
        lambda: g.pread("/x", 2, 1),
        lambda: g.pwrite("/x", b"T", 0),
        lambda: g.ls("/"),
        lambda: [(it["name"], it["ftyp"]) for it in g.readdir("/")],
        lambda: sorted(g.statns("/x")) == sorted(g.lstatns("/x")),
        lambda: g.statns("/x")["st_size"],
        lambda: [it["st_size"] for it in g.lstatnslist("/", ["x", "y"])],
        lambda: g.is_file("/x"),
        lambda: g.is_dir("/x"),
        lambda: g.exists("/z"),
        lambda: g.filesize("/x"),
        lambda: g.checksum("md5", "/x"),
        lambda: g.find("/"),
        lambda: g.list_filesystems(),
        lambda: g.mountpoints(),
        lambda: g.mounts(),
        lambda: g.part_list("/dev/sda"),
        lambda: g.vfs_label("/dev/sda1"),
        lambda: g.upload("disk.txt", "/up"),
        lambda: g.download("/up", "down.txt"),
        lambda: open("down.txt").read(),
        lambda: g.download("/missing", "down.txt"),
        lambda: g.upload("missing", "/up"),
        lambda: g.cat("/missing"),
        lambda: g.mkdir("/x"),
        lambda: g.mount("/dev/sdz", "/"),
        lambda: g.umount_opts("/", force=0),
        lambda: g.ls("/"),
        lambda: g.shutdown(),
        lambda: g.close(),
    ):
        show("call", call)


def main():
    with open("disk.img", "wb") as disk:
        disk.truncate(64 << 20)
    with open("disk.txt", "w") as text:
        text.write("of the host\n")
    handles()
    for style in (False, True):
        g = guestfs.GuestFS(python_return_dict=style)
        arguments(g)
        events(g)
        disks(g)


main()
