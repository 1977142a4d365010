// SPDX-License-Identifier: LGPL-2.1-or-later
//! Patterns of the shell: what is in braces, and whether a name matches.

use bstr::{BStr, BString};

use crate::error::{Error, Result};

/// The most patterns that braces may stand for.
const ALTERNATIVES_MAX: usize = 10_000;

/// The patterns without braces that this one stands for, in their order.
pub(super) fn alternatives(pattern: &BStr) -> Result<Vec<BString>> {
    let mut done = Vec::new();
    // The next one is the last one.
    let mut todo = vec![BString::from(pattern)];
    while let Some(pattern) = todo.pop() {
        let Some((start, commas, end)) = first_braces(&pattern) else {
            done.push(pattern);
            continue;
        };
        let starts = std::iter::once(start).chain(commas.iter().copied());
        let ends = commas.iter().copied().chain([end]);
        let parts: Vec<_> = starts.zip(ends).collect();
        for (from, to) in parts.into_iter().rev() {
            let part = [&pattern[..start], &pattern[from + 1..to], &pattern[end + 1..]];
            todo.push(part.concat().into());
        }
        if done.len() + todo.len() > ALTERNATIVES_MAX {
            let why = format!("braces that stand for more than {ALTERNATIVES_MAX} patterns");
            return Err(Error::invalid("pattern", why));
        }
    }
    Ok(done)
}

/// The first pair of braces: where it begins, where its own commas are, and where it ends.
fn first_braces(pattern: &[u8]) -> Option<(usize, Vec<usize>, usize)> {
    let mut from = 0;
    while let Some(start) = find_plain(pattern, from, b'{') {
        // As in the shell, `{}` is only itself.
        if pattern.get(start + 1) != Some(&b'}')
            && let Some((commas, end)) = braces_from(pattern, start)
        {
            return Some((start, commas, end));
        }
        from = start + 1;
    }
    None
}

/// The next such character that no backslash stands in front of.
fn find_plain(pattern: &[u8], from: usize, wanted: u8) -> Option<usize> {
    let mut at = from;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += 1,
            byte if byte == wanted => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn braces_from(pattern: &[u8], start: usize) -> Option<(Vec<usize>, usize)> {
    let (mut commas, mut depth, mut at) = (Vec::new(), 0, start);
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some((commas, at)),
            b'}' => depth -= 1,
            b',' if depth == 1 => commas.push(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether something in a component of the path stands for other characters.
pub(super) fn has_wildcards(component: &[u8]) -> bool {
    b"*?[".iter().any(|&wildcard| find_plain(component, 0, wildcard).is_some())
}

/// A component without wildcards, as a name.
pub(super) fn unescaped(component: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    let mut bytes = component.iter().copied();
    while let Some(byte) = bytes.next() {
        name.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    name
}

/// Whether a component stands for the name.
pub(super) fn matches(component: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !component.starts_with(b".") && !component.starts_with(br"\.") {
        return false;
    }
    stands_for(component, name)
}

/// Whether a pattern stands for the text; no character is special in the text.
pub(crate) fn stands_for(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut rest) = (pattern, text);
    // Where to go on if it turns out that the last star stands for more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', behind @ ..] = pattern {
            retry = Some((behind, rest));
            pattern = behind;
            continue;
        }
        let next = match rest.split_first() {
            None if pattern.is_empty() => return true,
            None => return false,
            Some((&byte, behind)) => one(pattern, byte).map(|pattern| (pattern, behind)),
        };
        (pattern, rest) = match (next, &mut retry) {
            (Some(next), _) => next,
            (None, Some((pattern, from))) if !from.is_empty() => {
                *from = &from[1..];
                (*pattern, *from)
            }
            (None, _) => return false,
        };
    }
}

/// Compares one character, and returns what is behind in the pattern.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (&first, behind) = pattern.split_first()?;
    match first {
        b'?' => Some(behind),
        b'[' => match set(behind, byte) {
            Some((true, behind)) => Some(behind),
            Some((false, _)) => None,
            // Without its end it is only itself.
            None => (byte == b'[').then_some(behind),
        },
        b'\\' => match behind.split_first() {
            Some((&plain, behind)) => (plain == byte).then_some(behind),
            None => (byte == b'\\').then_some(behind),
        },
        plain => (plain == byte).then_some(behind),
    }
}

