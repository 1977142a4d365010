// SPDX-License-Identifier: LGPL-2.1-or-later
//! The copying itself: holes are not read, and where it can the kernel moves the bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, OFlags, copy_file_range, fallocate, fstat};

use crate::block::{Device, DeviceOrPath};
use crate::cancel;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::file::{NEW_FILE, not_negative, open_to_read, too_short};
use crate::filesystem::bytes::ReadAt;
use crate::path::GuestPath;
use crate::pieces::{BLOCK, next_data};

/// The most that one system call is asked to copy: there is progress to be reported.
const AT_ONCE: u64 = 16 << 20;

/// Zeroes of this length and place are not written to a sparse copy.
const SPARSE: usize = 4096;

/// Longer runs of zeroes are left to the device.
const ZEROES: u64 = 64 << 10;

/// What is copied where, as the caller says it.
#[derive(Debug, Default)]
pub(super) struct Range {
    pub(super) srcoffset: Option<i64>,
    pub(super) destoffset: Option<i64>,
    pub(super) size: Option<i64>,
    pub(super) sparse: Option<bool>,
    pub(super) append: Option<bool>,
}

pub(super) fn copy(
    cx: &mut Ctx,
    src: &DeviceOrPath,
    dest: &DeviceOrPath,
    range: &Range,
) -> Result<()> {
    let from = not_negative("srcoffset", range.srcoffset.unwrap_or(0))?;
    let to = not_negative("destoffset", range.destoffset.unwrap_or(0))?;
    let size = range.size.map(|size| not_negative("size", size)).transpose()?;
    let append = range.append == Some(true);
    let (source, length) = open_to_read(cx, src)?;
    let there = length.checked_sub(from);
    let (Some(there), size) = (there, size.or(there)) else {
        return Err(too_short(src, length, from, size.unwrap_or(0)));
    };
    let size = size.unwrap_or(there);
    if size > there {
        return Err(too_short(src, length, from, size));
    }
    let (target, to) = match dest {
        DeviceOrPath::Device(dest) => {
            if append {
                return Err(Error::invalid("append", "a device cannot be appended to"));
            }
            if let DeviceOrPath::Device(src) = src {
                check_overlap(src, dest, from, to, size)?;
            }
            (open_device(dest, to, size)?, to)
        }
        DeviceOrPath::Path(dest) => {
            let target = open_file(cx, &source, dest, append)?;
            let end = target.metadata().about(dest)?.len();
            (target, end.saturating_add(to))
        }
    };
    let is_device = matches!(dest, DeviceOrPath::Device(_));
    let mut copy = Copy {
        source,
        target,
        from,
        to,
        size,
        done: 0,
        sparse: range.sparse == Some(true),
        is_device,
        block: vec![0; BLOCK],
        by_kernel: range.sparse != Some(true),
    };
    while copy.done < size {
        cancel::check()?;
        copy.step().about(format_args!("{src} to {dest}"))?;
        cx.progress(copy.done, size);
    }
    if !is_device {
        // It may end with a hole.
        let end = to.saturating_add(size);
        if copy.target.metadata().about(dest)?.len() < end {
            copy.target.set_len(end).about(dest)?;
        }
    }
    Ok(())
}

fn check_overlap(src: &Device, dest: &Device, from: u64, to: u64, size: u64) -> Result<()> {
    let overlap = src.number() == dest.number() && from < to + size && to < from + size;
    match overlap {
        true => Err(Error::invalid(dest, "source and destination overlap")),
        false => Ok(()),
    }
}

fn open_device(dest: &Device, to: u64, size: u64) -> Result<File> {
    let target = dest.open(OFlags::WRONLY)?;
    let length = target.size().about(dest)?;
    if to + size > length {
        let why = format!("{length} bytes have no room for {size} bytes at {to}");
        return Err(Error::refused(Errno::NOSPC, dest, why));
    }
    Ok(target)
}

fn open_file(cx: &Ctx, source: &File, dest: &GuestPath, append: bool) -> Result<File> {
    let target = cx.open_regular(dest, OFlags::WRONLY | OFlags::CREATE, NEW_FILE)?;
    if !append {
        let (a, b) = (fstat(source).about(dest)?, fstat(&target).about(dest)?);
        if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) {
            return Err(Error::invalid(dest, "source and destination are the same file"));
        }
        target.set_len(0).about(dest)?;
    }
    Ok(target)
}

/// A copy under way.
struct Copy {
    source: File,
    target: File,
    from: u64,
    to: u64,
    size: u64,
    done: u64,
    sparse: bool,
    is_device: bool,
    block: Vec<u8>,
    /// The kernel has not refused to do it yet.
    by_kernel: bool,
}

