// SPDX-License-Identifier: LGPL-2.1-or-later
//! The options of the program.

use std::ffi::OsString;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, Command};

/// What was said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Another qemu than the one that is found.
    pub(crate) qemu: Option<OsString>,
    /// How many seconds a launch may take.
    pub(crate) timeout: Option<u32>,
}

/// What the program is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Test(Options),
    /// Print this, and nothing else.
    Print(String),
}

pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let matches = command().try_get_matches_from(args).map_err(|err| {
        let text = err.to_string();
        text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()
    })?;
    if matches.get_flag("help") {
        return Ok(Request::Print(command().render_help().to_string()));
    }
    if matches.get_flag("version") {
        return Ok(Request::Print(format!("guestfs-test-tool {}\n", env!("CARGO_PKG_VERSION"))));
    }
    Ok(Request::Test(Options {
        qemu: matches.get_one("qemu").cloned(),
        timeout: matches.get_one("timeout").copied(),
    }))
}

fn command() -> Command {
    Command::new("guestfs-test-tool")
        .about("Says whether guestfs works on this machine, and if not, why")
        .override_usage("guestfs-test-tool [OPTIONS]")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .args([
            Arg::new("help").long("help").action(ArgAction::SetTrue).help("print this"),
            Arg::new("qemu")
                .long("qemu")
                .short('q')
                .value_name("PROGRAM")
                .value_parser(OsStringValueParser::new())
                .help("try this qemu, as LIBGUESTFS_HV does"),
            Arg::new("timeout")
                .long("timeout")
                .short('t')
                .value_name("SECONDS")
                .value_parser(clap::value_parser!(u32).range(1..))
                .help("how long a launch may take"),
            Arg::new("version")
                .long("version")
                .short('V')
                .action(ArgAction::SetTrue)
                .help("print the version"),
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Request, String> {
        parse(["guestfs-test-tool"].into_iter().chain(line.split_whitespace()).map(Into::into))
    }

    #[track_caller]
    fn check(line: &str, qemu: Option<&str>, timeout: Option<u32>) {
        let qemu = qemu.map(Into::into);
        assert_eq!(parse_line(line), Ok(Request::Test(Options { qemu, timeout })));
    }

    #[test]
    fn table_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_manual_has_the_same_options() {
        let page = include_str!("../../../docs/man/guestfs-test-tool.pod");
        let (_, options) = page.split_once("=head1 OPTIONS\n").unwrap();
        let (options, _) = options.split_once("\n=head1 ").unwrap();
        let words = options.lines().filter_map(|it| it.strip_prefix("=item "));
        let mut described: Vec<_> = words.map(str::to_owned).collect();
        let mut known: Vec<_> = command()
            .get_arguments()
            .flat_map(|it| {
                let names = [it.get_short().map(|it| format!("B<-{it}>")), {
                    it.get_long().map(|it| format!("B<--{it}>"))
                }];
                let value = it.get_value_names().filter(|_| it.get_action().takes_values());
                let value = value.map(|it| format!(" {}", it[0])).unwrap_or_default();
                names.into_iter().flatten().map(move |it| it + &value)
            })
            .collect();
        described.sort();
        known.sort();
        assert_eq!(described, known);
    }

    #[test]
    fn options() {
        check("", None, None);
        check("-t 30 --qemu /q", Some("/q"), Some(30));
        check("--timeout=600", None, Some(600));
        for (line, says) in [
            ("--timeout 0", "0 is not in 1.."),
            ("--bogus", "unexpected argument '--bogus'"),
            ("disk.img", "unexpected argument 'disk.img'"),
        ] {
            let why = parse_line(line).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn what_is_only_printed() {
        let Ok(Request::Print(text)) = parse_line("--help") else { panic!("another") };
        assert!(text.contains("--timeout <SECONDS>"), "{text}");
        let Ok(Request::Print(text)) = parse_line("-V") else { panic!("another") };
        assert!(text.starts_with("guestfs-test-tool "), "{text}");
    }
}
