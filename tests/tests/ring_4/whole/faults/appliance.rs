// SPDX-License-Identifier: LGPL-2.1-or-later
//! The appliance: absent, incomplete, of another version, or one that fails.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Place;
use crate::support::{appliance, hold_build};

const BUILD: &str = "guestfs-appliance";

/// An appliance in which a file can be replaced without harm to the others.
fn copy(place: &Place) -> PathBuf {
    let dir = place.file("appliance");
    fs::create_dir(&dir).expect("a directory");
    for name in ["kernel", "initrd", "root", "manifest", "README.fixed"] {
        std::os::unix::fs::symlink(Path::new(&appliance()).join(name), dir.join(name))
            .expect("symlink");
    }
    dir
}

fn replace(dir: &Path, name: &str, content: &[u8]) {
    let path = dir.join(name);
    fs::remove_file(&path).expect("a link");
    fs::write(path, content).expect("a file");
}

fn original(name: &str) -> Vec<u8> {
    fs::read(Path::new(&appliance()).join(name)).expect("a file of the appliance")
}

/// A place whose appliance has one file changed.
fn with(name: &str, content: &[u8]) -> Place {
    let place = Place::new();
    let dir = copy(&place);
    replace(&dir, name, content);
    place.env("LIBGUESTFS_PATH", dir)
}

#[test]
fn missing() {
    let place = Place::new();
    let dir = place.file("");
    place.env("LIBGUESTFS_PATH", dir).fails(&[
        "no appliance found in ",
        "/files/; build one with guestfs-appliance",
        "LIBGUESTFS_PATH",
    ]);
    let place = Place::new();
    let dir = copy(&place);
    fs::remove_file(dir.join("initrd")).expect("a link");
    place.env("LIBGUESTFS_PATH", dir).fails(&[" (without initrd)", BUILD]);
}

#[test]
fn truncated() {
    let _build = hold_build();
    for name in ["kernel", "initrd", "root"] {
        let content = original(name);
        for size in [content.len() / 2, 100, 0] {
            let place = with(name, &content[..size]);
            let says = format!("appliance/{name} is damaged: it has {size} bytes instead of ");
            place.fails(&[&says, "build the appliance again", BUILD]);
        }
    }
}

/// Nothing says how large its files should be.
#[test]
fn truncated_without_a_manifest() {
    let _build = hold_build();
    for name in ["kernel", "initrd", "root"] {
        let content = original(name);
        let place = Place::new();
        let dir = copy(&place);
        replace(&dir, name, &content[..content.len() / 2]);
        fs::remove_file(dir.join("manifest")).expect("a link");
        let place = place.env("LIBGUESTFS_PATH", dir);
        let place = place.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg:template=0");
        place.fails(&["the appliance is damaged", "build it again", BUILD]);
    }
}

/// Process 1 of the guest, in place of guestfsd: an ELF file of so few bytes that they can be read.
fn initrd(code: &[u8]) -> Vec<u8> {
    let mut elf = Vec::new();
    // Identification: 64 bit, little endian; then executable, x86-64, version 1.
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0");
    elf.extend(0x40_0078_u64.to_le_bytes());
    for word in [64_u64, 0] {
        elf.extend(word.to_le_bytes());
    }
    for half in [0_u16, 0, 64, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    // One segment to load, readable and executable: the whole file.
    let size = (120 + code.len()) as u64;
    elf.extend(b"\x01\0\0\0\x05\0\0\0");
    for word in [0, 0x40_0000, 0x40_0000, size, size, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);

    // A second archive after the first: its files replace those of the first.
    let mut initrd = original("initrd");
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    for (name, mode, data) in [("init", 0o100_755, &elf[..]), ("TRAILER!!!", 0, &[])] {
        let n_name = name.len() + 1;
        write!(initrd, "070701").expect("memory");
        for field in [0, mode, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, n_name, 0] {
            write!(initrd, "{field:08x}").expect("memory");
        }
        initrd.extend(name.as_bytes());
        initrd.push(0);
        initrd.resize(initrd.len().next_multiple_of(4), 0);
        initrd.extend(data);
        initrd.resize(initrd.len().next_multiple_of(4), 0);
    }
    initrd
}

#[test]
fn its_kernel_panics() {
    let place = Place::new().env("LIBGUESTFS_APPEND", "rdinit=/none root=/dev/none");
    place.fails(&["Kernel panic - not syncing: ", "build it again", BUILD]);
}

#[test]
fn its_daemon_dies() {
    let _build = hold_build();
    // exit (1)
    let exits = initrd(b"\xbf\x01\0\0\0\xb8\x3c\0\0\0\x0f\x05");
    with("initrd", &exits).fails(&["Attempted to kill init! exitcode=0x00000100", BUILD]);
    // *NULL
    let crashes = initrd(b"\x31\xc0\x8b\x00");
    with("initrd", &crashes).fails(&["Attempted to kill init! exitcode=0x0000000b", BUILD]);
    // guestfsd itself, whose root is no filesystem
    let garbage = vec![0x55; 1 << 20];
    with("root", &garbage).fails(&["guestfsd: error: /dev/vda: Invalid argument", BUILD]);
}

#[test]
fn it_hangs() {
    let _build = hold_build();
    // pause () for ever
    let code = b"\xb8\x22\0\0\0\x0f\x05\xeb\xf7";
    let place = Place::new();
    let dir = copy(&place);
    replace(&dir, "initrd", &initrd(code));
    // Or the file would be blamed, as it is not as long as the manifest says.
    fs::remove_file(dir.join("manifest")).expect("a link");
    let place = place.env("LIBGUESTFS_PATH", dir);
    let place = place.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg:timeout=12");
    place.fails(&["not ready after 12 seconds", "timeout", "guestfs-test-tool"]);
}

#[test]
fn its_memory_is_too_small() {
    let place = Place::new().env("LIBGUESTFS_APPEND", "mem=48M");
    place.fails(&["memory", "LIBGUESTFS_MEMSIZE"]);
}

/// One that speaks, but not as ours does.
#[test]
fn of_another_version() {
    let script = r#"
all="$*"
fd="${all#*socket,id=channel,fd=}"
fd="${fd%%[!0-9]*}"
printf '\0\0\0\1' >&"$fd"
exec sleep 1000"#;
    let place = Place::new();
    let dir = copy(&place);
    replace(&dir, "README.fixed", b"\nguestfs 0.0.9 made it with guestfs-appliance.  Licenses\n");
    let place = place.env("LIBGUESTFS_PATH", dir).hypervisor_that(script);
    place.fails(&[
        "the daemon begins with [00, 00, 00, 01]",
        "was made by guestfs 0.0.9, and this library is guestfs ",
        "build the appliance again",
        "LIBGUESTFS_PATH",
    ]);
}

/// Files that others may not read.
#[test]
fn unreadable() {
    let place = Place::new().without_rights();
    let dir = copy(&place);
    replace(&dir, "root", b"secret");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    File::open(dir.join("root")).and_then(|it| it.set_permissions(mode)).expect("chmod");
    place.env("LIBGUESTFS_PATH", dir).fails(&["(unreadable: root)", BUILD]);
}
