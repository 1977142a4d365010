// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a description must obey.  Every rule runs, and every complaint is made at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_yaml::Value;

use crate::schema::{Api, ArgType, Function, Ret, Side, Test, Visibility};

/// What is wrong with a description.
#[derive(Debug, Default)]
pub struct Complaints(Vec<(usize, String)>);

impl Complaints {
    fn add(&mut self, api: &Api, entry: &str, text: impl std::fmt::Display) {
        self.0.push((api.lines.of(entry), format!("{entry}: {text}")));
    }

    /// One line a complaint, in the order of the file.
    pub fn lines(mut self, file: &str) -> Vec<String> {
        self.0.sort_by_key(|(line, _)| *line);
        self.0.into_iter().map(|(line, text)| format!("{file}:{line}: {text}")).collect()
    }
}

type Rule = fn(&Api, &mut Complaints);

const RULES: &[Rule] =
    &[names, numbers, references, prose, results, aliases, errors_have_tests, tests, steps_fit];

/// Applies all rules.
pub fn check(api: &Api) -> Complaints {
    let mut out = Complaints::default();
    for rule in RULES {
        rule(api, &mut out);
    }
    out
}

/// Names are words of C, and belong to one thing.
fn names(api: &Api, out: &mut Complaints) {
    let mut seen = HashSet::new();
    for function in &api.functions {
        if !seen.insert(&function.name) {
            out.add(api, &function.name, "is described twice");
        }
        let arguments = function.args.iter().map(|arg| &arg.name);
        let options = function.options.iter().map(|opt| &opt.name);
        let mut used = HashSet::new();
        for name in arguments.chain(options) {
            if !is_name(name) {
                out.add(api, &function.name, format!("{name:?} is not a name"));
            }
            if !used.insert(name) {
                out.add(api, &function.name, format!("{name} is the name of two arguments"));
            }
        }
        if !is_name(&function.name) {
            out.add(api, &function.name, "is not a name");
        }
    }
    let mut seen = HashSet::new();
    for structure in &api.structs {
        if !seen.insert(&structure.name) {
            out.add(api, &structure.name, "is described twice");
        }
        for field in structure.fields.iter().filter(|field| !is_name(&field.name)) {
            out.add(api, &structure.name, format!("{:?} is not a name", field.name));
        }
    }
}

fn is_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(rest)
}

/// A number on the wire belongs to one function, and just the daemon's functions have one.
fn numbers(api: &Api, out: &mut Complaints) {
    let mut owners: BTreeMap<u32, &str> = BTreeMap::new();
    for function in &api.functions {
        match (function.side, function.proc) {
            (Side::Daemon | Side::Both, None) => out.add(api, &function.name, "has no proc"),
            (Side::Host, Some(_)) => {
                out.add(api, &function.name, "is done by the library and needs no proc");
            }
            (Side::Host, None) => {}
            (Side::Daemon | Side::Both, Some(proc)) => {
                if let Some(owner) = owners.insert(proc, &function.name) {
                    out.add(api, &function.name, format!("proc {proc} belongs to {owner}"));
                }
            }
        }
    }
    let mut bits = HashSet::new();
    for event in api.events.iter().filter(|event| !bits.insert(event.bit)) {
        out.add(api, &event.name, format!("bit {} belongs to another event", event.bit));
    }
}

/// What is referred to exists.
fn references(api: &Api, out: &mut Complaints) {
    for function in &api.functions {
        let name = &function.name;
        if !api.groups.iter().any(|group| group.name == function.group) {
            out.add(api, name, format!("group {} does not exist", function.group));
        }
        if let Some(feature) = &function.feature
            && !api.features.iter().any(|it| it.name == *feature)
        {
            out.add(api, name, format!("feature {feature} does not exist"));
        }
        if let Ret::Struct(structure) | Ret::StructList(structure) = &function.returns
            && api.structure(structure).is_none()
        {
            out.add(api, name, format!("struct {structure} does not exist"));
        }
        if let Some(by) = function.deprecated.as_ref().and_then(|it| it.by.as_ref())
            && api.function(by).is_none()
        {
            out.add(api, name, format!("is deprecated by {by}, which does not exist"));
        }
        for other in &function.see {
            if api.function(other).is_none() {
                out.add(api, name, format!("refers to {other}, which does not exist"));
            }
        }
        let texts = function.args.iter().map(|arg| arg.doc.as_str());
        let texts = texts.chain(function.options.iter().map(|opt| opt.doc.as_str()));
        let texts = texts.chain(function.errors().map(|(_, doc)| doc));
        let texts = texts.chain(function.result.as_deref()).chain([function.docs.as_str()]);
        for link in texts.flat_map(links) {
            if api.function(link).is_none() {
                out.add(api, name, format!("refers to {link}, which does not exist"));
            }
        }
    }
}

