// SPDX-License-Identifier: LGPL-2.1-or-later
//! Descriptions with one mistake each, and what is said about it.
//!
//! A `.lock` beside a description is the wire lock that it breaks.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use common::{check_golden, descriptions};
use generator::load;
use generator::lock::Lock;

mod common;

#[test]
fn complaints() {
    for (path, text) in descriptions("bad") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(complaint) = complaint(&path, &text, &name) else {
            panic!("{name}: nobody complains");
        };
        check_golden(&path.with_extension("err"), &(complaint + "\n"));
    }
}

fn complaint(path: &Path, text: &str, name: &str) -> Option<String> {
    let api = match load(text, name) {
        Ok(api) => api,
        Err(err) => return Some(format!("{err:#}")),
    };
    let lock = fs::read_to_string(path.with_extension("lock")).ok()?;
    Lock::wire(&api).update(&lock).err().map(|err| format!("{err:#}"))
}
