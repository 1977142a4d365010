// SPDX-License-Identifier: LGPL-2.1-or-later
//! The options of the program: what is said on the command line, not what comes of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use bstr::{BString, ByteSlice};
use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::error::{Error, Result};

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) drives: Vec<Drive>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) access: Access,
    pub(crate) file: Option<OsString>,
    pub(crate) verbose: bool,
    pub(crate) trace: bool,
    pub(crate) no_sync: bool,
    pub(crate) no_dest_paths: bool,
    pub(crate) network: bool,
    pub(crate) pipe_error: bool,
    pub(crate) echo_keys: bool,
    pub(crate) keys_from_stdin: bool,
    pub(crate) progress_bars: Option<bool>,
    /// Disks and commands.
    pub(crate) words: Vec<BString>,
}

/// What the program is to do.
#[derive(Debug)]
pub(crate) enum Request {
    /// Work.
    Session(Box<Options>),
    /// Print this, and nothing else.
    Print(String),
    /// `--cmd-help`, of one command or all.
    Help(Option<String>),
    /// `--version`
    Version,
}

/// `--ro` and `--rw`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// Neither was said.
    #[default]
    Default,
    /// `--ro`
    ReadOnly,
    /// `--rw`
    ReadWrite,
}

/// `-a`, with the `--format` and `--blocksize` before it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Drive {
    pub(crate) name: BString,
    pub(crate) format: Option<BString>,
    pub(crate) blocksize: Option<i32>,
}

/// `-m`
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) device: BString,
    pub(crate) mountpoint: BString,
    pub(crate) options: BString,
    pub(crate) fstype: BString,
}

/// Options of the original program that this one has no use for yet.
const NOT_AVAILABLE: &[(&str, &str)] = &[
    ("connect", "it needs libvirt"),
    ("csh", "it goes with --listen"),
    ("domain", "it needs libvirt; name the disks with --add"),
    ("inspector", "mount the filesystems with --mount, list-filesystems lists them"),
    ("listen", "a session cannot be controlled from outside"),
    ("live", "a running virtual machine cannot be connected to"),
    ("new", "make the disk with disk-create, sparse or alloc"),
    ("remote", "a session cannot be controlled from outside"),
];

/// Reads the command line.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request> {
    let matches = command().try_get_matches_from(args).map_err(|err| {
        let text = err.to_string();
        Error::shell(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
    })?;
    for (option, why) in NOT_AVAILABLE {
        if matches.contains_id(option) && matches.value_source(option).is_some_and(given) {
            return Err(Error::shell(format!("--{option}: not available in this build: {why}")));
        }
    }
    if matches.get_flag("help") {
        return Ok(Request::Print(command().render_help().to_string()));
    }
    if matches.get_flag("short-options") || matches.get_flag("long-options") {
        return Ok(Request::Print(names_of_options(matches.get_flag("long-options"))));
    }
    if matches.get_flag("version") {
        return Ok(Request::Version);
    }
    if let Some(name) = matches.get_one::<String>("cmd-help") {
        return Ok(Request::Help((!name.is_empty()).then(|| name.clone())));
    }
    for key in matches.get_many::<String>("key").into_iter().flatten() {
        check_key(key)?;
    }
    session(&matches).map(|options| Request::Session(Box::new(options)))
}

fn given(source: clap::parser::ValueSource) -> bool {
    source == clap::parser::ValueSource::CommandLine
}

fn session(matches: &ArgMatches) -> Result<Options> {
    let access = match (matches.get_flag("ro"), matches.get_flag("rw")) {
        (true, true) => return Err(Error::shell("--ro and --rw: only one of them can be meant")),
        (true, false) => Access::ReadOnly,
        (false, true) => Access::ReadWrite,
        (false, false) => Access::Default,
    };
    let words = bytes(matches, "words").collect();
    let progress_bars =
        match (matches.get_flag("progress-bars"), matches.get_flag("no-progress-bars")) {
            (_, true) => Some(false),
            (true, false) => Some(true),
            (false, false) => None,
        };
    Ok(Options {
        drives: drives(matches)?,
        mounts: bytes(matches, "mount").map(|it| mount(&it)).collect::<Result<_>>()?,
        access,
        file: matches.get_one::<OsString>("file").cloned(),
        verbose: matches.get_flag("verbose"),
        trace: matches.get_flag("trace"),
        no_sync: matches.get_flag("no-sync"),
        no_dest_paths: matches.get_flag("no-dest-paths"),
        network: matches.get_flag("network"),
        pipe_error: matches.get_flag("pipe-error"),
        echo_keys: matches.get_flag("echo-keys"),
        keys_from_stdin: matches.get_flag("keys-from-stdin"),
        progress_bars,
        words,
    })
}

