// SPDX-License-Identifier: LGPL-2.1-or-later
//! Content of files: reading, writing, copying, moving and removing.

mod architecture;
mod checksum;
mod compare;
mod copy;
mod make;
mod overwrite;
mod remove;
mod transport;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bstr::{BStr, BString, ByteSlice};
use guestfs_protocol::wire::{HEADER_SIZE, MESSAGE_MAX};
use rustix::fs::{FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, fchmod, futimens};

use crate::block::DeviceOrPath;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::filesystem::bytes::ReadAt;
use crate::path::GuestPath;
use crate::tool::Tool;
use crate::transfer::FileIn;

pub(crate) use architecture::file_architecture;
pub(crate) use checksum::{checksum, checksums_out, finish, sum_of};
pub(crate) use compare::{equal, is_zero};
pub(crate) use copy::{cp, cp_a, cp_r, mv, rename};
pub(crate) use make::{fallocate, fallocate64, fill, fill_pattern, mktemp};
pub(crate) use overwrite::{scrub_file, zero};
pub(crate) use remove::{rm, rm_f, rm_rf};
pub(crate) use transport::{
    download, download_offset, open_to_read, too_short, upload, upload_offset,
};

/// Mode of a new file, before the mask.
pub(crate) const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

/// The most bytes that a reply can return: the header, their number and the padding go with them.
pub(crate) const CONTENT_MAX: usize = MESSAGE_MAX - HEADER_SIZE - 8;

/// How much is moved at once.
const BLOCK: usize = 256 << 10;

pub(crate) fn touch(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    match cx.lstat(path) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
            return Err(Error::invalid(path, "not a regular file"));
        }
        Err(err) if err.errno() != Some(Errno::NOENT) => return Err(err),
        _ => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = cx.open_mode(path, flags, NEW_FILE)?;
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    futimens(file, &Timestamps { last_access: now, last_modification: now }).about(path)
}

pub(crate) fn write_file(cx: &mut Ctx, path: &GuestPath, content: &BStr, size: i32) -> Result<()> {
    let content = match usize::try_from(size) {
        Ok(0) => content.as_bytes(),
        Ok(size) if size <= content.len() => &content[..size],
        _ => {
            let why = format!("{size} is not from 0 to {}, the length of content", content.len());
            return Err(Error::invalid("size", why));
        }
    };
    internal_write(cx, path, content)
}

pub(crate) fn internal_write(cx: &mut Ctx, path: &GuestPath, content: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    cx.open_regular(path, flags, NEW_FILE)?.write_all(content).about(path)
}

pub(crate) fn internal_write_append(cx: &mut Ctx, path: &GuestPath, content: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
    cx.open_regular(path, flags, NEW_FILE)?.write_all(content).about(path)
}

pub(crate) fn pread(cx: &mut Ctx, path: &GuestPath, count: i32, offset: i64) -> Result<Vec<u8>> {
    let part = Part::new(count, offset)?;
    let file = cx.open_regular(path, OFlags::RDONLY, Mode::empty())?;
    let length = file.metadata().about(path)?.len();
    part.read(&file, length).about(path)
}

/// A part that fits into a reply.
pub(crate) struct Part {
    count: u64,
    offset: u64,
}

impl Part {
    pub(crate) fn new(count: i32, offset: i64) -> Result<Self> {
        let count = not_negative("count", count.into())?;
        let offset = not_negative("offset", offset)?;
        if count > CONTENT_MAX as u64 {
            let why =
                format!("{count} is more than {CONTENT_MAX}, which is what fits into a reply");
            return Err(Error::refused(Errno::MSGSIZE, "count", why));
        }
        Ok(Self { count, offset })
    }

    /// What there is of the part, in a file or device of this length.
    pub(crate) fn read(&self, file: &File, length: u64) -> io::Result<Vec<u8>> {
        // Memory for what is there, not for what the caller hopes for.
        let rest = length.saturating_sub(self.offset);
        let mut content = vec![0; self.count.min(rest) as usize];
        let n = file.read_up_to(&mut content, self.offset)?;
        content.truncate(n);
        Ok(content)
    }
}

pub(crate) fn pwrite(cx: &mut Ctx, path: &GuestPath, content: &[u8], offset: i64) -> Result<i32> {
    write_part(&cx.open_regular(path, OFlags::WRONLY, Mode::empty())?, content, offset, path)
}

