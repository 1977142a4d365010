// SPDX-License-Identifier: LGPL-2.1-or-later
//! How much of what is described has a body.

use std::fmt::Write;

use crate::schema::{Api, Function};

/// A line a group, implemented of described, and a line for all; below each group the functions
/// that have no body.
pub fn report(api: &Api) -> String {
    let mut out = String::new();
    for group in &api.groups {
        let functions: Vec<_> = api.functions.iter().filter(|it| it.group == group.name).collect();
        line(&mut out, &group.name, &functions);
        for function in functions.iter().filter(|it| !it.implemented) {
            // Writing to a string does not fail.
            let _ = writeln!(out, "    {}", function.name);
        }
    }
    line(&mut out, "all", &api.functions.iter().collect::<Vec<_>>());
    out
}

fn line(out: &mut String, name: &str, functions: &[&Function]) {
    let implemented = functions.iter().filter(|it| it.implemented).count();
    let _ = writeln!(out, "{name:<12} {implemented:>3} of {:>3}", functions.len());
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
