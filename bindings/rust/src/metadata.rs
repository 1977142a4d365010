// SPDX-License-Identifier: LGPL-2.1-or-later
//! What is recorded about guest files: the older forms, and lists of any length.

use bstr::BString;
use guestfs_protocol::{
    InternalLstatnslistArgs, InternalLstatnslistRet, InternalReadlinklistArgs,
    InternalReadlinklistRet, LstatnsArgs, LstatnsRet, Procedure, Stat, Statns, StatnsArgs,
    StatnsRet,
};
use nix::errno::Errno;

use crate::call::{text, texts};
use crate::error::{Error, Result};
use crate::handle::Handle;

/// How many names go in one call, so that neither it nor its reply is longer than a message.
pub(crate) const BATCH: usize = 1000;
const BATCH_BYTES: usize = 1 << 20;

/// The same of links, each of which may be of 4 KiB.
const LINKS: usize = 500;

pub(crate) fn stat(g: &Handle, path: &[u8]) -> Result<Stat> {
    let args = StatnsArgs { path: text("path", path)? };
    let ret: StatnsRet = g.call(Procedure::Statns, 0, &args)?;
    Ok(without_nanoseconds(&ret.statbuf))
}

pub(crate) fn lstat(g: &Handle, path: &[u8]) -> Result<Stat> {
    let args = LstatnsArgs { path: text("path", path)? };
    let ret: LstatnsRet = g.call(Procedure::Lstatns, 0, &args)?;
    Ok(without_nanoseconds(&ret.statbuf))
}

pub(crate) fn lstatnslist(g: &Handle, path: &[u8], names: &[&[u8]]) -> Result<Vec<Statns>> {
    let path = text("path", path)?;
    let names = texts("names", names)?;
    let mut statbufs = Vec::with_capacity(names.len());
    for names in batches(&names, BATCH) {
        let args = InternalLstatnslistArgs { path: path.clone(), names: names.to_vec() };
        let ret: InternalLstatnslistRet = g.call(Procedure::InternalLstatnslist, 0, &args)?;
        one_for_each(names.len(), ret.statbufs.len())?;
        statbufs.extend(ret.statbufs);
    }
    Ok(statbufs)
}

pub(crate) fn lstatlist(g: &Handle, path: &[u8], names: &[&[u8]]) -> Result<Vec<Stat>> {
    Ok(lstatnslist(g, path, names)?.iter().map(without_nanoseconds).collect())
}

pub(crate) fn readlinklist(g: &Handle, path: &[u8], names: &[&[u8]]) -> Result<Vec<BString>> {
    let path = text("path", path)?;
    let names = texts("names", names)?;
    let mut links = Vec::with_capacity(names.len());
    for names in batches(&names, LINKS) {
        let args = InternalReadlinklistArgs { path: path.clone(), names: names.to_vec() };
        let ret: InternalReadlinklistRet = g.call(Procedure::InternalReadlinklist, 0, &args)?;
        one_for_each(names.len(), ret.links.len())?;
        links.extend(ret.links);
    }
    Ok(links)
}

fn one_for_each(sent: usize, got: usize) -> Result<()> {
    match sent == got {
        true => Ok(()),
        false => {
            let why = format!("the appliance sent {got} results for {sent} names");
            Err(Error::new(Errno::EPROTO as i32, why))
        }
    }
}

/// Cuts a list into pieces of at most `max` for one call each.
pub(crate) fn batches(mut names: &[BString], max: usize) -> impl Iterator<Item = &[BString]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = names.iter().take(max).take_while(|name| {
            bytes += name.len();
            bytes <= BATCH_BYTES
        });
        // A name that is too long by itself is for the daemon to complain about.
        let n = fits.count().max(1).min(names.len());
        let (now, later) = names.split_at(n);
        names = later;
        (!now.is_empty()).then_some(now)
    })
}

fn without_nanoseconds(s: &Statns) -> Stat {
    Stat {
        dev: s.st_dev,
        ino: s.st_ino,
        mode: s.st_mode,
        nlink: s.st_nlink,
        uid: s.st_uid,
        gid: s.st_gid,
        rdev: s.st_rdev,
        size: s.st_size,
        blksize: s.st_blksize,
        blocks: s.st_blocks,
        atime: s.st_atime_sec,
        mtime: s.st_mtime_sec,
        ctime: s.st_ctime_sec,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lengths: impl Iterator<Item = usize>, expected: &[usize]) {
        let names: Vec<BString> = lengths.map(|n| vec![b'x'; n].into()).collect();
        assert_eq!(batches(&names, BATCH).map(<[_]>::len).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn lists_are_cut() {
        check(0..0, &[]);
        check(std::iter::repeat_n(4, 1000), &[1000]);
        check(std::iter::repeat_n(4, 2001), &[1000, 1000, 1]);
        check(std::iter::repeat_n(400_000, 3), &[2, 1]);
        check([2_000_000, 1].into_iter(), &[1, 1]);
    }
}
