// SPDX-License-Identifier: LGPL-2.1-or-later
//! Extended attributes, ACLs and labels on their way into an archive and out of it.

use std::path::Path;

use bstr::ByteSlice;

use super::pax::Attributes;
use crate::error::{Errno, Error, Result};
use crate::path::GuestPath;
use crate::xattr::{self, SELINUX, acl};

/// Which of them the caller wants.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) xattrs: bool,
    pub(super) selinux: bool,
    pub(super) acls: bool,
}

impl Wanted {
    pub(super) fn any(self) -> bool {
        self.xattrs || self.selinux || self.acls
    }
}

/// The guest's lists of users and groups, for ACLs that have names.
#[derive(Debug, Default)]
pub(super) struct Databases {
    pub(super) passwd: Vec<u8>,
    pub(super) group: Vec<u8>,
}

/// What an open file has.
pub(super) fn gather(file: &Path, wanted: Wanted, path: &GuestPath) -> Result<Attributes> {
    let mut found = Attributes::default();
    for name in xattr::names(file).map_err(|errno| Error::sys(path, errno))? {
        let value = xattr::get_if_any(file, &name);
        let value = value.map_err(|errno| of(path, &name, errno))?;
        // Removed since.
        let Some(value) = value else { continue };
        let text = || acl::text_of(&value).map(Some).map_err(|why| Error::invalid(path, why));
        match name.as_slice() {
            acl::ACCESS if wanted.acls => found.acl_access = text()?,
            acl::DEFAULT if wanted.acls => found.acl_default = text()?,
            SELINUX if wanted.selinux => {
                found.selinux = Some(value.trim_end_with(|c| c == '\0').into());
            }
            _ => {}
        }
        if wanted.xattrs {
            found.xattrs.push((name, value.into()));
        }
    }
    Ok(found)
}

/// What an open file has in the end.
pub(super) struct Restored<'a> {
    pub(super) attributes: &'a Attributes,
    pub(super) wanted: Wanted,
    pub(super) databases: &'a Databases,
    pub(super) is_directory: bool,
    pub(super) is_link: bool,
}

impl Restored<'_> {
    /// Gives them to an open file.  What its filesystem has not is left out, as in copies.
    pub(super) fn set(&self, file: &Path, path: &GuestPath) -> Result<()> {
        let Attributes { xattrs, acl_access, acl_default, selinux } = self.attributes;
        if self.wanted.xattrs {
            for (name, value) in xattrs {
                self.one(file, name, value, path)?;
            }
        }
        if let Some(label) = selinux.as_ref().filter(|_| self.wanted.selinux) {
            // With its end, as programs of SELinux write it.
            self.one(file, SELINUX, &[label, b"\0".as_slice()].concat(), path)?;
        }
        if !self.wanted.acls || self.is_link {
            return Ok(());
        }
        let lists =
            [(acl::ACCESS, acl_access, true), (acl::DEFAULT, acl_default, self.is_directory)];
        for (name, text, has_this) in lists {
            match text {
                _ if !has_this => {}
                Some(text) => {
                    let Databases { passwd, group } = self.databases;
                    let value = acl::value_of(text, passwd, group);
                    let value = value.map_err(|why| Error::invalid(path, why))?;
                    self.one(file, name, &value, path)?;
                }
                // It may have got one from its directory.
                None => match xattr::remove(file, name) {
                    Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                    Err(errno) => return Err(of(path, name, errno)),
                },
            }
        }
        Ok(())
    }

    fn one(&self, file: &Path, name: &[u8], value: &[u8], path: &GuestPath) -> Result<()> {
        match xattr::set(file, name, value) {
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(of(path, name, errno)),
        }
    }
}

fn of(path: &GuestPath, name: &[u8], errno: Errno) -> Error {
    Error::sys(format_args!("{path}: attribute {}", name.as_bstr()), errno)
}
