// SPDX-License-Identifier: LGPL-2.1-or-later
//! The parts of the manual that are about single functions, in POD.
//!
//! `pod/functions/` and `pod/structs.pod` go into guestfs(3), `pod/commands/` into guestfish(1),
//! `pod/python/` into guestfs-python(3) and `pod/rust/` into guestfs-rust(3).  The hand-written
//! parts of those pages are in `docs/man/`.

use anyhow::Result;
use serde::Serialize;
use serde_yaml::Value;
use tera::Tera;

use crate::check::split_options;
use crate::emit::{by_group, explained, render, rust as rust_types};
use crate::names::{camel, capitalized, dashed, rust};
use crate::output::Files;
use crate::schema::{Api, ArgType, FieldType, Function, Opt, OptType, Ret, Unit};

#[derive(Serialize)]
struct View {
    title: String,
    docs: String,
    functions: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    heading: String,
    /// Lines of code that show how it is called.
    synopsis: Vec<String>,
    summary: String,
    docs: String,
    parameters: Vec<Item>,
    result: String,
    /// How the language hands the result over.
    returned: &'static str,
    errors: Vec<Item>,
    notes: Vec<String>,
    examples: Vec<Vec<String>>,
    see: String,
}

#[derive(Serialize)]
struct Item {
    name: String,
    doc: String,
}

/// A page: how one language writes the names of functions and calls them.
struct Page {
    folder: &'static str,
    /// Name of a function in headings and links.
    name: fn(&Function) -> String,
    synopsis: fn(&Function) -> Vec<String>,
    returned: fn(&Ret) -> &'static str,
    wanted: fn(&Function) -> bool,
}

const PAGES: &[Page] = &[
    Page {
        folder: "functions",
        name: |it| format!("guestfs_{}", it.name),
        synopsis: c_synopsis,
        returned: c_returned,
        wanted: Function::is_documented,
    },
    Page {
        folder: "commands",
        name: |it| dashed(&it.name),
        synopsis: fish_synopsis,
        returned: |_| "",
        wanted: |it| it.is_documented() && it.in_guestfish(),
    },
    Page {
        folder: "python",
        name: |it| it.name.clone(),
        synopsis: python_synopsis,
        returned: |_| "",
        wanted: Function::is_documented,
    },
    Page {
        folder: "rust",
        name: |it| it.name.to_ascii_lowercase(),
        synopsis: rust_synopsis,
        returned: |_| "",
        wanted: Function::is_documented,
    },
];

/// Emits `pod/`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let mut files = Files::new();
    for page in PAGES {
        for (number, group) in api.groups.iter().enumerate() {
            let functions = by_group(api, page.wanted);
            let functions = functions.iter().find(|(name, _)| *name == group.name);
            let Some((_, functions)) = functions else { continue };
            let view = View {
                title: group.title.clone(),
                docs: links(api, page, &group.docs),
                functions: functions.iter().map(|it| entry(api, page, it)).collect(),
            };
            let path = format!("pod/{}/{number:02}-{}.pod", page.folder, group.name);
            files.insert(path.into(), render(tera, "pod_group.pod", &view)?);
        }
    }
    files.insert("pod/structs.pod".into(), render(tera, "pod_structs.pod", &structs(api))?);
    files.insert("pod/features.pod".into(), render(tera, "pod_features.pod", &features(api))?);
    Ok(files)
}

#[derive(Serialize)]
struct Structs {
    structs: Vec<StructView>,
}

#[derive(Serialize)]
struct StructView {
    name: String,
    doc: String,
    fields: Vec<FieldView>,
}

#[derive(Serialize)]
struct FieldView {
    name: String,
    declaration: String,
    doc: String,
}

