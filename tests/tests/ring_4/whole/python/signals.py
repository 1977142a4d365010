# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signals, threads and the end of the interpreter, while calls wait; run by python.rs."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
import unittest

import guestfs


def launched():
    g = guestfs.GuestFS()
    g.add_drive_scratch(256 << 20)
    g.launch()
    g.mkfs("ext4", "/dev/sda")
    g.mount("/dev/sda", "/")
    return g


class Kill:
    """Sends a signal to this process as soon as the main thread is in a call."""

    def __init__(self, g, number=signal.SIGINT, function=None):
        self.g, self.number, self.function = g, number, function

    def __enter__(self):
        self.called = threading.Event()
        self.thread = threading.Thread(target=self.send)
        self.handle = self.g.set_event_callback(self.note, guestfs.EVENT_ENTER)
        self.thread.start()

    def note(self, event, handle, buf, numbers):
        if self.function in (None, buf):
            self.called.set()

    def send(self):
        self.called.wait()
        os.kill(os.getpid(), self.number)

    def __exit__(self, *exception):
        # Whatever the test expected, nobody is left waiting.
        self.called.set()
        self.thread.join()
        self.g.delete_event_callback(self.handle)


class Fifo:
    """A file that never ends, as somebody has it open for writing."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        os.mkfifo(self.name)
        self.fd = os.open(self.name, os.O_RDWR)
        return self.name

    def __exit__(self, *exception):
        os.close(self.fd)
        os.remove(self.name)


class Signals(unittest.TestCase):
    def test_interrupts(self):
        g = launched()
        with self.subTest("a transfer"), Fifo("fifo") as fifo:
            with self.assertRaises(KeyboardInterrupt), Kill(g):
                g.upload(fifo, "/never")
            g.write("/after", "usable\n")
            self.assertEqual(g.cat("/after"), "usable\n")
        with self.subTest("a call that can't be cancelled"):
            with self.assertRaises(KeyboardInterrupt), Kill(g):
                g.debug("progress", ["3"])
            self.assertEqual(g.cat("/after"), "usable\n")
        with self.subTest("a handler that raises something else"):

            def handler(number, frame):
                raise LookupError(number)

            before = signal.signal(signal.SIGUSR1, handler)
            with self.assertRaises(LookupError), Kill(g, signal.SIGUSR1), Fifo("fifo") as fifo:
                g.upload(fifo, "/never")
            signal.signal(signal.SIGUSR1, before)
        g.close()

    def test_a_launch_is_given_up(self):
        g = guestfs.GuestFS()
        g.set_backend_settings(["template=0"])
        with self.assertRaises(KeyboardInterrupt), Kill(g):
            g.launch()
        self.assertEqual(g.is_config(), 1)
        g.launch()
        self.assertEqual(g.is_ready(), 1)
        g.close()

    def test_handlers_run_during_a_call(self):
        g = launched()
        seen = []
        before = signal.signal(signal.SIGUSR1, lambda *it: seen.append(len(steps)))
        steps = []
        handle = g.set_event_callback(lambda *it: steps.append(it), guestfs.EVENT_PROGRESS)
        with Kill(g, signal.SIGUSR1, "debug"):
            g.debug("progress", ["3"])
        g.delete_event_callback(handle)
        signal.signal(signal.SIGUSR1, before)
        # Long before the end, and the call went on.
        self.assertEqual(len(seen), 1)
        self.assertLess(seen[0], len(steps))
        g.close()

    def test_an_event_loop_keeps_its_signals(self):
        async def main():
            g = guestfs.GuestFS()
            loop = asyncio.get_running_loop()
            arrived = asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, arrived.set)
            with Kill(g, signal.SIGUSR1):
                g.launch()
            await asyncio.wait_for(arrived.wait(), 600)
            g.close()

        asyncio.run(main())

    def test_other_threads_are_cancelled_by_user_cancel(self):
        g = launched()
        errors = []

        def work(fifo):
            try:
                g.upload(fifo, "/never")
            except guestfs.Error as err:
                errors.append(err.errno)

        with Fifo("fifo") as fifo:
            thread = threading.Thread(target=work, args=(fifo,))
            thread.start()
            # When so much has gone, the transfer has begun.
            with open(fifo, "wb") as data:
                data.write(bytes(8 << 20))
            g.user_cancel()
            thread.join()
        self.assertEqual(errors, [errno.EINTR])
        g.close()


class End(unittest.TestCase):
    def run_script(self, script):
        end = subprocess.run(
            [sys.executable, "-I", "-c", "import guestfs, threading, sys\n" + script],
            capture_output=True,
            text=True,
            timeout=600,
        )
        self.assertEqual((end.returncode, end.stderr), (0, ""))
        return end.stdout

    PREPARE = """
g = guestfs.GuestFS()
g.add_drive("end.img", format="raw")
g.launch()
"""

    def test_an_open_handle_is_closed(self):
        with open("end.img", "wb") as disk:
            disk.truncate(64 << 20)
        # A cycle that the interpreter does not clear away at its end.
        script = self.PREPARE + (
            "g.mkfs('ext4', '/dev/sda')\ng.mount('/dev/sda', '/')\ng.write('/x', 'there')\n"
            "sys.kept = g; g.self = g\n"
            "g.set_event_callback(lambda *it: print('closed'), guestfs.EVENT_CLOSE)\n"
        )
        self.assertEqual(self.run_script(script), "closed\n")
        script = self.PREPARE + "g.mount_ro('/dev/sda', '/')\nprint(g.cat('/x'))\n"
        self.assertEqual(self.run_script(script), "there\n")

    def test_threads_that_are_in_a_call(self):
        with open("end.img", "wb") as disk:
            disk.truncate(64 << 20)
        script = self.PREPARE + (
            "entered = threading.Event()\n"
            "g.set_event_callback(lambda *it: entered.set(), guestfs.EVENT_ENTER)\n"
            "call = lambda: g.debug('progress', ['%s'])\n"
            "threading.Thread(target=call, daemon=True).start()\n"
            "entered.wait()\n"
        )
        # One that ends after the interpreter, and one that ends at about the same time.
        self.run_script(script % "100")
        self.run_script(script % "0")

    def test_closed_by_another_thread(self):
        script = self.PREPARE + (
            "call = lambda: g.debug('progress', ['1'])\n"
            "thread = threading.Thread(target=call)\n"
            "entered = threading.Event()\n"
            "g.set_event_callback(lambda *it: entered.set(), guestfs.EVENT_ENTER)\n"
            "thread.start()\n"
            "entered.wait()\n"
            "g.close()\n"
            "thread.join()\n"
            "print('end')\n"
        )
        with open("end.img", "wb") as disk:
            disk.truncate(64 << 20)
        self.assertEqual(self.run_script(script), "end\n")


if __name__ == "__main__":
    unittest.main()
