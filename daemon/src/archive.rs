// SPDX-License-Identifier: LGPL-2.1-or-later
//! Archives: those of directories are made and read by GNU tar, which knows the formats that are
//! out there.

mod base64;
mod cpio;
mod initrd;
mod squashfs;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::OFlags;

pub(crate) use self::base64::{base64_in, base64_out};
pub(crate) use self::cpio::cpio_out;
pub(crate) use self::initrd::{initrd_cat, initrd_list};
pub(crate) use self::squashfs::mksquashfs;
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::generated::{TarInOptions, TarOutOptions};
use crate::path::GuestPath;
use crate::tool::{self, Tool};
use crate::transfer::{FileIn, FileOut};
use crate::view::View;

/// How an archive may be compressed: the name, the option of tar, and the program that it runs.
/// Debian makes the name `lzma` when xz is configured, which nobody does in the appliance.
const COMPRESSIONS: &[(&str, &str, &str)] = &[
    ("compress", "--compress", "compress"),
    ("gzip", "--gzip", "gzip"),
    ("bzip2", "--bzip2", "bzip2"),
    ("xz", "--xz", "xz"),
    ("lzop", "--lzop", "lzop"),
    ("lzma", "--use-compress-program=xz --format=lzma", "xz"),
    ("zstd", "--zstd", "zstd"),
];

pub(crate) fn tar_in(
    cx: &mut Ctx,
    input: &mut FileIn<'_>,
    directory: &GuestPath,
    options: TarInOptions,
) -> Result<()> {
    cx.open(directory, OFlags::PATH | OFlags::DIRECTORY)?;
    // tar refuses names with `..` in them, and makes the links of the archive last of all, so what
    // could lead it out of the directory are links of the guest: the view sees to that.
    let tool = extract(&options)?.view(View::directory(cx, directory));
    tool.read_from(input)
}

fn extract(options: &TarInOptions) -> Result<Tool> {
    // Names of users are known to the guest, if to anybody, and numbers are right always.
    let mut tool = Tool::new("tar").args(["--extract", "--file=-", "--numeric-owner"]);
    tool = tool.args(["--same-owner", "--same-permissions"]);
    if let Some(name) = &options.compress {
        tool = tool.arg(compression(name.as_bstr())?);
    }
    if options.keepdirlink == Some(true) {
        tool = tool.arg("--keep-directory-symlink");
    }
    Ok(attributes(tool, options.xattrs, options.selinux, options.acls))
}

pub(crate) fn tar_out(
    cx: &mut Ctx,
    directory: &BStr,
    out: &mut FileOut<'_>,
    options: TarOutOptions,
) -> Result<()> {
    let directory = cx.guest_path("directory", &directory.to_owned())?;
    cx.open(&directory, OFlags::PATH | OFlags::DIRECTORY)?;
    create(&options)?.view(View::directory(cx, &directory)).write_to(out)
}

fn create(options: &TarOutOptions) -> Result<Tool> {
    let mut tool = Tool::new("tar").args(["--create", "--file=-"]);
    if let Some(name) = &options.compress {
        tool = tool.arg(compression(name.as_bstr())?);
    }
    if options.numericowner == Some(true) {
        tool = tool.arg("--numeric-owner");
    }
    for pattern in options.excludes.iter().flatten() {
        // One argument, so that a pattern is never taken for an option.
        let mut exclude = BString::from("--exclude=");
        exclude.extend_from_slice(pattern);
        tool = tool.arg_bytes(&exclude);
    }
    let tool = attributes(tool, options.xattrs, options.selinux, options.acls);
    Ok(tool.args(["--", "."]))
}

// The names of old, for archives that are compressed.

pub(crate) fn tgz_in(cx: &mut Ctx, input: &mut FileIn<'_>, directory: &GuestPath) -> Result<()> {
    unpack(cx, input, directory, "gzip")
}

pub(crate) fn tgz_out(cx: &mut Ctx, directory: &GuestPath, out: &mut FileOut<'_>) -> Result<()> {
    pack(cx, directory, out, "gzip")
}

