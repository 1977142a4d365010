// SPDX-License-Identifier: LGPL-2.1-or-later
//! The manual can be built, says something about everything, and its links and examples work.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regex::Regex;
use tempfile::TempDir;

// Compiled here; running it needs an appliance.
#[path = "../../docs/examples/inspect-disk.rs"]
#[expect(dead_code, reason = "nobody calls its main")]
mod inspect_disk;

/// Where links may lead outside the manual.
const ELSEWHERE: [&str; 4] = [
    "https://augeas.net/",
    "https://docs.python.org/",
    "https://libguestfs.org/",
    "https://manpages.debian.org/",
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|err| panic!("{command:?}: {err}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    output
}

fn build() -> TempDir {
    let out = tempfile::tempdir().unwrap();
    let output = run(Command::new(top().join("docs/build")).arg(out.path()));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    out
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// The files below a directory, by their names.
fn files(directory: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|err| panic!("{directory:?}: {err}"));
    let paths = entries.map(|it| it.unwrap().path());
    paths.map(|it| (it.file_name().unwrap().to_string_lossy().into_owned(), it)).collect()
}

/// What `regex` finds as its first group.
fn all<'a>(regex: &str, text: &'a str) -> Vec<&'a str> {
    let regex = Regex::new(regex).unwrap();
    regex.captures_iter(text).map(|it| it.get(1).unwrap().as_str()).collect()
}

/// One test, as building takes a while.
#[test]
fn manual() {
    let (out, again) = (build(), build());
    are_equal(out.path(), again.path());
    pages_are_clean_pod(out.path());
    every_function_has_its_section(out.path());
    every_declaration_is_mentioned(out.path());
    links_lead_somewhere(out.path());
    man_pages_render(out.path());
}

/// Names of the functions that api.yaml has for users.
fn public_functions() -> Vec<String> {
    let api = read(top().join("api.yaml"));
    let (_, functions) = api.split_once("\nfunctions:\n").expect("a list of functions");
    let entries = functions.split("  - name: ").filter(|it| it.contains("\n    group: "));
    let public = entries.filter(|entry| match all(r"\n    visibility: (\w+)", entry)[..] {
        [] => true,
        [visibility] => visibility.starts_with("public"),
        _ => panic!("{entry}"),
    });
    public.map(|it| it.lines().next().unwrap().to_owned()).collect()
}

fn pages_are_clean_pod(out: &Path) {
    let pages = files(&out.join("pod"));
    assert!(pages.contains_key("guestfs.pod"), "{pages:?}");
    for page in pages.values() {
        let output = run(Command::new("podchecker").arg("-warnings").arg(page));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("syntax OK") && !said.contains("WARNING"), "{said}");
        let pod = read(page);
        assert!(!pod.contains("=for include"), "{page:?}: something was not included");
    }
}

fn every_function_has_its_section(out: &Path) {
    let functions = public_functions();
    assert!(functions.len() > 100, "{functions:?}");
    for (page, prefix) in [("guestfs", "guestfs_"), ("guestfs-python", ""), ("guestfs-rust", "")] {
        let pod = read(out.join(format!("pod/{page}.pod")));
        let sections: BTreeSet<&str> = all(r"(?m)^=head3 (\w+)$", &pod).into_iter().collect();
        let missing: Vec<_> = functions
            .iter()
            .map(|it| match page {
                "guestfs-rust" => it.to_ascii_lowercase(),
                _ => format!("{prefix}{it}"),
            })
            .filter(|it| !sections.contains(it.as_str()))
            .collect();
        assert!(missing.is_empty(), "{page}: no section about {missing:?}");
    }
}

fn every_declaration_is_mentioned(out: &Path) {
    let page = read(out.join("pod/guestfs.pod"));
    let header = read(top().join("generated/c/guestfs.h"));
    // What is behind this macro is for nobody to use.
    let private = Regex::new(r"(?s)\n#ifdef GUESTFS_PRIVATE\n.*?\n#endif").unwrap();
    let header = private.replace_all(&header, "");
    let known: BTreeSet<&str> = all(r"\b(guestfs_\w+)\b", &page).into_iter().collect();
    // Variants of a function, which the page explains once for all of them.
    let variants = Regex::new("_(opts|va|argv|list)$").unwrap();
    let mentioned = |name: &str| {
        let mut name = name;
        while !known.contains(name) {
            match variants.find(name) {
                Some(variant) => name = &name[..variant.start()],
                None => return false,
            }
        }
        true
    };
    let declared = all(r"(?m)^extern GUESTFS_DLL_PUBLIC .*?\b(guestfs_\w+) \(", &header);
    let missing: Vec<_> = declared.iter().filter(|it| !mentioned(it)).collect();
    assert!(declared.len() > 200 && missing.is_empty(), "not in the manual: {missing:?}");
}

