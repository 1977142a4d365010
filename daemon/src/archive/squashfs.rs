// SPDX-License-Identifier: LGPL-2.1-or-later
//! squashfs images of directories.

use std::fs::File;
use std::io::{self, Seek};

use bstr::BString;
use rustix::fs::{MemfdFlags, OFlags, memfd_create};

use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::generated::MksquashfsOptions;
use crate::path::GuestPath;
use crate::tool::{Tool, proc_path};
use crate::transfer::FileOut;
use crate::view::View;

/// What the program knows.
const COMPRESSIONS: [&str; 6] = ["gzip", "lzma", "lzo", "lz4", "xz", "zstd"];

pub(crate) fn mksquashfs(
    cx: &mut Ctx,
    path: &GuestPath,
    out: &mut FileOut<'_>,
    options: MksquashfsOptions,
) -> Result<()> {
    cx.open(path, OFlags::PATH | OFlags::DIRECTORY)?;
    // The program goes back to the beginning in the end, and has no use for a pipe.
    let image = memfd_create("squashfs", MemfdFlags::CLOEXEC).about("memory for the image")?;
    let mut image = File::from(image);
    let name = proc_path(&image);
    let tool = pack(name.as_os_str().as_encoded_bytes(), &options)?;
    tool.view(View::directory(cx, path)).run()?;
    image.rewind().about(path)?;
    io::copy(&mut image, out).map(drop).about(path)
}

fn pack(image: &[u8], options: &MksquashfsOptions) -> Result<Tool> {
    let tool = Tool::new("mksquashfs").arg(".").arg_bytes(image);
    let mut tool = tool.args(["-noappend", "-no-progress", "-quiet"]);
    if let Some(name) = &options.compress {
        if !COMPRESSIONS.iter().any(|known| name == *known) {
            let why = format!("{name:?} is not one of {}", COMPRESSIONS.join(", "));
            return Err(Error::invalid("compress", why));
        }
        tool = tool.arg("-comp").arg_bytes(name);
    }
    let excludes: &[BString] = options.excludes.as_deref().unwrap_or_default();
    if !excludes.is_empty() {
        // All that is behind -e is a pattern, whatever it looks like.
        tool = tool.args(["-wildcards", "-e"]);
        tool = excludes.iter().fold(tool, |tool, pattern| tool.arg_bytes(pattern));
    }
    Ok(tool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(compress: Option<&str>, excludes: &[&str], expected: &str) {
        let options = MksquashfsOptions {
            compress: compress.map(BString::from),
            excludes: (!excludes.is_empty())
                .then(|| excludes.iter().map(|&it| it.into()).collect()),
        };
        let got = pack(b"/i", &options).map_or_else(|err| err.to_string(), |it| it.to_string());
        assert_eq!(got, expected);
    }

    #[test]
    fn command_lines() {
        check(None, &[], "mksquashfs . /i -noappend -no-progress -quiet");
        check(
            Some("xz"),
            &["*.o", "-comp"],
            "mksquashfs . /i -noappend -no-progress -quiet -comp xz -wildcards -e *.o -comp",
        );
        check(Some("rar"), &[], "compress: \"rar\" is not one of gzip, lzma, lzo, lz4, xz, zstd");
    }
}
