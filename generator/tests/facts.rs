// SPDX-License-Identifier: LGPL-2.1-or-later
//! The description against the facts: names, types, order and numbers of libguestfs's API, of
//! which `facts/signatures.tsv` has a line a function.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use generator::schema::{Api, ArgType, Function, OptType, Ret};

/// Numbers from here on are ours alone.
const FIRST_EXTENSION: u32 = 0x1000;

#[test]
fn functions_are_those_of_libguestfs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let facts = fs::read_to_string(root.join("tests/facts/signatures.tsv")).unwrap();
    let facts: BTreeMap<&str, (&str, &str)> = facts
        .lines()
        .map(|line| {
            let (proc, signature) = line.split_once('\t').unwrap();
            (signature.split_once('(').unwrap().0, (proc, signature))
        })
        .collect();
    let api = Api::parse(&fs::read_to_string(root.join("../api.yaml")).unwrap()).unwrap();
    let ours = |it: &&Function| it.proc.is_none_or(|proc| proc < FIRST_EXTENSION);
    let mut wrong = Vec::new();
    for function in api.functions.iter().filter(ours) {
        let proc = function.proc.map_or("-".to_owned(), |proc| proc.to_string());
        let signature = signature(function);
        match facts.get(function.name.as_str()) {
            None => wrong.push(format!("extra: {signature}")),
            Some(fact) if *fact == (proc.as_str(), signature.as_str()) => {}
            Some((fact_proc, fact)) => {
                wrong.push(format!("wrong: {proc} {signature}\n    is: {fact_proc} {fact}"));
            }
        }
    }
    let n_ours = api.functions.iter().filter(ours).count();
    println!("{n_ours} of {} functions are described", facts.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn signature(function: &Function) -> String {
    let args = function.args.iter().map(|arg| format!("{}: {}", arg.name, arg_type(arg.ty)));
    let options = function.options.iter().map(|opt| format!("{}?: {}", opt.name, opt_type(opt.ty)));
    let parameters: Vec<_> = args.chain(options).collect();
    format!("{}({}) -> {}", function.name, parameters.join(", "), ret_type(function))
}

fn arg_type(ty: ArgType) -> &'static str {
    match ty {
        ArgType::Bool => "Bool",
        ArgType::Int => "Int",
        ArgType::Int64 => "Int64",
        ArgType::String => "String",
        ArgType::Optstring => "OptString",
        ArgType::Path => "Pathname",
        ArgType::Device => "Device",
        ArgType::Mountable => "Mountable",
        ArgType::DeviceOrPath => "DevOrPath",
        ArgType::MountableOrPath => "MountableOrPath",
        ArgType::Filename => "Filename",
        ArgType::Guid => "GUID",
        ArgType::Key => "Key",
        ArgType::Filein => "FileIn",
        ArgType::Fileout => "FileOut",
        ArgType::Bytes => "BufferIn",
        ArgType::StringList => "List<String>",
        ArgType::DeviceList => "List<Device>",
        ArgType::PathList => "List<Pathname>",
        ArgType::FilenameList => "List<Filename>",
        ArgType::Pointer => "Ptr<virDomainPtr>",
    }
}

fn opt_type(ty: OptType) -> &'static str {
    match ty {
        OptType::Bool => "Bool",
        OptType::Int => "Int",
        OptType::Int64 => "Int64",
        OptType::String => "String",
        OptType::StringList => "StringList",
    }
}

fn ret_type(function: &Function) -> String {
    match &function.returns {
        Ret::None => "Err".to_owned(),
        Ret::Bool => "Bool".to_owned(),
        Ret::Int => "Int".to_owned(),
        Ret::Int64 => "Int64".to_owned(),
        Ret::String => "String".to_owned(),
        Ret::Device => "Device".to_owned(),
        Ret::ConstString => "ConstString".to_owned(),
        Ret::ConstOptString => "ConstOptString".to_owned(),
        Ret::Bytes => "BufferOut".to_owned(),
        Ret::StringList => "List<String>".to_owned(),
        Ret::DeviceList => "List<Device>".to_owned(),
        Ret::MountableList => "List<Mountable>".to_owned(),
        // The description does not tell the kinds of texts in pairs apart.
        Ret::Hash => "Hash<String,String>".to_owned(),
        Ret::Struct(name) => format!("Struct<{name}>"),
        Ret::StructList(name) => format!("StructList<{name}>"),
    }
}
