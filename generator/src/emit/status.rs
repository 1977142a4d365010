// SPDX-License-Identifier: LGPL-2.1-or-later
//! How much of the API is implemented: what guestfs-api-status(7) lists, `pod/status.pod`.

use anyhow::Result;
use serde::Serialize;
use tera::Tera;

use crate::coverage::{coverage, total};
use crate::emit::render;
use crate::output::Files;
use crate::schema::{Api, Function};

#[derive(Serialize)]
struct View {
    /// The lines of a table.
    rows: Vec<String>,
    /// The groups that have something missing.
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    name: String,
    title: String,
    missing: String,
}

/// Emits `pod/status.pod`.
pub fn emit(tera: &Tera, api: &Api) -> Result<Files> {
    let text = render(tera, "pod_status.pod", &view(api))?;
    Ok(Files::from([("pod/status.pod".into(), text)]))
}

fn view(api: &Api) -> View {
    let groups = coverage(api);
    let width = groups.iter().map(|it| it.group.name.len()).max().unwrap_or_default().max(5);
    let row = |name: &str, implemented: &str, declared: &str| {
        format!("{name:<width$}  {implemented:>11}  {declared:>8}")
    };
    let mut rows = vec![row("group", "implemented", "declared")];
    for it in &groups {
        rows.push(row(&it.group.name, &it.implemented.to_string(), &it.declared.to_string()));
    }
    let (implemented, declared) = total(&groups);
    rows.push(row("all", &implemented.to_string(), &declared.to_string()));
    let incomplete = groups.iter().filter(|it| !it.missing.is_empty()).map(|it| Group {
        name: it.group.name.clone(),
        title: it.group.title.clone(),
        missing: it.missing.iter().map(|it| reference(it)).collect::<Vec<_>>().join(", "),
    });
    View { rows, groups: incomplete.collect() }
}

/// The function's name, with a link to what the manual says about it.
fn reference(function: &Function) -> String {
    let name = &function.name;
    match function.is_documented() {
        true => format!("L<guestfs_{name}|guestfs(3)/guestfs_{name}>"),
        false => format!("C<guestfs_{name}>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_what_is_missing() {
        let api = "{version: {major: 1, minor: 0, release: 0}, features: [], events: [], structs: [],
            groups: [{name: file, title: FILES, docs: F}, {name: lvm, title: LVM, docs: L}], functions: [
            {name: a, since: '1', group: file, summary: a, returns: none, docs: a},
            {name: b, since: '1', group: lvm, implemented: false, summary: b, returns: none, docs: b},
            {name: c, since: '1', group: lvm, implemented: false, visibility: internal, summary: c,
             returns: none, docs: c}]}";
        let view = view(&Api::parse(api).unwrap_or_else(|err| panic!("{err:#}")));
        let expected = [
            "group  implemented  declared",
            "file             1         1",
            "lvm              0         2",
            "all              1         3",
        ];
        assert_eq!(view.rows, expected);
        let [lvm] = &view.groups[..] else { panic!("not one group") };
        assert_eq!(lvm.missing, "L<guestfs_b|guestfs(3)/guestfs_b>, C<guestfs_c>");
    }
}
