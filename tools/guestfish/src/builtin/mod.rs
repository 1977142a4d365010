// SPDX-License-Identifier: LGPL-2.1-or-later
//! The commands that are not functions of the library.

mod control;
mod copy;
mod drives;
mod edit;
mod events;
mod host;

use bstr::{BString, ByteSlice};

use crate::command::Kind;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::session::Session;
use crate::source::Lines;

pub(crate) use events::EventScript;

/// A command of the shell itself.
pub(crate) struct Builtin {
    /// Its name, with dashes.
    pub(crate) name: &'static str,
    /// Its other names.
    pub(crate) aliases: &'static [&'static str],
    /// Its parameters, for people.
    pub(crate) synopsis: &'static str,
    /// A phrase.
    pub(crate) summary: &'static str,
    /// Paragraphs.
    pub(crate) help: &'static str,
    /// What its parameters are; the last may be repeated.
    pub(crate) words: &'static [Word],
    /// How many it needs, and how many it takes.
    pub(crate) takes: (usize, usize),
    /// Carries it out.
    pub(crate) run: fn(&mut Session, Call<'_>) -> Result<()>,
}

/// What a parameter of a builtin is, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The name of a command.
    Command,
    /// A command, and after it what that takes.
    CommandLine,
    /// As for a function of the library.
    Of(Kind),
}

/// One use of a builtin.
pub(crate) struct Call<'a> {
    /// What it was called as.
    pub(crate) name: &'a BString,
    pub(crate) words: &'a [BString],
    pub(crate) out: &'a mut Output,
    pub(crate) lines: &'a mut dyn Lines,
}

const MANY: usize = usize::MAX;

const HOST: &[Word] = &[Word::Of(Kind::FileIn)];
const PATH: &[Word] = &[Word::Of(Kind::Path)];
const TEXT: &[Word] = &[Word::Of(Kind::Text)];

/// All of them.
pub(crate) static TABLE: &[Builtin] = &[
    Builtin {
        name: "alloc",
        aliases: &["allocate"],
        synopsis: "filename size",
        summary: "make an image with its space allocated, and add it",
        help: "Makes a raw disk image of the host full of zeroes, and adds it as the next\n\
               disk. The size is in bytes; 100M and the like are understood.\n\n\
               disk-create knows other formats.",
        words: HOST,
        takes: (2, 2),
        run: drives::alloc,
    },
    Builtin {
        name: "copy-in",
        aliases: &[],
        synopsis: "local [local ...] /directory",
        summary: "copy files and directories of the host into the guest",
        help: "Copies files, and directories with everything in them, into a directory of\n\
               the guest, which has to be there. Owners and permissions are copied too.",
        words: &[Word::Of(Kind::FileIn)],
        takes: (2, MANY),
        run: copy::copy_in,
    },
    Builtin {
        name: "copy-out",
        aliases: &[],
        synopsis: "/remote [/remote ...] local-directory",
        summary: "copy files and directories of the guest to the host",
        help: "Copies files, and directories with everything in them, into a directory of\n\
               the host, which has to be there. A file or directory that has the name\n\
               already is overwritten.",
        words: PATH,
        takes: (2, MANY),
        run: copy::copy_out,
    },
    Builtin {
        name: "delete-event",
        aliases: &[],
        synopsis: "name",
        summary: "forget an event handler",
        help: "Takes away every handler that event has registered with this name.",
        words: TEXT,
        takes: (1, 1),
        run: events::delete_event,
    },
    Builtin {
        name: "echo",
        aliases: &[],
        synopsis: "[word ...]",
        summary: "print words",
        help: "Prints the words with a space between them.",
        words: TEXT,
        takes: (0, MANY),
        run: host::echo,
    },
    Builtin {
        name: "edit",
        aliases: &["vi", "emacs"],
        synopsis: "/file",
        summary: "edit a file of the guest",
        help: "Brings the file to the host, starts the program that $EDITOR names (vi if it\n\
               names none), and puts the file back if it was changed. Called as vi or\n\
               emacs, that program is started.\n\n\
               Owner and permissions of the file stay as they are.",
        words: PATH,
        takes: (1, 1),
        run: edit::edit,
    },
    Builtin {
        name: "event",
        aliases: &[],
        synopsis: "name events \"shell script\"",
        summary: "run a program of the host when something happens",
        help: "Registers a handler: a shell script that runs at each of these events, which\n\
               are separated by commas; * stands for all. The events are close,\n\
               subprocess_quit, launch_done, progress, appliance, library, trace, enter,\n\
               libvirt_auth and warning.\n\n\
               The script finds the name of the event in $EVENT, and the text or the\n\
               numbers that come with it in $1, $2 and so on.",
        words: TEXT,
        takes: (3, 3),
        run: events::event,
    },
    Builtin {
        name: "glob",
        aliases: &[],
        synopsis: "command [word ...]",
        summary: "run a command for each path that wildcards match",
        help: "Words that start with / and have *, ? or [ in them are expanded in the guest,\n\
               and the command runs once for each path. With several such words it runs for\n\
               every combination. If nothing matches, it does not run.\n\n\
               /dev/ with wildcards matches disks, partitions and logical volumes.",
        words: &[Word::CommandLine],
        takes: (1, MANY),
        run: control::glob,
    },
    Builtin {
        name: "help",
        aliases: &[],
        synopsis: "[command]",
        summary: "list the commands, or explain one",
        help: "Without a command, lists all of them. 'help COMMAND' tells how it is used.",
        words: &[Word::Command],
        takes: (0, 1),
        run: control::help,
    },
    Builtin {
        name: "lcd",
        aliases: &[],
        synopsis: "directory",
        summary: "change the current directory of the host",
        help: "Names of host files are relative to it. (!cd would change the directory of\n\
               the shell that it starts, and of nothing else.)",
        words: HOST,
        takes: (1, 1),
        run: host::lcd,
    },
    Builtin {
        name: "list-events",
        aliases: &[],
        synopsis: "",
        summary: "list event handlers",
        help: "Lists the handlers that event has registered: name, events and script.",
        words: &[],
        takes: (0, 0),
        run: events::list_events,
    },
    Builtin {
        name: "man",
        aliases: &["manual"],
        synopsis: "",
        summary: "show the manual",
        help: "Shows the manual page of guestfish.",
        words: &[],
        takes: (0, 0),
        run: host::man,
    },
    Builtin {
        name: "more",
        aliases: &["less"],
        synopsis: "/file",
        summary: "show a file of the guest page by page",
        help: "Shows the file in the program that $PAGER names (more if it names none).\n\
               Called as less, that program is used.",
        words: PATH,
        takes: (1, 1),
        run: edit::more,
    },
    Builtin {
        name: "not",
        aliases: &[],
        synopsis: "command [word ...]",
        summary: "expect a command to fail",
        help: "Runs the command, and fails if it does not.",
        words: &[Word::CommandLine],
        takes: (1, MANY),
        run: control::not,
    },
    Builtin {
        name: "quit",
        aliases: &["exit", "q"],
        synopsis: "",
        summary: "end the session",
        help: "Writes back what is not on the disks yet, and ends the session.",
        words: &[],
        takes: (0, 0),
        run: control::quit,
    },
    Builtin {
        name: "reopen",
        aliases: &[],
        synopsis: "",
        summary: "start again with a new handle",
        help: "Shuts the appliance down and takes a new handle. Settings and event handlers\n\
               are kept; disks have to be added again.",
        words: &[],
        takes: (0, 0),
        run: drives::reopen,
    },
    Builtin {
        name: "setenv",
        aliases: &[],
        synopsis: "variable value",
        summary: "set a variable for the programs that are started",
        help: "Sets a variable of the environment, such as EDITOR, for this session and the\n\
               programs of the host that are started in it.",
        words: TEXT,
        takes: (2, 2),
        run: host::setenv,
    },
    Builtin {
        name: "sparse",
        aliases: &[],
        synopsis: "filename size",
        summary: "make an image that takes no space yet, and add it",
        help: "Makes a raw disk image of the host that takes space only as it is written to,\n\
               and adds it as the next disk. The size is in bytes; 100M and the like are\n\
               understood.\n\n\
               disk-create knows other formats.",
        words: HOST,
        takes: (2, 2),
        run: drives::sparse,
    },
    Builtin {
        name: "supported",
        aliases: &[],
        synopsis: "",
        summary: "list the features, and whether the appliance has them",
        help: "Prints each feature with yes or no. The appliance has to be launched.",
        words: &[],
        takes: (0, 0),
        run: control::supported,
    },
    Builtin {
        name: "time",
        aliases: &[],
        synopsis: "command [word ...]",
        summary: "print how long a command takes",
        help: "Runs the command and prints the time that went by.",
        words: &[Word::CommandLine],
        takes: (1, MANY),
        run: control::time,
    },
    Builtin {
        name: "unsetenv",
        aliases: &[],
        synopsis: "variable",
        summary: "take a variable from the programs that are started",
        help: "Removes a variable from the environment of this session.",
        words: TEXT,
        takes: (1, 1),
        run: host::unsetenv,
    },
];

