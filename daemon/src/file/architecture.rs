// SPDX-License-Identifier: LGPL-2.1-or-later
//! The architecture of programs, kernels, modules and initrds, from their headers.

mod scan;

use std::io::{self, Read, Seek, SeekFrom};

use bstr::BString;
use rustix::fs::{Mode, OFlags};

use self::scan::{Scan, Verdict};
use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::path::GuestPath;
use crate::tool::Tool;

pub(crate) fn file_architecture(cx: &mut Ctx, path: &GuestPath) -> Result<BString> {
    let mut file = cx.open_regular(path, OFlags::RDONLY, Mode::empty())?;
    let mut verdict = read(&mut file).about(path)?;
    if let Verdict::Compressed { program, at } = verdict {
        file.seek(SeekFrom::Start(at)).about(path)?;
        let mut scan = Scan::new();
        // The scan stops the program as soon as it knows, which is no failure.
        let result = Tool::new(program).arg("-dc").filter(&mut file, &mut scan);
        verdict = scan.finish();
        if verdict == Verdict::Unrecognized {
            result?;
        }
    }
    match verdict {
        Verdict::Architecture(name) => Ok(name.into()),
        Verdict::Machine(machine) => {
            Err(Error::invalid(path, format!("the architecture of {machine} has no name here")))
        }
        Verdict::Unrecognized | Verdict::Compressed { .. } => {
            Err(Error::invalid(path, "not a file which tells its architecture"))
        }
    }
}

