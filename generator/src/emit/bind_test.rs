// SPDX-License-Identifier: LGPL-2.1-or-later
//! The tests of functions that are there to test bindings, in C and Python.  Those in Rust come
//! with all others: so each case is run in three languages, from one description.

use anyhow::{Result, bail};
use serde::Serialize;
use serde_yaml::{Mapping, Value};
use tera::Tera;

use crate::check::split_options;
use crate::emit::render;
use crate::emit::tests::{identifier, raw_bytes, scalar, sequence};
use crate::output::Files;
use crate::schema::{Api, ArgType, Fails, Function, OptType, Ret, Test, Visibility};

#[derive(Serialize)]
struct View {
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    ident: String,
    c: Vec<String>,
    python: Vec<String>,
}

/// Emits `bind_test/`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let mut cases = Vec::new();
    for function in api.functions.iter().filter(|it| it.visibility == Visibility::BindTest) {
        for test in function.tests() {
            cases.push(case(api, function, test)?);
        }
    }
    let mut files = Files::new();
    if !cases.is_empty() {
        let view = View { cases };
        files.insert("bind_test/bind_test.c".into(), render(tera, "bind_test.c", &view)?);
        files.insert("bind_test/bind_test.py".into(), render(tera, "bind_test.py", &view)?);
    }
    Ok(files)
}

/// A call in both languages, and what it returns.
struct Call<'a> {
    c: String,
    python: String,
    returns: &'a Ret,
}

fn case(api: &Api, function: &Function, test: &Test) -> Result<Case> {
    let mut calls = Vec::new();
    for (name, values) in test.steps.iter().flatten() {
        let Some(called) = api.function(name) else { bail!("{name} does not exist") };
        calls.push(call(called, values)?);
    }
    let Some(last) = calls.pop() else { bail!("{}: {}: no steps", function.name, test.name) };
    let mut c: Vec<String> = calls.iter().map(|it| format!("CHECK ({} == 0);", it.c)).collect();
    let mut python: Vec<String> = calls.iter().map(|it| it.python.clone()).collect();
    match (&test.returns, &test.fails) {
        (Some(value), _) => {
            c.extend(c_returns(&last, value)?);
            python.push(python_returns(&last, value)?);
        }
        (None, Some(fails)) => {
            c.extend(c_fails(&last, fails)?);
            python.push(format!("with fails({}):", python_text(fails.says.as_bytes(), false)));
            python.push(format!("    {}", last.python));
        }
        (None, None) => {
            c.push(format!("CHECK ({} == 0);", last.c));
            python.push(last.python);
        }
    }
    if let Some(content) = &test.fileout {
        let raw = raw_bytes(content)?;
        c.push(format!("CHECK_FILE (\"output\", {}, {});", c_text(&raw), raw.len()));
        python.push(format!("assert written(\"output\") == {}", python_text(&raw, true)));
    }
    let ident = format!("{}_{}", function.name, identifier(&test.name)).to_ascii_lowercase();
    Ok(Case { ident, c, python })
}

fn call<'a>(function: &'a Function, values: &[Value]) -> Result<Call<'a>> {
    let (values, options) = split_options(function, values);
    let mut c = vec!["g".to_owned()];
    let mut python = Vec::new();
    for (arg, value) in function.args.iter().zip(values) {
        let (in_c, in_python) = argument(arg.ty, value)?;
        c.push(in_c);
        python.push(in_python);
    }
    for opt in &function.options {
        let Some(value) = options.and_then(|it| it.get(opt.name.as_str())) else { continue };
        let (in_c, in_python) = argument(as_argument(opt.ty), value)?;
        let prefix = function.name.to_ascii_uppercase();
        c.push(format!("GUESTFS_{prefix}_{}, {in_c}", opt.name.to_ascii_uppercase()));
        python.push(format!("{}={in_python}", opt.name));
    }
    if !function.options.is_empty() {
        c.push("-1".to_owned());
    }
    if function.returns == Ret::Bytes {
        c.push("&size".to_owned());
    }
    Ok(Call {
        c: format!("guestfs_{} ({})", function.name, c.join(", ")),
        python: format!("g.{}({})", function.name, python.join(", ")),
        returns: &function.returns,
    })
}

