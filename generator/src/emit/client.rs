// SPDX-License-Identifier: LGPL-2.1-or-later
//! The library's side of every call: a method of `Handle` and a structure for its options.

use anyhow::Result;
use serde::Serialize;
use tera::Tera;

use crate::emit::rust::{Options, parameter, returns};
use crate::emit::{by_group, comment, explained, render};
use crate::names::{camel, capitalized, item, markdown, rust};
use crate::output::Files;
use crate::schema::{Api, ArgType, Function, OptType, Ret, Side};

#[derive(Serialize)]
struct View {
    functions: Vec<Method>,
    imports: Vec<&'static str>,
}

#[derive(Serialize)]
struct Method {
    name: String,
    ident: String,
    docs: String,
    deprecated: Option<String>,
    config_only: bool,
    parameters: Vec<String>,
    /// Statements that turn parameters into what trace and call take.
    binds: Vec<String>,
    traces: Vec<String>,
    returns: String,
    options: Option<Options>,
    /// The expression that makes the call.
    body: Vec<String>,
}

#[derive(Serialize)]
struct Module<'a> {
    modules: Vec<&'a str>,
    exports: Vec<&'a str>,
    structs: Vec<(String, &'a str)>,
}

/// Emits `client/`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let mut files = Files::new();
    let mut modules = Vec::new();
    for (group, functions) in by_group(api, |_| true) {
        let is_struct = |ret: &Ret| matches!(ret, Ret::Struct(_) | Ret::StructList(_));
        let wire = functions.iter().any(|it| it.side != Side::Host || is_struct(&it.returns));
        let methods: Vec<Method> = functions.into_iter().map(method).collect();
        let view = View { imports: imports(&methods, wire), functions: methods };
        files.insert(format!("client/{group}.rs").into(), render(tera, "client_group.rs", &view)?);
        modules.push(group);
    }
    modules.sort_unstable();
    let view = Module {
        modules,
        // A group without options has nothing to export.
        exports: by_group(api, |it| !it.options.is_empty()).iter().map(|(name, _)| *name).collect(),
        structs: api.structs.iter().map(|it| (camel(&it.name), it.name.as_str())).collect(),
    };
    files.insert("client/mod.rs".into(), render(tera, "client_mod.rs", &view)?);
    Ok(files)
}

fn imports(methods: &[Method], wire: bool) -> Vec<&'static str> {
    let text: String = methods
        .iter()
        .flat_map(|it| it.parameters.iter().chain(&it.body).chain([&it.returns]))
        .map(|line| line.as_str())
        .collect();
    let fields = || methods.iter().filter_map(|it| it.options.as_ref()).flat_map(|it| &it.fields);
    let bstring = text.contains("BString") || fields().any(|it| it.rust_type.contains("BString"));
    [
        ("use std::path::Path;", text.contains("Path>")),
        ("use bstr::BString;", bstring),
        ("use guestfs_protocol::*;", wire),
        ("use crate::action::Action;", true),
        (
            "use crate::call::*;",
            ["text", "texts", "secret", "bit", "pairs"]
                .iter()
                .any(|it| text.contains(&format!("{it}("))),
        ),
        ("use crate::Error;", text.contains("Error::")),
        ("use crate::{Handle, Result};", true),
    ]
    .into_iter()
    .filter_map(|(line, wanted)| wanted.then_some(line))
    .collect()
}

