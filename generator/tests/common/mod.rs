// SPDX-License-Identifier: LGPL-2.1-or-later
//! Descriptions in files, and what is expected of them in files beside them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The descriptions in a directory of the tests, sorted by name.
pub fn descriptions(directory: &str) -> Vec<(PathBuf, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(directory);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|err| panic!("{}: {err}", directory.display()));
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{} is empty", directory.display());
    found
}

/// Compares a text with a file; with `UPDATE` in the environment the file is written.
#[track_caller]
pub fn check_golden(path: &Path, text: &str) {
    if env::var_os("UPDATE").is_some() {
        fs::write(path, text).unwrap();
        return;
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    if golden == text {
        return;
    }
    let at = golden.lines().zip(text.lines()).take_while(|(a, b)| a == b).count();
    panic!(
        "{}:{}: expected {:?}, got {:?}\nUPDATE=1 cargo test -p generator rewrites the file",
        path.display(),
        at + 1,
        golden.lines().nth(at).unwrap_or("the end"),
        text.lines().nth(at).unwrap_or("the end")
    );
}
