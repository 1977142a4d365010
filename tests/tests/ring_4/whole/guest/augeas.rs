// SPDX-License-Identifier: LGPL-2.1-or-later
//! Configuration of the guest, edited by Augeas: what changes is what was said, and nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use guestfs::{AugTransformOptions, Handle};

use crate::debian_guest::Guest;
use crate::support::{appliance, hold_build, refused, run, target, tool, top};

/// Read nothing, and load no lenses: the test says which.
const NOTHING: i32 = 32 | 64;

const FSTAB: &str = "\
# /etc/fstab: static file system information.
#
# <file system>  <mount point>  <type>  <options>  <dump>  <pass>
UUID=0a1b-2c3d   /              ext4    errors=remount-ro  0  1
/dev/sdb1\t/home\text4\tdefaults\t0\t2
# swap was on a partition of its own
/swapfile  none  swap  sw  0  0
tmpfs /tmp tmpfs nosuid,nodev 0 0
";

const HOSTS: &str = "\
@@ -1,3 +1,4 @@
+# edited
 127.0.0.1\tlocalhost
-::1\t\tlocalhost ip6-localhost ip6-loopback
+::1\t\tlocalhost ip6-localhost ip6-loopback me
 ff02::1\t\tip6-allnodes
@@ -5 +6,2 @@
 \n+192.0.2.1\tother.example other
";

const FSTAB_DIFF: &str = "\
@@ -3,6 +3,5 @@
 # <file system>  <mount point>  <type>  <options>  <dump>  <pass>
-UUID=0a1b-2c3d   /              ext4    errors=remount-ro  0  1
-/dev/sdb1\t/home\text4\tdefaults\t0\t2
+UUID=0a1b-2c3d   /              ext4    errors=remount-ro  1  1
+/dev/sdb1\t/home\text4\tnoatime,commit=60\t1\t2
 # swap was on a partition of its own
-/swapfile  none  swap  sw  0  0
 tmpfs /tmp tmpfs nosuid,nodev 0 0
";

const PASSWD: &str = "\
@@ -1,2 +1,2 @@
-root:x:0:0:root:/root:/bin/bash
+root:x:0:0:root:/root:/bin/sh
 daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
@@ -5,3 +5,2 @@
 sync:x:4:65534:sync:/bin:/bin/sync
-games:x:5:60:games:/usr/games:/usr/sbin/nologin
 man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
@@ -13,5 +12,5 @@
 www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
+tester:x:1000:1000:Tester,,,:/home/tester:/bin/bash
 backup:x:34:34:backup:/var/backups:/usr/sbin/nologin
 list:x:38:38:Mailing List Manager:/var/list:/usr/sbin/nologin
-irc:x:39:39:ircd:/run/ircd:/usr/sbin/nologin
 _apt:x:42:65534::/nonexistent:/usr/sbin/nologin
@@ -19 +18,2 @@
 sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
+chat:x:39:39:ircd:/run/ircd:/usr/sbin/nologin
";

const SSHD_CONFIG: &str = "\
@@ -84,3 +84,4 @@
 # and KbdInteractiveAuthentication to 'no'.
-UsePAM yes
+PasswordAuthentication no
+UsePAM no
 
@@ -89,3 +90,2 @@
 #GatewayPorts no
-X11Forwarding yes
 #X11DisplayOffset 10
@@ -111,3 +111,3 @@
 # Allow client to pass locale environment variables
-AcceptEnv LANG LC_*
+AcceptEnv LANG LC_* TZ
 
@@ -122 +122,4 @@
 #\tForceCommand cvs server
+PermitRootLogin no
+Match User \"backup\"
+  ForceCommand /bin/true
";

/// Which lens is for which file, and what becomes of the file.
const FILES: [(&str, &str, &str); 4] = [
    ("Hosts.lns", "/etc/hosts", HOSTS),
    ("Fstab.lns", "/etc/fstab", FSTAB_DIFF),
    ("Passwd.lns", "/etc/passwd", PASSWD),
    ("Sshd.lns", "/etc/ssh/sshd_config", SSHD_CONFIG),
];

