// SPDX-License-Identifier: LGPL-2.1-or-later
//! What makes a clone of a template one of its own: its clock, its random numbers, its drives.

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::path::Path;

use bstr::BString;
use rustix::fs::OFlags;
use rustix::time::{ClockId, Timespec, clock_settime};

use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::uevent::Uevents;
use crate::{system, volumes};

const RANDOM: &str = "/dev/urandom";

/// `struct rand_pool_info` of linux/random.h with room for the bytes that the library sends.
#[repr(C)]
struct PoolInfo {
    entropy_bits: i32,
    size: i32,
    bytes: [u8; ENTROPY_MAX],
}

const ENTROPY_MAX: usize = 512;

/// As much as the generator's key; with less, clones would be told from each other by luck.
const ENTROPY_MIN: usize = 32;

/// The driver of the drives' controller, as the host calls it.
const CONTROLLER: &str = "virtio_scsi";

nix::ioctl_write_ptr!(add_entropy, b'R', 0x03, [i32; 2]);
nix::ioctl_none!(reseed, b'R', 0x07);

pub(crate) fn internal_resume(
    cx: &mut Ctx,
    seconds: i64,
    nanoseconds: i32,
    entropy: &[u8],
    ndrives: i32,
) -> Result<()> {
    let now = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    clock_settime(ClockId::Realtime, now).about("clock")?;
    mix_in(entropy)?;
    let wanted = usize::try_from(ndrives).unwrap_or(0);
    if wanted > 0 {
        find_drives(wanted)?;
        volumes::activate(cx);
    }
    Ok(())
}

/// Has the kernel use the bytes for every random number from now on.  Writing them to the device
/// would only stir them in at the next reseeding, minutes later.
#[expect(unsafe_code, reason = "no crate wraps the ioctls of the random device")]
fn mix_in(entropy: &[u8]) -> Result<()> {
    let n_bytes = entropy.len();
    if !(ENTROPY_MIN..=ENTROPY_MAX).contains(&n_bytes) {
        let why = format!("{n_bytes} bytes are not from {ENTROPY_MIN} to {ENTROPY_MAX}");
        return Err(Error::invalid("entropy", why));
    }
    let mut pool = PoolInfo {
        entropy_bits: 8 * n_bytes as i32,
        size: n_bytes as i32,
        bytes: [0; ENTROPY_MAX],
    };
    pool.bytes[..n_bytes].copy_from_slice(entropy);
    let device = system::open(RANDOM, OFlags::WRONLY).about(RANDOM)?;
    let fd = device.as_raw_fd();
    // SAFETY: the kernel reads the two numbers and then `size` bytes, all of which are in `pool`.
    unsafe { add_entropy(fd, (&raw const pool).cast()) }.about(RANDOM)?;
    // SAFETY: takes no argument.
    unsafe { reseed(fd) }.about(RANDOM)?;
    Ok(())
}

/// Makes the kernel look at the addresses of the drives, and waits until it has read their
/// partition tables: only then it announces them.
fn find_drives(wanted: usize) -> Result<()> {
    let mut uevents = Uevents::open()?;
    let mut announced: BTreeSet<BString> = BTreeSet::new();
    for host in system::names("/sys/class/scsi_host")? {
        let host = Path::new("/sys/class/scsi_host").join(host.to_string());
        if system::read_line(host.join("proc_name"))? != CONTROLLER {
            continue;
        }
        let scan = host.join("scan");
        for target in 0..wanted {
            system::write(&scan, format!("0 {target} 0").as_bytes())?;
        }
    }
    uevents.wait_for_disks(
        |disk| {
            announced.insert(disk.into());
            announced.len() >= wanted
        },
        &format_args!("{wanted} drives"),
    )
}
