// SPDX-License-Identifier: LGPL-2.1-or-later
//! The window: a disk of the appliance whose content is memory that the library has, too.
//!
//! Written past the page cache, bytes are at once where the library can read them, and the other
//! way round.  That costs a request to a disk for a slot of the window, where the channel would
//! cost one for every few KiB.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use guestfs_protocol::wire::WINDOW_SERIAL;
use rustix::fs::OFlags;

use crate::error::{About, Errno, Error, Result};
use crate::system;

/// Requests that go past the page cache start and end at multiples of it, and so does the memory
/// they are made from.  No disk has larger sectors.
pub(crate) const SECTOR: usize = 4096;

/// More memory than that is not spent on a transfer.
const SLOT_MAX: usize = 16 << 20;

/// The disk, which the caller never gets to see.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    /// Number of the device.
    pub(crate) number: u64,
}

impl Disk {
    /// Looks for it.  An appliance that was started by somebody else has none.
    pub(crate) fn find() -> Result<Option<Self>> {
        for name in system::names("/sys/block")? {
            let serial = format!("/sys/block/{name}/serial");
            if name.starts_with(b"vd") && system::read_line(&serial)? == WINDOW_SERIAL {
                let path = PathBuf::from(format!("/dev/{name}"));
                let number = rustix::fs::stat(&path).about(path.display())?.st_rdev;
                return Ok(Some(Self { path, number }));
            }
        }
        Ok(None)
    }

    /// Opens it, divided as the library says.
    pub(crate) fn open(&self, n_slots: i32, slot_size: i32) -> Result<Window> {
        let file = system::open(&self.path, OFlags::RDWR | OFlags::DIRECT);
        Window::new(file.about(self.path.display())?, n_slots, slot_size)
    }
}

/// The window, open.
#[derive(Debug)]
pub(crate) struct Window {
    file: File,
    n_slots: u32,
    slot_size: usize,
    /// Memory of the last transfer: when it is used again, the kernel need not find any.
    spare: RefCell<Option<Buffer>>,
}

impl Window {
    /// On a file that has room for all the slots.
    pub(crate) fn new(mut file: File, n_slots: i32, slot_size: i32) -> Result<Self> {
        let wrong = |arg, value: i32, why| Err(Error::invalid(arg, format!("{value} {why}")));
        let n_slots = match u32::try_from(n_slots) {
            Ok(n) if n > 0 => n,
            _ => return wrong("slots", n_slots, "is none"),
        };
        let slot_size = match usize::try_from(slot_size) {
            Ok(n) if n > 0 && n <= SLOT_MAX && n.is_multiple_of(SECTOR) => n,
            _ => return wrong("slotsize", slot_size, "is no size of a slot"),
        };
        let size = io::Seek::seek(&mut file, io::SeekFrom::End(0)).about("window")?;
        if size < u64::from(n_slots) * slot_size as u64 {
            let why = format!("{size} bytes have no room for {n_slots} slots of {slot_size}");
            return Err(Error::refused(Errno::NOSPC, "window", why));
        }
        Ok(Self { file, n_slots, slot_size, spare: RefCell::default() })
    }

    /// How many slots there are.
    pub(crate) fn n_slots(&self) -> u32 {
        self.n_slots
    }

    /// Memory for the content of one slot.
    pub(crate) fn buffer(&self) -> Buffer {
        self.spare.take().unwrap_or_else(|| Buffer::new(self.slot_size))
    }

    /// Keeps such memory for the next time.
    pub(crate) fn keep(&self, mut buffer: Buffer) {
        buffer.clear();
        self.spare.replace(Some(buffer));
    }

    /// Shows the content of the buffer in a slot.
    pub(crate) fn show(&self, slot: u32, buffer: &mut Buffer) -> Result<()> {
        let offset = self.offset(slot)?;
        let bytes = buffer.aligned(buffer.len);
        self.file.write_all_at(bytes, offset).about("window")
    }

    /// Fills the buffer with what the library shows.
    pub(crate) fn take(&self, slot: u32, length: u32, buffer: &mut Buffer) -> Result<()> {
        let offset = self.offset(slot)?;
        let length = length as usize;
        if length > self.slot_size {
            return Err(Error::Protocol(format!("{length} bytes in a slot of the window")));
        }
        self.file.read_exact_at(buffer.aligned(length), offset).about("window")?;
        buffer.len = length;
        Ok(())
    }

    fn offset(&self, slot: u32) -> Result<u64> {
        match slot < self.n_slots {
            true => Ok(u64::from(slot) * self.slot_size as u64),
            false => Err(Error::Protocol(format!("the window has no slot {slot}"))),
        }
    }
}

/// Memory that disks can be read into and written from past the page cache.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    /// Where it is aligned.
    start: usize,
    capacity: usize,
    len: usize,
}

impl Buffer {
    /// Of a size that is a multiple of a disk's sectors.
    pub(crate) fn new(capacity: usize) -> Self {
        let memory = vec![0; capacity + SECTOR];
        let start = memory.as_ptr().align_offset(SECTOR).min(SECTOR);
        Self { memory, start, capacity, len: 0 }
    }

    /// What is in it.
    pub(crate) fn content(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }

    /// The memory behind the content.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][self.len..self.capacity]
    }

    /// So much of the room is content now.
    pub(crate) fn extend(&mut self, n: usize) {
        self.len = (self.len + n).min(self.capacity);
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// The first bytes, and what is behind them in the same sector.
    fn aligned(&mut self, n: usize) -> &mut [u8] {
        &mut self.memory[self.start..][..n.next_multiple_of(SECTOR)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Result<Window> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 * 4096).unwrap();
        Window::new(file, 4, 8192)
    }

    #[test]
    fn what_is_shown_can_be_taken() {
        let window = window().unwrap();
        let mut shown = window.buffer();
        shown.room()[..5].copy_from_slice(b"hello");
        shown.extend(5);
        window.show(3, &mut shown).unwrap();
        let mut taken = window.buffer();
        window.take(3, 5, &mut taken).unwrap();
        assert_eq!(taken.content(), b"hello");
        assert_eq!(taken.room().len(), 8187);
        taken.clear();
        assert_eq!(taken.content(), b"");
        let err = window.show(4, &mut shown).unwrap_err();
        assert_eq!(err.to_string(), "the window has no slot 4");
        assert!(window.take(0, 8193, &mut taken).is_err());
    }

    #[test]
    fn windows_that_cannot_be() {
        for (n_slots, slot_size, expected) in [
            (0, 4096, "slots: 0 is none"),
            (1, 4095, "slotsize: 4095 is no size of a slot"),
            (1, 1 << 30, "slotsize: 1073741824 is no size of a slot"),
            (2, 4096, "window: 4096 bytes have no room for 2 slots of 4096"),
        ] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(4096).unwrap();
            let err = Window::new(file, n_slots, slot_size).unwrap_err();
            assert_eq!(err.to_string(), expected);
        }
    }
}
