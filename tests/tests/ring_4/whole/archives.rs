// SPDX-License-Identifier: LGPL-2.1-or-later
//! Archives between the guest and GNU tar of the host: what one makes the other unpacks, with
//! everything that a file can have.
//!
//! Only root can unpack all of it on the host, so that others see less of this.

use std::fs;
use std::path::Path;

use bstr::{BString, ByteSlice as _};
use guestfs::{Handle, TarInOptions, TarOutOptions};

use crate::support::{run, tool, with_ext4};

const SIZE: i64 = 1 << 30;

/// Of the sparse file.
const HOLES: i64 = 3 << 30;

const MODE: u32 = 0o7777;
const FILE: u32 = 0o10;
const LINK: u32 = 0o12;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What any tar can keep.
fn plain(g: &Handle, top: &str) {
    let at = |name: &str| format!("{top}/{name}");
    g.mkdir_p(at("dir/empty")).expect("mkdir_p");
    g.write(at("file"), b"content\n").expect("write");
    g.write(at("none"), b"").expect("write");
    g.write(at("dir/block"), &[b'b'; 512]).expect("write");
    g.write(at("dir/large"), &(0..700_000).map(|it| (it % 251) as u8).collect::<Vec<_>>())
        .expect("write");
    g.ln(at("file"), at("dir/hard")).expect("ln");
    g.ln_s("../nowhere", at("link")).expect("ln_s");
    g.ln_s("/absolute", at("dir/absolute")).expect("ln_s");
    g.ln(at("link"), at("hard-link")).expect("ln");
    g.chown(1000, 1001, at("none")).expect("chown");
    g.chmod(0o4750, at("none")).expect("chmod");
    g.lchown(12, 34, at("link")).expect("lchown");
    g.chmod(0o2555, at("dir")).expect("chmod");
    for name in ["file", "none", "dir/block", "dir/empty", "dir", ""] {
        g.utimens(at(name), 1, 0, 1_000_000_007, 0).expect("utimens");
    }
}

/// What not all of them can.
fn rich(g: &Handle, top: &str) {
    let at = |name: &str| format!("{top}/{name}");
    plain(g, &at("plain"));
    let [hundred, long] = [100, 250].map(|length| "n".repeat(length));
    g.mkdir_p(at(&format!("{long}/{long}"))).expect("mkdir_p");
    for name in [hundred.clone(), format!("{long}/{hundred}"), format!("{long}/{long}/{long}")] {
        g.write(at(&name), name.as_bytes()).expect("write");
    }
    g.ln(at(&hundred), at(&format!("{long}/hard"))).expect("ln");
    g.ln(at(&format!("{long}/{long}/{long}")), at("hard")).expect("ln");
    g.ln_s("t".repeat(1000), at("long-link")).expect("ln_s");
    let bytes = [top.as_bytes(), b"/\xff\n\t\\ \xc3\xa9 \"*"].concat();
    g.write(bytes, b"any bytes").expect("write");
    g.mkfifo(0o640, at("fifo")).expect("mkfifo");
    g.mknod_c(0o620, 4, 300, at("char")).expect("mknod_c");
    g.mknod_b(0o660, 259, 1_000_000, at("block")).expect("mknod_b");
    g.write(at("large-owner"), b"x").expect("write");
    g.chown(3_000_000, 2_100_000_000, at("large-owner")).expect("chown");
    g.write(at("old"), b"x").expect("write");
    g.utimens(at("old"), 0, 0, -86_400, 0).expect("utimens");
    g.write(at("future"), b"x").expect("write");
    g.utimens(at("future"), 0, 0, 1 << 33, 0).expect("utimens");
}

