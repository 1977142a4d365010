// SPDX-License-Identifier: LGPL-2.1-or-later
//! The steps, each as independent of the others as it can be.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use guestfs::bstr::BString;
use guestfs::{ApplianceFile, FoundAppliance, Handle, Result};
use sha2::{Digest, Sha256};

use crate::cli::Options;
use crate::report::Report;
use crate::{host, launch};

/// What a template takes.
const ROOM_FOR_TEMPLATES: u64 = 1 << 30;

/// Looks at everything.
pub(crate) fn all(options: &Options, report: &mut Report) {
    report.fact("guestfs-test-tool", env!("CARGO_PKG_VERSION"));
    environment(report);
    machine(report);
    report.chapter("library");
    let g = match handle(options) {
        Ok(g) => g,
        Err(error) => return report.problem(error),
    };
    if let Err(error) = library(&g, report) {
        report.problem(error);
    }
    // What is missing is an error of each launch: no need to say it again.
    let found = hypervisor(&g, report) & appliance(&g, report);
    if found {
        kvm(&g, report);
    }
    directories(&g, report);
    if !found {
        return;
    }
    report.chapter("launch by booting");
    if !with_handle(options, report, launch::by_booting) {
        // The others would fail in the same way.
        return;
    }
    report.chapter("template");
    launch::template(&g, report);
    templates(&g, report);
    report.chapter("launch as usual");
    with_handle(options, report, launch::as_usual);
}

fn handle(options: &Options) -> Result<Handle> {
    let g = Handle::create()?;
    if let Some(qemu) = &options.qemu {
        g.set_hv(qemu.as_encoded_bytes())?;
    }
    if let Some(seconds) = options.timeout {
        g.set_backend_setting("timeout", seconds.to_string())?;
    }
    Ok(g)
}

fn with_handle(
    options: &Options,
    report: &mut Report,
    check: impl FnOnce(&Handle, &mut Report) -> bool,
) -> bool {
    match handle(options) {
        Ok(g) => check(&g, report),
        Err(error) => {
            report.problem(error);
            false
        }
    }
}

fn environment(report: &mut Report) {
    report.chapter("environment");
    for line in host::environment() {
        println!("{line}");
    }
}

fn machine(report: &mut Report) {
    report.chapter("machine");
    report.fact("kernel", host::kernel());
    report.fact("distribution", host::distribution());
    report.fact("processors", host::processors());
    report.fact("memory", host::memory());
    report.fact("user", nix::unistd::geteuid());
    for limit in host::limits() {
        report.fact("limit", limit);
    }
}

fn library(g: &Handle, report: &Report) -> Result<()> {
    let it = g.version()?;
    report.fact("version", format!("{}.{}.{}{}", it.major, it.minor, it.release, it.extra));
    report.fact("backend", g.get_backend()?);
    let settings = g.get_backend_settings()?;
    report.fact("backend settings", guestfs::bstr::join(" ", settings).escape_ascii());
    report.fact("memory of the appliance", format!("{} MiB", g.get_memsize()?));
    report.fact("processors of the appliance", g.get_smp()?);
    report.fact("append", g.get_append()?.unwrap_or_default());
    Ok(())
}

fn hypervisor(g: &Handle, report: &mut Report) -> bool {
    report.chapter("qemu");
    match g.find_hypervisor() {
        Ok(it) => {
            let [major, minor, micro] = it.version;
            let (path, machine) = (it.path.display(), it.machine);
            report.good(format!("{path}, version {major}.{minor}.{micro}, machine {machine}"));
            true
        }
        Err(error) => {
            report.problem(error);
            false
        }
    }
}

fn kvm(g: &Handle, report: &mut Report) {
    report.chapter("KVM");
    match g.why_not_kvm() {
        Ok(None) => report.good("it works, and is used"),
        Ok(Some(why)) => report.warning(format!("not used, so launches are slower: {why}")),
        Err(error) => report.problem(error),
    }
}

fn appliance(g: &Handle, report: &mut Report) -> bool {
    report.chapter("appliance");
    if let Ok(path) = g.get_path() {
        report.fact("looked for in", path);
    }
    let FoundAppliance { directory, made_by, files, .. } = match g.find_appliance() {
        Ok(it) => it,
        Err(error) => {
            report.problem(error);
            return false;
        }
    };
    report.good(directory.display());
    match made_by {
        Some(it) if it == env!("CARGO_PKG_VERSION") => report.good(format!("of guestfs {it}")),
        Some(it) => report.warning(format!("of another version of guestfs: {it}")),
        None => report.warning("it does not say which version of guestfs made it"),
    }
    for file in &files {
        whole(file, report);
    }
    true
}

/// Whether a file is what was made.
fn whole(file: &ApplianceFile, report: &mut Report) {
    let (path, size) = (file.path.display(), file.size_bytes);
    let Some((expected_size, expected_sum)) = &file.made_as else {
        return report
            .warning(format!("{path}: {size} bytes; no manifest says how many there were"));
    };
    if size != *expected_size {
        return report.problem(format!(
            "{path} is damaged: it has {size} bytes instead of {expected_size}; build the \
             appliance again with guestfs-appliance"
        ));
    }
    match sum(&file.path) {
        Ok(sum) if sum == *expected_sum => {
            report.good(format!("{path}: {size} bytes, as it was made"));
        }
        Ok(_) => report.problem(format!(
            "{path} is damaged: its checksum is not that of its manifest; build the appliance \
             again with guestfs-appliance"
        )),
        Err(error) => report.problem(format!("{path}: {error}")),
    }
}

fn sum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            n_read => hasher.update(&chunk[..n_read]),
        }
    }
    Ok(hasher.finalize().iter().map(|it| format!("{it:02x}")).collect())
}

fn directories(g: &Handle, report: &mut Report) {
    report.chapter("directories");
    let path = |it: Result<BString>| it.map(|it| it.to_string()).unwrap_or_default();
    let (tmp, cache) = (path(g.get_tmpdir()), path(g.get_cachedir()));
    match host::room(Path::new(&tmp)) {
        Ok(room) => report.good(format!("temporary files: {tmp}: {} free", host::human(room))),
        Err(error) => report.problem(format!(
            "temporary files: {tmp}: {error}; name another directory with LIBGUESTFS_TMPDIR"
        )),
    }
    match host::room(Path::new(&cache)) {
        Ok(room) if room < ROOM_FOR_TEMPLATES => report.warning(format!(
            "cache: {cache}: {} free, which is too little for templates; name another directory \
             with LIBGUESTFS_CACHEDIR",
            host::human(room)
        )),
        Ok(room) => report.good(format!("cache: {cache}: {} free", host::human(room))),
        Err(error) => report.warning(format!(
            "cache: {cache}: {error}; without it each launch boots, so name another directory \
             with LIBGUESTFS_CACHEDIR"
        )),
    }
}

/// All that were made, for this launch and others.  That there is no cache has been said.
fn templates(g: &Handle, report: &Report) {
    for it in g.templates().unwrap_or_default() {
        let size = host::human(it.size_bytes);
        let stale = if it.is_stale { "; not used any more" } else { "" };
        report.fact(&it.name, format!("{}; {size}{stale}", it.about));
    }
}
