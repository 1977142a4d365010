// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files made no longer than this process may make them.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// Makes the file so long.  The kernel answers with a signal, which ends the program, if that is
/// more than the limit: a caller prefers an error.
pub(crate) fn set_len(file: &File, size_bytes: u64) -> io::Result<()> {
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    if size_bytes > limit {
        return Err(Errno::EFBIG.into());
    }
    file.set_len(size_bytes)
}
