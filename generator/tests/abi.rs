// SPDX-License-Identifier: LGPL-2.1-or-later
//! The lock of the C interface sees what would break programs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use generator::emit::emit;
use generator::load;
use generator::lock::Lock;

const DESCRIPTION: &str = r#"
version: {major: 1, minor: 0, release: 0}
groups: [{name: file, title: FILES, docs: Files.}]
features: []
events: []
structs:
  - name: thing
    doc: a thing
    fields:
      - {name: size, type: uint32, doc: size}
      - {name: title, type: string, doc: title}
functions:
  - name: stretch
    proc: 1
    since: "1.0"
    group: file
    implemented: false
    summary: stretch a file
    args:
      - {name: path, type: path, doc: file}
    options:
      - {name: size, type: int64, doc: how long it becomes}
      - {name: zero, type: bool, doc: write zeroes}
    returns: none
    docs: What is new is zero.
"#;

fn lock(description: &str) -> Lock {
    let api = load(description, "api.yaml").unwrap_or_else(|err| panic!("{err:#}"));
    Lock::abi(&emit(&api).unwrap())
}

/// What is said when `from` becomes `to`.
#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    assert!(DESCRIPTION.contains(from), "{from}");
    let released = lock(DESCRIPTION).update("").unwrap();
    let error = lock(&DESCRIPTION.replacen(from, to, 1)).update(&released).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with(&format!("tests/abi.lock: {expected}\n")), "{error}");
}

#[test]
fn what_is_new_is_added() {
    let released = lock(DESCRIPTION).update("").unwrap();
    assert!(released.contains("OFFSET (thing, title, 8)\n"), "{released}");
    assert!(released.contains("int guestfs_stretch (guestfs_h *g, const char *path, ...)\n"));
    let more = DESCRIPTION.replace(
        "doc: write zeroes}",
        "doc: write zeroes}\n      - {name: more, type: bool, doc: more}",
    );
    let grown = lock(&more).update(&released).unwrap();
    assert!(grown.contains("GUESTFS_STRETCH_MORE 2\n"), "{grown}");
}

#[test]
fn what_is_released_stays() {
    let size = "      - {name: size, type: int64, doc: how long it becomes}\n";
    let zero = "      - {name: zero, type: bool, doc: write zeroes}\n";
    check(&format!("{size}{zero}"), &format!("{zero}{size}"), "GUESTFS_STRETCH_SIZE 0");
    check("name: title, type: string", "name: title, type: uint32", "OFFSET (thing, title, 8)");
    check(
        "doc: title}",
        "doc: title}\n      - {name: more, type: int64, doc: more}",
        "SIZE (thing, 16)",
    );
    check(
        "{name: path, type: path,",
        "{name: path, type: int64,",
        "int guestfs_stretch (guestfs_h *g, const char *path, ...)",
    );
}