fn sparse(g: &Handle, top: &str) {
    let at = |name: &str| format!("{top}/{name}");
    g.mkdir_p(top).expect("mkdir_p");
    g.write(at("holes"), b"").expect("write");
    g.truncate_size(at("holes"), HOLES).expect("truncate_size");
    // More parts than fit into a header of old.
    for part in 1..40 {
        g.pwrite(at("holes"), b"part", part << 26).expect("pwrite");
    }
    g.write(at("hole"), b"").expect("write");
    g.truncate_size(at("hole"), 1 << 22).expect("truncate_size");
    g.write(at("end"), b"").expect("write");
    g.pwrite(at("end"), b"end", 1 << 22).expect("pwrite");
    g.write(at("behind"), b"no holes").expect("write");
}

fn attributes(g: &Handle, top: &str) {
    let at = |name: &str| format!("{top}/{name}");
    g.mkdir_p(at("dir")).expect("mkdir_p");
    g.write(at("file"), b"x").expect("write");
    g.ln_s("file", at("link")).expect("ln_s");
    g.chown(5, 6, at("file")).expect("chown");
    let long = "v".repeat(2000);
    for (name, value, path) in [
        ("user.one", "1", "file"),
        ("user.a=b%c", "=\n%", "file"),
        ("user.long", &long, "dir"),
        ("trusted.t", "", "file"),
        ("trusted.l", "of the link", "link"),
        ("security.selinux", "system_u:object_r:etc_t:s0", "file"),
        ("security.selinux", "system_u:object_r:lib_t:s0", "link"),
    ] {
        let length = i32::try_from(value.len()).expect("a length");
        g.lsetxattr(name, value, length, at(path)).expect("lsetxattr");
    }
    g.cap_set_file(at("file"), "cap_net_raw,cap_chown=ep").expect("cap_set_file");
    // GNU tar prefers names, and the guest does not know those of the host.
    let acl = "user::rwx,user:61234:r,user:4000000:rwx,group::r,group:61235:-,mask::rwx,other::-";
    g.acl_set_file(at("file"), "access", acl).expect("acl_set_file");
    g.acl_set_file(at("dir"), "default", acl).expect("acl_set_file");
    g.write(at("dir/inherits"), b"x").expect("write");
    g.write(at("dir/has-none"), b"x").expect("write");
    g.acl_set_file(at("dir/has-none"), "access", "u::rw,g::-,o::r").expect("acl_set_file");
    g.utimens(at("file"), 0, 0, 1_000_000_000, 123_456_789).expect("utimens");
    g.utimens(at("dir"), 0, 0, -5, 250_000_000).expect("utimens");
}

/// All that a tree is, a line for each file.  Archives without attributes have whole seconds.
fn described(g: &Handle, top: &str, with_nanos: bool) -> Vec<String> {
    let mut names = g.find(top).expect("find");
    names.push("".into());
    let describe = |name: BString| {
        let path = [top.as_bytes(), b"/", &name].concat();
        let path = path.strip_suffix(b"/").unwrap_or(&path);
        let stat = g.lstatns(path).expect("lstatns");
        let kind = (stat.st_mode as u32) >> 12;
        let content = match kind {
            FILE if stat.st_size < 1 << 20 => g.checksum("md5", path).expect("checksum"),
            LINK => g.readlink(path).expect("readlink"),
            _ => BString::default(),
        };
        let has_holes = stat.st_blocks * 512 < stat.st_size;
        // A directory's own size is its filesystem's business.
        let (size, links) = if kind == 4 { (0, 0) } else { (stat.st_size, stat.st_nlink) };
        let mut attributes = g.lgetxattrs(path).expect("lgetxattrs");
        for attribute in &mut attributes {
            if attribute.attrname == "security.selinux" {
                // Its end is written or not.
                attribute.attrval.retain(|&byte| byte != 0);
            }
        }
        let attributes: Vec<_> = attributes
            .iter()
            .map(|it| format!("{}={:?}", it.attrname, it.attrval.as_bstr()))
            .collect();
        format!(
            "{name:?} {kind:o} {:o} {links} {}:{} {size} {} {} {} {content:?} {has_holes} {attributes:?}",
            stat.st_mode as u32 & MODE,
            stat.st_uid,
            stat.st_gid,
            stat.st_rdev,
            stat.st_mtime_sec,
            if with_nanos { stat.st_mtime_nsec } else { 0 },
        )
    };
    let mut lines: Vec<_> = names.into_iter().map(describe).collect();
    lines.sort();
    lines
}

