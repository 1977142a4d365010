// SPDX-License-Identifier: LGPL-2.1-or-later
//! The two halves of the name of what can be mounted.

use bstr::{BString, ByteSlice};
use guestfs_protocol::{
    InternalMountable, InternalParseMountableArgs, InternalParseMountableRet, Procedure,
};

use crate::call::text;
use crate::error::{Error, Result};
use crate::handle::Handle;

/// What the daemon says of a device which is not a subvolume.
const WHOLE_DEVICE: i32 = 1;

pub(crate) fn mountable_device(g: &Handle, mountable: &[u8]) -> Result<BString> {
    Ok(parse(g, mountable)?.im_device)
}

pub(crate) fn mountable_subvolume(g: &Handle, mountable: &[u8]) -> Result<BString> {
    let parsed = parse(g, mountable)?;
    if parsed.im_type == WHOLE_DEVICE {
        return Err(Error::invalid(
            "mountable",
            format!("{}: not a subvolume", mountable.as_bstr()),
        ));
    }
    Ok(parsed.im_volume)
}

/// The daemon knows where the name of the device ends: it may have slashes in it.
fn parse(g: &Handle, mountable: &[u8]) -> Result<InternalMountable> {
    let args = InternalParseMountableArgs { mountable: text("mountable", mountable)? };
    let ret: InternalParseMountableRet = g.call(Procedure::InternalParseMountable, 0, &args)?;
    Ok(ret.mountable)
}
