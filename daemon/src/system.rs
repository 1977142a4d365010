// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files of the appliance itself: `/proc`, `/sys`, `/dev` and its own `/etc`.  Never the guest's.
#![expect(clippy::disallowed_methods, reason = "these paths are not the guest's")]

use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use bstr::BString;
use rustix::fs::{Mode, OFlags};

use crate::error::{About, Result};

/// The whole content of a file.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    fs::read(path).about(path.display())
}

/// The content of a file of one line, such as the attributes in `/sys`.
pub(crate) fn read_line(path: impl AsRef<Path>) -> Result<String> {
    let content = read(path)?;
    Ok(String::from_utf8_lossy(&content).trim_end().to_owned())
}

/// Writes a value to a file of the kernel.
pub(crate) fn write(path: impl AsRef<Path>, content: &[u8]) -> Result<()> {
    let path = path.as_ref();
    fs::write(path, content).about(path.display())
}

/// The names in a directory, sorted.
pub(crate) fn names(path: impl AsRef<Path>) -> Result<Vec<BString>> {
    let path = path.as_ref();
    let mut names = Vec::new();
    for entry in fs::read_dir(path).about(path.display())? {
        names.push(entry.about(path.display())?.file_name().into_vec().into());
    }
    names.sort();
    Ok(names)
}

/// Opens a file or device node.
pub(crate) fn open(path: impl AsRef<Path>, flags: OFlags) -> rustix::io::Result<File> {
    rustix::fs::open(path.as_ref(), flags | OFlags::CLOEXEC, Mode::empty()).map(File::from)
}

/// Makes a directory and those that it is in, for the trees that tests run on.
#[cfg(test)]
pub(crate) fn make_directories(path: impl AsRef<Path>) {
    fs::create_dir_all(path).unwrap();
}