#[track_caller]
fn same(got: &[String], expected: &[String], what: &str) {
    let missing: Vec<_> = expected.iter().filter(|it| !got.contains(it)).collect();
    let additional: Vec<_> = got.iter().filter(|it| !expected.contains(it)).collect();
    assert!(
        missing.is_empty() && additional.is_empty(),
        "{what}\nexpected {missing:#?}\ngot {additional:#?}"
    );
}

/// GNU tar that unpacks and packs again.
fn through_gnu_tar(archive: &Path, options: &[&str], work: &Path) {
    let tree = work.join("tree");
    fs::create_dir(&tree).expect("a directory");
    let attributes = ["--xattrs", "--xattrs-include=*", "--acls", "--selinux"];
    run(tool("tar")
        .arg("-xpf")
        .arg(archive)
        .arg("-C")
        .arg(&tree)
        .args(attributes)
        .arg("--numeric-owner"));
    run(tool("tar").arg("-cf").arg(archive).args(options).arg("-C").arg(&tree).arg("."));
    fs::remove_dir_all(&tree).expect("remove_dir_all");
}

/// Takes a tree out, through GNU tar, and in again.
#[track_caller]
fn there_and_back(g: &Handle, top: &str, formats: &[&str], with: bool) {
    let work = tempfile::tempdir().expect("a directory");
    let archive = work.path().join("archive.tar");
    let expected = described(g, top, with);
    let wanted = Some(with);
    let out = TarOutOptions { xattrs: wanted, acls: wanted, selinux: wanted, ..Default::default() };
    let into = TarInOptions { xattrs: wanted, acls: wanted, selinux: wanted, ..Default::default() };
    for format in formats {
        g.tar_out(top, &archive, &out).expect("tar_out");
        if !format.is_empty() {
            through_gnu_tar(&archive, &format.split(' ').collect::<Vec<_>>(), work.path());
        }
        g.mkdir_p("/back").expect("mkdir_p");
        g.tar_in(&archive, "/back", &into).expect(format);
        same(&described(g, "/back", with), &expected, format);
        g.rm_rf("/back").expect("rm_rf");
    }
}

#[test]
fn gnu_tar_keeps_what_we_keep() {
    let g = with_ext4(SIZE);
    plain(&g, "/plain");
    rich(&g, "/rich");
    for top in ["/plain", "/rich"] {
        there_and_back(&g, top, &[""], false);
        there_and_back(&g, top, &[""], true);
    }
    if is_root() {
        there_and_back(&g, "/plain", &["--format=v7", "--format=ustar"], false);
        there_and_back(&g, "/rich", &["--format=oldgnu", "--format=gnu", "--format=posix"], false);
    }
    g.shutdown().expect("shutdown");
}

#[test]
fn holes() {
    let g = with_ext4(SIZE);
    sparse(&g, "/sparse");
    there_and_back(&g, "/sparse", &[""], false);
    let work = tempfile::tempdir().expect("a directory");
    let archive = work.path().join("archive.tar");
    g.tar_out("/sparse", &archive, &Default::default()).expect("tar_out");
    assert!(fs::metadata(&archive).expect("metadata").len() < 1 << 20);
    if is_root() {
        there_and_back(
            &g,
            "/sparse",
            &[
                "--sparse --format=oldgnu",
                "--sparse --format=gnu",
                "--sparse-version=0.0 --sparse --format=posix",
                "--sparse-version=0.1 --sparse --format=posix",
                "--sparse-version=1.0 --sparse --format=posix",
            ],
            false,
        );
    }
    g.shutdown().expect("shutdown");
}

