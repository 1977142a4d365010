// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which groups of functions this appliance can do.

use crate::tool;

/// What a group needs.
enum Need {
    /// Nothing but the daemon.
    Nothing,
    /// All of these programs.
    Programs(&'static [&'static str]),
    /// Functions that this daemon does not have.
    Functions,
}

use Need::{Functions, Nothing, Programs};

/// Every group that programs may ask for, in alphabetical order.
const GROUPS: &[(&str, Need)] = &[
    ("acl", Functions),
    ("augeas", Functions),
    ("blkdiscard", Functions),
    ("blkdiscardzeroes", Functions),
    ("btrfs", Functions),
    ("clevisluks", Functions),
    ("extlinux", Functions),
    ("f2fs", Functions),
    ("fstrim", Functions),
    ("gdisk", Functions),
    ("grub", Functions),
    ("hivex", Functions),
    ("inotify", Functions),
    ("journal", Functions),
    ("ldm", Functions),
    ("libtsk", Functions),
    ("libyara", Functions),
    ("linuxcaps", Functions),
    ("linuxfsuuid", Functions),
    ("linuxmodules", Functions),
    ("linuxxattrs", Functions),
    ("luks", Functions),
    ("lvm2", Programs(&["lvm"])),
    ("mdadm", Functions),
    ("mknod", Functions),
    ("ntfs3g", Functions),
    ("ntfsprogs", Functions),
    // Older programs ask for it, and the functions became part of the rest.
    ("realpath", Nothing),
    ("rsync", Functions),
    ("scrub", Functions),
    ("selinux", Functions),
    ("selinuxrelabel", Functions),
    ("sleuthkit", Functions),
    ("squashfs", Functions),
    ("syslinux", Functions),
    ("wipefs", Programs(&["wipefs"])),
    ("xfs", Functions),
    ("xz", Functions),
    ("zerofree", Functions),
];

/// The names of all the groups.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|(name, _)| *name)
}

/// The group of this name, as a name that lives for ever.
pub(crate) fn known(name: &[u8]) -> Option<&'static str> {
    names().find(|known| known.as_bytes() == name)
}

/// Looks for what the group needs.
pub(crate) fn probe(name: &str) -> bool {
    GROUPS.iter().find(|(known, _)| *known == name).is_some_and(|(_, need)| match need {
        Nothing => true,
        Programs(programs) => programs.iter().all(|program| tool::exists(program)),
        Functions => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_sorted() {
        assert!(GROUPS.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn probing() {
        assert_eq!(known(b"lvm2"), Some("lvm2"));
        assert_eq!(known(b"lvm3"), None);
        assert!(probe("realpath"));
        assert!(!probe("acl"));
    }
}
