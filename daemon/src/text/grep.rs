// SPDX-License-Identifier: LGPL-2.1-or-later
//! Lines that match: regular expressions or plain text, in files that may be compressed.

use std::fs::File;
use std::io::{self, BufReader, Read};

use bstr::{BStr, BString, ByteSlice, Finder};

use super::lines::{Flow, each_line};
use super::open;
use super::regex::{Regex, Syntax};
use crate::ctx::Ctx;
use crate::decompress::{Content, damaged};
use crate::error::{Error, Result};
use crate::generated::GrepOptions;
use crate::path::GuestPath;
use crate::pieces::BLOCK;
use crate::texts::Texts;

pub(crate) fn grep(
    cx: &mut Ctx,
    regex: &BStr,
    path: &GuestPath,
    options: GrepOptions,
) -> Result<Vec<BString>> {
    let is = |option: Option<bool>| option.unwrap_or(false);
    if is(options.extended) && is(options.fixed) {
        return Err(Error::invalid("extended", "cannot be set together with fixed"));
    }
    let mut matcher = Matcher::new(
        regex,
        is(options.fixed),
        Syntax { extended: is(options.extended), insensitive: is(options.insensitive) },
    )?;
    let file = open(cx, path)?;
    let mut content: Box<dyn Read> = match is(options.compressed) {
        true => {
            let content = Content::new(BufReader::with_capacity(BLOCK, file));
            Box::new(Decompressed { content: content.map_err(damaged(path))?, path })
        }
        false => Box::new(file),
    };
    let mut found = Texts::new();
    each_line(&mut *content, path, |line| {
        if matcher.matches(line)? {
            found.push(line, path)?;
        }
        Ok(Flow::Continue(()))
    })?;
    Ok(found.into_vec())
}

// The others are named after the programs that they once were: each is a choice of options.

const YES: Option<bool> = Some(true);

const PLAIN: GrepOptions =
    GrepOptions { extended: None, fixed: None, insensitive: None, compressed: None };

pub(crate) fn egrep(cx: &mut Ctx, regex: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, regex, path, GrepOptions { extended: YES, ..PLAIN })
}

pub(crate) fn egrepi(cx: &mut Ctx, regex: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, regex, path, GrepOptions { extended: YES, insensitive: YES, ..PLAIN })
}

pub(crate) fn fgrep(cx: &mut Ctx, pattern: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, pattern, path, GrepOptions { fixed: YES, ..PLAIN })
}

pub(crate) fn fgrepi(cx: &mut Ctx, pattern: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, pattern, path, GrepOptions { fixed: YES, insensitive: YES, ..PLAIN })
}

pub(crate) fn grepi(cx: &mut Ctx, regex: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, regex, path, GrepOptions { insensitive: YES, ..PLAIN })
}

pub(crate) fn zegrep(cx: &mut Ctx, regex: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, regex, path, GrepOptions { compressed: YES, extended: YES, ..PLAIN })
}

pub(crate) fn zegrepi(cx: &mut Ctx, regex: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, regex, path, GrepOptions { compressed: YES, extended: YES, insensitive: YES, ..PLAIN })
}

pub(crate) fn zfgrep(cx: &mut Ctx, pattern: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, pattern, path, GrepOptions { compressed: YES, fixed: YES, ..PLAIN })
}

pub(crate) fn zfgrepi(cx: &mut Ctx, pattern: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, pattern, path, GrepOptions { compressed: YES, fixed: YES, insensitive: YES, ..PLAIN })
}

pub(crate) fn zgrep(cx: &mut Ctx, regex: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, regex, path, GrepOptions { compressed: YES, ..PLAIN })
}

pub(crate) fn zgrepi(cx: &mut Ctx, regex: &BStr, path: &GuestPath) -> Result<Vec<BString>> {
    grep(cx, regex, path, GrepOptions { compressed: YES, insensitive: YES, ..PLAIN })
}

