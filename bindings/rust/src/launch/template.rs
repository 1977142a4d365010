// SPDX-License-Identifier: LGPL-2.1-or-later
//! Saved appliances: one that has booted without drives is written down, and launches continue
//! from there.
//!
//! The guest's memory is a file which qemu maps: shared while the template is made, and private
//! ever after, so that all appliances share what none of them has changed.  What migration calls
//! the state of the devices is a second, small file.  Both depend on everything that the command
//! line says and on the files it names; together that is the key, which is the third file.
//!
//! Whoever can write these files owns the appliance, and whoever can read them knows its seeds of
//! random numbers: they are their user's alone, and looked at before they are believed.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::geteuid;
use serde_json::json;
use tempfile::TempDir;

use super::qmp::Qmp;
use super::{cache, kept, limit};

/// What must be free in the cache directory for another one, in bytes.
const ROOM: u64 = 1 << 30;

/// Names in the cache directory: templates, what becomes one, and what is locked meanwhile.
pub(super) const PREFIX: &str = "template";
pub(super) const NEW: &str = "template-new-";
pub(super) const LOCK: &str = "template-lock";

/// Names in a template.
pub(super) const KEY: &str = "key";
pub(super) const MEMORY: &str = "memory";
pub(super) const STATE: &str = "state";
const CONSOLE: &str = "console";

/// A saved appliance.  Its files are open: it may be forgotten meanwhile.
pub(super) struct Template {
    directory: PathBuf,
    memory: File,
    state: File,
    /// What was on the console while it was made.
    console: Vec<u8>,
}

/// The right to make a template that is not there yet.
pub(super) struct Making {
    directory: TempDir,
    target: PathBuf,
    key: String,
    memory: File,
    state: File,
    _lock: File,
}

/// What there is for a key.
pub(super) enum Found {
    Template(Template),
    /// None, and nobody else is at it.
    Missing(Making),
}

/// What to do while another program is making a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meanwhile {
    /// That is an error.
    Boot,
    /// It takes as long as a boot, or ends with that program.
    Wait,
}

/// The template for `key`.  An error is a reason to boot, never one to fail.
pub(super) fn find(cachedir: &Path, key: String, meanwhile: Meanwhile) -> io::Result<Found> {
    let cache = cache::private_directory(cachedir).map_err(|it| {
        let path = cache::private_path(cachedir);
        io::Error::new(it.kind(), format!("{}: {it}", path.display()))
    })?;
    let target = kept::place(&cache, &key);
    // One that is damaged is as good as none.
    if let Ok(template) = Template::open(&target, &key) {
        return Ok(Found::Template(template));
    }
    // There is one lock for all.
    let lock = kept::lock_file(&cache)?;
    match (meanwhile, lock.try_lock()) {
        (_, Ok(())) => {}
        (Meanwhile::Wait, Err(TryLockError::WouldBlock)) => lock.lock()?,
        (Meanwhile::Boot, Err(TryLockError::WouldBlock)) => {
            return Err(io::Error::other("another program is making one"));
        }
        (_, Err(TryLockError::Error(error))) => return Err(error),
    }
    // It may have been made while we came to the lock.
    if let Ok(template) = Template::open(&target, &key) {
        return Ok(Found::Template(template));
    }
    kept::remove_unfinished(&cache);
    let room = rustix::fs::statvfs(&cache)?;
    if room.f_bavail.saturating_mul(room.f_frsize) < ROOM {
        return Err(io::Error::other(format!("{}: too little room", cache.display())));
    }
    Making::new(&cache, target, key, lock).map(Found::Missing)
}

impl Template {
    fn open(directory: &Path, key: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(CWD, directory, flags, Mode::empty())?;
        // qemu before version 9 opens the memory to write it even if it never does.
        let memory = open(&opened, MEMORY, OFlags::RDWR)?;
        let state = open(&opened, STATE, OFlags::RDONLY)?;
        let mut known = String::new();
        let mut key_file = open(&opened, KEY, OFlags::RDONLY)?;
        key_file.read_to_string(&mut known)?;
        if known != sealed(key, &memory, &state)? {
            return Err(io::Error::other("not what it was made as"));
        }
        let mut console = Vec::new();
        open(&opened, CONSOLE, OFlags::RDONLY)?.read_to_end(&mut console)?;
        // The time of the key's file is that of the last use.  It fails where nothing can be
        // written, and then nothing is removed either.
        let _ = key_file.set_modified(SystemTime::now());
        Ok(Self { directory: directory.to_owned(), memory, state, console })
    }

    /// What was on the console while it was made.
    pub(super) fn console(&self) -> &[u8] {
        &self.console
    }

    pub(super) fn memory(&self) -> &File {
        &self.memory
    }

