// SPDX-License-Identifier: LGPL-2.1-or-later
//! Programs of the guest.

mod interpreter;

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::FileType;

use crate::ctx::Ctx;
use crate::error::{Errno, Error, Result};
use crate::path::GuestPath;
use crate::tool::{PATH, Tool};
use crate::transfer::FileOut;
use crate::view::View;

pub(crate) fn command(cx: &mut Ctx, arguments: &[BString]) -> Result<BString> {
    let (program, tool) = prepare(cx, arguments)?;
    tool.stdout().map(BString::from).map_err(|err| explain(cx, &program, err))
}

pub(crate) fn command_out(
    cx: &mut Ctx,
    arguments: &[BString],
    out: &mut FileOut<'_>,
) -> Result<()> {
    let (program, tool) = prepare(cx, arguments)?;
    tool.write_to(out).map_err(|err| explain(cx, &program, err))
}

pub(crate) fn command_lines(cx: &mut Ctx, arguments: &[BString]) -> Result<Vec<BString>> {
    Ok(lines(command(cx, arguments)?.as_bstr()))
}

pub(crate) fn sh(cx: &mut Ctx, script: &BStr) -> Result<BString> {
    command(cx, &["/bin/sh".into(), "-c".into(), script.into()])
}

pub(crate) fn sh_lines(cx: &mut Ctx, script: &BStr) -> Result<Vec<BString>> {
    Ok(lines(sh(cx, script)?.as_bstr()))
}

pub(crate) fn sh_out(cx: &mut Ctx, script: &BStr, out: &mut FileOut<'_>) -> Result<()> {
    command_out(cx, &["/bin/sh".into(), "-c".into(), script.into()], out)
}

/// The program, and how it is to be run.
fn prepare(cx: &Ctx, arguments: &[BString]) -> Result<(BString, Tool)> {
    let (name, arguments) = match arguments {
        [name, arguments @ ..] if !name.is_empty() => (name.as_bstr(), arguments),
        _ => return Err(Error::invalid("arguments", "no program is named")),
    };
    let program = find(cx, name)?;
    let tool = Tool::new(program.to_os_str_lossy()).view(View::guest(cx));
    let tool = arguments.iter().fold(tool, |tool, argument| tool.arg_bytes(argument));
    Ok((program, tool))
}

/// Says why something cannot be run where the kernel's reason does not, and how it ended.
fn explain(cx: &mut Ctx, program: &BString, err: Error) -> Error {
    match err {
        Error::Sys { errno: Errno::NOEXEC, .. } => {
            interpreter::not_executable(cx, program.as_bstr())
        }
        Error::Sys { errno: Errno::NOENT, .. } => interpreter::missing(cx, program.as_bstr()),
        // Programs that are run by their users may mean something by their status.
        Error::Tool { program, status, stderr } => {
            let stderr = match stderr.trim() {
                "" => stderr,
                words => format!("{status}: {words}"),
            };
            Error::Tool { program, status, stderr }
        }
        err => err,
    }
}

/// The path of a program that is called by its name.  Left to the C library, this would run a
/// file which is no program by the shell.
fn find(cx: &Ctx, name: &BStr) -> Result<BString> {
    if name.contains(&b'/') {
        return Ok(name.into());
    }
    for directory in PATH.split(':') {
        let path = GuestPath::new("arguments", directory.as_bytes())?.join(name);
        let is_program = cx.stat(&path).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && stat.st_mode & 0o111 != 0
        });
        if is_program {
            return Ok(path.as_bstr().into());
        }
    }
    Err(Error::sys(name, Errno::NOENT))
}

fn lines(output: &BStr) -> Vec<BString> {
    let output = output
        .strip_suffix(b"\n")
        .map_or_else(|| (!output.is_empty()).then_some(output.as_bytes()), Some);
    output.map_or_else(Vec::new, |text| {
        text.split(|&byte| byte == b'\n').map(BString::from).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(output: &str, expected: &[&str]) {
        assert_eq!(lines(output.into()), expected);
    }

    #[test]
    fn splitting_into_lines() {
        check("", &[]);
        check("\n", &[""]);
        check("a", &["a"]);
        check("a\nb", &["a", "b"]);
        check("a\n\nb\n", &["a", "", "b"]);
        check("a\n\n", &["a", ""]);
    }

    #[test]
    fn programs_that_cannot_be() {
        let dir = tempfile::tempdir().unwrap();
        let mut cx = Ctx::new(dir.path());
        let mut fails = |arguments: &[&str], expected: &str| {
            let arguments: Vec<BString> = arguments.iter().map(|&it| it.into()).collect();
            assert_eq!(command(&mut cx, &arguments).unwrap_err().to_string(), expected);
        };
        fails(&[], "arguments: no program is named");
        fails(&["", "x"], "arguments: no program is named");
        fails(&["missing"], "missing: No such file or directory");
    }
}