fn structs(api: &Api) -> Structs {
    let field = |it: &crate::schema::Field| {
        let name = &it.name;
        let declaration = match it.ty {
            FieldType::String | FieldType::Device => format!("char *{name};"),
            FieldType::Bytes => format!("uint32_t {name}_len; char *{name};"),
            FieldType::Char => format!("char {name};"),
            FieldType::Uint32 => format!("uint32_t {name};"),
            FieldType::Int32 => format!("int32_t {name};"),
            FieldType::Uint64 | FieldType::Size => format!("uint64_t {name};"),
            FieldType::Int64 => format!("int64_t {name};"),
            FieldType::Uuid => format!("char {name}[32]; /* without a NUL at the end */"),
            FieldType::Percent => format!("float {name}; /* 0 to 100, or -1 */"),
        };
        FieldView { name: name.clone(), declaration, doc: it.doc.trim().to_owned() }
    };
    let structs = api.structs.iter().filter(|it| !it.internal).map(|it| StructView {
        name: it.name.clone(),
        doc: capitalized(it.doc.trim()),
        fields: it.fields.iter().map(field).collect(),
    });
    Structs { structs: structs.collect() }
}

#[derive(Serialize)]
struct Features {
    features: Vec<FeatureView>,
}

#[derive(Serialize)]
struct FeatureView {
    name: String,
    doc: String,
    functions: String,
}

fn features(api: &Api) -> Features {
    let view = |it: &crate::schema::Feature| {
        let documented = api.functions.iter().filter(|f| f.is_documented());
        let members = documented.filter(|f| f.feature.as_ref() == Some(&it.name));
        let members: Vec<_> = members.map(|f| format!("L</guestfs_{}>", f.name)).collect();
        FeatureView {
            name: it.name.clone(),
            doc: capitalized(it.doc.trim()),
            functions: members.join(", "),
        }
    };
    Features { features: api.features.iter().map(view).collect() }
}

fn entry(api: &Api, page: &Page, function: &Function) -> Entry {
    let args = function.args.iter().map(|it| (&it.name, explained(&it.doc, &it.values), it.unit));
    let options =
        function.options.iter().map(|it| (&it.name, explained(&it.doc, &it.values), it.unit));
    let parameters = args.chain(options).map(|(name, doc, unit)| Item {
        name: name.clone(),
        doc: with_unit(&links(api, page, &doc), unit),
    });
    let errors = function
        .errors()
        .map(|(errno, doc)| Item { name: errno.to_owned(), doc: links(api, page, doc) });
    let known = function.see.iter().filter_map(|name| api.function(name));
    let see: Vec<String> =
        known.filter(|it| (page.wanted)(it)).map(|it| format!("L</{}>", (page.name)(it))).collect();
    let examples = function.tests().iter().filter(|test| test.example);
    Entry {
        heading: (page.name)(function),
        synopsis: (page.synopsis)(function),
        summary: capitalized(function.summary.trim()),
        docs: links(api, page, &function.docs),
        parameters: parameters.collect(),
        result: function.result.as_ref().map(|it| links(api, page, it)).unwrap_or_default(),
        returned: (page.returned)(&function.returns),
        errors: errors.collect(),
        notes: notes(api, page, function),
        examples: examples.map(|test| example(api, &test.steps)).collect(),
        see: see.join(", "),
    }
}

/// Every name of a function in a link, as the page writes it.
fn links(api: &Api, page: &Page, pod: &str) -> String {
    let mut out = String::new();
    let mut rest = pod.trim();
    while let Some(at) = rest.find("L</") {
        let (before, link) = rest.split_at(at);
        out.push_str(before);
        let Some((target, after)) = link[3..].split_once('>') else { break };
        match api.function(target.trim()) {
            Some(function) if (page.wanted)(function) => {
                out.push_str(&format!("L</{}>", (page.name)(function)));
            }
            Some(function) => out.push_str(&format!("C<{}>", (page.name)(function))),
            None => out.push_str(&format!("L</{target}>")),
        }
        rest = after;
    }
    out + rest
}

fn with_unit(doc: &str, unit: Option<Unit>) -> String {
    match unit {
        None => doc.to_owned(),
        Some(Unit::Bytes) => format!("{doc} (in bytes)"),
        Some(Unit::Sectors) => format!("{doc} (in sectors of 512 bytes)"),
        Some(Unit::KiB) => format!("{doc} (in KiB)"),
        Some(Unit::MiB) => format!("{doc} (in MiB)"),
    }
}