/// Writes all of `content`, and tells how much that is.
pub(crate) fn write_part(
    file: &File,
    content: &[u8],
    offset: i64,
    about: impl Display,
) -> Result<i32> {
    file.write_all_at(content, not_negative("offset", offset)?).about(about)?;
    // A message is shorter than that by far.
    Ok(i32::try_from(content.len()).unwrap_or(i32::MAX))
}

pub(crate) fn truncate(cx: &mut Ctx, path: &GuestPath) -> Result<()> {
    truncate_size(cx, path, 0)
}

pub(crate) fn truncate_size(cx: &mut Ctx, path: &GuestPath, size: i64) -> Result<()> {
    let size = not_negative("size", size)?;
    cx.open_regular(path, OFlags::WRONLY, Mode::empty())?.set_len(size).about(path)
}

pub(crate) fn filesize(cx: &mut Ctx, path: &GuestPath) -> Result<i64> {
    Ok(cx.stat(path)?.st_size)
}

pub(crate) fn file(cx: &mut Ctx, path: &DeviceOrPath) -> Result<BString> {
    // Name not printed, look into compressed files, special files too, follow the link that
    // names the open file, and fail rather than print the reason.
    let tool = Tool::new("file").args(["-bzsLE", "--"]);
    let tool = match path {
        DeviceOrPath::Device(device) => tool.arg(device.path()),
        DeviceOrPath::Path(path) => {
            let file = cx.open_nofollow(path, OFlags::PATH)?;
            let stat = rustix::fs::fstat(&file).about(path)?;
            if let Some(kind) = special(FileType::from_raw_mode(stat.st_mode)) {
                return Ok(kind.into());
            }
            tool.arg_fd(file)
        }
    };
    Ok(tool.stdout()?.trim_ascii_end().into())
}

pub(crate) fn zfile(cx: &mut Ctx, meth: &BStr, path: &GuestPath) -> Result<BString> {
    if !matches!(meth.as_bytes(), b"gzip" | b"compress" | b"bzip2") {
        let why = format!("{meth:?} is not one of gzip, compress and bzip2");
        return Err(Error::invalid("meth", why));
    }
    file(cx, &DeviceOrPath::Path(path.clone()))
}

/// What is said of a file that has no content of its own.
fn special(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::Directory => Some("directory"),
        FileType::Symlink => Some("symbolic link"),
        FileType::Fifo => Some("fifo"),
        FileType::Socket => Some("socket"),
        FileType::CharacterDevice => Some("character device"),
        FileType::BlockDevice => Some("block device"),
        FileType::RegularFile | FileType::Unknown => None,
    }
}

pub(crate) fn internal_upload(
    _: &mut Ctx,
    input: &mut FileIn<'_>,
    tmpname: &BStr,
    mode: i32,
) -> Result<()> {
    if matches!(tmpname.as_bytes(), b"" | b"." | b"..") || tmpname.contains(&b'/') {
        return Err(Error::invalid("tmpname", "not the name of a file"));
    }
    receive_here(input, &Path::new("/tmp").join(tmpname.to_path_lossy()), mode)
}

/// Writes a file of the appliance itself.
#[expect(clippy::disallowed_methods, reason = "a file of the appliance, with a mode")]
pub(crate) fn receive_here(input: &mut impl Read, path: &Path, mode: i32) -> Result<()> {
    let mode = match u32::try_from(mode) {
        Ok(mode @ 0..=0o7777) => Mode::from_raw_mode(mode),
        _ => return Err(Error::invalid("mode", format!("{mode} is not a mode of files"))),
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, mode).about(path.display())?);
    io::copy(input, &mut file).about(path.display())?;
    // Not less the mask: the caller said what it is to be.
    fchmod(&file, mode).about(path.display())
}

pub(crate) fn not_negative(arg: &'static str, value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::invalid(arg, format!("{value} is negative")))
}