/// The type of required argument that is written like this option.
fn as_argument(ty: OptType) -> ArgType {
    match ty {
        OptType::Bool => ArgType::Bool,
        OptType::Int => ArgType::Int,
        OptType::Int64 => ArgType::Int64,
        OptType::String => ArgType::String,
        OptType::StringList => ArgType::StringList,
    }
}

/// An argument in C and in Python.
fn argument(ty: ArgType, value: &Value) -> Result<(String, String)> {
    Ok(match ty {
        ArgType::Bool => match value.as_bool() {
            Some(true) => ("1".to_owned(), "True".to_owned()),
            _ => ("0".to_owned(), "False".to_owned()),
        },
        ArgType::Int => (scalar(value)?, scalar(value)?),
        ArgType::Int64 | ArgType::Pointer => {
            (format!("INT64_C ({})", scalar(value)?), scalar(value)?)
        }
        ArgType::Optstring if value.is_null() => ("NULL".to_owned(), "None".to_owned()),
        ArgType::String
        | ArgType::Optstring
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key
        | ArgType::Filein
        | ArgType::Fileout => {
            let raw = raw_bytes(value)?;
            (c_text(&raw), python_text(&raw, false))
        }
        ArgType::Bytes => {
            let raw = raw_bytes(value)?;
            (format!("{}, {}", c_text(&raw), raw.len()), python_text(&raw, true))
        }
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            let items: Vec<_> = sequence(value)?.iter().map(raw_bytes).collect::<Result<_>>()?;
            let c: Vec<_> = items.iter().map(|it| c_text(it) + ", ").collect();
            let python: Vec<_> = items.iter().map(|it| python_text(it, false)).collect();
            (format!("TEXTS ({}NULL)", c.concat()), format!("[{}]", python.join(", ")))
        }
    })
}

/// A literal of C.  Octal escapes end after three digits, whatever follows.
fn c_text(raw: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in raw {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out + "\""
}

/// A literal of Python: `bytes`, or `str`.
fn python_text(raw: &[u8], bytes: bool) -> String {
    match (bytes, std::str::from_utf8(raw)) {
        (false, Ok(text)) => format!("{text:?}"),
        (false, Err(_)) => format!("os.fsdecode(b\"{}\")", raw.escape_ascii()),
        (true, _) => format!("b\"{}\"", raw.escape_ascii()),
    }
}

fn c_returns(last: &Call<'_>, value: &Value) -> Result<Vec<String>> {
    let call = &last.c;
    Ok(match last.returns {
        Ret::None => vec![format!("CHECK ({call} == 0);")],
        Ret::Bool => {
            vec![format!("CHECK ({call} == {});", u8::from(value.as_bool() == Some(true)))]
        }
        Ret::Int => vec![format!("CHECK ({call} == {});", scalar(value)?)],
        Ret::Int64 => vec![format!("CHECK ({call} == INT64_C ({}));", scalar(value)?)],
        Ret::ConstOptString if value.is_null() => vec![format!("CHECK ({call} == NULL);")],
        Ret::ConstString | Ret::ConstOptString => {
            vec![format!("CHECK_TEXT ({call}, {});", c_text(&raw_bytes(value)?))]
        }
        Ret::String | Ret::Device => {
            vec![format!("CHECK_OWN_TEXT ({call}, {});", c_text(&raw_bytes(value)?))]
        }
        Ret::Bytes => {
            let raw = raw_bytes(value)?;
            vec![
                "size_t size;".to_owned(),
                format!("CHECK_BYTES ({call}, size, {}, {});", c_text(&raw), raw.len()),
            ]
        }
        Ret::StringList | Ret::DeviceList | Ret::MountableList => {
            let (expected, _) = argument(ArgType::StringList, value)?;
            vec![format!("CHECK_TEXTS ({call}, {expected});")]
        }
        Ret::Hash => {
            let flat = mapping(value)?.iter().flat_map(|(key, value)| [key.clone(), value.clone()]);
            let (expected, _) = argument(ArgType::StringList, &Value::Sequence(flat.collect()))?;
            vec![format!("CHECK_TEXTS ({call}, {expected});")]
        }
        Ret::Struct(name) => {
            let mut lines = vec![
                format!("struct guestfs_{name} *got = {call};"),
                "CHECK (got != NULL);".to_owned(),
            ];
            lines.extend(c_fields("got->", value)?);
            lines.push(format!("guestfs_free_{name} (got);"));
            lines
        }
        Ret::StructList(name) => {
            let items = sequence(value)?;
            let mut lines = vec![
                format!("struct guestfs_{name}_list *got = {call};"),
                format!("CHECK (got != NULL && got->len == {});", items.len()),
            ];
            for (index, item) in items.iter().enumerate() {
                lines.extend(c_fields(&format!("got->val[{index}]."), item)?);
            }
            lines.push(format!("guestfs_free_{name}_list (got);"));
            lines
        }
    })
}

fn c_fields(start: &str, value: &Value) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (key, value) in mapping(value)? {
        let field = format!("{start}{}", key.as_str().unwrap_or_default());
        lines.push(match value {
            Value::Number(number) => format!("CHECK ({field} == {number});"),
            text => format!("CHECK_TEXT ({field}, {});", c_text(&raw_bytes(text)?)),
        });
    }
    Ok(lines)
}