fn method(function: &Function) -> Method {
    let name = &function.name;
    let mut parameters: Vec<String> = function
        .args
        .iter()
        .map(|arg| format!("{}: {}", rust(&arg.name), parameter(arg.ty)))
        .collect();
    if !function.options.is_empty() {
        parameters.push(format!("options: &{}Options", camel(name)));
    }
    let mut traces: Vec<String> =
        function.args.iter().map(|arg| trace(&rust(&arg.name), arg.ty)).collect();
    traces.extend(function.options.iter().map(|opt| trace_option(&opt.name, opt.ty)));
    let body = match function.side {
        Side::Host if !function.implemented => vec!["Err(Error::not_implemented())".to_owned()],
        Side::Host | Side::Both => host_body(function),
        Side::Daemon => daemon_body(function),
    };
    Method {
        name: name.clone(),
        ident: rust(name),
        docs: comment(&docs(function), "///"),
        deprecated: function.deprecated.as_ref().map(|it| match &it.by {
            Some(by) => format!("use `{by}`"),
            None => "there is no replacement".to_owned(),
        }),
        config_only: function.config_only,
        parameters,
        binds: function.args.iter().filter_map(|arg| bind(&rust(&arg.name), arg.ty)).collect(),
        traces,
        returns: returns(&function.returns),
        options: Options::of(function),
        body,
    }
}

/// The comment above the method.
fn docs(function: &Function) -> String {
    let mut text = markdown(&capitalized(&function.summary))
        + ".\n\n"
        + markdown(&function.docs).trim()
        + "\n";
    if !function.implemented {
        text += "\n**Not implemented yet**: calling it fails with `ENOTSUP`.\n";
    }
    if !function.args.is_empty() {
        text += "\n# Arguments\n\n";
        for arg in &function.args {
            text +=
                &format!("* `{}`: {}\n", arg.name, item(&explained(&arg.doc, &arg.values), "  "));
        }
    }
    if let Some(result) = &function.result {
        text += &format!("\n# Result\n\n{}\n", markdown(result).trim());
    }
    let mut errors = function.errors().peekable();
    if errors.peek().is_some() {
        text += "\n# Errors\n\n";
        for (errno, doc) in errors {
            text += &format!("* `{errno}`: {}\n", item(doc, "  "));
        }
    }
    let see: Vec<_> =
        function.see.iter().map(|name| format!("[`{0}`](Self::{0})", rust(name))).collect();
    if !see.is_empty() {
        text += &format!("\nSee also {}.\n", see.join(", "));
    }
    text
}

fn bind(ident: &str, ty: ArgType) -> Option<String> {
    match ty {
        ArgType::String
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key
        | ArgType::Filein
        | ArgType::Fileout => Some(format!("let {ident} = {ident}.as_ref();")),
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            Some(format!("let {ident}: Vec<&[u8]> = {ident}.iter().map(AsRef::as_ref).collect();"))
        }
        ArgType::Bool
        | ArgType::Int
        | ArgType::Int64
        | ArgType::Optstring
        | ArgType::Bytes
        | ArgType::Pointer => None,
    }
}

fn trace(ident: &str, ty: ArgType) -> String {
    match ty {
        ArgType::Bool => format!("record.bool({ident})"),
        ArgType::Int => format!("record.int({ident})"),
        ArgType::Int64 => format!("record.int64({ident})"),
        ArgType::String
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid => format!("record.string({ident})"),
        ArgType::Optstring => format!("record.opt_string({ident})"),
        ArgType::Key => "record.key()".to_owned(),
        ArgType::Filein | ArgType::Fileout => format!("record.path({ident})"),
        ArgType::Bytes => format!("record.bytes({ident})"),
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            format!("record.list(&{ident})")
        }
        ArgType::Pointer => format!("record.pointer({ident})"),
    }
}

fn trace_option(name: &str, ty: OptType) -> String {
    let ident = rust(name);
    match ty {
        OptType::Bool => format!("record.option_bool(\"{name}\", options.{ident})"),
        OptType::Int => format!("record.option_int(\"{name}\", options.{ident})"),
        OptType::Int64 => format!("record.option_int64(\"{name}\", options.{ident})"),
        OptType::String => format!("record.option_string(\"{name}\", &options.{ident})"),
        OptType::StringList => format!("record.option_list(\"{name}\", &options.{ident})"),
    }
}

