// SPDX-License-Identifier: LGPL-2.1-or-later
//! The C interface: the header, the functions of C that it declares, the shim for those whose
//! number of arguments is not fixed, and the list of what the library exports.
//!
//! The declaration in C and the definition in Rust of a function come from the same view, so the
//! two cannot drift apart.

mod layout;
mod types;

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;
use tera::Tera;

use self::layout::Place;
use self::types::{Member, OptionField, Parameter, Results};
use crate::emit::{by_group, render};
use crate::names::{camel, rust, text};
use crate::output::Files;
use crate::schema::{Api, Event, Function, Struct, Visibility};

#[derive(Serialize)]
struct View<'a> {
    groups: Vec<Group<'a>>,
    structs: Vec<Structure>,
    events: Vec<Kind>,
    all_events: String,
    symbols: Vec<String>,
    modules: Vec<&'a str>,
}

#[derive(Serialize)]
struct Group<'a> {
    title: &'a str,
    functions: Vec<Entry>,
    imports: Vec<String>,
}

/// One function of the description, which is up to four functions of C.
#[derive(Serialize)]
struct Entry {
    name: String,
    method: String,
    /// Not for users: declared only where `GUESTFS_PRIVATE` is defined.
    private: bool,
    /// Attribute of each declaration, with a blank before it.
    deprecated: Option<String>,
    /// Functions that the header announces by a macro.
    have: Vec<String>,
    /// `int NAME (guestfs_h *g, ...)` for each function of C.
    declarations: Vec<String>,
    parameters: Vec<Parameter>,
    results: Results,
    /// The name of the function of C that takes no options, if there is one.
    plain: Option<String>,
    options: Option<Options>,
    /// Arguments of the call of the library, without options.
    arguments: String,
}

#[derive(Serialize)]
struct Options {
    /// Start of the names: `mkfs_opts`.
    symbol: String,
    /// Start of the names of macros: `GUESTFS_MKFS_OPTS`.
    prefix: String,
    /// The structure of options, in Rust and in the library.
    argv: String,
    library: String,
    fields: Vec<OptionField>,
    count: usize,
    size: usize,
    /// The last argument before the variable ones.
    last: String,
    /// `guestfs_h *g, const char *device`, and as a call: `g, device`.
    parameters: String,
    arguments: String,
}

#[derive(Serialize)]
struct Structure {
    name: String,
    macro_name: String,
    rust: String,
    private: bool,
    doc: String,
    fields: Vec<Member>,
    size: usize,
}

#[derive(Serialize)]
struct Kind {
    macro_name: String,
    value: String,
}

/// Emits `c/`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let mut groups = Vec::new();
    let mut modules = Vec::new();
    for (name, functions) in by_group(api, in_c) {
        let group = api.groups.iter().find(|group| group.name == name);
        let functions: Vec<Entry> = functions.into_iter().map(entry).collect();
        groups.push(Group {
            title: group.map_or(name, |group| group.title.as_str()),
            imports: imports(&functions),
            functions,
        });
        modules.push(name);
    }
    let structs: Vec<Structure> = api.structs.iter().map(structure).collect();
    let mut symbols = Vec::new();
    for entry in groups.iter().flat_map(|group| &group.functions) {
        symbols.extend(entry.symbols());
    }
    for structure in &structs {
        for verb in ["compare", "copy", "free"] {
            symbols.push(format!("guestfs_{verb}_{}", structure.name));
            symbols.push(format!("guestfs_{verb}_{}_list", structure.name));
        }
    }
    symbols.sort();
    let all = api.events.iter().fold(0_u64, |bits, event| bits | 1 << event.bit);
    let events = api.events.iter().map(kind).collect();
    let all_events = format!("0x{all:04x}");
    let mut view = View { groups, structs, events, all_events, symbols, modules };

    let mut files = Files::new();
    for (path, template) in [
        ("c/guestfs.h", "c_guestfs.h"),
        ("c/shim.c", "c_shim.c"),
        ("c/exports.map", "c_exports.map"),
        ("c/entry/structs.rs", "c_structs.rs"),
    ] {
        files.insert(path.into(), render(tera, template, &view)?);
    }
    for (name, group) in view.modules.iter().zip(&view.groups) {
        files.insert(format!("c/entry/{name}.rs").into(), render(tera, "c_group.rs", group)?);
    }
    view.modules.push("structs");
    view.modules.sort_unstable();
    files.insert("c/entry/mod.rs".into(), render(tera, "c_mod.rs", &view)?);
    Ok(files)
}

/// Numbers on the wire that libguestfs does not use start here.
const OWN_NUMBERS: u32 = 4096;

/// Programs know the internal functions of libguestfs, but never those of this library.
pub(crate) fn in_c(function: &Function) -> bool {
    let own = function.proc.is_some_and(|number| number >= OWN_NUMBERS);
    !(own && function.visibility == Visibility::Internal)
}

impl Entry {
    /// The functions of C that the library exports for it.
    fn symbols(&self) -> Vec<String> {
        let plain = self.plain.iter().map(|name| format!("guestfs_{name}"));
        let variants = self.options.iter().flat_map(|options| {
            ["", "_va", "_argv"].map(|suffix| format!("guestfs_{}{suffix}", options.symbol))
        });
        plain.chain(variants).collect()
    }
}

