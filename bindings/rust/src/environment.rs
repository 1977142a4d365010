// SPDX-License-Identifier: LGPL-2.1-or-later
//! Settings from environment variables.

use std::collections::HashMap;

use bstr::{BStr, BString, ByteSlice};
use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::properties;

/// Variables, by name.
pub(crate) struct Environment(HashMap<BString, BString>);

type Setter = fn(&Handle, &BStr) -> Result<()>;

/// What each variable does, in the order in which they are looked at: the new name of a variable
/// comes before the old one, which is then passed over.
const VARIABLES: [(&str, Option<&str>, Setter); 15] = [
    ("LIBGUESTFS_TRACE", None, |g, v| properties::set_trace(g, boolean(v)?)),
    ("LIBGUESTFS_DEBUG", None, |g, v| properties::set_verbose(g, boolean(v)?)),
    ("LIBGUESTFS_TMPDIR", None, |g, v| properties::set_tmpdir(g, Some(v))),
    ("LIBGUESTFS_CACHEDIR", None, |g, v| properties::set_cachedir(g, Some(v))),
    ("TMPDIR", None, properties::set_environment_tmpdir),
    ("LIBGUESTFS_PATH", None, |g, v| properties::set_path(g, Some(v))),
    ("LIBGUESTFS_HV", None, |g, v| properties::set_hv(g, v)),
    ("LIBGUESTFS_QEMU", Some("LIBGUESTFS_HV"), |g, v| properties::set_hv(g, v)),
    ("LIBGUESTFS_APPEND", None, |g, v| properties::set_append(g, Some(v))),
    ("LIBGUESTFS_MEMSIZE", None, |g, v| properties::set_memsize(g, number(v)?)),
    ("LIBGUESTFS_BACKEND", None, |g, v| properties::set_backend(g, v)),
    ("LIBGUESTFS_ATTACH_METHOD", Some("LIBGUESTFS_BACKEND"), |g, v| {
        properties::set_attach_method(g, v)
    }),
    ("LIBGUESTFS_BACKEND_SETTINGS", None, |g, v| {
        properties::set_backend_settings(g, &v.split_str(":").collect::<Vec<_>>())
    }),
    ("LIBGUESTFS_TEMPLATE", None, |g, v| {
        let value = if boolean(v)? { "1" } else { "0" };
        properties::set_backend_setting(g, b"template", value.as_bytes())
    }),
    ("XDG_RUNTIME_DIR", None, properties::set_environment_runtime_dir),
];

impl Environment {
    /// The variables of this process.
    pub(crate) fn of_process() -> Self {
        let bytes = |text: std::ffi::OsString| BString::from(text.into_encoded_bytes());
        Self(std::env::vars_os().map(|(name, value)| (bytes(name), bytes(value))).collect())
    }

    /// Variables written as `NAME=value`.
    pub(crate) fn of_list(list: &[&[u8]]) -> Self {
        let mut variables = HashMap::new();
        for item in list {
            if let Some((name, value)) = item.split_once_str("=") {
                // As getenv does, take the first of several.
                variables.entry(name.into()).or_insert_with(|| value.into());
            }
        }
        Self(variables)
    }

    /// The value of a variable; an empty one counts as none.
    fn get(&self, name: &str) -> Option<&BStr> {
        self.0.get(name.as_bytes().as_bstr()).map(|it| it.as_bstr()).filter(|it| !it.is_empty())
    }
}

impl Handle {
    /// Sets what the environment says.
    pub(crate) fn apply(&self, environment: Environment) -> Result<()> {
        for (name, newer, set) in VARIABLES {
            let Some(value) = environment.get(name) else { continue };
            if newer.is_some_and(|newer| environment.get(newer).is_some()) {
                continue;
            }
            set(self, value).map_err(|err| {
                Error::new(err.errno(), format!("{name}={value}: {}", err.message()))
            })?;
        }
        Ok(())
    }
}

fn boolean(value: &BStr) -> Result<bool> {
    match value.to_ascii_lowercase().as_slice() {
        b"1" | b"true" | b"t" | b"yes" | b"y" | b"on" => Ok(true),
        b"0" | b"false" | b"f" | b"no" | b"n" | b"off" => Ok(false),
        _ => Err(Error::new(Errno::EINVAL as i32, "neither 1 nor 0")),
    }
}

