// SPDX-License-Identifier: LGPL-2.1-or-later
//! `help`, and the option `--cmd-help`.

use crate::builtin;
use crate::command;
use crate::error::{Error, Result};

/// Columns of the text of help, as in the generated table.
const WIDTH: usize = 76;

/// The names of all commands, and what each does.
pub(crate) fn list() -> String {
    let commands = command::all().filter(|it| it.listed).map(|it| (it.name, it.summary));
    let mut all: Vec<_> =
        commands.chain(builtin::TABLE.iter().map(|it| (it.name, it.summary))).collect();
    all.sort_unstable();
    let width = all.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for (name, summary) in all {
        out += &format!("{name:width$}  {summary}\n");
    }
    out + "\n'help COMMAND' tells more about one of them, 'man' shows the manual.\n"
}

/// Everything about one command.
pub(crate) fn of(name: &str) -> Result<String> {
    if let Some(builtin) = builtin::find(name.as_bytes()) {
        let mut out = format!("NAME\n    {} - {}\n\nSYNOPSIS\n", builtin.name, builtin.summary);
        out += format!("    {} {}", builtin.name, builtin.synopsis).trim_end();
        out += "\n\nDESCRIPTION\n";
        out += &builtin.help.split("\n\n").map(filled).collect::<Vec<_>>().join("\n");
        if !builtin.aliases.is_empty() {
            out += &format!("\n    Also called {}.\n", builtin.aliases.join(", "));
        }
        return Ok(out);
    }
    match command::find(name.as_bytes()) {
        Some(command) => Ok(command.help.to_owned()),
        None => Err(Error::shell(format!("{name}: unknown command; 'help' lists the commands"))),
    }
}

/// A paragraph in lines that fit on a terminal.
fn filled(paragraph: &str) -> String {
    let mut out = String::new();
    let mut width = WIDTH;
    for word in paragraph.split_whitespace() {
        if width + 1 + word.len() > WIDTH {
            out += if out.is_empty() { "    " } else { "\n    " };
            width = 4;
        } else {
            out.push(' ');
            width += 1;
        }
        out += word;
        width += word.len();
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_both_kinds() {
        let list = list();
        let has = |start: &str| list.lines().any(|line| line.starts_with(start));
        assert!(has("mkfs "));
        assert!(has("copy-in "));
        assert!(!has("debug "));
    }

    #[test]
    fn of_one() {
        assert!(of("mkfs").unwrap().contains("SYNOPSIS\n    mkfs fstype device [blocksize:..]"));
        assert!(of("vi").unwrap().starts_with("NAME\n    edit - "));
        assert!(of("frob").is_err());
        for builtin in builtin::TABLE {
            assert!(
                of(builtin.name).unwrap().lines().all(|line| line.len() < 80),
                "{}",
                builtin.name
            );
        }
    }
}
