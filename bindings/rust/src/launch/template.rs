// SPDX-License-Identifier: LGPL-2.1-or-later
//! Saved appliances: one that has booted without drives is written down, and launches continue
//! from there.
//!
//! The guest's memory is a file which qemu maps: shared while the template is made, and private
//! ever after, so that all appliances share what none of them has changed.  What migration calls
//! the state of the devices is a second, small file.  Both depend on everything that the command
//! line says and on the files it names; together that is the key.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::cache;
use super::qmp::Qmp;

/// A template is some hundred megabytes of sparse file: these many are kept.
const KEPT: usize = 4;

/// What must be free in the cache directory for another one, in bytes.
const ROOM: u64 = 1 << 30;

/// Writing or reading half a megabyte.
const DEADLINE: Duration = Duration::from_secs(60);

const KEY: &str = "key";
const MEMORY: &str = "memory";
const STATE: &str = "state";

/// A saved appliance.
pub(super) struct Template {
    directory: PathBuf,
}

/// The right to make a template that is not there yet.
pub(super) struct Making {
    directory: tempfile::TempDir,
    target: PathBuf,
    key: String,
    _lock: File,
}

/// What there is for a key.
pub(super) enum Found {
    Template(Template),
    /// None, and nobody else is at it.
    Missing(Making),
}

impl Template {
    pub(super) fn memory(&self) -> PathBuf {
        self.directory.join(MEMORY)
    }

    pub(super) fn state(&self) -> io::Result<File> {
        File::open(self.directory.join(STATE))
    }
}

/// The template for `key`.  An error is a reason to boot, never one to fail.
pub(super) fn find(cachedir: &Path, key: String) -> io::Result<Found> {
    let cache = cache::private_directory(cachedir)?;
    let target = cache.join(cache::file_name("template", &key));
    if is_of(&target, &key) {
        return Ok(Found::Template(Template { directory: target }));
    }
    let lock = File::create(target.with_extension("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(io::Error::other("another program is making it"));
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // It may have been made while we came to the lock.
    if is_of(&target, &key) {
        return Ok(Found::Template(Template { directory: target }));
    }
    let room = rustix::fs::statvfs(&cache)?;
    if room.f_bavail.saturating_mul(room.f_frsize) < ROOM {
        return Err(io::Error::other(format!("{}: too little room", cache.display())));
    }
    let directory = tempfile::Builder::new().prefix("template-new-").tempdir_in(&cache)?;
    Ok(Found::Missing(Making { directory, target, key, _lock: lock }))
}

fn is_of(directory: &Path, key: &str) -> bool {
    fs::read_to_string(directory.join(KEY)).is_ok_and(|it| it == key)
}

impl Making {
    /// The file that becomes the guest's memory.
    pub(super) fn memory(&self, size_bytes: u64) -> io::Result<PathBuf> {
        let path = self.directory.path().join(MEMORY);
        File::create_new(&path)?.set_len(size_bytes)?;
        Ok(path)
    }

    /// The file that takes the state of the devices.
    pub(super) fn state(&self) -> io::Result<File> {
        File::create_new(self.directory.path().join(STATE))
    }

    /// Puts it where others find it, and forgets the oldest.
    pub(super) fn finish(self) -> io::Result<Template> {
        File::create_new(self.directory.path().join(KEY))?.write_all(self.key.as_bytes())?;
        if self.target.exists() {
            fs::remove_dir_all(&self.target)?;
        }
        let path = self.directory.keep();
        fs::rename(&path, &self.target).inspect_err(|_| drop(fs::remove_dir_all(&path)))?;
        evict(&self.target);
        Ok(Template { directory: self.target })
    }
}

/// Removes all but the youngest templates.  Appliances that run from one keep its file.
fn evict(newest: &Path) {
    let Some(entries) = newest.parent().and_then(|it| fs::read_dir(it).ok()) else { return };
    let mut templates: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|it| it.path().join(KEY).exists() && it.path() != newest)
        .filter_map(|it| Some((it.metadata().ok()?.modified().ok()?, it.path())))
        .collect();
    templates.sort();
    let surplus = (templates.len() + 1).saturating_sub(KEPT);
    for (_, path) in templates.into_iter().take(surplus) {
        let _ = fs::remove_dir_all(path);
    }
}

/// Writes the state of the devices of a machine; memory is in its file already.
pub(super) fn save(qmp: &mut Qmp, state: &File) -> io::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    qmp.execute("stop", json!({}), deadline)?;
    capabilities(qmp, deadline)?;
    qmp.give(STATE, state, deadline)?;
    let uri = format!("fd:{STATE}");
    qmp.execute("migrate", json!({"uri": uri}), deadline)?;
    migrated(qmp, deadline)
}