/// Names in a directory, as bytes without NUL, without `.` and `..`, in the order of the files'
/// numbers: that is the order in which a disk has them, while hashes of the names decide the
/// order of a directory.
pub(crate) fn names(directory: &std::os::fd::OwnedFd) -> rustix::io::Result<Vec<BString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((entry.ino(), name.into()));
        }
    }
    names.sort_by_key(|(ino, _)| *ino);
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "these files are the test's own")]
pub(crate) mod tests {
    use std::fmt::Debug;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, mkfifoat};

    use super::*;
    use crate::system;

    pub(super) fn path(text: &str) -> GuestPath {
        GuestPath::new("path", text.as_bytes()).unwrap()
    }

    pub(super) fn guest() -> (tempfile::TempDir, Ctx) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("dir/sub")).unwrap();
        system::write(root.join("abc"), b"abc\n").unwrap();
        system::write(root.join("empty"), b"").unwrap();
        system::write(root.join("dir/sub/deep"), b"deep\n").unwrap();
        symlink("abc", root.join("link")).unwrap();
        symlink("/missing", root.join("dangling")).unwrap();
        symlink("../../../../../../../..", root.join("dir/up")).unwrap();
        mkfifoat(CWD, root.join("fifo"), Mode::RUSR).unwrap();
        let cx = Ctx::new(root);
        (dir, cx)
    }

    #[track_caller]
    pub(crate) fn check<T: Debug>(result: Result<T>, expected: &str) {
        let got = match result {
            Ok(value) => format!("{value:?}"),
            Err(err) => format!("{err} [{:?}]", err.errno().map(|it| it.raw_os_error())),
        };
        assert_eq!(got, expected);
    }

    fn content(cx: &mut Ctx, name: &str) -> Result<BString> {
        pread(cx, &path(name), 1000, 0).map(BString::from)
    }

    #[test]
    fn touching() {
        let (_dir, cx) = &mut guest();
        check(touch(cx, &path("/new")), "()");
        check(content(cx, "/new"), r#""""#);
        check(touch(cx, &path("/abc")), "()");
        check(content(cx, "/abc"), r#""abc\n""#);
        check(touch(cx, &path("/dir")), "/dir: not a regular file [Some(22)]");
        check(touch(cx, &path("/link")), "/link: not a regular file [Some(22)]");
        check(touch(cx, &path("/fifo")), "/fifo: not a regular file [Some(22)]");
        check(touch(cx, &path("/none/new")), "/none/new: No such file or directory [Some(2)]");
    }

    #[test]
    fn writing() {
        let (_dir, cx) = &mut guest();
        check(internal_write(cx, &path("/abc"), b"a\0"), "()");
        check(internal_write_append(cx, &path("/link"), b"\xff"), "()");
        check(content(cx, "/abc"), r#""a\0\xff""#);
        check(internal_write(cx, &path("/dangling"), b"x"), "()");
        check(content(cx, "/missing"), r#""x""#);
        check(internal_write(cx, &path("/dir"), b""), "/dir: Is a directory [Some(21)]");
        check(write_file(cx, &path("/abc"), "text".into(), 0), "()");
        check(content(cx, "/abc"), r#""text""#);
        check(write_file(cx, &path("/abc"), "text".into(), 2), "()");
        check(content(cx, "/abc"), r#""te""#);
        let expected = "size: 5 is not from 0 to 4, the length of content [Some(22)]";
        check(write_file(cx, &path("/abc"), "text".into(), 5), expected);
        let expected = "size: -1 is not from 0 to 0, the length of content [Some(22)]";
        check(write_file(cx, &path("/abc"), "".into(), -1), expected);
    }

    #[test]
    fn parts() {
        let (_dir, cx) = &mut guest();
        check(pread(cx, &path("/abc"), 2, 1), "[98, 99]");
        check(pread(cx, &path("/abc"), 2, i64::MAX), "[]");
        check(pread(cx, &path("/abc"), -1, 0), "count: -1 is negative [Some(22)]");
        let expected =
            "count: 4194304 is more than 4194256, which is what fits into a reply [Some(90)]";
        check(pread(cx, &path("/abc"), 4 << 20, 0), expected);
        check(pwrite(cx, &path("/abc"), b"xy", 5), "2");
        check(content(cx, "/abc"), r#""abc\n\0xy""#);
        check(pwrite(cx, &path("/abc"), b"xy", -1), "offset: -1 is negative [Some(22)]");
        check(pwrite(cx, &path("/new"), b"", 0), "/new: No such file or directory [Some(2)]");
        check(truncate_size(cx, &path("/abc"), 1 << 40), "()");
        check(filesize(cx, &path("/link")), "1099511627776");
        check(truncate(cx, &path("/abc")), "()");
        check(filesize(cx, &path("/abc")), "0");
        check(truncate(cx, &path("/fifo")), "/fifo: not a regular file [Some(22)]");
    }

    #[test]
    fn kinds_of_files() {
        let (_dir, cx) = &mut guest();
        let mut kind = |name| file(cx, &DeviceOrPath::Path(path(name)));
        check(kind("/dir"), r#""directory""#);
        check(kind("/link"), r#""symbolic link""#);
        check(kind("/fifo"), r#""fifo""#);
        check(kind("/none"), "/none: No such file or directory [Some(2)]");
    }
}
