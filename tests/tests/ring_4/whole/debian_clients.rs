// SPDX-License-Identifier: LGPL-2.1-or-later
//! Debian's clients of libguestfs, as they are, with our library; and programs that are compiled
//! with one header and run with the other library, which tell the same.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::debian_guest::Guest;
use crate::support::{appliance, hold_build, program, run, target, tool, top};

/// A program of Debian's, which gets our library instead of its own; every symbol that it uses has
/// to be there.
fn client(program: impl AsRef<OsStr>, current: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(current)
        .env("LD_LIBRARY_PATH", target().join("c"))
        .env("LD_BIND_NOW", "1")
        .env("LIBGUESTFS_PATH", appliance())
        .env("LC_ALL", "C");
    command
}

fn source(name: &str) -> PathBuf {
    top().join("tests/tests/ring_4/whole/debian").join(name)
}

/// Makes `disk.img` with Debian's guestfish, which works on it.
fn session() -> (TempDir, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "sparse disk.img 128M\n\
                  run\n\
                  part-disk /dev/sda mbr\n\
                  mkfs ext4 /dev/sda1 label:ROOT\n\
                  set-uuid /dev/sda1 01234567-0123-0123-0123-0123456789ab\n\
                  mount /dev/sda1 /\n\
                  mkdir-p /etc/deep\n\
                  write /etc/hostname \"guest\\n\"\n\
                  ln-s hostname /etc/link\n\
                  cat /etc/hostname\n\
                  find /\n\
                  statns /etc/hostname | grep st_size\n\
                  tar-out /etc etc.tar\n\
                  mkdir /copy\n\
                  tar-in etc.tar /copy\n\
                  checksum md5 /copy/hostname\n\
                  list-filesystems\n\
                  -cat /missing\n\
                  echo done\n";
    fs::write(dir.path().join("script"), script).expect("a script");
    let printed = run(client("/usr/bin/guestfish", dir.path()).args(["-f", "script"]));
    (dir, printed)
}

#[test]
fn guestfish() {
    let _held = hold_build();
    let (dir, printed) = session();
    let expected = "guest\n\n\
                    etc\netc/deep\netc/hostname\netc/link\nlost+found\n\
                    st_size: 6\n\
                    2ec099f2d602cc4968c5267970be1326\n\
                    /dev/sda1: ext4\n\
                    done\n";
    assert_eq!(printed, expected);
    let listed = run(tool("tar").arg("-tf").arg(dir.path().join("etc.tar")));
    let mut listed: Vec<_> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, ["./", "./deep/", "./hostname", "./link"]);
}

