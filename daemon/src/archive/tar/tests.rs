// SPDX-License-Identifier: LGPL-2.1-or-later
//! Whole archives on temporary directories: there and back, hostile, and damaged at random.

use std::os::unix::fs::symlink;
use std::path::Path;

use bstr::{BString, ByteSlice};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, chmod, ftruncate,
    linkat, mkfifoat, readlinkat, statat, utimensat,
};

use super::attributes::Wanted;
use super::exclude::Excludes;
use super::header::{BLOCK, Header};
use super::pack::{self, Names};
use super::place::Place;
use super::unpack;
use crate::error::{About, Result};
use crate::path::GuestPath;
use crate::{system, xattr};

const ALL: Wanted = Wanted { xattrs: true, selinux: true, acls: true };

fn packed(directory: &Path, wanted: Wanted, excludes: &[&str]) -> Vec<u8> {
    let options = pack::Options {
        wanted,
        excludes: Excludes::new(excludes.iter().map(|&it| it.into()).collect()),
        users: Names::default(),
        groups: Names::default(),
    };
    let start = system::open(directory, OFlags::RDONLY).unwrap();
    let at = GuestPath::new("path", b"/from").unwrap();
    let mut out = Vec::new();
    pack::pack(start.into(), &at, &options, &mut out).unwrap();
    assert_eq!(out.len() % 10240, 0);
    out
}

fn unpack(directory: &Path, archive: &[u8], options: &unpack::Options) -> Result<()> {
    let top = system::open(directory, OFlags::PATH).about("top")?;
    let at = GuestPath::new("path", b"/to")?;
    unpack::unpack(archive, Place::new(top.into(), at, false), options)
}

/// All that a directory and what is in it are, a line each.
fn described(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo = vec![BString::from(".")];
    while let Some(name) = todo.pop() {
        let path = directory.join(name.to_path().unwrap());
        let stat = statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let kind = FileType::from_raw_mode(stat.st_mode);
        let content = match kind {
            FileType::Directory => {
                for entry in system::names(&path).unwrap() {
                    todo.push([&name, b"/".as_slice(), &entry].concat().into());
                }
                String::new()
            }
            FileType::RegularFile if stat.st_size < 1 << 20 => {
                format!("{:?}", BString::from(system::read(&path).unwrap()))
            }
            FileType::Symlink => format!("{:?}", readlinkat(CWD, &path, Vec::new()).unwrap()),
            _ => format!("{} bytes, {} blocks", stat.st_size, stat.st_blocks),
        };
        lines.push(format!(
            "{name} {kind:?} {:o} {} {}:{} {} {content}",
            stat.st_mode,
            stat.st_nlink * u64::from(kind != FileType::Directory),
            stat.st_uid,
            stat.st_gid,
            stat.st_mtime,
        ));
    }
    lines.sort();
    lines
}

