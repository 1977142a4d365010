// SPDX-License-Identifier: LGPL-2.1-or-later
//! How much of what is described has a body.

use std::fmt::Write;

use crate::schema::{Api, Function, Group};

/// What there is of one group.
pub struct Coverage<'a> {
    /// The group.
    pub group: &'a Group,
    /// How many functions have a body.
    pub implemented: usize,
    /// How many there are.
    pub declared: usize,
    /// The functions that have no body.
    pub missing: Vec<&'a Function>,
}

/// The groups that have functions, in the order of the description.
pub fn coverage(api: &Api) -> Vec<Coverage<'_>> {
    let groups = api.groups.iter().map(|group| {
        let functions = || api.functions.iter().filter(|it| it.group == group.name);
        let missing: Vec<_> = functions().filter(|it| !it.implemented).collect();
        let declared = functions().count();
        Coverage { group, implemented: declared - missing.len(), declared, missing }
    });
    groups.filter(|it| it.declared > 0).collect()
}

/// How many functions of all groups have a body, and how many there are.
pub fn total(groups: &[Coverage<'_>]) -> (usize, usize) {
    let sum = |number: fn(&Coverage<'_>) -> usize| groups.iter().map(number).sum();
    (sum(|it| it.implemented), sum(|it| it.declared))
}

/// A line a group, implemented of described, and a line for all; below each group the functions
/// that have no body.
pub fn report(api: &Api) -> String {
    let groups = coverage(api);
    let mut out = String::new();
    for it in &groups {
        line(&mut out, &it.group.name, (it.implemented, it.declared));
        for function in &it.missing {
            // Writing to a string does not fail.
            let _ = writeln!(out, "    {}", function.name);
        }
    }
    line(&mut out, "all", total(&groups));
    out
}

fn line(out: &mut String, name: &str, (implemented, declared): (usize, usize)) {
    let _ = writeln!(out, "{name:<12} {implemented:>3} of {declared:>3}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_all() {
        let api = "{version: {major: 1, minor: 0, release: 0}, features: [], events: [], structs: [],
            groups: [{name: file, title: F, docs: F}, {name: lvm, title: L, docs: L}], functions: [
            {name: a, since: '1', group: file, summary: a, returns: none, docs: a},
            {name: b, since: '1', group: lvm, summary: b, returns: none, docs: b},
            {name: c, since: '1', group: lvm, implemented: false, summary: c, returns: none, docs: c}]}";
        let expected = "file           1 of   1\nlvm            1 of   2\n    c\n\
                        all            2 of   3\n";
        assert_eq!(report(&Api::parse(api).unwrap_or_else(|err| panic!("{err:#}"))), expected);
    }
}
