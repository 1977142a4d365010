// SPDX-License-Identifier: LGPL-2.1-or-later
//! The commands of guestfish: a table with names, parameters and help, and for each command a
//! function that takes typed arguments, calls the library and prints the result.

use anyhow::{Context as _, Result};
use serde::Serialize;
use tera::Tera;

use crate::emit::{by_group, explained, render};
use crate::names::{camel, dashed, rust, text};
use crate::output::Files;
use crate::schema::{Api, ArgType, FieldType, Function, OptType, Output, Ret, Struct, Unit};

/// Help is read on terminals, which have 80 columns.
const WIDTH: usize = 76;

#[derive(Serialize)]
struct View {
    deprecated: bool,
    options: Vec<String>,
    commands: Vec<CommandView>,
}

#[derive(Serialize)]
struct CommandView {
    ident: String,
    name: String,
    aliases: Vec<String>,
    summary: String,
    listed: bool,
    help: String,
    params: Vec<ParamView>,
    options: Vec<ParamView>,
    lines: Vec<String>,
    /// The parameter of the function for the arguments is used.
    takes: bool,
    /// The parameter for the output is used.
    prints: bool,
}

#[derive(Serialize)]
struct ParamView {
    name: String,
    kind: &'static str,
    unit: &'static str,
    values: Vec<String>,
}

#[derive(Serialize)]
struct Module<'a> {
    groups: Vec<&'a str>,
}

#[derive(Serialize)]
struct Structs {
    structs: Vec<StructView>,
}

#[derive(Serialize)]
struct StructView {
    rust: String,
    fields: Vec<FieldView>,
}

#[derive(Serialize)]
struct FieldView {
    name: String,
    value: String,
}

/// Emits `cli/`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let mut files = Files::new();
    let mut groups = Vec::new();
    for (group, functions) in by_group(api, is_command) {
        let with_options = functions.iter().filter(|it| !it.options.is_empty());
        let mut options: Vec<_> =
            with_options.map(|it| format!("{}Options", camel(&it.name))).collect();
        options.sort();
        let view = View {
            deprecated: functions.iter().any(|it| it.deprecated.is_some()),
            options,
            commands: functions.iter().map(|it| command(it)).collect::<Result<_>>()?,
        };
        files.insert(format!("cli/{group}.rs").into(), render(tera, "cli_group.rs", &view)?);
        groups.push(group);
    }
    groups.sort_unstable();
    files.insert("cli/mod.rs".into(), render(tera, "cli_mod.rs", &Module { groups })?);
    let printed = |structure: &&Struct| {
        let mut commands = api.functions.iter().filter(|it| is_command(it));
        commands.any(|it| match &it.returns {
            Ret::Struct(name) | Ret::StructList(name) => *name == structure.name,
            _ => false,
        })
    };
    let structs = Structs { structs: api.structs.iter().filter(printed).map(structure).collect() };
    files.insert("cli/structs.rs".into(), render(tera, "cli_structs.rs", &structs)?);
    Ok(files)
}

/// Nobody can type a pointer.
fn is_command(function: &Function) -> bool {
    function.in_guestfish() && function.args.iter().all(|arg| arg.ty != ArgType::Pointer)
}

fn structure(structure: &Struct) -> StructView {
    let field = |it: &crate::schema::Field| {
        let ident = format!("self.{}", rust(&it.name));
        let value = match it.ty {
            FieldType::String | FieldType::Device => format!("Field::Text(&{ident})"),
            FieldType::Bytes => format!("Field::Bytes(&{ident})"),
            FieldType::Char => format!("Field::Char({ident})"),
            FieldType::Uint32
            | FieldType::Int32
            | FieldType::Uint64
            | FieldType::Int64
            | FieldType::Size => format!("Field::Number({ident}.into())"),
            FieldType::Uuid => format!("Field::Text(&{ident})"),
            FieldType::Percent => format!("Field::Percent({ident})"),
        };
        FieldView { name: it.name.clone(), value }
    };
    StructView {
        rust: camel(&structure.name),
        fields: structure.fields.iter().map(field).collect(),
    }
}

