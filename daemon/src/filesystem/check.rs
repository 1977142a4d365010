// SPDX-License-Identifier: LGPL-2.1-or-later
//! Which filesystems there are, and whether they are in order.

use bstr::{BStr, ByteSlice};
use rustix::fs::OFlags;

use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::features::kernel_knows;
use crate::tool::{self, Tool};

pub(crate) fn filesystem_available(_: &mut Ctx, filesystem: &BStr) -> Result<bool> {
    match type_name(filesystem) {
        Some(name) => Ok(kernel_knows(name)),
        None => Err(Error::invalid("filesystem", format_args!("{filesystem:?} is no name"))),
    }
}

pub(crate) fn fsck(_: &mut Ctx, fstype: &BStr, device: &Device) -> Result<i32> {
    let program = type_name(fstype).map(|name| format!("fsck.{name}"));
    let Some(program) = program.filter(|it| tool::exists(it)) else {
        return Err(Error::unsupported(format_args!("checking of filesystem {fstype}")));
    };
    // Exclusively: it must not be mounted.
    device.open(OFlags::RDONLY | OFlags::EXCL)?;
    match Tool::new(program).arg("-a").arg(device.path()).run() {
        Ok(()) => Ok(0),
        Err(Error::Tool { program, status, stderr }) => {
            status.code().ok_or(Error::Tool { program, status, stderr })
        }
        Err(err) => Err(err),
    }
}

/// What may be the name of a type: it becomes part of the names of modules and programs.
fn type_name(name: &BStr) -> Option<&str> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let name = name.to_str().ok()?;
    (!name.is_empty() && name.as_bytes().iter().all(fits)).then_some(name)
}
