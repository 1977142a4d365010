// SPDX-License-Identifier: LGPL-2.1-or-later
//! A line of a script or of the prompt, taken apart into words.

use bstr::{BString, ByteSlice};

use crate::error::{Error, Result};

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing: it is blank or a comment.
    Nothing,
    /// `!`: a command of the host's shell.
    Shell(BString),
    /// `<!`: the same, and what it prints are lines to carry out.
    Include(BString),
    /// A command.
    Command {
        /// `-` in front: if it fails, a script goes on.
        forgiving: bool,
        /// The command and its arguments.
        words: Vec<BString>,
        /// What the output is piped to.
        pipe: Option<BString>,
    },
}

/// Takes a line apart.
pub(crate) fn line(text: &[u8]) -> Result<Line> {
    let text = text.trim_ascii();
    match text {
        [] | [b'#', ..] => Ok(Line::Nothing),
        [b'!', command @ ..] => Ok(Line::Shell(command.trim_ascii().into())),
        [b'<', b'!', command @ ..] => Ok(Line::Include(command.trim_ascii().into())),
        [b'-', command @ ..] => parse_command(command, true),
        command => parse_command(command, false),
    }
}

fn parse_command(text: &[u8], forgiving: bool) -> Result<Line> {
    let mut words = Vec::new();
    let mut rest = text.trim_ascii_start();
    while let Some(&first) = rest.first() {
        if first == b'|' {
            let pipe = rest[1..].trim_ascii();
            if pipe.is_empty() || words.is_empty() {
                return Err(Error::shell("|: a command has to stand on each side"));
            }
            return Ok(Line::Command { forgiving, words, pipe: Some(pipe.into()) });
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    match words.is_empty() {
        true => Ok(Line::Nothing),
        false => Ok(Line::Command { forgiving, words, pipe: None }),
    }
}

/// The items of a list, which is one argument: they are separated by spaces, and quoted if they
/// have spaces in them.
pub(crate) fn list(text: &[u8]) -> Result<Vec<BString>> {
    let mut items = Vec::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let (item, after) = word(rest)?;
        items.push(item);
        rest = after.trim_ascii_start();
    }
    Ok(items)
}

/// The first word, and what comes after it.
fn word(text: &[u8]) -> Result<(BString, &[u8])> {
    let end_of_quoted = |after: &[u8], quote: char| match after.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(Error::shell(format!(
            "{}: a space has to follow the closing {quote}",
            text.as_bstr()
        ))),
        _ => Ok(()),
    };
    match text.first() {
        Some(b'\'') => {
            let (word, after) = single_quoted(&text[1..])?;
            end_of_quoted(after, '\'')?;
            Ok((word.into(), after))
        }
        Some(b'"') => {
            let (word, after) = double_quoted(&text[1..])?;
            end_of_quoted(after, '"')?;
            Ok((word, after))
        }
        _ => {
            let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
            // `label:"two words"`.  Any other quote inside a word stands for itself.
            let quote =
                text[..end].windows(2).position(|it| it[0] == b':' && b"'\"".contains(&it[1]));
            let Some(colon) = quote else {
                return Ok((text[..end].into(), &text[end..]));
            };
            let (mut name, rest) = (BString::from(&text[..=colon]), &text[colon + 1..]);
            let (value, after) = word(rest)?;
            name.extend_from_slice(&value);
            Ok((name, after))
        }
    }
}

fn single_quoted(text: &[u8]) -> Result<(&[u8], &[u8])> {
    let end = text.find_byte(b'\'').ok_or_else(|| unterminated('\''))?;
    Ok((&text[..end], &text[end + 1..]))
}

