// SPDX-License-Identifier: LGPL-2.1-or-later
//! Extended attributes of a file that is going to be replaced by another one.

use std::ffi::CString;

use rustix::fs::XattrFlags;
use rustix::io::{Errno, Result};

/// Neither a value nor a list of names is longer.
const MAX: usize = 64 << 10;

/// The attributes that a file has, access control lists and security labels among them.
#[derive(Debug)]
pub(crate) struct Attributes(Vec<(CString, Vec<u8>)>);

impl Attributes {
    /// Of what the path leads to; none if there is nothing.
    pub(crate) fn of(path: &[u8]) -> Result<Self> {
        let mut room = vec![0; MAX];
        let n = match rustix::fs::listxattr(path, &mut room) {
            Ok(n) => n,
            Err(Errno::OPNOTSUPP | Errno::NOENT) => 0,
            Err(errno) => return Err(errno),
        };
        let names = room[..n].split(|&byte| byte == 0).filter(|name| !name.is_empty());
        let mut attributes = Vec::new();
        for name in names.filter_map(|name| CString::new(name).ok()) {
            let mut value = vec![0; MAX];
            let n = rustix::fs::getxattr(path, &name, &mut value)?;
            value.truncate(n);
            attributes.push((name, value));
        }
        Ok(Self(attributes))
    }

    /// Gives them to a file; what it has besides stays.
    pub(crate) fn give_to(&self, path: &[u8]) -> Result<()> {
        for (name, value) in &self.0 {
            rustix::fs::setxattr(path, name, value, XattrFlags::empty())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_gets_what_another_one_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).into_os_string().into_encoded_bytes();
        for name in ["old", "new"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let set =
            |value| rustix::fs::setxattr(path("old"), "user.note", value, XattrFlags::empty());
        // Not every filesystem that tests run on has attributes of users.
        if set(b"value").is_err() {
            return;
        }
        Attributes::of(&path("old")).unwrap().give_to(&path("new")).unwrap();
        let mut value = [0; 16];
        let n = rustix::fs::getxattr(path("new"), "user.note", &mut value).unwrap();
        assert_eq!(&value[..n], b"value");
        assert!(Attributes::of(&path("missing")).unwrap().0.is_empty());
    }
}
