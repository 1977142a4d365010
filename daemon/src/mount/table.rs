// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel's list of what is mounted, `/proc/self/mountinfo`.

use bstr::{BString, ByteSlice};

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Number of the mount.
    pub(super) id: u64,
    /// Path of the mount point in the appliance.
    pub(super) at: BString,
    /// Words between commas, such as `rw,nodev`.
    pub(super) options: BString,
    /// What was mounted, such as a device.
    pub(super) source: BString,
}

/// All lines, in the order in which the filesystems were mounted.
pub(super) fn parse(mountinfo: &[u8]) -> Vec<Mounted> {
    mountinfo.lines().filter_map(parse_line).collect()
}

/// See proc(5).  In front of the ` - ` the number of fields varies.
fn parse_line(line: &[u8]) -> Option<Mounted> {
    let (left, right) = line.split_once_str(" - ")?;
    let id = left.split_str(" ").next()?.to_str().ok()?.parse().ok()?;
    let at = unescape(left.split_str(" ").nth(4)?);
    let options = left.split_str(" ").nth(5)?.into();
    let source = unescape(right.split_str(" ").nth(1)?);
    Some(Mounted { id, at, options, source })
}

/// Blanks and backslashes are written as three octal digits.
pub(crate) fn unescape(text: &[u8]) -> BString {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let code = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if byte == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        out.push(code.unwrap_or(byte));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let got: Vec<String> = parse(line.as_bytes())
            .iter()
            .map(|it| format!("{} {:?} {} {:?}", it.id, it.at, it.options, it.source))
            .collect();
        assert_eq!(got.join("; "), expected);
    }

    #[test]
    fn lines() {
        check(
            "36 35 8:1 / /sysroot rw,relatime - ext4 /dev/sda1 rw\n\
             37 36 0:30 /@home /sysroot/a\\040b rw shared:1 master:2 - btrfs /dev/sda2 rw\n",
            r#"36 "/sysroot" rw,relatime "/dev/sda1"; 37 "/sysroot/a b" rw "/dev/sda2""#,
        );
        check("38 1 0:5 / /x\\134y rw - tmpfs tm\\011pfs rw", r#"38 "/x\\y" rw "tm\tpfs""#);
        check("rubbish\n\n", "");
    }
}
