// SPDX-License-Identifier: LGPL-2.1-or-later
//! How each type of the description is written in C, and in the Rust that C calls.

use serde::Serialize;

use super::layout::Place;
use crate::names::{camel, rust};
use crate::schema::{Arg, ArgType, Field, FieldType, Function, Opt, OptType, Ret};

/// A parameter of a function of C.
#[derive(Clone, Serialize)]
pub(super) struct Parameter {
    /// `const char *device`
    pub(super) c: String,
    /// `device`, but not a word of C or C++.
    pub(super) c_name: String,
    /// `device: Text`
    pub(super) rust: String,
}

/// What a function of C returns.
#[derive(Serialize)]
pub(super) struct Results {
    /// The type, with what separates it from the name: `char *`, `int `.
    pub(super) c: String,
    /// The type alone.
    pub(super) c_type: String,
    /// What it returns in case of an error.
    pub(super) failure: &'static str,
    pub(super) rust: String,
    /// Around the library's result.
    pub(super) wrap_before: String,
    pub(super) wrap_after: String,
    /// The parameter that takes a second result.
    pub(super) parameter: Option<Parameter>,
}

/// A field of a structure of options.
#[derive(Serialize)]
pub(super) struct OptionField {
    pub(super) name: String,
    pub(super) ident: String,
    pub(super) macro_name: String,
    /// Number of its bit.
    pub(super) index: usize,
    /// `const char *label`
    pub(super) c: String,
    pub(super) place: Place,
    /// What `va_arg` takes.
    pub(super) va: &'static str,
    pub(super) rust: &'static str,
    /// The option as the library takes it.
    pub(super) value: String,
}

/// A field of a structure of C.
#[derive(Serialize)]
pub(super) struct Member {
    /// `char pv_uuid[32]`
    c: String,
    /// `pv_uuid`
    name: String,
    pub(super) place: Place,
    ident: String,
    rust: String,
    /// From the structure of the library.
    mirror: String,
    clone: String,
    /// An ordering, or none if another field decides.
    compare: Option<String>,
}

fn parameter(name: &str, c: &str, rust_type: &str) -> Parameter {
    let c_name = c_name(name);
    Parameter { c: format!("{c}{c_name}"), c_name, rust: format!("{}: {rust_type}", rust(name)) }
}

/// A name of a parameter, which programs do not see.
fn c_name(name: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "alignas",
        "alignof",
        "and",
        "asm",
        "auto",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "class",
        "const",
        "continue",
        "default",
        "delete",
        "do",
        "double",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "false",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "mutable",
        "namespace",
        "new",
        "not",
        "operator",
        "or",
        "private",
        "protected",
        "public",
        "register",
        "requires",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "template",
        "this",
        "throw",
        "true",
        "try",
        "typedef",
        "typename",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "while",
        "xor",
    ];
    match KEYWORDS.contains(&name) {
        true => format!("{name}_"),
        false => name.to_owned(),
    }
}

/// The parameters of one argument.
pub(super) fn parameters(arg: &Arg) -> Vec<Parameter> {
    let one = |c: &str, rust_type: &str| vec![parameter(&arg.name, c, rust_type)];
    match arg.ty {
        ArgType::Bool | ArgType::Int => one("int ", "c_int"),
        ArgType::Int64 => one("int64_t ", "i64"),
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
        | ArgType::Fileout => one("const char *", "Text"),
        ArgType::Bytes => vec![
            parameter(&arg.name, "const char *", "Buffer"),
            parameter(&format!("{}_size", arg.name), "size_t ", "usize"),
        ],
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            one("char *const *", "TextList")
        }
        ArgType::Pointer => one("void *", "usize"),
    }
}

/// The arguments of the library's function, made of the parameters.
pub(super) fn arguments(function: &Function) -> String {
    let arguments: Vec<String> = function
        .args
        .iter()
        .map(|arg| {
            let (name, ident) = (&arg.name, rust(&arg.name));
            match arg.ty {
                ArgType::Bool => format!("{ident} != 0"),
                ArgType::Int | ArgType::Int64 | ArgType::Pointer => ident,
                ArgType::String
                | ArgType::Path
                | ArgType::Device
                | ArgType::Mountable
                | ArgType::DeviceOrPath
                | ArgType::MountableOrPath
                | ArgType::Filename
                | ArgType::Guid
                | ArgType::Key => format!("{ident}.bytes(\"{name}\")?"),
                ArgType::Optstring => format!("{ident}.optional()"),
                ArgType::Filein | ArgType::Fileout => format!("{ident}.path(\"{name}\")?"),
                ArgType::Bytes => format!("{ident}.bytes(\"{name}\", {}_size)?", arg.name),
                ArgType::StringList
                | ArgType::DeviceList
                | ArgType::PathList
                | ArgType::FilenameList => format!("&{ident}.items(\"{name}\")?"),
            }
        })
        .collect();
    arguments.join(", ")
}

