// SPDX-License-Identifier: LGPL-2.1-or-later
//! tar archives of directories, read and made here: the program would have to be started, and it
//! looks up the whole path of each file.

mod attributes;
mod compressed;
mod exclude;
mod header;
mod pack;
mod pax;
mod place;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod unpack;

use bstr::{BStr, ByteSlice};
use rustix::fs::{OFlags, fstat};

use self::attributes::{Databases, Wanted};
use self::compressed::Method;
use self::exclude::Excludes;
use self::pack::Names;
use self::place::Place;
use crate::ctx::Ctx;
use crate::directory::database;
use crate::error::{About, Result};
use crate::generated::{TarInOptions, TarOutOptions};
use crate::path::GuestPath;
use crate::transfer::{FileIn, FileOut};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

pub(crate) fn tar_in(
    cx: &mut Ctx,
    input: &mut FileIn<'_>,
    directory: &GuestPath,
    options: TarInOptions,
) -> Result<()> {
    let TarInOptions { compress, xattrs, selinux, acls, keepdirlink } = options;
    let top = cx.open(directory, OFlags::PATH | OFlags::DIRECTORY)?;
    let method = Method::new(compress.as_ref().map(|it| it.as_bstr()))?;
    let wanted = wanted(xattrs, selinux, acls);
    let databases = match wanted.acls {
        true => Databases { passwd: database(cx, PASSWD), group: database(cx, GROUP) },
        false => Databases::default(),
    };
    let keep_links = keepdirlink == Some(true);
    let options = unpack::Options { wanted, keep_links, databases };
    let (root, stat) = (fstat(cx.root()?).about("/")?, fstat(&top).about(directory)?);
    let is_root = (root.st_dev, root.st_ino) == (stat.st_dev, stat.st_ino);
    method.read(input, |input| {
        unpack::unpack(input, Place::new(top, directory.clone(), is_root), &options)
    })
}

pub(crate) fn tar_out(
    cx: &mut Ctx,
    directory: &BStr,
    out: &mut FileOut<'_>,
    options: TarOutOptions,
) -> Result<()> {
    let TarOutOptions { compress, numericowner, excludes, xattrs, selinux, acls } = options;
    let directory = cx.guest_path("directory", &directory.to_owned())?;
    let start = cx.open(&directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let method = Method::new(compress.as_ref().map(|it| it.as_bstr()))?;
    let names = |file| match numericowner {
        Some(true) => Names::default(),
        _ => Names::new(&database(cx, file)),
    };
    let options = pack::Options {
        wanted: wanted(xattrs, selinux, acls),
        excludes: Excludes::new(excludes.unwrap_or_default()),
        users: names(PASSWD),
        groups: names(GROUP),
    };
    method.write(out, |out| pack::pack(start, &directory, &options, out))
}

fn wanted(xattrs: Option<bool>, selinux: Option<bool>, acls: Option<bool>) -> Wanted {
    let [xattrs, selinux, acls] = [xattrs, selinux, acls].map(|it| it == Some(true));
    Wanted { xattrs, selinux, acls }
}

// The names of old, for archives that are compressed.

pub(crate) fn tgz_in(cx: &mut Ctx, input: &mut FileIn<'_>, directory: &GuestPath) -> Result<()> {
    tar_in(cx, input, directory, compressed_in("gzip"))
}

pub(crate) fn tgz_out(cx: &mut Ctx, directory: &GuestPath, out: &mut FileOut<'_>) -> Result<()> {
    tar_out(cx, directory.as_bstr(), out, compressed_out("gzip"))
}

pub(crate) fn txz_in(cx: &mut Ctx, input: &mut FileIn<'_>, directory: &GuestPath) -> Result<()> {
    tar_in(cx, input, directory, compressed_in("xz"))
}

pub(crate) fn txz_out(cx: &mut Ctx, directory: &GuestPath, out: &mut FileOut<'_>) -> Result<()> {
    tar_out(cx, directory.as_bstr(), out, compressed_out("xz"))
}

fn compressed_in(compression: &str) -> TarInOptions {
    TarInOptions {
        compress: Some(compression.into()),
        xattrs: None,
        selinux: None,
        acls: None,
        keepdirlink: None,
    }
}

fn compressed_out(compression: &str) -> TarOutOptions {
    TarOutOptions {
        compress: Some(compression.into()),
        numericowner: None,
        excludes: None,
        xattrs: None,
        selinux: None,
        acls: None,
    }
}
