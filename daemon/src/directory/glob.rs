// SPDX-License-Identifier: LGPL-2.1-or-later
//! The files whose paths match a pattern of the shell.

mod pattern;

use bstr::{BString, ByteSlice};
use rustix::fs::{FileType, OFlags};

pub(crate) use self::pattern::stands_for;
use self::pattern::{alternatives, has_wildcards, matches, unescaped};
use crate::cancel;
use crate::ctx::Ctx;
use crate::error::Result;
use crate::generated::GlobExpandOptions;
use crate::path::GuestPath;
use crate::texts::Texts;

pub(crate) fn glob_expand(
    cx: &mut Ctx,
    pattern: &GuestPath,
    options: GlobExpandOptions,
) -> Result<Vec<BString>> {
    let mut search =
        Search { cx, marks: options.directoryslash.unwrap_or(true), pattern, found: Texts::new() };
    for alternative in alternatives(pattern.as_bstr())? {
        let first = search.found.len();
        search.run(&alternative)?;
        search.found.sort_from(first);
    }
    Ok(search.found.into_vec())
}

struct Search<'a> {
    cx: &'a Ctx,
    /// Directories get a slash.
    marks: bool,
    pattern: &'a GuestPath,
    found: Texts,
}

impl Search<'_> {
    fn run(&mut self, pattern: &[u8]) -> Result<()> {
        let components: Vec<_> = pattern.split_str("/").collect();
        // Paths that match so far, each with what comes next; on the heap, as are its directories.
        let mut stack = vec![(BString::default(), 0)];
        while let Some((mut path, mut next)) = stack.pop() {
            cancel::check()?;
            while let Some(component) = components.get(next)
                && !has_wildcards(component)
            {
                if next > 0 {
                    path.push(b'/');
                }
                path.extend(unescaped(component));
                next += 1;
            }
            let Some(component) = components.get(next) else {
                self.add(path)?;
                continue;
            };
            path.push(b'/');
            for name in self.names(&path) {
                if matches(component, &name) {
                    let path = [path.as_slice(), &name].concat();
                    stack.push((path.into(), next + 1));
                }
            }
        }
        Ok(())
    }

    /// What is in a directory; nothing if it cannot be read.
    fn names(&self, path: &[u8]) -> Vec<BString> {
        let directory = GuestPath::new("pattern", path)
            .and_then(|path| self.cx.open(&path, OFlags::RDONLY | OFlags::DIRECTORY));
        let names = directory.ok().and_then(|it| crate::file::names(&it).ok());
        names.unwrap_or_default()
    }

    /// Adds a path, if it names something.
    fn add(&mut self, mut path: BString) -> Result<()> {
        let Ok(checked) = GuestPath::new("pattern", &path) else { return Ok(()) };
        if self.cx.lstat(&checked).is_err() {
            return Ok(());
        }
        let is_directory = |path: &GuestPath| {
            let stat = self.cx.stat(path);
            stat.is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory)
        };
        if self.marks && !path.ends_with(b"/") && is_directory(&checked) {
            path.push(b'/');
        }
        self.found.push(&path, self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn expanding() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("guest");
        crate::system::make_directories(root.join("a/sub"));
        crate::system::make_directories(root.join("a-b"));
        for name in ["a/x", "a/y", "a/.hidden", "a/sub/x", "a-b/x", "[z]"] {
            crate::system::write(root.join(name), b"").unwrap();
        }
        crate::system::write(dir.path().join("outside"), b"").unwrap();
        symlink("a", root.join("link")).unwrap();
        symlink("missing", root.join("dangling")).unwrap();
        symlink("..", root.join("up")).unwrap();
        let cx = &mut Ctx::new(root);
        let mut check = |pattern: &str, expected: &str| {
            let pattern = GuestPath::new("pattern", pattern.as_bytes()).unwrap();
            let options = GlobExpandOptions { directoryslash: None };
            let found = glob_expand(cx, &pattern, options).unwrap();
            assert_eq!(bstr::join(" ", found).as_bstr(), expected);
        };
        check("/*", "/[z] /a-b/ /a/ /dangling /link/ /up/");
        check("/*/x", "/a-b/x /a/x /link/x");
        check("/a/*", "/a/sub/ /a/x /a/y");
        check("/a/.*", "/a/.hidden");
        check("/a/?", "/a/x /a/y");
        check("/a/[!x]", "/a/y");
        check("/a/x", "/a/x");
        check("/a", "/a/");
        check("/a*/", "/a-b/ /a/");
        check("/x*/", "");
        check("/a/x/", "");
        check("/a/z", "");
        check("/{link,a}/{y,x}", "/link/y /link/x /a/y /a/x");
        check("/\\[z\\]", "/[z]");
        check("/up/out*", "");
        check("/up/../../a/x", "/up/../../a/x");
        check("//a//x", "//a//x");
        check("/", "/");
    }
}
