// SPDX-License-Identifier: LGPL-2.1-or-later
//! How results are printed, and where to.

use std::io::{self, ErrorKind, Write};

use bstr::BString;

use crate::error::{Error, Result};

/// Where results go.
pub enum Output {
    /// Standard output.
    Terminal,
    /// The other side of `|`.
    Pipe {
        /// Its standard input.
        to: io::PipeWriter,
        /// It is an error if it stops reading.
        strict: bool,
    },
    /// Kept, for tests.
    #[cfg(test)]
    Memory(Vec<u8>),
}

/// A structure, as names and values.
pub trait Fields {
    /// The fields in order.
    fn fields(&self) -> Vec<(&'static str, Field<'_>)>;
}

/// The value of a field.
pub enum Field<'a> {
    /// Text, printed as it is.
    Text(&'a [u8]),
    /// Bytes, escaped.
    Bytes(&'a [u8]),
    /// One character.
    Char(u8),
    /// A number.
    Number(i128),
    /// From 0 to 100; negative for none.
    Percent(f32),
}

impl Output {
    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) -> Result<()> {
        self.line(value.to_string().as_bytes())
    }

    /// A decimal number.
    pub fn number(&mut self, value: impl Into<i64>) -> Result<()> {
        let value = value.into();
        self.line(value.to_string().as_bytes())
    }

    /// An octal number, as C writes it.
    pub fn octal(&mut self, value: impl Into<i64>) -> Result<()> {
        let value = value.into();
        let prefix = if value == 0 { "" } else { "0" };
        self.line(format!("{prefix}{value:o}").as_bytes())
    }

    /// A hexadecimal number, as C writes it.
    pub fn hexadecimal(&mut self, value: impl Into<i64>) -> Result<()> {
        let value = value.into();
        let prefix = if value == 0 { "" } else { "0x" };
        self.line(format!("{prefix}{value:x}").as_bytes())
    }

    /// Text and the end of its line.
    pub fn line(&mut self, text: &[u8]) -> Result<()> {
        self.bytes(&[text, b"\n"].concat())
    }

    /// Text that there may not be.
    pub fn optional(&mut self, text: Option<BString>) -> Result<()> {
        match text {
            Some(text) => self.line(&text),
            None => self.line(b"(null)"),
        }
    }

    /// Texts, one to a line.
    pub fn lines(&mut self, items: &[BString]) -> Result<()> {
        self.bytes(&items.iter().flat_map(|it| [it.as_slice(), b"\n"]).collect::<Vec<_>>().concat())
    }

    /// `key: value`, one to a line.
    pub fn hash(&mut self, pairs: &[(BString, BString)]) -> Result<()> {
        let parts = pairs.iter().flat_map(|(key, value)| [key.as_slice(), b": ", value, b"\n"]);
        self.bytes(&parts.collect::<Vec<_>>().concat())
    }

    /// `field: value`, one to a line.
    pub fn structure(&mut self, value: &impl Fields) -> Result<()> {
        self.bytes(&printed(value, ""))
    }

    /// Structures with their numbers.
    pub fn structures(&mut self, values: &[impl Fields]) -> Result<()> {
        let mut out = Vec::new();
        for (number, value) in values.iter().enumerate() {
            out.extend_from_slice(format!("[{number}] = {{\n").as_bytes());
            out.extend(printed(value, "  "));
            out.extend_from_slice(b"}\n");
        }
        self.bytes(&out)
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Terminal => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Error::Output)
            }
            Self::Pipe { to, strict } => match to.write_all(bytes) {
                // `| head` has had enough.
                Err(err) if err.kind() == ErrorKind::BrokenPipe && !*strict => Ok(()),
                result => result.map_err(Error::io("|")),
            },
            #[cfg(test)]
            Self::Memory(memory) => {
                memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The same output for another thread.
    pub(crate) fn share(&self) -> Result<Self> {
        match self {
            Self::Terminal => Ok(Self::Terminal),
            Self::Pipe { to, strict } => {
                let to = to.try_clone().map_err(Error::io("|"))?;
                Ok(Self::Pipe { to, strict: *strict })
            }
            #[cfg(test)]
            Self::Memory(_) => Ok(Self::Memory(Vec::new())),
        }
    }
}

fn printed(value: &impl Fields, indent: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, field) in value.fields() {
        out.extend_from_slice(format!("{indent}{name}: ").as_bytes());
        match field {
            Field::Text(text) => out.extend_from_slice(text),
            Field::Bytes(bytes) => {
                for &byte in bytes {
                    match byte {
                        b' '..=b'~' => out.push(byte),
                        _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                    }
                }
            }
            Field::Char(byte) => out.push(byte),
            Field::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Field::Percent(percent) if percent < 0.0 => {}
            Field::Percent(percent) => out.extend_from_slice(format!("{percent} %").as_bytes()),
        }
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(print: impl FnOnce(&mut Output) -> Result<()>, expected: &str) {
        let mut out = Output::Memory(Vec::new());
        print(&mut out).unwrap();
        let Output::Memory(memory) = out else { panic!("another output") };
        assert_eq!(String::from_utf8(memory).unwrap(), expected);
    }

    #[test]
    fn plain_values() {
        check(|out| out.bool(true), "true\n");
        check(|out| out.number(-3), "-3\n");
        check(|out| out.octal(0o22), "022\n");
        check(|out| out.octal(0), "0\n");
        check(|out| out.hexadecimal(0x83), "0x83\n");
        check(|out| out.line(b"abc"), "abc\n");
        check(|out| out.optional(None), "(null)\n");
        check(|out| out.bytes(b"a"), "a");
        check(|out| out.lines(&["a".into(), "b".into()]), "a\nb\n");
        check(|out| out.hash(&[("k".into(), "v".into())]), "k: v\n");
    }

    struct Sample;

    impl Fields for Sample {
        fn fields(&self) -> Vec<(&'static str, Field<'_>)> {
            vec![
                ("name", Field::Text(b"x y")),
                ("data", Field::Bytes(b"a\0")),
                ("kind", Field::Char(b'r')),
                ("size", Field::Number(7)),
                ("full", Field::Percent(12.5)),
                ("none", Field::Percent(-1.0)),
            ]
        }
    }

    #[test]
    fn structures() {
        let text = "name: x y\ndata: a\\x00\nkind: r\nsize: 7\nfull: 12.5 %\nnone: \n";
        check(|out| out.structure(&Sample), text);
        let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
        check(|out| out.structures(&[Sample]), &format!("[0] = {{\n{indented}}}\n"));
        check(|out| out.structures(&[] as &[Sample]), "");
    }
}