fn command(function: &Function) -> Result<CommandView> {
    let about = || format!("{}: cannot be a command", function.name);
    let mut lines = Vec::new();
    let mut passed = Vec::new();
    let mut params = Vec::new();
    for arg in &function.args {
        let ident = rust(&arg.name);
        let (kind, read, pass) = argument(&ident, arg.ty).with_context(about)?;
        lines.push(format!("let {ident} = args.{read}()?;"));
        passed.push(pass);
        params.push(ParamView {
            name: arg.name.clone(),
            kind,
            unit: unit(arg.unit),
            values: arg.values.clone(),
        });
    }
    let mut options = Vec::new();
    if !function.options.is_empty() {
        let mut fields = Vec::new();
        for opt in &function.options {
            let (kind, read) = option(opt.ty);
            fields.push(format!("{}: args.{read}(\"{}\")?", rust(&opt.name), opt.name));
            options.push(ParamView {
                name: opt.name.clone(),
                kind,
                unit: unit(opt.unit),
                values: opt.values.clone(),
            });
        }
        let name = camel(&function.name);
        lines.push(format!("let options = {name}Options {{ {} }};", fields.join(", ")));
        passed.push("&options".to_owned());
    }
    let call = format!("g.{}({})?", rust(&function.name), passed.join(", "));
    match printer(function) {
        Some(print) => lines.push(print.replace("CALL", &call)),
        None => lines.extend([format!("{call};"), "Ok(())".to_owned()]),
    }
    let mut aliases = function.aliases.clone();
    if function.opts {
        aliases.push(dashed(&function.name) + "-opts");
    }
    Ok(CommandView {
        ident: rust(&function.name),
        name: dashed(&function.name),
        summary: text(&links(&function.summary)),
        listed: function.is_documented(),
        help: raw(&help(function, &aliases)),
        takes: !params.is_empty() || !options.is_empty(),
        prints: function.returns != Ret::None,
        aliases,
        params,
        options,
        lines,
    })
}

/// Kind of parameter, how it is read, and how it is passed on; none for what nobody can type.
fn argument(ident: &str, ty: ArgType) -> Option<(&'static str, &'static str, String)> {
    let borrowed = format!("&{ident}");
    Some(match ty {
        ArgType::Bool => ("Bool", "bool", ident.to_owned()),
        ArgType::Int => ("Number", "int", ident.to_owned()),
        ArgType::Int64 => ("Number", "int64", ident.to_owned()),
        ArgType::String | ArgType::Filename | ArgType::Guid => ("Text", "text", borrowed),
        ArgType::Optstring => ("Text", "optional_text", format!("{ident}.as_deref()")),
        ArgType::Path => ("Path", "path", borrowed),
        ArgType::Device => ("Device", "text", borrowed),
        ArgType::Mountable => ("Mountable", "text", borrowed),
        ArgType::DeviceOrPath => ("DeviceOrPath", "path", borrowed),
        ArgType::MountableOrPath => ("MountableOrPath", "path", borrowed),
        ArgType::Key => ("Key", "key", borrowed),
        ArgType::Filein => ("FileIn", "file_in", borrowed),
        ArgType::Fileout => ("FileOut", "file_out", borrowed),
        ArgType::Bytes => ("Text", "text", borrowed),
        ArgType::StringList | ArgType::FilenameList => ("List", "list", borrowed),
        ArgType::DeviceList => ("DeviceList", "list", borrowed),
        ArgType::PathList => ("PathList", "path_list", borrowed),
        ArgType::Pointer => return None,
    })
}

fn option(ty: OptType) -> (&'static str, &'static str) {
    match ty {
        OptType::Bool => ("Bool", "option_bool"),
        OptType::Int => ("Number", "option_int"),
        OptType::Int64 => ("Number", "option_int64"),
        OptType::String => ("Text", "option_text"),
        OptType::StringList => ("List", "option_list"),
    }
}