/// The result of a function.
pub(super) fn results(ret: &Ret) -> Results {
    const NULL: &str = "NULL";
    let plain = |c: &str, failure, rust: &str| Results {
        c: c.to_owned(),
        c_type: c.trim_end().to_owned(),
        failure,
        rust: rust.to_owned(),
        wrap_before: String::new(),
        wrap_after: String::new(),
        parameter: None,
    };
    let wrapped = |results: Results, before: &str, after: &str| Results {
        wrap_before: before.to_owned(),
        wrap_after: after.to_owned(),
        ..results
    };
    match ret {
        Ret::None | Ret::Bool | Ret::Int => plain("int ", "-1", "c_int"),
        Ret::Int64 => plain("int64_t ", "-1", "i64"),
        Ret::String | Ret::Device => plain("char *", NULL, "*mut c_char"),
        Ret::ConstString => {
            wrapped(plain("const char *", NULL, "*const c_char"), "Kept(Some(", "))")
        }
        Ret::ConstOptString => wrapped(plain("const char *", NULL, "*const c_char"), "Kept(", ")"),
        Ret::Bytes => Results {
            parameter: Some(parameter("size_r", "size_t *", "SizeOut")),
            ..wrapped(
                plain("char *", NULL, "*mut c_char"),
                "Measured(size_r.place(\"size_r\")?, ",
                ")",
            )
        },
        Ret::StringList | Ret::DeviceList | Ret::MountableList | Ret::Hash => {
            plain("char **", NULL, "*mut *mut c_char")
        }
        Ret::Struct(name) => plain(
            &format!("struct guestfs_{name} *"),
            NULL,
            &format!("*mut structs::{}", camel(name)),
        ),
        Ret::StructList(name) => plain(
            &format!("struct guestfs_{name}_list *"),
            NULL,
            &format!("*mut List<structs::{}>", camel(name)),
        ),
    }
}

/// An option; its bit is `index`.
pub(super) fn option(opt: &Opt, index: usize) -> OptionField {
    let name = &opt.name;
    let ident = rust(name);
    let (c, size, va, rust_type, value) = match opt.ty {
        OptType::Bool => ("int ", 4, "int", "c_int", format!("given.bool({index}, &self.{ident})")),
        OptType::Int => {
            ("int ", 4, "int", "c_int", format!("given.number({index}, &self.{ident})"))
        }
        OptType::Int64 => {
            ("int64_t ", 8, "int64_t", "i64", format!("given.number({index}, &self.{ident})"))
        }
        OptType::String => (
            "const char *",
            8,
            "const char *",
            "Text",
            format!("given.text({index}, \"{name}\", &self.{ident})?"),
        ),
        OptType::StringList => (
            "char *const *",
            8,
            "char *const *",
            "TextList",
            format!("given.list({index}, \"{name}\", &self.{ident})?"),
        ),
    };
    OptionField {
        macro_name: name.to_ascii_uppercase(),
        c: format!("{c}{name}"),
        place: Place::of(size),
        va,
        rust: rust_type,
        value,
        name: name.clone(),
        ident,
        index,
    }
}

/// The members of a structure of C for one field.
pub(super) fn members(field: &Field) -> Vec<Member> {
    let name = &field.name;
    let ident = rust(name);
    let number = |c: &str, rust_type: &str, size: usize| Member {
        c: format!("{c} {name}"),
        name: name.clone(),
        place: Place::of(size),
        rust: rust_type.to_owned(),
        mirror: format!("self.{ident}"),
        clone: format!("self.{ident}"),
        compare: Some(format!("self.{ident}.cmp(&other.{ident})")),
        ident: ident.clone(),
    };
    match field.ty {
        FieldType::String | FieldType::Device => vec![Member {
            c: format!("char *{name}"),
            mirror: format!("OwnedText::new(&self.{ident})"),
            clone: format!("self.{ident}.clone()"),
            ..number("", "OwnedText", 8)
        }],
        FieldType::Bytes => vec![
            Member {
                c: format!("uint32_t {name}_len"),
                name: format!("{name}_len"),
                ident: format!("{name}_len"),
                mirror: format!("length(&self.{ident})"),
                clone: format!("self.{name}_len"),
                compare: None,
                ..number("", "u32", 4)
            },
            Member {
                c: format!("char *{name}"),
                mirror: format!("OwnedBytes::new(&self.{ident})"),
                clone: format!("self.{ident}.copy(self.{name}_len)"),
                compare: Some(format!(
                    "self.{ident}.compare(self.{name}_len, &other.{ident}, other.{name}_len)"
                )),
                ..number("", "OwnedBytes", 8)
            },
        ],
        FieldType::Char => vec![Member {
            mirror: format!("c_char::from_ne_bytes([self.{ident}])"),
            ..number("char", "c_char", 1)
        }],
        FieldType::Uint32 => vec![number("uint32_t", "u32", 4)],
        FieldType::Int32 => vec![number("int32_t", "i32", 4)],
        FieldType::Uint64 | FieldType::Size => vec![number("uint64_t", "u64", 8)],
        FieldType::Int64 => vec![number("int64_t", "i64", 8)],
        FieldType::Uuid => vec![Member {
            c: format!("char {name}[32]"),
            place: Place { size: 32, align: 1, offset: 0 },
            ..number("", "[u8; 32]", 0)
        }],
        FieldType::Percent => vec![Member {
            compare: Some(format!("self.{ident}.total_cmp(&other.{ident})")),
            ..number("float", "f32", 4)
        }],
    }
}
