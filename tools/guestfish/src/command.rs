// SPDX-License-Identifier: LGPL-2.1-or-later
//! The commands that are functions of the library: what they are, and how their arguments are
//! read.

use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use guestfs::Handle;

use crate::error::{Error, Result};
use crate::files::Files;
use crate::generated::COMMANDS;
use crate::keys::{Key, Keys};
use crate::lex;
use crate::output::Output;
use crate::source::Lines;
use crate::units;

pub use crate::units::Unit;

/// A function of the library, as a command.
pub struct Command {
    /// Its name, with dashes.
    pub name: &'static str,
    /// Its other names.
    pub aliases: &'static [&'static str],
    /// A phrase.
    pub summary: &'static str,
    /// It is in the list that `help` prints.
    pub listed: bool,
    /// What `help NAME` prints.
    pub help: &'static str,
    /// What has to be given.
    pub params: &'static [Param],
    /// What may be given, as `name:value`.
    pub options: &'static [Param],
    /// Reads the arguments, calls the function and prints the result.
    pub run: fn(&Handle, &mut Args<'_>, &mut Output) -> Result<()>,
}

/// A parameter or an option.
#[derive(Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it counts, if it is a number.
    pub unit: Unit,
    /// The only values there are, if the list is short.
    pub values: &'static [&'static str],
}

/// What a parameter is: how it is completed, and for some how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// Any text.
    Text,
    /// A path of the guest.
    Path,
    /// A disk, partition or volume.
    Device,
    /// The same, or a subvolume.
    Mountable,
    /// Starts with `/dev/`, or is a path of the guest.
    DeviceOrPath,
    /// The same, or a subvolume.
    MountableOrPath,
    /// A file of the host to read.
    FileIn,
    /// A file of the host to write.
    FileOut,
    /// A secret, which is asked for.
    Key,
    /// Several texts in one argument.
    List,
    /// Several devices in one argument.
    DeviceList,
    /// Several paths in one argument.
    PathList,
}

/// The command of that name or alias; underscores are as good as dashes.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    let name = name.to_str().ok()?.replace('_', "-");
    let mut all = COMMANDS.iter().flat_map(|group| group.iter());
    all.find(|it| it.name == name || it.aliases.contains(&name.as_str()))
}

/// Every command.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().flat_map(|group| group.iter())
}

/// The arguments of one call, read from left to right.
pub struct Args<'a> {
    command: &'static Command,
    words: std::slice::Iter<'a, BString>,
    next: usize,
    options: Vec<(&'static Param, &'a [u8])>,
    files: Files,
    keys: &'a Keys,
    lines: &'a mut dyn Lines,
}

impl<'a> Args<'a> {
    /// Sees that there are as many words as parameters, and that the rest are options.
    pub(crate) fn new(
        command: &'static Command,
        words: &'a [BString],
        keys: &'a Keys,
        lines: &'a mut dyn Lines,
        out: &Output,
    ) -> Result<Self> {
        let typed = command.params.iter().filter(|it| it.kind != Kind::Key).count();
        if words.len() < typed || (command.options.is_empty() && words.len() > typed) {
            return Err(wrong_count(command, typed, words.len()));
        }
        let (words, rest) = words.split_at(typed);
        let options = parse_options(command, rest)?;
        let files = match command.params.iter().any(|it| it.kind == Kind::FileOut) {
            true => Files::writing_to(out.share()?),
            false => Files::default(),
        };
        Ok(Self { command, words: words.iter(), next: 0, options, files, keys, lines })
    }

    /// Waits for the programs and threads at the other end of files.
    pub(crate) fn finish(self) -> Result<()> {
        self.files.finish()
    }

    /// Text.
    pub fn text(&mut self) -> Result<BString> {
        Ok(self.word().1.into())
    }

    /// Text, or nothing where it is empty.
    pub fn optional_text(&mut self) -> Result<Option<Vec<u8>>> {
        let (_, word) = self.word();
        Ok((!word.is_empty()).then(|| word.to_vec()))
    }

    /// A path of the guest.
    pub fn path(&mut self) -> Result<BString> {
        let (param, word) = self.word();
        reject_windows(param, word)?;
        Ok(word.into())
    }

    /// True or false.
    pub fn bool(&mut self) -> Result<bool> {
        let (param, word) = self.word();
        parse_bool(param, word)
    }

    /// A number of 32 bits.
    pub fn int(&mut self) -> Result<i32> {
        let (param, word) = self.word();
        parse_int(param, word)
    }

