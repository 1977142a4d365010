// SPDX-License-Identifier: LGPL-2.1-or-later
//! Facts about the machine, as the system tells them.

use std::env;
use std::fs;
use std::io;
use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// Variables that change what the library and its programs do.
const VARIABLES: [&str; 5] = ["TMPDIR", "XDG_RUNTIME_DIR", "PATH", "LD_LIBRARY_PATH", "TERM"];

/// `NAME=value` of the variables that matter.
pub(crate) fn environment() -> Vec<String> {
    let ours = |name: &str| {
        VARIABLES.contains(&name) || ["LIBGUESTFS_", "QEMU_"].iter().any(|it| name.starts_with(it))
    };
    let all = env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str().filter(|it| ours(it))?;
        Some(format!("{name}={}", value.to_string_lossy()))
    });
    let mut lines: Vec<_> = all.collect();
    lines.sort();
    lines
}

/// Release and version of the kernel.
pub(crate) fn kernel() -> String {
    let it = rustix::system::uname();
    let text = [it.sysname(), it.release(), it.version(), it.machine()];
    text.map(|it| it.to_string_lossy()).join(" ")
}

/// What the distribution calls itself.
pub(crate) fn distribution() -> String {
    let text = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|it| fs::read_to_string(it).ok())
        .unwrap_or_default();
    pretty_name(&text).unwrap_or("unknown").to_owned()
}

fn pretty_name(os_release: &str) -> Option<&str> {
    let line = os_release.lines().find_map(|it| it.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches(['"', '\'']))
}

/// The model of the processors, and how many there are.
pub(crate) fn processors() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|it| it.strip_prefix("model name")?.split_once(": "));
    let n_processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{n_processors} of {}", model.map_or("an unknown model", |(_, model)| model))
}

/// How much memory there is, and how much of it can be had.
pub(crate) fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    let size = |name| of(name).map_or("?".to_owned(), |kib| human(kib << 10));
    format!("{}, {} available", size("MemTotal"), size("MemAvailable"))
}

/// Limits of this process that are lower than nothing.
pub(crate) fn limits() -> Vec<String> {
    let all = [
        (Resource::RLIMIT_AS, "address space (ulimit -v)"),
        (Resource::RLIMIT_FSIZE, "size of files (ulimit -f)"),
        (Resource::RLIMIT_CPU, "processor seconds (ulimit -t)"),
        (Resource::RLIMIT_NOFILE, "open files (ulimit -n)"),
        (Resource::RLIMIT_NPROC, "processes (ulimit -u)"),
    ];
    let limited = all.into_iter().filter_map(|(resource, name)| match getrlimit(resource) {
        Ok((limit, _)) if limit != RLIM_INFINITY => Some(format!("{name}: {limit}")),
        _ => None,
    });
    limited.collect()
}

/// What is free in a directory in which files can be made.
pub(crate) fn room(directory: &Path) -> io::Result<u64> {
    tempfile::tempfile_in(directory)?;
    let it = rustix::fs::statvfs(directory)?;
    Ok(it.f_bavail.saturating_mul(it.f_frsize))
}

/// A number of bytes for people.
pub(crate) fn human(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |bytes, expected: &str| assert_eq!(human(bytes), expected);
        check(0, "0 bytes");
        check(1023, "1023 bytes");
        check(1536, "1.5 KiB");
        check(u64::MAX, "16777216.0 TiB");
    }

    #[test]
    fn names() {
        let text = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n";
        assert_eq!(pretty_name(text), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(pretty_name(""), None);
    }
}
