// SPDX-License-Identifier: LGPL-2.1-or-later
//! Listings of guest directories, of any length.

use bstr::{BString, ByteSlice};
use guestfs_protocol::xdr::Strict;
use guestfs_protocol::{Dirent, Find0Args, InternalReaddirArgs, Ls0Args, Procedure, Unpack};
use nix::errno::Errno;

use crate::call::text;
use crate::error::{Error, Result};
use crate::file::into_memory;
use crate::handle::Handle;
use crate::metadata::lstatnslist;

pub(crate) fn ls(g: &Handle, directory: &[u8]) -> Result<Vec<BString>> {
    let args = Ls0Args { dir: text("directory", directory)? };
    let list = into_memory(g, Procedure::Ls0, &args, directory);
    names(&list.map_err(|err| err.renamed("dir: ", "directory: "))?)
}

pub(crate) fn find(g: &Handle, directory: &[u8]) -> Result<Vec<BString>> {
    let args = Find0Args { directory: text("directory", directory)? };
    names(&into_memory(g, Procedure::Find0, &args, directory)?)
}

pub(crate) fn readdir(g: &Handle, dir: &[u8]) -> Result<Vec<Dirent>> {
    let args = InternalReaddirArgs { dir: text("dir", dir)? };
    match into_memory(g, Procedure::InternalReaddir, &args, dir) {
        Ok(list) => entries(&list),
        // libguestfs up to 1.48 has another one, whose reply is limited to one message.
        Err(err) if err.errno() == Errno::ENOTSUP as i32 => readdir_by_stat(g, dir),
        Err(err) => Err(err),
    }
}

/// The same, from functions that all daemons have.
fn readdir_by_stat(g: &Handle, dir: &[u8]) -> Result<Vec<Dirent>> {
    let mut names = ls(g, dir)?;
    names.extend([".".into(), "..".into()]);
    names.sort_unstable();
    let paths: Vec<&[u8]> = names.iter().map(|it| it.as_slice()).collect();
    let stats = lstatnslist(g, dir, &paths)?;
    // What was removed in between has no numbers.
    let there = names.into_iter().zip(stats).filter(|(_, stat)| stat.st_ino >= 0);
    Ok(there.map(|(name, it)| Dirent { ino: it.st_ino, ftyp: kind(it.st_mode), name }).collect())
}

/// The letter for the kind of file that a mode says.
fn kind(mode: i64) -> u8 {
    match mode as libc::mode_t & libc::S_IFMT {
        libc::S_IFBLK => b'b',
        libc::S_IFCHR => b'c',
        libc::S_IFDIR => b'd',
        libc::S_IFIFO => b'f',
        libc::S_IFLNK => b'l',
        libc::S_IFREG => b'r',
        libc::S_IFSOCK => b's',
        _ => b'?',
    }
}

/// Names that each end in a NUL, sorted.
fn names(list: &[u8]) -> Result<Vec<BString>> {
    let Some((0, list)) = list.split_last() else {
        return if list.is_empty() { Ok(Vec::new()) } else { Err(cut_short()) };
    };
    let mut names: Vec<BString> = list.split_str("\0").map(BString::from).collect();
    names.sort_unstable();
    Ok(names)
}

/// Structures one after the other, sorted by name: filesystems have orders of their own.
fn entries(list: &[u8]) -> Result<Vec<Dirent>> {
    let mut input = Strict::new(list);
    let mut entries = Vec::new();
    while !input.rest().is_empty() {
        let (entry, _) = Dirent::unpack(&mut input).map_err(|_| cut_short())?;
        entries.push(entry);
    }
    entries.sort_unstable_by(|a: &Dirent, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn cut_short() -> Error {
    Error::new(Errno::EPROTO as i32, "the appliance sent a list that is cut short")
}

#[cfg(test)]
mod tests {
    use guestfs_protocol::Pack;

    use super::*;

    #[track_caller]
    fn check(list: &str, expected: &[&str]) {
        assert_eq!(names(list.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn names_are_split_and_sorted() {
        check("", &[]);
        check("a\0", &["a"]);
        check("b\0a\nc\0a\0", &["a", "a\nc", "b"]);
        assert_eq!(names(b"a\0b").unwrap_err().errno(), libc::EPROTO);
    }

    #[test]
    fn entries_are_decoded() {
        let entry = Dirent { ino: 7, ftyp: b'd', name: "sub".into() };
        let mut bytes = Vec::new();
        entry.pack(&mut bytes).unwrap();
        entry.pack(&mut bytes).unwrap();
        assert_eq!(entries(&bytes).unwrap(), [entry.clone(), entry]);
        assert_eq!(entries(&bytes[..bytes.len() - 1]).unwrap_err().errno(), libc::EPROTO);
        assert_eq!(entries(b"").unwrap(), []);
    }
}