/// The library does it: a function of the group's module.
fn host_body(function: &Function) -> Vec<String> {
    let mut args = vec!["self".to_owned()];
    args.extend(function.args.iter().map(|arg| {
        let ident = rust(&arg.name);
        match bind(&ident, arg.ty).is_some_and(|line| line.contains("Vec<")) {
            true => format!("&{ident}"),
            false => ident,
        }
    }));
    if !function.options.is_empty() {
        args.push("options".to_owned());
    }
    vec![format!("crate::{}::{}({})", function.group, rust(&function.name), args.join(", "))]
}

/// The daemon does it: arguments are encoded, the result decoded.
fn daemon_body(function: &Function) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fields: Vec<String> =
        function.args.iter().filter_map(|arg| encode(&arg.name, arg.ty)).collect();
    fields.extend(function.options.iter().map(|opt| encode_option(&opt.name, opt.ty)));
    let args = match fields.is_empty() {
        true => "&wire::Nothing".to_owned(),
        false => {
            let name = camel(&function.name);
            lines.push(format!("let args = {name}Args {{ {} }};", fields.join(", ")));
            "&args".to_owned()
        }
    };
    let bits: Vec<String> = function
        .options
        .iter()
        .enumerate()
        .map(|(bit, opt)| format!("bit({bit}, options.{}.is_some())", rust(&opt.name)))
        .collect();
    let optargs = match bits.is_empty() {
        true => "0".to_owned(),
        false => {
            lines.push(format!("let optargs = {};", bits.join(" | ")));
            "optargs".to_owned()
        }
    };
    let file = |wanted: ArgType| {
        let arg = function.args.iter().find(|arg| arg.ty == wanted);
        arg.map_or("None".to_owned(), |arg| format!("Some({})", rust(&arg.name)))
    };
    let procedure = format!("Procedure::{}", camel(&function.name));
    let has = |wanted: fn(ArgType) -> bool| function.args.iter().any(|arg| wanted(arg.ty));
    let call = match (has(ArgType::is_file), has(|ty| ty == ArgType::Key)) {
        (true, _) => {
            let (input, output) = (file(ArgType::Filein), file(ArgType::Fileout));
            format!("self.call_files({procedure}, {optargs}, {args}, {input}, {output})")
        }
        (false, true) => format!("self.call_with_secret({procedure}, {optargs}, {args})"),
        (false, false) => format!("self.call({procedure}, {optargs}, {args})"),
    };
    let result = rust(function.result_name.as_deref().unwrap_or("result"));
    let ret = format!("{}Ret", camel(&function.name));
    match &function.returns {
        Ret::None => lines.push(format!("let wire::Nothing = {call}?;\nOk(())")),
        Ret::Hash => lines.push(format!("let ret: {ret} = {call}?;\npairs(ret.{result})")),
        _ => lines.push(format!("let ret: {ret} = {call}?;\nOk(ret.{result})")),
    }
    lines
}

fn encode(name: &str, ty: ArgType) -> Option<String> {
    let ident = rust(name);
    Some(match ty {
        ArgType::Bool | ArgType::Int | ArgType::Int64 => ident,
        ArgType::String
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid => format!("{ident}: text(\"{name}\", {ident})?"),
        ArgType::Key => format!("{ident}: secret(\"{name}\", {ident})?"),
        ArgType::Optstring => format!("{ident}: optional_text(\"{name}\", {ident})?"),
        ArgType::Bytes => format!("{ident}: {ident}.to_vec()"),
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            format!("{ident}: texts(\"{name}\", &{ident})?")
        }
        ArgType::Filein | ArgType::Fileout | ArgType::Pointer => return None,
    })
}

fn encode_option(name: &str, ty: OptType) -> String {
    let ident = rust(name);
    match ty {
        OptType::Bool | OptType::Int | OptType::Int64 => {
            format!("{ident}: options.{ident}.unwrap_or_default()")
        }
        OptType::String => format!("{ident}: option_text(\"{name}\", &options.{ident})?"),
        OptType::StringList => format!("{ident}: option_texts(\"{name}\", &options.{ident})?"),
    }
}