    /// A number of 64 bits.
    pub fn int64(&mut self) -> Result<i64> {
        let (param, word) = self.word();
        parse_number(param, word)
    }

    /// A list of texts.
    pub fn list(&mut self) -> Result<Vec<BString>> {
        lex::list(self.word().1)
    }

    /// A list of paths of the guest.
    pub fn path_list(&mut self) -> Result<Vec<BString>> {
        let (param, word) = self.word();
        let paths = lex::list(word)?;
        paths.iter().try_for_each(|path| reject_windows(param, path))?;
        Ok(paths)
    }

    /// A file of the host to read.
    pub fn file_in(&mut self) -> Result<PathBuf> {
        let (_, word) = self.word();
        self.files.file_in(word, self.lines)
    }

    /// A file of the host to write.
    pub fn file_out(&mut self) -> Result<PathBuf> {
        let (_, word) = self.word();
        self.files.file_out(word)
    }

    /// A secret, which is asked for.
    pub fn key(&mut self) -> Result<Key> {
        let param = &self.command.params[self.next];
        self.next += 1;
        self.keys.read(param.name)
    }

    /// An option that is true or false.
    pub fn option_bool(&self, name: &str) -> Result<Option<bool>> {
        self.option(name).map(|(param, value)| parse_bool(param, value)).transpose()
    }

    /// An option of 32 bits.
    pub fn option_int(&self, name: &str) -> Result<Option<i32>> {
        self.option(name).map(|(param, value)| parse_int(param, value)).transpose()
    }

    /// An option of 64 bits.
    pub fn option_int64(&self, name: &str) -> Result<Option<i64>> {
        self.option(name).map(|(param, value)| parse_number(param, value)).transpose()
    }

    /// An option that is text.
    pub fn option_text(&self, name: &str) -> Result<Option<BString>> {
        Ok(self.option(name).map(|(_, value)| value.into()))
    }

    /// An option that is a list of texts.
    pub fn option_list(&self, name: &str) -> Result<Option<Vec<BString>>> {
        self.option(name).map(|(_, value)| lex::list(value)).transpose()
    }

    fn option(&self, name: &str) -> Option<(&'static Param, &'a [u8])> {
        self.options.iter().find(|(param, _)| param.name == name).copied()
    }

    /// The next parameter and its word: the numbers of both were compared at the start.
    fn word(&mut self) -> (&'static Param, &'a [u8]) {
        let param = &self.command.params[self.next];
        self.next += 1;
        (param, self.words.next().map_or(b"", |word| word.as_slice()))
    }
}

fn wrong_count(command: &Command, wanted: usize, given: usize) -> Error {
    let least = if command.options.is_empty() { "" } else { "at least " };
    let wanted = match wanted {
        0 => "no parameters".to_owned(),
        1 => format!("{least}1 parameter"),
        n => format!("{least}{n} parameters"),
    };
    let name = command.name;
    Error::shell(format!("{name}: takes {wanted}, not {given}; 'help {name}' tells more"))
}

fn parse_options<'a>(
    command: &'static Command,
    words: &'a [BString],
) -> Result<Vec<(&'static Param, &'a [u8])>> {
    let mut options: Vec<(&Param, &[u8])> = Vec::new();
    for word in words {
        let named = word.split_once_str(":").and_then(|(name, value)| {
            let param = command.options.iter().find(|it| it.name.as_bytes() == name)?;
            Some((param, value))
        });
        let Some((param, value)) = named else {
            let names: Vec<_> = command.options.iter().map(|it| format!("{}:", it.name)).collect();
            let names = names.join(", ");
            let message = format!("{}: {word}: not one of the options {names}", command.name);
            return Err(Error::shell(message));
        };
        if options.iter().any(|(it, _)| it.name == param.name) {
            return Err(Error::shell(format!("{}: {}: given twice", command.name, param.name)));
        }
        options.push((param, value));
    }
    Ok(options)
}

fn parse_bool(param: &Param, word: &[u8]) -> Result<bool> {
    match word.to_ascii_lowercase().as_slice() {
        b"1" | b"t" | b"true" | b"y" | b"yes" | b"on" => Ok(true),
        b"0" | b"f" | b"false" | b"n" | b"no" | b"off" => Ok(false),
        _ => Err(bad(param, word, "neither true nor false")),
    }
}

