// SPDX-License-Identifier: LGPL-2.1-or-later
//! The locks of what was released: `tests/wire.lock` has a line for each call that was ever
//! described, `tests/abi.lock` for each function of C and each place in a structure.  New lines
//! are added; one that would change or vanish is an error, as programs and appliances out there
//! use it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::output::Files;
use crate::schema::{Api, ArgType, FieldType, Function, OptType, Ret};

/// A lock file: what programs out there rely on, a line each.
pub struct Lock {
    /// Path below the top of the tree.
    pub file: &'static str,
    /// Where it can be met.
    place: &'static str,
    lines: Vec<String>,
}

impl Lock {
    /// Calls and structures, as they are on the wire.
    pub fn wire(api: &Api) -> Self {
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
        let lines = lines.into_values().collect();
        Self { file: "tests/wire.lock", place: "on the wire of released programs", lines }
    }

    /// Functions, numbers of options and places of fields, as programs in C have them compiled in.
    pub fn abi(files: &Files) -> Self {
        let text = |path: &str| files.get(Path::new(path)).map_or("", String::as_str);
        let declarations = text("c/guestfs.h").split(';').filter_map(|it| {
            let (_, declaration) = it.rsplit_once("extern GUESTFS_DLL_PUBLIC ")?;
            Some(declaration.split_whitespace().collect::<Vec<_>>().join(" "))
        });
        let numbers = text("c/guestfs.h").lines().filter_map(|line| {
            let mut words = line.strip_prefix("#define ")?.split_whitespace();
            let (name, value) = (words.next()?, words.next()?);
            let is_number = value.bytes().all(|it| it.is_ascii_digit());
            let is_switch = name.contains("_HAVE_") || name.contains("_TYPEDEF_");
            (is_number && !is_switch).then(|| format!("{name} {value}"))
        });
        let places = text("c/shim.c")
            .lines()
            .filter(|line| line.starts_with("SIZE (") || line.starts_with("OFFSET ("))
            // Options may become more: the mask beside them tells which a program knows.
            .filter(|line| !(line.starts_with("SIZE (") && line.contains("_argv,")))
            .map(|line| line.trim_end_matches(';').to_owned());
        let mut lines: Vec<_> = declarations.chain(numbers).chain(places).collect();
        lines.sort();
        Self { file: "tests/abi.lock", place: "compiled into released programs", lines }
    }

    /// Compares the file with what is described.  New lines are written, or reported as stale
    /// with `check`.
    pub fn sync(&self, root: &Path, check: bool) -> Result<Vec<String>> {
        let path = root.join(self.file);
        let old = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(err) => return Err(err).context(path.display().to_string()),
        };
        let new = self.update(&old)?;
        if new == old {
            return Ok(Vec::new());
        }
        if !check {
            fs::write(&path, new).with_context(|| path.display().to_string())?;
        }
        Ok(vec![format!("stale: {}", path.display())])
    }

    /// The file with what is new.
    pub fn update(&self, old: &str) -> Result<String> {
        for locked in old.lines() {
            if !self.lines.iter().any(|line| line == locked) {
                bail!("{}: {locked}\nis {}; api.yaml changes or drops it", self.file, self.place);
            }
        }
        Ok(self.lines.iter().flat_map(|line| [line, "\n"]).collect())
    }
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
