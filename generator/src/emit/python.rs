// SPDX-License-Identifier: LGPL-2.1-or-later
//! The Python module: methods of the class `GuestFS`, and the stubs that type checkers read.

use anyhow::Result;
use serde::Serialize;
use tera::Tera;

use crate::emit::{by_group, comment, explained, render};
use crate::names::{camel, item, markdown, rust, text};
use crate::output::Files;
use crate::schema::{Api, ArgType, FieldType, Function, OptType, Payload, Ret};

#[derive(Serialize)]
struct View {
    deprecated: bool,
    functions: Vec<Method>,
}

#[derive(Serialize)]
struct Method {
    ident: String,
    docs: String,
    signature: String,
    parameters: Vec<String>,
    lines: Vec<String>,
    stub: Stub,
}

/// The method as type checkers see it.
#[derive(Serialize)]
struct Stub {
    name: String,
    parameters: Vec<String>,
    returns: String,
}

#[derive(Serialize)]
struct Module<'a> {
    modules: Vec<&'a str>,
    structs: Vec<StructView>,
    events: Vec<EventView>,
    /// Other names of methods.
    aliases: Vec<Alias>,
    groups: Vec<Vec<Stub>>,
}

#[derive(Serialize)]
struct Alias {
    alias: String,
    name: String,
}

#[derive(Serialize)]
struct StructView {
    name: String,
    rust: String,
    doc: String,
    fields: Vec<FieldView>,
}

#[derive(Serialize)]
struct FieldView {
    name: String,
    ident: String,
    convert: &'static str,
    python: &'static str,
}

#[derive(Serialize)]
struct EventView {
    constant: String,
    value: u64,
    payload: &'static str,
}

/// Emits `python/`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let mut files = Files::new();
    let mut module = Module {
        modules: Vec::new(),
        structs: api.structs.iter().map(structure).collect(),
        events: api.events.iter().map(event).collect(),
        aliases: aliases(api),
        groups: Vec::new(),
    };
    for (group, functions) in by_group(api, |_| true) {
        let deprecated = functions.iter().any(|it| it.deprecated.is_some());
        let functions: Vec<Method> = functions.into_iter().map(method).collect();
        let view = View { deprecated, functions };
        files.insert(format!("python/{group}.rs").into(), render(tera, "python_group.rs", &view)?);
        module.modules.push(group);
        module.groups.push(view.functions.into_iter().map(|it| it.stub).collect());
    }
    files.insert("python/guestfs.pyi".into(), render(tera, "python_stubs.pyi", &module)?);
    module.modules.sort_unstable();
    files.insert("python/mod.rs".into(), render(tera, "python_mod.rs", &module)?);
    Ok(files)
}

/// Functions that had no options once have a second name, as in C.
fn aliases(api: &Api) -> Vec<Alias> {
    let functions = api.functions.iter().filter(|it| it.opts);
    functions
        .map(|it| Alias { alias: format!("{}_opts", it.name), name: it.name.clone() })
        .collect()
}

fn event(event: &crate::schema::Event) -> EventView {
    EventView {
        constant: format!("EVENT_{}", event.name.to_ascii_uppercase()),
        value: 1 << event.bit,
        payload: match event.payload {
            Payload::None => "nothing",
            Payload::Text => "buf",
            Payload::Numbers => "array",
        },
    }
}

fn structure(structure: &crate::schema::Struct) -> StructView {
    let field = |it: &crate::schema::Field| {
        let (convert, python) = match it.ty {
            FieldType::String | FieldType::Device | FieldType::Uuid => ("string", "str"),
            FieldType::Bytes => ("octets", "bytes"),
            FieldType::Char => ("character", "str"),
            FieldType::Uint32
            | FieldType::Int32
            | FieldType::Uint64
            | FieldType::Int64
            | FieldType::Size => ("plain", "int"),
            FieldType::Percent => ("plain", "float"),
        };
        FieldView { name: it.name.clone(), ident: rust(&it.name), convert, python }
    };
    StructView {
        name: structure.name.clone(),
        rust: camel(&structure.name),
        doc: text(&structure.doc).trim().to_owned(),
        fields: structure.fields.iter().map(field).collect(),
    }
}

