// SPDX-License-Identifier: LGPL-2.1-or-later
//! What must hold for the description of this library as a whole.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use generator::lock::Lock;
use generator::schema::Api;
use generator::{generate, load, output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn api() -> Api {
    let text = fs::read_to_string(root().join("api.yaml")).unwrap();
    load(&text, "api.yaml").unwrap_or_else(|err| panic!("{err:#}"))
}

#[test]
fn generated_is_fresh() {
    let api = api();
    let files = generate(&api).unwrap();
    let mut stale = Lock::wire(&api).sync(&root(), true).unwrap();
    stale.extend(Lock::abi(&files).sync(&root(), true).unwrap());
    stale.extend(output::sync(&root().join("generated"), &files, true).unwrap());
    assert!(stale.is_empty(), "{}\nrun: cargo run -p generator", stale.join("\n"));
}

/// Templates and maps have an order only if somebody sees to it.
#[test]
fn the_same_twice() {
    assert_eq!(generator::emit::emit(&api()).unwrap(), generator::emit::emit(&api()).unwrap());
}

/// The generator knows no function by name: what is special about one is a field of its entry.
#[test]
fn no_function_by_name() {
    let api = api();
    let names: HashSet<&str> = api.functions.iter().map(|it| it.name.as_str()).collect();
    let mut found = Vec::new();
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            let literals = line.split('"').skip(1).step_by(2);
            let is_name = |literal: &str| {
                // A single word may mean anything, unless it stands alone.
                let words = || literal.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                names.contains(literal)
                    || words().any(|word| word.contains('_') && names.contains(word))
            };
            if let Some(literal) = literals.into_iter().find(|literal| is_name(literal)) {
                found.push(format!("{}:{}: {literal:?}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The files of Rust below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}
