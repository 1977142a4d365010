// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the kernel knows of partitions, and how it is told of changes.
//!
//! The kernel makes and removes the nodes in `/dev` before these calls return: there is nothing to
//! wait for.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use bstr::{BString, ByteSlice};

use super::Slice;
use crate::block::Device;
use crate::ctx::Ctx;
use crate::error::{About, Result};
use crate::system;

/// The unit of `/sys`, whatever the sectors of the disk are.
const SYS_SECTOR: u64 = 512;

/// A disk that may have partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Name of the kernel, such as `sda`.
    pub(crate) kernel: BString,
    /// Numbers of its partitions, in order.
    pub(crate) partitions: Vec<u32>,
}

impl Disk {
    /// The node of a partition.
    pub(crate) fn partition(&self, number: u32) -> BString {
        node(&[b"/dev/", self.kernel.as_bytes()].concat(), number)
    }
}

/// All disks of the caller, and the arrays made of them.
pub(crate) fn disks(cx: &Ctx) -> Result<Vec<Disk>> {
    let drives = cx.names().drives()?.into_iter().map(|drive| drive.kernel);
    let mut arrays: Vec<BString> =
        system::names("/sys/block")?.into_iter().filter(|name| name.starts_with(b"md")).collect();
    arrays.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let mut disks = Vec::new();
    for kernel in drives.chain(arrays) {
        let dir = Path::new("/sys/block").join(kernel.to_os_str_lossy());
        // An array that is not running has no size.
        if system::read_line(dir.join("size"))? != "0" {
            let partitions = partitions(&dir)?.iter().map(|it| it.number).collect();
            disks.push(Disk { kernel, partitions });
        }
    }
    Ok(disks)
}

/// The number of a partition, and the kernel's name of the disk it is on.
pub(super) fn partition_of(device: &Device) -> Option<(BString, u32)> {
    let dir = device.sys_dir();
    let number = system::read_line(dir.join("partition")).ok()?.parse().ok()?;
    // The directory of a partition is in that of its disk.
    let path = rustix::fs::readlink(&dir, Vec::new()).ok()?;
    let disk = path.as_bytes().rsplit_str("/").nth(1)?;
    Some((disk.into(), number))
}

/// The node of a partition.
pub(crate) fn node(disk: &[u8], number: u32) -> BString {
    let infix = if disk.last().is_some_and(u8::is_ascii_digit) { "p" } else { "" };
    let mut name = BString::from(disk);
    name.extend_from_slice(format!("{infix}{number}").as_bytes());
    name
}

/// The partitions which the kernel knows, from the directory of their disk in `/sys`.
fn partitions(dir: &Path) -> Result<Vec<Slice>> {
    let mut found = Vec::new();
    for name in system::names(dir)? {
        let dir = dir.join(name.to_os_str_lossy());
        let attribute = |name: &str| system::read_line(dir.join(name)).ok()?.parse::<u64>().ok();
        let (Some(number), Some(start), Some(n_sectors)) =
            (attribute("partition"), attribute("start"), attribute("size"))
        else {
            continue;
        };
        let number = u32::try_from(number).unwrap_or(0);
        found.push(Slice { number, start, n_sectors, is_container: false });
    }
    found.sort_by_key(|it| it.number);
    Ok(found)
}

