// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which groups of functions this appliance can do.

use bstr::ByteSlice;

use crate::generated::{FEATURES, Feature};
use crate::{system, tool};

/// Once a group of its own, since always there; programs still ask.
const ALWAYS: &str = "realpath";

/// The names of all the groups.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FEATURES.iter().map(|feature| feature.name)
}

/// The group of this name, as a name that lives for ever.
pub(crate) fn known(name: &[u8]) -> Option<&'static str> {
    names().chain([ALWAYS]).find(|known| known.as_bytes() == name)
}

/// Looks for what the group needs.
pub(crate) fn probe(name: &str) -> bool {
    match FEATURES.iter().find(|feature| feature.name == name) {
        Some(feature) => is_there(feature),
        None => name == ALWAYS,
    }
}

fn is_there(feature: &Feature) -> bool {
    feature.implemented
        && feature.programs.iter().all(|program| tool::exists(program))
        && feature.filesystem.is_none_or(kernel_knows)
}

/// Whether the kernel has the filesystem, or a module which it would load.
pub(crate) fn kernel_knows(fstype: &str) -> bool {
    let known = |list: Vec<u8>| {
        list.lines().any(|line| line.rsplit_str("\t").next() == Some(fstype.as_bytes()))
    };
    system::read("/proc/filesystems").is_ok_and(known)
        || tool::Tool::new("modprobe")
            .args(["--dry-run", "--quiet"])
            .arg(format!("fs-{fstype}"))
            .run()
            .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_sorted() {
        assert!(FEATURES.is_sorted_by_key(|feature| feature.name));
    }

    #[test]
    fn probing() {
        assert_eq!(known(b"lvm2"), Some("lvm2"));
        assert_eq!(known(b"lvm3"), None);
        assert!(probe(ALWAYS));
        assert!(kernel_knows("proc"));
        assert!(!kernel_knows("no-such-filesystem"));
    }
}
