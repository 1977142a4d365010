// SPDX-License-Identifier: LGPL-2.1-or-later
//! Takes the kernel proper (an ELF file that qemu starts by its PVH note) out of a bzImage, which
//! would unpack itself slowly inside the virtual machine.

use anyhow::{Context, Result, bail};

use crate::elf::{self, Elf};
use crate::host;

/// Offsets of the setup header (Documentation/arch/x86/boot.rst of Linux).
const SETUP_SECTORS: usize = 0x1f1;
const SIGNATURE: usize = 0x202;
const PROTOCOL: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// The payload can be found since this version of the boot protocol.
const WITH_PAYLOAD: u16 = 0x208;

/// How the payload may be compressed: first bytes, and the program that reads it.
const FORMATS: &[(&[u8], &str, &[&str])] = &[
    (&[0x1f, 0x8b], "gzip", &["-dc"]),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", &["-dc"]),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", &["-dc"]),
    (&[0x02, 0x21, 0x4c, 0x18], "lz4", &["-dc"]),
];

/// The ELF file inside a bzImage, made as small as it can be.
pub(crate) fn vmlinux(bzimage: &[u8]) -> Result<Vec<u8>> {
    let payload = payload(bzimage)?;
    let Some((_, program, args)) = FORMATS.iter().find(|it| payload.starts_with(it.0)) else {
        bail!(
            "payload is compressed in an unknown way ({:02x?})",
            &payload[..payload.len().min(6)]
        );
    };
    // The size of the kernel follows what the compressor wrote; gzip does that itself.
    let payload = match *program {
        "gzip" => payload,
        _ => &payload[..payload.len().saturating_sub(4)],
    };
    let vmlinux = host::filter(host::command(program).args(*args), payload)?;
    shrink(&vmlinux).context("payload")
}

/// The compressed kernel inside a bzImage.
fn payload(bzimage: &[u8]) -> Result<&[u8]> {
    let number = |at: usize| -> Result<usize> {
        match bzimage.get(at..at + 4) {
            Some(bytes) => Ok(u32::from_le_bytes(bytes.try_into()?) as usize),
            None => bail!("too short for a kernel"),
        }
    };
    if bzimage.get(SIGNATURE..SIGNATURE + 4) != Some(b"HdrS") {
        bail!("not a Linux kernel for x86 (no HdrS at {SIGNATURE:#x})");
    }
    let protocol = (number(PROTOCOL)? & 0xffff) as u16;
    if protocol < WITH_PAYLOAD {
        bail!("boot protocol {:x}.{:02x} is too old", protocol >> 8, protocol & 0xff);
    }
    let setup_sectors = match bzimage[SETUP_SECTORS] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup_sectors + 1) * 512 + number(PAYLOAD_OFFSET)?;
    let length = number(PAYLOAD_LENGTH)?;
    bzimage.get(start..start.saturating_add(length)).context("payload ends behind the file")
}

/// The same program without symbols, sections, padding and zeroes at the end of segments: the
/// loader needs none of it, and copies each byte at each start.
fn shrink(vmlinux: &[u8]) -> Result<Vec<u8>> {
    let elf = Elf::parse(vmlinux)?;
    let mut segments = Vec::new();
    for mut segment in elf.segments()? {
        let bytes = elf.content(&segment)?;
        let bytes = match segment.kind {
            elf::LOAD => {
                let used = bytes.iter().rposition(|it| *it != 0).map_or(0, |it| it + 1);
                &bytes[..used]
            }
            elf::NOTE => bytes,
            _ => continue,
        };
        segment.file_size = bytes.len() as u64;
        segments.push((segment, bytes));
    }
    if !segments.iter().any(|(segment, bytes)| segment.kind == elf::NOTE && has_pvh(bytes)) {
        bail!("kernel was built without CONFIG_PVH");
    }
    elf.with_segments(&segments)
}

/// Whether these notes have Xen's note of the 32-bit physical entry point.
fn has_pvh(mut notes: &[u8]) -> bool {
    const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
    let number = |notes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(notes.get(at..at + 4)?.try_into().ok()?))
    };
    while let (Some(name_size), Some(size), Some(kind)) =
        (number(notes, 0), number(notes, 4), number(notes, 8))
    {
        let name_end = 12 + (name_size as usize).next_multiple_of(4);
        if kind == XEN_ELFNOTE_PHYS32_ENTRY && notes.get(12..16) == Some(b"Xen\0") {
            return true;
        }
        match notes.get(name_end + (size as usize).next_multiple_of(4)..) {
            Some(rest) => notes = rest,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage of two setup sectors with this payload 16 bytes into the protected mode part.
    fn bzimage(protocol: u16, payload: &[u8], length: u32) -> Vec<u8> {
        let mut image = vec![0; 2 * 512 + 16];
        image[SETUP_SECTORS] = 1;
        image[SIGNATURE..SIGNATURE + 4].copy_from_slice(b"HdrS");
        image[PROTOCOL..PROTOCOL + 2].copy_from_slice(&protocol.to_le_bytes());
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16u32.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    #[track_caller]
    fn check(image: &[u8], expected: &str) {
        let text = match payload(image) {
            Ok(it) => String::from_utf8_lossy(it).into_owned(),
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn payloads() {
        check(&bzimage(0x20f, b"kernel, rest", 6), "kernel");
        check(&bzimage(0x20f, b"short", 6), "error: payload ends behind the file");
        check(&bzimage(0x20f, b"", u32::MAX), "error: payload ends behind the file");
        check(&bzimage(0x207, b"kernel", 6), "error: boot protocol 2.07 is too old");
        check(b"MZ", "error: not a Linux kernel for x86 (no HdrS at 0x202)");
    }

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        let err = vmlinux(&bzimage(0x20f, b"BZh9....", 8)).unwrap_err();
        assert_eq!(
            err.to_string(),
            "payload is compressed in an unknown way ([42, 5a, 68, 39, 2e, 2e])"
        );
    }

    #[test]
    fn pvh_note() {
        let note = |name: &[u8], kind: u32| {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&4u32.to_le_bytes());
            bytes.extend_from_slice(&kind.to_le_bytes());
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&[1, 2, 3, 4]);
            bytes
        };
        let others = [note(b"Linux\0\0\0", 257), note(b"Xen\0", 5)].concat();
        assert!(!has_pvh(&others));
        assert!(has_pvh(&[others, note(b"Xen\0", 18)].concat()));
        assert!(!has_pvh(&[0xff; 64]));
    }
}
