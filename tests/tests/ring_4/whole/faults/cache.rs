// SPDX-License-Identifier: LGPL-2.1-or-later
//! The cache and the templates in it: whatever is wrong with them, the appliance comes up.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::path::PathBuf;

use super::{Place, may_mount};

/// A place that tells where the appliance came from.
fn verbose(place: Place) -> Place {
    let place = place.env("LIBGUESTFS_DEBUG", "1");
    place.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg:template=1")
}

#[track_caller]
fn check(messages: &str, says: &[&str]) {
    for words in says {
        assert!(messages.contains(words), "{words:?} is missing in\n{messages}");
    }
}

fn private(place: &Place) -> PathBuf {
    place.cache().join(format!(".guestfs-{}", nix::unistd::geteuid()))
}

/// The template, after a launch that has made it.
fn template(place: &Place) -> PathBuf {
    let entries = fs::read_dir(private(place)).expect("the cache");
    let mut paths = entries.map(|it| it.expect("an entry").path());
    paths.find(|it| it.is_dir()).expect("a template")
}

/// A second place with the cache of a first launch.
fn warm() -> Place {
    let first = verbose(Place::new());
    let second = verbose(Place::new());
    let cache = second.cache();
    check(&first.env("LIBGUESTFS_CACHEDIR", cache).launches(), &["template made in "]);
    second
}

#[test]
fn a_template_whose_content_is_broken() {
    let place = warm();
    let state = File::options().write(true).open(template(&place).join("state")).expect("a file");
    let it = state.metadata().expect("metadata");
    state.write_all_at(&vec![0x55; it.len() as usize], 0).expect("write");
    state.set_modified(it.modified().expect("a time")).expect("set_modified");
    drop(state);
    check(
        &place.launches(),
        &["the template is removed", "not restored from a template: template: ", "booted in "],
    );
}

#[test]
fn a_template_that_was_cut_short() {
    let place = warm();
    let memory = File::options().write(true).open(template(&place).join("memory"));
    memory.and_then(|it| it.set_len(4096)).expect("set_len");
    check(&place.launches(), &["making a template", "restored from a template in "]);
}

/// Who is not root cannot give files away, but can let others write them: it is the same to them.
#[test]
fn a_template_that_another_user_has_planted() {
    let place = warm();
    let template = template(&place);
    for name in ["key", "memory", "state"] {
        let path = template.join(name);
        if nix::unistd::geteuid().is_root() {
            chown(&path, Some(65534), Some(65534)).expect("chown");
        } else {
            fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("chmod");
        }
    }
    let says = ["making a template", "restored from a template in "];
    check(&place.launches(), &says);
}

#[test]
fn a_directory_that_another_user_has_planted() {
    let place = verbose(Place::new());
    let private = private(&place);
    fs::create_dir(&private).expect("a directory");
    if nix::unistd::geteuid().is_root() {
        chown(&private, Some(65534), Some(65534)).expect("chown");
    } else {
        fs::set_permissions(&private, Permissions::from_mode(0o777)).expect("chmod");
    }
    let path = private.display().to_string();
    let says = [path.as_str(), "not used, because others can write to it", "booted in "];
    check(&place.launches(), &says);
}

#[test]
fn a_directory_that_cannot_be_written() {
    let place = verbose(Place::new()).without_rights();
    fs::set_permissions(place.cache(), Permissions::from_mode(0o555)).expect("chmod");
    let says = ["no template: ", "/cache/.guestfs-", "Permission denied", "booted in "];
    check(&place.launches(), &says);
}

#[test]
fn a_full_file_system() {
    if !may_mount() {
        return;
    }
    let place = verbose(Place::new());
    let mount = format!("mount -t tmpfs -o size=64k none '{}'", place.cache().display());
    let says = ["no template: ", "/cache/.guestfs-", "too little room", "booted in "];
    check(&place.with_mounts(&mount).launches(), &says);

    // Not even what is known of qemu can be written down.
    let place = verbose(Place::new());
    let mount = format!("mount -t tmpfs -o nr_inodes=1 none '{}'", place.cache().display());
    let says = ["no template: ", "No space left on device", "booted in "];
    check(&place.with_mounts(&mount).launches(), &says);
}

/// Beyond the limit, a write is a signal that ends the program.
#[test]
fn a_limit_on_the_size_of_files() {
    let place = verbose(Place::new()).before("ulimit -f 102400");
    check(&place.launches(), &["no template: ", "File too large", "booted in "]);
}
