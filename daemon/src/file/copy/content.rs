// SPDX-License-Identifier: LGPL-2.1-or-later
//! Copying of what is in a file: shared blocks if the filesystem can, and holes stay holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{Stat, copy_file_range, ioctl_ficlone};
use rustix::io::Errno;

use crate::cancel::check_io;
use crate::file::BLOCK;
use crate::pieces::next_data;

/// The most that one system call is asked to copy.
const AT_ONCE: u64 = 1 << 30;

/// Copies one file after the other.
#[derive(Debug, Default)]
pub(super) struct Contents {
    buffer: Vec<u8>,
    /// The device whose files are known not to share blocks with the copies.
    shares_nothing: Option<u64>,
}

impl Contents {
    /// Copies a file of this status to the empty file `to`.
    pub(super) fn copy(&mut self, from: &File, to: &File, stat: &Stat) -> io::Result<()> {
        let size = stat.st_size.unsigned_abs();
        if size == 0 || self.share(from, to, stat.st_dev) {
            return Ok(());
        }
        // A small file without holes is copied by two system calls, all others by more.
        let has_holes = stat.st_blocks.unsigned_abs().saturating_mul(512) < size;
        if size <= BLOCK as u64 && !has_holes {
            return self.copy_by_hand(from, to, 0, size);
        }
        let mut copied = 0;
        while copied < size {
            let (start, end) = next_data(from, copied, size)?;
            if start == end {
                break;
            }
            self.copy_range(from, to, start, end)?;
            copied = end;
        }
        // It ends with a hole.  That is rare, and costs a filesystem with a journal a transaction.
        if copied < size { to.set_len(size) } else { Ok(()) }
    }

    /// Whether the copy shares the blocks of the file now.
    fn share(&mut self, from: &File, to: &File, device: u64) -> bool {
        if self.shares_nothing == Some(device) {
            return false;
        }
        match ioctl_ficlone(to, from) {
            Ok(()) => true,
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY) => {
                self.shares_nothing = Some(device);
                false
            }
            // This one can't, which says nothing about the next.
            Err(_) => false,
        }
    }

    fn copy_range(&mut self, from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
        let (mut source, mut target) = (start, start);
        while source < end {
            check_io()?;
            let length = (end - source).min(AT_ONCE) as usize;
            match copy_file_range(from, Some(&mut source), to, Some(&mut target), length) {
                // Shorter than it was when we looked.
                Ok(0) => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                // Another filesystem, or one that cannot do this.
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    return self.copy_by_hand(from, to, source, end);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn copy_by_hand(&mut self, from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
        self.buffer.resize(BLOCK, 0);
        let block = &mut self.buffer;
        let mut at = start;
        while at < end {
            check_io()?;
            let wanted = (end - at).min(BLOCK as u64) as usize;
            match from.read_at(&mut block[..wanted], at) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    to.write_all_at(&block[..n], at)?;
                    at += n as u64;
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::fstat;

    use super::*;

    #[test]
    fn both_ways_copy_the_same() {
        let [from, kernel, hand] = [(); 3].map(|()| tempfile::tempfile().unwrap());
        let mut contents = Contents::default();
        from.write_all_at(&vec![1; 2 * BLOCK + 5], 1 << 20).unwrap();
        from.set_len(3 << 20).unwrap();
        contents.copy(&from, &kernel, &fstat(&from).unwrap()).unwrap();
        contents.copy_by_hand(&from, &hand, 0, 3 << 20).unwrap();
        let [from, kernel, hand] = [from, kernel, hand].map(|file| {
            let mut content = vec![9; 4 << 20];
            let n = file.read_at(&mut content, 0).unwrap();
            content.truncate(n);
            content
        });
        assert!(from.len() == 3 << 20 && from == kernel && from == hand);
    }
}