/// Makes the kernel read the table again.  While a partition is in use it refuses to, and is told
/// the differences instead.
pub(super) fn reread(
    device: &Device,
    file: &File,
    table: &[Slice],
    sector_size: u64,
) -> Result<()> {
    if ioctl::reread(file).is_ok() {
        return Ok(());
    }
    let known = partitions(&device.sys_dir())?;
    let wanted: Vec<Slice> = table.iter().map(|it| it.in_sys_sectors(sector_size)).collect();
    for change in changes(&known, &wanted) {
        let (number, what) = match change {
            Change::Delete(it) => (it.number, ioctl::delete(file, it)),
            Change::Add(it) => (it.number, ioctl::add(file, it)),
        };
        what.about(node(device.name(), number))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Change<'a> {
    Delete(&'a Slice),
    Add(&'a Slice),
}

/// How to get from the partitions the kernel knows to those of the table.
fn changes<'a>(known: &'a [Slice], wanted: &'a [Slice]) -> Vec<Change<'a>> {
    let same = |a: &Slice, b: &Slice| {
        // The kernel shows two sectors of an extended partition, enough for a boot loader.
        let size = b.is_container || a.n_sectors == b.n_sectors;
        a.number == b.number && a.start == b.start && size
    };
    let stale = known.iter().filter(|a| !wanted.iter().any(|b| same(a, b)));
    let new = wanted.iter().filter(|b| !known.iter().any(|a| same(a, b)));
    stale.map(Change::Delete).chain(new.map(Change::Add)).collect()
}

impl Slice {
    fn in_sys_sectors(&self, sector_size: u64) -> Self {
        let factor = sector_size / SYS_SECTOR;
        Self { start: self.start * factor, n_sectors: self.n_sectors * factor, ..self.clone() }
    }
}

#[expect(unsafe_code, reason = "these requests have no safe wrapper")]
mod ioctl {
    use nix::libc::{c_char, c_int, c_longlong, c_void};
    use nix::{ioctl_none_bad, ioctl_write_ptr_bad, request_code_none};

    use super::*;

    /// `struct blkpg_ioctl_arg` of linux/blkpg.h
    #[repr(C)]
    pub(super) struct Request {
        operation: c_int,
        flags: c_int,
        length: c_int,
        partition: *const c_void,
    }

    /// `struct blkpg_partition` of linux/blkpg.h
    #[repr(C)]
    struct Partition {
        start: c_longlong,
        length: c_longlong,
        number: c_int,
        name: [c_char; 64],
        volume: [c_char; 64],
    }

    const ADD: c_int = 1;
    const DELETE: c_int = 2;

    ioctl_none_bad!(blkrrpart, request_code_none!(0x12, 95));
    ioctl_write_ptr_bad!(blkpg, request_code_none!(0x12, 105), Request);

    pub(super) fn reread(file: &File) -> nix::Result<()> {
        // SAFETY: the request takes no argument.
        unsafe { blkrrpart(file.as_raw_fd()) }.map(drop)
    }

    pub(super) fn add(file: &File, slice: &Slice) -> nix::Result<()> {
        let n_sectors = if slice.is_container { 2 } else { slice.n_sectors };
        change(file, ADD, slice, n_sectors)
    }

    pub(super) fn delete(file: &File, slice: &Slice) -> nix::Result<()> {
        change(file, DELETE, slice, slice.n_sectors)
    }

    fn change(file: &File, operation: c_int, slice: &Slice, n_sectors: u64) -> nix::Result<()> {
        let bytes = |n: u64| c_longlong::try_from(n * SYS_SECTOR).unwrap_or(c_longlong::MAX);
        let partition = Partition {
            start: bytes(slice.start),
            length: bytes(n_sectors),
            number: c_int::try_from(slice.number).unwrap_or(0),
            name: [0; 64],
            volume: [0; 64],
        };
        let request = Request {
            operation,
            flags: 0,
            length: size_of::<Partition>() as c_int,
            partition: (&raw const partition).cast(),
        };
        // SAFETY: both structures have the layout of the kernel's and live until it returns.
        unsafe { blkpg(file.as_raw_fd(), &request) }.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(list: &[(u32, u64, u64)]) -> Vec<Slice> {
        let slice = |&(number, start, n_sectors)| Slice {
            number,
            start,
            n_sectors,
            is_container: number == 4,
        };
        list.iter().map(slice).collect()
    }

    #[track_caller]
    fn check(known: &[(u32, u64, u64)], wanted: &[(u32, u64, u64)], expected: &str) {
        let (known, wanted) = (slices(known), slices(wanted));
        let describe = |it: &Change<'_>| match it {
            Change::Delete(it) => format!("-{}", it.number),
            Change::Add(it) => format!("+{}", it.number),
        };
        let got: Vec<String> = changes(&known, &wanted).iter().map(describe).collect();
        assert_eq!(got.join(" "), expected);
    }

    #[test]
    fn differences() {
        check(&[(1, 8, 8)], &[(1, 8, 8)], "");
        check(&[(1, 8, 8)], &[(1, 8, 8), (2, 16, 8)], "+2");
        check(&[(1, 8, 8), (2, 16, 8)], &[(2, 16, 8)], "-1");
        check(&[(1, 8, 8)], &[(1, 8, 16)], "-1 +1");
        check(&[(4, 64, 2), (5, 66, 4)], &[(4, 64, 99)], "-5");
        // A logical partition was deleted, so that the next one moved up.
        check(&[(5, 8, 8), (6, 24, 8)], &[(5, 24, 8)], "-5 -6 +5");
    }

    #[test]
    fn nodes() {
        assert_eq!(node(b"/dev/sda", 1), "/dev/sda1");
        assert_eq!(node(b"/dev/md0", 12), "/dev/md0p12");
        assert_eq!(node(b"/dev/nvme0n1", 3), "/dev/nvme0n1p3");
    }
}
