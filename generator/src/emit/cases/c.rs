// SPDX-License-Identifier: LGPL-2.1-or-later
//! Cases in C; their vocabulary is `bindings/c/tests/c/cases.h`.

use anyhow::{Result, bail};
use serde_yaml::{Mapping, Value};

use super::{Call, Language, key, mapping, repeated};
use crate::emit::c::in_c;
use crate::emit::tests::{raw_bytes, scalar, sequence};
use crate::schema::{Api, ArgType, FieldType, Function, OptType, Ret, Side, Test};

pub(super) struct C;

impl Language for C {
    const PLACE: (&'static str, &'static str, &'static str) = ("c", "c", "tests_c.c");

    /// A text of C has no NUL in it, and not every function of the daemon has one of C.
    fn can_say(api: &Api, test: &Test) -> bool {
        test.steps.iter().flatten().all(|(name, values)| {
            api.function(name).is_some_and(|called| {
                let mut args = called.args.iter().zip(values);
                in_c(called)
                    && !args.any(|(arg, value)| {
                        !matches!(arg.ty, ArgType::Bytes | ArgType::Filein) && has_nul(value)
                    })
                    && !values.iter().skip(called.args.len()).any(has_nul)
            })
        })
    }

    fn call(
        _: &Api,
        function: &Function,
        values: &[Value],
        options: Option<&Mapping>,
    ) -> Result<String> {
        let mut args = vec!["g".to_owned()];
        for (arg, value) in function.args.iter().zip(values) {
            args.push(match function.side {
                // The library itself is given names of files, and does not look into them.
                Side::Host if arg.ty.is_file() => text(value)?,
                Side::Host | Side::Daemon | Side::Both => argument(arg.ty, value)?,
            });
        }
        // Without options, what had none once is called by the name it had then.
        let name = match function.opts && options.is_some() {
            true => format!("{}_opts", function.name),
            false => function.name.clone(),
        };
        for opt in &function.options {
            if let Some(value) = options.and_then(|it| it.get(opt.name.as_str())) {
                let constant = format!("guestfs_{name}_{}", opt.name).to_ascii_uppercase();
                args.push(format!("{constant}, {}", option(opt.ty, value)?));
            }
        }
        if !function.options.is_empty() && (!function.opts || options.is_some()) {
            args.push("-1".to_owned());
        }
        if function.returns == Ret::Bytes {
            args.push("&size".to_owned());
        }
        Ok(format!("guestfs_{name} ({})", args.join(", ")))
    }

    fn step(call: &Call<'_>) -> Vec<String> {
        let code = &call.code;
        vec![match call.returns {
            Ret::None | Ret::Bool | Ret::Int | Ret::Int64 => format!("STEP ({code} != -1);"),
            Ret::ConstString => format!("STEP ({code} != NULL);"),
            // That there is nothing may be the result.
            Ret::ConstOptString => format!("{code};"),
            Ret::String | Ret::Device | Ret::Bytes => format!("STEP_TEXT ({code});"),
            Ret::StringList | Ret::DeviceList | Ret::MountableList | Ret::Hash => {
                format!("STEP_TEXTS ({code});")
            }
            Ret::Struct(name) => format!("STEP_STRUCT ({name}, {code});"),
            Ret::StructList(name) => format!("STEP_STRUCT ({name}_list, {code});"),
        }]
    }

    fn returns(api: &Api, call: &Call<'_>, value: &Value) -> Result<Vec<String>> {
        let code = &call.code;
        Ok(match call.returns {
            Ret::None => vec![format!("returns_number (g, {code}, 0);")],
            Ret::Bool | Ret::Int | Ret::Int64 => {
                vec![format!("returns_number (g, {code}, {});", number(value)?)]
            }
            Ret::ConstOptString if value.is_null() => {
                vec![format!("returns_nothing ({code});")]
            }
            Ret::ConstString | Ret::ConstOptString => {
                vec![format!("returns_kept_text (g, {code}, {});", text(value)?)]
            }
            Ret::String | Ret::Device => {
                vec![format!("returns_text (g, {code}, {});", text(value)?)]
            }
            Ret::Bytes => vec![format!("returns_bytes (g, {code}, {});", bytes(value)?)],
            Ret::StringList | Ret::DeviceList | Ret::MountableList => {
                vec![format!("returns_texts (g, {code}, {});", texts(value)?)]
            }
            Ret::Hash => {
                let flat = mapping(value)?.iter().flat_map(|(key, value)| [key, value]);
                let flat = Value::Sequence(flat.cloned().collect());
                vec![format!("returns_hash (g, {code}, {});", texts(&flat)?)]
            }
            Ret::Struct(name) => {
                let mut lines = got(name, code);
                lines.extend(fields(api, name, "got->", value)?);
                lines.push(format!("guestfs_free_{name} (got);"));
                lines
            }
            Ret::StructList(name) => {
                let items = sequence(value)?;
                let mut lines = got(&format!("{name}_list"), code);
                lines.push(format!("if (has_length (got->len, {})) {{", items.len()));
                for (index, item) in items.iter().enumerate() {
                    let start = format!("got->val[{index}].");
                    let checks = fields(api, name, &start, item)?;
                    lines.extend(checks.iter().map(|it| format!("  {it}")));
                }
                lines.push("}".to_owned());
                lines.push(format!("guestfs_free_{name}_list (got);"));
                lines
            }
        })
    }

    fn matches(call: &Call<'_>, pattern: &str) -> Result<Vec<String>> {
        let (pattern, lines) = posix(pattern);
        let how = match call.returns {
            Ret::Bool | Ret::Int | Ret::Int64 => "number",
            Ret::ConstString | Ret::ConstOptString => "kept_text",
            Ret::String | Ret::Device => "text",
            Ret::Bytes => "bytes",
            Ret::StringList | Ret::DeviceList | Ret::MountableList => "texts",
            Ret::Hash => "hash",
            Ret::None | Ret::Struct(_) | Ret::StructList(_) => bail!("{}: no text", call.code),
        };
        let pattern = text_literal(pattern.as_bytes());
        Ok(vec![format!("matches_{how} (g, {}, {pattern}, {lines});", call.code)])
    }

    fn fails(call: &Call<'_>, errno: Option<&str>, says: &str) -> Vec<String> {
        let failure = match call.returns {
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
        let errno = errno.unwrap_or("0");
        let says = text_literal(says.as_bytes());
        vec![format!("fails (g, {} == {failure}, {errno}, {says});", call.code)]
    }

    fn wrote(content: &Value) -> Result<String> {
        Ok(format!("wrote ({});", bytes(content)?))
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::Sequence(items) => items.iter().any(has_nul),
        Value::Mapping(map) if !map.contains_key("hex") => map.values().any(has_nul),
        Value::Mapping(_) | Value::String(_) => raw_bytes(value).is_ok_and(|it| it.contains(&0)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Tagged(_) => false,
    }
}

fn argument(ty: ArgType, value: &Value) -> Result<String> {
    match ty {
        ArgType::Bool | ArgType::Int => number(value),
        ArgType::Int64 => wide(value),
        ArgType::Pointer => Ok(format!("(void *) (intptr_t) {}", scalar(value)?)),
        ArgType::Optstring if value.is_null() => Ok("NULL".to_owned()),
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
        ArgType::Filein => Ok(format!("sends ({})", bytes(value)?)),
        ArgType::Fileout => Ok("OUTPUT".to_owned()),
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            texts(value)
        }
    }
}

/// An option; its type is what `va_arg` takes.
fn option(ty: OptType, value: &Value) -> Result<String> {
    match ty {
        OptType::Bool | OptType::Int => number(value),
        OptType::Int64 => wide(value),
        OptType::String => text(value),
        OptType::StringList => texts(value),
    }
}

/// The declaration of a result that is freed by a function of its own.
fn got(name: &str, code: &str) -> Vec<String> {
    vec![format!("struct guestfs_{name} *got = {code};"), "STEP (got != NULL);".to_owned()]
}

fn fields(api: &Api, name: &str, start: &str, value: &Value) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (name_of_field, value) in mapping(value)? {
        let field = key(name_of_field)?;
        let fields = api.structure(name).map_or(&[][..], |it| &it.fields);
        let Some(described) = fields.iter().find(|it| it.name == field) else {
            bail!("{name} has no field {field}")
        };
        let got = format!("{start}{field}");
        lines.push(match described.ty {
            FieldType::String | FieldType::Device => {
                format!("field_text (\"{field}\", {got}, {});", text(value)?)
            }
            FieldType::Uuid => {
                format!("field_bytes (\"{field}\", {got}, sizeof {got}, {});", bytes(value)?)
            }
            FieldType::Bytes => {
                format!("field_bytes (\"{field}\", {got}, {got}_len, {});", bytes(value)?)
            }
            FieldType::Char => {
                format!("field_bytes (\"{field}\", &{got}, 1, {});", bytes(value)?)
            }
            FieldType::Uint32
            | FieldType::Int32
            | FieldType::Uint64
            | FieldType::Int64
            | FieldType::Size
            | FieldType::Percent => {
                format!("field_number (\"{field}\", {got}, {});", wide(value)?)
            }
        });
    }
    Ok(lines)
}

fn number(value: &Value) -> Result<String> {
    match value.as_i64() {
        Some(number) if i32::try_from(number).is_err() => wide(value),
        _ => Ok(value.as_bool().map_or(scalar(value)?, |it| u8::from(it).to_string())),
    }
}

/// A number of 64 bits.  The smallest is no literal.
fn wide(value: &Value) -> Result<String> {
    match value.as_i64() {
        Some(i64::MIN) => Ok("INT64_MIN".to_owned()),
        _ => Ok(format!("INT64_C ({})", scalar(value)?)),
    }
}

fn texts(value: &Value) -> Result<String> {
    let items: Vec<_> =
        sequence(value)?.iter().map(|it| Ok(text(it)? + ", ")).collect::<Result<_>>()?;
    Ok(format!("TEXTS ({}NULL)", items.concat()))
}

fn text(value: &Value) -> Result<String> {
    match repeated(value) {
        Some((unit, times)) => Ok(repeat(unit, times)),
        None => Ok(text_literal(&raw_bytes(value)?)),
    }
}

/// Bytes and their number.
fn bytes(value: &Value) -> Result<String> {
    if let Some((unit, times)) = repeated(value) {
        return Ok(format!("{}, {}", repeat(unit, times), unit.len() as u64 * times));
    }
    let raw = raw_bytes(value)?;
    Ok(format!("{}, {}", text_literal(&raw), raw.len()))
}

fn repeat(unit: &str, times: u64) -> String {
    format!("repeat ({}, {}, {times})", text_literal(unit.as_bytes()), unit.len())
}

/// A literal.  Octal escapes end after three digits, whatever follows; two question marks might
/// begin a trigraph.
fn text_literal(raw: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in raw {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b'?' if out.ends_with('?') => out.push_str("\\?"),
            b'\n' => out.push_str("\\n"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out + "\""
}

/// A pattern as regcomp(3) has it, and whether lines are looked at.
fn posix(pattern: &str) -> (String, bool) {
    let lines = pattern.strip_prefix("(?m)");
    let pattern = lines.or(pattern.strip_prefix("(?s)")).unwrap_or(pattern);
    (pattern.replace("\\d", "[0-9]").replace("\\n", "\n"), lines.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        for (raw, expected) in [
            (&b"a\"\\b"[..], r#""a\"\\b""#),
            (b"\x001\n\xe9", r#""\0001\n\351""#),
            (b"a???", r#""a?\?\?""#),
        ] {
            assert_eq!(text_literal(raw), expected);
        }
    }

    #[test]
    fn patterns() {
        assert_eq!(posix(r"(?m)^a +\d+$"), ("^a +[0-9]+$".to_owned(), true));
        assert_eq!(posix(r"(?s)^a.*b"), ("^a.*b".to_owned(), false));
        assert_eq!(posix(r"a\n$"), ("a\n$".to_owned(), false));
    }
}