fn set_time(path: impl AsRef<Path>, tv_sec: i64) {
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access, last_modification: Timespec { tv_sec, tv_nsec: 0 } };
    utimensat(CWD, path.as_ref(), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree with one of everything that anybody can make.
fn tree(top: &Path) {
    system::make_directories(top.join("sub/deep/empty"));
    let write = |name: &str, content: &[u8]| system::write(top.join(name), content).unwrap();
    write("empty", b"");
    write("file", b"hello\n");
    write("sub/block", &[b'x'; BLOCK]);
    write("sub/deep/more", &[b'y'; 3 * BLOCK + 7]);
    write(&"n".repeat(100), b"fits");
    write(&"n".repeat(101), b"does not fit");
    system::make_directories(top.join("d".repeat(200)).join("e".repeat(200)));
    write(&format!("{}/{}/f", "d".repeat(200), "e".repeat(200)), b"f");
    system::write(top.join(b"\xff\n\xc3\xa9".to_path().unwrap()), b"bytes").unwrap();
    symlink("file", top.join("link")).unwrap();
    symlink("/nowhere/".repeat(50), top.join("long-link")).unwrap();
    linkat(CWD, top.join("file"), CWD, top.join("sub/hard"), AtFlags::empty()).unwrap();
    linkat(CWD, top.join("file"), CWD, top.join("hard"), AtFlags::empty()).unwrap();
    mkfifoat(CWD, top.join("fifo"), Mode::from_raw_mode(0o640)).unwrap();
    write("sparse", b"");
    ftruncate(system::open(top.join("sparse"), OFlags::WRONLY).unwrap(), 5 << 20).unwrap();
    chmod(top.join("empty"), Mode::from_raw_mode(0o4711)).unwrap();
    set_time(top.join("empty"), -86_400);
    set_time(top.join("link"), 1 << 33);
    set_time(top.join("sub/deep/empty"), 1_000_000_000);
    // Nobody can put anything there after it has this mode.
    chmod(top.join("sub/deep"), Mode::from_raw_mode(0o1555)).unwrap();
    set_time(top.join("sub/deep"), 5);
    set_time(top.join("sub"), 6);
    set_time(top, 7);
}

#[test]
fn there_and_back() {
    let from = tempfile::tempdir().unwrap();
    tree(from.path());
    let expected = described(from.path());
    for wanted in [Wanted::default(), ALL] {
        let archive = packed(from.path(), wanted, &[]);
        let to = tempfile::tempdir().unwrap();
        let options = unpack::Options { wanted, ..Default::default() };
        // The second time everything is there already.
        for _ in 0..2 {
            unpack(to.path(), &archive, &options).unwrap();
            assert_eq!(described(to.path()), expected);
        }
        chmod(to.path().join("sub/deep"), Mode::RWXU).unwrap();
    }
    chmod(from.path().join("sub/deep"), Mode::RWXU).unwrap();
}

#[test]
fn times_are_whole_without_attributes() {
    let from = tempfile::tempdir().unwrap();
    system::write(from.path().join("file"), b"").unwrap();
    let tv_nsec = 123_456_789;
    let time = Timespec { tv_sec: 1, tv_nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, from.path().join("file"), &times, AtFlags::empty()).unwrap();
    for (wanted, expected) in [(Wanted::default(), 0), (ALL, tv_nsec)] {
        let to = tempfile::tempdir().unwrap();
        let archive = packed(from.path(), wanted, &[]);
        unpack(to.path(), &archive, &unpack::Options::default()).unwrap();
        let stat = statat(CWD, to.path().join("file"), AtFlags::empty()).unwrap();
        assert_eq!((stat.st_mtime, stat.st_mtime_nsec as i64), (1, expected));
    }
}

#[test]
fn attributes() {
    let from = tempfile::tempdir().unwrap();
    let file = from.path().join("file");
    system::write(&file, b"x").unwrap();
    if xattr::set(&file, b"user.a=b", b"\n\0").is_err() {
        // A filesystem without attributes.
        return;
    }
    let archive = packed(from.path(), ALL, &[]);
    for (wanted, expected) in [(Wanted::default(), None), (ALL, Some(b"\n\0".to_vec()))] {
        let to = tempfile::tempdir().unwrap();
        unpack(to.path(), &archive, &unpack::Options { wanted, ..Default::default() }).unwrap();
        let got = xattr::get_if_any(&to.path().join("file"), b"user.a=b").unwrap();
        assert_eq!(got, expected);
    }
}

#[test]
fn excludes() {
    let from = tempfile::tempdir().unwrap();
    system::make_directories(from.path().join("a/b"));
    system::make_directories(from.path().join("c"));
    system::write(from.path().join("a/b/x.o"), b"").unwrap();
    system::write(from.path().join("c/y.o"), b"").unwrap();
    #[track_caller]
    fn check(from: &Path, excludes: &[&str], expected: &str) {
        let to = tempfile::tempdir().unwrap();
        unpack(to.path(), &packed(from, Wanted::default(), excludes), &Default::default()).unwrap();
        let lines = described(to.path());
        let names: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names.join(" "), expected);
    }
    check(from.path(), &[], ". ./a ./a/b ./a/b/x.o ./c ./c/y.o");
    check(from.path(), &["*.o"], ". ./a ./a/b ./c");
    check(from.path(), &["b", "./c/*"], ". ./a ./c");
    check(from.path(), &["*"], ".");
}

/// A member of a hostile archive.
fn member(typeflag: u8, name: &str, link: &str, content: &str) -> Vec<u8> {
    let stat = rustix::process::getuid();
    let header = Header {
        typeflag,
        name: name.into(),
        link: link.into(),
        size: content.len() as u64,
        mode: 0o700,
        uid: stat.as_raw().into(),
        gid: rustix::process::getgid().as_raw().into(),
        ..Header::default()
    };
    let mut member = header.encode().to_vec();
    member.extend_from_slice(content.as_bytes());
    member.resize(member.len().next_multiple_of(BLOCK), 0);
    member
}

fn file(name: &str) -> Vec<u8> {
    member(b'0', name, "", "new")
}

fn link(name: &str, target: &str) -> Vec<u8> {
    member(b'2', name, target, "")
}

