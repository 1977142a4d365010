// SPDX-License-Identifier: LGPL-2.1-or-later
//! What an appliance says of itself: who made it, and which bytes its files should have.

use std::fs;

use super::report::{REBUILD, without_remedy};
use super::search::Files;
use crate::error::Error;

/// The version of this library, and of the appliances made with it.
const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The files beside those of the appliance, which are not needed to run it.
const MANIFEST: &str = "manifest";
const README: &str = "README.fixed";

/// A file as it was when the appliance was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    pub size: u64,
    /// SHA-256, in hexadecimal.
    pub sum: String,
}

/// The files according to the manifest; none if there is no manifest.
pub(super) fn entries(files: &Files) -> Vec<Entry> {
    beside(files, MANIFEST).map(|it| parse(&it)).unwrap_or_default()
}

/// The version of guestfs that made the appliance, if it says so.
pub(super) fn version(files: &Files) -> Option<String> {
    version_in(&beside(files, README)?)
}

/// The error of an appliance that did not come up, or in front of it what is wrong with its files.
pub(super) fn blame(files: &Files, error: Error) -> Error {
    let said = without_remedy(error.message());
    if let Some(damage) = damage(files) {
        return Error::new(error.errno(), format!("{damage}; {REBUILD}; {said}"));
    }
    match version(files) {
        Some(it) if it != OWN_VERSION => {
            let directory = files.root.parent().unwrap_or(&files.root).display();
            let message = format!(
                "{said}; the appliance in {directory} was made by guestfs {it}, and this library \
                 is guestfs {OWN_VERSION}: {REBUILD}"
            );
            Error::new(error.errno(), message)
        }
        _ => error,
    }
}

/// The first file that is not as long as it was made.
pub(super) fn damage(files: &Files) -> Option<String> {
    entries(files).iter().find_map(|entry| {
        let file = files.named(&entry.name)?;
        let size = fs::metadata(file).ok()?.len();
        let file = file.display();
        (size != entry.size)
            .then(|| format!("{file} is damaged: it has {size} bytes instead of {}", entry.size))
    })
}

fn beside(files: &Files, name: &str) -> Option<String> {
    fs::read_to_string(files.root.parent()?.join(name)).ok()
}

/// Lines of packages have three words as well, but none as long as a checksum.
fn parse(manifest: &str) -> Vec<Entry> {
    let lines = manifest.lines().filter_map(|line| {
        let [sum, size, name] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let is_sum = sum.len() == 64 && sum.bytes().all(|it| it.is_ascii_hexdigit());
        let size = size.parse().ok().filter(|_| is_sum)?;
        Some(Entry { name: name.to_owned(), size, sum: sum.to_owned() })
    });
    lines.collect()
}

fn version_in(readme: &str) -> Option<String> {
    readme.lines().find_map(|line| {
        let (version, _) = line.strip_prefix("guestfs ")?.split_once(" made it")?;
        Some(version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests() {
        let sum = "9".repeat(64);
        let text = format!(
            "# Debian packages, versions and architectures.\nacl 2.3.1-3 amd64\n\n# SHA-256 and \
             bytes of the files.\n{sum} 35392392 kernel\n{sum} 12 root\n"
        );
        let entry = |name: &str, size| Entry { name: name.to_owned(), size, sum: sum.clone() };
        assert_eq!(parse(&text), [entry("kernel", 35_392_392), entry("root", 12)]);
        assert_eq!(parse("acl 1 amd64"), []);
    }

    #[test]
    fn versions() {
        let text = "Read me.\n\nguestfs 0.1.0 made it with guestfs-appliance.\n";
        assert_eq!(version_in(text).as_deref(), Some("0.1.0"));
        assert_eq!(version_in("This is an appliance of guestfs 1.2\n"), None);
    }

    #[test]
    fn whose_fault_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let [kernel, initrd, root] = ["kernel", "initrd", "root"].map(|it| dir.path().join(it));
        let files = Files { kernel, initrd, root };
        let blamed = || blame(&files, Error::new(0, "qemu exited")).message().to_owned();
        assert_eq!(blamed(), "qemu exited");
        write(README, &format!("guestfs {OWN_VERSION} made it with guestfs-appliance.\n"));
        assert_eq!(blamed(), "qemu exited");
        write(README, "guestfs 0.0.9 made it with guestfs-appliance.\n");
        let text = blamed();
        assert!(text.starts_with("qemu exited; the appliance in "), "{text}");
        assert!(text.contains(" was made by guestfs 0.0.9, and this library is "), "{text}");
        write("root", "12345");
        write(MANIFEST, &format!("{} 5 root\n", "0".repeat(64)));
        assert_eq!(damage(&files), None);
        write("root", "123");
        let text = blamed();
        assert!(text.contains("/root is damaged: it has 3 bytes instead of 5; build"), "{text}");
        assert!(text.ends_with("; qemu exited"), "{text}");
    }
}
