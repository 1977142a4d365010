// SPDX-License-Identifier: LGPL-2.1-or-later
//! Content of whole files and devices on its way to the library and back.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use guestfs_protocol::wire::SHOWN_MIN;
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fcntl_getfl, fcntl_setfl};

use super::{BLOCK, NEW_FILE, not_negative};
use crate::block::DeviceOrPath;
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::pieces::{Piece, next_data};
use crate::transfer::{FileIn, FileOut};
use crate::window::SECTOR;

pub(crate) fn upload(cx: &mut Ctx, input: &mut FileIn<'_>, dest: &DeviceOrPath) -> Result<()> {
    let file = open_to_write(cx, dest, OFlags::TRUNC)?;
    // A new file has zeroes wherever nothing is written.
    let make_hole: fn(&File, u64, u64) -> io::Result<()> = match dest {
        DeviceOrPath::Path(_) => |_, _, _| Ok(()),
        DeviceOrPath::Device(_) => make_zero,
    };
    receive(input, file, 0, make_hole).about(dest)
}

pub(crate) fn upload_offset(
    cx: &mut Ctx,
    input: &mut FileIn<'_>,
    dest: &DeviceOrPath,
    offset: i64,
) -> Result<()> {
    let offset = not_negative("offset", offset)?;
    receive(input, open_to_write(cx, dest, OFlags::empty())?, offset, make_zero).about(dest)
}

fn open_to_write(cx: &Ctx, dest: &DeviceOrPath, flags: OFlags) -> Result<File> {
    match dest {
        DeviceOrPath::Device(device) => device.open(OFlags::WRONLY),
        DeviceOrPath::Path(path) => {
            cx.open_regular(path, OFlags::WRONLY | OFlags::CREATE | flags, NEW_FILE)
        }
    }
}

/// Writes what comes from `start` on.  The transfer itself reports the progress: only the library
/// knows how much will come.
fn receive(
    input: &mut FileIn<'_>,
    file: File,
    start: u64,
    make_hole: fn(&File, u64, u64) -> io::Result<()>,
) -> io::Result<()> {
    let file = Uncached::new(file, 0);
    let mut at = start;
    let mut written = start;
    input.forward(|piece| {
        match piece {
            Piece::Bytes(bytes) => {
                file.write(bytes, at)?;
                at += bytes.len() as u64;
                written = at;
            }
            Piece::Hole(length) => {
                make_hole(&file.file, at, length)?;
                at = at.saturating_add(length);
            }
        }
        Ok(())
    })?;
    let metadata = file.file.metadata()?;
    if at > written && metadata.is_file() && metadata.len() < at {
        file.file.set_len(at)?;
    }
    Ok(())
}

/// Makes zeroes of what is there.
fn make_zero(file: &File, start: u64, length: u64) -> io::Result<()> {
    static ZEROES: [u8; BLOCK] = [0; BLOCK];
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, start, length) {
        Ok(()) => return Ok(()),
        Err(Errno::OPNOTSUPP | Errno::INVAL) => {}
        Err(errno) => return Err(errno.into()),
    }
    let end = start.saturating_add(length);
    for at in (start..end).step_by(BLOCK) {
        file.write_all_at(&ZEROES[..(end - at).min(BLOCK as u64) as usize], at)?;
    }
    Ok(())
}

pub(crate) fn download(cx: &mut Ctx, src: &DeviceOrPath, out: &mut FileOut<'_>) -> Result<()> {
    let (mut file, length) = open_to_read(cx, src)?;
    if length == 0 {
        // Those of the kernel say so, and have content nevertheless.
        return io::copy(&mut file, out).map(drop).about(src);
    }
    send(cx, file, 0, length, out).about(src)
}

pub(crate) fn download_offset(
    cx: &mut Ctx,
    src: &DeviceOrPath,
    out: &mut FileOut<'_>,
    offset: i64,
    size: i64,
) -> Result<()> {
    let (offset, size) = (not_negative("offset", offset)?, not_negative("size", size)?);
    let (file, length) = open_to_read(cx, src)?;
    // Neither number is above i64::MAX, so their sum fits.
    let end = offset + size;
    if end > length {
        return Err(too_short(src, length, offset, size));
    }
    send(cx, file, offset, end, out).about(src)
}

pub(crate) fn too_short(src: &DeviceOrPath, length: u64, offset: u64, size: u64) -> Error {
    let why = format!("{length} bytes do not reach to offset {offset} + size {size}");
    Error::invalid(src, why)
}

