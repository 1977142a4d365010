// SPDX-License-Identifier: LGPL-2.1-or-later
//! SELinux: labels of the guest's files, and the context of the daemon.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, unlinkat};

use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::generated::{SelinuxRelabelOptions, SetfilesOptions};
use crate::metadata::realpath;
use crate::path::GuestPath;
use crate::system;
use crate::tool::Tool;
use crate::view::View;

/// The context of the one thread that does all the work.
const CONTEXT: &str = "/proc/thread-self/attr/current";

/// Where the guest's specification is copied to.
const COPY: &str = "/run/setfiles";

/// What comes after the name of a specification in those of the files that belong to it.
const SUFFIXES: [&str; 5] = ["", ".homedirs", ".local", ".subs", ".subs_dist"];

/// Longer than any policy's.
const SPECIFICATION_MAX: u64 = 64 << 20;

pub(crate) fn getcon(_: &mut Ctx) -> Result<BString> {
    Ok(system::read(CONTEXT)?.trim_end_with(|c| matches!(c, '\0' | '\n')).into())
}

pub(crate) fn setcon(_: &mut Ctx, context: &BStr) -> Result<()> {
    match system::write(CONTEXT, context) {
        Err(Error::Sys { errno, .. }) => Err(Error::sys(context, errno)),
        result => result,
    }
}

pub(crate) fn selinux_relabel(
    cx: &mut Ctx,
    specfile: &BStr,
    path: &GuestPath,
    options: SelinuxRelabelOptions,
) -> Result<()> {
    relabel(cx, specfile, std::slice::from_ref(path), options.force == Some(true), &[])
}

pub(crate) fn setfiles(
    cx: &mut Ctx,
    specfile: &BStr,
    paths: &[GuestPath],
    options: SetfilesOptions,
) -> Result<()> {
    let force = options.force == Some(true);
    relabel(cx, specfile, paths, force, &options.excludes.unwrap_or_default())
}

fn relabel(
    cx: &mut Ctx,
    specfile: &BStr,
    paths: &[GuestPath],
    force: bool,
    excludes: &[BString],
) -> Result<()> {
    let specfile = GuestPath::new("specfile", specfile)?;
    let mut arguments: Vec<OsString> = Vec::new();
    for exclude in excludes {
        let place = place(cx, &GuestPath::new("excludes", exclude)?);
        match place {
            Ok(place) => arguments.extend(["-e".into(), place.into()]),
            // What is not there needs not be left out.
            Err(err) if err.errno() == Some(Errno::NOENT) => {}
            Err(err) => return Err(err),
        }
    }
    if force {
        arguments.push("-F".into());
    }
    let specification = Specification::copy(cx, &specfile)?;
    arguments.push(specification.path().into());
    for path in paths {
        cx.lstat(path)?;
        arguments.push(place(cx, path)?.into());
    }
    if paths.is_empty() {
        return Ok(());
    }
    let root = GuestPath::new("path", b"/")?;
    // Without -m it would leave out the filesystems on which the appliance's kernel uses no labels,
    // which are all of them.
    let tool = Tool::new("setfiles").arg("-m").arg("-r").arg(cx.sysroot()).args(arguments);
    match tool.view(View::directory(cx, &root)).run() {
        Err(Error::Tool { program, status, stderr }) => {
            let stderr = stderr.replace(&format!("{}", specification.path().display()), "");
            let stderr = stderr.replace(&*cx.sysroot().to_string_lossy(), "");
            Err(Error::Tool { program, status, stderr })
        }
        result => result,
    }
}

/// The path of a file beneath the daemon's root, without links on the way: the program would
/// follow them out of the guest.
fn place(cx: &mut Ctx, path: &GuestPath) -> Result<PathBuf> {
    let (parent, name) = path.split();
    let found = match name.as_bytes() {
        b"" | b"." | b".." => realpath(cx, path)?,
        name => GuestPath::new("path", &realpath(cx, &parent)?)?.join(name).as_bstr().into(),
    };
    let below = found.trim_start_with(|c| c == '/').to_path_lossy().into_owned();
    Ok(if below.as_os_str().is_empty() { cx.sysroot().into() } else { cx.sysroot().join(below) })
}

/// A copy of the files that say which labels there are.  The program also looks for a compiled
/// form beside them, and believes what is in there, so it does not get to see the guest's.
struct Specification(PathBuf);

impl Specification {
    fn copy(cx: &Ctx, specfile: &GuestPath) -> Result<Self> {
        mkdirat(CWD, COPY, Mode::RWXU).about(COPY)?;
        let copy = Self(COPY.into());
        for suffix in SUFFIXES {
            let path = [specfile.as_bstr().as_bytes(), suffix.as_bytes()].concat();
            let path = GuestPath::new("specfile", &path)?;
            let file = match cx.open_regular(&path, OFlags::RDONLY, Mode::empty()) {
                Err(err) if err.errno() == Some(Errno::NOENT) && !suffix.is_empty() => continue,
                file => file?,
            };
            let mut content = Vec::new();
            file.take(SPECIFICATION_MAX).read_to_end(&mut content).about(&path)?;
            system::write(format!("{}{suffix}", copy.path().display()), &content)?;
        }
        Ok(copy)
    }

    fn path(&self) -> PathBuf {
        self.0.join("file_contexts")
    }
}

impl Drop for Specification {
    fn drop(&mut self) {
        for suffix in SUFFIXES {
            // Most do not exist.
            let path = format!("{}{suffix}", self.path().display());
            let _ = unlinkat(CWD, path, AtFlags::empty());
        }
        let _ = unlinkat(CWD, &self.0, AtFlags::REMOVEDIR);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn places() {
        let root = tempfile::tempdir().unwrap();
        crate::system::make_directories(root.path().join("dir/sub"));
        symlink("/dir", root.path().join("link")).unwrap();
        symlink("../../../..", root.path().join("dir/up")).unwrap();
        let mut cx = Ctx::new(root.path());
        let mut check = |path: &str, expected: &str| {
            let path = GuestPath::new("path", path.as_bytes()).unwrap();
            let got = match place(&mut cx, &path) {
                Ok(place) => place.strip_prefix(root.path()).unwrap().display().to_string(),
                Err(err) => err.to_string(),
            };
            assert_eq!(got, expected);
        };
        check("/", "");
        check("/link", "link");
        check("/link/sub/", "dir/sub");
        check("/dir/up/../dir/new", "dir/new");
        check("/dir/sub/..", "dir");
        check("/missing/new", "/missing: No such file or directory");
    }
}