/// Reads the state of the devices into a machine that waits for it, and lets it go on.
pub(super) fn load(qmp: &mut Qmp, state: &File) -> io::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    capabilities(qmp, deadline)?;
    qmp.give(STATE, state, deadline)?;
    let uri = format!("fd:{STATE}");
    qmp.execute("migrate-incoming", json!({"uri": uri}), deadline)?;
    migrated(qmp, deadline)?;
    qmp.execute("cont", json!({}), deadline)?;
    Ok(())
}

/// Memory that is a shared file is not written again, and the end is announced.
fn capabilities(qmp: &mut Qmp, deadline: Instant) -> io::Result<()> {
    let on = |name: &str| json!({"capability": name, "state": true});
    let list = json!({"capabilities": [on("x-ignore-shared"), on("events")]});
    qmp.execute("migrate-set-capabilities", list, deadline)?;
    Ok(())
}

fn migrated(qmp: &mut Qmp, deadline: Instant) -> io::Result<()> {
    loop {
        let data = qmp.event("MIGRATION", deadline)?;
        match data["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") | None => {
                return Err(io::Error::other(format!("migration: {data}")));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(cachedir: &Path, key: &str) -> Template {
        let Found::Missing(making) = find(cachedir, key.to_owned()).unwrap() else {
            panic!("{key} is there")
        };
        making.memory(4096).unwrap();
        making.state().unwrap();
        making.finish().unwrap()
    }

    fn is_there(cachedir: &Path, key: &str) -> bool {
        matches!(find(cachedir, key.to_owned()).unwrap(), Found::Template(_))
    }

    #[test]
    fn made_once_and_found_again() {
        let cachedir = tempfile::tempdir().unwrap();
        let template = make(cachedir.path(), "a");
        assert_eq!(fs::metadata(template.memory()).unwrap().len(), 4096);
        assert!(is_there(cachedir.path(), "a"));
        fs::remove_dir_all(template.directory).unwrap();
        assert!(!is_there(cachedir.path(), "a"));
    }

    #[test]
    fn one_program_makes_it() {
        let cachedir = tempfile::tempdir().unwrap();
        let making = find(cachedir.path(), "a".to_owned()).unwrap();
        let error = find(cachedir.path(), "a".to_owned()).err().unwrap();
        assert_eq!(error.to_string(), "another program is making it");
        // One that gives up leaves nothing in the way.
        drop(making);
        make(cachedir.path(), "a");
        let cache = cache::private_directory(cachedir.path()).unwrap();
        let names = fs::read_dir(cache).unwrap().map(|it| it.unwrap().file_name());
        assert!(!names.into_iter().any(|it| it.to_string_lossy().contains("new")));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let cachedir = tempfile::tempdir().unwrap();
        for key in ["a", "b", "c", "d", "e", "f"] {
            make(cachedir.path(), key);
        }
        let left = ["a", "b", "c", "d", "e", "f"].map(|key| is_there(cachedir.path(), key));
        assert_eq!(left.iter().filter(|it| **it).count(), KEPT);
        assert!(left[5]);
    }
}
