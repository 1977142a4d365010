// SPDX-License-Identifier: LGPL-2.1-or-later
//! Commands about commands: `glob`, `help`, `not`, `quit`, `supported`, `time`.

use std::time::Instant;

use bstr::{BString, ByteSlice};
use guestfs::Handle;

use crate::builtin::Call;
use crate::error::{Error, Result};
use crate::help as texts;
use crate::session::Session;
use crate::wildcard::{self, Guest};

pub(super) fn glob(session: &mut Session, call: Call<'_>) -> Result<()> {
    let mut lines: Vec<Vec<BString>> = vec![Vec::new()];
    for word in call.words {
        let expanded = match wildcard::is_pattern(word) {
            true => wildcard::expand(&*session.handle, word),
            false => vec![word.clone()],
        };
        let append = |line: &Vec<BString>| -> Vec<Vec<BString>> {
            let add = |word: &BString| line.iter().chain([word]).cloned().collect();
            expanded.iter().map(add).collect()
        };
        lines = lines.iter().flat_map(append).collect();
    }
    lines.iter().try_for_each(|line| session.execute(line, call.out, call.lines))
}

impl Guest for Handle {
    fn names(&self, directory: &[u8]) -> Vec<BString> {
        self.ls(directory).unwrap_or_default()
    }

    fn exists(&self, path: &[u8]) -> bool {
        // A link that leads nowhere is something all the same.
        self.lstatns(path).is_ok()
    }

    fn devices(&self) -> Vec<BString> {
        let mut devices = self.list_devices().unwrap_or_default();
        devices.extend(self.list_partitions().unwrap_or_default());
        devices.extend(self.lvs().unwrap_or_default());
        devices.sort();
        devices.dedup();
        devices
    }
}

pub(super) fn help(_: &mut Session, call: Call<'_>) -> Result<()> {
    let text = match call.words.first() {
        Some(name) => texts::of(&name.to_str_lossy())?,
        None => texts::list(),
    };
    call.out.bytes(text.as_bytes())
}

pub(super) fn not(session: &mut Session, call: Call<'_>) -> Result<()> {
    match session.execute(call.words, call.out, call.lines) {
        Err(_) => Ok(()),
        Ok(()) => {
            let name = call.words.first().map(|it| it.as_bstr()).unwrap_or_default();
            Err(Error::shell(format!("not: {name} did not fail")))
        }
    }
}

pub(super) fn quit(session: &mut Session, _: Call<'_>) -> Result<()> {
    session.finished = true;
    Ok(())
}

pub(super) fn supported(session: &mut Session, call: Call<'_>) -> Result<()> {
    let features = session.handle.available_all_groups()?;
    let width = features.iter().map(|it| it.len()).max().unwrap_or_default();
    for feature in features {
        let has = session.handle.feature_available(&[&feature])?;
        let answer = if has { "yes" } else { "no" };
        call.out.line(format!("{:width$} {answer}", feature.to_string()).as_bytes())?;
    }
    Ok(())
}

pub(super) fn time(session: &mut Session, call: Call<'_>) -> Result<()> {
    let start = Instant::now();
    session.execute(call.words, call.out, call.lines)?;
    let elapsed = start.elapsed().as_secs_f64();
    call.out.line(format!("elapsed time: {elapsed:.2} seconds").as_bytes())
}
