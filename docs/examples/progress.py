# SPDX-License-Identifier: LGPL-2.1-or-later
"""Copies a disk out of an image and shows how far that has come; Ctrl-C stops it."""

import errno
import signal
import sys
import threading

import guestfs


def on_event(event, event_handle, buf, array):
    if event == guestfs.EVENT_PROGRESS:
        _function, _call, position, total = array
        if total:
            print(f"\r{position * 100 // total:3} %", end="", file=sys.stderr)
    else:
        print(f"{guestfs.event_to_string(event)}: {buf}", file=sys.stderr)


def main(disk, copy):
    with guestfs.GuestFS() as g:
        g.set_event_callback(on_event, guestfs.EVENT_PROGRESS | guestfs.EVENT_WARNING)
        g.set_pgroup(True)
        g.add_drive_ro(disk)
        g.launch()

        # Python runs signal handlers in the main thread only, so the transfer is in another one.
        signal.signal(signal.SIGINT, lambda *_: g.user_cancel())
        transfer = threading.Thread(target=download, args=(g, copy))
        transfer.start()
        transfer.join()


def download(g, copy):
    try:
        g.download("/dev/sda", copy)
    except guestfs.Error as err:
        if err.errno != errno.EINTR:
            raise
        print("stopped; the copy is not complete", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