fn c_fails(last: &Call<'_>, fails: &Fails) -> Result<Vec<String>> {
    let failure = match last.returns {
        Ret::None | Ret::Bool | Ret::Int | Ret::Int64 => "-1",
        Ret::String
        | Ret::Device
        | Ret::ConstString
        | Ret::ConstOptString
        | Ret::Bytes
        | Ret::StringList
        | Ret::DeviceList
        | Ret::MountableList
        | Ret::Hash
        | Ret::Struct(_)
        | Ret::StructList(_) => "NULL",
    };
    let mut lines = Vec::new();
    if *last.returns == Ret::Bytes {
        lines.push("size_t size;".to_owned());
    }
    lines.push(format!("CHECK ({} == {failure});", last.c));
    lines.push(format!("CHECK_ERROR (g, {});", c_text(fails.says.as_bytes())));
    if let Some(errno) = &fails.errno {
        lines.push(format!("CHECK (guestfs_last_errno (g) == {errno});"));
    }
    Ok(lines)
}

fn python_returns(last: &Call<'_>, value: &Value) -> Result<String> {
    let call = &last.python;
    let text = |value: &Value| Ok::<_, anyhow::Error>(python_text(&raw_bytes(value)?, false));
    Ok(match last.returns {
        Ret::None => format!("assert {call} is None"),
        Ret::Bool => format!("assert {call} == {}", u8::from(value.as_bool() == Some(true))),
        Ret::Int | Ret::Int64 => format!("assert {call} == {}", scalar(value)?),
        Ret::ConstOptString if value.is_null() => format!("assert {call} is None"),
        Ret::String | Ret::Device | Ret::ConstString | Ret::ConstOptString => {
            format!("assert {call} == {}", text(value)?)
        }
        Ret::Bytes => format!("assert {call} == {}", python_text(&raw_bytes(value)?, true)),
        Ret::StringList | Ret::DeviceList | Ret::MountableList => {
            let (_, expected) = argument(ArgType::StringList, value)?;
            format!("assert {call} == {expected}")
        }
        Ret::Hash => format!("assert {call} == {}", python_fields(value)?),
        Ret::Struct(_) => format!("has({call}, {})", python_fields(value)?),
        Ret::StructList(_) => {
            let items: Vec<_> =
                sequence(value)?.iter().map(python_fields).collect::<Result<_>>()?;
            format!("all_have({call}, [{}])", items.join(", "))
        }
    })
}

/// A dictionary.
fn python_fields(value: &Value) -> Result<String> {
    let mut items = Vec::new();
    for (key, value) in mapping(value)? {
        let value = match value {
            Value::Number(number) => number.to_string(),
            text => python_text(&raw_bytes(text)?, false),
        };
        items.push(format!("{:?}: {value}", key.as_str().unwrap_or_default()));
    }
    Ok(format!("{{{}}}", items.join(", ")))
}

fn mapping(value: &Value) -> Result<&Mapping> {
    match value {
        Value::Mapping(map) => Ok(map),
        other => bail!("{other:?} is not a map"),
    }
}
