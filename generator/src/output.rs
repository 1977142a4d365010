// SPDX-License-Identifier: LGPL-2.1-or-later
//! The only code that touches the disk: writes what differs, deletes what nobody makes any more,
//! or says what would have to be done.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Path below `generated/`, and content.
pub type Files = BTreeMap<PathBuf, String>;

/// What stands between `root` and `files`, as `stale: PATH` or `orphan: PATH`.  Without `check`
/// the difference is removed.
pub fn sync(root: &Path, files: &Files, check: bool) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for (path, content) in files {
        let target = root.join(path);
        if fs::read_to_string(&target).is_ok_and(|old| old == *content) {
            continue;
        }
        differences.push(format!("stale: {}", target.display()));
        if !check {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
            }
            fs::write(&target, content).with_context(|| target.display().to_string())?;
        }
    }
    for path in present(root)? {
        if !files.contains_key(&path) {
            let target = root.join(path);
            differences.push(format!("orphan: {}", target.display()));
            if !check {
                fs::remove_file(&target).with_context(|| target.display().to_string())?;
                // A folder goes with its last file; it fails while there are others.
                let _ = target.parent().map(fs::remove_dir);
            }
        }
    }
    Ok(differences)
}

fn present(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(root.join(&directory)) else { continue };
        for entry in entries {
            let entry = entry?;
            let path = directory.join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => directories.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Formats the files that are Rust.  All go through one `rustfmt`, which reads one module.
pub fn format_rust(files: &mut Files) -> Result<()> {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../rustfmt.toml");
    for (path, content) in files.iter_mut() {
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let mut child = Command::new("rustfmt")
            .args(["--edition", "2024", "--emit", "stdout", "--config-path", config])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("rustfmt")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(content.as_bytes()).context("rustfmt")?;
        }
        let output = child.wait_with_output().context("rustfmt")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("rustfmt: {}: {why}", path.display());
        }
        *content = String::from_utf8(output.stdout).context("rustfmt")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_and_orphan_files() {
        let root = std::env::temp_dir().join(format!("generator-output-{}", std::process::id()));
        let files = Files::from([("a/b.txt".into(), "one\n".to_owned())]);
        assert_eq!(sync(&root, &files, false).unwrap().len(), 1);
        assert!(sync(&root, &files, true).unwrap().is_empty());
        fs::write(root.join("a/b.txt"), "two\n").unwrap();
        fs::write(root.join("a/c.txt"), "").unwrap();
        let differences = sync(&root, &files, true).unwrap().join(" ");
        assert!(differences.starts_with("stale: ") && differences.contains("b.txt orphan: "));
        sync(&root, &files, false).unwrap();
        assert!(sync(&root, &files, true).unwrap().is_empty());
        fs::remove_dir_all(root).unwrap();
    }
}