    /// Reads the state of the devices into a machine that waits for it.
    pub(super) fn load(&self, qmp: &mut Qmp, by: Instant) -> io::Result<()> {
        qmp.give(STATE, &self.state, by)?;
        qmp.execute("migrate-incoming", json!({"uri": format!("fd:{STATE}")}), by)?;
        migrated(qmp, by)
    }

    /// Sees to it that nobody tries this one again.
    pub(super) fn forget(self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Making {
    fn new(cache: &Path, target: PathBuf, key: String, lock: File) -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(NEW)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(cache)?;
        let (memory, state) = (create(&directory, MEMORY)?, create(&directory, STATE)?);
        // On some filesystems everybody owns everything.
        check_ours(&memory)?;
        Ok(Self { directory, target, key, memory, state, _lock: lock })
    }

    /// The file that becomes the guest's memory.
    pub(super) fn memory(&self, size_bytes: u64) -> io::Result<&File> {
        limit::set_len(&self.memory, size_bytes)?;
        Ok(&self.memory)
    }

    /// Writes the state of the devices of a machine; memory is in its file already.
    pub(super) fn save(&self, qmp: &mut Qmp, by: Instant) -> io::Result<()> {
        qmp.execute("stop", json!({}), by)?;
        prepare(qmp, by)?;
        qmp.give(STATE, &self.state, by)?;
        qmp.execute("migrate", json!({"uri": format!("fd:{STATE}")}), by)?;
        migrated(qmp, by)
    }

    /// Puts it where others find it, and makes room.  The machine is gone by now.
    pub(super) fn finish(self, console: &[u8]) -> io::Result<Template> {
        // The key vouches for the others, also after the host has lost its power.
        self.memory.sync_all()?;
        self.state.sync_all()?;
        let sealed = sealed(&self.key, &self.memory, &self.state)?;
        create(&self.directory, CONSOLE)?.write_all(console)?;
        create(&self.directory, KEY)?.write_all(sealed.as_bytes())?;
        if fs::symlink_metadata(&self.target).is_ok() {
            fs::remove_dir_all(&self.target)?;
        }
        let path = self.directory.keep();
        fs::rename(&path, &self.target).inspect_err(|_| drop(fs::remove_dir_all(&path)))?;
        kept::evict(&self.target);
        Template::open(&self.target, &self.key)
    }
}

fn create(directory: &TempDir, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true).mode(0o600);
    options.open(directory.path().join(name))
}

fn open(directory: &OwnedFd, name: &str, access: OFlags) -> io::Result<File> {
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    check_ours(&file)?;
    Ok(file)
}

