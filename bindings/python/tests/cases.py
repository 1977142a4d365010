# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the cases of api.yaml are made of, in Python; tests/src has the same for Rust."""

import contextlib
import errno as errnos
import os
import re
import sys
import tempfile
from pathlib import Path

import guestfs

__all__ = [
    "OUTPUT",
    "all_have",
    "case",
    "fails",
    "has",
    "matches",
    "returns",
    "sends",
    "text",
    "wrote",
]

# The file of the host that a case writes, in its own directory.
OUTPUT = "output"

MIB = 1 << 20

CASES = []


class Case:
    def __init__(self, title, disk, needs, usual, body):
        self.title = title
        self.disk = disk
        self.needs = needs
        self.usual = usual
        self.body = body

    def run(self):
        """Runs the body on fresh copies of known disks; the current directory is empty."""
        with contextlib.closing(guestfs.GuestFS(python_return_dict=True)) as g:
            if self.disk not in ("config", "unlaunched"):
                add_disks(g, self.disk)
                g.launch()
                if self.needs and not g.feature_available(self.needs):
                    print(f"{self.title}: skipped: the appliance lacks one of {self.needs}")
                    return
                if self.disk not in ("blank", "ext4", "readonly"):
                    g.mount("/dev/sda1", "/")
            self.body(g)


def case(title, disk, needs=(), usual=False):
    """Declares a case."""

    def declare(body):
        CASES.append(Case(title, disk, needs, usual, body))
        return body

    return declare


def add_disks(g, disk):
    if disk == "blank":
        for size in (512, 512, 50):
            g.add_drive_scratch(size * MIB)
        return
    name = "ext4" if disk in ("ext4", "ext4-mounted", "readonly") else disk
    base = os.path.join(os.environ["GUESTFS_TEST_IMAGES"], name + ".img")
    if disk == "readonly":
        g.add_drive_ro(base)
    else:
        g.disk_create("overlay.qcow2", "qcow2", -1, backingfile=base, backingformat="raw")
        g.add_drive("overlay.qcow2", format="qcow2")
    g.add_drive_scratch(512 * MIB)


def is_wanted(case):
    """GUESTFS_TEST_CASES is `all`, or part of the titles of those that are wanted."""
    wanted = os.environ.get("GUESTFS_TEST_CASES")
    if not wanted:
        return case.usual
    return wanted == "all" or wanted in case.title


def run():
    """Runs the cases that are wanted, each in a directory of its own; true if none fails."""
    wanted = [case for case in CASES if is_wanted(case)]
    failures = 0
    for case in wanted:
        with tempfile.TemporaryDirectory(dir=".") as directory, contextlib.chdir(directory):
            try:
                case.run()
            except Exception as err:
                print(f"{case.title}: {type(err).__name__}: {err}", file=sys.stderr)
                failures += 1
    print(len(wanted), "cases")
    return failures == 0


def sends(content):
    """A file of the host with this content."""
    with tempfile.NamedTemporaryFile(dir=".", delete=False) as file:
        file.write(content)
    return os.path.basename(file.name)


def text(raw):
    """Bytes that need not be UTF-8, as in names of files."""
    return os.fsdecode(raw)


def check(holds, expected, got):
    if not holds:
        raise AssertionError(f"\nexpected {shown(expected)}\ngot      {shown(got)}")


def shown(value):
    value = repr(value)
    return value if len(value) <= 4000 else f"{value[:4000]}... ({len(value)} characters)"


def returns(got, expected):
    """The result is exactly this."""
    same_type = isinstance(got, int) if isinstance(expected, int) else type(got) is type(expected)
    check(same_type and got == expected, expected, got)


def has(got, expected):
    """These are among the fields of the structure."""
    for name, value in expected.items():
        same_type = isinstance(got[name], (int, float)) == isinstance(value, int)
        check(same_type and got[name] == value, expected, got)


def all_have(got, expected):
    """The same for a list of structures."""
    check(len(got) == len(expected), expected, got)
    for one, fields in zip(got, expected):
        has(one, fields)


def matches(got, pattern):
    """The text of the result matches this."""
    if isinstance(got, bytes):
        got = got.decode(errors="replace")
    elif isinstance(got, list):
        got = "".join(item + "\n" for item in got)
    elif isinstance(got, dict):
        got = "{" + ", ".join(f'"{name}": "{value}"' for name, value in got.items()) + "}"
    check(re.search(pattern, str(got)), re.compile(pattern), got)


@contextlib.contextmanager
def fails(errno, says):
    """The error has this errno and these words."""
    expected = f"the error {errno} with {says!r}"
    number = getattr(errnos, errno) if errno else None
    try:
        yield
    except RuntimeError as err:
        # In Debian's module an error is its text.
        got = getattr(err, "errno", number)
        check(got == number and says in str(err), expected, (errnos.errorcode.get(got), str(err)))
    else:
        raise AssertionError(f"\nexpected {expected}\ngot no error")


def wrote(expected):
    """The file that was written has exactly this content."""
    check((got := Path(OUTPUT).read_bytes()) == expected, expected, got)