/// What lines are compared with.  A line end separates alternatives.
enum Matcher {
    Texts(Vec<Finder<'static>>),
    /// The texts have small letters only; the buffer is for lines made the same.
    TextsInAnyCase(Vec<Finder<'static>>, Vec<u8>),
    Regexes(Vec<Regex>),
}

impl Matcher {
    fn new(pattern: &BStr, is_text: bool, syntax: Syntax) -> Result<Self> {
        let finders =
            |text: &[u8]| text.split_str("\n").map(|it| Finder::new(it).into_owned()).collect();
        Ok(match (is_text, syntax.insensitive) {
            (true, false) => Self::Texts(finders(pattern)),
            (true, true) => {
                Self::TextsInAnyCase(finders(&pattern.to_ascii_lowercase()), Vec::new())
            }
            (false, _) => {
                let regexes = pattern.split_str("\n").map(|it| Regex::new(it, syntax));
                Self::Regexes(regexes.collect::<Result<_>>()?)
            }
        })
    }

    fn matches(&mut self, line: &[u8]) -> Result<bool> {
        match self {
            Self::Texts(finders) => Ok(finders.iter().any(|it| it.find(line).is_some())),
            Self::TextsInAnyCase(finders, small) => {
                small.clear();
                small.extend_from_slice(line);
                small.make_ascii_lowercase();
                Ok(finders.iter().any(|it| it.find(&small[..]).is_some()))
            }
            Self::Regexes(regexes) => {
                for regex in regexes {
                    if regex.matches(line)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

/// Compressed content, with errors that say whose fault they are.
struct Decompressed<'a> {
    content: Content<BufReader<File>>,
    path: &'a GuestPath,
}

impl Read for Decompressed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer).map_err(|err| damaged(self.path)(err).into_io())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, guest, path};
    use super::*;

    const FIXED: GrepOptions = GrepOptions { fixed: YES, ..PLAIN };
    const INSENSITIVE: GrepOptions = GrepOptions { insensitive: YES, ..PLAIN };
    const COMPRESSED: GrepOptions = GrepOptions { compressed: YES, ..PLAIN };

    fn run(content: &[u8], pattern: &str, options: GrepOptions) -> Result<Vec<BString>> {
        let (_dir, cx) = &mut guest(content);
        grep(cx, pattern.into(), &path(), options)
    }

    #[test]
    fn lines_that_match() {
        let content = b"abc\nA.c\n\na\0c\n\xff";
        let find = |pattern, options| run(content, pattern, options);
        check(find("^a.c$", PLAIN), r#"["abc", "a\0c"]"#);
        check(find("^a.c$", INSENSITIVE), r#"["abc", "A.c", "a\0c"]"#);
        check(find("", PLAIN), r#"["abc", "A.c", "", "a\0c", "\xff"]"#);
        check(find("^$", PLAIN), r#"[""]"#);
        check(find("b\n\\.", PLAIN), r#"["abc", "A.c"]"#);
        check(find(".", FIXED), r#"["A.c"]"#);
        check(find("b\n.", FIXED), r#"["abc", "A.c"]"#);
        check(find("a.C", GrepOptions { insensitive: YES, ..FIXED }), r#"["A.c"]"#);
        check(find("x", PLAIN), "[]");
        check(run(b"", "", PLAIN), "[]");
        let both = GrepOptions { extended: YES, ..FIXED };
        check(find("x", both), "extended: cannot be set together with fixed [Some(22)]");
    }

    #[test]
    fn compressed_files() {
        let hello =
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\xe7\x02\x00\x20\x30\x3a\x36\x06\0\0\0";
        check(run(hello, "h", COMPRESSED), r#"["hello"]"#);
        check(run(b"hello", "h", COMPRESSED), r#"["hello"]"#);
        let cut = "/file: damaged compressed content: incomplete deflate stream [Some(22)]";
        check(run(&hello[..12], "h", COMPRESSED), cut);
    }
}
