// SPDX-License-Identifier: LGPL-2.1-or-later
//! KVM that opens and does not work: tried once, said once, and never in the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use guestfs::{Events, Handle, Payload};
use tempfile::TempDir;

use crate::support::{bytes, handle, program, refused, run, session};

/// A qemu that does as it is told when it is to use KVM, and a cache of its own.
struct Place {
    dir: TempDir,
    hv: PathBuf,
}

impl Place {
    /// `None` where nobody could try KVM.
    fn new(with_kvm: &str) -> Option<Self> {
        if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
            eprintln!("/dev/kvm can't be opened: nothing to be tried");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let qemu = handle().get_hv().expect("get_hv");
        let tries = dir.path().join("tries");
        let script = format!(
            "#!/bin/sh\n\
             case \"$*\" in *accel=kvm*) echo >>{}; {with_kvm} ;; esac\n\
             exec {qemu} \"$@\"\n",
            tries.display()
        );
        let hv = program(dir.path(), "qemu", &script);
        Some(Self { dir, hv })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn n_tries(&self) -> usize {
        fs::read_to_string(self.path().join("tries")).map_or(0, |it| it.lines().count())
    }

    fn handle(&self, settings: &[&str]) -> Handle {
        let g = handle();
        g.set_hv(bytes(&self.hv)).expect("set_hv");
        g.set_cachedir(Some(bytes(self.path()))).expect("set_cachedir");
        g.set_backend_settings(settings).expect("set_backend_settings");
        g.set_verbose(false).expect("set_verbose");
        g
    }

    /// The warnings of a launch.
    fn warnings(&self, settings: &[&str]) -> Vec<String> {
        let g = self.handle(settings);
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let ours = warnings.clone();
        g.set_event_callback(Events::WARNING, move |_, _, _, payload| {
            if let Payload::Buf(text) = payload {
                ours.lock().expect("it").push(String::from_utf8_lossy(text).into_owned());
            }
        });
        g.launch().expect("launch");
        g.close().expect("close");
        let warnings = warnings.lock().expect("it");
        warnings.clone()
    }

    /// What a program that knows nothing of warnings has on its standard error.
    fn said(&self) -> String {
        let mut command = session("write-and-read");
        command.env("LIBGUESTFS_HV", &self.hv).env("LIBGUESTFS_CACHEDIR", self.path());
        command.env_remove("LIBGUESTFS_DEBUG").env_remove("LIBGUESTFS_BACKEND_SETTINGS");
        let output = command.output().expect("a session");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        stderr
    }
}

#[test]
fn kvm_that_fails_is_tried_once() {
    let Some(place) = Place::new("echo qemu: no luck >&2; exit 1") else { return };
    let what = "/dev/kvm: qemu gives up with \"no luck\"; the appliance is emulated";
    // Who listens hears it at each launch.
    for _ in 0..2 {
        let warnings = place.warnings(&["template=1"]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(what), "{warnings:?}");
    }
    assert_eq!(place.n_tries(), 1);
    let result = place.handle(&["force_kvm"]).launch();
    refused(result, "/dev/kvm: qemu gives up with \"no luck\"");
    assert_eq!(place.n_tries(), 1);

    // It belongs to this qemu: another one is tried again.
    fs::copy(&place.hv, place.path().join("other")).expect("a copy");
    fs::rename(place.path().join("other"), &place.hv).expect("rename");
    assert_eq!(place.warnings(&["template=0"]).len(), 1);
    assert_eq!(place.n_tries(), 2);
}

#[test]
fn programs_do_not_repeat_the_warning() {
    let Some(place) = Place::new("echo qemu: no luck >&2; exit 1") else { return };
    let first = place.said();
    let warning = "libguestfs: warning: /dev/kvm: qemu gives up";
    assert_eq!(first.matches(warning).count(), 1, "{first}");
    assert_eq!(place.said(), "");
    assert_eq!(place.n_tries(), 1);
}

#[test]
fn kvm_that_hangs_has_a_deadline() {
    let Some(place) = Place::new("exec sleep 1000") else { return };
    let warnings = place.warnings(&[]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("a test kernel hangs after \"no output\""), "{warnings:?}");
}

#[test]
fn emulation_on_demand() {
    let Some(place) = Place::new("exit 1") else { return };
    assert!(place.warnings(&["force_tcg"]).is_empty());
    assert_eq!(place.n_tries(), 0);
}

#[test]
fn both_are_a_contradiction() {
    let g = handle();
    g.set_backend_settings(&["force_kvm=1", "force_tcg=1"]).expect("set_backend_settings");
    refused(g.launch(), "EINVAL launch: backend settings: force_kvm and force_tcg are both set");
}

/// Run with the path of another qemu in `GUESTFS_TEST_HV`, it has to do all that is asked of one.
#[test]
fn another_qemu() {
    let Some(hv) = std::env::var_os("GUESTFS_TEST_HV") else {
        eprintln!("GUESTFS_TEST_HV is not set: nothing to be tried");
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    for setting in ["template=0", "template=1", "template=1"] {
        let mut command = session("write-and-read");
        command.env("LIBGUESTFS_HV", &hv).env("LIBGUESTFS_CACHEDIR", dir.path());
        command.env("LIBGUESTFS_BACKEND_SETTINGS", setting);
        assert_eq!(run(&mut command), "content\n");
    }
}
