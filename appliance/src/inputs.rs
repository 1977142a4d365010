// SPDX-License-Identifier: LGPL-2.1-or-later
//! The data files beside this crate's sources that say what the appliance is made of.

/// Debian packages.
pub(crate) const PACKAGES: &str = include_str!("../packages");
/// What is removed from the unpacked packages.
pub(crate) const PRUNE: &str = include_str!("../prune");
/// Kernel modules of the root image.
pub(crate) const MODULES: &str = include_str!("../modules");
/// Kernel modules of the initrd.
pub(crate) const INITRD: &str = include_str!("../initrd");

/// Files that are put into the root image, over those of the packages.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("etc/fstab", ""),
    ("etc/group", include_str!("../etc/group")),
    ("etc/hostname", include_str!("../etc/hostname")),
    ("etc/hosts", include_str!("../etc/hosts")),
    ("etc/lvm/lvm.conf", include_str!("../etc/lvm/lvm.conf")),
    ("etc/mdadm/mdadm.conf", include_str!("../etc/mdadm/mdadm.conf")),
    ("etc/modprobe.d/guestfs.conf", include_str!("../etc/modprobe.conf")),
    ("etc/nsswitch.conf", include_str!("../etc/nsswitch.conf")),
    ("etc/passwd", include_str!("../etc/passwd")),
];

/// Symbolic links that are put into the root image: name and target.
pub(crate) const LINKS: &[(&str, &str)] = &[
    ("etc/mtab", "/proc/mounts"),
    ("etc/resolv.conf", "/run/resolv.conf"),
    // The package makes it when it is configured.
    ("usr/bin/sh", "dash"),
    // parted waits for udev by running it after each change.
    ("usr/bin/udevadm", "true"),
];

/// Directories that are mounted over, or that programs expect.
pub(crate) const DIRECTORIES: &[&str] =
    &["dev", "proc", "root", "run", "sys", "sysroot", "tmp", "var"];

/// The lines of a data file that are neither empty nor a comment.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'))
}
