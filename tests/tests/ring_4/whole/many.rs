// SPDX-License-Identifier: LGPL-2.1-or-later
//! Many appliances at the same moment: each has its own disk, none fails, and nothing is left.
//!
//! `GUESTFS_ROUNDS` says how often the same is done.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{appliance, bytes, sparse};

const MIB: u64 = 1 << 20;

/// Where `crowd` writes what it has read.
const ANSWER: u64 = MIB;

const HANDLES: usize = 64;
const PROCESSES: usize = 16;

/// Disks with their names on them, and the directories of those who use them.
struct Place {
    dir: TempDir,
    disks: Vec<PathBuf>,
}

impl Place {
    fn new(n_disks: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["tmp", "cache", "run", "disks"] {
            let path = dir.path().join(name);
            fs::create_dir(&path).expect("a directory");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("chmod");
        }
        let disk = |index| {
            // Names of the same length, none of which is the beginning of another.
            let name = format!("disk-{index:04}");
            let path = sparse(dir.path().join("disks").join(&name), 2 * MIB);
            let file = File::options().write(true).open(&path).expect("a disk");
            file.write_all_at(name.as_bytes(), 0).expect("write");
            path
        };
        let disks = (0..n_disks).map(disk).collect();
        Self { dir, disks }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program that uses these disks, with nothing but what is here.
    fn crowd(&self, disks: &[PathBuf]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crowd"));
        command.arg(rounds()).args(disks).env("LIBGUESTFS_PATH", appliance());
        command.env("TMPDIR", self.path("tmp")).env("XDG_RUNTIME_DIR", self.path("run"));
        command.env("LIBGUESTFS_CACHEDIR", self.path("cache")).env_remove("LIBGUESTFS_TMPDIR");
        command.env_remove("LIBGUESTFS_DEBUG").env_remove("LIBGUESTFS_TRACE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Has a template made.
    #[track_caller]
    fn warm(&self) {
        let output = self.crowd(&self.disks[..1]).output().expect("a program");
        assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    }

    /// Runs as many programs as there are parts, all at once.
    #[track_caller]
    fn run<'a>(&self, parts: impl Iterator<Item = &'a [PathBuf]>) {
        let programs: Vec<_> =
            parts.map(|disks| self.crowd(disks).spawn().expect("a program")).collect();
        let ended = programs.into_iter().map(|it| it.wait_with_output().expect("a program"));
        let failed: Vec<_> = ended
            .filter(|it| !it.status.success())
            .map(|it| format!("{}: {}", it.status, it.stderr.escape_ascii()))
            .collect();
        assert!(failed.is_empty(), "{failed:#?}");
        self.answered();
        for name in ["tmp", "run"] {
            assert_eq!(names(&self.path(name)), [""; 0], "left over in {name}");
        }
    }

    /// Each disk has its own name in both places.
    #[track_caller]
    fn answered(&self) {
        for disk in &self.disks {
            let file = File::open(disk).expect("a disk");
            let name = &bytes(disk)[bytes(disk).len() - "disk-0000".len()..];
            for place in [0, ANSWER] {
                let mut content = vec![0; name.len()];
                file.read_exact_at(&mut content, place).expect("read");
                assert_eq!(content.escape_ascii().to_string(), name.escape_ascii().to_string());
            }
        }
    }

    /// What is cached for all of them is one of a kind.
    #[track_caller]
    fn one_template(&self) {
        let cache = self.path("cache").join(format!(".guestfs-{}", nix::unistd::geteuid()));
        let there = names(&cache);
        let directories = there.iter().filter(|it| cache.join(it).is_dir()).count();
        assert_eq!(directories, 1, "{there:?}");
        let half_made = |it: &String| it.starts_with('.') || it.contains("new");
        assert!(!there.iter().any(half_made), "{there:?}");
    }
}

fn rounds() -> String {
    std::env::var("GUESTFS_ROUNDS").unwrap_or_else(|_| "1".to_owned())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |it: std::io::Result<fs::DirEntry>| it.expect("an entry").file_name();
    entries.map(|it| name(it).to_string_lossy().into_owned()).collect()
}

/// The first launches of all: one of them makes the template.
#[test]
fn sixteen_programs_and_nothing_cached() {
    let place = Place::new(PROCESSES);
    place.run(place.disks.chunks(1));
    place.one_template();
}

#[test]
fn sixteen_programs() {
    let place = Place::new(PROCESSES);
    place.warm();
    place.run(place.disks.chunks(1));
    place.one_template();
}

#[test]
fn sixty_four_handles_of_one_program() {
    let place = Place::new(HANDLES);
    place.warm();
    place.run([place.disks.as_slice()].into_iter());
    place.one_template();
}
