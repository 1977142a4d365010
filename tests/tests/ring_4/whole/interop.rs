// SPDX-License-Identifier: LGPL-2.1-or-later
//! One end of the wire is ours, the other is Debian's: its library with our appliance, and our
//! library with an appliance that it made.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use guestfs::{AddDriveOptions, Events, Handle, MkfsOptions, Payload};

use crate::support::{
    Running, appliance, fifo, hold_build, program, refused, run, sparse, target, top,
};

const MIB: u64 = 1 << 20;

/// Debian's library tries KVM first, and does not come back from one that hangs.
const WITHOUT_KVM: &str = "#!/bin/bash\n\
    exec qemu-system-x86_64 \"${@//accel=kvm:tcg/accel=tcg}\"\n";

/// A program of Debian's with the library it came with.
fn debian(name: &str, directory: &Path) -> Command {
    let hv = program(directory, "qemu", WITHOUT_KVM);
    let mut command = Command::new(name);
    command.current_dir(directory).env("LC_ALL", "C");
    command.env("LIBGUESTFS_BACKEND", "direct").env("LIBGUESTFS_HV", hv);
    command.env("LIBGUESTFS_CACHEDIR", directory).env("TMPDIR", directory);
    // It would be taken for the appliance that is to be made.
    command.env_remove("LIBGUESTFS_PATH");
    command
}

#[test]
fn library_of_debian_with_our_appliance() {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    sparse(dir.path().join("disk.img"), 128 * MIB);
    let large: Vec<u8> = (0..5 * MIB).map(|it| (it % 251) as u8).collect();
    fs::write(dir.path().join("large"), &large).expect("a file");
    let script = "add disk.img format:raw\n\
                  run\n\
                  list-devices\n\
                  part-disk /dev/sda mbr\n\
                  mkfs ext4 /dev/sda1 label:ROOT\n\
                  vfs-label /dev/sda1\n\
                  mount /dev/sda1 /\n\
                  write /x hello\n\
                  cat /x\n\
                  -cat /missing\n\
                  -mount /dev/sdz /\n\
                  upload large /large\n\
                  checksum md5 /large\n\
                  download /large back\n\
                  -download /missing back2\n\
                  tar-out / all.tar\n\
                  mkdir /unpacked\n\
                  tar-in all.tar /unpacked\n\
                  is-file /unpacked/large\n\
                  -tar-in all.tar /missing\n\
                  readdir /unpacked | grep -c large\n\
                  -rmdir /missing\n\
                  -command /bin/missing\n\
                  ls /\n\
                  find0 / found\n\
                  statns /x | grep st_size\n\
                  umount /\n\
                  mount-ro /dev/sda1 /\n\
                  ll / | grep -c large\n";
    let without_body = without_body();
    let (calls, disks) = script.split_once("upload").expect("an upload");
    let call = without_body.as_ref().map(|it| format!("-{}\n", it.replace('_', "-")));
    let script = format!("{calls}{}upload{disks}", call.unwrap_or_default());
    fs::write(dir.path().join("script"), script).expect("a script");
    let mut command = debian("guestfish", dir.path());
    command.args(["--progress-bars", "-f", "script"]).env("LIBGUESTFS_PATH", appliance());
    let output = command.output().expect("guestfish");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{printed}{complaints}");
    let sum = run(Command::new("md5sum").arg(dir.path().join("large")));
    let sum = sum.split(' ').next().unwrap_or_default();
    for expected in ["/dev/sda\n", "ROOT\n", "hello\n", sum, "lost+found\n", "st_size: 5\n"] {
        assert!(printed.contains(expected), "{expected:?} is not in {printed}");
    }
    assert!(printed.ends_with("\n1\n"), "{printed}");
    for expected in [
        "download: /missing: No such file or directory\n",
        "mount: /dev/sdz: ",
        "tar_in: /missing: No such file or directory\n",
        "rmdir: /missing: No such file or directory\n",
        "command: /bin/missing: No such file or directory\n",
    ] {
        let expected = format!("libguestfs: error: {expected}");
        assert!(complaints.contains(&expected), "{expected:?} is not in {complaints}");
    }
    if let Some(name) = without_body {
        let expected = format!("libguestfs: error: {name}: ");
        assert!(complaints.contains(&expected), "{expected:?} is not in {complaints}");
    }
    assert_eq!(fs::read(dir.path().join("back")).expect("a download"), large);
    let listed = run(Command::new("tar").arg("-tf").arg(dir.path().join("all.tar")));
    assert!(listed.lines().any(|it| it == "./large"), "{listed}");
    let found = fs::read(dir.path().join("found")).expect("a list");
    assert!(found.split(|it| *it == 0).any(|it| it == b"large"));
}

/// A function without arguments that our daemon declares and does not have, if any is left.
fn without_body() -> Option<String> {
    let api = fs::read_to_string(top().join("api.yaml")).expect("api.yaml");
    let mut entries = api.split("\n  - name: ");
    let entry = entries.find(|it| {
        let (args, host) = (it.contains("\n    args:"), it.contains("\n    side: host"));
        it.contains("\n    implemented: false") && !args && !host && !it.contains("internal")
    })?;
    entry.lines().next().map(str::to_owned)
}