fn links_lead_somewhere(out: &Path) {
    let pages = files(&out.join("html"));
    let pages: BTreeMap<_, _> = pages.iter().map(|(name, path)| (name, read(path))).collect();
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, html) in &pages {
        let all = all(r#"\bid="([^"]*)""#, html);
        let unique: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), unique.len(), "{name}: an id is there twice");
        ids.insert(name, unique);
    }
    for (name, html) in &pages {
        assert!(!html.contains("<a>"), "{name}: a link that leads nowhere");
        for target in all(r#"\bhref="([^"]*)""#, html) {
            if ELSEWHERE.iter().any(|it| target.starts_with(it)) {
                continue;
            }
            let (page, id) = target.split_once('#').map_or((target, None), |(a, b)| (a, Some(b)));
            let page = if page.is_empty() { name } else { page };
            let known = ids.get(page).unwrap_or_else(|| panic!("{name}: {target}: no such page"));
            assert!(id.is_none_or(|id| known.contains(id)), "{name}: {target}: no such section");
        }
    }
    for function in public_functions() {
        let link = format!("guestfs.html#guestfs_{function}\"");
        assert!(pages[&"index.html".to_owned()].contains(&link), "index.html: no {link}");
    }
}

fn man_pages_render(out: &Path) {
    let pages = files(&out.join("man3"));
    assert!(pages.contains_key("guestfs.3") && pages.contains_key("guestfs-python.3"));
    let others = ["man1", "man7"].map(|it| files(&out.join(it))).into_iter().flatten();
    for (name, path) in pages.into_iter().chain(others) {
        let page = read(path);
        let (title, _) = name.rsplit_once('.').unwrap();
        let heading =
            Regex::new(&format!(r#"(?m)^\.TH "?{} ?\d"?"#, title.to_uppercase())).unwrap();
        assert!(heading.is_match(&page), "{name}: no heading");
        assert!(page.contains(&format!("\n{} \\- ", title.replace('-', "\\-"))), "{name}: NAME");
        assert!(!page.contains("POD ERRORS"), "{name}: POD ERRORS");
    }
}

fn are_equal(first: &Path, second: &Path) {
    for directory in ["pod", "man1", "man3", "man7", "html"] {
        let (first, second) = (files(&first.join(directory)), files(&second.join(directory)));
        assert!(first.keys().eq(second.keys()));
        for (name, path) in &first {
            assert!(read(path) == read(&second[name]), "{directory}/{name} differs");
        }
    }
}

#[test]
fn examples_compile() {
    let scratch = tempfile::tempdir().unwrap();
    let pages = files(&top().join("docs/man"));
    let pages: String = pages.values().map(read).collect();
    for (name, path) in files(&top().join("docs/examples")) {
        match path.extension().and_then(|it| it.to_str()) {
            Some("c") => {
                let mut cc = Command::new("cc");
                cc.args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]);
                run(cc.arg(top().join("generated/c")).arg(&path));
            }
            Some("py") => {
                let mut python = Command::new("python3");
                python.args(["-m", "py_compile"]).arg(&path);
                run(python.env("PYTHONPYCACHEPREFIX", scratch.path()));
            }
            // They are modules of this test.
            Some("rs") => {
                assert!(include_str!("manual.rs").contains(&name), "{name}: not compiled")
            }
            _ => panic!("{name}: in no language that is known here"),
        }
        let include = format!("=for include docs/examples/{name}\n");
        assert!(pages.contains(&include), "{name}: is in no page");
    }
}

