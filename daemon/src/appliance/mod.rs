// SPDX-License-Identifier: LGPL-2.1-or-later
//! The appliance itself: whether it lives, what it can do, and its end.

mod kmsg;

use std::time::Duration;

use bstr::{BStr, BString, ByteSlice, join};
use guestfs_protocol::Utsname;
use rustix::fs::Mode;

use crate::ctx::Ctx;
use crate::error::{Errno, Error, Result};
use crate::tool::{self, Tool};
use crate::transfer::FileIn;
use crate::{features, file, mount, swap, system};

pub(crate) use crate::resume::internal_resume;

/// Answers of `internal_feature_available`.
const AVAILABLE: i32 = 0;
const UNAVAILABLE: i32 = 1;
const UNKNOWN: i32 = 2;

pub(crate) fn ping_daemon(_: &mut Ctx) -> Result<()> {
    Ok(())
}

pub(crate) fn internal_window(cx: &mut Ctx, slots: i32, slotsize: i32) -> Result<()> {
    cx.open_window(slots, slotsize)
}

pub(crate) fn sync(cx: &mut Ctx) -> Result<()> {
    mount::sync_all(cx)
}

pub(crate) fn internal_autosync(cx: &mut Ctx) -> Result<()> {
    cx.handles().close();
    swap::off_files(cx)?;
    mount::umount_all(cx)?;
    rustix::fs::sync();
    Ok(())
}

pub(crate) fn internal_exit(cx: &mut Ctx) -> Result<()> {
    cx.exit();
    Ok(())
}

pub(crate) fn available_all_groups(_: &mut Ctx) -> Result<Vec<BString>> {
    Ok(features::names().map(Into::into).collect())
}

pub(crate) fn internal_feature_available(cx: &mut Ctx, group: &BStr) -> Result<i32> {
    Ok(match features::known(group) {
        None => UNKNOWN,
        Some(name) if cx.has_feature(name) => AVAILABLE,
        Some(_) => UNAVAILABLE,
    })
}

pub(crate) fn umask(cx: &mut Ctx, mask: i32) -> Result<i32> {
    match u32::try_from(mask) {
        Ok(bits @ 0..=0o777) => Ok(cx.set_umask(Mode::from_raw_mode(bits)).as_raw_mode() as i32),
        _ => Err(Error::invalid("mask", format!("{mask:#o} is not from 0 to 0o777"))),
    }
}

pub(crate) fn get_umask(cx: &mut Ctx) -> Result<i32> {
    Ok(cx.umask().as_raw_mode() as i32)
}

pub(crate) fn dmesg(_: &mut Ctx) -> Result<BString> {
    kmsg::messages()
}

pub(crate) fn drop_caches(cx: &mut Ctx, whattodrop: i32) -> Result<()> {
    match whattodrop {
        0 => Ok(()),
        1..=3 => {
            mount::sync_all(cx)?;
            system::write("/proc/sys/vm/drop_caches", whattodrop.to_string().as_bytes())
        }
        _ => Err(Error::invalid("whattodrop", format!("{whattodrop} is not from 0 to 3"))),
    }
}

pub(crate) fn echo_daemon(_: &mut Ctx, words: &[BString]) -> Result<BString> {
    Ok(join(" ", words).into())
}

pub(crate) fn modprobe(_: &mut Ctx, modulename: &BStr) -> Result<()> {
    match Tool::new("modprobe").arg("--").arg_bytes(modulename).run() {
        Err(Error::Tool { stderr, .. }) if stderr.contains(" not found in ") => {
            Err(Error::refused(Errno::NOENT, modulename, "there is no such module"))
        }
        result => result,
    }
}

pub(crate) fn sleep(_: &mut Ctx, secs: i32) -> Result<()> {
    let secs =
        u64::try_from(secs).map_err(|_| Error::invalid("secs", format!("{secs} is negative")))?;
    std::thread::sleep(Duration::from_secs(secs));
    Ok(())
}

pub(crate) fn utsname(_: &mut Ctx) -> Result<Utsname> {
    let name = rustix::system::uname();
    Ok(Utsname {
        uts_sysname: name.sysname().to_bytes().into(),
        uts_release: name.release().to_bytes().into(),
        uts_version: name.version().to_bytes().into(),
        uts_machine: name.machine().to_bytes().into(),
    })
}

pub(crate) fn debug_upload(
    _: &mut Ctx,
    input: &mut FileIn<'_>,
    tmpname: &BStr,
    mode: i32,
) -> Result<()> {
    file::receive_here(input, &tmpname.to_path_lossy(), mode)
}

