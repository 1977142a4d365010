// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the disks of an appliance are called, which both ends have to agree on.

use bstr::BString;

/// The name of a disk, without `/dev/`: `sda`, `sdb` ... `sdz`, `sdaa` ...
pub fn disk_name(mut index: usize) -> BString {
    // From the last letter to the first.
    let mut letters = Vec::new();
    loop {
        letters.push(b'a' + (index % 26) as u8);
        if index < 26 {
            break;
        }
        index = index / 26 - 1;
    }
    letters.extend_from_slice(b"ds");
    letters.reverse();
    letters.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        let check = |idx, expected: &str| assert_eq!(disk_name(idx), expected);
        check(0, "sda");
        check(25, "sdz");
        check(26, "sdaa");
        check(255, "sdiv");
        check(701, "sdzz");
        check(702, "sdaaa");
    }
}