fn double_quoted(text: &[u8]) -> Result<(BString, &[u8])> {
    let mut word = BString::default();
    let mut rest = text;
    loop {
        match rest {
            [] => return Err(unterminated('"')),
            [b'"', after @ ..] => return Ok((word, after)),
            [b'\\', after @ ..] => {
                let (byte, after) = escape(after)?;
                word.push(byte);
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// What stands behind a backslash.
fn escape(text: &[u8]) -> Result<(u8, &[u8])> {
    let (byte, length) = match text {
        [b'a', ..] => (0x07, 1),
        [b'b', ..] => (0x08, 1),
        [b'f', ..] => (0x0c, 1),
        [b'n', ..] => (b'\n', 1),
        [b'r', ..] => (b'\r', 1),
        [b't', ..] => (b'\t', 1),
        [b'v', ..] => (0x0b, 1),
        [byte @ (b'"' | b'\'' | b'\\'), ..] => (*byte, 1),
        [b'x', digits @ ..] => (number(digits, 2, 16)?, 3),
        [b'0'..=b'7', ..] => (number(text, 3, 8)?, 3),
        [other, ..] => {
            let other = [*other];
            return Err(Error::shell(format!("\\{}: no such escape sequence", other.as_bstr())));
        }
        [] => return Err(unterminated('"')),
    };
    Ok((byte, &text[length..]))
}

fn number(digits: &[u8], length: usize, radix: u32) -> Result<u8> {
    let digits = digits.get(..length).and_then(|it| it.to_str().ok());
    digits.and_then(|it| u8::from_str_radix(it, radix).ok()).ok_or_else(|| {
        let example = if radix == 16 { "\\xe9" } else { "\\351" };
        Error::shell(format!("an escape sequence has {length} digits, as in {example}"))
    })
}

fn unterminated(quote: char) -> Error {
    Error::shell(format!("the closing {quote} is missing"))
}

/// Prompts and the like, where escape sequences stand outside of quotes.  `\e` is the escape
/// character; `\[` and `\]`, with which bash is told what has no width, are dropped.
pub(crate) fn decoration(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(&first) = rest.first() {
        match rest {
            [b'\\', b'e', after @ ..] => {
                out.push(0x1b);
                rest = after;
            }
            [b'\\', b'[' | b']', after @ ..] => rest = after,
            [b'\\', after @ ..] => match escape(after) {
                Ok((byte, after)) => {
                    out.push(byte);
                    rest = after;
                }
                Err(_) => {
                    out.push(b'\\');
                    rest = after;
                }
            },
            _ => {
                out.push(first);
                rest = &rest[1..];
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match line(text.as_bytes()) {
            Ok(Line::Nothing) => String::new(),
            Ok(Line::Shell(command)) => format!("! {command}"),
            Ok(Line::Include(command)) => format!("<! {command}"),
            Ok(Line::Command { forgiving, words, pipe }) => {
                let mut out = if forgiving { "-".to_owned() } else { String::new() };
                // An apostrophe needs no backslash.
                out += &format!("{words:?}").replace("\\'", "'");
                out += &pipe.map(|it| format!(" | {it}")).unwrap_or_default();
                out
            }
            Err(err) => err.to_string(),
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn kinds_of_lines() {
        check("", "");
        check("  # note", "");
        check("!ls -l", "! ls -l");
        check("<! echo run", "<! echo run");
        check("-rm /x", r#"-["rm", "/x"]"#);
        check("  ls /  ", r#"["ls", "/"]"#);
        check("ls / # x", r##"["ls", "/", "#", "x"]"##);
        check("cat /a | grep 'x|y'", r#"["cat", "/a"] | grep 'x|y'"#);
        check("cat /a |", "guestfish: |: a command has to stand on each side");
        check("cat /a|b", r#"["cat", "/a|b"]"#);
    }

    #[test]
    fn quotes() {
        check(r#"rm "a b""#, r#"["rm", "a b"]"#);
        check(r"rm 'a \n'", r#"["rm", "a \\n"]"#);
        check("rm '' \"\"", r#"["rm", "", ""]"#);
        check("echo it's", r#"["echo", "it's"]"#);
        check(r#"mkfs ext4 /dev/sda label:"a b""#, r#"["mkfs", "ext4", "/dev/sda", "label:a b"]"#);
        check("rm 'a", "guestfish: the closing ' is missing");
        check(r#"rm "a"#, "guestfish: the closing \" is missing");
        check(r#"rm "a"b"#, "guestfish: \"a\"b: a space has to follow the closing \"");
    }

    #[test]
    fn escapes() {
        check(r#"e "\n\t\"\\\x41\101\xe9""#, r#"["e", "\n\t\"\\AA\xe9"]"#);
        check(r#"e "\q""#, r"guestfish: \q: no such escape sequence");
        check(r#"e "\x4""#, r"guestfish: an escape sequence has 2 digits, as in \xe9");
        check(r#"e "\777""#, r"guestfish: an escape sequence has 3 digits, as in \351");
        check(r"e a\nb", r#"["e", "a\\nb"]"#);
    }

    #[test]
    fn lists() {
        let items = list(b" /dev/sda1  '/dev/s b' \"c\\n\"").unwrap();
        assert_eq!(format!("{items:?}"), r#"["/dev/sda1", "/dev/s b", "c\n"]"#);
        assert!(list(b"").unwrap().is_empty());
    }

    #[test]
    fn decorations() {
        assert_eq!(decoration(r"\[\e[1m\]fs> \q\n"), "\u{1b}[1mfs> \\q\n");
    }
}
