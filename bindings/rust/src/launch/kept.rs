// SPDX-License-Identifier: LGPL-2.1-or-later
//! The templates that there are, and which of them stay.

use std::fs::{self, DirEntry, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::cache;
use super::template::{KEY, LOCK, MEMORY, NEW, PREFIX, STATE};

/// How many are kept, and in how many bytes of disk.
const KEPT: usize = 8;
const KEPT_BYTES: u64 = 1 << 30;

/// How the file of a fact begins that says that a template can't be made.
pub(super) const REFUSAL: &str = "no template\n";

/// Everything that two appliances must have in common to be clones of one template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// For people: what launches it is for.
    pub about: String,
    /// The command line of qemu, without drives and what does not reach the guest.
    pub command: String,
    /// The files it names, and what tells them from others.
    pub files: Vec<(String, String)>,
    /// What the guest has seen of the host.
    pub host: Option<String>,
}

impl Key {
    /// One line.
    pub(super) fn text(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// What it was made from has been replaced: no launch will ask for it again.
    fn is_stale(&self) -> bool {
        self.files.iter().any(|(path, identity)| {
            !cache::identity(Path::new(path)).is_ok_and(|it| it == *identity)
        })
    }
}

/// A saved appliance, which later launches go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Template {
    /// Its name in the cache directory.
    pub name: String,
    /// What launches it is for.
    pub about: String,
    /// The room it takes.
    pub size_bytes: u64,
    /// When it was made.
    pub made: SystemTime,
    /// When a launch went on from it last.
    pub used: SystemTime,
    /// qemu or the appliance has been replaced since: it will not be used again.
    pub is_stale: bool,
}

/// All there are in the cache directory of a handle, the last used first.
pub(super) fn list(cachedir: &Path) -> io::Result<Vec<Template>> {
    Ok(in_cache(&cache::private_directory(cachedir)?))
}

/// Removes all there are, and what says that one can't be made.  Appliances that run need them no
/// more.  Returns how many there were.
pub(super) fn clear(cachedir: &Path) -> io::Result<usize> {
    let cache = cache::private_directory(cachedir)?;
    let templates = in_cache(&cache);
    for template in &templates {
        remove(&cache.join(&template.name))?;
    }
    for fact in entries(&cache, |name| name.starts_with("fact-")) {
        let mut start = [0; REFUSAL.len()];
        let read = File::open(fact.path()).and_then(|mut it| it.read_exact(&mut start));
        if read.is_ok() && start == REFUSAL.as_bytes() {
            fs::remove_file(fact.path())?;
        }
    }
    // Left by one who was killed, unless somebody is at it.
    match lock_file(&cache)?.try_lock() {
        Ok(()) => remove_unfinished(&cache),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(templates.len())
}

/// Removes those that are stale, and those used longest ago if there are too many.
pub(super) fn evict(newest: &Path) {
    let Some(cache) = newest.parent() else { return };
    let mut templates = in_cache(cache);
    let is_newest = |it: &Template| cache.join(&it.name) == newest;
    templates.sort_by_key(|it| !is_newest(it));
    for surplus in surplus(&templates) {
        // Another program may be faster.
        let _ = remove(&cache.join(&surplus.name));
    }
}

/// Those that are not to stay; the first always does.
fn surplus(templates: &[Template]) -> Vec<&Template> {
    let (mut n_kept, mut bytes_kept) = (0, 0_u64);
    let mut surplus = Vec::new();
    for (index, template) in templates.iter().enumerate() {
        let bytes = bytes_kept.saturating_add(template.size_bytes);
        if index == 0 || (!template.is_stale && n_kept < KEPT && bytes <= KEPT_BYTES) {
            (n_kept, bytes_kept) = (n_kept + 1, bytes);
        } else {
            surplus.push(template);
        }
    }
    surplus
}

/// The file that is locked while one is made.  It is never removed: a lock that is removed may be
/// held by two.
pub(super) fn lock_file(cache: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().create(true).append(true).mode(0o600).open(cache.join(LOCK))
}

/// Only whoever has the lock may do this.
pub(super) fn remove_unfinished(cache: &Path) {
    for killed in entries(cache, |name| name.starts_with(NEW)) {
        let _ = fs::remove_dir_all(killed.path());
    }
}

fn remove(template: &Path) -> io::Result<()> {
    match fs::remove_dir_all(template) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn in_cache(cache: &Path) -> Vec<Template> {
    let mut templates: Vec<_> =
        entries(cache, |name| name.starts_with(PREFIX) && !name.starts_with(NEW))
            .filter_map(|it| describe(&it.path()).ok())
            .collect();
    templates.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.name.cmp(&b.name)));
    templates
}

fn describe(template: &Path) -> io::Result<Template> {
    let key = template.join(KEY);
    let text = fs::read_to_string(&key)?;
    let parsed = text.lines().next().and_then(|it| serde_json::from_str::<Key>(it).ok());
    let [memory, state] = [MEMORY, STATE].map(|it| fs::metadata(template.join(it)));
    let room = |file: &io::Result<fs::Metadata>| file.as_ref().map_or(0, |it| 512 * it.blocks());
    Ok(Template {
        name: file_name(template),
        about: parsed.as_ref().map_or_else(|| "unknown".to_owned(), |it| it.about.clone()),
        size_bytes: room(&memory) + room(&state),
        // The state is written last.
        made: state.and_then(|it| it.modified()).unwrap_or(SystemTime::UNIX_EPOCH),
        used: fs::metadata(key)?.modified()?,
        is_stale: parsed.is_none_or(|it| it.is_stale()),
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(directory: &Path, chosen: fn(&str) -> bool) -> impl Iterator<Item = DirEntry> {
    let all = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    all.filter(move |it| it.file_name().to_str().is_some_and(chosen))
}

/// The directory that is or will be the template of a key.
pub(super) fn place(cache: &Path, key: &str) -> PathBuf {
    cache.join(cache::file_name(PREFIX, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of those that go, of templates in MiB; stale ones have a minus.
    #[track_caller]
    fn check(sizes: &[i64], expected: &str) {
        let templates: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| Template {
                name: index.to_string(),
                about: String::new(),
                size_bytes: size.unsigned_abs() << 20,
                made: SystemTime::UNIX_EPOCH,
                used: SystemTime::UNIX_EPOCH,
                is_stale: *size < 0,
            })
            .collect();
        let gone: Vec<_> = surplus(&templates).iter().map(|it| it.name.as_str()).collect();
        assert_eq!(gone.join(" "), expected);
    }

    #[test]
    fn those_that_go() {
        check(&[], "");
        check(&[100; 8], "");
        check(&[100; 10], "8 9");
        check(&[100, -100, 100], "1");
        // There is room for a smaller one.
        check(&[600, 300, 300, 100], "2");
        check(&[5000, 1], "1");
        check(&[-5000], "");
    }

    #[test]
    fn stale_keys() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kernel");
        fs::write(&file, "old").unwrap();
        let path = file.to_str().unwrap().to_owned();
        let key = Key {
            about: "all\nlines".into(),
            command: String::new(),
            files: vec![(path, cache::identity(&file).unwrap())],
            host: None,
        };
        assert!(!key.is_stale());
        assert_eq!(key.text().unwrap().lines().count(), 1);
        fs::write(&file, "newer").unwrap();
        assert!(key.is_stale());
        fs::remove_file(&file).unwrap();
        assert!(key.is_stale());
    }
}