/// Without the lines that name the files.
fn diff(directory: &Path, before: &[u8], after: &[u8]) -> String {
    let (old, new) = (directory.join("old"), directory.join("new"));
    fs::write(&old, before).expect("a file");
    fs::write(&new, after).expect("a file");
    let output = tool("diff").arg("-U1").args([old, new]).output().expect("diff");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().skip(2).map(|line| format!("{line}\n")).collect()
}

/// Everything about a file but its content, times and place.
fn attributes(g: &Handle, path: &str) -> String {
    let stat = g.lstatns(path).expect("lstatns");
    let xattrs = g.lgetxattrs(path).expect("lgetxattrs");
    format!("{:o} {} {} {} {xattrs:?}", stat.st_mode, stat.st_nlink, stat.st_uid, stat.st_gid)
}

fn edit(g: &Handle) -> guestfs::Result<()> {
    const HOSTS: &str = "/files/etc/hosts";
    g.aug_set(format!("{HOSTS}/01/ipaddr"), "192.0.2.1")?;
    g.aug_set(format!("{HOSTS}/01/canonical"), "other.example")?;
    g.aug_set(format!("{HOSTS}/01/alias"), "other")?;
    g.aug_insert(format!("{HOSTS}/1"), "#comment", true)?;
    g.aug_set(format!("{HOSTS}/#comment[1]"), "edited")?;
    g.aug_set(format!("{HOSTS}/*[ipaddr = '::1']/alias[last()+1]"), "me")?;

    const FSTAB: &str = "/files/etc/fstab";
    assert_eq!(g.aug_setm(format!("{FSTAB}/*[vfstype = 'ext4']"), Some(b"dump"), "1")?, 2);
    let home = format!("{FSTAB}/*[file = '/home']");
    assert_eq!(g.aug_defvar("home", Some(home.as_bytes()))?, 1);
    g.aug_set("$home/opt", "noatime")?;
    g.aug_insert("$home/opt", "opt", false)?;
    g.aug_set("$home/opt[2]", "commit")?;
    g.aug_set("$home/opt[2]/value", "60")?;
    assert_eq!(g.aug_rm(format!("{FSTAB}/*[vfstype = 'swap']"))?, 7);

    const PASSWD: &str = "/files/etc/passwd";
    g.aug_set(format!("{PASSWD}/root/shell"), "/bin/sh")?;
    assert_eq!(g.aug_rm(format!("{PASSWD}/games"))?, 7);
    g.aug_insert(format!("{PASSWD}/www-data"), "tester", false)?;
    for (field, value) in [
        ("password", "x"),
        ("uid", "1000"),
        ("gid", "1000"),
        ("name", "Tester,,,"),
        ("home", "/home/tester"),
        ("shell", "/bin/bash"),
    ] {
        g.aug_set(format!("{PASSWD}/tester/{field}"), value)?;
    }
    g.aug_mv(format!("{PASSWD}/irc"), format!("{PASSWD}/chat"))?;

    const SSHD: &str = "/files/etc/ssh/sshd_config";
    g.aug_set(format!("{SSHD}/PermitRootLogin"), "no")?;
    g.aug_set(format!("{SSHD}/UsePAM"), "no")?;
    g.aug_insert(format!("{SSHD}/UsePAM"), "PasswordAuthentication", true)?;
    g.aug_set(format!("{SSHD}/PasswordAuthentication"), "no")?;
    g.aug_set(format!("{SSHD}/AcceptEnv/03"), "TZ")?;
    assert_eq!(g.aug_rm(format!("{SSHD}/X11Forwarding"))?, 1);
    g.aug_set(format!("{SSHD}/Match/Condition/User"), "backup")?;
    g.aug_set(format!("{SSHD}/Match/Settings/ForceCommand"), "/bin/true")
}

