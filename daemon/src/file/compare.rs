// SPDX-License-Identifier: LGPL-2.1-or-later
//! What content is like: the same as another, or nothing but zeroes.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;

use rustix::fs::{Mode, OFlags};

use crate::cancel::check_io;
use crate::ctx::Ctx;
use crate::error::{About, Result};
use crate::filesystem::bytes::ReadAt;
use crate::path::GuestPath;
use crate::pieces::{BLOCK, Piece, each_piece, next_data};

pub(crate) fn equal(cx: &mut Ctx, file1: &GuestPath, file2: &GuestPath) -> Result<bool> {
    let open = |path| cx.open_regular(path, OFlags::RDONLY, Mode::empty());
    let (first, second) = (open(file1)?, open(file2)?);
    let length = first.metadata().about(file1)?.len();
    if second.metadata().about(file2)?.len() != length {
        return Ok(false);
    }
    same_content(&first, &second, length).about(format_args!("{file1} and {file2}"))
}

fn same_content(first: &File, second: &File, length: u64) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0;
    while at < length {
        // What is a hole in both is the same.
        let (a, b) = (next_data(first, at, length)?, next_data(second, at, length)?);
        at = a.0.min(b.0);
        let until = [a, b].into_iter().map(|(start, end)| if start > at { start } else { end });
        let end = until.min().unwrap_or(length);
        if at == end {
            return Ok(true);
        }
        while at < end {
            check_io()?;
            let wanted = (end - at).min(BLOCK as u64) as usize;
            let n = first.read_up_to(&mut left[..wanted], at)?;
            let m = second.read_up_to(&mut right[..wanted], at)?;
            if left[..n] != right[..m] {
                return Ok(false);
            }
            // Only if both have become shorter.
            if n == 0 {
                return Ok(true);
            }
            at += n as u64;
        }
    }
    Ok(true)
}

pub(crate) fn is_zero(cx: &mut Ctx, path: &GuestPath) -> Result<bool> {
    let file = cx.open_regular(path, OFlags::RDONLY, Mode::empty())?;
    let mut is_zero = true;
    each_piece(&file, 0, u64::MAX, |piece| {
        if let Piece::Bytes(bytes) = piece {
            is_zero = bytes.iter().all(|&byte| byte == 0);
        }
        Ok(if is_zero { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })
    .about(path)?;
    Ok(is_zero)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// A file with these bytes at these offsets.
    fn file(length: u64, parts: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        for (at, bytes) in parts {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    #[test]
    fn comparing() {
        #[track_caller]
        fn check(length: u64, first: &[(u64, &[u8])], second: &[(u64, &[u8])], expected: bool) {
            let (first, second) = (file(length, first), file(length, second));
            assert_eq!(same_content(&first, &second, length).unwrap(), expected);
            assert_eq!(same_content(&second, &first, length).unwrap(), expected);
        }
        const FAR: u64 = 1 << 40;
        check(0, &[], &[], true);
        check(3, &[(0, b"abc")], &[(0, b"abc")], true);
        check(3, &[(0, b"abc")], &[(0, b"abd")], false);
        check(3, &[], &[(0, b"\0\0\0")], true);
        check(FAR, &[], &[], true);
        check(FAR, &[(FAR / 2, b"x")], &[(FAR / 2, b"x")], true);
        check(FAR, &[(FAR / 2, b"x")], &[(FAR / 2, b"y")], false);
        check(FAR, &[(FAR / 2, b"x")], &[], false);
        check(FAR, &[(FAR / 2, b"\0")], &[], true);
        check(FAR, &[(0, b"x"), (FAR / 2, b"\0")], &[(0, b"x"), (FAR / 4, b"\0")], true);
        let block = vec![1; 3 * BLOCK + 1];
        check(1 << 21, &[(0, &block)], &[(0, &block)], true);
        check(1 << 21, &[(0, &block)], &[(0, &block[1..])], false);
    }
}