fn unit(unit: Option<Unit>) -> &'static str {
    match unit {
        None => "Plain",
        Some(Unit::Bytes) => "Bytes",
        Some(Unit::Sectors) => "Sectors",
        Some(Unit::KiB) => "KiB",
        Some(Unit::MiB) => "MiB",
    }
}

/// How the result is printed, with `CALL` where the result comes from.
fn printer(function: &Function) -> Option<&'static str> {
    Some(match (&function.returns, function.output) {
        (Ret::None, _) => return None,
        (Ret::Bool, _) => "out.bool(CALL)",
        (Ret::Int | Ret::Int64, None) => "out.number(CALL)",
        (Ret::Int | Ret::Int64, Some(Output::Octal)) => "out.octal(CALL)",
        (Ret::Int | Ret::Int64, Some(Output::Hex)) => "out.hexadecimal(CALL)",
        (Ret::String | Ret::Device | Ret::ConstString, _) => "out.line(&CALL)",
        (Ret::ConstOptString, _) => "out.optional(CALL)",
        (Ret::Bytes, _) => "out.bytes(&CALL)",
        (Ret::StringList | Ret::DeviceList | Ret::MountableList, _) => "out.lines(&CALL)",
        (Ret::Hash, _) => "out.hash(&CALL)",
        (Ret::Struct(_), _) => "out.structure(&CALL)",
        (Ret::StructList(_), _) => "out.structures(&CALL)",
    })
}

/// What `help COMMAND` prints.
fn help(function: &Function, aliases: &[String]) -> String {
    let name = dashed(&function.name);
    let plain = |pod: &str| text(&links(pod));
    let mut out = format!("NAME\n    {name} - {}\n\nSYNOPSIS\n", plain(&function.summary));
    out += &filled(&synopsis(function), 4, 8);
    out += "\nDESCRIPTION\n";
    for paragraph in plain(function.docs.trim()).split("\n\n") {
        // An indented paragraph is an example, which is left as it is.
        match paragraph.starts_with(' ') {
            true => out.extend(paragraph.lines().map(|line| format!("    {line}\n"))),
            false => out += &filled(paragraph, 4, 4),
        }
        out += "\n";
    }
    let args = function.args.iter();
    let args = args.map(|it| (it.name.clone(), explained(&it.doc, &it.values), it.unit));
    let options = function.options.iter();
    let options =
        options.map(|it| (format!("{}:", it.name), explained(&it.doc, &it.values), it.unit));
    for (name, doc, unit) in args.chain(options) {
        let unit = match unit {
            None => "",
            Some(Unit::Bytes) => " (in bytes; 100M and the like are understood)",
            Some(Unit::Sectors) => " (in sectors of 512 bytes; 100M and the like are understood)",
            Some(Unit::KiB) => " (in KiB; 100M and the like are understood)",
            Some(Unit::MiB) => " (in MiB; 100M and the like are understood)",
        };
        out += &filled(&format!("{name} {}{unit}", plain(&doc)), 4, 8);
    }
    if let Some(result) = &function.result {
        out += &format!("\nOUTPUT\n{}", filled(&plain(result), 4, 4));
    }
    let mut errors = function.errors().peekable();
    if errors.peek().is_some() {
        out += "\nERRORS\n";
        for (errno, doc) in errors {
            out += &filled(&format!("{errno} {}", plain(doc)), 4, 8);
        }
    }
    for note in notes(function, aliases) {
        out += &format!("\n{}", filled(&note, 4, 4));
    }
    let lines: Vec<_> = out.lines().map(str::trim_end).collect();
    lines.join("\n").replace("\n\n\n", "\n\n") + "\n"
}