#[test]
fn attributes_of_all_kinds() {
    let g = with_ext4(SIZE);
    attributes(&g, "/attributes");
    let expected = described(&g, "/attributes", true);
    for name in ["user.long", "trusted.l=", "security.capability", "system.posix_acl_default"] {
        assert!(expected.iter().any(|line| line.contains(name)), "{name}: {expected:#?}");
    }
    there_and_back(&g, "/attributes", &[""], true);
    if is_root() {
        let all = "--format=posix --xattrs --xattrs-include=* --acls --selinux";
        there_and_back(&g, "/attributes", &[all], true);
    }
    // Each kind by itself.
    let work = tempfile::tempdir().expect("a directory");
    let archive = work.path().join("archive.tar");
    let check = |out: TarOutOptions, into: TarInOptions, has: &[&str], has_not: &[&str]| {
        g.tar_out("/attributes", &archive, &out).expect("tar_out");
        g.mkdir_p("/back").expect("mkdir_p");
        g.tar_in(&archive, "/back", &into).expect("tar_in");
        let lines = described(&g, "/back", false).concat();
        assert!(has.iter().all(|it| lines.contains(it)), "{has:?} {lines}");
        assert!(!has_not.iter().any(|it| lines.contains(it)), "{has_not:?} {lines}");
        g.rm_rf("/back").expect("rm_rf");
    };
    let all_out = || TarOutOptions {
        xattrs: Some(true),
        acls: Some(true),
        selinux: Some(true),
        ..Default::default()
    };
    let kinds = ["user.one", "posix_acl", "selinux"];
    check(all_out(), Default::default(), &[], &kinds);
    check(
        Default::default(),
        TarInOptions { xattrs: Some(true), ..Default::default() },
        &[],
        &kinds,
    );
    let acls = TarInOptions { acls: Some(true), ..Default::default() };
    check(
        all_out(),
        acls.clone(),
        &["posix_acl_access", "posix_acl_default"],
        &["user.one", "selinux"],
    );
    let only = TarOutOptions { acls: Some(true), ..Default::default() };
    check(only, acls, &["posix_acl_access"], &["user.one", "selinux"]);
    let selinux = TarInOptions { selinux: Some(true), ..Default::default() };
    let only = TarOutOptions { selinux: Some(true), ..Default::default() };
    check(only, selinux, &["selinux", "lib_t"], &["user.one", "posix_acl"]);
    g.shutdown().expect("shutdown");
}

#[test]
fn all_compressions() {
    let g = with_ext4(SIZE);
    plain(&g, "/plain");
    let expected = described(&g, "/plain", false);
    let work = tempfile::tempdir().expect("a directory");
    let archive = work.path().join("archive.tar");
    for name in ["compress", "gzip", "bzip2", "xz", "lzop", "lzma", "zstd"] {
        let compress = Some(BString::from(name));
        let out = TarOutOptions { compress: compress.clone(), ..Default::default() };
        g.tar_out("/plain", &archive, &out).expect(name);
        let size = fs::metadata(&archive).expect("metadata").len();
        assert!((500..200_000).contains(&size), "{name}: {size}");
        let into = TarInOptions { compress, ..Default::default() };
        g.mkdir_p("/back").expect("mkdir_p");
        g.tar_in(&archive, "/back", &into).expect(name);
        same(&described(&g, "/back", false), &expected, name);
        g.rm_rf("/back").expect("rm_rf");
        // Damaged in the middle, and cut.
        let mut bytes = fs::read(&archive).expect("the archive");
        let middle = bytes.len() / 2;
        let cut = work.path().join("cut");
        fs::write(&cut, &bytes[..middle]).expect("a file");
        g.tar_in(&cut, "/", &into).expect_err(name);
        if !matches!(name, "compress" | "zstd") {
            // These two may not notice.
            bytes[middle..middle + 16].fill(0x55);
            fs::write(&cut, &bytes).expect("a file");
            g.tar_in(&cut, "/", &into).expect_err(name);
        }
    }
    g.shutdown().expect("shutdown");
}

