// SPDX-License-Identifier: LGPL-2.1-or-later
//! The header compiles wherever it is included, and declares what programs were compiled against:
//! the files in `facts/` are the interface of libguestfs on x86_64.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use common::{CRATE, library, run};

#[expect(dead_code, reason = "shared with the tests that run programs")]
mod common;

/// The table of facts of that name.
fn facts(name: &str) -> Vec<Vec<String>> {
    let path = format!("{CRATE}/tests/facts/{name}.tsv");
    let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{path}: {err}"));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Compiles a text, without making anything of it.
#[track_caller]
fn check(compiler: &str, args: &[&str], text: &str) {
    let mut child = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"])
        .args(args)
        .arg(format!("-I{CRATE}/../../generated/c"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|err| panic!("{compiler}: {err}"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} {args:?}: {errors}");
}

fn header() -> String {
    fs::read_to_string(format!("{CRATE}/../../generated/c/guestfs.h")).unwrap()
}

#[test]
fn compiles_in_every_mode() {
    let twice = "#include <guestfs.h>\n#include <guestfs.h>\n";
    for define in ["-DNONE", "-DGUESTFS_PRIVATE", "-DGUESTFS_NO_DEPRECATED"] {
        for standard in ["-std=c99", "-std=c11", "-std=gnu17"] {
            check("cc", &["-xc", standard, define], twice);
        }
        for standard in ["-std=c++98", "-std=c++11", "-std=c++20"] {
            check("c++", &["-xc++", standard, define], twice);
        }
    }
}

#[test]
fn deprecation() {
    let warned = |args: &[&str]| {
        let text = "#include <guestfs.h>\n\
                    void f (guestfs_h *g) { guestfs_set_close_callback (g, NULL, NULL); }\n";
        let args = [&["-xc"], args].concat();
        std::panic::catch_unwind(|| check("cc", &args, text))
            .err()
            .map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
    };
    assert!(warned(&[]).is_some_and(|text| text.contains("use guestfs_set_event_callback")));
    assert_eq!(warned(&["-DGUESTFS_NO_WARN_DEPRECATED"]), None);
    assert!(warned(&["-DGUESTFS_NO_DEPRECATED"]).is_some_and(|text| text.contains("implicit")));
}

/// A function that is not declared can't be named, and one that is declared twice with different
/// types does not compile.
#[test]
fn prototypes_are_those_of_libguestfs() {
    let facts = facts("prototypes");
    let mut text = "#define GUESTFS_NO_WARN_DEPRECATED\n#define GUESTFS_PRIVATE\n\
                    #include <guestfs.h>\nvoid name_all (void);\nvoid name_all (void)\n{\n"
        .to_owned();
    for fact in &facts {
        writeln!(text, "(void) {};", fact[0]).unwrap();
    }
    text.push_str("}\n");
    for fact in &facts {
        writeln!(text, "{}", fact[1]).unwrap();
    }
    check("cc", &["-xc", "-std=c99"], &text);
}

#[test]
fn layouts_are_those_of_libguestfs() {
    let mut text = "#define GUESTFS_PRIVATE\n#include <guestfs.h>\n".to_owned();
    for fact in facts("layouts") {
        let name = &fact[0];
        let (what, value) = match &fact[1..] {
            [size] => (format!("sizeof ({name})"), size),
            [field, offset] => (format!("offsetof ({name}, {field})"), offset),
            other => panic!("{other:?}"),
        };
        writeln!(text, "_Static_assert ({what} == {value}, \"{what}\");").unwrap();
        if fact.len() == 2 && !name.ends_with("_argv") {
            writeln!(text, "_Static_assert (sizeof ({name}_list) == 16, \"{name}_list\");")
                .unwrap();
        }
    }
    check("cc", &["-xc", "-std=c11", "-m64"], &text);
}

#[test]
fn numbers_are_those_of_libguestfs() {
    let mut text = "#define GUESTFS_PRIVATE\n#include <guestfs.h>\n".to_owned();
    for fact in facts("macros") {
        let (name, value) = (&fact[0], &fact[1]);
        writeln!(text, "_Static_assert ({name} == {value}, \"{name}\");").unwrap();
        let is_option = !["CREATE", "EVENT"].iter().any(|it| name.contains(&format!("_{it}_")));
        if is_option {
            let mask = 1_u64 << value.parse::<u32>().unwrap();
            writeln!(text, "_Static_assert ({name}_BITMASK == {mask}, \"{name}_BITMASK\");")
                .unwrap();
        }
    }
    check("cc", &["-xc", "-std=c11"], &text);
}

/// What is in one of two sets of symbols only.
fn difference(exported: &BTreeSet<String>, known: &BTreeSet<String>) -> String {
    let missing = known.difference(exported).map(|it| format!("missing: {it}\n"));
    let unknown = exported.difference(known).map(|it| format!("not in libguestfs: {it}\n"));
    missing.chain(unknown).collect()
}

#[test]
fn a_missing_symbol_is_found() {
    let set = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect();
    let known = set(&["guestfs_cat", "guestfs_ls"]);
    assert_eq!(difference(&known, &known), "");
    assert_eq!(difference(&set(&["guestfs_ls"]), &known), "missing: guestfs_cat\n");
    assert_eq!(
        difference(&set(&["guestfs_cat", "guestfs_dog"]), &known),
        "missing: guestfs_ls\nnot in libguestfs: guestfs_dog\n"
    );
}

#[test]
fn exports_are_those_of_libguestfs() {
    let output = run(Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=posix"])
        .arg(library().join("libguestfs.so.0")));
    let output = String::from_utf8(output.stdout).unwrap();
    let names = output.lines().filter_map(|line| line.split_whitespace().next());
    let exported: BTreeSet<String> = names.map(str::to_owned).collect();
    let known: BTreeSet<String> = facts("prototypes").iter().map(|fact| fact[0].clone()).collect();
    assert_eq!(difference(&exported, &known), "");
    assert_eq!(exported.len(), 984);
}

/// Compiles the shim, which says what is where, with a header that was tampered with.
#[track_caller]
fn tampered(from: &str, to: &str) -> String {
    let header = header();
    assert!(header.contains(from), "{from}");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("guestfs.h"), header.replacen(from, to, 1)).unwrap();
    let shim = fs::read_to_string(format!("{CRATE}/../../generated/c/shim.c")).unwrap();
    fs::write(directory.path().join("shim.c"), shim).unwrap();
    let output = Command::new("cc")
        .args(["-std=c11", "-fsyntax-only", "shim.c"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(!output.status.success(), "it compiles");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_place_does_not_compile() {
    let from = "  char *pv_fmt;\n  uint64_t pv_size;\n";
    let errors = tampered(from, "  uint64_t pv_size;\n  char *pv_fmt;\n");
    assert!(errors.contains("offset of pv_size in lvm_pv"), "{errors}");
    let errors = tampered("  int64_t blocks;\n", "");
    assert!(errors.contains("size of"), "{errors}");
    let from = "  const char *features;\n  int inode;\n";
    let errors = tampered(from, "  int inode;\n  const char *features;\n");
    assert!(errors.contains("offset of inode in mkfs_opts_argv"), "{errors}");
}

#[test]
fn soname() {
    let output =
        run(Command::new("readelf").arg("--dynamic").arg(library().join("libguestfs.so.0.522.0")));
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("soname: [libguestfs.so.0]"), "{output}");
}