fn hard(name: &str, target: &str) -> Vec<u8> {
    member(b'1', name, target, "")
}

fn directory(name: &str) -> Vec<u8> {
    member(b'5', name, "", "")
}

/// Unpacks beside a file that must stay as it is, and shows what there is in the end.
#[track_caller]
fn check(members: &[Vec<u8>], expected: &str) {
    check_with(members, &unpack::Options::default(), expected);
}

#[track_caller]
fn check_with(members: &[Vec<u8>], options: &unpack::Options, expected: &str) {
    let outer = tempfile::tempdir().unwrap();
    system::write(outer.path().join("secret"), b"secret").unwrap();
    let to = outer.path().join("to");
    system::make_directories(to.join("old/full"));
    system::make_directories(to.join("hollow"));
    symlink("old", to.join("inside")).unwrap();
    symlink("..", to.join("outside")).unwrap();
    system::write(to.join("there"), b"old").unwrap();
    mkfifoat(CWD, to.join("pipe"), Mode::RUSR).unwrap();
    let before = described(&to);
    let result = unpack(&to, &members.concat(), options);
    // The times of directories that were there change with anything in them.
    let is_old = |line: &String| {
        let directory =
            |line: &str| line.split_once(" Directory ").map(|(name, _)| name.to_owned());
        before.contains(line)
            || before.iter().any(|it| directory(it).is_some_and(|it| directory(line) == Some(it)))
    };
    let mut got: Vec<_> = described(&to)
        .into_iter()
        .filter(|line| !is_old(line))
        .map(|line| {
            let fields: Vec<_> = line.splitn(7, ' ').collect();
            format!("{} {} {}", &fields[0], fields[1], fields[6]).trim().to_owned()
        })
        .collect();
    if let Err(err) = result {
        got.push(format!("error: {err}"));
    }
    assert_eq!(got.join("; "), expected);
    assert_eq!(system::names(outer.path()).unwrap(), ["secret", "to"]);
    assert_eq!(system::read(outer.path().join("secret")).unwrap().as_bstr(), "secret");
}

#[test]
fn what_is_there_is_replaced() {
    let new = "RegularFile \"new\"";
    check(&[file("there")], &format!("./there {new}"));
    check(&[file("pipe")], &format!("./pipe {new}"));
    check(&[file("inside")], &format!("./inside {new}"));
    check(&[file("hollow")], &format!("./hollow {new}"));
    check(&[file("old")], "error: /to/old: Directory not empty");
    check(&[directory("there")], "./there Directory");
    check(
        &[directory("inside"), file("inside/x")],
        &format!("./inside Directory; ./inside/x {new}"),
    );
    check(&[link("there", "x")], "./there Symlink \"x\"");
    check(&[file("a"), hard("there", "a")], &format!("./a {new}; ./there {new}"));
    check(&[hard("there", "there")], "");
    check(
        &[hard("there", "missing")],
        "error: /to/there: link to missing: No such file or directory",
    );
    check(&[file("a"), file("./a")], &format!("./a {new}"));
    check(&[file("inside/x")], &format!("./old/x {new}"));
    check(
        &[file("deep/er/x")],
        &format!("./deep Directory; ./deep/er Directory; ./deep/er/x {new}"),
    );
    check(&[file("/to/x"), file("//y")], &format!("./to Directory; ./to/x {new}; ./y {new}"));
}

#[test]
fn links_to_directories_may_be_kept() {
    let keep = unpack::Options { keep_links: true, ..Default::default() };
    let new = "RegularFile \"new\"";
    check_with(&[directory("inside"), file("inside/x")], &keep, &format!("./old/x {new}"));
    let refusal = "a link on the way leads out of the directory";
    check_with(
        &[directory("outside"), file("outside/secret")],
        &keep,
        &format!("error: /to/outside: {refusal}"),
    );
    check_with(&[link("l", "missing"), directory("l")], &keep, "./l Directory");
    check_with(&[directory("there")], &keep, "./there Directory");
}

