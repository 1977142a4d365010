// SPDX-License-Identifier: LGPL-2.1-or-later
//! The messages of the kernel, from `/dev/kmsg`: one record a read.

use std::fmt::Write;
use std::io::Read;

use bstr::{BString, ByteSlice};
use rustix::fs::OFlags;

use crate::error::{About, Errno, Result};
use crate::system;

const KMSG: &str = "/dev/kmsg";

/// The longest record there is.
const RECORD_MAX: usize = 8192;

/// What is kept since the start, a line each.
pub(super) fn messages() -> Result<BString> {
    let mut file = system::open(KMSG, OFlags::RDONLY | OFlags::NONBLOCK).about(KMSG)?;
    let mut record = vec![0; RECORD_MAX];
    let mut out = BString::default();
    loop {
        match file.read(&mut record) {
            Ok(0) => return Ok(out),
            Ok(n) => append(&mut out, &record[..n]),
            Err(err) => match Errno::from_io_error(&err) {
                // Nothing is left.
                Some(Errno::AGAIN) => return Ok(out),
                // The record to be read next was overwritten, or a signal came.
                Some(Errno::PIPE | Errno::INTR) => {}
                _ => return Err(err).about(KMSG),
            },
        }
    }
}

/// `6,339,5140900,-;text` and then lines with properties, which begin with a blank.
fn append(out: &mut BString, record: &[u8]) {
    let Some((head, rest)) = record.split_once_str(";") else { return };
    let micros = head.split_str(",").nth(2).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    let (secs, micros) = micros.map_or((0, 0), |it| (it / 1_000_000, it % 1_000_000));
    let text = rest.lines().next().unwrap_or_default();
    let mut stamp = String::new();
    // Writing to a string cannot fail.
    let _ = write!(stamp, "[{secs:5}.{micros:06}] ");
    // The kernel writes a line break as \x0a, and what else is not printable in the same way.
    out.extend_from_slice(stamp.as_bytes());
    out.extend_from_slice(&text.replace(r"\x0a", format!("\n{stamp}")));
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        #[track_caller]
        fn check(record: &str, expected: &str) {
            let mut out = BString::default();
            append(&mut out, record.as_bytes());
            assert_eq!(out, expected);
        }
        check("6,339,5140900,-;NET: up\n SUBSYSTEM=net\n", "[    5.140900] NET: up\n");
        check("4,1,0,-,caller=T1;a;b\n", "[    0.000000] a;b\n");
        check(r"6,2,1000001,-;a\x0ab", "[    1.000001] a\n[    1.000001] b\n");
        check("rubbish", "");
    }
}
