// SPDX-License-Identifier: LGPL-2.1-or-later
//! To what size a filesystem can shrink, which only its own programs know.

use std::path::Path;

use rustix::fs::{Mode, OFlags, mkdir};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::bytes::ReadAt;
use super::{EXT, superblock};
use crate::block::{Device, Mountable};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::tool::Tool;

/// Where a filesystem is mounted for as long as the question takes.
const PLACE: &str = "/run/minimum-size";

pub(crate) fn vfs_minimum_size(_: &mut Ctx, mountable: &Mountable) -> Result<i64> {
    let device = &mountable.device;
    let found = superblock(device)?;
    let fstype = found.as_ref().map(|it| it.fstype);
    let size = match fstype {
        Some(fstype) if EXT.fstypes.contains(&fstype) => {
            let blocks = ext(device)?;
            let size = found.and_then(|it| it.block_size);
            blocks.zip(size).and_then(|(blocks, size)| blocks.checked_mul(size))
        }
        Some("ntfs") => {
            let tool = Tool::new("ntfsresize").args(["--info", "-f", "-f"]).arg(device.path());
            ntfs(&tool.text()?)
        }
        Some("btrfs") => btrfs(&of_mounted(device)?),
        Some("xfs") => xfs(&device.open(OFlags::RDONLY)?).about(device)?,
        _ => {
            let what = fstype.unwrap_or("what it holds");
            return Err(Error::unsupported(format_args!("{device}: the minimum size of {what}")));
        }
    };
    let unclear = || Error::Internal(format!("{device}: no size in the answer"));
    size.and_then(|it| i64::try_from(it).ok()).ok_or_else(unclear)
}

/// In blocks.
fn ext(device: &Device) -> Result<Option<u64>> {
    // Until it is written, the superblock of a mounted filesystem has the wrong checksum.
    rustix::fs::sync();
    let text = Tool::new("resize2fs").args(["-P", "-f"]).arg(device.path()).text()?;
    Ok(number_after(&text, "minimum size of the filesystem:"))
}

/// From "You might resize at 2801664 bytes or 3 MB", or from what is said of a full one.
fn ntfs(text: &str) -> Option<u64> {
    number_after(text, "You might resize at ")
        .or_else(|| number_after(text, "Current volume size:"))
}

/// The program asks the kernel, which must have it mounted.
fn of_mounted(device: &Device) -> Result<String> {
    match mkdir(PLACE, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Error::sys(PLACE, errno)),
    }
    let try_mount = |flags| mount(device.path(), Path::new(PLACE), "btrfs", flags, c"");
    match try_mount(MountFlags::RDONLY) {
        // It is mounted for writing already.
        Err(Errno::BUSY) => try_mount(MountFlags::empty()),
        result => result,
    }
    .about(device)?;
    let text = Tool::new("btrfs").args(["inspect-internal", "min-dev-size", PLACE]).text();
    unmount(PLACE, UnmountFlags::empty()).about(device)?;
    text
}

/// From "109051904 bytes (104.00MiB)".
fn btrfs(text: &str) -> Option<u64> {
    number_after(text, "")
}

/// XFS does not shrink: what it has is the least.
fn xfs(disk: &impl ReadAt) -> std::io::Result<Option<u64>> {
    let Some(superblock) = disk.bytes(0, 16)? else { return Ok(None) };
    let (size, blocks) = (superblock.be32(4), u64::from_be_bytes(superblock.array(8)));
    Ok(blocks.checked_mul(u64::from(size)))
}

/// The first number behind these words.
fn number_after(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let resize2fs = "resize2fs 1.47.0\nEstimated minimum size of the filesystem: 1234\n";
        assert_eq!(number_after(resize2fs, "minimum size of the filesystem:"), Some(1234));
        let info = "Current volume size: 66977280 bytes (67 MB)\n\
            You might resize at 2801664 bytes or 3 MB (freeing 64 MB).\n";
        assert_eq!(ntfs(info), Some(2_801_664));
        assert_eq!(btrfs("109051904 bytes (104.00MiB)\n"), Some(109_051_904));
        assert_eq!(btrfs("ERROR\n"), None);
        let mut superblock = b"XFSB".to_vec();
        superblock.extend([0, 0, 16, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(xfs(&superblock).unwrap(), Some(1 << 28));
    }
}