fn bytes<'a>(matches: &'a ArgMatches, id: &str) -> impl Iterator<Item = BString> + use<'a> {
    let values = matches.get_many::<OsString>(id).into_iter().flatten();
    values.map(|it| it.clone().into_vec().into())
}

/// The values of an option and where they stand, so that options can hold for those after them.
fn placed(matches: &ArgMatches, id: &str) -> Vec<(usize, BString)> {
    let places = matches.indices_of(id).into_iter().flatten();
    places.zip(bytes(matches, id)).collect()
}

fn drives(matches: &ArgMatches) -> Result<Vec<Drive>> {
    let formats = placed(matches, "format");
    let blocksizes = placed(matches, "blocksize");
    let before = |all: &[(usize, BString)], place: usize| {
        let last = all.iter().rfind(|(it, _)| *it < place).map(|(_, value)| value.clone());
        last.filter(|value| !value.is_empty())
    };
    let mut drives = Vec::new();
    for (place, name) in placed(matches, "add") {
        let blocksize = match before(&blocksizes, place) {
            None => None,
            Some(text) => match text.as_slice() {
                b"512" => Some(512),
                b"4096" => Some(4096),
                _ => return Err(Error::shell(format!("--blocksize: {text}: not 512 or 4096"))),
            },
        };
        drives.push(Drive { name, format: before(&formats, place), blocksize });
    }
    Ok(drives)
}

fn mount(text: &BString) -> Result<Mount> {
    let mut parts = text.splitn_str(4, ":").map(BString::from);
    let mut next = || parts.next().unwrap_or_default();
    let (device, mut mountpoint) = (next(), next());
    if device.is_empty() {
        return Err(Error::shell(format!("--mount: {text}: the device is missing")));
    }
    if mountpoint.is_empty() {
        mountpoint = "/".into();
    }
    Ok(Mount { device, mountpoint, options: next(), fstype: next() })
}

/// Nothing opens encrypted disks by itself, so a key is only looked at.
fn check_key(key: &str) -> Result<()> {
    let mut parts = key.splitn(3, ':');
    let parts = (parts.next(), parts.next(), parts.next());
    match parts {
        (Some(id), Some("key" | "file"), Some(_)) if !id.is_empty() => Ok(()),
        (Some(id), Some("clevis"), None) if !id.is_empty() => Ok(()),
        // What was said may be a secret: it is not repeated.
        _ => Err(Error::shell("--key: not ID:key:KEY, ID:file:FILE or ID:clevis")),
    }
}

/// For the shell's completion: one to a line.
fn names_of_options(long: bool) -> String {
    let command = command();
    let mut names: Vec<String> = command
        .get_arguments()
        .filter_map(|it| match long {
            true => it.get_long().map(|it| format!("--{it}\n")),
            false => it.get_short().map(|it| format!("-{it}\n")),
        })
        .collect();
    names.sort();
    names.concat()
}

fn flag(long: &'static str, help: &'static str) -> Arg {
    Arg::new(long).long(long).action(ArgAction::SetTrue).help(help)
}

fn value(long: &'static str, name: &'static str, help: &'static str) -> Arg {
    Arg::new(long)
        .long(long)
        .value_name(name)
        .action(ArgAction::Append)
        .value_parser(OsStringValueParser::new())
        .help(help)
}

/// An option whose value, if any, follows a `=`.
fn maybe(long: &'static str, name: &'static str, help: &'static str) -> Arg {
    value(long, name, help).num_args(0..=1).require_equals(true).default_missing_value("")
}