/// An appliance that Debian's library made, once.
fn made_by_debian() -> PathBuf {
    let made = target().join("appliance-of-debian");
    let lock = fs::File::create(target().join("appliance-of-debian.lock")).expect("a file");
    lock.lock().expect("a lock");
    if !made.exists() {
        let dir = tempfile::tempdir_in(target()).expect("a directory");
        let inner = dir.path().join("appliance");
        run(debian("libguestfs-make-fixed-appliance", dir.path()).arg(&inner));
        fs::rename(inner, &made).expect("rename");
    }
    made
}

/// What the library has to tell in the meantime.
fn heard(g: &Handle) -> Arc<Mutex<String>> {
    let text: Arc<Mutex<String>> = Arc::default();
    let log = text.clone();
    g.set_event_callback(Events::LIBRARY, move |_, _, _, payload| {
        if let Payload::Buf(bytes) = payload {
            log.lock().expect("a lock").push_str(&String::from_utf8_lossy(bytes));
        }
    });
    text
}

#[test]
fn our_library_with_an_appliance_of_debian() {
    let _held = hold_build();
    let made = made_by_debian();
    let root_before = fs::metadata(made.join("root")).expect("root").modified().expect("a time");
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let g = Arc::new(Handle::create().expect("a handle"));
    g.set_path(Some(made.as_os_str().as_encoded_bytes())).expect("set_path");
    g.set_verbose(true).expect("set_verbose");
    let log = heard(&g);
    g.add_drive_scratch(256 << 20, &Default::default()).expect("a scratch disk");
    let raw = AddDriveOptions { format: Some("raw".into()), ..Default::default() };
    let second = sparse(path("second"), 64 * MIB);
    g.add_drive(second.as_os_str().as_encoded_bytes(), &raw).expect("add_drive");
    g.launch().expect("launch");
    let said = log.lock().expect("a lock").clone();
    assert!(said.contains("no template: the appliance is one of libguestfs"), "{said}");

    assert_eq!(g.list_devices().expect("list_devices"), ["/dev/sda", "/dev/sdb"]);
    g.part_disk("/dev/sda", "mbr").expect("part_disk");
    let label = MkfsOptions { label: Some("THEIRS".into()), ..Default::default() };
    g.mkfs("ext4", "/dev/sda1", &label).expect("mkfs");
    assert_eq!(g.vfs_label("/dev/sda1").expect("vfs_label"), "THEIRS");
    g.mount("/dev/sda1", "/").expect("mount");
    g.write("/x", b"hello\n").expect("write");
    assert_eq!(g.cat("/x").expect("cat"), "hello\n");
    g.mkdir("/d").expect("mkdir");
    assert_eq!(g.ls("/").expect("ls"), ["d", "lost+found", "x"]);
    let entries = g.readdir("/").expect("readdir");
    let entries: Vec<_> = entries.iter().map(|it| (it.name.to_string(), it.ftyp)).collect();
    let expected = [(".", b'd'), ("..", b'd'), ("d", b'd'), ("lost+found", b'd'), ("x", b'r')];
    assert_eq!(entries, expected.map(|(name, kind)| (name.to_owned(), kind)));
    assert_eq!(g.find("/").expect("find"), ["d", "lost+found", "x"]);
    assert_eq!(g.statns("/x").expect("statns").st_size, 6);
    let stats = g.lstatnslist("/", &["x", "missing"]).expect("lstatnslist");
    assert_eq!((stats[0].st_size, stats[1].st_ino), (6, -1));
    refused(g.cat("/missing"), "ENOENT cat: /missing: No such file or directory");

    // Transfers, of more than a message, with progress.
    let large: Vec<u8> = (0..20 * MIB).map(|it| (it % 251) as u8).collect();
    fs::write(path("large"), &large).expect("a file");
    let steps: Arc<Mutex<Vec<u64>>> = Arc::default();
    let seen = steps.clone();
    g.set_event_callback(Events::PROGRESS, move |_, _, _, payload| {
        if let Payload::Array(numbers) = payload {
            seen.lock().expect("a lock").push(numbers[3]);
        }
    });
    g.upload(path("large"), "/large").expect("upload");
    g.download("/large", path("back")).expect("download");
    assert_eq!(fs::read(path("back")).expect("a file"), large);
    assert_eq!(g.read_file("/large").expect("read_file"), large);
    g.write("/written", &large).expect("write");
    assert_eq!(g.filesize("/written").expect("filesize"), 20 << 20);
    let sum = g.checksum("md5", "/large").expect("checksum");
    assert_eq!(g.checksum("md5", "/written").expect("checksum"), sum);
    g.debug("progress", &["5"]).expect("debug");
    assert!(!steps.lock().expect("a lock").is_empty());

    // Somebody changes his mind.
    let pipe = fifo(path("pipe"));
    let upload = {
        let (g, pipe) = (g.clone(), pipe.clone());
        Running::start(move || g.upload(&pipe, "/never"))
    };
    let mut source = fs::File::create(&pipe).expect("a pipe");
    source.write_all(&large[..8 << 20]).expect("most of it is on its way");
    g.user_cancel().expect("user_cancel");
    refused(upload.end(), "EINTR upload: operation cancelled");
    assert_eq!(g.cat("/x").expect("cat"), "hello\n");

    // What this daemon is too old for.
    refused(g.internal_resume(0, 0, b"", 0), "ENOTSUP");
    g.shutdown().expect("shutdown");
    let root = fs::metadata(made.join("root")).expect("root");
    assert_eq!(root.modified().expect("a time"), root_before);
}
