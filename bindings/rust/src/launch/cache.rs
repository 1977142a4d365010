// SPDX-License-Identifier: LGPL-2.1-or-later
//! Small facts about this machine which take a while to find out, kept between runs.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;
use rustix::process::geteuid;

static MEMORY: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

/// The fact known under `key`, or else what `find` says, which is then remembered.
///
/// A cache directory that can't be used only costs time, so that is never an error.
pub(super) fn remembered<E>(
    cachedir: &Path,
    key: &str,
    find: impl FnOnce() -> Result<String, E>,
) -> Result<String, E> {
    if let Some(fact) = MEMORY.lock().get(key) {
        return Ok(fact.clone());
    }
    let file = private_directory(cachedir).map(|it| it.join(file_name("fact", key)));
    let read = file.as_ref().ok().and_then(|it| fs::read_to_string(it).ok());
    // The name of the file is a hash: the key in the file decides.
    let known = read.and_then(|it| it.strip_prefix(&format!("{key}\n")).map(str::to_owned));
    let fact = match known {
        Some(fact) => fact,
        None => {
            let fact = find()?;
            if let Ok(file) = file {
                let _ = write_whole(&file, &format!("{key}\n{fact}"));
            }
            fact
        }
    };
    MEMORY.lock().insert(key.to_owned(), fact.clone());
    Ok(fact)
}

/// What tells a file from the one that replaces it in an update.
pub(super) fn identity(file: &Path) -> io::Result<String> {
    let it = fs::metadata(file)?;
    let modified = it.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    Ok(format!("{} {} {} {modified}", file.display(), it.len(), it.ino()))
}

/// `cachedir/.guestfs-UID`: a cache directory is usually shared, and what another user could
/// have put there isn't believed.
pub(super) fn private_directory(cachedir: &Path) -> io::Result<PathBuf> {
    let uid = geteuid().as_raw();
    let directory = private_path(cachedir);
    match fs::DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let it = fs::symlink_metadata(&directory)?;
    if !it.is_dir() || it.uid() != uid || it.permissions().mode() & 0o022 != 0 {
        let why = "not used, because others can write to it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(directory)
}

/// Where that directory is, or would be.
pub(super) fn private_path(cachedir: &Path) -> PathBuf {
    cachedir.join(format!(".guestfs-{}", geteuid().as_raw()))
}

/// A name for what is kept under `key`.  It is a hash: what is kept has to hold the key itself.
pub(super) fn file_name(kind: &str, key: &str) -> String {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    format!("{kind}-{:016x}", hasher.finish())
}

/// A reader sees the old content or the new, never a part.
fn write_whole(file: &Path, content: &str) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(content.as_bytes())?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_once() {
        let cachedir = tempfile::tempdir().unwrap();
        let find =
            |fact: &str| remembered(cachedir.path(), "cache test", || fact.parse::<String>());
        assert_eq!(find("first").unwrap(), "first");
        assert_eq!(find("second").unwrap(), "first");
        // A new program reads the file.
        MEMORY.lock().remove("cache test");
        assert_eq!(find("third").unwrap(), "first");
        MEMORY.lock().remove("cache test");
        let elsewhere = Path::new("/no/such/directory");
        let find = || remembered(elsewhere, "cache test", || "fourth".parse::<String>());
        assert_eq!(find().unwrap(), "fourth");
        MEMORY.lock().remove("cache test");
    }

    #[test]
    fn a_directory_others_can_write_is_not_used() {
        let cachedir = tempfile::tempdir().unwrap();
        let ours = private_directory(cachedir.path()).unwrap();
        assert_eq!(fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(private_directory(cachedir.path()).is_err());
        fs::remove_dir(&ours).unwrap();
        std::os::unix::fs::symlink("/tmp", &ours).unwrap();
        assert!(private_directory(cachedir.path()).is_err());
    }
}
