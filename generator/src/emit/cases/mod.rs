// SPDX-License-Identifier: LGPL-2.1-or-later
//! The tests of the description in C and Python.  Those in Rust are made by `emit::tests`: so
//! each case is run in three languages, from one description.

mod c;
mod python;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_yaml::{Mapping, Value};
use tera::Tera;

use crate::check::split_options;
use crate::emit::tests::{CASES_MAX, identifier, raw_bytes};
use crate::emit::{by_group, render};
use crate::output::Files;
use crate::schema::{Api, Disk, Function, Ret, Test};

#[derive(Serialize)]
struct View {
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Groups<'a> {
    groups: Vec<&'a str>,
}

/// A case in one language.
#[derive(Serialize)]
struct Case {
    title: String,
    ident: String,
    disk: String,
    needs: Vec<String>,
    /// It is run even if not all are.
    usual: bool,
    lines: Vec<String>,
}

/// A call, and what it returns.
struct Call<'a> {
    code: String,
    returns: &'a Ret,
}

/// How a case is written in one language.
trait Language {
    /// The directory below `tests/`, the ending of files, and the template.
    const PLACE: (&'static str, &'static str, &'static str);

    /// Whether the case can be written at all.
    fn can_say(api: &Api, test: &Test) -> bool;

    fn call(
        api: &Api,
        function: &Function,
        values: &[Value],
        options: Option<&Mapping>,
    ) -> Result<String>;

    /// The call has to succeed.
    fn step(call: &Call<'_>) -> Vec<String>;

    /// What comes of the last call.
    fn returns(api: &Api, call: &Call<'_>, expected: &Value) -> Result<Vec<String>>;
    fn matches(call: &Call<'_>, pattern: &str) -> Result<Vec<String>>;
    fn fails(call: &Call<'_>, errno: Option<&str>, says: &str) -> Vec<String>;

    /// The last call wrote a file.
    fn wrote(content: &Value) -> Result<String>;
}

/// Emits `tests/c`, `tests/python`, and the groups that are there.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let mut files = Files::new();
    emit_in::<c::C>(tera, api, &mut files)?;
    emit_in::<python::Python>(tera, api, &mut files)?;
    let groups = by_group(api, |it| !it.tests().is_empty()).into_iter().map(|it| it.0).collect();
    let groups = render(tera, "tests_groups.rs", &Groups { groups })?;
    files.insert("tests/groups.rs".into(), groups);
    Ok(files)
}

fn emit_in<L: Language>(tera: &Tera, api: &Api, files: &mut Files) -> Result<()> {
    let (directory, ending, template) = L::PLACE;
    for (group, functions) in by_group(api, |it| !it.tests().is_empty()) {
        let mut cases = Vec::new();
        for function in functions {
            cases.extend(cases_of::<L>(api, function)?);
        }
        let mut number = 0;
        while !cases.is_empty() {
            number += 1;
            let name = match number {
                1 => group.to_owned(),
                _ => format!("{group}_{number}"),
            };
            let rest = cases.split_off(cases.len().min(CASES_MAX));
            let text = render(tera, template, &View { cases })?;
            files.insert(format!("tests/{directory}/{name}.{ending}").into(), text);
            cases = rest;
        }
    }
    Ok(())
}

/// The cases of a function.  The first which succeeds is run always, or the first which fails if
/// none does: what a binding makes of an error is the same for all functions.  So are all that need
/// no appliance, as they take no time.
fn cases_of<L: Language>(api: &Api, function: &Function) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let may_fail = function.tests().iter().all(|test| test.fails.is_some());
    let mut seen = false;
    for test in function.tests().iter().filter(|test| L::can_say(api, test)) {
        let first = function.is_documented() && !seen && (may_fail || test.fails.is_none());
        seen |= first;
        for (number, disk) in test.disks.iter().enumerate() {
            let title = match test.disks.len() {
                1 => test.name.clone(),
                _ => format!("{} ({disk:?})", test.name),
            };
            cases.push(Case {
                ident: format!("{}_{}", function.name, identifier(&title)).to_ascii_lowercase(),
                title: format!("{}: {title}", function.name),
                disk: name(*disk),
                needs: test.needs.iter().chain(&function.feature).cloned().collect(),
                usual: *disk == Disk::Config || (first && number == 0),
                lines: lines::<L>(api, function, test)?,
            });
        }
    }
    Ok(cases)
}

fn lines<L: Language>(api: &Api, function: &Function, test: &Test) -> Result<Vec<String>> {
    let mut calls = Vec::new();
    for (name, values) in test.steps.iter().flatten() {
        let Some(called) = api.function(name) else { bail!("{name} does not exist") };
        let (values, options) = split_options(called, values);
        let code = L::call(api, called, values, options)?;
        calls.push(Call { code, returns: &called.returns });
    }
    let Some(last) = calls.pop() else { bail!("{}: {}: no steps", function.name, test.name) };
    let mut lines: Vec<_> = calls.iter().flat_map(L::step).collect();
    if let Some(fails) = &test.fails {
        lines.extend(L::fails(&last, fails.errno.as_deref(), &fails.says));
    } else if let Some(expected) = &test.returns {
        lines.extend(L::returns(api, &last, expected)?);
    } else if let Some(pattern) = &test.matches {
        lines.extend(L::matches(&last, pattern)?);
    } else {
        lines.extend(L::step(&last));
    }
    if let Some(content) = &test.fileout {
        lines.push(L::wrote(content)?);
    }
    Ok(lines)
}

/// As in the description: `Ext4Mounted` is `ext4-mounted`.
fn name(disk: Disk) -> String {
    let mut name = String::new();
    for c in format!("{disk:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// What is said by `{repeat: UNIT, times: NUMBER}`.
fn repeated(value: &Value) -> Option<(&str, u64)> {
    let map = value.as_mapping()?;
    Some((map.get("repeat")?.as_str()?, map.get("times")?.as_u64()?))
}

fn mapping(value: &Value) -> Result<&Mapping> {
    match value {
        Value::Mapping(map) => Ok(map),
        other => bail!("{other:?} is not a map"),
    }
}

/// A name in a map of expected values.
fn key(value: &Value) -> Result<String> {
    Ok(String::from_utf8(raw_bytes(value)?)?)
}
