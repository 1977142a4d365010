// SPDX-License-Identifier: LGPL-2.1-or-later
//! `copy-in` and `copy-out`, which take several files at once.

use crate::builtin::Call;
use crate::error::Result;
use crate::session::Session;

pub(super) fn copy_in(session: &mut Session, call: Call<'_>) -> Result<()> {
    let Some((target, locals)) = call.words.split_last() else { return Ok(()) };
    for local in locals {
        session.handle.copy_in(local, target)?;
    }
    Ok(())
}

pub(super) fn copy_out(session: &mut Session, call: Call<'_>) -> Result<()> {
    let Some((target, remotes)) = call.words.split_last() else { return Ok(()) };
    for remote in remotes {
        session.handle.copy_out(remote, target)?;
    }
    Ok(())
}
