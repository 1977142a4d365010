// SPDX-License-Identifier: LGPL-2.1-or-later
//! The archive format of the initrd (cpio "newc"), without anything that differs between builds:
//! everything belongs to root and is from the epoch.

use anyhow::{Context, Result, bail};

const MAGIC: &[u8] = b"070701";
/// Magic and thirteen numbers of eight hexadecimal digits.
const HEADER: usize = 6 + 13 * 8;
const TRAILER: &str = "TRAILER!!!";

/// One member of an archive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Relative to the root, without a slash in front.
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Directory,
    File { executable: bool, data: Vec<u8> },
}

impl Entry {
    pub(crate) fn directory(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Directory }
    }

    pub(crate) fn file(name: impl Into<String>, data: Vec<u8>) -> Self {
        Self { name: name.into(), kind: Kind::File { executable: false, data } }
    }

    pub(crate) fn program(name: &str, data: Vec<u8>) -> Self {
        Self { name: name.to_owned(), kind: Kind::File { executable: true, data } }
    }
}

/// The archive of these entries, sorted by name, so that directories come before their content.
pub(crate) fn write(mut entries: Vec<Entry>) -> Result<Vec<u8>> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = Vec::new();
    for (at, Entry { name, kind }) in entries.iter().enumerate() {
        let inode = u32::try_from(at + 1).context("too many files")?;
        match kind {
            Kind::Directory => member(&mut out, inode, name, 0o40755, 2, &[])?,
            Kind::File { executable, data } => {
                let mode = if *executable { 0o100755 } else { 0o100644 };
                member(&mut out, inode, name, mode, 1, data)?;
            }
        }
    }
    member(&mut out, 0, TRAILER, 0, 1, &[])?;
    // The kernel reads whole blocks from some loaders; cpio itself pads to 512.
    pad(&mut out, 512);
    Ok(out)
}

/// The entries of an archive made by [`write()`].
pub(crate) fn read(mut archive: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    loop {
        let Some((header, rest)) = archive.split_at_checked(HEADER) else {
            bail!("archive ends in a header");
        };
        let Some(numbers) = header.strip_prefix(MAGIC) else {
            bail!("no cpio archive of the newc kind");
        };
        let number = |at: usize| -> Result<u32> {
            let digits = std::str::from_utf8(&numbers[at * 8..at * 8 + 8])?;
            Ok(u32::from_str_radix(digits, 16)?)
        };
        let (mode, size, name_size) = (number(1)?, number(6)? as usize, number(11)? as usize);
        let name_end = name_size + padding(HEADER + name_size, 4);
        let Some((name, rest)) = rest.split_at_checked(name_end) else {
            bail!("archive ends in a name");
        };
        let name = name.split(|it| *it == 0).next().unwrap_or_default();
        let name = std::str::from_utf8(name).context("name of a file in the archive")?.to_owned();
        if name == TRAILER {
            return Ok(entries);
        }
        let Some((data, rest)) = rest.split_at_checked(size + padding(size, 4)) else {
            bail!("{name}: archive ends in the file");
        };
        let kind = match mode & 0o170000 {
            0o40000 => Kind::Directory,
            0o100000 => Kind::File { executable: mode & 0o111 != 0, data: data[..size].to_vec() },
            _ => bail!("{name}: mode {mode:o} is none that belongs in an initrd"),
        };
        entries.push(Entry { name, kind });
        archive = rest;
    }
}

fn member(
    out: &mut Vec<u8>,
    inode: u32,
    name: &str,
    mode: u32,
    links: u32,
    data: &[u8],
) -> Result<()> {
    let size = u32::try_from(data.len()).with_context(|| format!("{name}: too big"))?;
    let name_size = u32::try_from(name.len() + 1).context("name too long")?;
    out.extend_from_slice(MAGIC);
    let (owner, group, time, checksum) = (0, 0, 0, 0);
    let numbers = [inode, mode, owner, group, links, time, size, 0, 0, 0, 0, name_size, checksum];
    for number in numbers {
        out.extend_from_slice(format!("{number:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out, 4);
    out.extend_from_slice(data);
    pad(out, 4);
    Ok(())
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len() + padding(out.len(), to), 0);
}

fn padding(len: usize, to: usize) -> usize {
    len.next_multiple_of(to) - len
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::host;

    fn sample() -> Vec<Entry> {
        vec![
            Entry::program("init", b"#!\n".to_vec()),
            Entry::file("dev/.keep", vec![]),
            Entry::directory("dev"),
        ]
    }

    #[test]
    fn bytes_of_a_member() {
        let mut out = Vec::new();
        member(&mut out, 7, "ab", 0o100644, 1, b"xyz").unwrap();
        let expected = "070701\
            00000007000081a40000000000000000000000010000000000000003\
            0000000000000000000000000000000000000003\
            00000000ab\0\0\0\0xyz\0";
        // Header and name together are a multiple of four, and so is the data.
        assert_eq!(String::from_utf8(out).unwrap().replace('\0', ""), expected.replace('\0', ""));
    }

    #[test]
    fn what_is_written_is_read_sorted() {
        let archive = write(sample()).unwrap();
        assert_eq!(archive.len() % 512, 0);
        let names: Vec<_> = read(&archive).unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names.join(" "), "dev dev/.keep init");
        let mut reversed = sample();
        reversed.reverse();
        assert_eq!(write(reversed).unwrap(), archive);
        assert_eq!(write(read(&archive).unwrap()).unwrap(), archive);
    }

    #[test]
    fn damaged_archives() {
        #[track_caller]
        fn check(archive: &[u8], expected: &str) {
            assert_eq!(read(archive).unwrap_err().to_string(), expected);
        }
        let archive = write(sample()).unwrap();
        check(b"", "archive ends in a header");
        check(&[b'x'; 200], "no cpio archive of the newc kind");
        check(&archive[..HEADER + 1], "archive ends in a name");
        let init = archive.windows(4).position(|it| it == b"init").unwrap();
        check(&archive[..init + 7], "init: archive ends in the file");
    }

    #[test]
    fn cpio_agrees() {
        if Command::new("cpio").arg("--version").output().is_err() {
            return;
        }
        let archive = write(sample()).unwrap();
        let list = host::filter(
            host::command("cpio").args(["-itv", "--quiet", "--numeric-uid-gid"]).env("TZ", "UTC"),
            &archive,
        )
        .unwrap();
        let list = String::from_utf8(list).unwrap();
        let words: Vec<_> =
            list.lines().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            words,
            [
                "drwxr-xr-x 2 0 0 0 Jan 1 1970 dev",
                "-rw-r--r-- 1 0 0 0 Jan 1 1970 dev/.keep",
                "-rwxr-xr-x 1 0 0 3 Jan 1 1970 init",
            ]
        );
    }
}
