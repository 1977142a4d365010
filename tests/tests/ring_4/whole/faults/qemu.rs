// SPDX-License-Identifier: LGPL-2.1-or-later
//! The program that runs the appliance: absent, old, broken.

use super::{Place, program};

const ANOTHER: &str = "LIBGUESTFS_HV";

#[test]
fn none_at_all() {
    let install = "install qemu-system-x86";
    let nowhere = |hv| Place::new().env("LIBGUESTFS_HV", hv);
    nowhere("/no/such/qemu").fails(&["/no/such/qemu: not found; ", install, ANOTHER]);
    nowhere("no-such-qemu").fails(&["no-such-qemu: not found; ", install, ANOTHER]);
    nowhere("/etc/passwd").fails(&["/etc/passwd: not a program; ", install, ANOTHER]);
}

#[test]
fn too_old() {
    let script = r#"
case "$*" in *--version*)
    echo "QEMU emulator version 2.8.1(Debian 1:2.8+dfsg-6+deb9u17)"
    exit 0
esac
echo "$0: -chardev socket,id=qmp,fd=3: Invalid parameter 'fd'" >&2
exit 1"#;
    Place::new().hypervisor(script).fails(&[
        "qemu-wrapper: not a usable qemu: version 2.8.1 is too old, it takes 4.2 or later",
        ANOTHER,
    ]);
}

#[test]
fn ends_at_once() {
    #[track_caller]
    fn check(script: &str, says: &[&str]) {
        Place::new().hypervisor(script).fails(&["qemu-wrapper: not a usable qemu: ", ANOTHER]);
        let says = says.iter().chain(&["qemu exited with status "]).copied().collect::<Vec<_>>();
        Place::new().hypervisor_that(script).fails(&says);
    }
    check("echo 'qemu-system-x86_64: cannot do that' >&2; exit 1", &["status 1: cannot do that"]);
    let library = "echo \"$0: error while loading shared libraries: libpixman-1.so.0: cannot open \
                   shared object file: No such file or directory\" >&2; exit 127";
    check(library, &["libpixman-1.so.0", "install qemu again"]);
    let symbol = "echo \"$0: symbol lookup error: $0: undefined symbol: foo\" >&2; exit 127";
    check(symbol, &["undefined symbol: foo", "install qemu again"]);
    check("exit 3", &["without a word", "guestfs-test-tool"]);
}

#[test]
fn is_killed() {
    Place::new().hypervisor_that("kill -9 $$").fails(&[
        "qemu was killed by signal 9",
        "out of memory",
        "LIBGUESTFS_MEMSIZE",
    ]);
    Place::new().hypervisor_that("kill -SEGV $$").fails(&[
        "qemu was killed by signal 11",
        "install another version",
        ANOTHER,
    ]);
}

#[test]
fn lacks_devices() {
    // What a modular build says whose modules are not installed.
    let lacking = "echo \"$0: -device virtio-scsi-pci,id=scsi: 'virtio-scsi-pci' is not a valid \
                   device model name\" >&2; exit 1";
    Place::new().hypervisor_that(lacking).fails(&["virtio-scsi-pci", "install qemu-system-x86"]);
}

#[test]
fn hangs() {
    let soon = |place: Place| place.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg:timeout=3");
    soon(Place::new())
        .hypervisor("exec sleep 1000")
        .fails(&["qemu-wrapper: not a usable qemu: it has not answered in 3 seconds", ANOTHER]);
    let silent = "not ready after 3 seconds, and nothing was heard of it";
    soon(Place::new()).hypervisor_that("exec sleep 1000").fails(&[silent, "timeout"]);
}

#[test]
fn cannot_be_run() {
    let place = Place::new();
    let no_interpreter = place.file("no-interpreter");
    program(&no_interpreter, b"#!/no/such/shell\n");
    place
        .env("LIBGUESTFS_HV", no_interpreter)
        .fails(&["no-interpreter: No such file or directory", ANOTHER]);
}
