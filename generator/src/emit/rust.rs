// SPDX-License-Identifier: LGPL-2.1-or-later
//! The description's types in Rust, for every emitter that writes Rust or about it.

use serde::Serialize;

use crate::emit::{comment, explained};
use crate::names::{camel, markdown, rust};
use crate::schema::{ArgType, Function, OptType, Ret};

/// The structure that a function's optional arguments are given in.
#[derive(Serialize)]
pub(crate) struct Options {
    name: String,
    pub(crate) fields: Vec<OptionField>,
}

/// An optional argument.
#[derive(Serialize)]
pub(crate) struct OptionField {
    docs: String,
    name: String,
    pub(crate) rust_type: &'static str,
}

impl Options {
    /// None for a function without optional arguments.
    pub(crate) fn of(function: &Function) -> Option<Self> {
        let field = |opt: &crate::schema::Opt| OptionField {
            docs: comment(&markdown(&explained(&opt.doc, &opt.values)), "    ///"),
            name: rust(&opt.name),
            rust_type: option_type(opt.ty),
        };
        let fields: Vec<_> = function.options.iter().map(field).collect();
        (!fields.is_empty()).then(|| Self { name: options(function), fields })
    }
}

/// The name of the structure.
pub(crate) fn options(function: &Function) -> String {
    camel(&function.name) + "Options"
}

/// A required argument of the library.
pub(crate) fn parameter(ty: ArgType) -> &'static str {
    match ty {
        ArgType::Bool => "bool",
        ArgType::Int => "i32",
        ArgType::Int64 => "i64",
        ArgType::String
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key => "impl AsRef<[u8]>",
        ArgType::Optstring => "Option<&[u8]>",
        ArgType::Filein | ArgType::Fileout => "impl AsRef<Path>",
        ArgType::Bytes => "&[u8]",
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            "&[impl AsRef<[u8]>]"
        }
        ArgType::Pointer => "usize",
    }
}

fn option_type(ty: OptType) -> &'static str {
    match ty {
        OptType::Bool => "Option<bool>",
        OptType::Int => "Option<i32>",
        OptType::Int64 => "Option<i64>",
        OptType::String => "Option<BString>",
        OptType::StringList => "Option<Vec<BString>>",
    }
}

/// The result of the library, without the error.
pub(crate) fn returns(ret: &Ret) -> String {
    match ret {
        Ret::None => "()".to_owned(),
        Ret::Bool => "bool".to_owned(),
        Ret::Int => "i32".to_owned(),
        Ret::Int64 => "i64".to_owned(),
        Ret::String | Ret::Device | Ret::ConstString => "BString".to_owned(),
        Ret::ConstOptString => "Option<BString>".to_owned(),
        Ret::Bytes => "Vec<u8>".to_owned(),
        Ret::StringList | Ret::DeviceList | Ret::MountableList => "Vec<BString>".to_owned(),
        Ret::Hash => "Vec<(BString, BString)>".to_owned(),
        Ret::Struct(name) => camel(name),
        Ret::StructList(name) => format!("Vec<{}>", camel(name)),
    }
}
