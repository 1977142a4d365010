// SPDX-License-Identifier: LGPL-2.1-or-later
//! Programs of the guest: what they see, what comes of them, and that nothing of them is left.

use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, Mutex, mpsc};

use bstr::{BString, ByteSlice};
use guestfs::{Events, Handle, Payload};

use crate::debian_guest::Guest;
use crate::support::{Running, fifo, hold_build, refused};

/// What the appliance has mounted, and how many processes it has beside threads of the kernel.
fn state(g: &Handle) -> String {
    let script =
        "cat /proc/mounts; for it in /proc/[0-9]*; do readlink $it/exe; done | sort | uniq -c";
    g.debug("sh", &[script]).expect("debug").to_string()
}

#[test]
fn programs_do_what_they_are_for() {
    let _held = hold_build();
    let g = Guest::new().mounted();
    let packages = g.command_lines(&["dpkg", "--list"]).expect("dpkg");
    let installed = |name: &[u8]| {
        let fields = |line: &[u8]| line.fields_with(|c| c == ' ').take(2).eq([b"ii", name]);
        packages.iter().any(|line| fields(line))
    };
    assert!(installed(b"bash") && installed(b"openssh-server"), "{packages:?}");
    let version = g.sh("echo $BASH_VERSION; bash -c 'echo ${BASH_VERSINFO[0]}'").expect("bash");
    assert_eq!(version, "\n5\n");
    let config = g.command_lines(&["apt-config", "dump"]).expect("apt-config");
    assert!(config.iter().any(|it| it == "APT::Architecture \"amd64\";"), "{config:?}");
    let libraries = g.sh_lines("ldconfig --print-cache | grep -c libc.so.6").expect("ldconfig");
    assert_eq!(libraries, ["1"]);

    let users = g.read_lines("/etc/passwd").expect("read_lines");
    g.command(&["useradd", "--create-home", "--shell", "/bin/bash", "tester"]).expect("useradd");
    let mut with_tester = users;
    with_tester.push("tester:x:1000:1000::/home/tester:/bin/bash".into());
    assert_eq!(g.read_lines("/etc/passwd").expect("read_lines"), with_tester);
    assert_eq!(g.statns("/home/tester").expect("statns").st_uid, 1000);
    let said = g.sh("su - tester -c 'id -un; pwd; echo $HOME'").expect("su");
    assert_eq!(said, "tester\n/home/tester\n/home/tester\n");
    refused(g.command(&["useradd", "tester"]), "useradd: exit status: 9: useradd: user 'tester'");

    assert_eq!(g.file_architecture("/bin/bash").expect("file_architecture"), "x86_64");
    for (path, expected) in [
        ("/bin/bash", "ELF 64-bit LSB pie executable, x86-64"),
        ("/bin/sh", "symbolic link"),
        ("/etc/passwd", "ASCII text"),
        ("/usr/bin/ldd", "Bourne-Again shell script"),
        ("/etc/ld.so.cache", "data"),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", "shared object"),
        ("/tmp", "directory"),
    ] {
        let kind = g.file(path).expect("file");
        assert!(kind.contains_str(expected), "{path}: {kind}");
    }
}

#[test]
fn what_a_program_sees() {
    let _held = hold_build();
    let g = Guest::new().mounted();
    let environment = g.command_lines(&["env"]).expect("env");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut sorted = environment.clone();
    sorted.sort();
    assert_eq!(sorted, ["HOME=/", "LC_ALL=C", path, "TERM=dumb"]);
    let check = |script: &str, expected: &str| {
        assert_eq!(g.sh(script).expect(script), expected, "{script}");
    };
    check("pwd; id -u; umask", "/\n0\n0022\n");
    check("readlink /proc/self/fd/0; cat", "/dev/null\n");
    check("echo x > /dev/null; head -c 3 /dev/zero | od -An -tx1", " 00 00 00\n");
    check(
        "stat -c '%a %F' /dev/shm /dev/pts /proc /sys; ls -A /dev/shm",
        "1777 directory\n755 directory\n555 directory\n555 directory\n",
    );
    check("readlink /dev/fd /dev/stdin", "/proc/self/fd\n/proc/self/fd/0\n");
    check("echo through | cat /dev/stdin", "through\n");
    check("bash -c 'cat <(echo substituted)'", "substituted\n");
    check("script --quiet --command 'test -t 0 && echo terminal' /dev/null", "terminal\r\n");
    check("test -b /dev/sda1 && test -d /sys/block/sda && echo both", "both\n");
    // It is not the first process, but it sees only what belongs to it.
    check(
        "test $(readlink /proc/self) != 1; test -e /proc/$$/stat && ls -d /proc/[0-9]* | wc -l",
        "4\n",
    );
    check(
        "cat /proc/self/mounts | cut -d' ' -f2 | sort | tr '\\n' ' '",
        "/ /dev /dev/pts /dev/shm /dev/shm /proc /sys ",
    );
    // What one leaves there, the next one does not find.
    check("touch /dev/shm/left; mount -t tmpfs none /mnt; touch /mnt/left", "");
    check("ls -A /dev/shm /mnt", "/dev/shm:\n\n/mnt:\n");
}

