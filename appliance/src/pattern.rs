// SPDX-License-Identifier: LGPL-2.1-or-later
//! The patterns of the data files: which paths of a tree they choose.

use crate::inputs;

/// A list of patterns; `!` in front of one takes back what others chose.
pub(crate) struct Patterns {
    chosen: Vec<String>,
    spared: Vec<String>,
}

impl Patterns {
    pub(crate) fn parse(text: &str) -> Self {
        let (spared, chosen): (Vec<_>, Vec<_>) =
            inputs::lines(text).partition(|it| it.starts_with('!'));
        Self {
            chosen: chosen.into_iter().map(str::to_owned).collect(),
            spared: spared.into_iter().map(|it| it[1..].to_owned()).collect(),
        }
    }

    /// Whether the path is chosen.
    pub(crate) fn choose(&self, path: &str) -> bool {
        let any = |list: &[String]| list.iter().any(|it| matches(it.as_bytes(), path.as_bytes()));
        any(&self.chosen) && !any(&self.spared)
    }
}

/// `*` and `?` stand for characters of one name, `[a-z]` for one of them, `**` for any path.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [b'*', b'*', b'/', rest @ ..] => {
            matches(rest, path)
                || (0..path.len()).any(|at| path[at] == b'/' && matches(rest, &path[at + 1..]))
        }
        [b'*', b'*', rest @ ..] => (0..=path.len()).any(|at| matches(rest, &path[at..])),
        [b'*', rest @ ..] => {
            let name = path.iter().position(|it| *it == b'/').unwrap_or(path.len());
            (0..=name).any(|at| matches(rest, &path[at..]))
        }
        [b'[', rest @ ..] => match (rest.iter().position(|it| *it == b']'), path) {
            (Some(end), [first, path @ ..]) => {
                in_set(&rest[..end], *first) && matches(&rest[end + 1..], path)
            }
            _ => false,
        },
        [wanted, rest @ ..] => match path {
            [first, path @ ..] => {
                (wanted == first || (*wanted == b'?' && *first != b'/')) && matches(rest, path)
            }
            [] => false,
        },
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    match set {
        [low, b'-', high, rest @ ..] => (*low..=*high).contains(&byte) || in_set(rest, byte),
        [one, rest @ ..] => *one == byte || in_set(rest, byte),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: &str, path: &str, expected: bool) {
        assert_eq!(Patterns::parse(patterns).choose(path), expected, "{patterns:?} on {path}");
    }

    #[test]
    fn patterns() {
        check("usr/share/doc", "usr/share/doc", true);
        check("usr/share/doc", "usr/share/doc/acl", false);
        check("usr/share/doc", "usr/share/docs", false);
        check("etc/*", "etc/fstab", true);
        check("etc/*", "etc/lvm/lvm.conf", false);
        check("etc/*\n!etc/magic", "etc/magic", false);
        check("!etc/magic\netc/*", "etc/magic", false);
        check("fs/**", "fs/ext4/ext4.ko", true);
        check("fs/**", "fscache.ko", false);
        check("lib/**/test_*", "lib/test_bpf.ko", true);
        check("lib/**/test_*", "lib/a/b/test_bpf.ko", true);
        check("lib/**/test_*", "lib/a/latest_one.ko", false);
        check("*.so.?", "libz.so.1", true);
        check("*.so.?", "libz.so.12", false);
        check("rtc-[a-bd-z]*", "rtc-cmos.ko", false);
        check("rtc-[a-bd-z]*", "rtc-ds1307.ko", true);
        check("# doc\n\n", "doc", false);
    }
}
