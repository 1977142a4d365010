// SPDX-License-Identifier: LGPL-2.1-or-later
//! The tests of the description, as tests of Rust that call the library.

use anyhow::{Result, bail};
use serde::Serialize;
use serde_yaml::{Mapping, Value};
use tera::Tera;

use crate::check::split_options;
use crate::emit::{by_group, render};
use crate::names::{camel, rust};
use crate::output::Files;
use crate::schema::{Api, ArgType, Disk, FieldType, Function, OptType, Ret, Side, Test};

/// Modules, by what their cases need: the names of tests tell.
const HOST: &str = "host";
const IN_APPLIANCE: &str = "in_appliance";

/// As many go into one file; a file of all would be too long to read.
pub(crate) const CASES_MAX: usize = 100;

#[derive(Serialize)]
struct View<'a> {
    deprecated: bool,
    cases: &'a [Case],
}

#[derive(Serialize)]
struct Case {
    #[serde(skip)]
    deprecated: bool,
    function: String,
    title: String,
    ident: String,
    disk: &'static str,
    needs: Vec<String>,
    steps: Vec<String>,
    last: String,
    expectations: Vec<String>,
}

#[derive(Serialize)]
struct StructView {
    name: String,
    fields: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Module {
    rings: Vec<(&'static str, &'static str, Vec<String>)>,
    structs: Vec<StructView>,
}

/// Emits `tests/`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let mut files = Files::new();
    let mut rings = Vec::new();
    for (ring, docs) in [
        (HOST, "Cases that need no appliance."),
        (IN_APPLIANCE, "Cases that are run in the appliance."),
    ] {
        let mut modules = Vec::new();
        for (group, functions) in by_group(api, |it| !it.tests().is_empty()) {
            let mut cases = Vec::new();
            for function in functions {
                for test in function.tests() {
                    for disk in test.disks.iter().filter(|disk| ring_of(**disk) == ring) {
                        cases.push(case(api, function, test, *disk)?);
                    }
                }
            }
            for (number, cases) in cases.chunks(CASES_MAX).enumerate() {
                let module = match number {
                    0 => group.to_owned(),
                    _ => format!("{group}_{}", number + 1),
                };
                let deprecated = cases.iter().any(|case| case.deprecated);
                let path = format!("tests/{ring}/{module}.rs");
                files.insert(
                    path.into(),
                    render(tera, "tests_group.rs", &View { deprecated, cases })?,
                );
                modules.push(module);
            }
        }
        rings.push((ring, docs, modules));
    }
    let structs = api.structs.iter().map(structure).collect();
    files.insert("tests/mod.rs".into(), render(tera, "tests_mod.rs", &Module { rings, structs })?);
    Ok(files)
}

fn ring_of(disk: Disk) -> &'static str {
    match disk {
        Disk::Config => HOST,
        Disk::Unlaunched
        | Disk::Blank
        | Disk::Ext4
        | Disk::Ext4Mounted
        | Disk::Readonly
        | Disk::Xfs
        | Disk::Btrfs
        | Disk::Vfat
        | Disk::Ntfs => IN_APPLIANCE,
    }
}

fn structure(structure: &crate::schema::Struct) -> StructView {
    let value = |it: &crate::schema::Field| {
        let ident = rust(&it.name);
        match it.ty {
            FieldType::String | FieldType::Device | FieldType::Bytes => {
                format!("bytes(&self.{ident})")
            }
            FieldType::Uuid => format!("bytes(self.{ident})"),
            FieldType::Char => format!("character(self.{ident})"),
            FieldType::Uint32
            | FieldType::Int32
            | FieldType::Uint64
            | FieldType::Int64
            | FieldType::Size => format!("number(self.{ident})"),
            FieldType::Percent => format!("percent(self.{ident})"),
        }
    };
    let fields = structure.fields.iter();
    StructView {
        name: camel(&structure.name),
        fields: fields.map(|it| (it.name.clone(), value(it))).collect(),
    }
}

fn calls_deprecated(api: &Api, test: &Test) -> bool {
    let mut names = test.steps.iter().flat_map(|step| step.keys());
    names.any(|name| api.function(name).is_some_and(|it| it.deprecated.is_some()))
}

