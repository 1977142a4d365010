# SPDX-License-Identifier: LGPL-2.1-or-later
"""The module as programs use it; run by python.rs in an interpreter that has only the wheel."""

import errno
import gc
import os
import sys
import threading
import unittest
import weakref
from pathlib import Path

import guestfs

MIB = 1 << 20


class WithoutAppliance(unittest.TestCase):
    def test_wrong_arguments_are_type_errors(self):
        g = guestfs.GuestFS()
        with self.assertRaisesRegex(TypeError, "readnly"):
            g.add_drive("disk.img", readnly=True)
        with self.assertRaises(TypeError):
            g.add_drive()
        with self.assertRaises(TypeError):
            g.add_drive(17)
        with self.assertRaises(TypeError):
            g.set_memsize("much")
        with self.assertRaises(TypeError):
            g.set_event_callback(17, guestfs.EVENT_ALL)
        with self.assertRaises(AttributeError):
            g.no_such_function()

    def test_errors_say_why(self):
        g = guestfs.GuestFS()
        with self.assertRaises(guestfs.Error) as caught:
            g.add_drive("missing.img")
        err = caught.exception
        self.assertIsInstance(err, RuntimeError)
        self.assertEqual(err.errno, errno.ENOENT)
        here = os.getcwd()
        expected = f"add_drive: {here}/missing.img: No such file or directory"
        self.assertEqual(str(err), expected)
        with self.assertRaises(guestfs.Error) as caught:
            g.cat("/x")
        self.assertEqual(caught.exception.errno, errno.EINVAL)

    def test_values_of_the_host(self):
        Path("host.img").write_bytes(bytes(1 << 20))
        g = guestfs.GuestFS()
        for name in (Path("host.img"), "host.img", b"host.img", bytearray(b"host.img")):
            g.add_drive(name, readonly=1, format=None)
        self.assertEqual(g.disk_format(Path("host.img")), "raw")
        self.assertEqual(g.get_program(), os.path.basename(sys.argv[0]))
        g.internal_test_set_output("output")
        g.internal_test("a", None, [], 2, 0, 0, "", "", memoryview(b"of memory"))
        self.assertIn(b"\ntrue\n", Path("output").read_bytes())
        self.assertIn(b"\nof memory\n", Path("output").read_bytes())

    def test_subclasses(self):
        class Named(guestfs.GuestFS):
            def __init__(self, name):
                super().__init__(python_return_dict=True)
                self.name = name

            def __del__(self):
                super().__del__()

        g = Named("of mine")
        self.assertEqual((g.name, g.get_verbose()), ("of mine", 0))
        with self.assertRaises(guestfs.ClosedHandle):
            Named.__new__(Named).get_verbose()
        self.assertTrue({"add_drive_opts", "mkfs_opts", "umount_opts"} <= set(dir(g)))

    def test_closed_handles(self):
        g = guestfs.GuestFS()
        g.close()
        for call in g.close, g.launch, g.get_pid:
            with self.assertRaises(guestfs.ClosedHandle):
                call()
        self.assertTrue(issubclass(guestfs.ClosedHandle, ValueError))

    def test_events_of_a_handle_that_goes(self):
        seen = []
        g = guestfs.GuestFS()
        g.set_event_callback(lambda *event: seen.append(event), guestfs.EVENT_CLOSE)
        del g
        gc.collect()
        self.assertEqual([it[0] for it in seen], [guestfs.EVENT_CLOSE])

    def test_callbacks_are_kept_no_longer_than_the_handle(self):
        class Callback:
            def __call__(self, *event):
                pass

        callback = Callback()
        watched = weakref.ref(callback)
        g = guestfs.GuestFS()
        g.set_event_callback(callback, guestfs.EVENT_ALL)
        del callback
        self.assertIsNotNone(watched())
        g.close()
        gc.collect()
        self.assertIsNone(watched())

    def test_ten_kinds_of_events(self):
        names = [name for name in dir(guestfs) if name.startswith("EVENT_")]
        names.remove("EVENT_ALL")
        bits = sorted(getattr(guestfs, name) for name in names)
        self.assertEqual(bits, [1 << bit for bit in range(10)])
        self.assertEqual(guestfs.EVENT_ALL, 1023)
        self.assertEqual(guestfs.event_to_string(guestfs.EVENT_PROGRESS), "progress")


