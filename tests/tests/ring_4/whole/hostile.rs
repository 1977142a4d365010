// SPDX-License-Identifier: LGPL-2.1-or-later
//! Guests that were made to do harm: nothing hangs, nothing is believed, and nothing that is not
//! the guest's is touched.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{appliance, hold_build, target, top};

/// Name and arguments of every public function that has a body, as `api.yaml` says.
fn functions() -> Value {
    let text = fs::read_to_string(top().join("api.yaml")).expect("api.yaml");
    let api: Value = serde_yaml::from_str(&text).expect("a description");
    let functions = api["functions"].as_array().expect("functions").iter();
    let public = functions.filter(|it| it.get("visibility").is_none());
    let done = public.filter(|it| it["implemented"] != json!(false));
    let plain = |it: &Value| {
        let args = it["args"].as_array().cloned().unwrap_or_default();
        let args: Vec<_> =
            args.iter().map(|it| json!({ "name": it["name"], "type": it["type"] })).collect();
        json!({ "name": it["name"], "args": args })
    };
    done.map(plain).collect()
}

#[test]
fn any_function_on_any_file() {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let mut python = Command::new("/usr/bin/python3")
        .args(["-W", "ignore::DeprecationWarning"])
        .arg(top().join("tests/tests/ring_4/whole/python/any_file.py"))
        .current_dir(dir.path())
        .env("PYTHONPATH", target().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LIBGUESTFS_PATH", appliance())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut input = python.stdin.take().expect("a pipe");
    input.write_all(functions().to_string().as_bytes()).expect("the functions are sent");
    drop(input);
    let output = python.wait_with_output().expect("python3");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.is_empty(), "{printed}{}", output.status);
}
