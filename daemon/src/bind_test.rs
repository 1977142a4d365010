// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the library's tests need the daemon for.

use std::io::Read;

use guestfs_protocol::wire;

use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::transfer::FileIn;

/// Reads some chunks and gives up, while more of them are on their way.
pub(crate) fn internal_rhbz914931(_: &mut Ctx, content: &mut FileIn<'_>, count: i32) -> Result<()> {
    let mut chunk = vec![0; wire::CHUNK_MAX];
    for _ in 0..count {
        content.read_exact(&mut chunk).about("the file that is sent")?;
    }
    Err(Error::refused(Errno::INVAL, "stopped", format!("after {count} chunks, as asked")))
}
