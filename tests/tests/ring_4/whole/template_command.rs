// SPDX-License-Identifier: LGPL-2.1-or-later
//! `guestfs-appliance warm` and `templates`: no launch pays for the first one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use guestfs::Handle;

use super::template::is_restored;
use crate::support::{appliance, bytes, handle, run, target};

fn command(cache: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(target().join("debug/guestfs-appliance"));
    command.args(arguments).env("LIBGUESTFS_CACHEDIR", cache).env("LIBGUESTFS_PATH", appliance());
    command.env_remove("LIBGUESTFS_DEBUG").env_remove("LIBGUESTFS_BACKEND_SETTINGS");
    command
}

fn templates(cache: &Path, option: &[&str]) -> String {
    run(&mut command(cache, &[&["templates"], option].concat()))
}

/// Fails if a template is made now.
#[track_caller]
fn check_launch(cache: &Path, set: impl FnOnce(&Handle)) {
    let before = templates(cache, &[]).lines().count();
    let g = handle();
    g.set_cachedir(Some(bytes(cache))).expect("set_cachedir");
    g.set_verbose(false).expect("set_verbose");
    set(&g);
    g.launch().expect("launch");
    assert!(is_restored(&g));
    g.close().expect("close");
    assert_eq!(templates(cache, &[]).lines().count(), before);
}

#[test]
fn made_listed_and_removed() {
    build();
    let dir = tempfile::tempdir().expect("a directory");
    let cache = dir.path();
    assert_eq!(templates(cache, &[]), "no templates\n");
    let warm = |options: &[&str]| run(&mut command(cache, &[&["warm"], options].concat()));
    let said = warm(&[]);
    assert!(said.contains(": made and tried in "), "{said}");
    let said = warm(&[]);
    assert!(said.ends_with(": is there, and works\n"), "{said}");
    check_launch(cache, |_| ());

    let said = warm(&["--memsize", "512", "--smp", "2", "--network"]);
    assert!(said.contains("made"), "{said}");
    check_launch(cache, |g| {
        g.set_memsize(512).expect("set_memsize");
        g.set_smp(2).expect("set_smp");
        g.set_network(true).expect("set_network");
    });

    let list = templates(cache, &[]);
    let rows: Vec<_> = list.lines().collect();
    assert!(rows[0].starts_with("NAME ") && rows[0].ends_with("FOR"), "{list}");
    // The last used comes first.
    assert!(rows[1].contains(" 512 MiB, smp 2, ") && rows[1].contains(", network, "), "{list}");
    assert!(rows[2].contains(" 1280 MiB, smp 1, ") && rows[2].contains(" MiB "), "{list}");
    assert_eq!(rows.len(), 3, "{list}");

    assert_eq!(templates(cache, &["--clear"]), "2 removed\n");
    assert_eq!(templates(cache, &[]), "no templates\n");
}

/// The cargo that built this test has not built another package's program.
fn build() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(["build", "--quiet", "-p", "guestfs-appliance"]));
}

#[test]
fn those_of_a_replaced_appliance_go() {
    build();
    let dir = tempfile::tempdir().expect("a directory");
    let (cache, own) = (dir.path().join("cache"), dir.path().join("appliance"));
    for directory in [&cache, &own] {
        fs::create_dir(directory).expect("a directory");
    }
    for name in ["kernel", "initrd", "root"] {
        fs::copy(Path::new(&appliance()).join(name), own.join(name)).expect("a copy");
    }
    let warm = |cache: &Path| {
        let mut command = command(cache, &["warm"]);
        run(command.env("LIBGUESTFS_PATH", &own))
    };
    warm(&cache);
    let initrd = File::options().write(true).open(own.join("initrd")).expect("the initrd");
    initrd.set_modified(SystemTime::now() - Duration::from_secs(100)).expect("set_modified");
    let list = templates(&cache, &[]);
    assert!(list.contains("(stale"), "{list}");
    warm(&cache);
    let list = templates(&cache, &[]);
    assert!(!list.contains("(stale"), "{list}");
    assert_eq!(list.lines().count(), 2, "{list}");
}

#[test]
fn what_can_not_be_warmed() {
    build();
    let dir = tempfile::tempdir().expect("a directory");
    #[track_caller]
    fn check(cache: &Path, name: &str, value: impl AsRef<OsStr>, says: &str) {
        let output = command(cache, &["warm"]).env(name, value).output().expect("a run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(says), "{stderr}");
    }
    let off = "such handles have no template: the backend setting template is 0";
    check(dir.path(), "LIBGUESTFS_TEMPLATE", "0", off);
    check(dir.path(), "LIBGUESTFS_PATH", dir.path(), "no appliance found in");
    assert_eq!(templates(dir.path(), &[]), "no templates\n");
}
