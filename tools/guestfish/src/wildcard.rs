// SPDX-License-Identifier: LGPL-2.1-or-later
//! Wildcards in paths of the guest: `*`, `?` and `[...]`.

use bstr::{BString, ByteSlice};

/// Where names are looked up.
pub(crate) trait Guest {
    /// The names in a directory; none if it is not one.
    fn names(&self, directory: &[u8]) -> Vec<BString>;
    /// Whether there is something of that name.
    fn exists(&self, path: &[u8]) -> bool;
    /// The names of disks, partitions and volumes.
    fn devices(&self) -> Vec<BString>;
}

/// Whether a word has anything to expand.
pub(crate) fn is_pattern(word: &[u8]) -> bool {
    word.starts_with(b"/") && word.find_byteset(b"*?[").is_some()
}

/// What there is that `pattern` matches, in order.  Names that start with a dot are found only by
/// patterns that do.
pub(crate) fn expand(guest: &impl Guest, pattern: &[u8]) -> Vec<BString> {
    if pattern.starts_with(b"/dev/") {
        let mut devices = guest.devices();
        devices.retain(|device| matches(pattern, device));
        return devices;
    }
    let mut found = vec![BString::default()];
    for component in pattern.split_str("/").filter(|it| !it.is_empty()) {
        let is_pattern = component.find_byteset(b"*?[").is_some();
        found = found
            .iter()
            .flat_map(|path| {
                let join = |name: &[u8]| BString::from([path.as_slice(), b"/", name].concat());
                if !is_pattern {
                    return vec![join(component)];
                }
                let directory = if path.is_empty() { b"/" } else { path.as_slice() };
                let mut names = guest.names(directory);
                names.retain(|name| {
                    (component.starts_with(b".") || !name.starts_with(b"."))
                        && matches(component, name)
                });
                names.sort();
                names.iter().map(|name| join(name)).collect()
            })
            .collect();
    }
    found.retain(|path| guest.exists(path));
    found
}

/// Whether a name fits a pattern.  No wildcard stands for a slash.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => {
            let reach = name.find_byte(b'/').unwrap_or(name.len());
            (0..=reach).any(|length| matches(rest, &name[length..]))
        }
        [b'?', rest @ ..] => {
            name.first().is_some_and(|byte| *byte != b'/') && matches(rest, &name[1..])
        }
        [b'[', rest @ ..] => match (set(rest), name.split_first()) {
            (Some((set, rest)), Some((byte, name))) => {
                *byte != b'/' && contains(set, *byte) && matches(rest, name)
            }
            // A bracket that is not closed stands for itself.
            (None, Some((b'[', name))) => matches(rest, name),
            (_, _) => false,
        },
        [byte, rest @ ..] => name.first() == Some(byte) && matches(rest, &name[1..]),
    }
}

/// What stands between the brackets, and what comes after them.
fn set(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let negated = usize::from(matches!(text.first(), Some(b'!' | b'^')));
    // A bracket that comes first is a member.
    let end = text.iter().skip(negated + 1).position(|byte| *byte == b']')? + negated + 1;
    Some((&text[..end], &text[end + 1..]))
}

fn contains(set: &[u8], byte: u8) -> bool {
    let (negated, mut rest) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    while let Some((&first, after)) = rest.split_first() {
        match after {
            [b'-', last, after @ ..] => {
                found |= (first..=*last).contains(&byte);
                rest = after;
            }
            _ => {
                found |= first == byte;
                rest = after;
            }
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_match(pattern: &str, name: &str, expected: bool) {
        assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
    }

    #[test]
    fn patterns() {
        check_match("*", "abc", true);
        check_match("*", "a/b", false);
        check_match("a*c", "abbc", true);
        check_match("a*c", "abb", false);
        check_match("a?c", "abc", true);
        check_match("?", "", false);
        check_match("[a-c]x", "bx", true);
        check_match("[!a-c]x", "bx", false);
        check_match("[]]", "]", true);
        check_match("[a", "[a", true);
        check_match("/dev/sd[ab]*", "/dev/sdb1", true);
    }

    struct Tree(&'static [&'static str]);

    impl Guest for Tree {
        fn names(&self, directory: &[u8]) -> Vec<BString> {
            let directory = directory.strip_suffix(b"/").unwrap_or(directory);
            let within = self
                .0
                .iter()
                .filter_map(|it| it.as_bytes().strip_prefix(directory)?.strip_prefix(b"/"));
            within.filter(|it| !it.is_empty() && !it.contains(&b'/')).map(Into::into).collect()
        }

        fn exists(&self, path: &[u8]) -> bool {
            self.0.iter().any(|it| it.as_bytes() == path)
        }

        fn devices(&self) -> Vec<BString> {
            ["/dev/sda", "/dev/sda1", "/dev/sdb"].map(Into::into).to_vec()
        }
    }

    #[track_caller]
    fn check(pattern: &str, expected: &[&str]) {
        let tree = Tree(&["/b", "/a", "/a/x.txt", "/a/y.txt", "/a/.z", "/b/x.txt", "/c"]);
        assert_eq!(expand(&tree, pattern.as_bytes()), expected);
    }

    #[test]
    fn expansion() {
        check("/*", &["/a", "/b", "/c"]);
        check("/a/*", &["/a/x.txt", "/a/y.txt"]);
        check("/a/.*", &["/a/.z"]);
        check("/*/x.txt", &["/a/x.txt", "/b/x.txt"]);
        check("/a/*.c", &[]);
        check("/dev/sda*", &["/dev/sda", "/dev/sda1"]);
    }
}
