// SPDX-License-Identifier: LGPL-2.1-or-later
//! Extended attributes of any number of guest files.

use bstr::BString;
use guestfs_protocol::{InternalLxattrlistArgs, InternalLxattrlistRet, Procedure, Xattr};
use nix::errno::Errno;

use crate::call::{text, texts};
use crate::error::Result;
use crate::handle::Handle;
use crate::metadata::{BATCH, batches};

pub(crate) fn lxattrlist(g: &Handle, path: &[u8], names: &[&[u8]]) -> Result<Vec<Xattr>> {
    let path = text("path", path)?;
    let names = texts("names", names)?;
    let mut ask = |names: &[BString]| {
        let args = InternalLxattrlistArgs { path: path.clone(), names: names.to_vec() };
        let ret: InternalLxattrlistRet = g.call(Procedure::InternalLxattrlist, 0, &args)?;
        Ok(ret.xattrs)
    };
    let mut xattrs = Vec::new();
    // Not even for no names at all is a directory believed that nobody has looked at.
    if names.is_empty() {
        ask(&names)?;
    }
    for names in batches(&names, BATCH) {
        collect(names, &mut ask, &mut xattrs)?;
    }
    Ok(xattrs)
}

/// Asks for a list; if the answer is longer than a message, for its halves.
fn collect(
    names: &[BString],
    ask: &mut impl FnMut(&[BString]) -> Result<Vec<Xattr>>,
    xattrs: &mut Vec<Xattr>,
) -> Result<()> {
    match ask(names) {
        Err(err) if err.errno() == Errno::EFBIG as i32 && names.len() > 1 => {
            let (first, second) = names.split_at(names.len() / 2);
            collect(first, ask, xattrs)?;
            collect(second, ask, xattrs)
        }
        result => {
            xattrs.extend(result?);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Error;

    use super::*;

    #[test]
    fn long_answers_come_in_parts() {
        #[track_caller]
        fn check(names: &[&str], fits: usize, expected: &str) {
            let names: Vec<BString> = names.iter().map(|&name| name.into()).collect();
            let mut ask = |names: &[BString]| match names.len() > fits {
                true => Err(Error::new(Errno::EFBIG as i32, "too much")),
                false => {
                    let echo = |it: &BString| Xattr { attrname: it.clone(), attrval: Vec::new() };
                    Ok(names.iter().map(echo).collect())
                }
            };
            let mut xattrs = Vec::new();
            let got = match collect(&names, &mut ask, &mut xattrs) {
                Ok(()) => xattrs.iter().map(|it| it.attrname.to_string()).collect(),
                Err(err) => err.to_string(),
            };
            assert_eq!(got, expected);
        }
        check(&["a", "b", "c", "d", "e"], 5, "abcde");
        check(&["a", "b", "c", "d", "e"], 2, "abcde");
        check(&["a", "b", "c"], 1, "abc");
        check(&["a", "b", "c"], 0, "too much");
    }
}
