// SPDX-License-Identifier: LGPL-2.1-or-later
//! The wire lock: one line for each call that was ever described.  New calls are appended; a line
//! that would change or vanish is an error, because programs and appliances out there use it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::schema::{Api, ArgType, FieldType, Function, OptType, Ret};

/// Compares the lock file with the description.  New lines are written, or reported as stale
/// with `check`.
pub fn sync(path: &Path, api: &Api, check: bool) -> Result<Vec<String>> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(err) => return Err(err).context(path.display().to_string()),
    };
    let new = update(&old, api)?;
    if new == old {
        return Ok(Vec::new());
    }
    if !check {
        fs::write(path, new).with_context(|| path.display().to_string())?;
    }
    Ok(vec![format!("stale: {}", path.display())])
}

/// The lock file with what is new.
pub fn update(old: &str, api: &Api) -> Result<String> {
    let mut lines: BTreeMap<(u32, String), String> = BTreeMap::new();
    for structure in &api.structs {
        let fields: Vec<_> = structure
            .fields
            .iter()
            .map(|field| format!("{}: {}", field.name, field_type(field.ty)))
            .collect();
        let line = format!("struct {} {{{}}}", structure.name, fields.join(", "));
        lines.insert((0, structure.name.clone()), line);
    }
    for function in &api.functions {
        if let Some(proc) = function.proc {
            let line = format!("{proc} {}", signature(function));
            lines.insert((proc, String::new()), line);
        }
    }
    for locked in old.lines() {
        if !lines.values().any(|line| line == locked) {
            bail!(
                "tests/wire.lock: {locked}\nis on the wire of released programs; api.yaml \
                 changes or drops it"
            );
        }
    }
    Ok(lines.into_values().map(|line| line + "\n").collect())
}

fn signature(function: &Function) -> String {
    let args = function.args.iter().map(|arg| format!("{}: {}", arg.name, arg_type(arg.ty)));
    let options = function.options.iter().map(|opt| format!("{}?: {}", opt.name, opt_type(opt.ty)));
    let parameters: Vec<_> = args.chain(options).collect();
    format!("{}({}) -> {}", function.name, parameters.join(", "), ret_type(&function.returns))
}

fn arg_type(ty: ArgType) -> &'static str {
    match ty {
        ArgType::Bool => "bool",
        ArgType::Int => "int",
        ArgType::Int64 => "hyper",
        ArgType::String
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key => "text",
        ArgType::Optstring => "*text",
        ArgType::Filein => "file in",
        ArgType::Fileout => "file out",
        ArgType::Bytes => "opaque",
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            "text<>"
        }
        ArgType::Pointer => "pointer",
    }
}

fn opt_type(ty: OptType) -> &'static str {
    match ty {
        OptType::Bool => "bool",
        OptType::Int => "int",
        OptType::Int64 => "hyper",
        OptType::String => "text",
        OptType::StringList => "text<>",
    }
}

fn field_type(ty: FieldType) -> &'static str {
    match ty {
        FieldType::String | FieldType::Device => "text",
        FieldType::Bytes => "opaque",
        FieldType::Char => "char",
        FieldType::Uint32 => "unsigned int",
        FieldType::Int32 => "int",
        FieldType::Uint64 => "unsigned hyper",
        FieldType::Int64 | FieldType::Size => "hyper",
        FieldType::Uuid => "opaque[32]",
        FieldType::Percent => "float",
    }
}

fn ret_type(ret: &Ret) -> String {
    match ret {
        Ret::None => "void".to_owned(),
        Ret::Bool => "bool".to_owned(),
        Ret::Int => "int".to_owned(),
        Ret::Int64 => "hyper".to_owned(),
        Ret::String | Ret::Device | Ret::ConstString => "text".to_owned(),
        Ret::ConstOptString => "*text".to_owned(),
        Ret::Bytes => "opaque".to_owned(),
        Ret::StringList | Ret::DeviceList | Ret::MountableList | Ret::Hash => "text<>".to_owned(),
        Ret::Struct(name) => format!("struct {name}"),
        Ret::StructList(name) => format!("struct {name}<>"),
    }
}
