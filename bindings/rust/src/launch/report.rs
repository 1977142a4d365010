// SPDX-License-Identifier: LGPL-2.1-or-later
//! Why an appliance failed, and what to do about it, from what qemu and the guest have left.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;

use bstr::ByteSlice;
use nix::errno::Errno;

use super::process::Ended;
use crate::error::Error;

/// As much of the console as is kept.
const TAIL_MAX: usize = 64 << 10;

/// Lines that are quoted when none of them explains anything.
const QUOTED_LINES: usize = 3;

/// The end of the console's text.
#[derive(Default)]
pub(super) struct Tail(VecDeque<u8>);

impl Tail {
    pub(super) fn absorb(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_MAX)..];
        let excess = (self.0.len() + bytes.len()).saturating_sub(TAIL_MAX);
        self.0.drain(..excess);
        // Writing to memory can't fail.
        let _ = self.0.write_all(bytes);
    }

    pub(super) fn text(&self) -> String {
        let (a, b) = self.0.as_slices();
        String::from_utf8_lossy(&[a, b].concat()).into_owned()
    }
}

/// What happened to the appliance.
pub(super) enum Fate {
    /// qemu has ended by itself.
    Ended(Option<Ended>),
    /// It runs, but the daemon hasn't come up in as many seconds.
    Silent(u64),
}

/// What is known of an appliance that failed.
pub(super) struct Evidence<'a> {
    pub fate: Fate,
    pub stderr: &'a str,
    pub console: &'a str,
    /// What messages call the drives.
    pub drives: &'a [String],
    /// It has never been ready.
    pub launching: bool,
}

/// One text of what is known: the cause first, the remedy last.
pub(super) fn explain(evidence: &Evidence<'_>) -> String {
    let Evidence { fate, stderr, console, drives, launching } = evidence;
    let event = match fate {
        Fate::Ended(Some(Ended::Exited(code))) => format!("qemu exited with status {code}"),
        Fate::Ended(Some(Ended::Killed(signal))) => format!("qemu was killed by signal {signal}"),
        Fate::Ended(Some(Ended::Unknown)) => "qemu exited".to_owned(),
        Fate::Ended(None) => "qemu closed its connection".to_owned(),
        Fate::Silent(seconds) => format!("the appliance is not ready after {seconds} seconds"),
    };
    let cause = last_error(stderr)
        .map(|it| name_drive(&it, drives))
        .or_else(|| telling_line(console))
        .or_else(|| quote(console));
    let remedy = cause.as_deref().and_then(|it| remedy(&REMEDIES, it)).or_else(|| match fate {
        Fate::Ended(Some(Ended::Killed(signal))) => remedy_for_signal(*signal),
        Fate::Silent(_) => Some(MORE_TIME),
        Fate::Ended(_) => launching.then_some(TEST_TOOL),
    });
    let mut text = match (cause, fate) {
        (Some(cause), _) => format!("{event}: {cause}"),
        (None, Fate::Silent(_)) => format!("{event}, and nothing was heard of it"),
        (None, Fate::Ended(Some(Ended::Killed(_)))) => event,
        (None, Fate::Ended(_)) => format!("{event} without a word"),
    };
    if let Some(remedy) = remedy {
        text.push_str("; ");
        text.push_str(remedy);
    }
    text
}

/// The last complaint of qemu's, without the name of the program.
pub(super) fn last_error(stderr: &str) -> Option<String> {
    let mut complaints = stderr.lines().map(str::trim).filter(|it| {
        // Ends of multi-line messages and hints, which explain nothing alone.
        !it.is_empty() && !it.contains("warning: ") && !it.starts_with("Is another process")
    });
    let line = complaints.next_back()?;
    // "qemu-system-x86_64: message", perhaps with a directory; a wrapper has its own name.
    let message = match line.split_once(": ") {
        Some((program, message)) if !program.contains(' ') && program.contains("qemu") => message,
        _ => line,
    };
    Some(message.to_owned())
}

/// Whether qemu has refused a drive, as it would however it was started.
pub(super) fn refuses_a_drive(stderr: &str) -> bool {
    last_error(stderr).is_some_and(|it| DRIVE_OPTIONS.iter().any(|option| it.starts_with(option)))
}

/// How a complaint about a drive begins.
const DRIVE_OPTIONS: [&str; 2] = ["-blockdev {", "-device scsi-hd,"];

/// The name of the blockdev of a drive.
pub(super) fn node_name(index: usize) -> String {
    format!("drive{index}")
}

