// SPDX-License-Identifier: LGPL-2.1-or-later
//! Options of a mount: some are flags of the system call, the rest is for the filesystem.

use bstr::ByteSlice;
use rustix::mount::MountFlags;

use crate::error::{Error, Result};

/// Words that set (`true`) or clear a flag.
const FLAGS: &[(&str, MountFlags, bool)] = &[
    ("async", MountFlags::SYNCHRONOUS, false),
    ("atime", MountFlags::NOATIME, false),
    ("dev", MountFlags::NODEV, false),
    ("diratime", MountFlags::NODIRATIME, false),
    ("dirsync", MountFlags::DIRSYNC, true),
    ("exec", MountFlags::NOEXEC, false),
    ("lazytime", MountFlags::LAZYTIME, true),
    ("loud", MountFlags::SILENT, false),
    ("noatime", MountFlags::NOATIME, true),
    ("nodev", MountFlags::NODEV, true),
    ("nodiratime", MountFlags::NODIRATIME, true),
    ("noexec", MountFlags::NOEXEC, true),
    ("nolazytime", MountFlags::LAZYTIME, false),
    ("norelatime", MountFlags::RELATIME, false),
    ("nostrictatime", MountFlags::STRICTATIME, false),
    ("nosuid", MountFlags::NOSUID, true),
    ("nosymfollow", MountFlags::NOSYMFOLLOW, true),
    ("relatime", MountFlags::RELATIME, true),
    ("ro", MountFlags::RDONLY, true),
    ("rw", MountFlags::RDONLY, false),
    ("silent", MountFlags::SILENT, true),
    ("strictatime", MountFlags::STRICTATIME, true),
    ("suid", MountFlags::NOSUID, false),
    ("symfollow", MountFlags::NOSYMFOLLOW, false),
    ("sync", MountFlags::SYNCHRONOUS, true),
];

/// Words of fstab that mean nothing for one mount.
const IGNORED: &[&str] =
    &["", "_netdev", "auto", "defaults", "group", "noauto", "nofail", "nouser", "user", "users"];

/// What mount(8) makes another operation of.
const OTHER: &[&str] = &["bind", "loop", "move", "rbind", "remount"];

/// The options of one mount.
#[derive(Clone, Debug)]
pub(super) struct MountOptions {
    flags: MountFlags,
    /// The caller insists on writing.
    explicit_rw: bool,
    data: Vec<Vec<u8>>,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self { flags: MountFlags::empty(), explicit_rw: false, data: Vec::new() }
    }
}

impl MountOptions {
    /// Parses words between commas.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let mut options = Self::default();
        for word in split(text) {
            if let Some((_, flag, on)) = FLAGS.iter().find(|(name, ..)| name.as_bytes() == word) {
                options.flags.set(*flag, *on);
                if *flag == MountFlags::RDONLY {
                    options.explicit_rw = !on;
                }
            } else if OTHER.iter().any(|name| word == name.as_bytes()) {
                let why = format!("{} is not possible here", word.as_bstr());
                return Err(Error::invalid("options", why));
            } else if !IGNORED.iter().any(|name| word == name.as_bytes())
                && !word.starts_with(b"x-")
                && !word.starts_with(b"comment=")
            {
                options.add_data(word);
            }
        }
        Ok(options)
    }

    /// Adds a word for the filesystem.
    pub(super) fn add_data(&mut self, word: &[u8]) {
        self.data.push(word.into());
    }

    /// For the system call.
    pub(super) fn flags(&self) -> MountFlags {
        self.flags
    }

    /// For the filesystem.
    pub(super) fn data(&self) -> Vec<u8> {
        self.data.join(&b","[..])
    }

    /// The words for the filesystem, for a program.
    pub(super) fn words(&self) -> Vec<String> {
        self.data.iter().map(|word| word.to_str_lossy().into_owned()).collect()
    }

    /// Whether a disk that cannot be written to is mounted for reading.
    pub(super) fn may_be_read_only(&self) -> bool {
        !self.explicit_rw && !self.flags.contains(MountFlags::RDONLY)
    }
}

/// Splits at commas, except within quotes: SELinux contexts have commas in them.
fn split(text: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let got = match MountOptions::parse(text.as_bytes()) {
            Ok(it) => format!("{:?} {:?}", it.flags(), it.data().as_bstr()),
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn words() {
        check("", r#"MountFlags(0x0) """#);
        check("defaults,,noauto,x-systemd.automount", r#"MountFlags(0x0) """#);
        check("ro", r#"MountFlags(RDONLY) """#);
        check(
            "ro,noatime,errors=remount-ro",
            r#"MountFlags(NOATIME | RDONLY) "errors=remount-ro""#,
        );
        check("ro,rw", r#"MountFlags(0x0) """#);
        check(
            r#"acl,context="u:r:c0,c1",subvol=a"#,
            r#"MountFlags(0x0) "acl,context=\"u:r:c0,c1\",subvol=a""#,
        );
        check("remount,rw", "error: options: remount is not possible here");
    }

    #[test]
    fn writing_is_not_given_up_if_it_was_asked_for() {
        let check = |text: &[u8], expected| {
            assert_eq!(MountOptions::parse(text).unwrap().may_be_read_only(), expected);
        };
        check(b"", true);
        check(b"noatime", true);
        check(b"rw", false);
        check(b"ro", false);
    }

    #[test]
    fn flags_are_sorted() {
        assert!(FLAGS.is_sorted_by_key(|(name, ..)| name));
    }
}
