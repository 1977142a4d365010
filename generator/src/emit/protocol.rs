// SPDX-License-Identifier: LGPL-2.1-or-later
//! The wire: `guestfs_protocol.x` for rpcgen, and the same types in Rust.

use anyhow::Result;
use serde::Serialize;
use tera::Tera;

use crate::emit::{by_group, comment, render};
use crate::names::{camel, markdown, rust};
use crate::output::Files;
use crate::schema::{Api, ArgType, Field, FieldType, Function, Opt, OptType, Ret};

#[derive(Serialize)]
struct View {
    version: u32,
    structs: Vec<Type>,
    messages: Vec<Type>,
    procedures: Vec<Procedure>,
    modules: Vec<String>,
    imports: Vec<&'static str>,
}

/// A structure of the wire.
#[derive(Serialize)]
struct Type {
    doc: String,
    rust: String,
    xdr: String,
    eq: bool,
    /// There is nothing in it that must not be copied.
    clone: bool,
    fields: Vec<Member>,
    /// The expression that encodes all fields.
    pack: String,
}

#[derive(Serialize)]
struct Member {
    doc: String,
    name: String,
    rust_type: String,
    pack: String,
    unpack: String,
    xdr: String,
}

#[derive(Serialize)]
struct Procedure {
    name: String,
    rust: String,
    number: u32,
    xdr: String,
}

/// How a value travels.
enum Wire {
    Bool,
    Int,
    Uint,
    Hyper,
    Uhyper,
    /// A number of bytes: unsigned for users, `hyper` in the description of the wire.
    Size,
    Float,
    Char,
    Text,
    /// As `Text`, and wiped.
    Key,
    OptText,
    Opaque,
    Uuid,
    TextList,
    Struct(String),
    StructList(String),
}

/// Emits `protocol/`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let structs: Vec<Type> =
        api.structs.iter().map(|it| structure(&it.name, &it.doc, &it.fields)).collect();
    let mut files = Files::new();
    let mut modules = vec!["procedures".to_owned(), "structs".to_owned()];
    let mut all = Vec::new();
    for (group, functions) in by_group(api, |function| function.proc.is_some()) {
        let messages: Vec<Type> = functions.into_iter().flat_map(message_types).collect();
        let view = View {
            version: 4,
            structs: Vec::new(),
            imports: imports(&messages),
            messages,
            procedures: Vec::new(),
            modules: Vec::new(),
        };
        if !view.messages.is_empty() {
            files.insert(
                format!("protocol/{group}.rs").into(),
                render(tera, "protocol_messages.rs", &view)?,
            );
            modules.push(group.to_owned());
            all.extend(view.messages);
        }
    }
    modules.sort();
    let mut procedures: Vec<Procedure> = api
        .functions
        .iter()
        .filter_map(|function| {
            Some(Procedure {
                name: function.name.clone(),
                rust: camel(&function.name),
                number: function.proc?,
                xdr: format!("GUESTFS_PROC_{}", function.name.to_ascii_uppercase()),
            })
        })
        .collect();
    procedures.sort_by_key(|procedure| procedure.number);
    let imports = imports(&structs);
    let view = View { version: 4, structs, messages: all, procedures, modules, imports };
    for (path, template) in [
        ("protocol/guestfs_protocol.x", "guestfs_protocol.x"),
        ("protocol/procedures.rs", "protocol_procedures.rs"),
        ("protocol/structs.rs", "protocol_structs.rs"),
        ("protocol/mod.rs", "protocol_mod.rs"),
    ] {
        files.insert(path.into(), render(tera, template, &view)?);
    }
    Ok(files)
}

/// The lines that bring in what the types are made of.
fn imports(types: &[Type]) -> Vec<&'static str> {
    let members = || types.iter().flat_map(|ty| &ty.fields);
    let uses = |word: &str| members().any(|it| it.rust_type.contains(word));
    let calls = |word: &str| members().any(|it| it.unpack.contains(word));
    let is_struct = |it: &Member| {
        let last = it.rust_type.trim_start_matches("Vec<").trim_end_matches('>');
        !matches!(last, "BString" | "Option<BString" | "Key")
            && last.starts_with(char::is_uppercase)
    };
    [
        ("use bstr::BString;", uses("BString")),
        ("use xdr_codec::{Pack, Result, Unpack, Write};", true),
        ("use crate::Key;", uses("Key")),
        ("use crate::generated::structs::*;", members().any(is_struct)),
        ("use crate::wire::MESSAGE_MAX;", calls("MESSAGE_MAX")),
        ("use crate::xdr;", calls("xdr::")),
        ("use crate::xdr::Strict;", true),
    ]
    .into_iter()
    .filter_map(|(line, wanted)| wanted.then_some(line))
    .collect()
}