fn case(api: &Api, function: &Function, test: &Test, disk: Disk) -> Result<Case> {
    let mut calls = Vec::new();
    let mut ret = &function.returns;
    for step in &test.steps {
        for (name, values) in step {
            let Some(called) = api.function(name) else { bail!("{name} does not exist") };
            ret = &called.returns;
            calls.push((name, call(called, values)?));
        }
    }
    let Some((_, last)) = calls.pop() else { bail!("{}: {}: no steps", function.name, test.name) };
    let mut expectations = Vec::new();
    if let Some(expected) = &test.returns {
        expectations.push(format!("returns(got, {});", expected_value(ret, expected)?));
    }
    if let Some(pattern) = &test.matches {
        expectations.push(format!("matches(got, {});", string(pattern)));
    }
    if let Some(fails) = &test.fails {
        let errno = match &fails.errno {
            Some(errno) => format!("Some({errno:?})"),
            None => "None".to_owned(),
        };
        expectations.push(format!("fails(got, {errno}, {});", string(&fails.says)));
    }
    if let Some(content) = &test.fileout {
        if expectations.is_empty() {
            expectations.push("step(\"the last step\", got);".to_owned());
        }
        expectations.push(format!("case.wrote({});", bytes(content)?));
    }
    let title = match test.disks.len() {
        1 => test.name.clone(),
        _ => format!("{} ({disk:?})", test.name),
    };
    Ok(Case {
        deprecated: calls_deprecated(api, test),
        function: function.name.clone(),
        ident: format!("{}_{}", function.name, identifier(&title)).to_ascii_lowercase(),
        title,
        disk: match disk {
            Disk::Config => "Disk::Config",
            Disk::Unlaunched => "Disk::Unlaunched",
            Disk::Blank => "Disk::Blank",
            Disk::Ext4 => "Disk::Ext4",
            Disk::Ext4Mounted => "Disk::Ext4Mounted",
            Disk::Readonly => "Disk::Readonly",
            Disk::Xfs => "Disk::Xfs",
            Disk::Btrfs => "Disk::Btrfs",
            Disk::Vfat => "Disk::Vfat",
            Disk::Ntfs => "Disk::Ntfs",
        },
        needs: test.needs.iter().chain(&function.feature).cloned().collect(),
        steps: calls.into_iter().map(|(name, call)| format!("step(\"{name}\", {call});")).collect(),
        last,
        expectations,
    })
}

/// A sentence as part of the name of a function.
pub(crate) fn identifier(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

fn call(function: &Function, values: &[Value]) -> Result<String> {
    let (values, options) = split_options(function, values);
    let mut args = Vec::new();
    for (arg, value) in function.args.iter().zip(values) {
        args.push(match function.side {
            // The library itself is given names of files, and does not look into them.
            Side::Host if arg.ty.is_file() => string(value.as_str().unwrap_or_default()),
            Side::Host | Side::Daemon | Side::Both => argument(arg.ty, value)?,
        });
    }
    if !function.options.is_empty() {
        args.push(option_struct(function, options)?);
    }
    Ok(format!("g.{}({})", rust(&function.name), args.join(", ")))
}

fn option_struct(function: &Function, options: Option<&Mapping>) -> Result<String> {
    let name = camel(&function.name) + "Options";
    let Some(options) = options else { return Ok(format!("&{name}::default()")) };
    let mut fields = Vec::new();
    for opt in &function.options {
        let Some(value) = options.get(opt.name.as_str()) else { continue };
        let value = match opt.ty {
            OptType::Bool | OptType::Int | OptType::Int64 => scalar(value)?,
            OptType::String => format!("{}.into()", bytes(value)?),
            OptType::StringList => {
                let items: Vec<_> = sequence(value)?.iter().map(bytes).collect::<Result<_>>()?;
                let items: Vec<_> = items.iter().map(|it| format!("{it}.into()")).collect();
                format!("vec![{}]", items.join(", "))
            }
        };
        fields.push(format!("{}: Some({value})", rust(&opt.name)));
    }
    let rest = if fields.len() == function.options.len() { "" } else { ", ..Default::default()" };
    Ok(format!("&{name} {{ {}{rest} }}", fields.join(", ")))
}

fn argument(ty: ArgType, value: &Value) -> Result<String> {
    match ty {
        ArgType::Bool | ArgType::Int | ArgType::Int64 | ArgType::Pointer => scalar(value),
        ArgType::String
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key
        | ArgType::Bytes => bytes(value),
        ArgType::Optstring if value.is_null() => Ok("None".to_owned()),
        ArgType::Optstring => Ok(format!("Some({})", bytes(value)?)),
        ArgType::Filein => Ok(format!("case.sends({})", bytes(value)?)),
        ArgType::Fileout => Ok("case.output()".to_owned()),
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            let items: Vec<_> = sequence(value)?.iter().map(bytes).collect::<Result<_>>()?;
            match items.is_empty() {
                true => Ok("&[] as &[&[u8]]".to_owned()),
                false => Ok(format!("&[{}]", items.join(", "))),
            }
        }
    }
}

