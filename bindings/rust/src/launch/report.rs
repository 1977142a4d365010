// SPDX-License-Identifier: LGPL-2.1-or-later
//! Why an appliance failed, and what to do about it, from what qemu and the guest have left.

use std::collections::VecDeque;
use std::io::Write;

use bstr::ByteSlice;

use super::process::Ended;

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

/// One text of what is known: the cause first, the remedy last.
pub(super) fn explain(fate: &Fate, stderr: &str, console: &str, drives: &[String]) -> String {
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
    let Some(cause) = cause else {
        return match fate {
            Fate::Silent(_) => {
                format!("{event}, and nothing was heard of it; is the machine overloaded?")
            }
            // 9 is SIGKILL: that is how the kernel makes room, too.
            Fate::Ended(Some(Ended::Killed(9))) => {
                format!("{event}; has the machine run out of memory?")
            }
            Fate::Ended(_) => format!("{event} without a word"),
        };
    };
    match remedy(&cause) {
        Some(remedy) => format!("{event}: {cause}; {remedy}"),
        None => format!("{event}: {cause}"),
    }
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
const TELLING: [&str; 5] = [
    "System is deadlocked on memory",
    "Out of memory: ",
    "guestfsd: error: ",
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

const NO_KERNEL: &str = "the kernel of the appliance is damaged: build it again";

/// What to do about a cause that contains the words.
const REMEDIES: [(&str, &str); 11] = [
    (
        "\" lock",
        "another process has the disk open: if that is a virtual machine, shut it down or add the \
         drive read-only",
    ),
    (
        "cannot set up guest memory",
        "give the appliance less memory with set_memsize or LIBGUESTFS_MEMSIZE",
    ),
    ("deadlocked on memory", MORE_MEMORY),
    ("Out of memory", MORE_MEMORY),
    ("Unknown driver", "this qemu lacks it: on Debian, install qemu-block-extra"),
    ("Image is not in", "name the format the drive really has, or none"),
    ("Parameter 'driver'", "name a format that this qemu knows, or none"),
    ("Unable to mount root fs", "the appliance is damaged: build it again"),
    ("linux kernel too old", NO_KERNEL),
    ("error loading", NO_KERNEL),
    ("KVM", "set the backend setting force_tcg to do without it"),
];

fn remedy(cause: &str) -> Option<&'static str> {
    REMEDIES.iter().find(|(words, _)| cause.contains(words)).map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fate: Fate, stderr: &str, console: &str, expected: &str) {
        let drives = ["/a.img".to_owned(), "/b.img".to_owned()];
        assert_eq!(explain(&fate, stderr, console, &drives), expected);
    }

    const EXITED: Fate = Fate::Ended(Some(Ended::Exited(1)));

    #[test]
    fn causes_and_remedies() {
        check(
            EXITED,
            "qemu-system-x86_64: -blockdev {\"driver\":\"qcow2\",\"node-name\":\"drive1\"}: Image \
             is not in qcow2 format\n",
            "",
            "qemu exited with status 1: /b.img: Image is not in qcow2 format; name the format the \
             drive really has, or none",
        );
        check(
            EXITED,
            "qemu-system-x86_64: -device scsi-hd,bus=scsi.0,drive=drive0,lun=0: Failed to get \
             \"write\" lock\nIs another process using the image [/a.img]?\n",
            "",
            "qemu exited with status 1: /a.img: Failed to get \"write\" lock; another process has \
             the disk open: if that is a virtual machine, shut it down or add the drive read-only",
        );
        check(
            EXITED,
            "qemu-system-x86_64: -blockdev {\"node-name\":\"drive0\"}: Could not open '/a.img': \
             Permission denied",
            "",
            "qemu exited with status 1: Could not open '/a.img': Permission denied",
        );
        check(
            Fate::Ended(Some(Ended::Exited(0))),
            "qemu-system-x86_64: warning: host doesn't support it\n",
            "[ 1.0] x\r\n[ 2.0] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n[ 2.0] \
             CPU: 0\r\n",
            "qemu exited with status 0: Kernel panic - not syncing: VFS: Unable to mount root fs; \
             the appliance is damaged: build it again",
        );
        check(
            Fate::Silent(300),
            "",
            "one\r\ntwo\r\n\r\nthree\r\nfour",
            "the appliance is not ready after 300 seconds: last on its console: two | three | four",
        );
        check(
            Fate::Ended(Some(Ended::Killed(9))),
            "",
            "",
            "qemu was killed by signal 9; has the machine run out of memory?",
        );
        check(
            EXITED,
            "/tmp/wrapper: line 2: qemu-kvm: not found",
            "",
            "qemu exited with status 1: /tmp/wrapper: line 2: qemu-kvm: not found",
        );
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
