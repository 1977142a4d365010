// SPDX-License-Identifier: LGPL-2.1-or-later
//! What cannot work is refused before anything is started, and the refusal says what is wrong.

use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use guestfs::{AddDriveOptions, Handle, Result};

use crate::support::{as_nobody, bytes, refused, session, sparse};

fn new() -> Handle {
    Handle::create().expect("a handle")
}

#[track_caller]
fn check<T: Debug>(name: &str, call: impl FnOnce(&Handle, &[u8]) -> Result<T>, expected: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    sparse(dir.path().join("disk.img"), 1 << 20);
    fs::create_dir(dir.path().join("directory")).expect("a directory");
    let path = dir.path().join(name);
    let result = call(&new(), bytes(&path));
    let place = format!("{}/", dir.path().display());
    refused(result, &expected.replace("DIR/", &place));
}

#[test]
fn images() {
    let add = |g: &Handle, path: &[u8]| g.add_drive(path, &Default::default());
    check("missing", add, "ENOENT add_drive: DIR/missing: No such file or directory");
    check("directory", add, "EISDIR add_drive: DIR/directory: Is a directory");
    check("disk.img/x", add, "ENOTDIR add_drive: DIR/disk.img/x: Not a directory");
    check("n\0l", add, "EINVAL add_drive: filename: contains a NUL byte");
    check("", |g, _| g.add_drive("", &Default::default()), "EINVAL add_drive: filename: is empty");
    check(
        "",
        |g, _| g.add_drive("/dev/zero", &Default::default()),
        "EINVAL add_drive: /dev/zero: not a file or a block device",
    );
    let size = |g: &Handle, path: &[u8]| g.disk_virtual_size(path);
    check("missing", size, "ENOENT disk_virtual_size: DIR/missing: No such file or directory");
    let create = |format: &'static str, size| {
        move |g: &Handle, path: &[u8]| g.disk_create(path, format, size, &Default::default())
    };
    check(
        "no/dir",
        create("raw", 512),
        "ENOENT disk_create: DIR/no/dir: No such file or directory",
    );
    check("new", create("raw", -1), "EINVAL disk_create: size: ");
    check("new", create("vhs", 512), "EINVAL disk_create: format: vhs");
}

#[test]
fn relative_names_are_those_of_the_moment() {
    let g = new();
    let here = std::env::current_dir().expect("a current directory");
    let expected = format!("ENOENT add_drive: {}/missing: No such file", here.display());
    refused(g.add_drive("missing", &Default::default()), &expected);
}

#[test]
fn options() {
    let with = |change: fn(&mut AddDriveOptions)| {
        move |g: &Handle, path: &[u8]| {
            let mut options = AddDriveOptions::default();
            change(&mut options);
            g.add_drive(path, &options)
        }
    };
    let format = with(|it| it.format = Some("a,b".into()));
    check("disk.img", format, "EINVAL add_drive: format: ");
    let protocol = with(|it| it.protocol = Some("gopher".into()));
    check("disk.img", protocol, "EINVAL add_drive: protocol: gopher: not a known protocol");
    let discard = with(|it| it.discard = Some("maybe".into()));
    check("disk.img", discard, "EINVAL add_drive: discard: maybe");
    let label = with(|it| it.label = Some("no/slash".into()));
    check("disk.img", label, "EINVAL add_drive: label: ");
    let blocksize = with(|it| it.blocksize = Some(1000));
    check("disk.img", blocksize, "EINVAL add_drive: blocksize: 1000");
    let backend = |g: &Handle, _: &[u8]| g.set_backend("teleport");
    check("", backend, "EINVAL set_backend: backend: teleport");
    let memsize = |g: &Handle, _: &[u8]| g.set_memsize(1);
    check("", memsize, "EINVAL set_memsize: memsize: 1");
    let smp = |g: &Handle, _: &[u8]| g.set_smp(0);
    check("", smp, "EINVAL set_smp: smp: 0");
}

#[test]
fn calls_before_launch() {
    let before = "call launch before using this function";
    let check = |result, function| refused(result, &format!("EINVAL {function}: {before}"));
    let g = new();
    check(g.mount("/dev/sda1", "/"), "mount");
    check(g.cat("/etc/fstab").map(drop), "cat");
    check(g.write("/new", b""), "write");
    check(g.ls("/").map(drop), "ls");
    check(g.upload("/etc/hostname", "/etc/hostname"), "upload");
    refused(g.get_pid(), "ESRCH get_pid: the appliance is not running");
    g.shutdown().expect("nothing to shut down");
    g.close().expect("close");
}

#[test]
fn launch_without_appliance_or_qemu() {
    let g = new();
    g.set_path(Some(b"/nowhere:/else")).expect("set_path");
    refused(g.launch(), "ENOENT launch: no appliance found in /nowhere, /else; ");
    assert_eq!(g.is_config(), Ok(true));
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["kernel", "initrd", "root"] {
        fs::write(dir.path().join(name), "").expect("a file");
    }
    g.set_path(Some(bytes(dir.path()))).expect("set_path");
    g.set_hv("/no/such/qemu").expect("set_hv");
    refused(g.launch(), "ENOENT launch: /no/such/qemu: not found; ");
    assert_eq!(g.is_config(), Ok(true));
    g.set_hv("/bin/false").expect("set_hv");
    refused(g.launch(), "launch: /bin/false: ");
    assert_eq!(g.is_config(), Ok(true));
}

/// Root may read and write everything, so this is tried by somebody else.
#[test]
fn files_of_somebody_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = sparse(dir.path().join("disk.img"), 1 << 20);
    let set_mode = |mode| {
        fs::set_permissions(&disk, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let add = || {
        let output = as_nobody(session("add").arg(&disk)).output().expect("a session");
        String::from_utf8(output.stdout).expect("text")
    };
    let name = disk.display();
    set_mode(0o000);
    assert_eq!(add(), format!("add_drive: {name}: Permission denied\n"));
    set_mode(0o444);
    let hint = "(it can be added read-only)";
    assert_eq!(add(), format!("add_drive: {name}: Permission denied {hint}\n"));
    set_mode(0o666);
    assert_eq!(add(), "added\n");
}