/// The functions that a text links to: `L</name>`.  Headings are in capitals.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("L</").skip(1).filter_map(|rest| rest.split_once('>')).filter_map(|(target, _)| {
        let target = target.trim();
        (!target.starts_with(|c: char| c.is_ascii_uppercase())).then_some(target)
    })
}

/// What users can call is explained.
fn prose(api: &Api, out: &mut Complaints) {
    let missing = |text: &str| text.trim().is_empty() || text.trim() == "FILL";
    for function in &api.functions {
        let name = &function.name;
        if missing(&function.summary) {
            out.add(api, name, "has no summary");
        }
        if function.summary.ends_with('.') {
            out.add(api, name, "the summary is a phrase and ends without a full stop");
        }
        if missing(&function.docs) {
            out.add(api, name, "has no docs");
        }
        for arg in function.args.iter().filter(|arg| missing(&arg.doc)) {
            out.add(api, name, format!("argument {} is not explained", arg.name));
        }
        for opt in function.options.iter().filter(|opt| missing(&opt.doc)) {
            out.add(api, name, format!("option {} is not explained", opt.name));
        }
        for (errno, doc) in function.errors() {
            if missing(doc) {
                out.add(api, name, format!("{errno} is not explained"));
            }
        }
    }
    for structure in &api.structs {
        for field in structure.fields.iter().filter(|field| missing(&field.doc)) {
            out.add(api, &structure.name, format!("field {} is not explained", field.name));
        }
    }
}

/// A result has a meaning and a name; nothing has neither.
fn results(api: &Api, out: &mut Complaints) {
    for function in &api.functions {
        let said = function.result.as_ref().is_some_and(|text| text != "FILL");
        match (&function.returns, said) {
            (Ret::None, true) => out.add(api, &function.name, "returns nothing but explains it"),
            (Ret::None, false) | (_, true) => {}
            (_, false) => out.add(api, &function.name, "does not say what it returns"),
        }
        if function.returns != Ret::None && function.result_name.is_none() {
            out.add(api, &function.name, "does not name its result");
        }
        // A test of bindings is given the names of files and leaves the files alone.
        let files = function.args.iter().any(|arg| arg.ty.is_file());
        if files && function.side != Side::Daemon && function.visibility != Visibility::BindTest {
            out.add(api, &function.name, "files are sent to the daemon, not to the library");
        }
    }
}

/// A word of guestfish means one function.
fn aliases(api: &Api, out: &mut Complaints) {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for function in &api.functions {
        owners.insert(function.name.replace('_', "-"), &function.name);
    }
    for function in &api.functions {
        for alias in &function.aliases {
            if let Some(owner) = owners.insert(alias.clone(), &function.name) {
                out.add(api, &function.name, format!("alias {alias} belongs to {owner}"));
            }
        }
    }
}

/// A documented error has a test which provokes it, and the other way round.
fn errors_have_tests(api: &Api, out: &mut Complaints) {
    for function in api.functions.iter().filter(|it| it.implemented) {
        let documented: BTreeSet<&str> = function.errors().map(|(errno, _)| errno).collect();
        let provoked: BTreeSet<&str> = function
            .tests()
            .iter()
            .filter_map(|test| test.fails.as_ref())
            .filter_map(|fails| fails.errno.as_deref())
            .collect();
        for errno in documented.difference(&provoked) {
            let text = format!("{errno} is documented but no test provokes it");
            out.add(api, &function.name, text);
        }
        for errno in provoked.difference(&documented) {
            out.add(api, &function.name, format!("{errno} is provoked but not documented"));
        }
    }
}

