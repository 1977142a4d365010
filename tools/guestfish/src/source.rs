// SPDX-License-Identifier: LGPL-2.1-or-later
//! Where lines come from.

use std::io::BufRead;

use bstr::BString;

use crate::error::{Error, Result};

/// Whoever gives lines.
pub(crate) trait Lines {
    /// The next line, without its end; none if there are no more.
    fn more(&mut self) -> Result<Option<BString>>;
}

/// The command line of the program, which has no lines.
pub(crate) struct NoLines;

impl Lines for NoLines {
    fn more(&mut self) -> Result<Option<BString>> {
        Ok(None)
    }
}

/// A script.
pub(crate) struct Script<R> {
    from: R,
    name: String,
}

impl<R: BufRead> Script<R> {
    /// A script of that name.
    pub(crate) fn new(from: R, name: impl Into<String>) -> Self {
        Self { from, name: name.into() }
    }
}

impl<R: BufRead> Lines for Script<R> {
    fn more(&mut self) -> Result<Option<BString>> {
        // Any bytes: names of the guest need not be UTF-8.
        let mut line = Vec::new();
        let length = self.from.read_until(b'\n', &mut line).map_err(Error::io(&self.name))?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok((length > 0).then(|| line.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_script() {
        let mut script = Script::new(&b"one\n\n\xe9"[..], "test");
        let mut lines = Vec::new();
        while let Some(line) = script.more().unwrap() {
            lines.push(line);
        }
        assert_eq!(format!("{lines:?}"), r#"["one", "", "\xe9"]"#);
    }
}
