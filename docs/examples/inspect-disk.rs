// SPDX-License-Identifier: LGPL-2.1-or-later
//! Prints the filesystems of a disk image, and the name of the host where there is one.

use std::env;
use std::error::Error;

use guestfs::{AddDriveOptions, Handle};

fn main() -> Result<(), Box<dyn Error>> {
    let disk = env::args().nth(1).ok_or("usage: inspect-disk DISK")?;
    let g = Handle::create()?;
    g.add_drive(&disk, &AddDriveOptions { readonly: Some(true), ..Default::default() })?;
    g.launch()?;
    for (mountable, kind) in g.list_filesystems()? {
        println!("{mountable}: {kind}");
        if let Err(err) = g.mount_ro(&mountable, "/") {
            println!("  not mounted: {}", err.message());
            continue;
        }
        if g.exists("/etc/hostname")? {
            println!("  hostname: {}", g.cat("/etc/hostname")?.to_string().trim_end());
        }
        g.umount_all()?;
    }
    g.close()?;
    Ok(())
}