/// Replaces qemu's copy of a whole option by the name of the drive it was for.
fn name_drive(message: &str, drives: &[String]) -> String {
    // Reasons don't end in braces; file names in the option may hold anything.
    let [node, device] = DRIVE_OPTIONS;
    let split = match message.strip_prefix(node) {
        Some(rest) => rest.rsplit_once("}: "),
        None => message.strip_prefix(device).and_then(|it| it.split_once(": ")),
    };
    let Some((option, reason)) = split else { return message.to_owned() };
    let drive = drives.iter().enumerate().find(|(index, _)| {
        let node = node_name(*index);
        option.contains(&format!("\"node-name\":\"{node}\""))
            || option.split(',').any(|it| it == format!("drive={node}"))
    });
    match drive {
        // The reason may name it already.
        Some((_, drive)) if !reason.contains(drive.as_str()) => format!("{drive}: {reason}"),
        _ => reason.to_owned(),
    }
}

/// Lines of the console that say by themselves what went wrong, most telling first.
const TELLING: [&str; 7] = [
    "System is deadlocked on memory",
    "Out of memory: ",
    "Initramfs unpacking failed: ",
    "guestfsd: error: ",
    "thread 'main' panicked at ",
    "Kernel panic - not syncing: ",
    "BUG: ",
];

fn telling_line(console: &str) -> Option<String> {
    TELLING.iter().find_map(|needle| {
        let line = console.lines().find(|it| it.contains(needle))?;
        Some(line[line.find(needle)?..].trim().to_owned())
    })
}

fn quote(console: &str) -> Option<String> {
    let lines = console.as_bytes().lines().map(<[u8]>::trim_ascii).filter(|it| !it.is_empty());
    let mut last: Vec<_> = lines.rev().take(QUOTED_LINES).map(|it| it.to_str_lossy()).collect();
    last.reverse();
    (!last.is_empty()).then(|| format!("last on its console: {}", last.join(" | ")))
}

const MORE_MEMORY: &str = "give the appliance more memory with set_memsize or LIBGUESTFS_MEMSIZE";

const LESS_MEMORY: &str = "give the appliance less memory with set_memsize or LIBGUESTFS_MEMSIZE, \
                           or this program more (ulimit -v, cgroups)";

const MORE_TIME: &str = "if the machine is only slow, allow more with the backend setting \
                         timeout; guestfs-test-tool shows what hangs";

const TEST_TOOL: &str = "guestfs-test-tool tells more";

pub(super) const REBUILD: &str = "build the appliance again with guestfs-appliance, or name the \
                                  directory of another one with LIBGUESTFS_PATH";

const DAMAGED: &str = "the appliance is damaged: build it again with guestfs-appliance";

const BAD_PROGRAM: &str = "install qemu again, as it does not fit its libraries, or name another \
                           one with LIBGUESTFS_HV";

const LACKING: &str = "this qemu lacks it: install qemu-system-x86 whole, or name another one with \
                       LIBGUESTFS_HV";

const FORMAT: &str = "name the format the drive really has, or none";

const FIRMWARE: &str = "install the firmware of qemu: seabios and qemu-system-data";

const KVM_GROUP: &str = "add this user to the group that owns /dev/kvm, which is usually kvm, and \
                         log in again";

const KVM_OFF: &str = "switch virtualization on in the firmware of this machine and load kvm_intel \
                       or kvm_amd; a virtual machine needs a host that passes it on";

const OPEN_FILES: &str = "raise the limit of open files (ulimit -n)";

const FILE_SIZE: &str = "raise the limit on the size of files (ulimit -f)";

