// SPDX-License-Identifier: LGPL-2.1-or-later
//! An appliance that is launched, used and shut down, and what was heard of it meanwhile.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bstr::ByteSlice;
use guestfs::{Events, Handle, Payload, Result};

use crate::report::Report;

/// The disk to work on: none of the user's.
const DISK_BYTES: i64 = 256 << 20;

const CONTENT: &[u8] = b"guestfs-test-tool was here\n";

/// Lines of the console that are quoted.
const CONSOLE_LINES: usize = 40;

/// What a handle has said: messages of the library, and the console.
#[derive(Default)]
struct Heard {
    library: Vec<String>,
    console: Vec<u8>,
}

/// Boots an appliance with all messages, and says whether it works.
pub(crate) fn by_booting(g: &Handle, report: &mut Report) -> bool {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let ours = heard.clone();
    g.set_event_callback(Events::LIBRARY | Events::APPLIANCE, move |_, event, _, payload| {
        let Payload::Buf(text) = payload else { return };
        let mut heard = ours.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Events::APPLIANCE => heard.console.extend_from_slice(text),
            _ => heard.library.push(text.to_str_lossy().trim_end().to_owned()),
        }
    });
    let started = Instant::now();
    let result = g
        .set_verbose(true)
        .and_then(|()| g.set_backend_setting("template", "0"))
        .and_then(|()| add_disk(g))
        .and_then(|()| g.launch());
    let milliseconds = started.elapsed().as_millis();
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    report.quote("messages", &heard.library.join("\n"));
    match result {
        Ok(()) => report.good(format!("launched in {milliseconds} ms")),
        Err(error) => {
            let text = heard.console.to_str_lossy();
            let lines: Vec<_> = text.lines().filter(|it| !it.trim().is_empty()).collect();
            let last = &lines[lines.len().saturating_sub(CONSOLE_LINES)..];
            report.quote("last lines of the console", &last.join("\n"));
            report.problem(error);
            return false;
        }
    }
    drop(heard);
    shut_down(g, report)
}

/// Makes the template that launches go on from, unless it is there.
pub(crate) fn template(g: &Handle, report: &Report) {
    let started = Instant::now();
    match g.warm() {
        Ok(true) => report.good(format!("made in {} ms", started.elapsed().as_millis())),
        Ok(false) => report.good("it is there, and works"),
        Err(error) => report.warning(format!("launches boot, which takes longer: {error}")),
    }
}

/// Launches as every program does.
pub(crate) fn as_usual(g: &Handle, report: &mut Report) -> bool {
    let started = Instant::now();
    if let Err(error) = add_disk(g).and_then(|()| g.launch()) {
        report.problem(error);
        return false;
    }
    let milliseconds = started.elapsed().as_millis();
    let command_line = command_line(g).unwrap_or_default();
    report.quote("qemu", &command_line);
    // A machine that is restored is told that its state is to come.
    let how = match command_line.contains(" -incoming ") {
        true => "restored from a template",
        false => "booted, not restored from a template",
    };
    report.good(format!("launched in {milliseconds} ms: {how}"));
    match work(g) {
        Ok(()) => report.good("a partition, a filesystem and a file were made and read"),
        Err(error) => report.problem(error),
    }
    shut_down(g, report)
}

fn add_disk(g: &Handle) -> Result<()> {
    g.add_drive_scratch(DISK_BYTES, &Default::default())
}

/// What people do with disks, from the empty one to a file.
fn work(g: &Handle) -> Result<()> {
    g.part_disk("/dev/sda", "mbr")?;
    g.mkfs("ext4", "/dev/sda1", &Default::default())?;
    g.mount("/dev/sda1", "/")?;
    g.write("/file", CONTENT)?;
    g.umount_all()?;
    g.mount_ro("/dev/sda1", "/")?;
    match g.read_file("/file")? {
        read if read == CONTENT => Ok(()),
        _ => Err(guestfs::Error::new(0, "/file: not what was written")),
    }
}

fn shut_down(g: &Handle, report: &mut Report) -> bool {
    let result = g.shutdown();
    match &result {
        Ok(()) => report.good("shut down"),
        Err(error) => report.problem(error),
    }
    result.is_ok()
}

/// The command line of the qemu that runs.
fn command_line(g: &Handle) -> Option<String> {
    let words = fs::read(format!("/proc/{}/cmdline", g.get_pid().ok()?)).ok()?;
    Some(words.trim_end_with(|it| it == '\0').replace("\0", " ").to_str_lossy().into_owned())
}
