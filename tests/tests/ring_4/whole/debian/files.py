# SPDX-License-Identifier: LGPL-2.1-or-later
"""Functions on files, by Debian's module for Python; what they return is printed."""

import os
import subprocess

import guestfs


def show(name, *args, **options):
    try:
        result = getattr(g, name)(*args, **options)
    except RuntimeError as err:
        result = err
    print(f"{name}: {result}")


def fails(name, *args):
    """The words of functions of the library are its own."""
    try:
        getattr(g, name)(*args)
    except RuntimeError:
        print(f"{name}: an error")


g = guestfs.GuestFS(python_return_dict=True)
g.add_drive_scratch(128 << 20)
g.add_drive_scratch(16 << 20)
g.launch()
g.mkfs("ext4", "/dev/sda")
g.mount("/dev/sda", "/")

# What there is to work on.
os.makedirs("tree/sub/deep")
with open("tree/one", "w") as file:
    file.write("one\n")
with open("tree/sub/two", "w") as file:
    file.write("2" * 100000)
os.symlink("one", "tree/link")
show("copy_in", "tree", "/")
show("find", "/tree")
fails("copy_in", "tree/one", "/missing")
os.mkdir("back")
show("copy_out", "/tree/sub", "back")
print(sorted(os.listdir("back/sub")), os.path.getsize("back/sub/two"))
fails("copy_out", "/missing", "back")

# Copies.
show("copy_file_to_file", "/tree/one", "/copy")
show("copy_file_to_file", "/tree/sub/two", "/copy", srcoffset=10, destoffset=2, size=3)
show("cat", "/copy")
show("copy_file_to_device", "/tree/sub/two", "/dev/sdb", destoffset=4096)
show("copy_device_to_file", "/dev/sdb", "/from-device", srcoffset=4090, size=10)
show("hexdump", "/from-device")
show("copy_device_to_device", "/dev/sdb", "/dev/sdb", size=1 << 30)
show("chmod", 0o640, "/tree/one")
show("setxattr", "user.note", "value", 5, "/tree/one")
show("copy_attributes", "/tree/one", "/copy", all=True)
print(oct(g.statns("/copy")["st_mode"]), g.getxattr("/copy", "user.note"))

# Archives.
show("tgz_out", "/tree", "tree.tgz")
print(sorted(subprocess.check_output(["tar", "-tzf", "tree.tgz"], text=True).split()))
show("mkdir", "/unpacked")
show("tgz_in", "tree.tgz", "/unpacked")
show("tar_out", "/tree", "tree.tar", excludes=["two"], numericowner=True)
show("tar_in", "tree.tar", "/unpacked", compress=None)
show("tar_in", "tree.tgz", "/unpacked", compress="gzip", xattrs=True)
show("tar_in", "tree.tgz", "/unpacked", compress="rar")
show("ls", "/unpacked")
show("cpio_out", "/tree", "tree.cpio", format="newc")
with open("tree.cpio", "rb") as archive:
    print(archive.read(6))
show("compress_out", "gzip", "/tree/sub/two", "two.gz")
print(len(subprocess.check_output(["gzip", "-dc", "two.gz"])))
show("base64_out", "/tree/one", "one.64")
with open("one.64") as text:
    print(text.read())
show("base64_in", "one.64", "/decoded")
show("equal", "/decoded", "/tree/one")

# Many files.
show("mkdir", "/filled")
show("fill_dir", "/filled", 12)
show("glob_expand", "/filled/0000000*")
show("glob_expand", "/tr*")
show("glob_expand", "/tr*", directoryslash=False)
show("glob_expand", "/nothing*")
show("fill", 65, 5, "/letters")
show("fill_pattern", "abc", 8, "/pattern")
show("read_file", "/pattern")
show("readlinklist", "/tree", ["link", "one", "missing"])
print([it["st_size"] for it in g.lstatnslist("/tree", ["one", "link", "missing"])])
print([(it["name"], it["ftyp"]) for it in sorted(g.readdir("/tree"), key=lambda it: it["name"])])

# One file.
show("lchown", 1, 2, "/tree/link")
print([(g.lstatns(it)["st_uid"], g.lstatns(it)["st_gid"]) for it in ("/tree/link", "/tree/one")])
show("utimens", "/tree/one", 1, 2, 3, 4)
stat = g.statns("/tree/one")
print([stat[f"st_{it}"] for it in ("atime_sec", "atime_nsec", "mtime_sec", "mtime_nsec")])
show("mkfifo", 0o600, "/fifo")
show("mknod_c", 0o600, 1, 3, "/null")
show("is_fifo", "/fifo")
show("is_file", "/tree/link", followsymlinks=True)
show("is_file", "/tree/link")
show("is_chardev", "/null")
show("ln_sf", "one", "/tree/link")
show("readlink", "/tree/link")
show("rename", "/copy", "/renamed")
show("truncate_size", "/renamed", 2)
show("filesize", "/renamed")
show("write_append", "/renamed", "+\nlast\n")
show("head_n", 1, "/renamed")
show("tail", "/renamed")
show("wc_l", "/renamed")
show("grep", "^L", "/renamed", insensitive=True)
show("strings", "/tree/one")
show("pread", "/renamed", 3, 1)
show("pwrite", "/renamed", b"\x00\xff", 1)
show("read_file", "/renamed")
show("checksum", "md5", "/tree/one")
show("case_sensitive_path", "/TREE/Sub/TWO")
show("mkdtemp", "/tmpXXXXXX/no")
show("umask", 0o27)
show("touch", "/masked")
print(oct(g.statns("/masked")["st_mode"]))
show("rm", "/tree")
show("rmdir", "/tree")
show("rm_rf", "/tree")
fails("cat", "/tree/one")
show("umount_all")
g.shutdown()
g.close()