#[test]
fn how_it_ended() {
    let _held = hold_build();
    let g = Guest::new().mounted();
    let script = |script: &str, says: &str| refused(g.sh(script), says);
    script("exit 3", " sh: sh: exit status: 3");
    script("echo why >&2; exit 3", " sh: sh: exit status: 3: why");
    script("echo one >&2; echo two >&2; false", " sh: sh: exit status: 1: one\ntwo");
    script("kill -TERM $$", " sh: sh: signal: 15 (SIGTERM)");
    script("echo why >&2; kill -9 $$", " sh: sh: signal: 9 (SIGKILL): why");
    script("kill -ABRT $$", " sh: sh: signal: 6 (SIGABRT)");
    script("head -c 5000000 /dev/zero", "EFBIG sh: sh: more than 4190208 bytes of output");
    // What it complains about does not matter if it succeeds.
    assert_eq!(g.sh("echo out; echo complaint >&2").expect("sh"), "out\n");
    assert_eq!(g.sh_lines("printf 'a\\n\\nb'").expect("sh_lines"), ["a", "", "b"]);

    let put = |name: &str, content: &[u8]| {
        g.write(name, content).expect("write");
        g.chmod(0o755, name).expect("chmod");
    };
    put("/foreign", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0");
    put("/script", b"#!/usr/bin/python3\n");
    put("/nested", b"#!/foreign\n");
    put("/text", b"echo hello\n");
    put("/empty", b"");
    for (name, expected) in [
        ("/foreign", "ENOEXEC command: /foreign: made for aarch64, and this appliance is x86_64"),
        ("/nested", "ENOEXEC command: /nested: /foreign, which runs it, is made for aarch64"),
        ("/script", "ENOENT command: /script: /usr/bin/python3, which is needed to run /script"),
        ("/text", "ENOEXEC command: /text: neither a program nor a script that begins with #!"),
        ("/empty", "ENOEXEC command: /empty: neither a program nor a script that begins with #!"),
        ("/etc/passwd", "EACCES command: /etc/passwd: Permission denied"),
        ("/etc", "EACCES command: /etc: Permission denied"),
        ("/missing", "ENOENT command: /missing: No such file or directory"),
        ("missing", "ENOENT command: missing: No such file or directory"),
    ] {
        refused(g.command(&[name]), expected);
    }
    g.mv("/lib64", "/lib64.away").expect("mv");
    let expected = "ENOENT command: /bin/true: /lib64/ld-linux-x86-64.so.2, which is needed to run";
    refused(g.command(&["/bin/true"]), expected);
    g.mv("/lib64.away", "/lib64").expect("mv");
    g.rm("/bin/sh").expect("rm");
    refused(g.sh("true"), "ENOENT sh: /bin/sh: No such file or directory");
    refused(g.sh_out("true", "/dev/null"), "ENOENT sh_out: /bin/sh: No such file or directory");
    assert_eq!(g.command(&["/bin/bash", "-c", "echo still"]).expect("bash"), "still\n");
}

#[test]
fn nothing_is_left_of_them() {
    let _held = hold_build();
    let guest = Guest::new();
    let g = Arc::new(guest.mounted());
    let before = state(&g);
    g.command(&["true"]).expect("true");
    refused(g.command(&["false"]), " command: false: exit status: 1");
    refused(g.sh("kill -9 $$"), "SIGKILL");
    refused(g.command(&["yes"]), "EFBIG");
    refused(g.command(&["/missing"]), "ENOENT");
    // Daemons that hold the output, files and directories, and ignore what can be ignored.
    let daemon = "cd /home; (trap '' HUP INT TERM; exec setsid sleep 100000 >> /var/log/kept) &";
    assert_eq!(g.sh(format!("{daemon} echo started")).expect("sh"), "started\n");
    g.sh(format!("{daemon} sleep 100000 & mount --bind /etc /mnt; exec >&- 2>&-")).expect("sh");
    refused(g.sh(format!("{daemon} exit 7")), " sh: sh: exit status: 7");
    // Nor can they do anything to the appliance.
    assert_eq!(g.sh("kill -9 -1; kill -9 1; echo still there").expect("sh"), "still there\n");
    assert_eq!(state(&g), before);

    // Somebody does not want to see more of it.
    let pipe = fifo(guest.directory().join("pipe"));
    let endless = {
        let (g, pipe) = (g.clone(), pipe.clone());
        Running::start(move || g.sh_out("sleep 100000 & yes", &pipe))
    };
    let mut source = File::open(&pipe).expect("a pipe");
    source.read_exact(&mut [0; 1 << 20]).expect("some of it");
    g.user_cancel().expect("user_cancel");
    refused(endless.end(), "EINTR sh_out: operation cancelled by user");
    drop(source);
    // Or does not want to wait for one that says nothing, but on the console that it has begun.
    let (sender, begun) = mpsc::channel();
    let heard = Mutex::new(BString::default());
    g.set_event_callback(Events::APPLIANCE, move |_, _, _, payload| {
        let mut heard = heard.lock().expect("a lock");
        if let Payload::Buf(text) = payload {
            heard.extend_from_slice(text);
        }
        // It comes in any pieces.
        if heard.contains_str("begun") {
            heard.clear();
            sender.send(()).expect("somebody waits for it");
        }
    });
    let script = "trap '' HUP INT TERM; echo begun > /dev/console; sleep 100000 & sleep 100000";
    let calls: [fn(&Handle, &str) -> guestfs::Result<()>; 2] =
        [|g, script| g.sh(script).map(drop), |g, script| g.sh_out(script, "/dev/null")];
    for call in calls {
        let silent = {
            let g = g.clone();
            Running::start(move || call(&g, script))
        };
        begun.recv().expect("it begins");
        g.user_cancel().expect("user_cancel");
        refused(silent.end(), "operation cancelled by user");
    }
    assert_eq!(state(&g), before);
    assert_eq!(g.mounts().expect("mounts"), ["/dev/sda1"]);
    g.umount_all().expect("umount_all");
    assert_eq!(g.mounts().expect("mounts"), [""; 0]);

    // The disk can be had as a whole, so nobody keeps it in use.
    g.mkfs("ext4", "/dev/sda1", &Default::default()).expect("mkfs");
}

#[test]
fn much_output() {
    let _held = hold_build();
    let guest = Guest::new();
    let g = guest.mounted();
    let path = guest.directory().join("out");
    g.command_out(&["head", "-c", "10485760", "/dev/zero"], &path).expect("command_out");
    assert_eq!(std::fs::read(&path).expect("a file"), vec![0; 10 << 20]);
    g.sh_out("seq 1 300000; echo complaint >&2", &path).expect("sh_out");
    let expected: String = (1..=300_000).map(|it| format!("{it}\n")).collect();
    assert!(std::fs::read_to_string(&path).expect("a file") == expected);
    refused(g.sh_out("echo why >&2; exit 3", &path), " sh_out: sh: exit status: 3: why");
    refused(g.command_out(&["/missing"], &path), "ENOENT command_out: /missing: No such file");
}

#[test]
fn guests_that_lack_something() {
    let _held = hold_build();
    let guest = Guest::new();
    let g = guest.mounted();
    for directory in ["/dev", "/proc", "/sys"] {
        g.rm_rf(directory).expect("rm_rf");
    }
    g.ln_s("loop", "/dev").expect("ln_s");
    g.ln_s("/dev", "/loop").expect("ln_s");
    g.touch("/proc").expect("touch");
    let names = g.sh_lines("ls -d /dev /proc /sys 2>&1; pwd").expect("sh_lines");
    assert_eq!(
        names,
        ["ls: cannot access '/sys': No such file or directory", "/dev", "/proc", "/"]
    );
    // A link leads to another directory of the guest.
    g.rm("/proc").expect("rm");
    g.mkdir("/elsewhere").expect("mkdir");
    g.ln_s("/elsewhere", "/proc").expect("ln_s");
    assert_eq!(g.sh("cat /proc/self/comm").expect("sh"), "cat\n");
    assert_eq!(g.ls("/elsewhere").expect("ls"), [""; 0]);

    g.umount_all().expect("umount_all");
    g.mount_ro("/dev/sda1", "/").expect("mount_ro");
    assert_eq!(g.sh("echo hello").expect("sh"), "hello\n");
    let expected = "touch: cannot touch '/new': Read-only file system";
    refused(g.command(&["touch", "/new"]), expected);
    g.umount_all().expect("umount_all");
}

/// Files that are watched are changed by programs that see them through mounts of their own.
#[test]
fn changes_are_seen() {
    const CREATE: i32 = 0x100;
    const MOVES: i32 = 0x40 | 0x80;
    const DELETE: i32 = 0x200;
    let _held = hold_build();
    let g = Guest::new().mounted();
    g.inotify_init(0).expect("inotify_init");
    g.inotify_add_watch("/etc", CREATE | MOVES | DELETE).expect("inotify_add_watch");
    g.sh("cd /etc; echo x > new; mv new newer; rm newer").expect("sh");
    g.command(&["useradd", "tester"]).expect("useradd");
    let events = g.inotify_read().expect("inotify_read");
    let seen: Vec<_> = events.iter().map(|it| format!("{:x} {}", it.in_mask, it.in_name)).collect();
    assert_eq!(seen[..4], ["100 new", "40 new", "80 newer", "200 newer"]);
    assert_eq!((events[1].in_cookie, events[0].in_cookie), (events[2].in_cookie, 0));
    assert!(seen.iter().any(|it| it == "80 passwd"), "{seen:?}");
    g.inotify_close().expect("inotify_close");
}