#[test]
fn edits() {
    let _held = hold_build();
    let guest = Guest::new();
    let g = guest.mounted();
    g.write("/etc/fstab", FSTAB.as_bytes()).expect("write");
    // More about a file than its owner and mode.
    g.chown(4, 42, "/etc/hosts").expect("chown");
    g.chmod(0o640, "/etc/hosts").expect("chmod");
    g.setxattr("user.note", "kept", 4, "/etc/hosts").expect("setxattr");
    g.setxattr("security.selinux", "a:b:c:s0", 8, "/etc/passwd").expect("setxattr");
    let acl = "user::rw-,user:7:rw-,group::r--,mask::rw-,other::---";
    g.acl_set_file("/etc/fstab", "access", acl).expect("acl_set_file");
    // What a link leads to is the file.
    g.mkdir("/etc/real").expect("mkdir");
    g.mv("/etc/ssh/sshd_config", "/etc/real/sshd_config").expect("mv");
    g.ln_s("/etc/real/sshd_config", "/etc/ssh/sshd_config").expect("ln_s");

    g.aug_init("/", NOTHING).expect("aug_init");
    for (lens, path, _) in FILES {
        g.aug_transform(lens, path, &Default::default()).expect("aug_transform");
    }
    g.aug_load().expect("aug_load");
    assert_eq!(g.aug_match("/augeas//error").expect("aug_match"), [""; 0]);
    let about = |path: &str| {
        let path = g.realpath(path).expect("realpath").to_string();
        (g.read_file(&path).expect("read_file"), attributes(&g, &path))
    };
    let before = FILES.map(|(_, path, _)| about(path));
    edit(&g).expect("an edit");
    g.aug_save().expect("aug_save");
    for ((_, path, expected), (old, old_attributes)) in FILES.into_iter().zip(before) {
        let (new, attributes) = about(path);
        assert_eq!(diff(guest.directory(), &old, &new), expected, "{path}");
        assert_eq!(attributes, old_attributes, "{path}");
    }
    assert!(g.is_symlink("/etc/ssh/sshd_config").expect("is_symlink"));
    assert_eq!(g.aug_match("/augeas//error").expect("aug_match"), [""; 0]);
    // The programs that read these files understand what was written.
    assert_eq!(g.sh_lines("id -un 39; id -u tester").expect("sh_lines"), ["chat", "1000"]);
    let said = g.sh("mkdir -p /run/sshd && sshd -T | grep -i permitroot").expect("sshd");
    assert_eq!(said, "permitrootlogin no\n");
}

#[test]
fn all_files_that_it_knows() {
    let _held = hold_build();
    let guest = Guest::new();
    let g = guest.mounted();
    g.write("/etc/hostname", b"guest\n").expect("write");
    g.write("/etc/fstab", b"/dev/sda1 /\n").expect("write");
    g.aug_init("/", 0).expect("aug_init");
    assert_eq!(g.aug_get("/files/etc/hostname/hostname").expect("aug_get"), "guest");
    assert_eq!(g.aug_get("/files/etc/login.defs/UID_MIN").expect("aug_get"), "1000");
    let errors = g.aug_match("/augeas//error").expect("aug_match");
    assert_eq!(errors, ["/augeas/files/etc/fstab/error"]);
    assert_eq!(g.aug_get(format!("{}/line", errors[0])).expect("aug_get"), "1");
    let kind = g.aug_get("/augeas/files/etc/fstab/error").expect("aug_get");
    assert_eq!(kind, "parse_failed");

    // Somebody else writes files, in the very second in which they were read.
    g.write("/etc/fstab", b"/dev/sda1 / ext4\n").expect("write");
    g.write("/etc/hostname", b"renamed\n").expect("write");
    g.rm("/etc/login.defs").expect("rm");
    g.aug_load().expect("aug_load");
    assert_eq!(g.aug_match("/augeas//error").expect("aug_match"), [""; 0]);
    assert_eq!(g.aug_get("/files/etc/hostname/hostname").expect("aug_get"), "renamed");
    assert_eq!(g.aug_get("/files/etc/fstab/1/vfstype").expect("aug_get"), "ext4");
    refused(g.aug_get("/files/etc/login.defs/UID_MIN"), "ENOENT aug_get: ");

    // Files that it does not know, and one that does not suit.
    g.mkdir("/srv/app").expect("mkdir");
    g.write("/srv/app/one.conf", b"# ours\nkey = value\n").expect("write");
    g.write("/srv/app/two.conf", b"key = other\n").expect("write");
    g.write("/srv/app/three.conf", b"not at all\n").expect("write");
    let lens = "Puppet.lns";
    g.aug_transform(lens, "/srv/app/*.conf", &Default::default()).expect("aug_transform");
    let not_this = AugTransformOptions { remove: Some(true) };
    g.aug_transform(lens, "/srv/app/two.conf", &not_this).expect("aug_transform");
    g.aug_load().expect("aug_load");
    let errors = g.aug_match("/augeas//error").expect("aug_match");
    let expected =
        ["/augeas/files/srv/app/one.conf/error", "/augeas/files/srv/app/three.conf/error"];
    assert_eq!(errors, expected);
    g.aug_transform("Simplevars.lns", "/srv/app/one.conf", &Default::default()).expect("transform");
    g.aug_transform(lens, "/srv/app/one.conf", &not_this).expect("aug_transform");
    g.aug_load().expect("aug_load");
    assert_eq!(g.aug_get("/files/srv/app/one.conf/key").expect("aug_get"), "value");
    assert_eq!(g.aug_match("/files/srv/app/*").expect("match"), ["/files/srv/app/one.conf"]);
    // An error in one file does not keep the others from being saved.
    g.aug_set("/files/srv/app/one.conf/key", "changed").expect("aug_set");
    g.aug_set("/files/etc/hostname/nonsense", "x").expect("aug_set");
    refused(g.aug_save(), "EIO aug_save: Augeas: /etc/hostname: ");
    assert_eq!(g.cat("/srv/app/one.conf").expect("cat"), "# ours\nkey = changed\n");
    assert_eq!(g.cat("/etc/hostname").expect("cat"), "renamed\n");
    g.aug_close().expect("aug_close");
    g.umount_all().expect("umount_all");
}