/// What to do about a cause that contains the words.  The first that fits is given.
const REMEDIES: [(&str, &str); 34] = [
    (
        "\" lock",
        "another process has the disk open: if that is a virtual machine, shut it down or add the \
         drive read-only",
    ),
    ("deadlocked on memory", MORE_MEMORY),
    ("Out of memory", MORE_MEMORY),
    ("cannot set up guest memory", LESS_MEMORY),
    ("annot allocate memory", LESS_MEMORY),
    ("Too many open files", OPEN_FILES),
    (
        "Could not open backing file",
        "the disk is an overlay: bring its backing file back, or correct the name with qemu-img \
         rebase",
    ),
    ("Unknown driver", "this qemu lacks it: on Debian, install qemu-block-extra"),
    ("Image is not in", FORMAT),
    ("not in qcow2 format", FORMAT),
    ("invalid VMDK image descriptor", FORMAT),
    ("is corrupt", "qemu-img check tells what is broken, and mends some of it"),
    ("Parameter 'driver'", "name a format that this qemu knows, or none"),
    ("Initramfs unpacking failed", DAMAGED),
    ("Unable to mount root fs", DAMAGED),
    ("No working init", DAMAGED),
    ("Attempted to kill init", DAMAGED),
    ("linux kernel too old", DAMAGED),
    ("rror loading", DAMAGED),
    ("rror while loading elf kernel", DAMAGED),
    ("could not load kernel", DAMAGED),
    ("could not load initrd", DAMAGED),
    (
        "guestfsd: error: ",
        "the appliance is damaged, or LIBGUESTFS_APPEND tells it something wrong: unset that, or \
         build it again with guestfs-appliance",
    ),
    ("error while loading shared libraries", BAD_PROGRAM),
    ("symbol lookup error", BAD_PROGRAM),
    ("is not a valid device model name", LACKING),
    ("unsupported machine type", LACKING),
    ("could not load PC BIOS", FIRMWARE),
    ("failed to find romfile", FIRMWARE),
    ("failed to install seccomp", "let the program use seccomp, or qemu do without -sandbox"),
    (
        "failed to initialize kvm",
        "add this user to the group that owns /dev/kvm, or set the backend setting force_tcg",
    ),
    ("KVM", "set the backend setting force_tcg to do without it"),
    ("Permission denied", "let this user read and write it, or add the drive read-only"),
    ("No space left on device", "make room on the host"),
];

/// What to do about a KVM that does not work, for those who insist on it.
const REMEDIES_FOR_KVM: [(&str, &str); 3] =
    [("Permission denied", KVM_GROUP), ("No such", KVM_OFF), ("", TEST_TOOL)];