class WithAppliance(unittest.TestCase):
    def test_a_session(self):
        with open("disk.img", "wb") as disk:
            disk.truncate(128 * MIB)
        with guestfs.GuestFS(python_return_dict=True) as g:
            g.add_drive(Path("disk.img"), format="raw")
            self.launch_beside_a_thread(g)
            g.part_disk("/dev/sda", "mbr")
            g.mkfs("ext4", "/dev/sda1", label="from python", blocksize=4096)
            self.assertEqual(g.vfs_label("/dev/sda1"), "from python")
            with self.assertRaises(TypeError):
                g.mkfs("ext4", "/dev/sda1", lable="x")
            g.mount("/dev/sda1", "/")
            self.contents(g)
            self.names(g)
            self.structures(g)
            self.errors(g)
            self.progress(g)
        with self.assertRaises(guestfs.ClosedHandle):
            g.cat("/text")
        with guestfs.GuestFS() as g:
            g.add_drive("disk.img", format="raw", readonly=True)
            g.launch()
            g.mount_ro("/dev/sda1", "/")
            self.assertEqual(g.cat("/text"), "gr\u00fcn\n")
            # As the module of old has it: pairs, unless asked for a dict.
            self.assertIsInstance(g.mountpoints(), list)

    def launch_beside_a_thread(self, g):
        """Another thread gets on while one waits for the appliance."""
        launched = threading.Event()
        started = threading.Event()
        count = 0

        def work():
            nonlocal count
            started.set()
            while not launched.is_set():
                count += 1

        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        before = count
        g.launch()
        after = count
        launched.set()
        thread.join()
        # One turn of the interpreter is some thousand rounds: these are the rounds of many.
        self.assertGreater(after - before, 100_000)

    def contents(self, g):
        g.write("/text", "gr\u00fcn\n")
        self.assertEqual(g.cat("/text"), "gr\u00fcn\n")
        self.assertEqual(g.read_file("/text"), b"gr\xc3\xbcn\n")
        g.write("/bytes", b"a\0\xff")
        self.assertEqual(g.read_file("/bytes"), b"a\0\xff")
        # What is not UTF-8 comes as the surrogates of os.fsdecode, and goes back.
        text = g.cat("/bytes")
        self.assertEqual(text, "a\0\udcff")
        g.write("/bytes2", text)
        self.assertEqual(g.read_file("/bytes2"), b"a\0\xff")
        self.assertEqual(g.read_lines("/text"), ["gr\u00fcn"])
        large = bytes(range(256)) * 4096 * 5
        g.write("/large", large)
        self.assertEqual(g.read_file("/large"), large)
        self.assertEqual(g.pread("/large", 4, 254), b"\xfe\xff\x00\x01")
        g.rm("/large")

    def names(self, g):
        g.mkdir("/names")
        g.touch(b"/names/latin1-\xe9")
        g.touch("/names/utf8-\u00e9")
        self.assertEqual(g.ls("/names"), ["latin1-\udce9", "utf8-\u00e9"])
        for name in g.ls("/names"):
            self.assertTrue(g.is_file("/names/" + name))
        self.assertTrue(g.exists(Path("/names/utf8-\u00e9")))

    def structures(self, g):
        entries = {entry["name"]: entry for entry in g.readdir("/names")}
        self.assertEqual(entries.keys(), {".", "..", "latin1-\udce9", "utf8-\u00e9"})
        self.assertEqual(entries["."]["ftyp"], "d")
        stat = g.statns("/text")
        self.assertEqual(stat["st_size"], 6)
        with self.assertWarnsRegex(DeprecationWarning, "use statns"):
            self.assertEqual(g.stat("/text")["size"], 6)
        (partition,) = g.part_list("/dev/sda")
        self.assertEqual(partition["part_num"], 1)
        self.assertEqual(g.mountpoints(), {"/dev/sda1": "/"})
        self.assertEqual(g.list_filesystems(), {"/dev/sda1": "ext4"})

    def errors(self, g):
        for call, number in [
            (lambda: g.cat("/missing"), errno.ENOENT),
            (lambda: g.mkdir("/text"), errno.EEXIST),
            (lambda: g.ls("/text"), errno.ENOTDIR),
            (lambda: g.rmdir("/names"), errno.ENOTEMPTY),
            (lambda: g.download("/text", "no/such"), errno.ENOENT),
        ]:
            with self.assertRaises(guestfs.Error) as caught:
                call()
            self.assertEqual(caught.exception.errno, number, caught.exception)

    def progress(self, g):
        events = []

        def callback(event, handle, buf, numbers):
            events.append((event, handle, buf, numbers))

        handle = g.set_event_callback(callback, guestfs.EVENT_PROGRESS | guestfs.EVENT_ENTER)
        # Short calls say nothing; this one is long on any machine.
        g.debug("progress", ["5"])
        g.delete_event_callback(handle)
        g.ping_daemon()
        self.assertEqual(events[0][0], guestfs.EVENT_ENTER)
        self.assertIn(events[0][2], ("debug", b"debug"))
        steps = [it[3] for it in events if it[0] == guestfs.EVENT_PROGRESS]
        self.assertTrue(steps)
        self.assertEqual(steps[-1][2:], [50, 50])
        self.assertEqual([it[1] for it in events], [handle] * len(events))
        self.assertEqual(sum(it[0] == guestfs.EVENT_ENTER for it in events), 1)

        # What a callback raises is not lost, and does no harm.
        def failing(*event):
            raise ValueError("from a callback")

        raised = []
        hook, sys.unraisablehook = sys.unraisablehook, raised.append
        try:
            handle = g.set_event_callback(failing, guestfs.EVENT_ENTER)
            g.ping_daemon()
            g.delete_event_callback(handle)
        finally:
            sys.unraisablehook = hook
        self.assertTrue(raised)
        self.assertIsInstance(raised[0].exc_value, ValueError)
        raised.clear()


if __name__ == "__main__":
    unittest.main()
