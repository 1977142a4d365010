// SPDX-License-Identifier: LGPL-2.1-or-later
//! A program that uses the library, for tests that need one in a process of its own.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

use guestfs::{AddDriveOptions, Events, Handle};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};

use crate::descriptors::descriptors;

#[path = "../descriptors.rs"]
mod descriptors;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["add", disk] => add(disk),
        ["launch", ref drives @ ..] => launch(drives),
        ["write-and-read"] => write_and_read(),
        ["wait"] => wait(),
        ["descriptors", cycles] => cycle(cycles.parse()?),
        ["transfer", memsize, size, source, sink] => {
            transfer(memsize.parse()?, size.parse()?, source.as_ref(), sink.as_ref())
        }
        _ => Err(format!("no such scene: {args:?}").into()),
    }
}

/// Says whether this user may have the disk.
fn add(disk: &str) -> Done {
    match Handle::create()?.add_drive(disk, &Default::default()) {
        Ok(()) => println!("added"),
        Err(err) => println!("{err}"),
    }
    Ok(())
}

/// Launches with these drives, `scratch`, `FORMAT:FILE`, `ro:FILE` or `gone:FILE`, and prints
/// `launched` or the error.  A failure leaves nothing in this process.
fn launch(drives: &[&str]) -> Done {
    let g = Handle::create()?;
    let result = drives.iter().try_for_each(|drive| {
        let (kind, file) = drive.split_once(':').unwrap_or((drive, ""));
        let format = |it: &str| AddDriveOptions { format: Some(it.into()), ..Default::default() };
        match kind {
            "scratch" => g.add_drive_scratch(64 << 20, &Default::default()),
            "ro" => g.add_drive_ro(file),
            "gone" => g.add_drive(file, &format("raw")).inspect(|()| {
                let _ = fs::remove_file(file);
            }),
            format_of_it => g.add_drive(file, &format(format_of_it)),
        }
    });
    let before = descriptors()?;
    match result.and_then(|()| g.launch()) {
        Ok(()) => {
            g.ping_daemon()?;
            g.shutdown()?;
            println!("launched");
        }
        Err(err) => {
            println!("{err}");
            assert!(g.is_config()?, "the handle cannot be launched again");
            assert_eq!(descriptors()?, before, "descriptors are left");
        }
    }
    let children = waitpid(None, Some(WaitPidFlag::WNOHANG));
    assert_eq!(children, Err(Errno::ECHILD), "a child is left");
    Ok(())
}

/// What everybody does, from the first call to the last.
fn write_and_read() -> Done {
    let g = Handle::create()?;
    g.add_drive_scratch(64 << 20, &Default::default())?;
    g.launch()?;
    g.part_disk("/dev/sda", "mbr")?;
    g.mkfs("ext4", "/dev/sda1", &Default::default())?;
    g.mount("/dev/sda1", "/")?;
    g.write("/file", b"content")?;
    println!("{}", g.cat("/file")?);
    g.close()?;
    Ok(())
}

/// A call that never ends: its source is this program's standard input.
fn wait() -> Done {
    let g = Handle::create()?;
    g.add_drive_scratch(64 << 20, &Default::default())?;
    g.launch()?;
    println!("{}", g.get_pid()?);
    std::io::stdout().flush()?;
    g.upload("/dev/stdin", "/dev/sda")?;
    Ok(())
}

/// Prints the descriptors that are open before the first session and after the last.
fn cycle(cycles: usize) -> Done {
    let before = descriptors()?;
    for _ in 0..cycles {
        let g = Handle::create()?;
        g.set_event_callback(Events::ALL, |_, _, _, _| {});
        g.add_drive_scratch(1 << 20, &Default::default())?;
        g.launch()?;
        g.ping_daemon()?;
        g.close()?;
    }
    println!("before: {before:?}");
    println!("after:  {:?}", descriptors()?);
    Ok(())
}

/// Sends a file and fetches it; prints by how many KiB that has made this process grow.
fn transfer(memsize: i32, size: i64, source: &Path, sink: &Path) -> Done {
    let g = Handle::create()?;
    g.set_memsize(memsize)?;
    g.add_drive_scratch(size, &Default::default())?;
    g.launch()?;
    g.mkfs("ext4", "/dev/sda", &Default::default())?;
    g.mount("/dev/sda", "/")?;
    let before = peak()?;
    g.upload(source, "/file")?;
    println!("sent {}", g.filesize("/file")?);
    std::io::stdout().flush()?;
    g.download("/file", sink)?;
    println!("grown by {} KiB", peak()? - before);
    g.close()?;
    Ok(())
}

/// The most memory this process has ever had, in KiB.
fn peak() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
