// SPDX-License-Identifier: LGPL-2.1-or-later
//! What waits to be sent.

use std::io::Write as _;
use std::ops::Deref;

use guestfs_protocol::Locked;
use guestfs_protocol::wire::{self, Chunk};

use super::{Lost, Talk};
use crate::error::{Error, Result};

/// Bytes in ordinary memory, or in memory that is wiped.
pub(super) enum Bytes {
    Plain(Vec<u8>),
    Secret(Locked),
}

impl Bytes {
    fn extend(&mut self, more: &[u8]) -> Result<()> {
        match self {
            Self::Plain(bytes) => bytes.extend_from_slice(more),
            Self::Secret(bytes) => {
                bytes.write_all(more).map_err(|err| Error::io(&err, "locked memory"))?;
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        match self {
            Self::Plain(bytes) => bytes.clear(),
            Self::Secret(bytes) => bytes.clear(),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Secret(bytes) => bytes,
        }
    }
}

/// Bytes on their way out.
pub(super) struct Output {
    bytes: Bytes,
    sent: usize,
}

impl Output {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, sent: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    pub(super) fn push(&mut self, chunk: &Chunk) -> Talk<()> {
        match wire::encode_chunk(chunk) {
            Ok(bytes) => self.bytes.extend(&bytes).map_err(Lost::Host),
            Err(err) => Err(Lost::Host(err.into())),
        }
    }

    /// What is to be sent now.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}
