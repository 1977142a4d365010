// SPDX-License-Identifier: LGPL-2.1-or-later
//! The systemd journal of a guest, by libsystemd.

use std::io::Write;

use bstr::BString;
use rustix::fs::OFlags;

use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::helper::{Failure, Helper, number};
use crate::path::GuestPath;
use crate::transfer::FileOut;

/// What the errors are about.
const JOURNAL: &str = "journal";

/// A helper with an open journal.
#[derive(Debug)]
pub(crate) struct Journal(Helper);

pub(crate) fn journal_open(cx: &mut Ctx, directory: &GuestPath) -> Result<()> {
    cx.open(directory, OFlags::PATH | OFlags::DIRECTORY)?;
    cx.handles().journal = None;
    let mut helper = Helper::start(cx, "journal")?;
    match helper.call(&[b"open", directory.as_bstr()]) {
        Ok(_) => {}
        Err(Failure::Refused(code, _)) => {
            return Err(Error::sys(directory, Errno::from_raw_os_error(code)));
        }
        Err(Failure::Ended(err)) => return Err(err),
    }
    cx.handles().journal = Some(Journal(helper));
    Ok(())
}

pub(crate) fn journal_close(cx: &mut Ctx) -> Result<()> {
    cx.handles().journal.take().map(drop).ok_or_else(not_open)
}

pub(crate) fn journal_next(cx: &mut Ctx) -> Result<bool> {
    let moved: i32 = number(&ask(cx, &[b"next"])?)?;
    Ok(moved > 0)
}

pub(crate) fn journal_skip(cx: &mut Ctx, skip: i64) -> Result<i64> {
    number(&ask(cx, &[b"skip", skip.to_string().as_bytes()])?)
}

pub(crate) fn journal_get_realtime_usec(cx: &mut Ctx) -> Result<i64> {
    let usec: u64 = number(&ask(cx, &[b"realtime"])?)?;
    Ok(usec.cast_signed())
}

pub(crate) fn journal_get_data_threshold(cx: &mut Ctx) -> Result<i64> {
    let bytes: u64 = number(&ask(cx, &[b"threshold"])?)?;
    Ok(bytes.cast_signed())
}

pub(crate) fn journal_set_data_threshold(cx: &mut Ctx, threshold: i64) -> Result<()> {
    if threshold < 0 {
        return Err(Error::invalid("threshold", format_args!("{threshold} is negative")));
    }
    ask(cx, &[b"set_threshold", threshold.to_string().as_bytes()]).map(drop)
}

pub(crate) fn internal_journal_get(cx: &mut Ctx, filename: &mut FileOut<'_>) -> Result<()> {
    for field in ask(cx, &[b"fields"])? {
        let length = (field.len() as u64).to_be_bytes();
        filename.write_all(&length).and_then(|()| filename.write_all(&field)).about(JOURNAL)?;
    }
    Ok(())
}

fn ask(cx: &mut Ctx, request: &[&[u8]]) -> Result<Vec<BString>> {
    let Journal(helper) = cx.handles().journal.as_mut().ok_or_else(not_open)?;
    match helper.call(request) {
        Ok(results) => Ok(results),
        Err(Failure::Refused(code, _)) => Err(refusal(Errno::from_raw_os_error(code))),
        Err(Failure::Ended(err)) => {
            cx.handles().journal = None;
            Err(err)
        }
    }
}

fn refusal(errno: Errno) -> Error {
    match errno {
        // How the library says that there is no current entry.
        Errno::ADDRNOTAVAIL => {
            Error::refused(Errno::INVAL, JOURNAL, "journal_next has to be called first")
        }
        Errno::BADMSG => Error::refused(errno, JOURNAL, "the file is damaged here"),
        errno => Error::sys(JOURNAL, errno),
    }
}

fn not_open() -> Error {
    Error::refused(Errno::INVAL, JOURNAL, "journal_open has to be called first")
}
