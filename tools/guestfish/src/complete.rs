// SPDX-License-Identifier: LGPL-2.1-or-later
//! What may come next on the line that is being typed.

use crate::builtin::{self, Word};
use crate::command::{self, Command, Kind};

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name.
    pub(crate) name: String,
    /// There are names in it.
    pub(crate) directory: bool,
}

/// Where names of files and devices come from.
pub(crate) trait Places {
    /// Before launch there is nothing of the guest to name.
    fn launched(&self) -> bool;
    /// What is in a directory of the guest.
    fn guest(&self, directory: &str) -> Vec<Entry>;
    /// What is in a directory of the host.
    fn host(&self, directory: &str) -> Vec<Entry>;
    /// Disks, partitions and volumes.
    fn devices(&self) -> Vec<String>;
}

/// Something to put in place of the word that is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// As it is shown in a list.
    pub(crate) shown: String,
    /// As it is put into the line.
    pub(crate) typed: String,
}

/// Where the word that ends the line starts, and what it may become.
pub(crate) fn complete(line: &str, places: &dyn Places) -> (usize, Vec<Candidate>) {
    let (words, start) = split(line);
    let partial = &line[start..];
    let (quote, bare) = match partial.strip_prefix(['"', '\'']) {
        Some(bare) => (true, bare),
        None => (false, partial),
    };
    let mut candidates = match words.first() {
        _ if line.trim_start().starts_with(['!', '<', '#']) => Vec::new(),
        None => names(bare.trim_start_matches('-'), bare.starts_with('-')),
        Some(_) => arguments(&words, bare, places),
    };
    for candidate in &mut candidates {
        candidate.typed = quoted(&candidate.typed, quote);
    }
    candidates.sort_by(|a, b| a.shown.cmp(&b.shown));
    candidates.dedup();
    (start, candidates)
}

/// The words before the last, and where the last one starts; it is empty after a space.
fn split(line: &str) -> (Vec<String>, usize) {
    let mut words = Vec::new();
    let mut start = 0;
    let mut quote = None;
    let mut inside = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(end), _) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if !inside => {
                (quote, inside, start) = (Some(c), true, at);
            }
            (None, _) if c.is_whitespace() => {
                if inside {
                    words.push(line[start..at].trim_matches(['"', '\'']).to_owned());
                }
                (inside, start) = (false, at + c.len_utf8());
            }
            (None, _) if !inside => (inside, start) = (true, at),
            (None, _) => {}
        }
    }
    (words, start)
}

/// Names of commands.
fn names(start: &str, forgiving: bool) -> Vec<Candidate> {
    let start = start.replace('_', "-");
    let commands = command::all().filter(|it| it.listed);
    let commands = commands.flat_map(|it| [it.name].into_iter().chain(it.aliases.iter().copied()));
    let builtins = builtin::TABLE.iter();
    let builtins = builtins.flat_map(|it| [it.name].into_iter().chain(it.aliases.iter().copied()));
    let dash = if forgiving { "-" } else { "" };
    commands
        .chain(builtins)
        .filter(|name| name.starts_with(&start))
        .map(|name| Candidate { shown: name.to_owned(), typed: format!("{dash}{name} ") })
        .collect()
}

fn arguments(words: &[String], bare: &str, places: &dyn Places) -> Vec<Candidate> {
    let Some((name, words)) = words.split_first() else { return names(bare, false) };
    let name = name.trim_start_matches('-');
    if let Some(builtin) = builtin::find(name.as_bytes()) {
        return match builtin.words.get(words.len()).or(builtin.words.last()) {
            Some(Word::CommandLine) => arguments(words, bare, places),
            Some(Word::Command) => names(bare, false),
            Some(Word::Of(kind)) => values(*kind, &[], bare, places),
            None => Vec::new(),
        };
    }
    let Some(command) = command::find(name.as_bytes()) else { return Vec::new() };
    let mut typed = command.params.iter().filter(|it| it.kind != Kind::Key);
    match typed.nth(words.len()) {
        Some(param) => values(param.kind, param.values, bare, places),
        None => options(command, words, bare),
    }
}

/// Options that are not there yet, or the values of one.
fn options(command: &Command, words: &[String], bare: &str) -> Vec<Candidate> {
    if let Some((name, value)) = bare.split_once(':') {
        let param = command.options.iter().find(|it| it.name == name);
        let of = |it: &&str| Candidate { shown: (*it).to_owned(), typed: format!("{name}:{it} ") };
        let fits = |it: &&&str| it.starts_with(value);
        return match param {
            Some(param) if param.kind == Kind::Bool => {
                ["true", "false"].iter().filter(fits).map(of).collect()
            }
            Some(param) => param.values.iter().filter(fits).map(of).collect(),
            None => Vec::new(),
        };
    }
    let names = command.options.iter().map(|it| format!("{}:", it.name));
    names
        .filter(|it| it.starts_with(bare) && !words.iter().any(|word| word.starts_with(it)))
        .map(|it| Candidate { shown: it.clone(), typed: it })
        .collect()
}

