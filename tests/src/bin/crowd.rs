// SPDX-License-Identifier: LGPL-2.1-or-later
//! A program that uses many appliances at the same moment, each with a disk of its own.
//!
//! `crowd ROUNDS DISK...`: the content of a disk begins with its name.  It is read in an appliance
//! which is launched together with the others, and answered by the name of the file written to
//! [`ANSWER`].  Any failure, and anything that is left when all is over, ends this program.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use guestfs::{AddDriveOptions, Handle};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};

use crate::descriptors::descriptors;

#[path = "../descriptors.rs"]
mod descriptors;

/// Where the answer is written.
const ANSWER: i64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let rounds: usize = args.next().ok_or("no number of rounds")?.parse()?;
    let disks: Vec<_> = args.collect();
    let before = descriptors()?;
    for _ in 0..rounds {
        let start = Barrier::new(disks.len());
        thread::scope(|scope| {
            let users = disks.iter().map(|disk| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    answer(disk.as_ref()).map_err(|why| format!("{disk}: {why}"))
                })
            });
            // All are started before any is waited for.
            let users: Vec<_> = users.collect();
            users.into_iter().try_for_each(|it| it.join().map_err(|_| "a panic")?)
        })?;
    }
    let after = descriptors()?;
    if before != after {
        return Err(format!("descriptors are left: {before:?} has become {after:?}").into());
    }
    let children = waitpid(None, Some(WaitPidFlag::WNOHANG));
    if children != Err(Errno::ECHILD) {
        return Err(format!("a child is left: {children:?}").into());
    }
    Ok(())
}

/// Reads the name, and writes it back elsewhere.
fn answer(disk: &Path) -> Result<(), Box<dyn Error>> {
    let name = disk.file_name().ok_or("no name")?.to_str().ok_or("no text")?;
    let copy = disk.with_extension("copy");
    let g = Handle::create()?;
    let raw = AddDriveOptions { format: Some("raw".into()), ..Default::default() };
    g.add_drive(disk.to_str().ok_or("no text")?, &raw)?;
    g.launch()?;
    let devices = g.list_devices()?;
    if devices != ["/dev/sda"] {
        return Err(format!("the disks are {devices:?}").into());
    }
    g.download_offset("/dev/sda", &copy, 0, i64::try_from(name.len())?)?;
    let content = fs::read_to_string(&copy)?;
    if content != name {
        return Err(format!("its content is that of {content}").into());
    }
    g.upload_offset(&copy, "/dev/sda", ANSWER)?;
    g.close()?;
    fs::remove_file(copy)?;
    Ok(())
}
