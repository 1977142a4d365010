// SPDX-License-Identifier: LGPL-2.1-or-later
//! Why the kernel cannot run a file: what runs a script or loads a program is a file, too, and the
//! kernel's errno does not tell which of them it is about.

use std::env::consts::ARCH;
use std::os::unix::fs::FileExt;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{Mode, OFlags};

use crate::ctx::Ctx;
use crate::error::{Errno, Error};
use crate::file::file_architecture;
use crate::path::GuestPath;

/// How many files are looked at: an interpreter may be a script itself.
const DEPTH: usize = 5;

/// How much of a file is looked at.
const HEADER: usize = 4096;

/// In place of the kernel's answer that something does not exist.
pub(super) fn missing(cx: &Ctx, program: &BStr) -> Error {
    let chain = chain(cx, program);
    match chain.as_slice() {
        [.., runs, last] if !exists(cx, last) => {
            let why = format!("{last}, which is needed to run {runs}, does not exist");
            Error::refused(Errno::NOENT, program, why)
        }
        _ => Error::sys(program, Errno::NOENT),
    }
}

/// In place of the kernel's answer that something is no program.
pub(super) fn not_executable(cx: &mut Ctx, program: &BStr) -> Error {
    for name in chain(cx, program) {
        let architecture = GuestPath::new("arguments", &name)
            .and_then(|path| file_architecture(cx, &path))
            .ok()
            .filter(|architecture| architecture != ARCH);
        if let Some(architecture) = architecture {
            let why = match name == program {
                true => format!("made for {architecture}, and this appliance is {ARCH}"),
                false => format!(
                    "{name}, which runs it, is made for {architecture}, and this appliance is {ARCH}"
                ),
            };
            return Error::refused(Errno::NOEXEC, program, why);
        }
    }
    Error::refused(Errno::NOEXEC, program, "neither a program nor a script that begins with #!")
}

/// The program, what runs it, what runs this, and so on, until nothing is needed or it is missing.
fn chain(cx: &Ctx, program: &BStr) -> Vec<BString> {
    // The programs are started in the root directory.
    let absolute: BString = match program.starts_with(b"/") {
        true => program.into(),
        false => [b"/", program.as_bytes()].concat().into(),
    };
    let mut chain = vec![absolute];
    while let Some(next) = chain.last().and_then(|last| interpreter_of(cx, last.as_bstr()))
        && chain.len() < DEPTH
    {
        chain.push(next);
    }
    chain
}

fn exists(cx: &Ctx, name: &BString) -> bool {
    GuestPath::new("arguments", name).and_then(|path| cx.stat(&path)).is_ok()
}

fn interpreter_of(cx: &Ctx, name: &BStr) -> Option<BString> {
    let path = GuestPath::new("arguments", name).ok()?;
    let file = cx.open_regular(&path, OFlags::RDONLY, Mode::empty()).ok()?;
    let mut header = [0; HEADER];
    let n = file.read_at(&mut header, 0).ok()?;
    let header = &header[..n];
    script(header).or_else(|| loader(header)).map(BString::from)
}

/// The interpreter that the first line of a script names.
fn script(header: &[u8]) -> Option<&[u8]> {
    let line = header.strip_prefix(b"#!")?.lines().next()?;
    line.fields_with(|c| c == ' ' || c == '\t').next()
}

/// The loader of a program that is linked dynamically: the segment of type 3.
fn loader(header: &[u8]) -> Option<&[u8]> {
    if !header.starts_with(b"\x7fELF") || header.get(5) != Some(&1) {
        return None;
    }
    let wide = header.get(4) == Some(&2);
    // Of a header of 64 or 32 bits: where the table is, and the size and number of its entries; of
    // an entry: position and size of the segment.
    let (table, n_bytes, sizes) = if wide { (0x20, 8, 0x36) } else { (0x1c, 4, 0x2a) };
    let (position, size) = if wide { (8, 0x20) } else { (4, 0x10) };
    let table = number(header, table, n_bytes)?;
    let (entry_size, n_entries) = (number(header, sizes, 2)?, number(header, sizes + 2, 2)?);
    let entries = (0..n_entries).map_while(|i| header.get(table + i * entry_size..));
    let entry = entries.into_iter().find(|entry| number(entry, 0, 4) == Some(3))?;
    let (start, len) = (number(entry, position, n_bytes)?, number(entry, size, n_bytes)?);
    header.get(start..start.checked_add(len)?)?.strip_suffix(b"\0")
}

/// A number in little-endian order.
fn number(bytes: &[u8], at: usize, n_bytes: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(n_bytes)?)?;
    let number = bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    // Anything that is not in the header is beyond it.
    usize::try_from(number).ok().filter(|&number| number <= HEADER)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn first_lines() {
        #[track_caller]
        fn check(header: &str, expected: Option<&str>) {
            assert_eq!(script(header.as_bytes()), expected.map(str::as_bytes));
        }
        check("#!/bin/sh\necho\n", Some("/bin/sh"));
        check("#! \t/usr/bin/env python3\n", Some("/usr/bin/env"));
        check("#!/bin/sh", Some("/bin/sh"));
        check("#!\n/bin/sh", None);
        check("echo\n", None);
        check("", None);
    }

    /// A header, one entry, and the name.
    fn elf(wide: bool, name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 0x80];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1]);
        let (table, sizes, position, size) =
            if wide { (0x20, 0x36, 8, 0x20) } else { (0x1c, 0x2a, 4, 0x10) };
        bytes[table] = 0x40;
        (bytes[sizes], bytes[sizes + 2]) = (0x38, 1);
        bytes[0x40] = 3;
        bytes[0x40 + position] = 0x80;
        bytes[0x40 + size] = name.len() as u8;
        bytes.extend_from_slice(name);
        bytes
    }

    #[test]
    fn loaders() {
        for wide in [false, true] {
            let whole = elf(wide, b"/lib/ld.so\0");
            assert_eq!(loader(&whole), Some(b"/lib/ld.so".as_slice()));
            for len in 0..whole.len() {
                assert_eq!(loader(&whole[..len]), None);
            }
            for at in 0x10..0x80 {
                let mut broken = whole.clone();
                broken[at] = 0xff;
                let _ = loader(&broken);
            }
        }
    }

    #[test]
    fn reasons() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            crate::system::write(&path, content).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        put("script", b"#!/missing\n");
        put("nested", b"#!/loaded -x\n");
        put("loaded", &elf(true, b"/ld.so\0"));
        put("loop", b"#!/loop\n");
        put("text", b"text\n");
        put("foreign", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0");
        put("runs-foreign", b"#!/foreign\n");
        let mut cx = Ctx::new(dir.path());
        let check = |name: &str, expected: &str| {
            assert_eq!(missing(&cx, name.into()).to_string(), expected);
        };
        check("/script", "/script: /missing, which is needed to run /script, does not exist");
        check("/nested", "/nested: /ld.so, which is needed to run /loaded, does not exist");
        check("loaded", "loaded: /ld.so, which is needed to run /loaded, does not exist");
        check("/loop", "/loop: No such file or directory");
        check("/none", "/none: No such file or directory");
        let mut check = |name: &str, expected: &str| {
            assert_eq!(not_executable(&mut cx, name.into()).to_string(), expected);
        };
        check("/text", "/text: neither a program nor a script that begins with #!");
        check("/foreign", "/foreign: made for aarch64, and this appliance is x86_64");
        check(
            "/runs-foreign",
            "/runs-foreign: /foreign, which runs it, is made for aarch64, and this appliance is x86_64",
        );
    }
}