fn notes(api: &Api, page: &Page, function: &Function) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(deprecated) = &function.deprecated {
        let by = deprecated.by.as_ref().and_then(|by| api.function(by));
        let by = by.filter(|by| (page.wanted)(by));
        notes.push(match by {
            Some(by) => format!("B<Deprecated>: use L</{}> in new programs.", (page.name)(by)),
            None => "B<Deprecated>: not to be used in new programs.".to_owned(),
        });
    }
    if !function.implemented {
        notes.push("B<Not implemented yet>: calling it fails with C<ENOTSUP>.".to_owned());
    }
    if function.config_only {
        notes.push("It can only be called before the handle is launched.".to_owned());
    }
    if let Some(feature) = &function.feature {
        notes.push(format!("It needs the feature C<{feature}> of the appliance."));
    }
    if function.progress {
        notes.push("It may send progress events while it runs.".to_owned());
    }
    if function.cancellable {
        notes.push("Another thread can stop it by cancelling the call.".to_owned());
    }
    notes.push(format!("(Since {})", function.since));
    notes
}

/// The steps of a test as commands of guestfish.
fn example(api: &Api, steps: &[indexmap::IndexMap<String, Vec<Value>>]) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, values) in steps.iter().flatten() {
        let Some(function) = api.function(name) else { continue };
        let (values, options) = split_options(function, values);
        let mut words = vec![dashed(name)];
        words.extend(values.iter().map(word));
        for (key, value) in options.into_iter().flatten() {
            words.push(format!("{}:{}", word(key), word(value)));
        }
        lines.push(words.join(" "));
    }
    lines
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => match text.contains(|c: char| " \"'\n\t".contains(c)) {
            true => format!("{text:?}"),
            false => text.clone(),
        },
        Value::Sequence(items) => {
            let items: Vec<_> = items.iter().map(word).collect();
            format!("\"{}\"", items.join(" "))
        }
        Value::Mapping(_) | Value::Tagged(_) => "...".to_owned(),
    }
}

fn c_synopsis(function: &Function) -> Vec<String> {
    let mut lines = Vec::new();
    if function.opts {
        lines.extend(c_prototype(function, "", &[]));
    }
    let suffix = if function.opts { "_opts" } else { "" };
    lines.extend(c_prototype(function, suffix, &function.options));
    lines
}

fn c_prototype(function: &Function, suffix: &str, options: &[Opt]) -> Vec<String> {
    let name = &function.name;
    let ret = match &function.returns {
        Ret::None | Ret::Bool | Ret::Int => "int".to_owned(),
        Ret::Int64 => "int64_t".to_owned(),
        Ret::String | Ret::Device | Ret::Bytes => "char *".to_owned(),
        Ret::ConstString | Ret::ConstOptString => "const char *".to_owned(),
        Ret::StringList | Ret::DeviceList | Ret::MountableList | Ret::Hash => "char **".to_owned(),
        Ret::Struct(name) => format!("struct guestfs_{name} *"),
        Ret::StructList(name) => format!("struct guestfs_{name}_list *"),
    };
    let mut lines = vec![ret, format!("guestfs_{name}{suffix} (guestfs_h *g")];
    for arg in &function.args {
        let n = &arg.name;
        let declaration = match arg.ty {
            ArgType::Bool | ArgType::Int => format!("int {n}"),
            ArgType::Int64 => format!("int64_t {n}"),
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
            | ArgType::Fileout => format!("const char *{n}"),
            ArgType::Bytes => format!("const char *{n}, size_t {n}_size"),
            ArgType::StringList
            | ArgType::DeviceList
            | ArgType::PathList
            | ArgType::FilenameList => format!("char *const *{n}"),
            ArgType::Pointer => format!("void *{n}"),
        };
        continue_line(&mut lines, &declaration);
    }
    if function.returns == Ret::Bytes {
        continue_line(&mut lines, "size_t *size_r");
    }
    for opt in options {
        let macro_name = format!("GUESTFS_{}{}_{}", name, suffix, opt.name).to_ascii_uppercase();
        let ty = match opt.ty {
            OptType::Bool | OptType::Int => "int ",
            OptType::Int64 => "int64_t ",
            OptType::String => "const char *",
            OptType::StringList => "char *const *",
        };
        continue_line(&mut lines, &format!("{macro_name}, {ty}{}", opt.name));
    }
    if !options.is_empty() {
        continue_line(&mut lines, "-1");
    }
    if let Some(last) = lines.last_mut() {
        last.push_str(");");
    }
    lines
}