pub(crate) fn scalar(value: &Value) -> Result<String> {
    match value {
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        other => bail!("{other:?} is not a number"),
    }
}

/// An expression of the type `Value` of the tests.
fn number(value: &Value) -> Result<String> {
    let suffix = if value.is_bool() { "" } else { "_i64" };
    Ok(format!("number({}{suffix})", scalar(value)?))
}

pub(crate) fn sequence(value: &Value) -> Result<&[Value]> {
    match value {
        Value::Sequence(items) => Ok(items),
        other => bail!("{other:?} is not a list"),
    }
}

/// An expression of type `&[u8]`.
fn bytes(value: &Value) -> Result<String> {
    if let Value::Mapping(map) = value
        && let (Some(Value::String(text)), Some(Value::Number(times))) =
            (map.get("repeat"), map.get("times"))
    {
        return Ok(format!("{}.repeat({times}).as_slice()", byte_string(text.as_bytes())));
    }
    Ok(format!("{}.as_slice()", byte_string(&raw_bytes(value)?)))
}

/// The bytes that a value stands for, unless they are said by repetition.
pub(crate) fn raw_bytes(value: &Value) -> Result<Vec<u8>> {
    match value {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        Value::Number(number) => Ok(number.to_string().into_bytes()),
        Value::Bool(value) => Ok(value.to_string().into_bytes()),
        Value::Mapping(map) => match map.get("hex") {
            Some(Value::String(hex)) if map.len() == 1 => {
                let pairs = hex.as_bytes().chunks(2).map(|it| String::from_utf8_lossy(it));
                Ok(pairs.map(|it| u8::from_str_radix(&it, 16)).collect::<Result<_, _>>()?)
            }
            _ => bail!("{map:?}: not {{hex: ...}} and not {{repeat: ..., times: ...}}"),
        },
        other => bail!("{other:?} is not text"),
    }
}

fn byte_string(raw: &[u8]) -> String {
    format!("b\"{}\"", raw.escape_ascii())
}

fn string(text: &str) -> String {
    format!("{text:?}")
}

/// An expression of the type `Value` of the tests.
fn expected_value(ret: &Ret, value: &Value) -> Result<String> {
    Ok(match ret {
        Ret::None => "nothing()".to_owned(),
        Ret::Bool | Ret::Int | Ret::Int64 => number(value)?,
        Ret::ConstOptString if value.is_null() => "nothing()".to_owned(),
        Ret::String | Ret::Device | Ret::ConstString | Ret::ConstOptString | Ret::Bytes => {
            format!("bytes({})", bytes(value)?)
        }
        Ret::StringList | Ret::DeviceList | Ret::MountableList => {
            let items: Vec<_> = sequence(value)?
                .iter()
                .map(|it| Ok(format!("bytes({})", bytes(it)?)))
                .collect::<Result<_>>()?;
            format!("list([{}])", items.join(", "))
        }
        Ret::Hash => match value {
            Value::Mapping(map) => format!("hash({})", pairs(map)?),
            other => bail!("{other:?} is not a map"),
        },
        Ret::Struct(_) => fields(value)?,
        Ret::StructList(_) => {
            let items: Vec<_> = sequence(value)?.iter().map(fields).collect::<Result<_>>()?;
            format!("list([{}])", items.join(", "))
        }
    })
}

fn fields(value: &Value) -> Result<String> {
    match value {
        Value::Mapping(map) => Ok(format!("fields({})", pairs(map)?)),
        other => bail!("{other:?} is not a map of fields"),
    }
}

fn pairs(map: &Mapping) -> Result<String> {
    let mut items = Vec::new();
    for (key, value) in map {
        let Some(key) = key.as_str() else { bail!("{key:?} is not a name") };
        let value = match value {
            Value::Number(_) | Value::Bool(_) => number(value)?,
            other => format!("bytes({})", bytes(other)?),
        };
        items.push(format!("({key:?}, {value})"));
    }
    Ok(format!("[{}]", items.join(", ")))
}
