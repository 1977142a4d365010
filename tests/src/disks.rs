// SPDX-License-Identifier: LGPL-2.1-or-later
//! The disk with the known tree, made by e2fsprogs: a program that knows nothing of this project;
//! and where images are kept.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use guestfs::Handle;

/// Where the partition starts: sector 2048.
const OFFSET: u64 = 1 << 20;
const SIZE: u64 = 128 << 20;

/// Files of a journal; the tree has them in a directory that is named after the machine.
const JOURNALS: [&str; 2] = ["system.journal", "user-1000.journal"];
const MACHINE: &str = "/known/journal/00112233445566778899aabbccddeeff";

/// Makes the handle use the appliance that `make appliance` built, unless told otherwise.
pub(crate) fn use_built_appliance(g: &Handle) {
    if std::env::var_os("LIBGUESTFS_PATH").is_none() {
        let path = target().join("appliance");
        g.set_path(Some(path.to_str().expect("text").as_bytes())).expect("set_path");
    }
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

/// The disk with the known tree.
pub(crate) fn ext4() -> PathBuf {
    let directory = images();
    let script = script(&directory);
    kept("ext4", &script, |image| make(&directory, image, &script))
}

/// Where images are kept between runs.
fn images() -> PathBuf {
    let directory = target().join("test-images");
    fs::create_dir_all(&directory).expect("test-images");
    directory.canonicalize().expect("test-images")
}

/// The image of that name.  The first test that wants it makes it, and so does the first one
/// after its recipe was changed.
pub(crate) fn kept(name: &str, recipe: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let directory = images();
    let image = directory.join(name).with_extension("img");
    let lock = File::create(directory.join("lock")).expect("lock");
    lock.lock().expect("lock");
    let kept = image.with_extension("recipe");
    if !image.exists() || fs::read_to_string(&kept).ok().as_deref() != Some(recipe) {
        let new = image.with_extension("new");
        make(&new);
        fs::rename(new, &image).expect("image");
        fs::write(kept, recipe).expect("recipe");
    }
    image
}

fn make(directory: &Path, image: &Path, script: &str) {
    for (name, content) in contents() {
        fs::write(directory.join(name), content).expect("content");
    }
    let huge = File::create(directory.join("huge")).expect("huge");
    huge.set_len(8 << 20).expect("huge");
    for name in JOURNALS {
        let packed = format!("{}/fixtures/journal/{name}.zst", env!("CARGO_MANIFEST_DIR"));
        run(Command::new("zstd")
            .args(["-dqf", "--sparse", &packed, "-o"])
            .arg(directory.join(name)));
    }
    let partition = directory.join("partition");
    File::create(&partition).and_then(|it| it.set_len(SIZE - OFFSET)).expect("partition");
    run(Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-L", "ROOT", "-E", "root_owner=0:0"])
        .args(["-U", "01234567-0123-0123-0123-0123456789ab"])
        .arg(&partition));
    let commands = directory.join("commands");
    fs::write(&commands, latin1(script)).expect("commands");
    run(Command::new("debugfs").args(["-w", "-f"]).args([&commands, &partition]));
    let mut disk = File::create(image).expect("image");
    disk.write_all(&mbr()).expect("image");
    disk.seek(SeekFrom::Start(OFFSET)).expect("image");
    copy_sparse(&mut File::open(&partition).expect("partition"), &mut disk);
    disk.set_len(SIZE).expect("image");
    fs::remove_file(partition).expect("partition");
}

fn copy_sparse(from: &mut File, to: &mut File) {
    let mut block = vec![0; 1 << 16];
    loop {
        let n = from.read(&mut block).expect("read");
        match block[..n].iter().any(|byte| *byte != 0) {
            _ if n == 0 => break,
            true => to.write_all(&block[..n]).expect("write"),
            false => to.seek_relative(n as i64).expect("seek"),
        }
    }
}

/// One partition of type 0x83 from sector 2048 to the end.
fn mbr() -> [u8; 512] {
    let mut sector = [0; 512];
    let entry = &mut sector[446..462];
    entry[4] = 0x83;
    entry[8..12].copy_from_slice(&((OFFSET / 512) as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&(((SIZE - OFFSET) / 512) as u32).to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Content of the files of the tree, by the name of the host's copy.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let random = (0..65536_usize).map(|i| ((i * 7 + i / 256) % 256) as u8).collect();
    let os_release =
        "PRETTY_NAME=\"Known Guest 1\"\nNAME=\"Known Guest\"\nID=known\nVERSION_ID=\"1\"\n";
    vec![
        ("abc", b"abc\n".to_vec()),
        ("empty", Vec::new()),
        ("nul", b"a\0b".to_vec()),
        ("lines", b"one\ntwo\nthree\n".to_vec()),
        ("crlf", b"one\r\ntwo\r\n".to_vec()),
        ("random", random),
        ("deep", b"deep\n".to_vec()),
        ("x", b"x".to_vec()),
        ("secret", b"secret\n".to_vec()),
        ("hostname", b"guest\n".to_vec()),
        ("os-release", os_release.as_bytes().to_vec()),
        (
            "passwd",
            b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n".to_vec(),
        ),
    ]
}

/// Commands for debugfs.  `\u{e9}` alone stands for the byte E9: see `latin1`.
fn script(directory: &Path) -> String {
    let mut out = String::new();
    let mut say = |line: String| writeln!(out, "{line}").expect("text");
    for name in [
        "/known",
        "/known/dir",
        "/known/dir/sub",
        "/known/many",
        "/known/journal",
        MACHINE,
        "/etc",
        "/bin",
        "/proc",
        "/sys",
        "/dev",
        "/tmp",
        "/run",
    ] {
        say(format!("mkdir {name}"));
        say(format!("sif {name} mode 040755"));
    }
    let mut file = |name: &str, from: &Path, mode: &str| {
        say(format!("write {} {name}", from.display()));
        say(format!("sif {name} mode 0100{mode}"));
        say(format!("sif {name} uid 0"));
        say(format!("sif {name} gid 0"));
    };
    for (name, from, mode) in [
        ("/known/abc", "abc", "644"),
        ("/known/empty", "empty", "644"),
        ("/known/nul", "nul", "644"),
        ("/known/lines", "lines", "644"),
        ("/known/crlf", "crlf", "644"),
        ("/known/random", "random", "644"),
        ("/known/huge", "huge", "644"),
        ("/known/dir/a", "empty", "644"),
        ("/known/dir/b", "empty", "644"),
        ("/known/dir/c", "empty", "644"),
        ("/known/dir/sub/deep", "deep", "644"),
        ("/known/utf8-\u{c3}\u{a9}", "x", "644"),
        ("/known/latin1-\u{e9}", "x", "644"),
        ("/known/noread", "secret", "000"),
        ("/etc/hostname", "hostname", "644"),
        ("/etc/os-release", "os-release", "644"),
        ("/etc/passwd", "passwd", "644"),
    ] {
        file(name, &directory.join(from), mode);
    }
    for name in JOURNALS {
        file(&format!("{MACHINE}/{name}"), &directory.join(name), "640");
    }
    file("/known/setuid", &directory.join("empty"), "644");
    for number in 0..1000 {
        file(&format!("/known/many/{number:04}"), &directory.join("empty"), "644");
    }
    file("/bin/busybox", Path::new("/bin/busybox"), "755");
    say("sif /known/setuid mode 0104755".to_owned());
    say("ln /known/abc /known/hard".to_owned());
    say("sif /known/abc links_count 2".to_owned());
    for (link, target) in [
        ("/known/link", "abc"),
        ("/known/dangling", "missing"),
        ("/known/loop", "loop"),
        ("/known/abslink", "/known/abc"),
        ("/known/escape", "../../../../../../etc/hostname"),
        ("/bin/sh", "busybox"),
        ("/bin/ls", "busybox"),
        ("/bin/cat", "busybox"),
        ("/bin/echo", "busybox"),
        ("/bin/false", "busybox"),
        ("/bin/true", "busybox"),
    ] {
        say(format!("symlink {link} {target}"));
    }
    say("cd /known".to_owned());
    say("mknod fifo p".to_owned());
    say("mknod chardev c 1 3".to_owned());
    say("mknod blockdev b 7 0".to_owned());
    // debugfs makes no sockets: a named pipe becomes one.
    say("mknod socket p".to_owned());
    say("sif socket mode 0140644".to_owned());
    for name in ["fifo", "chardev", "blockdev"] {
        let kind = match name {
            "fifo" => "010",
            "chardev" => "020",
            _ => "060",
        };
        say(format!("sif {name} mode {kind}644"));
    }
    out
}

/// The script in bytes: each character up to U+00FF is the byte of that number.
fn latin1(script: &str) -> Vec<u8> {
    script.chars().map(|c| u8::try_from(u32::from(c)).expect("latin-1")).collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|err| panic!("{command:?}: {err}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
