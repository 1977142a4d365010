// SPDX-License-Identifier: LGPL-2.1-or-later
//! The program as its user sees it, as far as it goes without the appliance.

mod common;

use std::fs;

use common::Place;

/// A script that fails with this message, having printed this.
#[track_caller]
fn check_failure(args: &[&str], stdin: &str, stdout: &str, stderr: &str) {
    let (status, out, err) = Place::new().run(args, stdin);
    assert_eq!((out.as_str(), err.as_str(), status), (stdout, stderr, 1));
}

#[test]
fn what_options_print() {
    let place = Place::new();
    let (status, stdout, _) = place.run(&["--version"], "");
    assert!(status == 0 && stdout.starts_with("guestfish 1."), "{stdout}");
    let (status, stdout, _) = place.run(&["--help"], "");
    assert!(status == 0 && stdout.contains("-a, --add <IMAGE>"), "{stdout}");
    let (status, stdout, _) = place.run(&["-h"], "");
    assert!(status == 0 && stdout.contains("\nmkfs "), "{stdout}");
    let (status, stdout, _) = place.run(&["-h", "vi"], "");
    assert!(status == 0 && stdout.starts_with("NAME\n    edit - "), "{stdout}");
    check_failure(
        &["-i"],
        "",
        "",
        "guestfish: --inspector: not available in this build: mount the filesystems with --mount, \
         list-filesystems lists them\n",
    );
}

#[test]
fn commands_that_need_no_appliance() {
    let place = Place::new();
    let script = "\
disk-create a.qcow2 qcow2 10M
disk-format a.qcow2
disk_virtual_size a.qcow2
add a.qcow2 label:one
sparse b.img 1M
memsize 1G
get-memsize
is-config
get-append
";
    place.check(&[], script, "qcow2\n10485760\n1024\ntrue\n(null)\n");
    assert_eq!(fs::metadata(place.path("b.img")).unwrap().len(), 1 << 20);
    place.check(&["set-smp", "3", ":", "get-smp"], "", "3\n");
    fs::write(place.path("script"), "# nothing\n\necho from a file").unwrap();
    place.check(&["-f", "script"], "echo not this", "from a file\n");
}

#[test]
fn errors_stop_a_script() {
    check_failure(
        &[],
        "echo one\nmkfs\necho two\n",
        "one\n",
        "guestfish: mkfs: takes at least 2 parameters, not 0; 'help mkfs' tells more\n",
    );
    check_failure(
        &["add-drive", "/missing.img", ":", "echo", "two"],
        "",
        "",
        "libguestfs: error: add_drive: /missing.img: No such file or directory\n",
    );
    check_failure(
        &["missing.img"],
        "",
        "",
        "guestfish: missing.img: unknown command; 'help' lists the commands\n",
    );
}

#[test]
fn words_that_are_files_are_disks() {
    let place = Place::new();
    fs::write(place.path("disk.img"), vec![0; 1 << 20]).unwrap();
    place.check(&["disk.img", "is-config"], "", "true\n");
    place.check(&["disk.img"], "is-config\n", "true\n");
    let (status, _, stderr) = place.run(&["disk.img", "-m", "/dev/sda1"], "");
    assert_eq!(status, 1);
    assert_eq!(stderr, "guestfish: -m: options have to stand before the disks\n");
    place.check(&["disk.img", "-is-config"], "", "true\n");
}

#[test]
fn errors_may_be_ignored() {
    let (status, stdout, stderr) = Place::new().run(&[], "-add /missing.img\necho two\n");
    assert_eq!((status, stdout.as_str()), (0, "two\n"));
    assert!(stderr.starts_with("libguestfs: error: add_drive: /missing.img: "), "{stderr}");
    let (status, stdout, _) = Place::new().run(&["-frob"], "");
    assert_eq!((status, stdout.as_str()), (1, ""), "an option, not a command");
    let (status, stdout, _) = Place::new().run(&["--", "-frob", ":", "echo", "two"], "");
    assert_eq!((status, stdout.as_str()), (0, "two\n"));
}

#[test]
fn words_and_quotes() {
    let place = Place::new();
    place.check(&[], "echo 'a  b' \"c\\td\\x21\" e\\n it's", "a  b c\td! e\\n it's\n");
    place.check(&["echo", "a  b", "'c'"], "", "a  b 'c'\n");
    check_failure(&[], "echo 'a", "", "guestfish: the closing ' is missing\n");
}

#[test]
fn programs_of_the_host() {
    let place = Place::new();
    place.check(&[], "echo abc | tr a-c x-z", "xyz\n");
    place.check(&[], "!echo hello", "hello\n");
    place.check(&[], "<!echo echo generated\necho last", "generated\nlast\n");
    place.check(&[], "setenv WORD x\n!echo $WORD\nunsetenv WORD\n!echo .$WORD", "x\n.\n");
    place.check(&[], "help mkfs | head -1", "NAME\n");
    fs::create_dir(place.path("sub")).unwrap();
    place.check(&[], "lcd sub\n!basename \"$PWD\"", "sub\n");
    check_failure(&[], "!exit 4\necho two", "", "guestfish: exit 4: exit status: 4\n");
}

#[test]
fn events_run_programs() {
    let script = "\
event note trace 'echo \"$EVENT: $1\"'
list-events
set-trace true
set-smp 2
set-trace false
delete-event note
list-events
";
    let (status, stdout, stderr) = Place::new().run(&[], script);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("\"note\" (trace): echo"), "{stdout}");
    assert!(stdout.contains("trace: set_smp 2\n"), "{stdout}");
    check_failure(&[], "delete-event x", "", "guestfish: x: there is no such event handler\n");
}

#[test]
fn reopen_keeps_settings() {
    let script = "memsize 2000\nadd-ro /dev/null\nreopen\nget-memsize\nget-smp\n";
    Place::new().check(&[], script, "2000\n1\n");
}

#[test]
fn quit_ends_a_script() {
    Place::new().check(&[], "echo one\nquit\necho two\n", "one\n");
}