/// Patterns leave out what they leave out with GNU tar.
#[test]
fn excludes() {
    let g = with_ext4(SIZE);
    let work = tempfile::tempdir().expect("a directory");
    let tree = work.path().join("tree");
    for name in ["a", "b/c/d", "b/x.o", "dir/a", "dir/.h.o", "a*b", "[z", "dir/sub/a", "c/b/c"] {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, name).expect("a file");
    }
    let archive = work.path().join("archive.tar");
    run(tool("tar").arg("-cf").arg(&archive).arg("-C").arg(&tree).arg("."));
    g.mkdir_p("/tree").expect("mkdir_p");
    g.tar_in(&archive, "/tree", &Default::default()).expect("tar_in");
    let listed = |archive: &Path| {
        let text = run(tool("tar").arg("-tf").arg(archive));
        let mut names: Vec<_> = text.lines().map(String::from).collect();
        names.sort();
        names
    };
    for pattern in [
        "*.o",
        "b/c",
        "./a",
        "a",
        "[ab]",
        "[!a]",
        "dir",
        "dir/",
        "./dir/*",
        "d*/a",
        "a\\*b",
        "a*b",
        "[z",
        "?",
        "*",
        ".",
        "./",
        "/a",
        "b/*/d",
        "sub/a",
        "",
        "c",
        ".*",
        "[[:alpha:]]",
        "\\a",
    ] {
        run(tool("tar")
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(&tree)
            .arg(format!("--exclude={pattern}"))
            .arg("."));
        let expected = listed(&archive);
        let excludes = Some(vec![pattern.into()]);
        g.tar_out("/tree", &archive, &TarOutOptions { excludes, ..Default::default() })
            .expect("tar_out");
        same(&listed(&archive), &expected, pattern);
    }
    g.shutdown().expect("shutdown");
}

/// Python reads them, too.
#[test]
fn python_lists_what_there_is() {
    const LIST: &str = "import sys, tarfile\n\
        for it in tarfile.open(sys.argv[1]):\n\
        \x20   print(ascii(it.name), ascii(it.linkname), it.size, oct(it.mode), it.uid, it.gid, int(it.mtime),\n\
        \x20       ascii(it.uname), it.devmajor, it.devminor)\n";
    let g = with_ext4(SIZE);
    rich(&g, "/tree/rich");
    sparse(&g, "/tree/sparse");
    g.mkdir_p("/etc").expect("mkdir_p");
    g.write("/etc/passwd", b"root:x:0:0::/:\nme:x:1000:1::/:\n").expect("write");
    let work = tempfile::tempdir().expect("a directory");
    let archive = work.path().join("archive.tar");
    let list = |options: &TarOutOptions| {
        g.tar_out("/tree", &archive, options).expect("tar_out");
        let mut lines: Vec<_> = run(tool("python3").arg("-c").arg(LIST).arg(&archive))
            .lines()
            .map(String::from)
            .collect();
        lines.sort();
        lines
    };
    let plain = list(&TarOutOptions::default());
    assert_eq!(plain.len(), g.find("/tree").expect("find").len() + 1);
    for expected in [
        "'.' '' 0 0o755 0 0",
        "'./rich/char' '' 0 0o600 0 0",
        "'./rich/old' '' 1 0o644 0 0 -86400 'root' 0 0",
        "'./rich/large-owner' '' 1 0o644 3000000 2100000000",
        "'./rich/plain/none' '' 0 0o4750 1000 1001 1000000007 'me' 0 0",
        "'./sparse/holes' '' 3221225472 0o644",
        "'./rich/\\udcff\\n\\t\\\\ \\xe9 \"*' ''",
    ] {
        assert!(plain.iter().any(|line| line.starts_with(expected)), "{expected}\n{plain:#?}");
    }
    let extended = list(&TarOutOptions { xattrs: Some(true), ..Default::default() });
    same(&extended, &plain, "with attributes");
    let numbers = list(&TarOutOptions { numericowner: Some(true), ..Default::default() });
    assert!(numbers.iter().all(|line| !line.contains("'root'") && !line.contains("'me'")));
    g.shutdown().expect("shutdown");
}
