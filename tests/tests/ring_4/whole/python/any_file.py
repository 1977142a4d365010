# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls every function that takes the name of a guest file with everything such a name may stand
for.  The functions come as JSON on standard input.

Each call has to end: with an error that says what it is about, or with a result.  The appliance
lives through all of it, and none of its own files is touched."""

import difflib
import json
import os
import posixpath
import sys
import tempfile
import threading

import guestfs

# No call takes that long, on any machine.
PATIENCE = 600

PATHS = {"path", "path_list", "device_or_path", "filename_list"}

# Arguments that are names of guest files, though they are declared as text: a link's target may
# be any text, and so on.
ALSO = {
    "cpio_out": "directory",
    "command": "arguments",
    "command_lines": "arguments",
    "command_out": "arguments",
    "ln": "target",
    "ln_f": "target",
    "mkmountpoint": "exemptpath",
    "mount": "mountpoint",
    "mount_options": "mountpoint",
    "mount_ro": "mountpoint",
    "mount_vfs": "mountpoint",
    "rmmountpoint": "exemptpath",
    "selinux_relabel": "specfile",
    "setfiles": "specfile",
    "tar_out": "directory",
}

# They would take away what the other calls work on.
LEFT_OUT = {"umount", "remount"}
NOT_THE_ROOT = {"rm_rf", "mv", "rename", "mksquashfs"}

VALUES = {
    "acl": "u::rw-,g::r--,o::r--",
    "acltype": "access",
    "atnsecs": 1,
    "atsecs": 1,
    "attrs": "d",
    "base64file": "base64",
    "c": 65,
    "cap": "cap_net_raw=ep",
    "content": "content",
    "count": 10,
    "csumtype": "md5",
    "ctype": "gzip",
    "devmajor": 1,
    "devminor": 3,
    "encoding": "s",
    "filename": "file",
    "flags": 32,
    "group": 0,
    "len": 10,
    "mask": 2,
    "meth": "gzip",
    "mode": 0o644,
    "mountable": "/dev/sdb",
    "mtnsecs": 1,
    "mtsecs": 1,
    "name": "user.x",
    "nr": 3,
    "nrlines": 2,
    "offset": 0,
    "options": "ro",
    "owner": 0,
    "pattern": "x",
    "regex": "x",
    "size": 5,
    "target": "/w/file",
    "val": "v",
    "vallen": 1,
    "vfstype": "ext4",
    "xattr": "user.x",
}

OTHERS = {"string": "x", "optstring": None, "key": "x", "int": 1, "int64": 1}

MAKERS = {
    "fifo": lambda g, path: g.mkfifo(0o644, path),
    "socket": lambda g, path: g.mknod(0o140644, 0, 0, path),
    "null": lambda g, path: g.mknod_c(0o644, 1, 3, path),
    "zeroes": lambda g, path: g.mknod_c(0o644, 1, 5, path),
    "tty": lambda g, path: g.mknod_c(0o644, 5, 0, path),
    "block-device": lambda g, path: g.mknod_b(0o644, 7, 0, path),
    "dangling": lambda g, path: g.ln_s("missing", path),
    "loop": lambda g, path: g.ln_s("loop", path),
    "link-to-fifo": lambda g, path: g.ln_s("pipe", path),
    "link-outside": lambda g, path: g.ln_s("../../../../../../run/canary", path),
    "directory": lambda g, path: g.mkdir(path),
}

NAMES = [
    "/w/missing",
    "/w/missing/x",
    "/w/file/x",
    "/w/file/",
    "/../../w/../../w/file",
    "/w/" + "n" * 256,
    "/w/" + "d/" * 2500,
    "/w/\n\udce9",
    "/w/a\0b",
    "w/file",
    "",
    "/",
]


# What a function has left open.
CLOSE = {"aug_init": "aug_close", "journal_open": "journal_close"}


class Watch:
    """Ends the program if what is done in its block does not end."""

    def __init__(self, call):
        self.timer = threading.Timer(PATIENCE, self.hangs, [call])
        self.timer.daemon = True

    def __enter__(self):
        self.timer.start()

    def __exit__(self, *exception):
        self.timer.cancel()

    @staticmethod
    def hangs(call):
        print("it hangs:", call, flush=True)
        os._exit(1)


def takes_file(function, arg):
    return arg["type"] in PATHS or ALSO.get(function["name"]) == arg["name"]


def usual(function, arg, place):
    """A value with which the function does its work."""
    name, kind = arg["name"], arg["type"]
    if takes_file(function, arg):
        if name == "specfile":
            return "/w/contexts"
        if kind == "filename_list":
            return ["a", "b"]
        lists_names = any(it["type"] == "filename_list" for it in function["args"])
        is_directory = lists_names or "dir" in name or name in ("root", "paths", "mountpoint")
        path = "/w/dir" if is_directory else "/w/file"
        return [path] if kind.endswith("_list") else path
    match kind:
        case "device":
            return "/dev/sdb"
        case "filein":
            return f"{place}/{function['name']}"
        case "fileout":
            return f"{place}/out"
        case "bytes":
            return b"content"
        case "bool":
            return False
        case "string_list":
            return []
    if name == "remote":
        return "rsync://127.0.0.1:1/module/"
    # The arguments of a new function are what they are until somebody has given them a value.
    return VALUES[name] if name in VALUES else OTHERS[kind]


def prepare(g):
    """What other calls have made is gone, and the usual files are as they were."""
    for name in ("file", "dir", "pipe", "missing", "\n\udce9"):
        g.rm_rf("/w/" + name)
    g.write("/w/file", b"content\n")
    g.write("/w/contexts", b"/.* system_u:object_r:etc_t:s0\n")
    g.mkdir("/w/dir")
    g.mkfifo(0o644, "/w/pipe")


def is_about(message, function, values):
    """The error begins with the function, and then names an argument or a file."""
    start = function["name"] + ": "
    objects = [it["name"] + ": " for it in function["args"]]
    # Or it is what a program has to say about them.
    objects += ["127.0.0.1", "setfiles: ", "xfs_repair: "]
    for given in values:
        for it in given if isinstance(given, list) else [given]:
            if isinstance(it, str) and it:
                # Messages are text.
                it = it.encode(errors="surrogateescape").decode(errors="replace")
                # Or a directory on the way to it.
                objects += [it, posixpath.dirname(it.rstrip("/")) + ": "]
    return message.startswith(start) and any(it in message[len(start) :] for it in objects)


def call_with(g, function, values):
    """The error, or None."""
    name = function["name"]
    try:
        getattr(g, name)(*values)
    except guestfs.Error as err:
        return str(err)
    if name in CLOSE:
        getattr(g, CLOSE[name])()
    if name.startswith("mount"):
        g.umount_all()
        g.mount("/dev/sda", "/")
    prepare(g)
    return None


def complaints(g, function, position, place):
    """Calls a function with all there is in place of one argument."""
    arg = function["args"][position]
    for thing in [*MAKERS, *NAMES]:
        if thing == "/" and function["name"] in NOT_THE_ROOT:
            continue
        path = thing
        if thing in MAKERS:
            path = "/w/dir/" + thing if arg["type"] == "filename_list" else "/w/" + thing
            g.rm_rf(path)
            MAKERS[thing](g, path)
        values = [usual(function, it, place) for it in function["args"]]
        if arg["type"] == "filename_list" and thing in MAKERS:
            path = thing
        values[position] = [path] if arg["type"].endswith("_list") else path
        call = f"{function['name']}({arg['name']}={thing[:40]!r})"
        with Watch(call):
            error = call_with(g, function, values)
        if error is not None and not is_about(error, function, values):
            yield f"{call}: {error[:300]}"


def sent_files(g, place):
    """What functions are given that take a file of the host."""
    for name, make in (("tar_in", g.tar_out), ("tgz_in", g.tgz_out), ("txz_in", g.txz_out)):
        make("/w/dir", f"{place}/{name}")
    contents = {"upload": "content", "upload_offset": "content", "base64_in": "YWJj"}
    for name, content in contents.items():
        with open(f"{place}/{name}", "w", encoding="ascii") as file:
            file.write(content)


def own_files(g):
    """What there is where the appliance can be written to, and how many files are open."""
    script = "find /run /tmp /var /root /etc -xdev | sort; cat /run/canary /etc/hostname"
    return g.debug("sh", [script + "; ls /proc/1/fd | wc -l"])


def main():
    functions = json.load(sys.stdin)
    wrong = []
    with tempfile.TemporaryDirectory() as place, guestfs.GuestFS(python_return_dict=True) as g:
        for size in (128 << 20, 64 << 20):
            g.add_drive_scratch(size)
        g.launch()
        for disk in ("/dev/sda", "/dev/sdb"):
            g.mkfs("ext4", disk)
        g.mount("/dev/sda", "/")
        g.mkdir("/w")
        prepare(g)
        sent_files(g, place)
        g.inotify_init(100)
        g.debug("sh", ["echo canary > /run/canary"])
        before = own_files(g)
        for function in functions:
            if function["name"] in LEFT_OUT:
                continue
            for position, arg in enumerate(function["args"]):
                if takes_file(function, arg):
                    wrong += complaints(g, function, position, place)
            g.ping_daemon()
        after = own_files(g)
        if after != before:
            wrong += ["files of the appliance:", *difflib.ndiff(before.split("\n"), after.split("\n"))]
    for complaint in wrong:
        print(complaint)


main()