/// Reads until the architecture is known, or there is nothing left.
fn read(file: &mut impl Read) -> io::Result<Verdict> {
    let mut scan = Scan::new();
    match io::copy(file, &mut scan) {
        Err(_) if scan.is_done() => {}
        result => drop(result?),
    }
    Ok(scan.finish())
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    Architecture(&'static str),
    Machine(String),
    /// To be looked into by this program.
    Compressed(&'static str),
    Cpio,
    Unknown,
}

/// How much of a file [`header`] looks at: headers of Windows programs are behind one for DOS.
const HEADER: usize = 1024;

fn header(bytes: &[u8]) -> Header {
    match bytes {
        [0x7f, b'E', b'L', b'F', ..] => elf(bytes),
        [0x1f, 0x8b, ..] => Header::Compressed("gzip"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Header::Compressed("xz"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Header::Compressed("zstd"),
        [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => Header::Cpio,
        // An arm64 kernel without EFI stub does not begin as a Windows program.
        _ if bytes.get(0x38..0x3c) == Some(b"ARM\x64") => Header::Architecture("aarch64"),
        _ if bytes.get(0x38..0x3c) == Some(b"RSC\x05") => Header::Architecture("riscv64"),
        [b'M', b'Z', ..] => windows(bytes),
        _ => Header::Unknown,
    }
}

fn elf(bytes: &[u8]) -> Header {
    let (Some(&[class, order]), Some(&[low, high])) = (
        bytes.get(4..6).and_then(<[u8]>::first_chunk),
        bytes.get(18..20).and_then(<[u8]>::first_chunk),
    ) else {
        return Header::Unknown;
    };
    let is_64 = class == 2;
    let is_little = order == 1;
    let machine = match is_little {
        true => u16::from_le_bytes([low, high]),
        false => u16::from_be_bytes([low, high]),
    };
    Header::Architecture(match machine {
        2 | 18 => "sparc",
        3 => "i386",
        20 => "ppc",
        21 if is_little => "ppc64le",
        21 => "ppc64",
        22 if is_64 => "s390x",
        22 => "s390",
        40 => "arm",
        43 => "sparc64",
        50 => "ia64",
        62 => "x86_64",
        183 => "aarch64",
        243 if is_64 => "riscv64",
        243 => "riscv32",
        258 => "loongarch64",
        _ => return Header::Machine(format!("ELF machine {machine}")),
    })
}

fn windows(bytes: &[u8]) -> Header {
    let Some(offset) = bytes.get(0x3c..).and_then(<[u8]>::first_chunk) else {
        return Header::Unknown;
    };
    let at = u32::from_le_bytes(*offset) as usize;
    let Some(&[b'P', b'E', 0, 0, low, high]) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
        return Header::Unknown;
    };
    let machine = u16::from_le_bytes([low, high]);
    Header::Architecture(match machine {
        0x14c => "i386",
        0x1c0 | 0x1c2 | 0x1c4 => "arm",
        0x200 => "ia64",
        0x5032 => "riscv32",
        0x5064 => "riscv64",
        0x6264 => "loongarch64",
        0x8664 => "x86_64",
        0xaa64 => "aarch64",
        _ => return Header::Machine(format!("Windows machine {machine:#x}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf_header(class: u8, order: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', class, order, 1];
        bytes.resize(18, 0);
        bytes.extend(machine);
        bytes.resize(64, 0);
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(format!("{:?}", read(&mut &*bytes).unwrap()), expected);
    }

    #[test]
    fn elf_files() {
        check(&elf_header(2, 1, [62, 0]), r#"Architecture("x86_64")"#);
        check(&elf_header(1, 1, [3, 0]), r#"Architecture("i386")"#);
        check(&elf_header(2, 2, [0, 22]), r#"Architecture("s390x")"#);
        check(&elf_header(1, 2, [0, 22]), r#"Architecture("s390")"#);
        check(&elf_header(2, 1, [21, 0]), r#"Architecture("ppc64le")"#);
        check(&elf_header(2, 2, [0, 21]), r#"Architecture("ppc64")"#);
        check(&elf_header(2, 1, [2, 1]), r#"Architecture("loongarch64")"#);
        check(&elf_header(1, 2, [0, 8]), r#"Machine("ELF machine 8")"#);
        check(&elf_header(2, 1, [62, 0])[..19], "Unrecognized");
    }

    #[test]
    fn other_files() {
        let mut windows = vec![0; 0x86];
        windows[..2].copy_from_slice(b"MZ");
        windows[0x3c] = 0x80;
        windows[0x80..].copy_from_slice(b"PE\0\0\x64\x86");
        check(&windows, r#"Architecture("x86_64")"#);
        windows[0x3c..0x40].fill(0xff);
        check(&windows, "Unrecognized");
        windows[0x38..0x3c].copy_from_slice(b"ARM\x64");
        check(&windows, r#"Architecture("aarch64")"#);
        check(b"", "Unrecognized");
        check(b"text\n", "Unrecognized");
        check(b"\x1f\x8b\x08", r#"Compressed { program: "gzip", at: 0 }"#);
    }

    fn cpio(name: &str, content: &[u8]) -> Vec<u8> {
        let fields = [1, 0o100_644, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        let mut bytes = b"070701".to_vec();
        bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn initrds() {
        let end = cpio("TRAILER!!!", b"");
        let plain = [
            cpio("a", b"text that is long enough to have to be skipped"),
            cpio("bin", b""),
            cpio("bin/sh", &elf_header(2, 1, [183, 0])),
            end.clone(),
        ];
        check(&plain.concat(), r#"Architecture("aarch64")"#);
        let microcode = [cpio("microcode.bin", &[1; 5000]), end.clone(), vec![0; 512]].concat();
        check(&microcode, "Unrecognized");
        let expected = format!(r#"Compressed {{ program: "zstd", at: {} }}"#, microcode.len());
        check(&[microcode.clone(), vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0]].concat(), &expected);
        check(&[microcode.clone(), plain.concat()].concat(), r#"Architecture("aarch64")"#);
        check(&plain.concat()[..100], "Unrecognized");
        check(&[microcode, b"rubbish".to_vec()].concat(), "Unrecognized");
        // Letters where the sizes should be.
        check(&[b"070701".as_slice(), &[b'x'; 200]].concat(), "Unrecognized");
    }
}