/// A command of `debug`: its name, its arguments, what it is for, and the code.
type Subcommand =
    (&'static str, &'static str, &'static str, fn(&Ctx, &[BString]) -> Result<BString>);

const SUBCOMMANDS: &[Subcommand] = &[
    ("binaries", "", "list the programs of the appliance", binaries),
    ("env", "", "print the environment of the daemon", env),
    ("fds", "", "list the open files of the daemon", fds),
    ("help", "", "list these commands", help),
    ("ll", "PATH...", "list files of the appliance, with details", ll),
    ("ls", "PATH...", "list files of the appliance", ls),
    ("progress", "SECONDS", "report progress for that long", progress),
    ("sh", "COMMAND...", "run a command in the appliance", sh),
];

pub(crate) fn debug(cx: &mut Ctx, subcmd: &BStr, extraargs: &[BString]) -> Result<BString> {
    match SUBCOMMANDS.iter().find(|(name, ..)| subcmd == name.as_bytes()) {
        Some((.., run)) => run(cx, extraargs),
        None => Err(Error::invalid("subcmd", format!("{subcmd} is none of those in help"))),
    }
}

fn help(_: &Ctx, _: &[BString]) -> Result<BString> {
    let line =
        |(name, args, what, _): &Subcommand| format!("{:<20} {what}\n", format!("{name} {args}"));
    Ok(SUBCOMMANDS.iter().map(line).collect::<String>().into())
}

fn sh(cx: &Ctx, args: &[BString]) -> Result<BString> {
    if args.is_empty() {
        return Err(Error::invalid("extraargs", "sh needs a command"));
    }
    // The kernel may have found the disks in another order.
    let command = cx.names().to_kernel_in_text(join(" ", args).as_bstr())?;
    Ok(Tool::new("sh").arg("-c").arg_bytes(&command).stdout()?.into())
}

fn ls(_: &Ctx, args: &[BString]) -> Result<BString> {
    list("-a", args)
}

fn ll(_: &Ctx, args: &[BString]) -> Result<BString> {
    list("-la", args)
}

fn list(flags: &str, args: &[BString]) -> Result<BString> {
    let tool = Tool::new("ls").args([flags, "--"]);
    let tool = args.iter().fold(tool, |tool, arg| tool.arg_bytes(arg));
    Ok(tool.stdout()?.into())
}

fn env(_: &Ctx, _: &[BString]) -> Result<BString> {
    let line = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        format!("{}={}\n", name.display(), value.display())
    };
    Ok(std::env::vars_os().map(line).collect::<String>().into())
}

fn fds(cx: &Ctx, _: &[BString]) -> Result<BString> {
    ll(cx, &["/proc/1/fd".into()])
}

fn binaries(_: &Ctx, _: &[BString]) -> Result<BString> {
    let mut lines = BString::default();
    for directory in tool::PATH.split(':') {
        for name in system::names(directory).unwrap_or_default() {
            lines.extend_from_slice(&join("", [directory.as_bytes(), b"/", &name, b"\n"]));
        }
    }
    Ok(lines)
}

/// For programs that want to test how they show progress.
fn progress(cx: &Ctx, args: &[BString]) -> Result<BString> {
    let seconds = match args {
        [seconds] => seconds.to_str().ok().and_then(|text| text.parse().ok()),
        _ => None,
    };
    let Some(seconds @ 1..=3600_u64) = seconds else {
        return Err(Error::invalid("extraargs", "progress needs a number of seconds"));
    };
    let total = seconds * 10;
    for position in 1..=total {
        std::thread::sleep(Duration::from_millis(100));
        cx.progress(position, total);
    }
    Ok("ok".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cx() -> (tempfile::TempDir, Ctx) {
        let dir = tempfile::tempdir().unwrap();
        let cx = Ctx::new(dir.path());
        (dir, cx)
    }

    #[test]
    fn debug_commands() {
        let (_dir, mut cx) = cx();
        let mut check = |subcmd: &str, args: &[&str], expected: &str| {
            let args: Vec<BString> = args.iter().copied().map(Into::into).collect();
            let got = match debug(&mut cx, subcmd.into(), &args) {
                Ok(text) => text.to_string(),
                Err(err) => format!("error: {err}"),
            };
            assert_eq!(got, expected);
        };
        check("sh", &["echo", "hello;", "echo", "there"], "hello\nthere\n");
        check("sh", &[], "error: extraargs: sh needs a command");
        check("nonsense", &[], "error: subcmd: nonsense is none of those in help");
        check("progress", &["x"], "error: extraargs: progress needs a number of seconds");
        assert!(SUBCOMMANDS.is_sorted_by_key(|(name, ..)| name));
    }

    #[test]
    fn feature_codes() {
        let (_dir, mut cx) = cx();
        let mut check = |group: &str, expected| {
            assert_eq!(internal_feature_available(&mut cx, group.into()).unwrap(), expected);
        };
        check("nonsense", UNKNOWN);
        check("realpath", AVAILABLE);
    }

    #[test]
    fn masks() {
        let (_dir, mut cx) = cx();
        let err = umask(&mut cx, 0o1000).unwrap_err();
        assert_eq!(err.to_string(), "mask: 0o1000 is not from 0 to 0o777");
        assert_eq!(get_umask(&mut cx).unwrap(), 0o22);
    }
}