fn parse_number(param: &Param, word: &[u8]) -> Result<i64> {
    let text = word.to_str().map_err(|_| bad(param, word, "not a number"))?;
    units::parse(text, param.unit).map_err(|why| bad(param, word, &why))
}

fn parse_int(param: &Param, word: &[u8]) -> Result<i32> {
    let number = parse_number(param, word)?;
    i32::try_from(number).map_err(|_| bad(param, word, "the number is too large"))
}

fn reject_windows(param: &Param, word: &[u8]) -> Result<()> {
    match word.get(..4).is_some_and(|it| it.eq_ignore_ascii_case(b"win:")) {
        true => Err(bad(param, word, "paths of Windows are not understood: write /dir/file")),
        false => Ok(()),
    }
}

fn bad(param: &Param, word: &[u8], why: &str) -> Error {
    Error::shell(format!("{}: {}: {why}", param.name, word.as_bstr()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::builtin;
    use crate::source::NoLines;

    #[test]
    fn names_are_unique() {
        let mut names = BTreeSet::new();
        for command in all() {
            for name in [&command.name].into_iter().chain(command.aliases) {
                assert!(names.insert(*name), "{name} stands twice in the table");
            }
        }
        for builtin in builtin::TABLE {
            for name in [&builtin.name].into_iter().chain(builtin.aliases) {
                assert!(names.insert(*name), "{name} stands twice in the tables");
            }
        }
    }

    #[test]
    fn commands_are_well_formed() {
        for command in all() {
            assert!(!command.name.contains('_'), "{}", command.name);
            assert!(command.help.starts_with("NAME\n"), "{}", command.name);
            for line in command.help.lines() {
                assert!(line.len() < 200, "{}: {line}", command.name);
            }
        }
        assert_eq!(find(b"disk_create").map(|it| it.name), Some("disk-create"));
        assert_eq!(find(b"run").map(|it| it.name), Some("launch"));
        assert_eq!(find(b"mkfs-opts").map(|it| it.name), Some("mkfs"));
        assert!(find(b"frobnicate").is_none());
    }

    static SAMPLE: Command = Command {
        name: "sample",
        aliases: &[],
        summary: "",
        listed: false,
        help: "",
        params: &[
            Param { name: "path", kind: Kind::Path, unit: Unit::Plain, values: &[] },
            Param { name: "mbytes", kind: Kind::Number, unit: Unit::MiB, values: &[] },
            Param { name: "secret", kind: Kind::Key, unit: Unit::Plain, values: &[] },
        ],
        options: &[
            Param { name: "force", kind: Kind::Bool, unit: Unit::Plain, values: &[] },
            Param { name: "names", kind: Kind::List, unit: Unit::Plain, values: &[] },
        ],
        run: |_, args, out| {
            let path = args.path()?;
            let mbytes = args.int()?;
            let force = args.option_bool("force")?;
            let names = args.option_list("names")?;
            out.line(format!("{path} {mbytes} {force:?} {names:?}").as_bytes())
        },
    };

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let words = lex::list(line.as_bytes()).unwrap();
        let mut out = Output::Memory(Vec::new());
        let keys = Keys::default();
        let g = Handle::create().unwrap();
        let result = Args::new(&SAMPLE, &words, &keys, &mut NoLines, &out)
            .and_then(|mut args| (SAMPLE.run)(&g, &mut args, &mut out));
        let actual = match (result, out) {
            (Err(err), _) => err.to_string(),
            (Ok(()), Output::Memory(text)) => String::from_utf8(text).unwrap(),
            (Ok(()), _) => panic!("another output"),
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn arguments() {
        check("/a 1G", "/a 1024 None None\n");
        check("/a 1 force:yes names:'a b'", "/a 1 Some(true) Some([\"a\", \"b\"])\n");
        check(
            "/a",
            "guestfish: sample: takes at least 2 parameters, not 1; 'help sample' tells more",
        );
        check("/a x", "guestfish: mbytes: x: not a number");
        check("/a 1K", "guestfish: mbytes: 1K: not a whole number of MiB");
        check("/a 3000000000", "guestfish: mbytes: 3000000000: the number is too large");
        check("/a 1 force:maybe", "guestfish: force: maybe: neither true nor false");
        check("/a 1 force:1 force:0", "guestfish: sample: force: given twice");
        check("/a 1 x:1", "guestfish: sample: x:1: not one of the options force:, names:");
        check(
            "'win:c:\\x' 1",
            "guestfish: path: win:c:\\x: paths of Windows are not understood: write /dir/file",
        );
    }
}
