// SPDX-License-Identifier: LGPL-2.1-or-later
//! The daemon's side of every call: a stub that decodes, checks, calls the function and encodes,
//! and the table that finds the stub.

use anyhow::Result;
use serde::Serialize;
use tera::Tera;

use crate::emit::rust::{self as rust_types, Options};
use crate::emit::{by_group, render};
use crate::names::{camel, rust};
use crate::output::Files;
use crate::schema::{Api, ArgType, Feature, Function, Ret, Side};

#[derive(Serialize)]
struct View {
    functions: Vec<Stub>,
    imports: Vec<&'static str>,
}

#[derive(Serialize)]
struct Stub {
    ident: String,
    /// The name of the context, if the stub uses it.
    cx: &'static str,
    /// The name of the call, if anything is asked of it.
    call: &'static str,
    options: Option<Options>,
    lines: Vec<String>,
}

#[derive(Serialize)]
struct Table<'a> {
    modules: Vec<&'a str>,
    exports: Vec<&'a str>,
    entries: Vec<Entry>,
    features: &'a [FeatureView],
}

#[derive(Serialize)]
struct Entry {
    number: u32,
    name: String,
    path: String,
}

#[derive(Serialize)]
struct FeatureView {
    name: String,
    programs: Vec<String>,
    filesystem: String,
    /// One of its functions, at least, has a body.
    implemented: bool,
}

/// Emits `daemon/`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let mut files = Files::new();
    let is_daemon = |it: &Function| it.side != Side::Host;
    let mut modules = Vec::new();
    for (group, functions) in by_group(api, is_daemon) {
        let functions: Vec<Stub> = functions.into_iter().map(stub).collect();
        let view = View { imports: imports(&functions), functions };
        files.insert(format!("daemon/{group}.rs").into(), render(tera, "daemon_group.rs", &view)?);
        modules.push(group);
    }
    modules.sort_unstable();
    let mut entries: Vec<Entry> = api
        .functions
        .iter()
        .filter_map(|it| {
            let path = format!("{}::{}", it.group, rust(&it.name));
            Some(Entry { number: it.proc?, name: it.name.clone(), path })
        })
        .collect();
    entries.sort_by_key(|entry| entry.number);
    let has_options = |it: &Function| is_daemon(it) && it.implemented && !it.options.is_empty();
    let features: Vec<FeatureView> = api.features.iter().map(|it| feature(api, it)).collect();
    let view = Table {
        modules,
        exports: by_group(api, has_options).iter().map(|(name, _)| *name).collect(),
        entries,
        features: &features,
    };
    files.insert("daemon/mod.rs".into(), render(tera, "daemon_mod.rs", &view)?);
    Ok(files)
}

fn feature(api: &Api, feature: &Feature) -> FeatureView {
    let belongs = |it: &&Function| it.feature.as_deref() == Some(feature.name.as_str());
    let mut functions = api.functions.iter().filter(belongs).peekable();
    FeatureView {
        name: feature.name.clone(),
        programs: feature.programs.clone(),
        filesystem: match &feature.filesystem {
            Some(name) => format!("Some({name:?})"),
            None => "None".to_owned(),
        },
        // Programs ask for features that have no functions of their own, too.
        implemented: functions.peek().is_none() || functions.any(|it| it.implemented),
    }
}

fn imports(stubs: &[Stub]) -> Vec<&'static str> {
    let uses = |word: &str| stubs.iter().flat_map(|it| &it.lines).any(|line| line.contains(word));
    let fields = || stubs.iter().filter_map(|it| it.options.as_ref()).flat_map(|it| &it.fields);
    [
        ("use bstr::BString;", fields().any(|it| it.rust_type.contains("BString"))),
        ("use bstr::ByteSlice;", uses(".as_bstr()")),
        ("use guestfs_protocol::*;", uses("Args") || uses("Ret")),
        ("use crate::call::{Call, Reply};", true),
        ("use crate::ctx::Ctx;", true),
        ("use crate::error::Error;", uses("Error::")),
        ("use crate::error::Result;", true),
    ]
    .into_iter()
    .filter_map(|(line, wanted)| wanted.then_some(line))
    .collect()
}