fn remedy(table: &[(&str, &'static str)], cause: &str) -> Option<&'static str> {
    table.iter().find(|(words, _)| cause.contains(words)).map(|(_, remedy)| *remedy)
}

/// An explanation without what it ends in: the cause is known better.
pub(super) fn without_remedy(text: &str) -> &str {
    let remedies = REMEDIES.iter().map(|(_, remedy)| *remedy);
    let mut remedies = remedies.chain([MORE_TIME, TEST_TOOL, REBUILD]);
    let cut = remedies.find_map(|it| text.strip_suffix(it)?.strip_suffix("; "));
    cut.unwrap_or(text)
}

/// What to do about KVM which does not work for this reason.
pub(super) fn remedy_for_kvm(why: &str) -> &'static str {
    remedy(&REMEDIES_FOR_KVM, why).unwrap_or_default()
}

/// What usually sends the signal to qemu.
fn remedy_for_signal(signal: i32) -> Option<&'static str> {
    match signal {
        // That is how the kernel makes room, too.
        libc::SIGKILL => Some(
            "if the machine or a cgroup has run out of memory, give the appliance less with \
             LIBGUESTFS_MEMSIZE",
        ),
        libc::SIGSEGV | libc::SIGABRT | libc::SIGILL | libc::SIGBUS | libc::SIGFPE => {
            Some("it has crashed: install another version, or name another qemu with LIBGUESTFS_HV")
        }
        libc::SIGXFSZ => Some(FILE_SIZE),
        libc::SIGXCPU => Some("raise the limit on processor time (ulimit -t)"),
        libc::SIGSYS => Some("a sandbox around this program forbids qemu what it needs (seccomp)"),
        _ => None,
    }
}

/// The error of a launch, with a remedy if it is this process that may not do more.
pub(super) fn of_limits(error: Error) -> Error {
    let remedy = match Errno::from_raw(error.errno()) {
        Errno::EMFILE | Errno::ENFILE => OPEN_FILES,
        Errno::EAGAIN => "raise the limit on processes and threads (ulimit -u)",
        Errno::ENOMEM => LESS_MEMORY,
        _ => return error,
    };
    Error::new(error.errno(), format!("{}; {remedy}", error.message()))
}

/// A program that could not be started: it is the program unless it is a limit.
pub(super) fn not_started(hv: &Path, error: &io::Error) -> Error {
    let error = Error::io(error, hv.display());
    match Errno::from_raw(error.errno()) {
        Errno::EACCES | Errno::ENOENT | Errno::ENOEXEC | Errno::ELOOP | Errno::EPERM => {
            let message = format!("{}; name another qemu with LIBGUESTFS_HV", error.message());
            Error::new(error.errno(), message)
        }
        _ => error,
    }
}

/// A file that could not be made in the directory for temporary files.
pub(crate) fn no_temporary_file(tmpdir: &Path, error: &io::Error) -> Error {
    let error = Error::io(error, tmpdir.display());
    let remedy = match Errno::from_raw(error.errno()) {
        Errno::EFBIG => FILE_SIZE,
        _ => {
            "temporary files have to be made there: make room, or name another directory with \
             LIBGUESTFS_TMPDIR"
        }
    };
    Error::new(error.errno(), format!("{}; {remedy}", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines are the event with the cause, and the remedy.
    #[track_caller]
    fn check(fate: Fate, stderr: &str, console: &str, expected: [&str; 2]) {
        let drives = &["/a.img".to_owned(), "/b.img".to_owned()];
        let text = explain(&Evidence { fate, stderr, console, drives, launching: true });
        let split = text.split_once("; ").unwrap_or((&text, ""));
        assert_eq!(<[&str; 2]>::from(split), expected);
    }

    const EXITED: Fate = Fate::Ended(Some(Ended::Exited(1)));

    const REBOOTED: Fate = Fate::Ended(Some(Ended::Exited(0)));

    fn killed(signal: i32) -> Fate {
        Fate::Ended(Some(Ended::Killed(signal)))
    }

    #[test]
    fn said_of_drives() {
        let check = |stderr: &str, cause: &str, remedy: &str| {
            let stderr = format!("qemu-system-x86_64: {stderr}\n");
            check(EXITED, &stderr, "", [&format!("qemu exited with status 1: {cause}"), remedy]);
        };
        check(
            "-blockdev {\"driver\":\"qcow2\",\"node-name\":\"drive1\"}: Image is not in qcow2 \
             format",
            "/b.img: Image is not in qcow2 format",
            FORMAT,
        );
        check(
            "-device scsi-hd,bus=scsi.0,drive=drive0,lun=0: Failed to get \"write\" lock\nIs \
             another process using the image [/a.img]?",
            "/a.img: Failed to get \"write\" lock",
            REMEDIES[0].1,
        );
        check(
            "-blockdev {\"node-name\":\"drive0\"}: Could not open '/a.img': Permission denied",
            "Could not open '/a.img': Permission denied",
            "let this user read and write it, or add the drive read-only",
        );
        check(
            "-blockdev {\"node-name\":\"drive0\"}: Could not open backing file: Could not open \
             '/base': No such file or directory",
            "/a.img: Could not open backing file: Could not open '/base': No such file or directory",
            REMEDIES[6].1,
        );
        check(
            "-blockdev {\"node-name\":\"drive0\"}: qcow2: Image is corrupt; cannot be opened \
             read/write",
            "/a.img: qcow2: Image is corrupt",
            "cannot be opened read/write; qemu-img check tells what is broken, and mends some of it",
        );
    }

    #[test]
    fn said_by_qemu() {
        let check = |stderr: &str, cause: &str, remedy: &str| {
            check(EXITED, stderr, "", [&format!("qemu exited with status 1: {cause}"), remedy]);
        };
        check(
            "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory",
            "cannot set up guest memory 'pc.ram': Cannot allocate memory",
            LESS_MEMORY,
        );
        check(
            "/usr/bin/qemu-system-x86_64: error while loading shared libraries: libpixman-1.so.0: \
             cannot open shared object file: No such file or directory",
            "error while loading shared libraries: libpixman-1.so.0: cannot open shared object \
             file: No such file or directory",
            BAD_PROGRAM,
        );
        check(
            "qemu: could not load PC BIOS 'bios-256k.bin'",
            "could not load PC BIOS 'bios-256k.bin'",
            FIRMWARE,
        );
        check(
            "qemu-system-x86_64: Error while loading elf kernel",
            "Error while loading elf kernel",
            DAMAGED,
        );
        check(
            "Could not access KVM kernel module: Permission denied\nqemu-system-x86_64: failed to \
             initialize kvm: Permission denied",
            "failed to initialize kvm: Permission denied",
            "add this user to the group that owns /dev/kvm, or set the backend setting force_tcg",
        );
        check(
            "/tmp/wrapper: line 2: qemu-kvm: not found",
            "/tmp/wrapper: line 2: qemu-kvm: not found",
            TEST_TOOL,
        );
    }

    #[test]
    fn said_on_the_console() {
        let check = |console: &str, cause: &str, remedy: &str| {
            // What is only a warning of qemu's explains nothing.
            let stderr = "qemu-system-x86_64: warning: host doesn't support it\n";
            let cause = format!("qemu exited with status 0: {cause}");
            check(REBOOTED, stderr, console, [&cause, remedy]);
        };
        check(
            "[ 1.0] x\r\n[ 2.0] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n[ 2.0] \
             CPU: 0\r\n",
            "Kernel panic - not syncing: VFS: Unable to mount root fs",
            DAMAGED,
        );
        check(
            "[ 2.4] Initramfs unpacking failed: read error\r\n[ 2.5] Kernel panic - not syncing: \
             No working init found.\r\n",
            "Initramfs unpacking failed: read error",
            DAMAGED,
        );
        check(
            "[ 3.1] Kernel panic - not syncing: System is deadlocked on memory\r\n",
            "System is deadlocked on memory",
            MORE_MEMORY,
        );
        check(
            "[ 3.1] erofs: (device vda): cannot read superblock\r\nguestfsd: error: /dev/vda: \
             Invalid argument\r\n[ 3.2] reboot: Restarting system\r\n",
            "guestfsd: error: /dev/vda: Invalid argument",
            REMEDIES[22].1,
        );
        check(
            "[ 3.1] Kernel panic - not syncing: hung_task: blocked tasks\r\n",
            "Kernel panic - not syncing: hung_task: blocked tasks",
            TEST_TOOL,
        );
    }

    #[test]
    fn said_by_nobody() {
        let silent = "the appliance is not ready after 300 seconds";
        let unheard = format!("{silent}, and nothing was heard of it");
        check(Fate::Silent(300), "", "", [&unheard, MORE_TIME]);
        check(
            Fate::Silent(300),
            "",
            "one\r\ntwo\r\n\r\nthree\r\nfour",
            [&format!("{silent}: last on its console: two | three | four"), MORE_TIME],
        );
        let memory = remedy_for_signal(9).unwrap();
        check(killed(9), "", "", ["qemu was killed by signal 9", memory]);
        let crash = remedy_for_signal(11).unwrap();
        check(
            killed(11),
            "",
            "one",
            ["qemu was killed by signal 11: last on its console: one", crash],
        );
        check(killed(15), "", "", ["qemu was killed by signal 15", ""]);
        check(EXITED, "", "", ["qemu exited with status 1 without a word", TEST_TOOL]);
    }

    #[test]
    fn kvm() {
        assert_eq!(remedy_for_kvm("Permission denied"), KVM_GROUP);
        assert_eq!(remedy_for_kvm("No such file or directory"), KVM_OFF);
        assert_eq!(remedy_for_kvm("a test kernel hangs after \"x\""), TEST_TOOL);
    }

    #[test]
    fn errors_of_the_system() {
        let system = |errno: Errno| io::Error::from_raw_os_error(errno as i32);
        let hv = Path::new("/qemu");
        let check = |error: Error, expected: &str| assert_eq!(error.message(), expected);
        check(
            not_started(hv, &system(Errno::ENOENT)),
            "/qemu: No such file or directory; name another qemu with LIBGUESTFS_HV",
        );
        check(
            of_limits(not_started(hv, &system(Errno::EMFILE))),
            "/qemu: Too many open files; raise the limit of open files (ulimit -n)",
        );
        check(of_limits(Error::new(0, "unchanged")), "unchanged");
    }

    #[test]
    fn drives_that_are_refused() {
        let check = |stderr: &str, expected| assert_eq!(refuses_a_drive(stderr), expected);
        check("qemu-kvm: -blockdev {\"node-name\":\"drive0\"}: Image is not in qcow2 format", true);
        check("qemu-kvm: -device scsi-hd,bus=scsi.0: Failed to get \"write\" lock", true);
        check("qemu-kvm: -object {\"id\":\"memory\"}: can't open backing store", false);
        check("", false);
    }

    #[test]
    fn tail_keeps_the_end() {
        let mut tail = Tail::default();
        tail.absorb(&[b'a'; 10]);
        tail.absorb(&vec![b'b'; TAIL_MAX - 4]);
        let text = tail.text();
        assert_eq!((text.len(), text.starts_with("aaaab")), (TAIL_MAX, true));
        tail.absorb(&vec![b'c'; TAIL_MAX + 1]);
        assert!(tail.text().bytes().all(|it| it == b'c'));
    }
}
