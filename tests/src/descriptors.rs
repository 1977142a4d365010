// SPDX-License-Identifier: LGPL-2.1-or-later
//! The descriptors of a process, for programs that must not leave any behind.

use std::error::Error;
use std::fs;

/// What this process has open.
pub(crate) fn descriptors() -> Result<Vec<String>, Box<dyn Error>> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        // The directory that is being read is one of them, and gone by now.
        if let Ok(target) = fs::read_link(entry?.path()) {
            open.push(target.display().to_string());
        }
    }
    open.retain(|it| !it.ends_with("/fd"));
    open.sort();
    Ok(open)
}