/// In one process of guestfish: open, edit, save.
#[test]
fn by_guestfish() {
    let _held = hold_build();
    let guest = Guest::new();
    let disk = guest.disk();
    let guestfish = |options: &[&str], commands: &[&str]| {
        let mut command = Command::new(target().join("release/guestfish"));
        command.env("LIBGUESTFS_PATH", appliance()).args(options);
        command.arg("--format=qcow2").arg("-a").arg(&disk).args(["-m", "/dev/sda1"]).args(commands);
        command
    };
    let commands = [
        "aug-init",
        "/",
        "96",
        ":",
        "aug-transform",
        "Hosts.lns",
        "/etc/hosts",
        ":",
        "aug-load",
        ":",
        "aug-set",
        "/files/etc/hosts/1/canonical",
        "edited",
        ":",
        "aug-save",
        ":",
        "aug-match",
        "/files/etc/hosts/1/*",
        ":",
        "cat",
        "/etc/hosts",
    ];
    let printed = run(&mut guestfish(&["--rw"], &commands));
    let expected = "/files/etc/hosts/1/ipaddr\n/files/etc/hosts/1/canonical\n127.0.0.1\tedited\n";
    assert!(printed.starts_with(expected), "{printed}");
    // A disk that is opened read-only does not change.
    let output = guestfish(&["--ro"], &commands).output().expect("guestfish");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    let printed = run(&mut guestfish(&["--ro"], &["cat", "/etc/hosts"]));
    assert!(printed.starts_with("127.0.0.1\tedited\n::1"), "{printed}");
}

#[test]
fn by_python() {
    let _held = hold_build();
    let guest = Guest::new();
    let mut python = tool("python3");
    python
        .arg(top().join("tests/tests/ring_4/whole/guest/edit.py"))
        .arg(guest.disk())
        .env("PYTHONPATH", target().join("python"))
        .env("LIBGUESTFS_PATH", appliance());
    let expected = "1\n\
                    ['/files/etc/hosts/1', '/files/etc/hosts/2', '/files/etc/hosts/3', '/files/etc/hosts/4']\n\
                    (2, 0) (1, 1)\n\
                    aug_get: /files/nothing: no such node\n\
                    10.0.0.1 five\n";
    assert_eq!(run(&mut python), expected);
}