/// Commands that people may look for, and why they are not here.
const NOT_AVAILABLE: &[(&str, &str)] = &[
    ("display", "it needs a viewer of images"),
    ("hexedit", "download the file, edit it and upload it again"),
];

/// The builtin of that name or alias.
pub(crate) fn find(name: &[u8]) -> Option<&'static Builtin> {
    let name = name.to_str().ok()?.replace('_', "-");
    TABLE.iter().find(|it| it.name == name || it.aliases.contains(&name.as_str()))
}

/// Why there is no command of that name.
pub(crate) fn not_available(name: &str) -> Option<&'static str> {
    NOT_AVAILABLE.iter().find(|(it, _)| *it == name).map(|(_, why)| *why)
}

impl Builtin {
    /// Sees that there are as many words as it takes.
    pub(crate) fn check(&self, words: &[BString]) -> Result<()> {
        match (self.takes.0..=self.takes.1).contains(&words.len()) {
            true => Ok(()),
            false => {
                let usage = format!("{} {}", self.name, self.synopsis);
                Err(Error::shell(format!("{}: use it as: {}", self.name, usage.trim_end())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted() {
        assert!(TABLE.is_sorted_by_key(|it| it.name));
        assert_eq!(find(b"copy_in").map(|it| it.name), Some("copy-in"));
        assert_eq!(find(b"q").map(|it| it.name), Some("quit"));
    }

    #[test]
    fn what_is_missing_is_not_there() {
        for (name, _) in NOT_AVAILABLE {
            assert!(find(name.as_bytes()).is_none());
        }
    }

    #[test]
    fn counts() {
        let message = |name: &[u8], words: &[BString]| match find(name).unwrap().check(words) {
            Ok(()) => String::new(),
            Err(err) => err.to_string(),
        };
        assert_eq!(message(b"lcd", &[]), "guestfish: lcd: use it as: lcd directory");
        assert_eq!(message(b"quit", &["x".into()]), "guestfish: quit: use it as: quit");
        assert_eq!(message(b"echo", &["x".into()]), "");
    }
}
