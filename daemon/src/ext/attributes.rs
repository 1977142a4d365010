// SPDX-License-Identifier: LGPL-2.1-or-later
//! What ext2 and its descendants keep of a file besides its metadata: flags and a generation.

use std::os::fd::{AsRawFd, OwnedFd};

use bstr::{BStr, BString};
use rustix::fs::{
    AtFlags, FileType, IFlags, Mode, OFlags, fstat, ioctl_getflags, ioctl_setflags, mkdirat,
    openat, unlinkat,
};

use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;

/// The letters of lsattr(1), each with its bit, and whether the bit can be changed.
const LETTERS: &[(u8, u32, bool)] = &[
    (b's', 0x1, true),
    (b'u', 0x2, true),
    (b'c', 0x4, true),
    (b'S', 0x8, true),
    (b'i', 0x10, true),
    (b'a', 0x20, true),
    (b'd', 0x40, true),
    (b'A', 0x80, true),
    (b'm', 0x400, true),
    (b'E', 0x800, false),
    (b'I', 0x1000, false),
    (b'j', 0x4000, true),
    (b't', 0x8000, true),
    (b'D', 0x1_0000, true),
    (b'T', 0x2_0000, true),
    (b'h', 0x4_0000, false),
    (b'e', 0x8_0000, false),
    (b'V', 0x10_0000, false),
    (b'C', 0x80_0000, true),
    (b'x', 0x200_0000, true),
    (b'N', 0x1000_0000, false),
    (b'P', 0x2000_0000, true),
    (b'F', 0x4000_0000, true),
];

/// `lost+found` is made so large, for names of files that are found during a repair.
const LOST_AND_FOUND_SIZE: i64 = 16 << 10;

mod ioctl {
    use nix::{ioctl_read_bad, ioctl_write_ptr_bad, request_code_read, request_code_write};

    // The numbers of the requests have a long in them, but the kernel reads and writes an int.
    ioctl_read_bad!(get_generation, request_code_read!(b'v', 1, size_of::<usize>()), u32);
    ioctl_write_ptr_bad!(set_generation, request_code_write!(b'v', 2, size_of::<usize>()), u32);
}

pub(crate) fn get_e2attrs(cx: &mut Ctx, file: &GuestPath) -> Result<BString> {
    let open = open(cx, file)?;
    let flags = supported(ioctl_getflags(open)).about(file)?;
    let letters = LETTERS.iter().filter(|(_, bit, _)| flags.bits() & bit != 0);
    Ok(letters.map(|(letter, ..)| *letter).collect::<Vec<u8>>().into())
}

pub(crate) fn set_e2attrs(
    cx: &mut Ctx,
    file: &GuestPath,
    attrs: &BStr,
    options: crate::generated::SetE2attrsOptions,
) -> Result<()> {
    let bits = IFlags::from_bits_retain(bits(attrs)?);
    let open = open(cx, file)?;
    let flags = supported(ioctl_getflags(&open)).about(file)?;
    let flags = match options.clear {
        Some(true) => flags.difference(bits),
        _ => flags.union(bits),
    };
    ioctl_setflags(&open, flags).about(file)
}

fn bits(attrs: &BStr) -> Result<u32> {
    let mut bits = 0;
    for letter in attrs.iter() {
        let why = match LETTERS.iter().find(|(it, ..)| it == letter) {
            None => "is unknown",
            Some((_, _, false)) => "cannot be changed",
            Some((_, bit, true)) if bits & bit != 0 => "is there twice",
            Some((_, bit, true)) => {
                bits |= bit;
                continue;
            }
        };
        let letter = letter.escape_ascii();
        return Err(Error::invalid("attrs", format_args!("'{letter}' {why}")));
    }
    Ok(bits)
}

#[expect(unsafe_code, reason = "generations are asked for by an ioctl")]
pub(crate) fn get_e2generation(cx: &mut Ctx, file: &GuestPath) -> Result<i64> {
    let open = open(cx, file)?;
    let mut generation = 0;
    // SAFETY: the request writes an int.
    let result = unsafe { ioctl::get_generation(open.as_raw_fd(), &mut generation) };
    supported(result).about(file)?;
    Ok(generation.into())
}

#[expect(unsafe_code, reason = "generations are set by an ioctl")]
pub(crate) fn set_e2generation(cx: &mut Ctx, file: &GuestPath, generation: i64) -> Result<()> {
    let why = |_| Error::invalid("generation", format_args!("{generation} is out of range"));
    let generation = u32::try_from(generation).map_err(why)?;
    let open = open(cx, file)?;
    // SAFETY: the request reads an int.
    supported(unsafe { ioctl::set_generation(open.as_raw_fd(), &generation) }).about(file)?;
    Ok(())
}

pub(crate) fn mklost_and_found(cx: &mut Ctx, mountpoint: &GuestPath) -> Result<()> {
    let parent = cx.open(mountpoint, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let path = mountpoint.join(b"lost+found");
    let make = || {
        mkdirat(&parent, "lost+found", Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        make_large(&openat(&parent, "lost+found", flags, Mode::empty())?)
    };
    make().about(path)
}

/// A directory grows with the names in it, and stays as it is without them.
fn make_large(directory: &OwnedFd) -> rustix::io::Result<()> {
    let name = |number| format!("{number:0>255}");
    let mut made = 0;
    // Not every filesystem measures a directory in the same way.
    while made < 1000 && fstat(directory)?.st_size < LOST_AND_FOUND_SIZE {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(directory, name(made), flags, Mode::RUSR | Mode::WUSR)?;
        made += 1;
    }
    (0..made).try_for_each(|number| unlinkat(directory, name(number), AtFlags::empty()))
}

/// Opens what has such attributes.  The requests would go to the driver of a device instead, and a
/// fifo would be waited for.
fn open(cx: &Ctx, path: &GuestPath) -> Result<OwnedFd> {
    match FileType::from_raw_mode(cx.stat(path)?.st_mode) {
        FileType::RegularFile | FileType::Directory => {}
        _ => return Err(Error::sys(path, Errno::OPNOTSUPP)),
    }
    cx.open(path, OFlags::RDONLY | OFlags::NONBLOCK)
}

/// Filesystems that do not know a request say that this is no terminal; ntfs-3g calls it invalid.
fn supported<T, E: Into<std::io::Error>>(result: Result<T, E>) -> std::io::Result<T> {
    result.map_err(|err| {
        let err = err.into();
        match Errno::from_io_error(&err) {
            Some(Errno::NOTTY | Errno::INVAL) => Errno::OPNOTSUPP.into(),
            _ => err,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        #[track_caller]
        fn check(attrs: &str, expected: &str) {
            let got = bits(attrs.into()).map_or_else(|err| err.to_string(), |it| format!("{it:x}"));
            assert_eq!(got, expected);
        }
        check("", "0");
        check("ai", "30");
        check("FA", "40000080");
        check("q", "attrs: 'q' is unknown");
        check("aia", "attrs: 'a' is there twice");
        check("ae", "attrs: 'e' cannot be changed");
        check("\n", "attrs: '\\n' is unknown");
        let mut seen = 0_u32;
        for (letter, bit, _) in LETTERS {
            assert_eq!((bit.count_ones(), seen & bit), (1, 0), "{letter}");
            seen |= bit;
        }
    }
}
