// SPDX-License-Identifier: LGPL-2.1-or-later
//! The file `libguestfs-tools.conf`, of which one setting is understood: `read_only`.

use std::env;
use std::fs;
use std::path::PathBuf;

/// What the user, or else the administrator, has set.
pub(crate) fn read_only() -> Option<bool> {
    files().into_iter().find_map(|path| parse(&fs::read_to_string(path).ok()?))
}

/// The files that may have it, the most important first.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let home = env::home_dir();
    files.extend(home.as_ref().map(|home| home.join(".libguestfs-tools.rc")));
    let config = env::var_os("XDG_CONFIG_HOME").filter(|it| !it.is_empty()).map(PathBuf::from);
    let config = config.or_else(|| home.map(|home| home.join(".config")));
    files.extend(config.map(|it| it.join("libguestfs/libguestfs-tools.conf")));
    files.push("/etc/libguestfs-tools.conf".into());
    files
}

fn parse(text: &str) -> Option<bool> {
    text.lines().filter_map(setting).next_back()
}

fn setting(line: &str) -> Option<bool> {
    let end = line.find('#').into_iter().chain(line.find("//")).min().unwrap_or(line.len());
    let (name, value) = line[..end].split_once(['=', ':'])?;
    match (name.trim(), value.trim().trim_end_matches(';').trim_end()) {
        ("read_only", "true") => Some(true),
        ("read_only", "false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        assert_eq!(parse("# read_only = true;\n"), None);
        assert_eq!(parse("read_only = true;\n"), Some(true));
        assert_eq!(parse("other = 1\n read_only=false // why\n"), Some(false));
        assert_eq!(parse("read_only = maybe\n"), None);
    }
}
