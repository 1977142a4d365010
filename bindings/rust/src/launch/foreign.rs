// SPDX-License-Identifier: LGPL-2.1-or-later
//! Appliances of libguestfs, as its `libguestfs-make-fixed-appliance` makes them.
//!
//! Their daemon speaks the same protocol.  Their root is a filesystem that the appliance writes to,
//! and the kernel's command line has to name it; and what they were can't be saved and gone on
//! from, as their daemon has no call for that.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Why such an appliance is booted each time.
pub(super) const NO_TEMPLATE: &str = "the appliance is one of libguestfs";

/// Where the root is, for the appliance's own init.
pub(super) const ROOT_WORD: &str = "root=/dev/vda";

/// Roots that the builder of this project makes are EROFS.
const EROFS_MAGIC: [u8; 4] = 0xe0f5_e1e2_u32.to_le_bytes();
const EROFS_MAGIC_AT: u64 = 1024;

/// What daemons answer when they don't know the number of a function.
const UNKNOWN: [&str; 2] = ["unknown procedure", "is unknown to this daemon"];

/// The root is one that the appliance wants to write to.
pub(super) fn has_such_root(root: &Path) -> io::Result<bool> {
    let mut magic = [0; EROFS_MAGIC.len()];
    match File::open(root)?.read_exact_at(&mut magic, EROFS_MAGIC_AT) {
        Ok(()) => Ok(magic != EROFS_MAGIC),
        // Nothing that can be mounted: the guest says so best.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The daemon's error says that it does not have the function at all.
pub(crate) fn is_unknown_function(message: &str) -> bool {
    UNKNOWN.iter().any(|it| message.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(size: usize, magic: u32, expected: bool) {
        let root = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0; size.max(1028)];
        bytes[1024..1028].copy_from_slice(&magic.to_le_bytes());
        std::fs::write(root.path(), &bytes[..size]).unwrap();
        assert_eq!(has_such_root(root.path()).unwrap(), expected);
    }

    #[test]
    fn roots() {
        check(4096, 0xe0f5_e1e2, false);
        check(4096, 0, true);
        check(100, 0, false);
        assert!(has_such_root(Path::new("/no/such/root")).is_err());
    }

    #[test]
    fn unknown_functions() {
        let text = "unknown procedure number 4096, set LIBGUESTFS_PATH to point to the matching \
                    libguestfs appliance directory";
        assert!(is_unknown_function(text));
        assert!(is_unknown_function("procedure 4096 is unknown to this daemon"));
        assert!(!is_unknown_function("/dev/sda: No such file or directory"));
    }
}
