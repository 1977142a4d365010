// SPDX-License-Identifier: LGPL-2.1-or-later
//! cpio archives of directories, by the program of that name, which is told what to pack.

use std::io::{BufWriter, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::thread;

use bstr::{BStr, ByteSlice};
use rustix::fs::{AtFlags, FileType, OFlags, statat};

use crate::ctx::Ctx;
use crate::directory::walk::walk;
use crate::error::{About, Errno, Error, Result};
use crate::generated::CpioOutOptions;
use crate::path::GuestPath;
use crate::tool::Tool;
use crate::transfer::FileOut;
use crate::view::View;

pub(crate) fn cpio_out(
    cx: &mut Ctx,
    directory: &BStr,
    out: &mut FileOut<'_>,
    options: CpioOutOptions,
) -> Result<()> {
    let format = match options.format.as_ref().map(|it| it.as_bytes()) {
        None | Some(b"newc") => "--format=newc",
        Some(b"crc") => "--format=crc",
        Some(other) => {
            let why = format!("{:?} is neither newc nor crc", other.as_bstr());
            return Err(Error::invalid("format", why));
        }
    };
    let directory = cx.guest_path("directory", &directory.to_owned())?;
    let start = cx.open(&directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let tool = Tool::new("cpio").args(["--create", "--null", "--quiet", format]);
    let tool = tool.view(View::directory(cx, &directory));
    // The names are made while the program reads them: there may be any number.
    let (mut names, to) = std::io::pipe().about("pipe")?;
    thread::scope(|scope| {
        let lister = scope.spawn(|| list(start, &directory, to));
        let packed = tool.filter(&mut names, out);
        // If the program has failed nobody wants the rest.
        drop(names);
        let listed = match lister.join() {
            Ok(listed) => listed,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        packed.and(listed)
    })
}

/// The program would go on as if nothing were wrong.
fn check_size(size: i64, at: &GuestPath, path: &BStr) -> Result<()> {
    match u32::try_from(size) {
        Ok(_) => Ok(()),
        Err(_) => {
            let why = format!("{size} bytes are too many for this format");
            Err(Error::refused(Errno::FBIG, at.join(path), why))
        }
    }
}

/// Writes the names of all that is in a directory, and of itself, each with a NUL behind it.
fn list(start: OwnedFd, at: &GuestPath, to: PipeWriter) -> Result<()> {
    let mut to = BufWriter::new(to);
    to.write_all(b".\0").about("list of names")?;
    walk(start, at, |entry| {
        let path = entry.path();
        if entry.kind == FileType::RegularFile {
            let stat = statat(entry.directory, entry.name, AtFlags::SYMLINK_NOFOLLOW);
            check_size(stat.about(at.join(&path))?.st_size, at, path.as_bstr())?;
        }
        to.write_all(&path).and_then(|()| to.write_all(b"\0")).about("list of names")
    })?;
    to.flush().about("list of names")
}