fn notes(function: &Function, aliases: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    if !aliases.is_empty() {
        notes.push(format!("Also called {}.", aliases.join(", ")));
    }
    if function.args.iter().any(|arg| arg.ty == ArgType::Key) {
        notes.push("The secret is asked for; it is not written on the command line.".to_owned());
    }
    if let Some(deprecated) = &function.deprecated {
        notes.push(match &deprecated.by {
            Some(by) => format!("Deprecated: use {}.", dashed(by)),
            None => "Deprecated.".to_owned(),
        });
    }
    if !function.implemented {
        notes.push("Not implemented yet: it only says so.".to_owned());
    }
    if function.config_only {
        notes.push("It can only be used before the appliance is launched.".to_owned());
    }
    if let Some(feature) = &function.feature {
        notes.push(format!("It needs the feature {feature} of the appliance: see supported."));
    }
    if !function.see.is_empty() {
        let see: Vec<_> = function.see.iter().map(|it| dashed(it)).collect();
        notes.push(format!("See also {}.", see.join(", ")));
    }
    notes
}

fn synopsis(function: &Function) -> String {
    let mut words = vec![dashed(&function.name)];
    for arg in &function.args {
        words.extend(match arg.ty {
            // A secret is asked for.
            ArgType::Key => None,
            ArgType::StringList
            | ArgType::DeviceList
            | ArgType::PathList
            | ArgType::FilenameList => Some(format!("'{} ...'", arg.name)),
            ArgType::Bool => Some(format!("{}=true|false", arg.name)),
            ArgType::Filein | ArgType::Fileout => Some(format!("({}|-)", arg.name)),
            ArgType::Int
            | ArgType::Int64
            | ArgType::String
            | ArgType::Optstring
            | ArgType::Path
            | ArgType::Device
            | ArgType::Mountable
            | ArgType::DeviceOrPath
            | ArgType::MountableOrPath
            | ArgType::Filename
            | ArgType::Guid
            | ArgType::Bytes
            | ArgType::Pointer => Some(arg.name.clone()),
        });
    }
    words.extend(function.options.iter().map(|opt| format!("[{}:..]", opt.name)));
    words.join(" ")
}

/// Links to functions become the names of commands.
fn links(pod: &str) -> String {
    let mut out = String::new();
    let mut rest = pod;
    while let Some((before, link)) = rest.split_once("L</") {
        let Some((target, after)) = link.split_once('>') else { break };
        out += before;
        out += &dashed(target);
        rest = after;
    }
    out + rest
}

/// Words in lines of limited width; the first line and the others have their own indents.
fn filled(text: &str, first: usize, others: usize) -> String {
    let mut out = String::new();
    let mut line = " ".repeat(first);
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out += &line;
            out.push('\n');
            line = " ".repeat(others);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    out + &line + "\n"
}

/// Text as a raw literal of Rust.
fn raw(text: &str) -> String {
    let mut hashes = "#".to_owned();
    while text.contains(&format!("\"{hashes}")) {
        hashes.push('#');
    }
    // Without quotes inside, the hashes would be in the way.
    if !text.contains('"') {
        hashes.clear();
    }
    match hashes.is_empty() && !text.contains('\\') {
        true => format!("\"\\\n{text}\""),
        false => format!("r{hashes}\"{text}\"{hashes}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_filled() {
        assert_eq!(filled("a b\nc", 2, 4), "  a b c\n");
        let long = "x".repeat(70);
        assert_eq!(
            filled(&format!("{long} yyyyy z"), 4, 8),
            format!("    {long}\n        yyyyy z\n")
        );
    }

    #[test]
    fn links_are_commands() {
        assert_eq!(links("see L</part_disk>, L</mkfs>."), "see part-disk, mkfs.");
    }

    #[test]
    fn literals() {
        assert_eq!(raw("a\n"), "\"\\\na\n\"");
        assert_eq!(raw("a \"b\"#"), "r##\"a \"b\"#\"##");
        assert_eq!(raw("\\n"), "r\"\\n\"");
    }
}