fn method(function: &Function) -> Method {
    let mut names = Vec::new();
    let mut parameters = Vec::new();
    let mut stubs = Vec::new();
    let mut lines = Vec::new();
    let mut passed = Vec::new();
    for arg in &function.args {
        let ident = rust(&arg.name);
        let (ty, python, pass) = argument(&ident, arg.ty);
        names.push(ident.clone());
        parameters.push(format!("{ident}: {ty}"));
        stubs.push(format!("{}: {python}", arg.name));
        passed.push(pass);
    }
    if !function.options.is_empty() {
        let mut fields = Vec::new();
        for opt in &function.options {
            let ident = rust(&opt.name);
            let (ty, python, convert) = option(&ident, opt.ty);
            names.push(format!("{ident}=None"));
            parameters.push(format!("{ident}: Option<{ty}>"));
            stubs.push(format!("{}: {python} | None = None", opt.name));
            fields.push(match convert == ident {
                true => ident.clone(),
                false => format!("{ident}: {convert}"),
            });
        }
        let name = camel(&function.name);
        lines.push(format!("let options = guestfs::{name}Options {{ {} }};", fields.join(", ")));
        passed.push("&options".to_owned());
    }
    let ident = rust(&function.name);
    if let Some(deprecated) = &function.deprecated {
        let instead = deprecated.by.as_ref().map_or_else(
            || format!("{} is deprecated", function.name),
            |by| format!("{} is deprecated: use {by}", function.name),
        );
        lines.insert(0, format!("crate::error::deprecated(py, c{instead:?})?;"));
    }
    lines.push(format!("self.run(py, |g| g.{ident}({}))", passed.join(", ")));
    Method {
        docs: comment(&docs(function), "    ///"),
        signature: names.join(", "),
        parameters,
        lines,
        stub: Stub {
            name: function.name.clone(),
            parameters: stubs,
            returns: returns(&function.returns),
        },
        ident,
    }
}

/// The docstring.
fn docs(function: &Function) -> String {
    let mut out = markdown(&function.summary) + "\n\n" + markdown(&function.docs).trim() + "\n";
    let arguments = function.args.iter().map(|it| (&it.name, explained(&it.doc, &it.values)));
    let options = function.options.iter().map(|it| (&it.name, explained(&it.doc, &it.values)));
    for (name, doc) in arguments.chain(options) {
        out += &format!("\n:param {name}: {}", item(&doc, "    "));
    }
    if let Some(result) = &function.result {
        out += &format!("\n:returns: {}", item(result, "    "));
    }
    for (errno, doc) in function.errors() {
        out += &format!("\n:raises Error: {errno}: {}", item(doc, "    "));
    }
    if !function.implemented {
        out += "\n\nNot implemented yet: calling it fails with `ENOTSUP`.";
    }
    if let Some(deprecated) = &function.deprecated {
        out += "\n\nDeprecated";
        if let Some(by) = &deprecated.by {
            out += &format!(": use `{by}`");
        }
        out += ".";
    }
    out
}

/// Type in Rust, type in Python, and what the library is given.
fn argument(ident: &str, ty: ArgType) -> (&'static str, &'static str, String) {
    match ty {
        ArgType::Bool => ("Flag", "bool | int", format!("{ident}.0")),
        ArgType::Int => ("i32", "int", ident.to_owned()),
        ArgType::Int64 => ("i64", "int", ident.to_owned()),
        ArgType::String
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key => ("Text", "Text", format!("&{ident}")),
        ArgType::Optstring => ("Option<Text>", "Text | None", format!("{ident}.as_deref()")),
        ArgType::Filein | ArgType::Fileout => ("Text", "Text", format!("{ident}.as_path()")),
        ArgType::Bytes => ("Text", "Bytes", format!("&{ident}")),
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            ("Vec<Text>", "Sequence[Text]", format!("&{ident}"))
        }
        ArgType::Pointer => ("usize", "int", ident.to_owned()),
    }
}

fn option(ident: &str, ty: OptType) -> (&'static str, &'static str, String) {
    match ty {
        OptType::Bool => ("Flag", "bool | int", format!("{ident}.map(|it| it.0)")),
        OptType::Int => ("i32", "int", ident.to_owned()),
        OptType::Int64 => ("i64", "int", ident.to_owned()),
        OptType::String => ("Text", "Text", format!("{ident}.map(Into::into)")),
        OptType::StringList => {
            let convert = format!("{ident}.map(|it| it.into_iter().map(Into::into).collect())");
            ("Vec<Text>", "Sequence[Text]", convert)
        }
    }
}

fn returns(ret: &Ret) -> String {
    match ret {
        Ret::None => "None".to_owned(),
        Ret::Bool | Ret::Int | Ret::Int64 => "int".to_owned(),
        Ret::String | Ret::Device | Ret::ConstString => "str".to_owned(),
        Ret::ConstOptString => "str | None".to_owned(),
        Ret::Bytes => "bytes".to_owned(),
        Ret::StringList | Ret::DeviceList | Ret::MountableList => "list[str]".to_owned(),
        Ret::Hash => "dict[str, str] | list[tuple[str, str]]".to_owned(),
        Ret::Struct(name) => camel(name),
        Ret::StructList(name) => format!("list[{}]", camel(name)),
    }
}
