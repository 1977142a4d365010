// SPDX-License-Identifier: LGPL-2.1-or-later
//! The Python module, installed from its wheel, as programs and type checkers see it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{appliance, hold_build, run, target, tool, top};

fn scripts() -> PathBuf {
    top().join("tests/tests/ring_4/whole/python")
}

fn wheel() -> PathBuf {
    let entries = fs::read_dir(target().join("wheels")).expect("`make python` was run");
    let mut wheels = entries.map(|it| it.expect("an entry").path());
    wheels.find(|it| it.extension().is_some_and(|it| it == "whl")).expect("a wheel")
}

/// An interpreter that has the wheel and nothing else.
fn installed(directory: &Path) -> PathBuf {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    run(tool(python).args(["-m", "venv"]).arg(directory));
    let python = directory.join("bin/python");
    run(Command::new(&python)
        // No compiler is there to be found.
        .env("PATH", directory.join("bin"))
        .args(["-m", "pip", "install", "--quiet", "--no-index", "--no-deps"])
        .arg("--disable-pip-version-check")
        .arg(wheel()));
    python
}

#[test]
fn a_session() {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let python = installed(&dir.path().join("venv"));
    let work = dir.path().join("work");
    fs::create_dir(&work).expect("a directory");
    let printed = run(Command::new(python)
        .args(["-I", "-W", "error", "-m", "unittest", "discover", "--quiet", "-p", "session.py"])
        .arg("-s")
        .arg(scripts())
        .env("LIBGUESTFS_PATH", appliance())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(work));
    assert_eq!(printed, "");
}

#[test]
fn signals_threads_and_the_end() {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let python = installed(&dir.path().join("venv"));
    let work = dir.path().join("work");
    fs::create_dir(&work).expect("a directory");
    run(Command::new(python)
        .args(["-I", "-W", "error", "-m", "unittest", "discover", "--quiet", "-p", "signals.py"])
        .arg("-s")
        .arg(scripts())
        .env("LIBGUESTFS_PATH", appliance())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(work));
}

/// Debian's interpreter: with its extension on our library, or with our module.
fn of_debian(ours: bool, script: &Path, current: &Path) -> String {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).current_dir(current);
    command.env("LIBGUESTFS_PATH", appliance()).env("PYTHONDONTWRITEBYTECODE", "1");
    match ours {
        true => command.env("PYTHONPATH", target().join("python")),
        false => command
            .env("PYTHONPATH", top().join("bindings/python/tests"))
            .env("LD_LIBRARY_PATH", target().join("c"))
            .env("LD_BIND_NOW", "1"),
    };
    run(&mut command)
}

#[test]
fn the_module_of_debian_tells_the_same() {
    let _held = hold_build();
    let script = scripts().join("compatible.py");
    let told = [true, false].map(|ours| {
        let dir = tempfile::tempdir().expect("a directory");
        let here = dir.path().canonicalize().expect("a path").display().to_string();
        of_debian(ours, &script, dir.path()).replace(&here, "HERE")
    });
    assert_eq!(told[0], told[1]);
    assert!(told[0].contains("closed again raises"), "{}", told[0]);
}

#[test]
fn bind_test_with_the_module_of_debian() {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let printed = of_debian(false, &scripts().join("bind_test_of_debian.py"), dir.path());
    assert!(printed.ends_with(" cases\n") && !printed.starts_with("0 "), "{printed}");
}

/// One wheel for all interpreters, which needs neither a compiler nor another library.
#[test]
fn the_wheel() {
    let _held = hold_build();
    let wheel = wheel();
    let name = wheel.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.contains("-cp39-abi3-linux_"), "{name}");
    let dir = tempfile::tempdir().expect("a directory");
    let python = installed(&dir.path().join("venv"));
    let appliance = fs::canonicalize(appliance()).expect("an appliance");
    // Beside the library directory of Python is where the module looks by itself.
    let beside = dir.path().join("venv/lib/guestfs");
    std::os::unix::fs::symlink(appliance, beside).expect("a link");
    let script = "import guestfs\n\
                  with guestfs.GuestFS() as g:\n    \
                      g.add_drive_scratch(1 << 20)\n    \
                      g.launch()\n    \
                      print(g.list_devices(), guestfs.__file__)\n";
    let printed = run(Command::new(&python)
        .args(["-I", "-c", script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", dir.path())
        .current_dir(dir.path()));
    let file = printed.trim_end().strip_prefix("['/dev/sda'] ").expect(&printed);
    let needed = run(Command::new("ldd").arg(Path::new(file).with_file_name("guestfs.abi3.so")));
    assert!(!needed.contains("libguestfs") && !needed.contains("libpython"), "{needed}");
}

#[test]
fn types() {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let mypy = |script: &str| {
        let mut command = Command::new(target().join("python-tools/bin/mypy"));
        command.args(["--strict", "--no-error-summary", "--cache-dir"]).arg(dir.path());
        command.arg(scripts().join(script)).env("MYPYPATH", target().join("python"));
        command
    };
    assert_eq!(run(&mut mypy("typed.py")), "");
    let output = mypy("mistyped.py").output().expect("mypy");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let source = fs::read_to_string(scripts().join("mistyped.py")).expect("mistyped.py");
    // Each line that says so is an error, and no other is.
    let expected = source.lines().enumerate().filter(|(_, line)| line.ends_with("# wrong"));
    let expected: Vec<_> = expected.map(|(at, _)| (at + 1).to_string()).collect();
    let errors = printed.lines().filter(|it| it.contains(": error: "));
    let mut got: Vec<_> = errors.filter_map(|it| it.split(':').nth(1)).collect();
    got.dedup();
    assert_eq!(got, expected, "{printed}");
}
