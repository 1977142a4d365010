// SPDX-License-Identifier: LGPL-2.1-or-later
//! The report of a machine that is fit, and of some that are not.

#![cfg(test)]

mod appliance {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use tempfile::TempDir;

    const GOOD: &str = "===== TEST FINISHED OK =====";
    const BAD: &str = "===== TEST FAILED =====";

    struct Place {
        dir: TempDir,
        command: Command,
    }

    fn path() -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let ours = || root.join("target/appliance");
        std::env::var_os("LIBGUESTFS_PATH").map_or_else(ours, PathBuf::from)
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_guestfs-test-tool"));
            for name in ["LIBGUESTFS_DEBUG", "LIBGUESTFS_TRACE", "LIBGUESTFS_HV"] {
                command.env_remove(name);
            }
            command.env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
            command.env("LIBGUESTFS_CACHEDIR", dir.path()).env("LIBGUESTFS_PATH", path());
            Self { dir, command }
        }

        fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
            self.command.env(name, value);
            self
        }

        /// Its verdict is the last line and the exit status; all of `says` is in the report.
        #[track_caller]
        fn check(mut self, args: &[&str], verdict: &str, says: &[&str]) {
            let output = self.command.args(args).output().unwrap();
            let report = String::from_utf8(output.stdout).unwrap();
            assert_eq!(report.lines().next_back(), Some(verdict), "{report}");
            assert_eq!(output.status.code(), Some(i32::from(verdict != GOOD)));
            for words in says {
                assert!(report.contains(words), "{words:?} is missing in\n{report}");
            }
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            drop(self.dir);
        }
    }

    #[test]
    fn of_a_machine_that_is_fit() {
        let says = [
            "LIBGUESTFS_BACKEND_SETTINGS=force_tcg\n",
            "kernel: Linux ",
            ", version ",
            "/root: ",
            " bytes, as it was made",
            "not used, so launches are slower: force_tcg is set",
            "    booted in ",
            "----- template -----\n",
            "ok: made in ",
            ": restored from a template",
            "ok: a partition, a filesystem and a file were made and read",
            "ok: shut down",
        ];
        Place::new().check(&["--timeout=300"], GOOD, &says);
    }

    #[test]
    fn of_one_without_qemu() {
        let says = [
            "----- qemu -----\nFAILED: /no/such/qemu: not found; install qemu-system-x86",
            // The other steps are not kept from being taken.
            "/root: ",
            "ok: temporary files: ",
            "\nproblem: qemu: /no/such/qemu: not found; ",
        ];
        Place::new().check(&["-q", "/no/such/qemu"], BAD, &says);
    }

    #[test]
    fn of_one_whose_appliance_is_damaged() {
        let place = Place::new();
        let dir = place.dir.path().join("appliance");
        fs::create_dir(&dir).unwrap();
        for name in ["kernel", "initrd", "manifest", "README.fixed"] {
            std::os::unix::fs::symlink(path().join(name), dir.join(name)).unwrap();
        }
        fs::copy(path().join("root"), dir.join("root")).unwrap();
        // As long as it was, but another one.
        let root = fs::OpenOptions::new().write(true).open(dir.join("root")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&root, &[0x55; 8192], 0).unwrap();
        let says = [
            "/appliance/root is damaged: its checksum is not that of its manifest; build the \
             appliance again",
            "last lines of the console:\n",
            "guestfsd: error: /dev/vda: ",
            "\nproblem: appliance: ",
            "\nproblem: launch by booting: launch: qemu exited with status 0: ",
        ];
        place.env("LIBGUESTFS_PATH", &dir).check(&[], BAD, &says);
    }

    #[test]
    fn of_one_whose_qemu_fails_at_last() {
        let place = Place::new();
        let qemu = place.dir.path().join("qemu");
        let real = guestfs::Handle::create().unwrap().get_hv().unwrap();
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *' -kernel '*)\n    echo 'cannot do that' >&2; exit 1\nesac\n\
             exec '{real}' \"$@\"\n"
        );
        let new = place.dir.path().join("qemu.new");
        fs::write(&new, script).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        // What is open for writing in a fork of this process can't be run.
        assert!(Command::new("cp").arg(&new).arg(&qemu).status().unwrap().success());
        let says = ["FAILED: launch: qemu exited with status 1: cannot do that", " -kernel /"];
        place.env("LIBGUESTFS_HV", qemu).check(&[], BAD, &says);
    }

    #[test]
    fn of_nothing() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guestfs-test-tool"));
        let output = command.arg("--timeout=never").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        assert!(output.stderr.starts_with(b"guestfs-test-tool: invalid value 'never'"));
    }
}
