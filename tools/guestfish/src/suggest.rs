// SPDX-License-Identifier: LGPL-2.1-or-later
//! What somebody who typed an unknown command may have meant.

/// The names that are near, the nearest first, three at most.
pub(crate) fn near<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = match typed.len() {
        0..=2 => return Vec::new(),
        3..=5 => 1,
        _ => 2,
    };
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (distance(typed, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort_unstable();
    near.into_iter().map(|(_, name)| name).take(3).collect()
}

/// How many characters have to be changed, added, left out or swapped with the next.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, expected: &[&str]) {
        let names = ["mount", "mounts", "umount", "mkfs", "list-devices", "ls", "rm"];
        assert_eq!(near(typed, names.into_iter()), expected);
    }

    #[test]
    fn near_names() {
        check("mouont", &["mount", "mounts", "umount"]);
        check("mkfs2", &["mkfs"]);
        check("mkfsx", &["mkfs"]);
        check("lsit-devices", &["list-devices"]);
        check("xx", &[]);
        check("frobnicate", &[]);
    }
}