/// The sum of what the fields take up.
fn pack(fields: &[Member]) -> String {
    match fields {
        [field] => field.pack.clone(),
        _ => {
            let terms: Vec<_> = fields.iter().map(|it| format!("{}?", it.pack)).collect();
            format!("Ok({})", terms.join(" + "))
        }
    }
}

fn structure(name: &str, doc: &str, fields: &[Field]) -> Type {
    let eq = !fields.iter().any(|field| field.ty == FieldType::Percent);
    let member = |it: &Field| member(&it.name, &it.doc, field_wire(it.ty));
    let fields: Vec<Member> = fields.iter().map(member).collect();
    Type {
        doc: comment(&markdown(doc), "///"),
        rust: camel(name),
        xdr: format!("guestfs_int_{name}"),
        eq,
        clone: true,
        pack: pack(&fields),
        fields,
    }
}

/// The arguments and the result of a function, where it has them.
fn message_types(function: &Function) -> Vec<Type> {
    let name = &function.name;
    let args =
        function.args.iter().filter_map(|arg| Some(member(&arg.name, &arg.doc, arg_wire(arg.ty)?)));
    let args: Vec<Member> = args.chain(function.options.iter().map(trailing)).collect();
    let mut types = Vec::new();
    if !args.is_empty() {
        types.push(Type {
            doc: format!("/// Arguments of `{name}`.\n"),
            rust: camel(name) + "Args",
            xdr: format!("guestfs_{name}_args"),
            eq: true,
            clone: !function.args.iter().any(|arg| arg.ty == ArgType::Key),
            pack: pack(&args),
            fields: args,
        });
    }
    if let Some(wire) = ret_wire(&function.returns) {
        let result = function.result_name.as_deref().unwrap_or("result");
        let doc = function.result.as_deref().unwrap_or_default();
        // An LV's percentages are floats.
        let eq = !matches!(wire, Wire::Struct(_) | Wire::StructList(_));
        let fields = vec![member(result, doc, wire)];
        types.push(Type {
            doc: format!("/// Result of `{name}`.\n"),
            rust: camel(name) + "Ret",
            xdr: format!("guestfs_{name}_ret"),
            eq,
            clone: true,
            pack: pack(&fields),
            fields,
        });
    }
    types
}

/// An option: callers that are older than it do not send it.
fn trailing(opt: &Opt) -> Member {
    let member = member(&opt.name, &opt.doc, opt_wire(opt.ty));
    let function = member.unpack.trim_end_matches("(input)?");
    let unpack = format!("xdr::unpack_trailing(input, {function})?");
    Member { unpack, ..member }
}