fn continue_line(lines: &mut Vec<String>, text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push(',');
    }
    lines.push(format!("    {text}"));
}

fn c_returned(ret: &Ret) -> &'static str {
    match ret {
        Ret::None => "Returns 0 on success and -1 on error.",
        Ret::Bool => "Returns 1 for true, 0 for false, and -1 on error.",
        Ret::Int | Ret::Int64 => "Returns -1 on error.",
        Ret::String | Ret::Device => {
            "Returns a string, or NULL on error.  I<The caller must free it>."
        }
        Ret::ConstString => {
            "Returns a string, or NULL on error.  It belongs to the handle and must I<not> be freed."
        }
        Ret::ConstOptString => {
            "Returns a string or NULL.  It belongs to the handle and must I<not> be freed.  \
             There is no way to return an error."
        }
        Ret::Bytes => {
            "Returns a buffer whose size is stored in C<*size_r>, or NULL on error.  \
             I<The caller must free it>."
        }
        Ret::StringList | Ret::DeviceList | Ret::MountableList => {
            "Returns a list of strings that ends with NULL, or NULL on error.  \
             I<The caller must free the strings and the list>."
        }
        Ret::Hash => {
            "Returns a list of strings that ends with NULL, keys and values in turn, or NULL \
             on error.  I<The caller must free the strings and the list>."
        }
        Ret::Struct(_) => {
            "Returns a structure, or NULL on error.  I<The caller must free it> with the \
             structure's own function."
        }
        Ret::StructList(_) => {
            "Returns a list of structures, or NULL on error.  I<The caller must free it> with \
             the list's own function."
        }
    }
}

fn fish_synopsis(function: &Function) -> Vec<String> {
    let mut words = vec![dashed(&function.name)];
    // A secret is asked for, not written on the command line.
    let typed = function.args.iter().filter(|arg| arg.ty != ArgType::Key);
    words.extend(typed.map(|arg| match arg.ty {
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            format!("'{} ...'", arg.name)
        }
        ArgType::Bool => format!("{}=true|false", arg.name),
        ArgType::Filein | ArgType::Fileout => format!("({}|-)", arg.name),
        ArgType::Int
        | ArgType::Int64
        | ArgType::String
        | ArgType::Optstring
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key
        | ArgType::Bytes
        | ArgType::Pointer => arg.name.clone(),
    }));
    words.extend(function.options.iter().map(|opt| format!("[{}:..]", opt.name)));
    let mut lines = vec![words.join(" ")];
    lines.extend(function.aliases.iter().cloned());
    lines
}

fn python_synopsis(function: &Function) -> Vec<String> {
    let args = function.args.iter().map(|arg| arg.name.clone());
    let options = function.options.iter().map(|opt| format!("{}=None", opt.name));
    let parameters: Vec<_> = args.chain(options).collect();
    let call = format!("g.{}({})", function.name, parameters.join(", "));
    let returns = match &function.returns {
        Ret::None => return vec![call],
        Ret::Bool | Ret::Int | Ret::Int64 => "int",
        Ret::String | Ret::Device | Ret::ConstString => "str",
        Ret::ConstOptString => "str | None",
        Ret::Bytes => "bytes",
        Ret::StringList | Ret::DeviceList | Ret::MountableList => "list[str]",
        Ret::Hash => "list[tuple[str, str]] | dict[str, str]",
        Ret::Struct(_) => "dict",
        Ret::StructList(_) => "list[dict]",
    };
    vec![format!("{call} -> {returns}")]
}

fn rust_synopsis(function: &Function) -> Vec<String> {
    let mut lines = vec![format!("fn {}(", rust(&function.name)), "    &self,".to_owned()];
    lines.extend(function.args.iter().map(|arg| {
        let ty = rust_types::parameter(arg.ty);
        format!("    {}: {ty},", rust(&arg.name))
    }));
    if !function.options.is_empty() {
        lines.push(format!("    options: &{}Options,", camel(&function.name)));
    }
    let returns = rust_types::returns(&function.returns);
    lines.push(format!(") -> Result<{returns}>"));
    // What has no arguments fits on one line.
    match lines.len() {
        3 => vec![format!("fn {}(&self) -> Result<{returns}>", rust(&function.name))],
        _ => lines,
    }
}