#[test]
fn virt_tools() {
    let _held = hold_build();
    let (dir, _) = session();
    let virt = |name: &str, args: &[&str]| {
        run(client(name, dir.path()).args(["-a", "disk.img"]).args(args))
    };
    let with = |args: &[&'static str]| [&["-m", "/dev/sda1"], args].concat();

    assert_eq!(virt("virt-ls", &with(&["/"])), "copy\netc\nlost+found\n");
    let long = virt("virt-ls", &with(&["-lR", "/etc"]));
    assert!(long.contains("- 0644          6 /etc/hostname\n"), "{long}");
    assert!(long.contains("l 0777          8 /etc/link -> hostname\n"), "{long}");
    assert_eq!(virt("virt-cat", &with(&["/etc/hostname"])), "guest\n");
    let table = virt("virt-filesystems", &["--all", "--long", "--uuid", "--csv"]);
    let expected = "Name,Type,VFS,Label,MBR,Size,Parent,UUID\n\
                    /dev/sda1,filesystem,ext4,ROOT,,SIZE,,01234567-0123-0123-0123-0123456789ab\n\
                    /dev/sda1,partition,,,83,134087168,/dev/sda,\n\
                    /dev/sda,device,,,,134217728,,\n";
    // How much mkfs leaves is its business.
    let size = table.lines().nth(1).and_then(|it| it.split(',').nth(5)).unwrap_or_default();
    assert_eq!(table, expected.replace("SIZE", size), "{table}");
    let size: u64 = size.parse().expect("a size");
    assert!(size > 100_000_000 && size < 134_152_192, "{table}");
    let df = virt("virt-df", &["--csv"]);
    assert!(df.contains("disk.img,/dev/sda1,"), "{df}");
}

/// What people do to a guest without a program of their own.
#[test]
fn files_of_a_guest() {
    let _held = hold_build();
    let guest = Guest::new();
    let dir = guest.directory();
    fs::create_dir_all(dir.join("site/sub")).expect("a directory");
    fs::write(dir.join("site/index"), "hello\n").expect("a file");
    fs::write(dir.join("site/sub/page"), "page\n").expect("a file");
    let editor = program(dir, "editor", "#!/bin/sh\nsed -i -e 's/^127/10/' \"$1\"\n");
    let script = "copy-in site /srv\n\
                  find /srv\n\
                  copy-out /etc/ssh .\n\
                  tgz-out /etc/apt apt.tgz\n\
                  mkdir /unpacked\n\
                  tgz-in apt.tgz /unpacked\n\
                  tar-in-opts plain.tar /unpacked\n\
                  is-dir /unpacked/sources.list.d\n\
                  edit /etc/hosts\n\
                  more /etc/hosts | head -1\n\
                  glob is-file /srv/site/i*\n\
                  readdir /srv/site | grep -c name\n\
                  upload site/index /srv/uploaded\n\
                  hexdump /srv/uploaded | head -1 | cut -c11-27\n\
                  -cat /missing\n\
                  command \"/usr/bin/test -d /proc/self\"\n\
                  sh \"echo $((6 * 7))\"\n";
    fs::write(dir.join("script"), script).expect("a script");
    run(tool("tar").current_dir(dir).args(["-cf", "plain.tar", "-C", "site", "."]));
    let disk = guest.disk();
    let mounted = |name: &str| {
        let mut command = client(name, dir);
        command.arg("-a").arg(&disk).args(["-m", "/dev/sda1"]).env("EDITOR", &editor);
        command.env("PAGER", "cat");
        command
    };
    let printed = run(mounted("guestfish").args(["--rw", "-f", "script"]));
    let expected = "site\nsite/index\nsite/sub\nsite/sub/page\n\
                    true\n\
                    10.0.0.1\tlocalhost\n\
                    true\n\
                    4\n\
                    68 65 6c 6c 6f 0a\n\
                    \n42\n\n";
    assert_eq!(printed, expected);
    let config = fs::read_to_string(dir.join("ssh/sshd_config")).expect("a file");
    assert!(config.contains("\nUsePAM yes\n"), "{config}");
    let listed = run(tool("tar").current_dir(dir).args(["-tzf", "apt.tgz"]));
    assert!(listed.lines().any(|it| it == "./sources.list"), "{listed}");

    let edited = run(mounted("virt-edit").args(["-e", "s/^root:x/root:*/", "/etc/passwd"]));
    assert_eq!(edited, "");
    let passwd = run(mounted("virt-cat").arg("/etc/passwd"));
    assert!(passwd.starts_with("root:*:0:0:root:/root:/bin/bash\n"), "{passwd}");
    let listed = run(mounted("virt-ls").args(["-lR", "/etc"]));
    for expected in [
        "- 0640        ",
        " /etc/shadow\n",
        "l 0777         21 /etc/os-release -> ../usr/lib/os-release\n",
    ] {
        assert!(listed.contains(expected), "{expected:?} is not in {listed}");
    }
    assert!(listed.lines().count() > 200, "{listed}");
}

/// The same module with the library that it came with and with ours, on our appliance.
#[test]
fn python_with_either_library() {
    let _held = hold_build();
    let printed = [target().join("c"), debians()].map(|library| {
        let dir = tempfile::tempdir().expect("a directory");
        let qemu = "#!/bin/bash\nexec qemu-system-x86_64 \"${@//accel=kvm:tcg/accel=tcg}\"\n";
        let qemu = program(dir.path(), "qemu", qemu);
        let mut python = client("/usr/bin/python3", dir.path());
        python.arg(source("files.py")).env("LD_LIBRARY_PATH", &library);
        if library == debians() {
            python.env("LIBGUESTFS_BACKEND", "direct").env("LIBGUESTFS_HV", qemu);
        }
        run(&mut python)
    });
    assert_eq!(printed[0], printed[1]);
    let expected = fs::read_to_string(source("files.txt")).expect("what is expected");
    assert_eq!(printed[0], expected);
}

#[test]
fn perl() {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    let printed = run(client("/usr/bin/perl", dir.path()).arg(source("session.pl")));
    let expected = "/dev/sda1 ext4\n\
                    partition 1 of 1\n\
                    mkdir \"/dir\" | mkdir = 0 | set_trace false | set_trace = 0\n\
                    3 bytes\n\
                    size 3\n\
                    . .. file\n\
                    dir lost+found\n\
                    a directory\n\
                    d0052f619b09de75e087155859875c3e\n\
                    one two\n\
                    cat: /missing: No such file or directory\n\
                    errno 2\n\
                    unknown optional argument\n\
                    events 4 1\n";
    assert_eq!(printed, expected);
}

/// Where Debian's library is.
fn debians() -> PathBuf {
    let files = run(tool("dpkg").args(["-L", "libguestfs0"]));
    let library = files.lines().find(|it| it.ends_with("/libguestfs.so.0"));
    let library = library.map(Path::new).and_then(Path::parent);
    library.expect("libguestfs0 has the library").to_owned()
}

/// Compiles a program with our header and with Debian's, runs each with both libraries, and
/// returns what all four have printed.
#[track_caller]
fn four_ways(name: &str) -> String {
    let _held = hold_build();
    let dir = tempfile::tempdir().expect("a directory");
    // It always tries KVM first, and does not survive one that is broken.
    let qemu = "#!/bin/bash\nexec qemu-system-x86_64 \"${@//accel=kvm:tcg/accel=tcg}\"\n";
    let qemu = program(dir.path(), "qemu", qemu);
    let ours = target().join("c");
    let mut printed: Vec<(String, String)> = Vec::new();
    for header in [&ours, Path::new("/usr/include")] {
        let binary = dir.path().join("program");
        run(tool("cc")
            .args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I"])
            .arg(header)
            .arg(source(name))
            .arg("-o")
            .arg(&binary)
            .arg("-L")
            .arg(&ours)
            .arg("-lguestfs"));
        for library in [&ours, &debians()] {
            let work = tempfile::tempdir().expect("a directory");
            let mut command = client(&binary, work.path());
            command.env("LD_LIBRARY_PATH", library);
            if library != &ours {
                command.env("LIBGUESTFS_BACKEND", "direct").env("LIBGUESTFS_HV", &qemu);
            }
            let way = format!("{} with {}", header.display(), library.display());
            printed.push((way, run(&mut command)));
        }
    }
    let (_, first) = &printed[0];
    for (way, text) in &printed {
        assert_eq!(first, text, "{way}");
    }
    first.clone()
}

#[test]
fn a_program_without_an_appliance() {
    let printed = four_ways("config.c");
    assert!(printed.ends_with("closed\n"), "{printed}");
}

/// The other library runs our appliance: it is the same protocol.
#[test]
fn a_program_with_our_appliance() {
    let printed = four_ways("session.c");
    assert!(printed.ends_with("No such file or directory\n"), "{printed}");
}