fn member(name: &str, doc: &str, wire: Wire) -> Member {
    let ident = rust(name);
    let of = |function: &str| {
        (
            format!("xdr::pack_{function}(&self.{ident}, out)"),
            format!("xdr::unpack_{function}(input)?"),
        )
    };
    let by_value = |function: &str| {
        (
            format!("xdr::pack_{function}(self.{ident}, out)"),
            format!("xdr::unpack_{function}(input)?"),
        )
    };
    let plain = |ty: &str| {
        (ty.to_owned(), (format!("self.{ident}.pack(out)"), format!("{ty}::unpack(input)?")))
    };
    let (rust_type, (pack, unpack)) = match &wire {
        Wire::Bool => plain("bool"),
        Wire::Int => plain("i32"),
        Wire::Uint => plain("u32"),
        Wire::Hyper => plain("i64"),
        Wire::Uhyper | Wire::Size => plain("u64"),
        Wire::Float => plain("f32"),
        Wire::Char => ("u8".to_owned(), by_value("char")),
        Wire::Text => ("BString".to_owned(), of("text")),
        Wire::Key => (
            "Key".to_owned(),
            (
                format!("xdr::pack_bytes(self.{ident}.as_ref(), out)"),
                "xdr::unpack_key(input)?".to_owned(),
            ),
        ),
        Wire::OptText => ("Option<BString>".to_owned(), of("opt_text")),
        Wire::Opaque => (
            "Vec<u8>".to_owned(),
            (
                format!("xdr::pack_bytes(&self.{ident}, out)"),
                "xdr::unpack_bytes(input, MESSAGE_MAX)?".to_owned(),
            ),
        ),
        Wire::Uuid => ("[u8; 32]".to_owned(), of("uuid")),
        Wire::TextList => ("Vec<BString>".to_owned(), of("text_list")),
        Wire::Struct(name) => plain(&camel(name)),
        Wire::StructList(name) => (format!("Vec<{}>", camel(name)), of("list")),
    };
    let xdr = match &wire {
        Wire::Bool => format!("bool {name}"),
        Wire::Int => format!("int {name}"),
        Wire::Uint => format!("unsigned int {name}"),
        Wire::Hyper | Wire::Size => format!("hyper {name}"),
        Wire::Uhyper => format!("unsigned hyper {name}"),
        Wire::Float => format!("float {name}"),
        Wire::Char => format!("char {name}"),
        Wire::Text | Wire::Key => format!("string {name}<>"),
        // rpcgen takes a pointer to a named type only.
        Wire::OptText => format!("guestfs_text *{name}"),
        Wire::Opaque => format!("opaque {name}<>"),
        Wire::Uuid => format!("opaque {name}[32]"),
        Wire::TextList => format!("guestfs_text {name}<>"),
        Wire::Struct(ty) => format!("guestfs_int_{ty} {name}"),
        Wire::StructList(ty) => format!("guestfs_int_{ty} {name}<>"),
    };
    Member { doc: comment(&markdown(doc), "///"), name: ident, rust_type, pack, unpack, xdr }
}

fn field_wire(ty: FieldType) -> Wire {
    match ty {
        FieldType::String | FieldType::Device => Wire::Text,
        FieldType::Bytes => Wire::Opaque,
        FieldType::Char => Wire::Char,
        FieldType::Uint32 => Wire::Uint,
        FieldType::Int32 => Wire::Int,
        FieldType::Uint64 => Wire::Uhyper,
        FieldType::Int64 => Wire::Hyper,
        FieldType::Size => Wire::Size,
        FieldType::Uuid => Wire::Uuid,
        FieldType::Percent => Wire::Float,
    }
}

fn arg_wire(ty: ArgType) -> Option<Wire> {
    Some(match ty {
        ArgType::Bool => Wire::Bool,
        ArgType::Int => Wire::Int,
        ArgType::Int64 => Wire::Hyper,
        ArgType::String
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid => Wire::Text,
        ArgType::Key => Wire::Key,
        ArgType::Optstring => Wire::OptText,
        ArgType::Bytes => Wire::Opaque,
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            Wire::TextList
        }
        ArgType::Filein | ArgType::Fileout | ArgType::Pointer => return None,
    })
}

fn opt_wire(ty: OptType) -> Wire {
    match ty {
        OptType::Bool => Wire::Bool,
        OptType::Int => Wire::Int,
        OptType::Int64 => Wire::Hyper,
        OptType::String => Wire::Text,
        OptType::StringList => Wire::TextList,
    }
}

fn ret_wire(ret: &Ret) -> Option<Wire> {
    Some(match ret {
        Ret::None => return None,
        Ret::Bool => Wire::Bool,
        Ret::Int => Wire::Int,
        Ret::Int64 => Wire::Hyper,
        Ret::String | Ret::Device | Ret::ConstString => Wire::Text,
        Ret::ConstOptString => Wire::OptText,
        Ret::Bytes => Wire::Opaque,
        Ret::StringList | Ret::DeviceList | Ret::MountableList | Ret::Hash => Wire::TextList,
        Ret::Struct(name) => Wire::Struct(name.clone()),
        Ret::StructList(name) => Wire::StructList(name.clone()),
    })
}