/// What users can call is tested.
fn tests(api: &Api, out: &mut Complaints) {
    for function in &api.functions {
        let public = match function.visibility {
            Visibility::Public | Visibility::PublicNoFish | Visibility::StateTest => true,
            Visibility::Debug | Visibility::Internal | Visibility::BindTest => false,
        };
        let called = |test: &Test| test.steps.iter().any(|it| it.contains_key(&function.name));
        if !function.implemented && !function.tests().is_empty() {
            out.add(api, &function.name, "is not implemented, so that its tests can't be true");
        }
        if public && function.implemented && !function.tests().iter().any(called) {
            out.add(api, &function.name, "no test calls it");
        }
        let mut names = HashSet::new();
        for test in function.tests() {
            let mut say = |text: &str| {
                out.add(api, &function.name, format!("test {:?}: {text}", test.name));
            };
            if !names.insert(&test.name) {
                say("two tests have this name");
            }
            if test.disks.is_empty() {
                say("names no disk");
            }
            if test.disks.iter().enumerate().any(|(at, disk)| test.disks[..at].contains(disk)) {
                say("names a disk twice");
            }
            if test.steps.is_empty() {
                say("has no steps");
            }
            let expected = [
                test.returns.is_some(),
                test.matches.is_some(),
                test.fails.is_some(),
                test.fileout.is_some(),
            ];
            if !expected.contains(&true) {
                say("expects nothing");
            }
            if test.fails.is_some() && (test.returns.is_some() || test.matches.is_some()) {
                say("expects a result and an error");
            }
            if test.fails.as_ref().is_some_and(|fails| fails.says.is_empty()) {
                say("does not say what the error says");
            }
            for feature in &test.needs {
                if !api.features.iter().any(|it| it.name == *feature) {
                    say(&format!("feature {feature} does not exist"));
                }
            }
        }
    }
}

/// Steps call functions that exist with arguments that fit.
fn steps_fit(api: &Api, out: &mut Complaints) {
    for function in &api.functions {
        for test in function.tests() {
            for step in &test.steps {
                if let Err(text) = step_fits(api, step) {
                    out.add(api, &function.name, format!("test {:?}: {text}", test.name));
                }
            }
        }
    }
}

fn step_fits(api: &Api, step: &indexmap::IndexMap<String, Vec<Value>>) -> Result<(), String> {
    let mut calls = step.iter();
    let (Some((name, values)), None) = (calls.next(), calls.next()) else {
        return Err("a step is one call".to_owned());
    };
    let function = api.function(name).ok_or(format!("{name} does not exist"))?;
    if !function.implemented {
        return Err(format!("{name} is not implemented"));
    }
    let (values, options) = split_options(function, values);
    if values.len() != function.args.len() {
        let n = function.args.len();
        let s = if n == 1 { "" } else { "s" };
        return Err(format!("{name} takes {n} argument{s}, not {}", values.len()));
    }
    for (arg, value) in function.args.iter().zip(values) {
        if !fits(arg.ty, value) {
            return Err(format!("{name}: {} does not fit {}", shown(value), arg.name));
        }
    }
    for key in options.iter().flat_map(|map| map.keys()) {
        let known = |opt: &crate::schema::Opt| key.as_str() == Some(&opt.name);
        if !function.options.iter().any(known) {
            return Err(format!("{name} has no option {}", shown(key)));
        }
    }
    Ok(())
}

/// A value as it stands in the description, more or less.
fn shown(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_default().trim().to_owned()
}

/// The arguments of a step without the map of options that may end them.
pub fn split_options<'a>(
    function: &Function,
    values: &'a [Value],
) -> (&'a [Value], Option<&'a serde_yaml::Mapping>) {
    match values.split_last() {
        Some((Value::Mapping(options), rest)) if values.len() > function.args.len() => {
            (rest, Some(options))
        }
        _ => (values, None),
    }
}

fn fits(ty: ArgType, value: &Value) -> bool {
    match ty {
        ArgType::Bool => value.is_bool(),
        ArgType::Int | ArgType::Int64 | ArgType::Pointer => value.is_i64(),
        ArgType::Optstring => value.is_null() || value.is_string(),
        ArgType::String
        | ArgType::Path
        | ArgType::Device
        | ArgType::Mountable
        | ArgType::DeviceOrPath
        | ArgType::MountableOrPath
        | ArgType::Filename
        | ArgType::Guid
        | ArgType::Key
        | ArgType::Filein
        | ArgType::Fileout
        | ArgType::Bytes => value.is_string() || value.is_mapping(),
        ArgType::StringList | ArgType::DeviceList | ArgType::PathList | ArgType::FilenameList => {
            value.is_sequence()
        }
    }
}
