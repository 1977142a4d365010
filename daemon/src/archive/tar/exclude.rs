// SPDX-License-Identifier: LGPL-2.1-or-later
//! Patterns for what is left out of an archive, as option `--exclude` of GNU tar has them.

use bstr::{BString, ByteSlice};

use crate::directory::stands_for;

/// Patterns of the shell whose wildcards match slashes too.
#[derive(Debug)]
pub(super) struct Excludes(Vec<BString>);

impl Excludes {
    pub(super) fn new(patterns: Vec<BString>) -> Self {
        Self(patterns)
    }

    /// Whether one of the patterns stands for the path, or for what is behind a slash in it.
    pub(super) fn have(&self, path: &[u8]) -> bool {
        self.0.iter().any(|pattern| {
            stands_for(pattern, path)
                || path.find_iter("/").any(|at| stands_for(pattern, &path[at + 1..]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        #[track_caller]
        fn check(pattern: &str, path: &str, expected: bool) {
            assert_eq!(Excludes::new(vec![pattern.into()]).have(path.as_bytes()), expected);
        }
        check("*.o", "./a.o", true);
        check("*.o", "./dir/.hidden.o", true);
        check("*.o", "./a.old", false);
        check("a", "./b/a", true);
        check("a", "./b/ab", false);
        check("b/a", "./b/a", true);
        check("b/a", "./c/b/a", true);
        check("./a", "./a", true);
        check("./a", "./b/a", false);
        check("./tmp/*", "./tmp/x/y", true);
        check("./tmp/*", "./tmp", false);
        check("x?y", "./x/y", true);
        check("x[!a]y", "./x/y", true);
        check(r"\*", "./*", true);
        check(r"\*", "./x", false);
        check("[a", "./[a", true);
        check("", "./a", false);
        check(".", "./a", false);
        check("*", ".", true);
        assert!(!Excludes::new(vec![]).have(b"./a"));
    }
}
