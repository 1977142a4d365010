// SPDX-License-Identifier: LGPL-2.1-or-later
//! Programs of the guest find names in the network of the appliance, whatever the guest says.

use bstr::BString;
use guestfs::Handle;

use crate::debian_guest::Guest;
use crate::support::{hold_build, refused};

const PATH: &str = "/etc/resolv.conf";

/// What is on the disk, but for the time at which somebody read it.
fn on_disk(g: &Handle) -> (BString, i64, i64, i64) {
    let content = match g.is_symlink(PATH).expect("is_symlink") {
        true => g.readlink(PATH).expect("readlink"),
        false => g.cat(PATH).expect("cat"),
    };
    let stat = g.lstatns(PATH).expect("lstatns");
    (content, stat.st_mode, stat.st_ino, stat.st_mtime_sec)
}

#[test]
fn names_are_resolved() {
    let _held = hold_build();
    let guest = Guest::new();
    let g = guest.added();
    g.set_network(true).expect("set_network");
    g.launch().expect("launch");
    g.mount("/dev/sda1", "/").expect("mount");
    g.write("/etc/other.conf", b"nameserver 192.0.2.2\n").expect("write");
    let kinds: [(&str, &dyn Fn() -> guestfs::Result<()>); 4] = [
        ("a file", &|| g.write(PATH, b"nameserver 192.0.2.1\n")),
        ("a link to nowhere", &|| g.ln_sf("/run/systemd/resolve/stub-resolv.conf", PATH)),
        ("a link to a file", &|| g.ln_sf("other.conf", PATH)),
        ("a link to itself", &|| g.ln_sf(PATH, PATH)),
    ];
    for (kind, make) in kinds {
        g.rm_f(PATH).and_then(|()| make()).expect(kind);
        let before = on_disk(&g);
        let cat = || g.command(&["cat", PATH]);
        assert_eq!(cat().expect(kind), "nameserver 169.254.2.3\n", "{kind}");
        refused(g.sh(format!("cat {PATH}; kill -9 $$")), "SIGKILL");
        refused(g.sh(format!("echo mine > {PATH}")), "Read-only file system");
        refused(g.sh(format!("rm {PATH}")), "Device or resource busy");
        assert_eq!(cat().expect(kind), "nameserver 169.254.2.3\n", "{kind}");
        assert_eq!(on_disk(&g), before, "{kind}");
        assert_eq!(g.mounts().expect("mounts"), ["/dev/sda1"]);
    }
    // A guest without it has none made.
    g.rm(PATH).expect("rm");
    assert_eq!(g.sh(format!("test -e {PATH} || echo none")).expect("sh"), "none\n");
    assert!(!g.exists(PATH).expect("exists"));
    g.umount_all().expect("umount_all");
}

#[test]
fn without_a_network_it_is_the_guests() {
    let _held = hold_build();
    let g = Guest::new().mounted();
    g.write(PATH, b"nameserver 192.0.2.1\n").expect("write");
    assert_eq!(g.command(&["cat", PATH]).expect("cat"), "nameserver 192.0.2.1\n");
}
