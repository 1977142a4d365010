// SPDX-License-Identifier: LGPL-2.1-or-later
//! Making files that are no directories or links: device nodes, named pipes, sockets.

use bstr::ByteSlice;
use rustix::fs::{Dev, FileType, Mode, makedev, mknodat};

use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::path::GuestPath;

/// Linux keeps 12 bits of a major number, and 20 of a minor number.
const MAJOR_MAX: u32 = (1 << 12) - 1;
const MINOR_MAX: u32 = (1 << 20) - 1;

/// The bits of a mode that are its type.
const TYPE: u32 = 0o170_000;

pub(crate) fn mkfifo(cx: &mut Ctx, mode: i32, path: &GuestPath) -> Result<()> {
    make(cx, FileType::Fifo, mode, 0, path)
}

pub(crate) fn mknod(
    cx: &mut Ctx,
    mode: i32,
    devmajor: i32,
    devminor: i32,
    path: &GuestPath,
) -> Result<()> {
    let kind = match mode.cast_unsigned() & TYPE {
        0 => FileType::RegularFile,
        bits => FileType::from_raw_mode(bits),
    };
    match kind {
        FileType::BlockDevice | FileType::CharacterDevice => {
            make(cx, kind, mode, device(devmajor, devminor)?, path)
        }
        FileType::RegularFile | FileType::Fifo | FileType::Socket => make(cx, kind, mode, 0, path),
        _ => Err(Error::invalid("mode", format_args!("{mode:#o} has no type that can be made"))),
    }
}

pub(crate) fn mknod_b(
    cx: &mut Ctx,
    mode: i32,
    devmajor: i32,
    devminor: i32,
    path: &GuestPath,
) -> Result<()> {
    make(cx, FileType::BlockDevice, mode, device(devmajor, devminor)?, path)
}

pub(crate) fn mknod_c(
    cx: &mut Ctx,
    mode: i32,
    devmajor: i32,
    devminor: i32,
    path: &GuestPath,
) -> Result<()> {
    make(cx, FileType::CharacterDevice, mode, device(devmajor, devminor)?, path)
}

fn make(cx: &Ctx, kind: FileType, mode: i32, device: Dev, path: &GuestPath) -> Result<()> {
    let permissions = permissions(kind, mode)?;
    let (parent, name) = cx.parent(path)?;
    mknodat(parent, name.as_bytes(), kind, permissions, device).about(path)
}

/// The permissions in a mode that may have this type, and no other.
fn permissions(kind: FileType, mode: i32) -> Result<Mode> {
    let bits = mode.cast_unsigned();
    match bits & !0o7777 {
        0 => Ok(Mode::from_raw_mode(bits)),
        it if it == kind.as_raw_mode() => Ok(Mode::from_raw_mode(bits & 0o7777)),
        _ => Err(Error::invalid("mode", format_args!("{mode} is more than permissions"))),
    }
}

fn device(major: i32, minor: i32) -> Result<Dev> {
    let number = |arg: &str, value: i32, max: u32| match u32::try_from(value) {
        Ok(number) if number <= max => Ok(number),
        _ => Err(Error::invalid(arg, format_args!("{value} is not from 0 to {max}"))),
    };
    let major = number("devmajor", major, MAJOR_MAX)?;
    Ok(makedev(major, number("devminor", minor, MINOR_MAX)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        #[track_caller]
        fn check(mode: i32, expected: &str) {
            let got = permissions(FileType::Fifo, mode);
            let got = got.map_or_else(|err| err.to_string(), |it| format!("{:o}", it.bits()));
            assert_eq!(got, expected);
        }
        check(0o644, "644");
        check(0o7777, "7777");
        check(0o10644, "644");
        check(0o20644, "mode: 8612 is more than permissions");
        check(-1, "mode: -1 is more than permissions");
    }

    #[test]
    fn numbers() {
        #[track_caller]
        fn check(major: i32, minor: i32, expected: &str) {
            let got = device(major, minor);
            assert_eq!(got.map_or_else(|err| err.to_string(), |it| format!("{it:#x}")), expected);
        }
        check(8, 1, "0x801");
        check(4095, 1_048_575, "0xffffffff");
        check(4096, 0, "devmajor: 4096 is not from 0 to 4095");
        check(-1, 0, "devmajor: -1 is not from 0 to 4095");
        check(1, 1 << 20, "devminor: 1048576 is not from 0 to 1048575");
    }

    #[test]
    fn made_in_a_guest() {
        let root = tempfile::tempdir().unwrap();
        let mut cx = Ctx::new(root.path());
        let path = |text: &str| GuestPath::new("path", text.as_bytes()).unwrap();
        mkfifo(&mut cx, 0o666, &path("/fifo")).unwrap();
        assert_eq!(cx.lstat(&path("/fifo")).unwrap().st_mode, 0o10644);
        mknod(&mut cx, 0o600, -1, -1, &path("/file")).unwrap();
        assert_eq!(cx.lstat(&path("/file")).unwrap().st_mode, 0o100_600);
        let err = mknod(&mut cx, 0o40755, 0, 0, &path("/dir")).unwrap_err();
        assert_eq!(err.to_string(), "mode: 0o40755 has no type that can be made");
        let err = mkfifo(&mut cx, 0o644, &path("/")).unwrap_err();
        assert_eq!(err.to_string(), "/: File exists");
    }
}
