// SPDX-License-Identifier: LGPL-2.1-or-later
//! The window: memory of this process that is a disk in the appliance.  What goes through it is
//! copied once by the kernel and once by qemu, and not, like what goes through the channel, a few
//! KiB at a time by an emulated processor.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::fcntl::{FallocateFlags, fallocate};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::launch::set_len;

/// How many parts can be on their way at once: enough for both sides to be busy.
pub(crate) const N_SLOTS: u32 = 8;

/// Larger ones are no faster.
pub(crate) const SLOT_SIZE: usize = 1 << 20;

/// Size of the disk.
pub(crate) const SIZE: u64 = N_SLOTS as u64 * SLOT_SIZE as u64;

/// The memory.
#[derive(Debug)]
pub(crate) struct Window(File);

impl Window {
    /// Empty memory takes no space.
    pub(crate) fn new() -> io::Result<Self> {
        let file = File::from(memfd_create("guestfs-window", MemfdFlags::CLOEXEC)?);
        set_len(&file, SIZE)?;
        Ok(Self(file))
    }

    /// To give to qemu.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// Shows the bytes in a slot.
    pub(crate) fn show(&self, slot: u32, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset(slot))
    }

    /// Takes what is shown in a slot.  The guest may change it at any moment, so it is looked at
    /// in a copy only.
    pub(crate) fn take(&self, slot: u32, bytes: &mut [u8]) -> io::Result<()> {
        if slot >= N_SLOTS || bytes.len() > SLOT_SIZE {
            let what = format!("{} bytes in slot {slot} of the window", bytes.len());
            return Err(io::Error::other(what));
        }
        self.0.read_exact_at(bytes, offset(slot))
    }

    /// Gives the memory back.
    pub(crate) fn clear(&self) {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        // Where that can't be done it stays as it is, to be used again.
        let _ = fallocate(&self.0, flags, 0, SIZE as i64);
    }
}

fn offset(slot: u32) -> u64 {
    u64::from(slot) * SLOT_SIZE as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots() {
        let window = Window::new().unwrap();
        window.show(N_SLOTS - 1, &[7; SLOT_SIZE]).unwrap();
        let mut taken = [0; 9];
        window.take(N_SLOTS - 1, &mut taken).unwrap();
        assert_eq!(taken, [7; 9]);
        assert!(window.take(N_SLOTS, &mut taken).is_err());
        assert!(window.take(0, &mut vec![0; SLOT_SIZE + 1]).is_err());
        window.clear();
        window.take(N_SLOTS - 1, &mut taken).unwrap();
        assert_eq!(taken, [0; 9]);
    }
}