#[test]
fn nothing_is_made_outside() {
    let refusal = "a link on the way leads out of the directory";
    let new = "RegularFile \"new\"";
    check(&[file("../secret")], "error: ../secret: a name with .. in it");
    check(&[file("a/../../secret")], "error: a/../../secret: a name with .. in it");
    check(&[file("outside/secret")], &format!("error: /to/outside/secret: {refusal}"));
    // One that cannot be made does not stop the others.
    check(&[file("../x"), file("y")], &format!("./y {new}; error: ../x: a name with .. in it"));
    check(
        &[link("l", ".."), file("l/secret")],
        &format!("./l Symlink \"..\"; error: /to/l/secret: {refusal}"),
    );
    check(
        &[link("l", "/"), directory("l/x")],
        &format!("./l Symlink \"/\"; error: /to/l/x: {refusal}"),
    );
    check(&[link("l", "../secret"), file("l")], &format!("./l {new}"));
    check(&[link("l", "../secret"), hard("l", "l")], "./l Symlink \"../secret\"");
    check(&[hard("h", "../secret")], "error: h: link to ../secret: a name with .. in it");
    check(
        &[link("l", ".."), hard("h", "l/secret")],
        "./l Symlink \"..\"; error: h: link to l/secret: it is in another filesystem, or out of the \
         directory",
    );
    check(&[hard("h", ".")], "error: h: link to .: not a file");
    // What has been opened is not what has the name later.
    check(
        &[file("a/x"), link("a", "..")],
        &format!("./a Directory; ./a/x {new}; error: /to/a: Directory not empty"),
    );
    check(
        &[link("l", "old"), file("l/x"), link("l", "hollow"), file("l/x")],
        &format!("./hollow/x {new}; ./l Symlink \"hollow\"; ./old/x {new}"),
    );
    // The attributes of directories come late.
    check(&[directory("d"), link("d", "old")], "./d Symlink \"old\"");
    check(&[directory("d"), link("d", "../secret")], "./d Symlink \"../secret\"");
    check(
        &[file(".")],
        "error: /to: a member that is no directory has the name of the directory itself",
    );
}

#[test]
fn owners_that_cannot_be() {
    let header = Header { name: "x".into(), uid: 1 << 32, ..Header::default() };
    check(
        &[header.encode().to_vec()],
        "./x RegularFile \"\"; error: /to/x: no file can belong to 4294967296:0",
    );
}

/// Archives damaged at random, with and without a checksum that is right again: no panic, and
/// nothing outside.
#[test]
fn damaged_archives() {
    let from = tempfile::tempdir().unwrap();
    tree(from.path());
    chmod(from.path().join("sub/deep"), Mode::RWXU).unwrap();
    let mut members =
        vec![link("l", ".."), link("m", "/"), file("l/secret"), hard("m/x", "l/secret")];
    members.push(packed(from.path(), Wanted::default(), &["*nn", "d*"]));
    let archives = [members.concat(), packed(from.path(), ALL, &["*nn"])];
    let mut state = 1_u64;
    let mut random = |below: usize| {
        // Knuth's MMIX.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..300 {
        let mut archive = archives[round % 2].clone();
        let used = archive.rchunks(BLOCK).skip_while(|it| it.iter().all(|&byte| byte == 0)).count();
        for _ in 0..=random(4) {
            let block = random(used) * BLOCK;
            let at = block + random(BLOCK);
            archive[at] = [0, b'/', b'.', b'9', 0xff, b'S', b'1', b'\n'][random(8)];
            if round % 3 > 0 {
                archive[block + 148..block + 156].fill(b' ');
                let sum: u32 = archive[block..block + BLOCK].iter().map(|&it| u32::from(it)).sum();
                archive[block + 148..block + 154].copy_from_slice(format!("{sum:06o}").as_bytes());
                archive[block + 154] = 0;
            }
        }
        let outer = tempfile::tempdir().unwrap();
        system::write(outer.path().join("secret"), b"secret").unwrap();
        let to = outer.path().join("to");
        system::make_directories(&to);
        let before = statat(CWD, outer.path().join("secret"), AtFlags::empty()).unwrap();
        let wanted = if round % 4 == 0 { ALL } else { Wanted::default() };
        let options = unpack::Options { wanted, keep_links: true, ..Default::default() };
        // Some damage shows, some does not.
        let _ = unpack(&to, &archive, &options);
        assert_eq!(system::names(outer.path()).unwrap(), ["secret", "to"]);
        let after = statat(CWD, outer.path().join("secret"), AtFlags::empty()).unwrap();
        assert_eq!(
            (after.st_nlink, after.st_mtime, after.st_mode),
            (1, before.st_mtime, before.st_mode)
        );
        // Somebody else than root could not remove it.
        make_writable(&to);
    }
}

fn make_writable(directory: &Path) {
    chmod(directory, Mode::RWXU).unwrap();
    for name in system::names(directory).unwrap() {
        let path = directory.join(name.to_path().unwrap());
        let stat = statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            make_writable(&path);
        }
    }
}
