// SPDX-License-Identifier: LGPL-2.1-or-later
//! What functions keep from one call to the next.

use std::os::fd::OwnedFd;

use crate::augeas::Augeas;
use crate::journal::Journal;

/// At most one of each kind: the API has no names for several.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    /// The tree of configuration files.
    pub(crate) augeas: Option<Augeas>,
    /// The files that are watched.
    pub(crate) inotify: Option<OwnedFd>,
    /// The journal that is read.
    pub(crate) journal: Option<Journal>,
}

impl Handles {
    /// Closes all of them, since they may keep filesystems busy.
    pub(crate) fn close(&mut self) {
        *self = Self::default();
    }
}