pub(crate) fn txz_in(cx: &mut Ctx, input: &mut FileIn<'_>, directory: &GuestPath) -> Result<()> {
    unpack(cx, input, directory, "xz")
}

pub(crate) fn txz_out(cx: &mut Ctx, directory: &GuestPath, out: &mut FileOut<'_>) -> Result<()> {
    pack(cx, directory, out, "xz")
}

fn unpack(
    cx: &mut Ctx,
    input: &mut FileIn<'_>,
    directory: &GuestPath,
    compression: &str,
) -> Result<()> {
    let options = TarInOptions {
        compress: Some(compression.into()),
        xattrs: None,
        selinux: None,
        acls: None,
        keepdirlink: None,
    };
    tar_in(cx, input, directory, options)
}

fn pack(
    cx: &mut Ctx,
    directory: &GuestPath,
    out: &mut FileOut<'_>,
    compression: &str,
) -> Result<()> {
    let options = TarOutOptions {
        compress: Some(compression.into()),
        numericowner: None,
        excludes: None,
        xattrs: None,
        selinux: None,
        acls: None,
    };
    tar_out(cx, directory.as_bstr(), out, options)
}

/// The option for tar, if the appliance has the program.
fn compression(name: &BStr) -> Result<&'static str> {
    let Some((_, option, program)) = COMPRESSIONS.iter().find(|(known, ..)| name == *known) else {
        let known: Vec<_> = COMPRESSIONS.iter().map(|(known, ..)| *known).collect();
        let why = format!("{name:?} is not one of {}", known.join(", "));
        return Err(Error::invalid("compress", why));
    };
    match tool::exists(program) {
        true => Ok(option),
        false => Err(Error::unsupported(program)),
    }
}

fn attributes(tool: Tool, xattrs: Option<bool>, selinux: Option<bool>, acls: Option<bool>) -> Tool {
    let wanted = [
        // All of them, where tar alone would take those of users only.
        (xattrs, &["--xattrs", "--xattrs-include=*"] as &[_]),
        (selinux, &["--selinux"]),
        (acls, &["--acls"]),
    ];
    let wanted = wanted.iter().filter(|(wanted, _)| *wanted == Some(true));
    wanted.fold(tool, |tool, (_, args)| tool.args(*args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tool: Result<Tool>, expected: &str) {
        let got = match tool {
            Ok(tool) => tool.to_string(),
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(got, expected);
    }

    fn input() -> TarInOptions {
        TarInOptions { compress: None, xattrs: None, selinux: None, acls: None, keepdirlink: None }
    }

    fn output() -> TarOutOptions {
        TarOutOptions {
            compress: None,
            numericowner: None,
            excludes: None,
            xattrs: None,
            selinux: None,
            acls: None,
        }
    }

    #[test]
    fn command_lines() {
        let extract_all = "tar --extract --file=- --numeric-owner --same-owner --same-permissions";
        check(extract(&input()), extract_all);
        let options = TarInOptions {
            compress: Some("gzip".into()),
            acls: Some(true),
            xattrs: Some(false),
            keepdirlink: Some(true),
            ..input()
        };
        check(extract(&options), &format!("{extract_all} --gzip --keep-directory-symlink --acls"));
        check(create(&output()), "tar --create --file=- -- .");
        let options = TarOutOptions {
            numericowner: Some(true),
            excludes: Some(vec!["*.o".into(), "--to-command=x".into()]),
            xattrs: Some(true),
            selinux: Some(true),
            ..output()
        };
        check(
            create(&options),
            "tar --create --file=- --numeric-owner --exclude=*.o --exclude=--to-command=x \
             --xattrs --xattrs-include=* --selinux -- .",
        );
        check(
            extract(&TarInOptions { compress: Some("rar".into()), ..input() }),
            "error: compress: \"rar\" is not one of compress, gzip, bzip2, xz, lzop, lzma, zstd",
        );
    }
}
