// SPDX-License-Identifier: LGPL-2.1-or-later
//! Nodes of modules that are not loaded yet: opening one makes the kernel load its module.
//!
//! `depmod` lists them in `modules.devname`; elsewhere udev or systemd makes them.

use std::path::Path;

use bstr::ByteSlice;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::error::{About, Result};
use crate::system;

/// A line of `modules.devname`.
#[derive(Debug, PartialEq, Eq)]
struct Node<'a> {
    name: &'a str,
    kind: FileType,
    number: (u32, u32),
}

/// Makes the nodes of the kernel whose modules are in `modules`.  The appliance can do without any
/// of them, so trouble is only told.
pub(super) fn make_nodes(modules: &Path, dev: &Path) {
    if let Err(err) = try_make_nodes(modules, dev) {
        eprintln!("guestfsd: {err}");
    }
}

fn try_make_nodes(modules: &Path, dev: &Path) -> Result<()> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let list = system::read(modules.join(release).join("modules.devname"))?;
    for node in list.lines().filter_map(parse) {
        // Some are in a directory of their own, such as the sound card's; no tool here wants those.
        if node.name.contains('/') {
            continue;
        }
        let path = dev.join(node.name);
        let mode = Mode::from_raw_mode(0o600);
        let (major, minor) = node.number;
        match mknodat(CWD, &path, node.kind, mode, makedev(major, minor)) {
            Err(rustix::io::Errno::EXIST) => {}
            result => result.about(path.display())?,
        }
    }
    Ok(())
}

/// `btrfs btrfs-control c10:234`: module, node, kind and number.
fn parse(line: &[u8]) -> Option<Node<'_>> {
    let mut words = line.to_str().ok()?.split(' ');
    let (_module, name, device) = (words.next()?, words.next()?, words.next()?);
    let (kind, number) = match device.split_at_checked(1)? {
        ("c", number) => (FileType::CharacterDevice, number),
        ("b", number) => (FileType::BlockDevice, number),
        _ => return None,
    };
    let (major, minor) = number.split_once(':')?;
    Some(Node { name, kind, number: (major.parse().ok()?, minor.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, FileType, (u32, u32))>) {
        let expected = expected.map(|(name, kind, number)| Node { name, kind, number });
        assert_eq!(parse(line.as_bytes()), expected);
    }

    #[test]
    fn lines() {
        let control = FileType::CharacterDevice;
        check("btrfs btrfs-control c10:234", Some(("btrfs-control", control, (10, 234))));
        check("x y b7:0", Some(("y", FileType::BlockDevice, (7, 0))));
        check("# Device nodes to trigger on-demand module loading.", None);
        check("x y c10", None);
        check("x y p1:2", None);
        check("", None);
    }
}
