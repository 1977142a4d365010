// SPDX-License-Identifier: LGPL-2.1-or-later
//! Runs the host's programs, and says which package has the one that is missing.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail};

/// Programs of the host and the Debian packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("gzip", "gzip"),
    ("lz4", "lz4"),
    ("mkfs.erofs", "erofs-utils"),
    ("sha256sum", "coreutils"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];

/// A command that runs `program` of the host in the C locale without standard input.
pub(crate) fn command(program: &str) -> Command {
    // Those of /sbin are for everybody, but not in everybody's PATH.
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    let mut command = match env::split_paths(&path)
        .map(|it| it.join(program))
        .find(|it| !program.contains('/') && it.is_file())
    {
        Some(found) => Command::new(found),
        None => Command::new(program),
    };
    command.env("LC_ALL", "C").env("PATH", path).stdin(Stdio::null());
    command
}

/// Runs it to the end and returns what it printed.
pub(crate) fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().map_err(|err| cannot_start(command, err))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", name(command), output.status, stderr.trim());
    }
    Ok(output.stdout)
}

/// Runs a program that turns bytes into bytes.
pub(crate) fn filter(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|err| cannot_start(command, err))?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let mut output = Vec::new();
    let (fed, complaint) = thread::scope(|scope| {
        let feeder = scope.spawn(|| match stdin {
            Some(mut stdin) => io::Write::write_all(&mut stdin, input),
            None => Ok(()),
        });
        let listener = scope.spawn(|| text_of(stderr));
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_end(&mut output)?;
        }
        let fed = feeder.join().unwrap_or(Ok(()));
        io::Result::Ok((fed, listener.join().unwrap_or_default()))
    })?;
    let status = child.wait()?;
    if !status.success() {
        bail!("{}: {status}: {}", name(command), complaint.trim());
    }
    fed.with_context(|| name(command))?;
    Ok(output)
}

/// Runs `from | to`.
pub(crate) fn pipe(from: &mut Command, to: &mut Command) -> Result<()> {
    let mut source = from.stdout(Stdio::piped()).spawn().map_err(|err| cannot_start(from, err))?;
    let stdout = source.stdout.take().ok_or_else(|| anyhow!("{}: no output", name(from)))?;
    let sunk = run(to.stdin(stdout));
    let status = source.wait()?;
    sunk?;
    if !status.success() {
        bail!("{}: {status}", name(from));
    }
    Ok(())
}

/// The SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(file: &Path) -> Result<String> {
    let output = run(command("sha256sum").arg("--").arg(file))?;
    let text = String::from_utf8_lossy(&output);
    // A name with a backslash or line end makes sha256sum put a backslash in front.
    match text.trim_start_matches('\\').split_whitespace().next() {
        Some(sum) => Ok(sum.to_owned()),
        None => bail!("sha256sum: no output for {}", file.display()),
    }
}

fn text_of(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What was read before an error is still the best explanation there is.
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn name(command: &Command) -> String {
    let program: PathBuf = command.get_program().into();
    program.file_name().unwrap_or(OsStr::new("?")).to_string_lossy().into_owned()
}

fn cannot_start(command: &Command, err: io::Error) -> anyhow::Error {
    let name = name(command);
    match PROGRAMS.iter().find(|(program, _)| *program == name) {
        Some((_, package)) if err.kind() == ErrorKind::NotFound => {
            anyhow!("{name}: not found; it is in the Debian package {package}")
        }
        _ => anyhow!("{name}: {err}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(result: Result<impl AsRef<[u8]>>, expected: &str) {
        let text = match &result {
            Ok(it) => String::from_utf8_lossy(it.as_ref()).into_owned(),
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn programs_are_run_and_named() {
        check(run(command("echo").arg("abc")), "abc\n");
        check(
            run(command("sh").args(["-c", "echo no >&2; exit 3"])),
            "error: sh: exit status: 3: no",
        );
        check(
            run(&mut command("no-such-program")),
            "error: no-such-program: No such file or directory (os error 2)",
        );
        check(
            run(&mut command("/nowhere/mkfs.erofs")),
            "error: mkfs.erofs: not found; it is in the Debian package erofs-utils",
        );
    }

    #[test]
    fn more_than_a_pipe_holds_goes_through() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(filter(&mut command("cat"), &input).unwrap(), input);
        check(
            filter(command("sh").args(["-c", "echo bad >&2; exit 1"]), &input),
            "error: sh: exit status: 1: bad",
        );
    }
}