/// The file, at its beginning, and its length.
pub(crate) fn open_to_read(cx: &Ctx, src: &DeviceOrPath) -> Result<(File, u64)> {
    let mut file = match src {
        DeviceOrPath::Device(device) => device.open(OFlags::RDONLY)?,
        DeviceOrPath::Path(path) => cx.open_regular(path, OFlags::RDONLY, Mode::empty())?,
    };
    // Devices have no length but an end.
    let length = file.seek(SeekFrom::End(0)).about(src)?;
    file.rewind().about(src)?;
    Ok((file, length))
}

/// Sends what is from `start` up to `end`, holes as such.
fn send(cx: &Ctx, file: File, start: u64, end: u64, out: &mut FileOut<'_>) -> io::Result<()> {
    let file = Uncached::new(file, end - start);
    let mut at = start;
    while at < end {
        let (data, data_end) = next_data(&file.file, at, end)?;
        if data > at {
            out.hole(data - at)?;
            at = data;
        }
        if data == data_end {
            break;
        }
        while at < data_end {
            let n = out.fill(|room| file.read(room, at, data_end - at))?;
            if n == 0 {
                return Ok(());
            }
            at += n as u64;
            cx.progress(at - start, end - start);
        }
    }
    Ok(())
}

/// A file that is read past the page cache, if its filesystem can do that: a long one would only
/// push everything else out of it, and be copied once more.
struct Uncached {
    file: File,
    direct: Cell<bool>,
}

impl Uncached {
    fn new(file: File, length: u64) -> Self {
        let it = Self { file, direct: Cell::new(false) };
        if length >= SHOWN_MIN as u64 {
            it.set(true);
        }
        it
    }

    fn set(&self, direct: bool) {
        let done = fcntl_getfl(&self.file).and_then(|flags| {
            let mut flags = flags;
            flags.set(OFlags::DIRECT, direct);
            fcntl_setfl(&self.file, flags)
        });
        self.direct.set(direct && done.is_ok());
    }

    /// Writes all of the bytes.  The last of a file go through the page cache, as they end
    /// anywhere; so does what is short, as it came in chunks.
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let direct = bytes.len().is_multiple_of(SECTOR) && bytes.len() >= SHOWN_MIN;
        if direct != self.direct.get() {
            self.set(direct);
        }
        match self.file.write_all_at(bytes, at) {
            Err(err) if self.is_refused(&err) => {
                self.set(false);
                self.file.write_all_at(bytes, at)
            }
            result => result,
        }
    }

    /// Not there, or not with that memory.
    fn is_refused(&self, err: &io::Error) -> bool {
        self.direct.get() && err.raw_os_error() == Some(Errno::INVAL.raw_os_error())
    }

    /// Reads at most `rest` bytes.
    fn read(&self, room: &mut [u8], at: u64, rest: u64) -> io::Result<usize> {
        let wanted = room.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        loop {
            let whole = match self.direct.get() {
                true => wanted.next_multiple_of(SECTOR).min(room.len()),
                false => wanted,
            };
            match self.file.read_at(&mut room[..whole], at) {
                Ok(n) => return Ok(n.min(wanted)),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) if self.is_refused(&err) => self.set(false),
                Err(err) => return Err(err),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, guest, path};
    use super::*;

    #[test]
    fn what_can_be_read() {
        let (_dir, cx) = &mut guest();
        let length = |name| open_to_read(cx, &DeviceOrPath::Path(path(name))).map(|it| it.1);
        check(length("/abc"), "4");
        check(length("/fifo"), "/fifo: not a regular file [Some(22)]");
    }

    #[test]
    fn any_part_of_a_file() {
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..3 * SECTOR as u32 + 7).map(|n| (n / 256) as u8).collect();
        file.write_all_at(&content, 0).unwrap();
        let file = Uncached::new(file, u64::MAX);
        let mut room = vec![0; 4 * SECTOR];
        for (at, rest) in [(0, 5), (0, u64::MAX), (1, 10), (SECTOR as u64, 10), (1 << 40, 10)] {
            let n = file.read(&mut room, at, rest).unwrap();
            let expected: Vec<u8> = content
                .iter()
                .copied()
                .skip(at as usize)
                .take(rest.min(1 << 20) as usize)
                .collect();
            assert_eq!(room[..n], expected, "{rest} bytes from {at}");
        }
    }

    #[test]
    fn zeroes_in_place_of_bytes() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 3 * SECTOR], 0).unwrap();
        make_zero(&file, 5, 2 * SECTOR as u64).unwrap();
        let mut content = vec![1; 3 * SECTOR];
        file.read_exact_at(&mut content, 0).unwrap();
        assert!((0..3 * SECTOR).all(|n| content[n] == u8::from(!(5..2 * SECTOR + 5).contains(&n))));
    }
}
