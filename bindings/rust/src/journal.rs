// SPDX-License-Identifier: LGPL-2.1-or-later
//! Entries of a guest's journal, of any length.

use bstr::ByteSlice;
use guestfs_protocol::wire::Nothing;
use guestfs_protocol::{Procedure, Xattr};
use nix::errno::Errno;

use crate::call::MEMORY_MAX;
use crate::error::{Error, Result};
use crate::handle::Handle;

pub(crate) fn journal_get(g: &Handle) -> Result<Vec<Xattr>> {
    fields(&g.call_into_memory(Procedure::InternalJournalGet, &Nothing, MEMORY_MAX)?)
}

/// Fields one after the other, each with its length in front.
fn fields(mut list: &[u8]) -> Result<Vec<Xattr>> {
    let mut fields = Vec::new();
    while !list.is_empty() {
        let (field, rest) = split(list).ok_or_else(malformed)?;
        let (name, value) = field.split_once_str("=").ok_or_else(malformed)?;
        fields.push(Xattr { attrname: name.into(), attrval: value.into() });
        list = rest;
    }
    Ok(fields)
}

fn split(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = list.split_first_chunk()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

fn malformed() -> Error {
    Error::new(Errno::EPROTO as i32, "the appliance sent an entry that is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &[u8], expected: &str) {
        let got = match fields(list) {
            Ok(fields) => fields
                .iter()
                .map(|it| format!("{}: {:?} ", it.attrname, it.attrval.as_bstr()))
                .collect(),
            Err(err) => err.to_string(),
        };
        assert_eq!(got.trim_end(), expected);
    }

    #[test]
    fn entries() {
        let malformed = "the appliance sent an entry that is malformed";
        check(b"", "");
        check(b"\0\0\0\0\0\0\0\x04A=b=\0\0\0\0\0\0\0\x02B=", r#"A: "b=" B: """#);
        check(b"\0\0\0\0\0\0\0\x04A=b", malformed);
        check(b"\0\0\0\0\0\0\0\x01A", malformed);
        check(b"\0\0\0", malformed);
        check(b"\xff\xff\xff\xff\xff\xff\xff\xffA=", malformed);
    }
}