fn number(value: &BStr) -> Result<i32> {
    match value.to_str().ok().and_then(|it| it.parse().ok()) {
        Some(number) => Ok(number),
        None => Err(Error::new(Errno::EINVAL as i32, "not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &[&str], show: impl FnOnce(&Handle) -> String, expected: &str) {
        let g = Handle::detached();
        let list: Vec<&[u8]> = list.iter().map(|it| it.as_bytes()).collect();
        let got = match g.apply(Environment::of_list(&list)) {
            Ok(()) => show(&g),
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(got, expected);
    }

    fn config(g: &Handle) -> String {
        g.with(|s| {
            let c = &s.config;
            format!("{} {} {:?} {:?} {:?}", s.trace, c.verbose, c.hv, c.append, c.backend_settings)
        })
    }

    #[test]
    fn variables() {
        check(&[], config, "false false None None []");
        check(&["LIBGUESTFS_TRACE=1", "LIBGUESTFS_DEBUG=Yes"], config, "true true None None []");
        check(&["LIBGUESTFS_TRACE=", "LIBGUESTFS_DEBUG=off"], config, "false false None None []");
        check(&["LIBGUESTFS_QEMU=/old"], config, r#"false false Some("/old") None []"#);
        check(
            &["LIBGUESTFS_QEMU=/old", "LIBGUESTFS_HV=/new", "LIBGUESTFS_HV=/second"],
            config,
            r#"false false Some("/new") None []"#,
        );
        check(
            &["LIBGUESTFS_APPEND=quiet a=b", "LIBGUESTFS_BACKEND_SETTINGS=force_tcg:gdb=1"],
            config,
            r#"false false None Some("quiet a=b") ["force_tcg", "gdb=1"]"#,
        );
        check(
            &["LIBGUESTFS_TEMPLATE=off", "LIBGUESTFS_BACKEND_SETTINGS=template=1:gdb"],
            config,
            r#"false false None None ["gdb", "template=0"]"#,
        );
        check(&["LIBGUESTFS_MEMSIZE=512"], |g| g.with(|s| s.config.memsize_mb).to_string(), "512");
    }

    #[test]
    fn wrong_values_name_the_variable() {
        let none = |_: &Handle| String::new();
        check(&["LIBGUESTFS_TRACE=maybe"], none, "error: LIBGUESTFS_TRACE=maybe: neither 1 nor 0");
        check(&["LIBGUESTFS_MEMSIZE=1G"], none, "error: LIBGUESTFS_MEMSIZE=1G: not a number");
        check(
            &["LIBGUESTFS_MEMSIZE=1"],
            none,
            "error: LIBGUESTFS_MEMSIZE=1: memsize: 1 is less than 256, the least that works",
        );
        check(
            &["LIBGUESTFS_TMPDIR=/does/not/exist"],
            none,
            "error: LIBGUESTFS_TMPDIR=/does/not/exist: /does/not/exist: No such file or directory",
        );
        check(
            &["LIBGUESTFS_BACKEND=uml"],
            none,
            "error: LIBGUESTFS_BACKEND=uml: backend: uml is not known",
        );
    }

    #[test]
    fn directories() {
        let tmpdir = |g: &Handle| {
            let dirs = [properties::get_tmpdir, properties::get_cachedir, properties::get_sockdir];
            dirs.map(|get| get(g).unwrap().to_string()).join(" ")
        };
        check(&[], tmpdir, "/tmp /var/tmp /tmp");
        check(&["TMPDIR=/dev"], tmpdir, "/dev /dev /tmp");
        check(&["TMPDIR=/dev", "LIBGUESTFS_TMPDIR=/usr"], tmpdir, "/usr /dev /tmp");
        check(&["LIBGUESTFS_CACHEDIR=/usr", "XDG_RUNTIME_DIR=/dev"], tmpdir, "/tmp /usr /dev");
        // These are not the library's own: what is wrong with them is not its business.
        check(&["TMPDIR=/does/not/exist", "XDG_RUNTIME_DIR=/none"], tmpdir, "/tmp /var/tmp /tmp");
    }
}