impl Copy {
    /// Goes on to the end of a hole, or by some bytes.
    fn step(&mut self) -> io::Result<()> {
        let at = self.from + self.done;
        let (start, end) = next_data(&self.source, at, self.from + self.size)?;
        if start > at {
            // A file has nothing there, as it was empty or this is behind its end.
            if self.is_device && !self.sparse {
                self.write_zeroes(start - at)?;
            } else {
                self.done += start - at;
            }
            return Ok(());
        }
        let wanted = (end - start).min(AT_ONCE);
        if wanted == 0 {
            let why = "has become shorter";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        if self.by_kernel {
            let (mut from, mut to) = (at, self.to + self.done);
            let length = wanted as usize;
            match copy_file_range(
                &self.source,
                Some(&mut from),
                &self.target,
                Some(&mut to),
                length,
            ) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(n) => {
                    self.done += n as u64;
                    return Ok(());
                }
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    self.by_kernel = false;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        self.copy_block(wanted)
    }

    fn copy_block(&mut self, wanted: u64) -> io::Result<()> {
        let wanted = wanted.min(BLOCK as u64) as usize;
        let at = self.from + self.done;
        let n = self.source.read_up_to(&mut self.block[..wanted], at)?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "has become shorter"));
        }
        let mut to = self.to + self.done;
        if self.sparse {
            // Runs that have to be written, which begin and end at such places of the target.
            let mut rest = &self.block[..n];
            let mut pending = 0;
            while pending < rest.len() {
                let place = (to + pending as u64) % SPARSE as u64;
                let length = (SPARSE - place as usize).min(rest.len() - pending);
                if rest[pending..][..length].iter().any(|&byte| byte != 0) {
                    pending += length;
                    continue;
                }
                self.target.write_all_at(&rest[..pending], to)?;
                rest = &rest[pending + length..];
                to += (pending + length) as u64;
                pending = 0;
            }
            self.target.write_all_at(rest, to)?;
        } else {
            self.target.write_all_at(&self.block[..n], to)?;
        }
        self.done += n as u64;
        Ok(())
    }

    /// Zeroes on a device.
    fn write_zeroes(&mut self, length: u64) -> io::Result<()> {
        let to = self.to + self.done;
        let unaligned = to.next_multiple_of(SPARSE as u64) - to;
        let aligned =
            (length.saturating_sub(unaligned) / SPARSE as u64 * SPARSE as u64).min(1 << 30);
        if unaligned == 0 && aligned >= ZEROES {
            match fallocate(&self.target, FallocateFlags::ZERO_RANGE, to, aligned) {
                Ok(()) => {
                    self.done += aligned;
                    return Ok(());
                }
                Err(Errno::OPNOTSUPP | Errno::INVAL) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let n = match unaligned {
            0 => length.min(BLOCK as u64),
            _ => length.min(unaligned),
        };
        self.block[..n as usize].fill(0);
        self.target.write_all_at(&self.block[..n as usize], to)?;
        self.done += n;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system;

    fn path(text: &str) -> DeviceOrPath {
        DeviceOrPath::Path(GuestPath::new("path", text.as_bytes()).unwrap())
    }

    #[track_caller]
    fn check(range: Range, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let cx = &mut Ctx::new(dir.path());
        system::write(dir.path().join("src"), b"0123456789").unwrap();
        system::write(dir.path().join("dest"), b"old").unwrap();
        let result = copy(cx, &path("/src"), &path("/dest"), &range);
        let mut got = bstr::BString::from(system::read(dir.path().join("dest")).unwrap());
        if let Err(err) = result {
            got.extend_from_slice(format!(" {err}").as_bytes());
        }
        assert_eq!(got, expected);
    }

    #[test]
    fn ranges() {
        let all = Range::default;
        check(all(), "0123456789");
        check(Range { srcoffset: Some(3), ..all() }, "3456789");
        check(Range { size: Some(3), ..all() }, "012");
        check(Range { size: Some(0), ..all() }, "");
        check(Range { srcoffset: Some(10), ..all() }, "");
        check(Range { srcoffset: Some(8), destoffset: Some(2), ..all() }, "\0\x0089");
        check(Range { append: Some(true), ..all() }, "old0123456789");
        let appended = Range { append: Some(true), destoffset: Some(1), size: Some(1), ..all() };
        check(appended, "old\x000");
        let short = "old /src: 10 bytes do not reach to offset";
        check(Range { srcoffset: Some(11), ..all() }, &format!("{short} 11 + size 0"));
        check(Range { size: Some(11), ..all() }, &format!("{short} 0 + size 11"));
        check(Range { size: Some(-1), ..all() }, "old size: -1 is negative");
    }

    fn sparse(length: u64, parts: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        for (at, bytes) in parts {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    #[test]
    fn every_way_copies_the_same() {
        let mut content = vec![1; BLOCK + 5];
        content[5000..20000].fill(0);
        content[BLOCK..].fill(0);
        let parts: &[(u64, &[u8])] = &[(100_000, &content), (700_001, b"x")];
        for (from, to, size) in [(0, 0, 1 << 20), (99_999, 3, 300_000), (100_001, 4096, 700_000)] {
            for (sparse_copy, is_device, by_kernel) in [
                (false, false, true),
                (false, false, false),
                (true, false, false),
                (false, true, false),
            ] {
                let mut copy = Copy {
                    source: sparse(1 << 20, parts),
                    target: sparse(to + size, &[]),
                    from,
                    to,
                    size,
                    done: 0,
                    sparse: sparse_copy,
                    is_device,
                    block: vec![0; BLOCK],
                    by_kernel,
                };
                while copy.done < size {
                    copy.step().unwrap();
                }
                let mut expected = vec![0; size as usize];
                let mut got = vec![9; size as usize];
                copy.source.read_up_to(&mut expected, from).unwrap();
                assert_eq!(copy.target.read_up_to(&mut got, to).unwrap(), got.len());
                assert!(
                    got == expected,
                    "{from} {to} {size} {sparse_copy} {is_device} {by_kernel}"
                );
            }
        }
    }
}
