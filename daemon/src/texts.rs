// SPDX-License-Identifier: LGPL-2.1-or-later
//! Lists of texts that are returned: what does not fit into a reply is not collected either.

use std::fmt::Display;

use bstr::BString;

use crate::error::{Error, Result};
use crate::file::CONTENT_MAX;

/// Texts of one reply.
#[derive(Debug)]
pub(crate) struct Texts {
    texts: Vec<BString>,
    room: usize,
}

impl Texts {
    pub(crate) fn new() -> Self {
        Self { texts: Vec::new(), room: CONTENT_MAX }
    }

    /// Adds one, if there is room for it.  `what` is what all of them come from.
    pub(crate) fn push(&mut self, text: &[u8], what: impl Display) -> Result<()> {
        // With its length, and padded.
        match self.room.checked_sub(4 + text.len().next_multiple_of(4)) {
            Some(room) => self.room = room,
            None => return Err(too_long(what)),
        }
        self.texts.push(text.into());
        Ok(())
    }

    /// Sorts those from `start` on.
    pub(crate) fn sort_from(&mut self, start: usize) {
        self.texts[start..].sort_unstable();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// All of them.
    pub(crate) fn into_vec(self) -> Vec<BString> {
        self.texts
    }
}

/// The result does not fit into a reply.
pub(crate) fn too_long(what: impl Display) -> Error {
    Error::TooBig(format!("{what}: the result has more than {CONTENT_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits() {
        let mut texts = Texts::new();
        let full = loop {
            if let Err(err) = texts.push(b"hello", "/x") {
                break err;
            }
        };
        assert_eq!(full.to_string(), "/x: the result has more than 4194256 bytes");
        assert_eq!(texts.into_vec().len(), CONTENT_MAX / 12);
    }
}