fn entry(function: &Function) -> Entry {
    let mut parameters: Vec<Parameter> = function.args.iter().flat_map(types::parameters).collect();
    let results = types::results(&function.returns);
    parameters.extend(results.parameter.clone());
    let arguments = types::arguments(function);
    let options = (!function.options.is_empty()).then(|| options(function, &parameters));
    let plain = (options.is_none() || function.opts).then(|| function.name.clone());
    let have = [plain.as_ref(), options.as_ref().map(|it| &it.symbol)];
    let mut declarations = Vec::new();
    let fixed = declared(&parameters);
    if let Some(name) = &plain {
        declarations.push(format!("{}guestfs_{name} ({fixed})", results.c));
    }
    if let Some(options) = &options {
        let Options { symbol, .. } = options;
        let argv = format!("const struct guestfs_{symbol}_argv *optargs");
        for (suffix, last) in [("", "..."), ("_va", "va_list args"), ("_argv", &argv)] {
            declarations.push(format!("{}guestfs_{symbol}{suffix} ({fixed}, {last})", results.c));
        }
    }
    Entry {
        name: function.name.clone(),
        method: rust(&function.name),
        private: match function.visibility {
            Visibility::Public
            | Visibility::PublicNoFish
            | Visibility::StateTest
            | Visibility::Debug => false,
            Visibility::Internal | Visibility::BindTest => true,
        },
        deprecated: function.deprecated.as_ref().map(|it| match &it.by {
            Some(by) => format!("GUESTFS_DEPRECATED_REPLACED_BY (\"{by}\")"),
            None => "GUESTFS_DEPRECATED_NO_REPLACEMENT".to_owned(),
        }),
        have: have.into_iter().flatten().map(|name| name.to_ascii_uppercase()).collect(),
        declarations,
        parameters,
        results,
        plain,
        options,
        arguments,
    }
}

fn options(function: &Function, parameters: &[Parameter]) -> Options {
    let symbol = match function.opts {
        true => function.name.clone() + "_opts",
        false => function.name.clone(),
    };
    let prefix = format!("GUESTFS_{}", symbol.to_ascii_uppercase());
    let mut fields: Vec<OptionField> =
        (0..).zip(&function.options).map(|(n, opt)| types::option(opt, n)).collect();
    let mut bitmask = Place::of(8);
    let places = fields.iter_mut().map(|it| &mut it.place);
    let size = layout::lay_out(std::iter::once(&mut bitmask).chain(places));
    let names = || std::iter::once("g").chain(parameters.iter().map(|it| it.c_name.as_str()));
    Options {
        argv: camel(&symbol) + "Argv",
        library: camel(&function.name) + "Options",
        fields,
        count: function.options.len(),
        size,
        last: names().next_back().unwrap_or_default().to_owned(),
        parameters: declared(parameters),
        arguments: names().collect::<Vec<_>>().join(", "),
        symbol,
        prefix,
    }
}

/// The parameters of a declaration of C.
fn declared(parameters: &[Parameter]) -> String {
    let rest = parameters.iter().map(|parameter| parameter.c.as_str());
    std::iter::once("guestfs_h *g").chain(rest).collect::<Vec<_>>().join(", ")
}

fn structure(structure: &Struct) -> Structure {
    let mut fields: Vec<Member> = structure.fields.iter().flat_map(types::members).collect();
    let size = layout::lay_out(fields.iter_mut().map(|it| &mut it.place));
    Structure {
        name: structure.name.clone(),
        macro_name: structure.name.to_ascii_uppercase(),
        rust: camel(&structure.name),
        private: structure.internal,
        doc: text(&structure.doc).trim().to_owned(),
        fields,
        size,
    }
}

fn kind(event: &Event) -> Kind {
    Kind {
        macro_name: format!("GUESTFS_EVENT_{}", event.name.to_ascii_uppercase()),
        value: format!("0x{:04x}", 1_u64 << event.bit),
    }
}

/// The lines that bring in what the functions of a group are made of.
fn imports(functions: &[Entry]) -> Vec<String> {
    let mut text = String::new();
    for function in functions {
        text += &format!(" {} {}", function.results.rust, function.results.wrap_before);
        function.parameters.iter().for_each(|it| text += &format!(" {}", it.rust));
        if let Some(options) = &function.options {
            text += " Argv Failed Field Given Options";
            options.fields.iter().for_each(|it| text += &format!(" {}", it.rust));
        }
    }
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    [
        ("std::ffi", &["c_char", "c_int"][..]),
        (
            "crate::arguments",
            &["Argv", "Buffer", "Field", "Given", "Options", "SizeOut", "Text", "TextList"],
        ),
        ("crate::error", &["Failed"]),
        ("crate::results", &["Kept", "Measured"]),
        ("crate::structs", &["List"]),
        ("super", &["structs"]),
    ]
    .into_iter()
    .filter_map(|(module, names)| {
        let used: Vec<_> = names.iter().copied().filter(|name| words.contains(name)).collect();
        (!used.is_empty()).then(|| format!("use {module}::{{{}}};", used.join(", ")))
    })
    .chain(["use crate::handle::HandlePtr;".to_owned()])
    .collect()
}
