// SPDX-License-Identifier: LGPL-2.1-or-later
//! Commands that make disks and handles: `alloc`, `sparse`, `reopen`.

use std::sync::Arc;

use bstr::{BString, ByteSlice};
use guestfs::{AddDriveOptions, DiskCreateOptions, Handle};

use crate::builtin::Call;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::units::{self, Unit};

pub(super) fn alloc(session: &mut Session, call: Call<'_>) -> Result<()> {
    make(session, call.words, "full")
}

pub(super) fn sparse(session: &mut Session, call: Call<'_>) -> Result<()> {
    make(session, call.words, "sparse")
}

fn make(session: &Session, words: &[BString], preallocation: &str) -> Result<()> {
    let (filename, size) = (&words[0], words[1].to_str_lossy());
    let size = units::parse(&size, Unit::Bytes)
        .map_err(|why| Error::shell(format!("size: {size}: {why}")))?;
    let options =
        DiskCreateOptions { preallocation: Some(preallocation.into()), ..Default::default() };
    session.handle.disk_create(filename, "raw", size, &options)?;
    let options = AddDriveOptions { format: Some("raw".into()), ..Default::default() };
    Ok(session.handle.add_drive(filename, &options)?)
}

pub(super) fn reopen(session: &mut Session, _: Call<'_>) -> Result<()> {
    let old = session.handle.clone();
    if old.is_ready()? {
        old.shutdown()?;
    }
    let new = Handle::create()?;
    new.set_verbose(old.get_verbose()?)?;
    new.set_path(Some(&old.get_path()?))?;
    new.set_hv(old.get_hv()?)?;
    new.set_append(old.get_append()?.as_ref().map(|it| it.as_slice()))?;
    new.set_backend(old.get_backend()?)?;
    new.set_memsize(old.get_memsize()?)?;
    new.set_smp(old.get_smp()?)?;
    new.set_network(old.get_network()?)?;
    new.set_autosync(old.get_autosync()?)?;
    new.set_pgroup(old.get_pgroup()?)?;
    new.set_trace(old.get_trace()?)?;
    session.use_handle(Arc::new(new));
    super::events::register_again(session);
    Ok(())
}