/// Whether the byte is in the set that begins here, and what is behind the set.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    let mut is_first = true;
    loop {
        rest = match rest {
            [b']', behind @ ..] if !is_first => return Some((found != negated, behind)),
            [b'[', b':', behind @ ..] if let Some((has, behind)) = class(behind, byte) => {
                found |= has;
                behind
            }
            _ => {
                let (low, behind) = member(rest)?;
                let (high, behind) = match behind {
                    [b'-', after @ ..] if !after.starts_with(b"]") => member(after)?,
                    _ => (low, behind),
                };
                found |= (low..=high).contains(&byte);
                behind
            }
        };
        is_first = false;
    }
}

/// One character of a set.
fn member(set: &[u8]) -> Option<(u8, &[u8])> {
    match set {
        [b'\\', byte, behind @ ..] | [byte, behind @ ..] => Some((*byte, behind)),
        [] => None,
    }
}

/// A class by its name, with the end that it has in a set.
type Class = (&'static [u8], fn(&u8) -> bool);

/// Whether the byte is in the class whose name begins here, and what is behind it.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    const CLASSES: [Class; 12] = [
        (b"alnum:]", u8::is_ascii_alphanumeric),
        (b"alpha:]", u8::is_ascii_alphabetic),
        (b"blank:]", |byte| matches!(byte, b' ' | b'\t')),
        (b"cntrl:]", u8::is_ascii_control),
        (b"digit:]", u8::is_ascii_digit),
        (b"graph:]", u8::is_ascii_graphic),
        (b"lower:]", u8::is_ascii_lowercase),
        (b"print:]", |byte| matches!(byte, b' '..=b'~')),
        (b"punct:]", u8::is_ascii_punctuation),
        (b"space:]", |byte| matches!(byte, b' ' | b'\t'..=b'\r')),
        (b"upper:]", u8::is_ascii_uppercase),
        (b"xdigit:]", u8::is_ascii_hexdigit),
    ];
    CLASSES.iter().find_map(|(name, has)| Some((has(&byte), pattern.strip_prefix(*name)?)))
}

#[cfg(test)]
mod tests {
    use bstr::ByteSlice;

    use super::*;

    #[test]
    fn braces() {
        #[track_caller]
        fn check(pattern: &str, expected: &str) {
            let found = alternatives(pattern.into()).unwrap();
            assert_eq!(bstr::join(" ", found).as_bstr(), expected);
        }
        check("/a", "/a");
        check("/{a,b}c", "/ac /bc");
        check("/{a,}", "/a /");
        check("/{a}", "/a");
        check("/{}", "/{}");
        check("/{a", "/{a");
        check("/a}", "/a}");
        check("/{a,{b,c}d}e", "/ae /bde /cde");
        check("/{a,b}{c,d}", "/ac /ad /bc /bd");
        check(r"/\{a,b}", r"/\{a,b}");
        check(r"/{a\,b,c}", r"/a\,b /c");
        check("/{{a,b}", "/{a /{b");
        assert!(alternatives(BStr::new(&b"{a,b}".repeat(20))).is_err());
    }

    #[test]
    fn names() {
        #[track_caller]
        fn check(pattern: &str, name: &[u8], expected: bool) {
            assert_eq!(matches(pattern.as_bytes(), name), expected);
        }
        check("abc", b"abc", true);
        check("abc", b"abcd", false);
        check("*", b"", true);
        check("*", b"\xff", true);
        check("a*c", b"abcbc", true);
        check("a*c", b"abcb", false);
        check("*a*b*", b"xxaxxbxx", true);
        check("*a*b*", b"xxbxxaxx", false);
        check("?", b"a", true);
        check("?", b"", false);
        check("[a-c]x", b"bx", true);
        check("[a-c]x", b"dx", false);
        check("[!a-c]", b"d", true);
        check("[^a-c]", b"a", false);
        check("[]a]", b"]", true);
        check("[a-]", b"-", true);
        check("[[:digit:]x]", b"7", true);
        check("[[:digit:]x]", b":", false);
        check(r"[\]]", b"]", true);
        check("[a", b"[a", true);
        check("[a", b"a", false);
        check(r"\*", b"*", true);
        check(r"\*", b"a", false);
        check("*", b".a", false);
        check("?a", b".a", false);
        check("[.]a", b".a", false);
        check(".*", b".a", true);
        check(r"\.a", b".a", true);
    }
}
