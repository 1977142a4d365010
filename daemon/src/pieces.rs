// SPDX-License-Identifier: LGPL-2.1-or-later
//! The content of a file as bytes and holes: a hole is told by its length, however long, instead
//! of being read.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};

use crate::cancel::check_io;
use crate::error::Errno;

/// How much is read at once.
pub(crate) const BLOCK: usize = 256 << 10;

/// A part of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// What was read.
    Bytes(&'a [u8]),
    /// So many zeroes.
    Hole(u64),
}

/// Shows what is from `start` up to `end` to `visit`, until that is enough for it.  The file may
/// end before.  An error of the daemon travels as [`into_io`](crate::error::Error::into_io) makes it.  Answers where the last piece that was shown ends.
pub(crate) fn each_piece(
    file: &File,
    start: u64,
    end: u64,
    mut visit: impl FnMut(Piece<'_>) -> io::Result<ControlFlow<()>>,
) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut at = start;
    while at < end {
        check_io()?;
        let (data, data_end) = next_data(file, at, end)?;
        if data > at {
            let flow = visit(Piece::Hole(data - at))?;
            at = data;
            if flow.is_break() {
                return Ok(at);
            }
        }
        if data == data_end {
            break;
        }
        while at < data_end {
            check_io()?;
            let wanted = (data_end - at).min(BLOCK as u64) as usize;
            let n = match file.read_at(&mut block[..wanted], at) {
                Ok(0) => return Ok(at),
                Ok(n) => n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => return Err(err),
            };
            at += n as u64;
            if visit(Piece::Bytes(&block[..n]))?.is_break() {
                return Ok(at);
            }
        }
    }
    Ok(at)
}

/// Where the next bytes are that are not a hole, at or after `at`, and where they end.  Without
/// any, both are the end of the file, or `end` if that is less.
pub(crate) fn next_data(file: &File, at: u64, end: u64) -> io::Result<(u64, u64)> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(start) if start < end => {
            let hole = seek(file, SeekFrom::Hole(start))?;
            Ok((start, hole.min(end)))
        }
        Ok(_) => Ok((end, end)),
        Err(Errno::NXIO) => {
            let end = file.metadata()?.len().max(at).min(end);
            Ok((end, end))
        }
        // A device, or a filesystem that knows no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok((at, end)),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &File, start: u64, end: u64, expected: &str) {
        let mut got = Vec::new();
        let end = each_piece(file, start, end, |piece| {
            got.push(match piece {
                Piece::Bytes(bytes) => format!("{} bytes", bytes.len()),
                Piece::Hole(length) => format!("{length} hole"),
            });
            Ok(ControlFlow::Continue(()))
        });
        assert_eq!(format!("{} to {}", got.join(", "), end.unwrap()), expected);
    }

    #[test]
    fn holes_are_not_read() {
        let file = tempfile::tempfile().unwrap();
        check(&file, 0, 10, " to 0");
        file.write_all_at(&[1; 65536], 1 << 40).unwrap();
        file.set_len(1 << 41).unwrap();
        let hole = 1_u64 << 40;
        let rest = hole - 65536;
        let whole = format!("{hole} hole, 65536 bytes, {rest} hole to {}", 1_u64 << 41);
        check(&file, 0, u64::MAX, &whole);
        check(&file, hole - 1, hole + 3, "1 hole, 3 bytes to 1099511627779");
        check(&file, hole, hole, " to 1099511627776");
        check(&file, hole + 65536, hole + 65538, "2 hole to 1099511693314");
        check(&file, 1 << 42, 1 << 43, " to 4398046511104");
    }

    #[test]
    fn enough_is_enough() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 2 * BLOCK], 0).unwrap();
        let end = each_piece(&file, 0, u64::MAX, |_| Ok(ControlFlow::Break(())));
        assert_eq!(end.unwrap(), BLOCK as u64);
    }
}