fn command() -> Command {
    let add = "disk image to add; also nbd://, ssh://, http:// and the like";
    Command::new("guestfish")
        .about("Looks into disk images of virtual machines, and changes them")
        .override_usage(
            "guestfish [OPTIONS] [DISK...] [COMMAND [: COMMAND...]]\n       \
             guestfish [OPTIONS] -f SCRIPT",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .args([
            value("add", "IMAGE", add).short('a'),
            maybe("blocksize", "512|4096", "sector size of the disks added after it"),
            Arg::new("cmd-help")
                .long("cmd-help")
                .short('h')
                .value_name("COMMAND")
                .num_args(0..=1)
                .default_missing_value("")
                .help("list the commands, or explain one"),
            flag("echo-keys", "show keys while they are typed"),
            value("file", "SCRIPT", "read the commands from a file")
                .short('f')
                .action(ArgAction::Set),
            maybe("format", "FORMAT", "format of the disks added after it, such as raw or qcow2"),
            flag("help", "print this"),
            value("key", "SELECTOR", "key of an encrypted disk; has no effect yet")
                .value_parser(clap::builder::StringValueParser::new()),
            flag("keys-from-stdin", "read keys from standard input"),
            flag("long-options", "list the long options").hide(true),
            value("mount", "DEV[:DIR[:OPTIONS[:FSTYPE]]]", "launch, and mount a filesystem")
                .short('m'),
            flag("network", "give the appliance access to the network"),
            flag("no-dest-paths", "do not complete paths of the guest").short('D'),
            flag("no-progress-bars", "do not show how far commands have come"),
            flag("no-sync", "do not write back at the end").short('n'),
            flag("pipe-error", "make it an error if the program after | stops reading"),
            flag("progress-bars", "show how far commands have come, also in scripts"),
            flag("ro", "do not change the disks; this is the default").short('r'),
            flag("rw", "change the disks").short('w'),
            flag("selinux", "ignored, for old scripts").hide(true),
            flag("short-options", "list the short options").hide(true),
            flag("trace", "print each call of the library").short('x'),
            flag("verbose", "print messages for developers").short('v'),
            flag("version", "print the version").short('V'),
        ])
        .args([
            value("connect", "URI", "").short('c').hide(true),
            flag("csh", "").hide(true),
            value("domain", "GUEST", "").short('d').hide(true),
            flag("inspector", "").short('i').hide(true),
            flag("listen", "").hide(true),
            flag("live", "").hide(true),
            value("new", "DISK", "").short('N').hide(true),
            maybe("remote", "PID", "").hide(true),
        ])
        .arg(
            Arg::new("words")
                .num_args(0..)
                .trailing_var_arg(true)
                .value_parser(OsStringValueParser::new())
                .help("disks to add, and commands"),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Request> {
        parse(["guestfish"].into_iter().chain(line.split_whitespace()).map(Into::into))
    }

    #[track_caller]
    fn options(line: &str) -> Options {
        match parse_line(line).unwrap() {
            Request::Session(options) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check_error(line: &str, expected: &str) {
        let message = parse_line(line).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn table_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn formats_hold_for_what_follows() {
        let drives =
            options("-a a --format=raw -a b --blocksize=4096 -a c --format --blocksize --add d")
                .drives;
        let texts: Vec<_> = drives
            .iter()
            .map(|it| format!("{} {:?} {:?}", it.name, it.format, it.blocksize))
            .collect();
        assert_eq!(
            texts,
            ["a None None", "b Some(\"raw\") None", "c Some(\"raw\") Some(4096)", "d None None"]
        );
        check_error("--blocksize=1000 -a x", "--blocksize: 1000: not 512 or 4096");
    }

    #[test]
    fn mounts() {
        let mounts = options("-m /dev/sda1 -m /dev/sdb:/x:acl,user_xattr:ext4").mounts;
        let text =
            |it: &Mount| format!("{} {} {} {}", it.device, it.mountpoint, it.options, it.fstype);
        assert_eq!(text(&mounts[0]), "/dev/sda1 /  ");
        assert_eq!(text(&mounts[1]), "/dev/sdb /x acl,user_xattr ext4");
        check_error("-m :/", "--mount: :/: the device is missing");
    }

    #[test]
    fn commands_end_the_options() {
        let options = options("-x --rw run : ll -x : -rm --ro");
        assert!(options.trace);
        assert_eq!(options.access, Access::ReadWrite);
        assert_eq!(bstr::join(" ", &options.words).as_bstr(), "run : ll -x : -rm --ro");
        check_error("--ro --rw", "only one of them");
        check_error("--bogus", "unexpected argument '--bogus'");
    }

    #[test]
    fn not_available() {
        for line in
            ["-i", "-d x", "-N fs", "--listen", "--remote", "--remote=1", "--live", "-c x", "--csh"]
        {
            check_error(line, "not available in this build");
        }
        check_error("--key x", "--key: not ID:key:KEY");
        check_error("--key :key:k", "--key: not ID:key:KEY");
        options("--key /dev/sda1:key:a:b --key all:file:/x --key u:clevis --selinux");
    }

    #[test]
    fn what_is_only_printed() {
        assert!(matches!(parse_line("-V").unwrap(), Request::Version));
        assert!(matches!(parse_line("-h").unwrap(), Request::Help(None)));
        assert!(
            matches!(parse_line("-h mkfs").unwrap(), Request::Help(Some(name)) if name == "mkfs")
        );
        assert!(matches!(parse_line("--cmd-help=ls").unwrap(), Request::Help(Some(_))));
        assert!(
            matches!(parse_line("--help").unwrap(), Request::Print(text) if text.contains("--add"))
        );
        let Request::Print(text) = parse_line("--short-options").unwrap() else {
            panic!("another")
        };
        assert!(text.starts_with("-D\n-N\n-V\n-a\n"), "{text}");
    }
}
