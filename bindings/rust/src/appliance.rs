// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the appliance can do.

use bstr::{BStr, ByteSlice};
use guestfs_protocol::{InternalFeatureAvailableArgs, InternalFeatureAvailableRet, Procedure};
use nix::errno::Errno;

use crate::call::text;
use crate::error::{Error, Result};
use crate::handle::Handle;

pub(crate) fn available(g: &Handle, groups: &[&[u8]]) -> Result<()> {
    match first_absent(g, groups)? {
        None => Ok(()),
        Some(group) => {
            let why = format!("{group}: this group is not available in the appliance");
            Err(Error::new(Errno::ENOTSUP as i32, why))
        }
    }
}

pub(crate) fn feature_available(g: &Handle, groups: &[&[u8]]) -> Result<bool> {
    Ok(first_absent(g, groups)?.is_none())
}

/// The first group that the appliance does not have.  A group that nobody knows is an error.
fn first_absent<'a>(g: &Handle, groups: &[&'a [u8]]) -> Result<Option<&'a BStr>> {
    for group in groups {
        let args = InternalFeatureAvailableArgs { group: text("groups", group)? };
        let ret: InternalFeatureAvailableRet =
            g.call(Procedure::InternalFeatureAvailable, 0, &args)?;
        let group = group.as_bstr();
        match ret.result {
            0 => {}
            1 => return Ok(Some(group)),
            _ => return Err(Error::invalid("groups", format!("{group} is not known"))),
        }
    }
    Ok(None)
}