/// What a synopsis or the README begins with, in Rust: compiled here, and compared with the text.
#[expect(dead_code, reason = "compiled, not run")]
mod shown {
    pub(super) fn synopsis() -> guestfs::Result<()> {
        use guestfs::{AddDriveOptions, Handle};

        let g = Handle::create()?;
        g.add_drive("guest.img", &AddDriveOptions { readonly: Some(true), ..Default::default() })?;
        g.launch()?;
        g.mount_ro("/dev/sda1", "/")?;
        println!("{}", g.cat("/etc/hostname")?);
        g.close()?;
        Ok(())
    }

    pub(super) fn readme() -> guestfs::Result<()> {
        let g = guestfs::Handle::create()?;
        g.add_drive_ro("disk.qcow2")?;
        g.launch()?;
        g.mount_ro("/dev/sda1", "/")?;
        println!("{}", g.cat("/etc/hostname")?);
        Ok(())
    }
}

/// The indented lines of the section SYNOPSIS.
fn synopsis(page: &str) -> String {
    let pod = read(top().join(format!("docs/man/{page}.pod")));
    let (_, section) = pod.split_once("=head1 SYNOPSIS\n\n").expect("a synopsis");
    let lines = section.split("\n=head1").next().unwrap().lines();
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n").collect()
}

/// The block of the README that is marked as code in `language`.
fn readme(language: &str) -> String {
    let readme = read(top().join("README.md"));
    let (_, code) = readme.split_once(&format!("```{language}\n")).expect("a block of code");
    code.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn first_examples_compile() {
    let scratch = tempfile::tempdir().unwrap();
    // The line that is for the shell.
    let page = synopsis("guestfs").replace("cc prog.c", "// cc prog.c");
    let include = "#include <guestfs.h>\n";
    for (name, code) in [("synopsis", page), ("readme", readme("c"))] {
        let body = code.replace(include, "");
        let text = format!("{include}int main (void)\n{{\n{body}return g == NULL;\n}}\n");
        let file = scratch.path().join(format!("{name}.c"));
        fs::write(&file, text).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Werror", "-Wno-unused-variable", "-fsyntax-only", "-I"]);
        run(cc.arg(top().join("generated/c")).arg(&file));
    }
    for (name, code) in [("synopsis", synopsis("guestfs-python")), ("readme", readme("python"))] {
        let file = scratch.path().join(format!("{name}.py"));
        fs::write(&file, code).unwrap();
        run(Command::new("python3").args(["-m", "py_compile"]).arg(&file));
    }
    let compiled: Vec<&str> = include_str!("manual.rs").lines().map(str::trim).collect();
    for code in [synopsis("guestfs-rust"), readme("rust")] {
        let wanted: Vec<&str> = code.lines().map(str::trim).collect();
        let wanted = wanted.join("\n").trim().to_owned();
        assert!(compiled.join("\n").contains(&wanted), "not compiled:\n{wanted}");
    }
}

/// Chapters that programs, packages and other pages send their readers to.
#[test]
fn chapters_stay() {
    let page = read(top().join("docs/man/guestfs.pod"));
    let headings: BTreeSet<&str> = all(r"(?m)^=head[12] (.+)$", &page).into_iter().collect();
    let chapters = [
        "API OVERVIEW",
        "CONNECTION MANAGEMENT",
        "ERROR HANDLING",
        "PATH",
        "FUNCTIONS",
        "STRUCTURES",
        "AVAILABILITY",
        "EVENTS",
        "BLOCK DEVICE NAMING",
        "INTERNALS",
        "MULTIPLE HANDLES AND MULTIPLE THREADS",
        "QEMU WRAPPERS",
        "BACKEND",
        "ENVIRONMENT VARIABLES",
        "BUGS",
    ];
    let missing: Vec<_> = chapters.into_iter().filter(|it| !headings.contains(it)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// guestfs-api-status(7) lists what has no body, and nothing else.
#[test]
fn what_is_missing_is_marked() {
    let api = read(top().join("api.yaml"));
    let (_, functions) = api.split_once("\nfunctions:\n").expect("a list of functions");
    let missing: BTreeSet<&str> = functions
        .split("  - name: ")
        .filter(|it| it.contains("\n    implemented: false\n"))
        .map(|it| it.lines().next().unwrap())
        .collect();
    let status = read(top().join("generated/pod/status.pod"));
    let listed: BTreeSet<&str> = all(r"(?:L<|C<)guestfs_(\w+)[|>]", &status).into_iter().collect();
    assert_eq!(missing, listed);
}
