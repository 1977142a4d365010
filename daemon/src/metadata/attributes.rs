// SPDX-License-Identifier: LGPL-2.1-or-later
//! Copying what is recorded about a file to another one.

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chmodat, chownat, fstat};

use crate::ctx::Ctx;
use crate::error::{About, Result};
use crate::generated::CopyAttributesOptions;
use crate::path::GuestPath;
use crate::xattr;

pub(crate) fn copy_attributes(
    cx: &mut Ctx,
    src: &GuestPath,
    dest: &GuestPath,
    options: CopyAttributesOptions,
) -> Result<()> {
    let all = options.all == Some(true);
    let wanted = |option: Option<bool>| all || option == Some(true);
    let from = cx.open(src, OFlags::PATH)?;
    let to = cx.open(dest, OFlags::PATH)?;
    let stat = fstat(&from).about(src)?;
    // First, as a new owner takes set-user-ID bits and capabilities away.
    if wanted(options.ownership) {
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        chownat(&to, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).about(dest)?;
    }
    let (source, target) = (cx.proc_fd(&from), cx.proc_fd(&to));
    if wanted(options.mode) {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        chmodat(CWD, &target, mode, AtFlags::empty()).about(dest)?;
    }
    if wanted(options.xattributes) {
        for name in xattr::names(&source).about(src)? {
            let value = xattr::get(&source, &name).about(src)?;
            xattr::set(&target, &name, &value).about(dest)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_copied_unless_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let mut cx = Ctx::new(root.path());
        let path = |text: &str| GuestPath::new("path", text.as_bytes()).unwrap();
        for name in ["a", "b"] {
            crate::system::write(root.path().join(name), b"").unwrap();
        }
        super::super::chmod(&mut cx, 0o4750, &path("/a")).unwrap();
        let mut copied = |mode| {
            super::super::chmod(&mut cx, 0o600, &path("/b")).unwrap();
            let (all, xattributes, ownership) = (None, None, None);
            let options = CopyAttributesOptions { all, mode, xattributes, ownership };
            copy_attributes(&mut cx, &path("/a"), &path("/b"), options).unwrap();
            cx.stat(&path("/b")).unwrap().st_mode & 0o7777
        };
        assert_eq!([None, Some(false), Some(true)].map(&mut copied), [0o600, 0o600, 0o4750]);
    }
}