/// It is a file that nobody else has made, and nobody else can read.
fn check_ours(file: &File) -> io::Result<()> {
    let it = file.metadata()?;
    if !it.is_file() || it.uid() != geteuid().as_raw() || it.mode() & 0o077 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// The content of the key's file: whatever changes the other two changes it.
fn sealed(key: &str, memory: &File, state: &File) -> io::Result<String> {
    let mut text = key.to_owned();
    for file in [memory, state] {
        let it = file.metadata()?;
        text.push_str(&format!("\n{} {}.{:09}", it.len(), it.mtime(), it.mtime_nsec()));
    }
    Ok(text)
}

/// Memory that is a file is not part of the state, and the end is announced.  qemu answers only
/// after it has made sense of its whole command line.
pub(super) fn prepare(qmp: &mut Qmp, by: Instant) -> io::Result<()> {
    let on = |name: &str| json!({"capability": name, "state": true});
    let list = json!({"capabilities": [on("x-ignore-shared"), on("events")]});
    qmp.execute("migrate-set-capabilities", list, by)?;
    Ok(())
}

fn migrated(qmp: &mut Qmp, by: Instant) -> io::Result<()> {
    loop {
        let data = qmp.event("MIGRATION", by)?;
        match data["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") | None => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("state: {data}")));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 4096;

    fn make(cachedir: &Path, key: &str) -> Template {
        let Found::Missing(making) = find(cachedir, key.to_owned(), Meanwhile::Boot).unwrap()
        else {
            panic!("{key} is there")
        };
        making.memory(SIZE).unwrap();
        making.finish(b"booting\n").unwrap()
    }

    fn is_there(cachedir: &Path, key: &str) -> bool {
        matches!(find(cachedir, key.to_owned(), Meanwhile::Boot).unwrap(), Found::Template(_))
    }

    fn names(cachedir: &Path) -> Vec<String> {
        let cache = cache::private_directory(cachedir).unwrap();
        let mut names: Vec<_> = fs::read_dir(cache)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn made_once_and_found_again() {
        let cachedir = tempfile::tempdir().unwrap();
        let template = make(cachedir.path(), "a");
        assert_eq!(template.memory().metadata().unwrap().len(), SIZE);
        assert_eq!(template.console(), b"booting\n");
        assert!(is_there(cachedir.path(), "a"));
        assert_eq!(names(cachedir.path()), [cache::file_name(PREFIX, "a"), LOCK.to_owned()]);
        template.forget();
        assert!(!is_there(cachedir.path(), "a"));
    }

    #[test]
    fn one_program_makes_it() {
        let cachedir = tempfile::tempdir().unwrap();
        let making = find(cachedir.path(), "a".to_owned(), Meanwhile::Boot).unwrap();
        let error = find(cachedir.path(), "a".to_owned(), Meanwhile::Boot).err().unwrap();
        assert_eq!(error.to_string(), "another program is making one");
        // One that gives up leaves nothing in the way, and of one that was killed all goes.
        drop(making);
        assert_eq!(names(cachedir.path()), [LOCK]);
        let cache = cache::private_directory(cachedir.path()).unwrap();
        fs::create_dir(cache.join("template-new-killed")).unwrap();
        make(cachedir.path(), "a");
        assert_eq!(names(cachedir.path()), [cache::file_name(PREFIX, "a"), LOCK.to_owned()]);
    }

    /// A template that something has happened to is made anew.
    #[track_caller]
    fn check_unbelieved(happens: impl FnOnce(&Path)) {
        let cachedir = tempfile::tempdir().unwrap();
        let template = make(cachedir.path(), "a");
        happens(&template.directory);
        assert!(!is_there(cachedir.path(), "a"));
        make(cachedir.path(), "a");
        assert!(is_there(cachedir.path(), "a"));
    }

    #[test]
    fn unbelieved() {
        let mode = |path: PathBuf, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        check_unbelieved(|it| fs::write(it.join(STATE), "x").unwrap());
        check_unbelieved(|it| fs::write(it.join(MEMORY), [1; SIZE as usize]).unwrap());
        check_unbelieved(|it| fs::remove_file(it.join(MEMORY)).unwrap());
        check_unbelieved(|it| fs::write(it.join(KEY), "a").unwrap());
        check_unbelieved(|it| drop(fs::remove_dir_all(it)));
        check_unbelieved(move |it| mode(it.join(STATE), 0o644));
        check_unbelieved(move |it| mode(it.join(MEMORY), 0o660));
        check_unbelieved(|it| {
            let (link, real) = (it.join(MEMORY), it.join("real"));
            fs::rename(&link, &real).unwrap();
            std::os::unix::fs::symlink(real, link).unwrap();
        });
    }

    #[test]
    fn waiting_for_another_program() {
        let cachedir = tempfile::tempdir().unwrap();
        let Found::Missing(making) =
            find(cachedir.path(), "a".to_owned(), Meanwhile::Boot).unwrap()
        else {
            panic!("it is there")
        };
        making.memory(SIZE).unwrap();
        let path = cachedir.path().to_owned();
        let waiting =
            std::thread::spawn(move || find(&path, "a".to_owned(), Meanwhile::Wait).unwrap());
        making.finish(b"").unwrap();
        assert!(matches!(waiting.join().unwrap(), Found::Template(_)));
    }

    fn key(about: &str, file: &Path) -> String {
        let files = vec![(file.display().to_string(), cache::identity(file).unwrap())];
        let (about, command) = (about.to_owned(), about.to_owned());
        kept::Key { about, command, files, host: None }.text().unwrap()
    }

    #[test]
    fn listed_and_cleared() {
        let cachedir = tempfile::tempdir().unwrap();
        let file = cachedir.path().join("kernel");
        fs::write(&file, "").unwrap();
        let (a, b) = (key("a", &file), key("b", &file));
        make(cachedir.path(), &a);
        make(cachedir.path(), &b);
        let at = SystemTime::now() + std::time::Duration::from_secs(5);
        let used = |key: &str| {
            let cache = cache::private_directory(cachedir.path()).unwrap();
            let file = File::open(kept::place(&cache, key).join(KEY)).unwrap();
            file.set_modified(at).unwrap();
        };
        used(&a);
        let list = || -> Vec<_> {
            let list = kept::list(cachedir.path()).unwrap();
            list.into_iter().map(|it| (it.about, it.is_stale)).collect()
        };
        assert_eq!(list(), [("a".to_owned(), false), ("b".to_owned(), false)]);
        // Those of a kernel that is gone make room for the next.
        fs::write(&file, "another").unwrap();
        assert_eq!(list(), [("a".to_owned(), true), ("b".to_owned(), true)]);
        make(cachedir.path(), &key("c", &file));
        assert_eq!(list(), [("c".to_owned(), false)]);
        let refusal = || cache::remembered(cachedir.path(), "no template\nx", || Err("none"));
        cache::remembered(cachedir.path(), "no template\nx", || Ok::<_, ()>("no".to_owned()))
            .unwrap();
        assert_eq!(refusal(), Ok("no".to_owned()));
        assert_eq!(kept::clear(cachedir.path()).unwrap(), 1);
        assert_eq!(names(cachedir.path()), [LOCK]);
    }
}
