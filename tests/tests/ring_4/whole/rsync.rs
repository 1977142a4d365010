// SPDX-License-Identifier: LGPL-2.1-or-later
//! Synchronizing with another machine: this one, on which rsync answers as a daemon.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use guestfs::{RsyncInOptions, RsyncOutOptions};

use crate::support::{Running, handle, hold_build, refused, tool};

/// Answers so many calls, each by an rsync that gets the connection as inetd would give it.
fn serve(config: &Path, n_calls: usize) -> (u16, Running<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let config = format!("--config={}", config.display());
    let running = Running::start(move || {
        for connection in listener.incoming().take(n_calls) {
            let connection = OwnedFd::from(connection.expect("a connection"));
            let mut rsync = tool("rsync");
            rsync.args(["--daemon", &config]).stdin(connection).stdout(Stdio::null());
            rsync.status().expect("rsync");
        }
    });
    (port, running)
}

#[test]
fn to_and_from_another_machine() {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    fs::create_dir_all(data.join("sub")).expect("a directory");
    fs::write(data.join("one"), "one\n").expect("a file");
    fs::write(data.join("sub/two"), vec![b'2'; 3 << 20]).expect("a file");
    fs::set_permissions(data.join("one"), fs::Permissions::from_mode(0o640)).expect("chmod");
    std::os::unix::fs::symlink("one", data.join("link")).expect("a link");
    // Root would become another user.
    let user = match nix::unistd::geteuid().is_root() {
        true => "uid = 0\ngid = 0\n",
        false => "",
    };
    let config = dir.path().join("rsyncd.conf");
    let log = dir.path().join("log");
    let (at, log) = (data.display(), log.display());
    let content =
        format!("use chroot = no\nlog file = {log}\n{user}[data]\npath = {at}\nread only = no\n");
    fs::write(&config, content).expect("a file");
    let (port, served) = serve(&config, 7);

    let g = handle();
    g.add_drive_scratch(64 << 20, &Default::default()).expect("a scratch disk");
    g.set_network(true).expect("set_network");
    g.launch().expect("launch");
    g.mkfs("ext4", "/dev/sda", &Default::default()).expect("mkfs");
    g.mount("/dev/sda", "/").expect("mount");
    let remote = |path: &str| format!("rsync://169.254.2.2:{port}/data/{path}");
    let archive = RsyncInOptions { archive: Some(true), ..Default::default() };

    g.mkdir("/in").expect("mkdir");
    g.rsync_in(remote(""), "/in", &archive).expect("rsync_in");
    assert_eq!(g.find("/in").expect("find"), ["link", "one", "sub", "sub/two"]);
    assert_eq!(g.readlink("/in/link").expect("readlink"), "one");
    assert_eq!(g.cat("/in/one").expect("cat"), "one\n");
    let (stat, host) = (g.statns("/in/one").expect("statns"), fs::metadata(data.join("one")));
    let host = host.expect("a file");
    assert_eq!((stat.st_mode, stat.st_mtime_sec), (0o100_640, host.mtime()));
    assert_eq!(g.filesize("/in/sub/two").expect("filesize"), 3 << 20);

    // One file only, and what the source does not have any more.
    g.rsync_in(remote("one"), "/", &Default::default()).expect("rsync_in");
    assert_eq!(g.cat("/one").expect("cat"), "one\n");
    fs::remove_dir_all(data.join("sub")).expect("a directory is removed");
    g.rsync_in(remote(""), "/in/", &archive).expect("rsync_in");
    assert_eq!(g.find("/in").expect("find"), ["link", "one", "sub", "sub/two"]);
    let deleting = RsyncInOptions { deletedest: Some(true), ..archive };
    g.rsync_in(remote(""), "/in/", &deleting).expect("rsync_in");
    assert_eq!(g.find("/in").expect("find"), ["link", "one"]);

    // The other way.
    g.write("/in/new", &[b'n'; 100_000]).expect("write");
    g.rm("/in/link").expect("rm");
    let archive = RsyncOutOptions { archive: Some(true), ..Default::default() };
    g.rsync_out("/in", remote(""), &archive).expect("rsync_out");
    assert_eq!(fs::read(data.join("in/new")).expect("a file"), vec![b'n'; 100_000]);
    let deleting = RsyncOutOptions { deletedest: Some(true), ..archive };
    g.rsync_out("/in/", remote(""), &deleting).expect("rsync_out");
    let mut names: Vec<_> = fs::read_dir(&data)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["new", "one"]);

    let elsewhere = format!("rsync://169.254.2.2:{port}/other/");
    refused(g.rsync_in(elsewhere, "/in", &Default::default()), "Unknown module 'other'");
    served.end();
    // Nobody answers any more.
    refused(g.rsync_in(remote(""), "/in", &Default::default()), " rsync_in: rsync: ");
    g.umount_all().expect("umount_all");
}
