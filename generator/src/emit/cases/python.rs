// SPDX-License-Identifier: LGPL-2.1-or-later
//! Cases in Python; their vocabulary is `bindings/python/tests/cases.py`.

use anyhow::{Result, bail};
use serde_yaml::{Mapping, Value};

use super::{Call, Language, key, mapping, repeated};
use crate::emit::tests::{raw_bytes, scalar, sequence};
use crate::schema::{Api, ArgType, FieldType, Function, OptType, Ret, Side, Test};

pub(super) struct Python;

impl Language for Python {
    const PLACE: (&'static str, &'static str, &'static str) = ("python", "py", "tests_python.py");

    fn can_say(_: &Api, _: &Test) -> bool {
        true
    }

    fn call(
        _: &Api,
        function: &Function,
        values: &[Value],
        options: Option<&Mapping>,
    ) -> Result<String> {
        let mut args = Vec::new();
        for (arg, value) in function.args.iter().zip(values) {
            args.push(match function.side {
                // The library itself is given names of files, and does not look into them.
                Side::Host if arg.ty.is_file() => text(value)?,
                Side::Host | Side::Daemon | Side::Both => argument(arg.ty, value)?,
            });
        }
        for opt in &function.options {
            if let Some(value) = options.and_then(|it| it.get(opt.name.as_str())) {
                args.push(format!("{}={}", opt.name, option(opt.ty, value)?));
            }
        }
        Ok(format!("g.{}({})", function.name, args.join(", ")))
    }

    fn step(call: &Call<'_>) -> Vec<String> {
        vec![call.code.clone()]
    }

    fn returns(api: &Api, call: &Call<'_>, value: &Value) -> Result<Vec<String>> {
        let (how, expected) = match call.returns {
            Ret::None => ("returns", "None".to_owned()),
            Ret::Bool | Ret::Int | Ret::Int64 => ("returns", number(value)?),
            Ret::ConstOptString if value.is_null() => ("returns", "None".to_owned()),
            Ret::String | Ret::Device | Ret::ConstString | Ret::ConstOptString => {
                ("returns", text(value)?)
            }
            Ret::Bytes => ("returns", bytes(value)?),
            Ret::StringList | Ret::DeviceList | Ret::MountableList => ("returns", texts(value)?),
            Ret::Hash => {
                let mut pairs = Vec::new();
                for (name, value) in mapping(value)? {
                    pairs.push(format!("{}: {}", text(name)?, text(value)?));
                }
                ("returns", format!("{{{}}}", pairs.join(", ")))
            }
            Ret::Struct(name) => ("has", fields(api, name, value)?),
            Ret::StructList(name) => {
                let items: Vec<_> = sequence(value)?
                    .iter()
                    .map(|item| fields(api, name, item))
                    .collect::<Result<_>>()?;
                ("all_have", format!("[{}]", items.join(", ")))
            }
        };
        Ok(vec![format!("{how}({}, {expected})", call.code)])
    }

    fn matches(call: &Call<'_>, pattern: &str) -> Result<Vec<String>> {
        Ok(vec![format!("matches({}, {})", call.code, text_literal(pattern.as_bytes()))])
    }

    fn fails(call: &Call<'_>, errno: Option<&str>, says: &str) -> Vec<String> {
        let errno = errno.map_or("None".to_owned(), |it| format!("\"{it}\""));
        let says = text_literal(says.as_bytes());
        vec![format!("with fails({errno}, {says}):"), format!("    {}", call.code)]
    }

    fn wrote(content: &Value) -> Result<String> {
        Ok(format!("wrote({})", bytes(content)?))
    }
}

fn argument(ty: ArgType, value: &Value) -> Result<String> {
    match ty {
        ArgType::Bool | ArgType::Int | ArgType::Int64 | ArgType::Pointer => number(value),
        ArgType::Optstring if value.is_null() => Ok("None".to_owned()),
        ArgType::String
        | ArgType::Optstring
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key => text(value),
        ArgType::Bytes => bytes(value),
        ArgType::Filein => Ok(format!("sends({})", bytes(value)?)),
        ArgType::Fileout => Ok("OUTPUT".to_owned()),
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            texts(value)
        }
    }
}

fn option(ty: OptType, value: &Value) -> Result<String> {
    match ty {
        OptType::Bool | OptType::Int | OptType::Int64 => number(value),
        OptType::String => text(value),
        OptType::StringList => texts(value),
    }
}

/// The fields that are named, as a dictionary.
fn fields(api: &Api, name: &str, value: &Value) -> Result<String> {
    let mut items = Vec::new();
    for (name_of_field, value) in mapping(value)? {
        let field = key(name_of_field)?;
        let fields = api.structure(name).map_or(&[][..], |it| &it.fields);
        let Some(described) = fields.iter().find(|it| it.name == field) else {
            bail!("{name} has no field {field}")
        };
        let value = match described.ty {
            FieldType::String | FieldType::Device | FieldType::Uuid | FieldType::Char => {
                text(value)?
            }
            FieldType::Bytes => bytes(value)?,
            FieldType::Uint32
            | FieldType::Int32
            | FieldType::Uint64
            | FieldType::Int64
            | FieldType::Size
            | FieldType::Percent => number(value)?,
        };
        items.push(format!("\"{field}\": {value}"));
    }
    Ok(format!("{{{}}}", items.join(", ")))
}

fn number(value: &Value) -> Result<String> {
    match value.as_bool() {
        Some(true) => Ok("True".to_owned()),
        Some(false) => Ok("False".to_owned()),
        None => scalar(value),
    }
}

fn texts(value: &Value) -> Result<String> {
    let items: Vec<_> = sequence(value)?.iter().map(text).collect::<Result<_>>()?;
    Ok(format!("[{}]", items.join(", ")))
}

fn text(value: &Value) -> Result<String> {
    match repeated(value) {
        Some((unit, times)) => Ok(format!("{} * {times}", text_literal(unit.as_bytes()))),
        None => Ok(text_literal(&raw_bytes(value)?)),
    }
}

fn bytes(value: &Value) -> Result<String> {
    match repeated(value) {
        Some((unit, times)) => Ok(format!("b\"{}\" * {times}", unit.as_bytes().escape_ascii())),
        None => Ok(format!("b\"{}\"", raw_bytes(value)?.escape_ascii())),
    }
}

/// A `str`, in which bytes that are not UTF-8 stand as Python has them in names of files.
fn text_literal(raw: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(raw) else {
        return format!("text(b\"{}\")", raw.escape_ascii());
    };
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            ' '..='~' => out.push(c),
            _ if c.is_alphanumeric() => out.push(c),
            '\0'..='\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        for (raw, expected) in [
            (&b"a\"\\b"[..], r#""a\"\\b""#),
            (b"\x001\n\x7f", r#""\x001\n\x7f""#),
            ("\u{e9}\u{202e}".as_bytes(), "\"\u{e9}\\U0000202e\""),
            (b"\xe9", r#"text(b"\xe9")"#),
        ] {
            assert_eq!(text_literal(raw), expected);
        }
    }
}