fn stub(function: &Function) -> Stub {
    if !function.implemented {
        return unimplemented(function);
    }
    let name = &function.name;
    let mut lines = Vec::new();
    // The chunks of a file have to be read whatever goes wrong, so it is taken first.
    lines.extend(function.args.iter().filter_map(|arg| take_file(&rust(&arg.name), arg.ty)));
    if function.args.iter().any(|arg| !arg.ty.is_file()) || !function.options.is_empty() {
        lines.push(format!("let a: {}Args = call.decode()?;", camel(name)));
    }
    if let Some(feature) = &function.feature {
        lines.push(format!("cx.needs_feature(\"{feature}\")?;"));
    }
    if function.needs_root() {
        lines.push("cx.needs_root()?;".to_owned());
    }
    lines.extend(function.args.iter().filter_map(|arg| bind(&arg.name, arg.ty)));
    let options = (!function.options.is_empty()).then(|| rust_types::options(function));
    if let Some(options) = &options {
        lines.push(format!("call.knows_options({})?;", function.options.len()));
        let fields: Vec<String> = function
            .options
            .iter()
            .enumerate()
            .map(|(bit, opt)| {
                let ident = rust(&opt.name);
                format!("{ident}: call.option({bit}, a.{ident})")
            })
            .collect();
        lines.push(format!("let options = {options} {{ {} }};", fields.join(", ")));
    }
    let mut args = vec!["cx".to_owned()];
    args.extend(function.args.iter().map(|arg| pass(&rust(&arg.name), arg.ty)));
    args.extend(options.is_some().then(|| "options".to_owned()));
    let call = format!("crate::{}::{}({})?", function.group, rust(name), args.join(", "));
    let result = rust(function.result_name.as_deref().unwrap_or("result"));
    match &function.returns {
        Ret::None => {
            lines.push(call + ";");
            lines.push("Ok(Reply::empty())".to_owned());
        }
        Ret::Hash => {
            lines.push(format!(
                "let {result} = {call}.into_iter().flat_map(|(key, value)| [key, value]).collect();"
            ));
            lines.push(format!("Ok(Reply::of(&{}Ret {{ {result} }}))", camel(name)));
        }
        Ret::Bool
        | Ret::Int
        | Ret::Int64
        | Ret::String
        | Ret::Device
        | Ret::ConstString
        | Ret::ConstOptString
        | Ret::Bytes
        | Ret::StringList
        | Ret::DeviceList
        | Ret::MountableList
        | Ret::Struct(_)
        | Ret::StructList(_) => {
            lines.push(format!("let {result} = {call};"));
            lines.push(format!("Ok(Reply::of(&{}Ret {{ {result} }}))", camel(name)));
        }
    }
    let asks = lines.iter().any(|line| line.contains("call."));
    Stub {
        ident: rust(name),
        cx: "cx",
        call: if asks { "call" } else { "_" },
        options: Options::of(function),
        lines,
    }
}

/// The number is known, and that is all.
fn unimplemented(function: &Function) -> Stub {
    let sent = function.args.iter().any(|arg| arg.ty == ArgType::Filein);
    let mut lines = Vec::new();
    // What is sent has to be read, or it would be taken for the next call.
    lines.extend(sent.then(|| "let _unread = call.file_in();".to_owned()));
    lines.push("Err(Error::NotImplemented)".to_owned());
    Stub {
        ident: rust(&function.name),
        cx: "_",
        call: if sent { "call" } else { "_" },
        options: None,
        lines,
    }
}

fn take_file(ident: &str, ty: ArgType) -> Option<String> {
    match ty {
        ArgType::Filein => Some(format!("let mut {ident} = call.file_in();")),
        ArgType::Fileout => Some(format!("let mut {ident} = call.file_out();")),
        ArgType::Bool
        | ArgType::Int
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
        | ArgType::Key
        | ArgType::Bytes
        | ArgType::StringList
        | ArgType::DeviceList
        | ArgType::PathList
        | ArgType::FilenameList
        | ArgType::Pointer => None,
    }
}

/// The statement that turns a string of the caller into a checked type.
fn bind(name: &str, ty: ArgType) -> Option<String> {
    let ident = rust(name);
    let check = |method: &str| Some(format!("let {ident} = cx.{method}(\"{name}\", &a.{ident})?;"));
    match ty {
        ArgType::Path => check("guest_path"),
        ArgType::Device => check("device"),
        ArgType::Mountable => check("mountable"),
        ArgType::DeviceOrPath => check("device_or_path"),
        ArgType::MountableOrPath => check("mountable_or_path"),
        ArgType::DeviceList => check("devices"),
        ArgType::PathList => check("guest_paths"),
        ArgType::Bool
        | ArgType::Int
        | ArgType::Int64
        | ArgType::String
        | ArgType::Optstring
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key
        | ArgType::Filein
        | ArgType::Fileout
        | ArgType::Bytes
        | ArgType::StringList
        | ArgType::FilenameList
        | ArgType::Pointer => None,
    }
}

fn pass(ident: &str, ty: ArgType) -> String {
    match ty {
        ArgType::Bool | ArgType::Int | ArgType::Int64 => format!("a.{ident}"),
        ArgType::String | ArgType::Filename | ArgType::Guid => format!("a.{ident}.as_bstr()"),
        ArgType::Optstring => format!("a.{ident}.as_ref().map(|it| it.as_bstr())"),
        ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::DeviceList
        | ArgType::PathList => format!("&{ident}"),
        ArgType::Filein | ArgType::Fileout => format!("&mut {ident}"),
        ArgType::Key | ArgType::Bytes | ArgType::StringList | ArgType::FilenameList => {
            format!("&a.{ident}")
        }
        // Pointers mean nothing to another process; no function of the daemon has one.
        ArgType::Pointer => "()".to_owned(),
    }
}