fn values(kind: Kind, values: &[&str], bare: &str, places: &dyn Places) -> Vec<Candidate> {
    let among = |all: &[&str]| -> Vec<Candidate> {
        let fits = all.iter().filter(|it| it.starts_with(bare));
        fits.map(|it| Candidate { shown: (*it).to_owned(), typed: format!("{it} ") }).collect()
    };
    if !values.is_empty() {
        return among(values);
    }
    let devices = || {
        let devices = places.devices();
        among(&devices.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let guest = || paths(bare, &|directory| places.guest(directory));
    let host = || paths(bare, &|directory| places.host(directory));
    match kind {
        Kind::Bool => among(&["true", "false"]),
        Kind::Number | Kind::Key => Vec::new(),
        // Images are named before launch, and there is nothing else to name then.
        Kind::Text if !places.launched() => host(),
        Kind::Text if bare.starts_with("/dev/") => devices(),
        Kind::Text if bare.starts_with('/') => guest(),
        Kind::Text | Kind::List => Vec::new(),
        Kind::Path | Kind::PathList => guest(),
        Kind::Device | Kind::Mountable | Kind::DeviceList => devices(),
        Kind::DeviceOrPath | Kind::MountableOrPath => {
            let mut both = devices();
            both.extend(guest());
            both
        }
        Kind::FileIn | Kind::FileOut => host(),
    }
}

fn paths(bare: &str, list: &dyn Fn(&str) -> Vec<Entry>) -> Vec<Candidate> {
    let (directory, start) = match bare.rfind('/') {
        Some(slash) => bare.split_at(slash + 1),
        None => ("", bare),
    };
    let entries = list(directory).into_iter();
    // As in any shell: a hidden file is not offered before its dot is typed.
    let fits = |it: &Entry| {
        it.name.starts_with(start) && (start.starts_with('.') || !it.name.starts_with('.'))
    };
    entries
        .filter(fits)
        .map(|Entry { name, directory: is_directory }| {
            let end = if is_directory { "/" } else { " " };
            Candidate { shown: name.clone(), typed: format!("{directory}{name}{end}") }
        })
        .collect()
}

/// A word as it has to be typed.  A space at its end is the one after it.
fn quoted(word: &str, quote: bool) -> String {
    let (bare, end) = match word.strip_suffix(' ') {
        Some(bare) => (bare, " "),
        None => (word, ""),
    };
    let needs = bare.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'\\".contains(c));
    if !quote && !needs {
        return word.to_owned();
    }
    let mut out = "\"".to_owned();
    for c in bare.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_ascii_control() => out += &format!("\\x{:02x}", u32::from(c)),
            c => out.push(c),
        }
    }
    // Inside a directory there is more to type.
    match end {
        "" => out,
        _ => out + "\"" + end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;

    impl Places for Fake {
        fn launched(&self) -> bool {
            true
        }

        fn guest(&self, directory: &str) -> Vec<Entry> {
            let entries: &[(&str, bool)] = match directory {
                "/" => &[("etc", true), ("a b", false), (".hidden", false)],
                "/etc/" => &[("hostname", false), ("hosts", false)],
                _ => &[],
            };
            entries
                .iter()
                .map(|(name, dir)| Entry { name: (*name).into(), directory: *dir })
                .collect()
        }

        fn host(&self, directory: &str) -> Vec<Entry> {
            match directory {
                "" => vec![Entry { name: "disk.img".into(), directory: false }],
                _ => Vec::new(),
            }
        }

        fn devices(&self) -> Vec<String> {
            vec!["/dev/sda".into(), "/dev/sda1".into()]
        }
    }

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let (start, candidates) = complete(line, &Fake);
        let lines: Vec<_> =
            candidates.iter().map(|it| format!("{}{}", &line[..start], it.typed)).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn commands() {
        check("umount-", &["umount-all ", "umount-local ", "umount-opts "]);
        check("part_lis", &["part-list "]);
        check("  copy-o", &["  copy-out "]);
        check("-copy-o", &["-copy-out "]);
        check("time copy-o", &["time copy-out "]);
        check("glob time copy-o", &["glob time copy-out "]);
        check("help copy-o", &["help copy-out "]);
        check("!ls", &[]);
        check("frob /", &[]);
    }

    #[test]
    fn paths_of_the_guest() {
        check("cat /e", &["cat /etc/"]);
        check("cat /etc/host", &["cat /etc/hostname ", "cat /etc/hosts "]);
        check("cat /a", &["cat \"/a b\" "]);
        check("cat \"/a", &["cat \"/a b\" "]);
        check("cat \"/e", &["cat \"/etc/"]);
        check("cat /", &["cat \"/a b\" ", "cat /etc/"]);
        check("cat /.", &["cat /.hidden "]);
        check("copy-out /etc/hosts /etc/hostn", &["copy-out /etc/hosts /etc/hostname "]);
    }

    #[test]
    fn devices_and_files() {
        check("mount /dev/s", &["mount /dev/sda ", "mount /dev/sda1 "]);
        check("mount /dev/sda1 /e", &["mount /dev/sda1 /etc/"]);
        check("upload d", &["upload disk.img "]);
        check("download /etc/hosts d", &["download /etc/hosts disk.img "]);
    }

    #[test]
    fn options_by_name() {
        check("mkfs ext4 /dev/sda la", &["mkfs ext4 /dev/sda label:"]);
        check("mkfs ext4 /dev/sda label:x la", &[]);
        check("umount /dev/sda force:t", &["umount /dev/sda force:true "]);
        check("part-set-bootable /dev/sda 1 t", &["part-set-bootable /dev/sda 1 true "]);
    }
}
