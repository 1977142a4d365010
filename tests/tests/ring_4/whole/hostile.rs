// SPDX-License-Identifier: LGPL-2.1-or-later
//! Guests that were made to do harm: nothing hangs, nothing is believed, and nothing that is not
//! the guest's is touched.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use guestfs::Handle;
use serde_json::{Value, json};

use crate::support::{
    Running, appliance, fifo, handle, hold_build, refused, target, top, with_ext4, with_scratch,
};

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

/// What cannot be held anywhere is told by its size, or can be stopped.
#[test]
fn a_file_of_eight_exbibytes() {
    let g = Arc::new(with_scratch(512 << 20));
    g.mkfs("xfs", "/dev/sda", &Default::default()).expect("mkfs");
    g.mount("/dev/sda", "/").expect("mount");
    g.touch("/huge").expect("touch");
    g.truncate_size("/huge", i64::MAX).expect("truncate_size");

    assert_eq!(g.filesize("/huge"), Ok(i64::MAX));
    assert_eq!(g.statns("/huge").expect("statns").st_size, i64::MAX);
    assert_eq!(g.du("/huge"), Ok(0));
    assert_eq!(g.is_zero("/huge"), Ok(true));
    assert_eq!(g.strings("/huge").expect("strings"), [""; 0]);
    assert_eq!(g.pread("/huge", 3, i64::MAX - 3), Ok(vec![0; 3]));
    g.cp_a("/huge", "/copy").expect("cp_a");
    assert_eq!(g.equal("/huge", "/copy"), Ok(true));
    assert_eq!(g.du("/"), Ok(0));

    refused(g.read_file("/huge"), "EFBIG read_file: /huge: ");
    refused(g.cat("/huge"), "EFBIG cat: /huge: ");
    refused(g.head("/huge"), "EFBIG head: /huge: a line has more than");
    refused(g.tail("/huge"), "EFBIG tail: /huge: the result has more than");
    let grep = g.grep("x", "/huge", &Default::default());
    refused(grep, "EFBIG grep: /huge: a line has more than");
    refused(g.wc_c("/huge"), "EOVERFLOW wc_c: /huge: ");

    stops(&g, "checksum", |g| g.checksum("crc", "/huge").map(drop));
    stops(&g, "fill", |g| g.fill(0x78, i32::MAX, "/full"));
    let dir = tempfile::tempdir().expect("a directory");
    let sink = fifo(dir.path().join("sink"));
    let pipe = fs::File::options().read(true).write(true).open(&sink).expect("a pipe");
    stops(&g, "download", move |g| g.download("/huge", &sink));
    stops(&g, "base64_out", |g| g.base64_out("/huge", "/dev/null"));
    drop(pipe);
    g.ping_daemon().expect("the handle works");
}

/// The call ends when the user wants it to.
#[track_caller]
fn stops(
    g: &Arc<Handle>,
    name: &str,
    call: impl FnOnce(&Handle) -> guestfs::Result<()> + Send + 'static,
) {
    let has_ended = Arc::new(AtomicBool::new(false));
    let running = {
        let (g, has_ended) = (g.clone(), has_ended.clone());
        Running::start(move || {
            let result = call(&g);
            has_ended.store(true, Ordering::SeqCst);
            result
        })
    };
    // A wish that comes before the call is forgotten, and nothing tells when it has begun.
    while !has_ended.load(Ordering::SeqCst) {
        g.user_cancel().expect("user_cancel");
        thread::sleep(Duration::from_millis(10));
    }
    refused(running.end(), &format!("EINTR {name}: operation cancelled by user"));
}

/// The names on the way down are longer than any path may be, and than memory if there is a copy
/// for each level.
#[test]
fn trees_of_any_depth() {
    const LEVELS: usize = 2000;
    const TIMES: usize = 4;
    let g = handle();
    g.set_memsize(256).expect("set_memsize");
    g.add_drive_scratch(1 << 30, &Default::default()).expect("a disk");
    g.launch().expect("launch");
    g.mkfs("ext2", "/dev/sda", &Default::default()).expect("mkfs");
    g.mount("/dev/sda", "/").expect("mount");
    let down = "/d".repeat(LEVELS - 1);
    g.mkdir_p(format!("/tree{down}")).expect("mkdir_p");
    g.write(format!("/tree{down}/file"), b"content").expect("write");
    assert_eq!(g.cat(format!("/tree{down}/file")).expect("cat"), "content");
    assert_eq!(g.find("/tree").expect("find").len(), LEVELS);
    for _ in 1..TIMES {
        g.mkdir_p(format!("/above{down}")).expect("mkdir_p");
        g.mv("/tree", format!("/above{down}/d")).expect("mv");
        g.mv("/above", "/tree").expect("mv");
    }
    let size = g.du("/tree").expect("du");
    assert!(size >= (LEVELS * TIMES) as i64, "{size}");
    g.cp_a("/tree", "/copy").expect("cp_a");
    assert_eq!(g.du("/copy"), Ok(size));
    g.rm_rf("/tree").expect("rm_rf");
    g.rm_rf("/copy").expect("rm_rf");
    assert_eq!(g.ls("/").expect("ls"), ["lost+found"]);
}

/// Names are bytes: any but a slash and a NUL, and as many as a filesystem takes.
#[test]
fn names_of_any_bytes() {
    let g = with_ext4(64 << 20);
    let names: [&[u8]; 8] =
        [b"latin1-\xe9", b"new\nline", &[0xff; 255], b"-rf", b"*", b" ", b"\\", b"a\x01\x7f"];
    for name in names {
        let path = [b"/".as_slice(), name].concat();
        g.write(&path, b"content").expect("write");
        assert_eq!(g.cat(&path).expect("cat"), "content");
        assert!(g.ls("/").expect("ls").iter().any(|it| it == name));
        assert!(g.find("/").expect("find").iter().any(|it| it == name));
        assert!(g.readdir("/").expect("readdir").iter().any(|it| it.name == name));
        assert_eq!(g.lstatnslist("/", &[name]).expect("lstatnslist")[0].st_size, 7);
        assert_eq!(g.realpath(&path).expect("realpath"), path.as_slice());
        let renamed = [path.as_slice(), b"/../renamed"].concat();
        refused(g.rename(&path, &renamed), "ENOTDIR rename: ");
        g.mv(&path, "/renamed").expect("mv");
        g.cp("/renamed", &path).expect("cp");
        g.rm(&path).expect("rm");
        assert_eq!(g.exists(&path), Ok(false));
    }
}
