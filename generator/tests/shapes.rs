// SPDX-License-Identifier: LGPL-2.1-or-later
//! What every emitter makes of each shape of function: one description, one golden file.
//!
//! `UPDATE=1 cargo test -p generator` rewrites the golden files; the difference is then for review.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fmt::Write;

use common::{check_golden, descriptions};
use generator::emit::emit;
use generator::load;
use generator::output::{Files, format_rust};
use generator::schema::Api;

mod common;

/// A description without functions: what is generated from it belongs to no shape.
const NOTHING: &str = "
version: {major: 1, minor: 0, release: 0}
groups: [{name: file, title: FILES, docs: Files.}]
features: []
events: []
structs: []
functions: []
";

#[test]
fn shapes() {
    let raw = emit(&Api::parse(NOTHING).unwrap()).unwrap();
    let mut base = raw.clone();
    format_rust(&mut base).unwrap();
    for (path, text) in descriptions("shapes") {
        let api = load(&text, &path.display().to_string()).unwrap_or_else(|err| panic!("{err}"));
        let mut files = emit(&api).unwrap_or_else(|err| panic!("{}: {err:#}", path.display()));
        // Most files are the same, and formatting is what takes time.
        files.retain(|path, content| raw.get(path) != Some(content));
        format_rust(&mut files).unwrap();
        check_golden(&path.with_extension("golden"), &difference(&base, &files));
    }
}

/// The lines that `files` have and `base` has not, below the name of each file.
fn difference(base: &Files, files: &Files) -> String {
    let mut text = String::new();
    for (path, content) in files {
        let old = base.get(path).map_or("", String::as_str);
        let added = added(&lines(old), &lines(content));
        if !added.is_empty() {
            write!(text, "=== {}\n{}", path.display(), added.concat()).unwrap();
        }
    }
    text
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').filter(|line| !line.contains("Do not edit.")).collect()
}

/// The lines of `new` that are not part of the longest sequence that both have.
fn added<'a>(old: &[&str], new: &[&'a str]) -> Vec<&'a str> {
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut out) = (0, Vec::new());
    for (j, line) in new.iter().enumerate() {
        while i < old.len() && old[i] != *line && common[i + 1][j] == common[i][j] {
            i += 1;
        }
        match i < old.len() && old[i] == *line {
            true => i += 1,
            false => out.push(*line),
        }
    }
    out
}

#[test]
fn differences() {
    let old = ["a\n", "b\n", "c\n"];
    assert_eq!(added(&old, &["a\n", "x\n", "b\n", "c\n", "y\n"]), ["x\n", "y\n"]);
    assert_eq!(added(&old, &["x\n", "c\n"]), ["x\n"]);
    assert!(added(&old, &old).is_empty());
}
