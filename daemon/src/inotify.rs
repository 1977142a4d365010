// SPDX-License-Identifier: LGPL-2.1-or-later
//! Watching files of the guest by inotify(7).

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use bstr::BString;
use guestfs_protocol::InotifyEvent;
use guestfs_protocol::wire::MESSAGE_MAX;
use rustix::fs::OFlags;
use rustix::fs::inotify::{CreateFlags, Event, Reader, WatchFlags, add_watch, init, remove_watch};

use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;
use crate::system;

/// How many events the kernel keeps for an instance that is made next.
const MAX_EVENTS: &str = "/proc/sys/fs/inotify/max_queued_events";

/// The kernel's own choice.
const DEFAULT_MAX_EVENTS: i32 = 16384;

/// Room for what one system call reads.
const BUFFER: usize = 64 << 10;

/// An event without name, in a message.
const EVENT: usize = 24;

pub(crate) fn inotify_init(cx: &mut Ctx, maxevents: i32) -> Result<()> {
    let max = match maxevents {
        0 => DEFAULT_MAX_EVENTS,
        1.. => maxevents,
        _ => return Err(Error::invalid("maxevents", format_args!("{maxevents} is negative"))),
    };
    system::write(MAX_EVENTS, max.to_string().as_bytes())?;
    let instance = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).about("inotify")?;
    cx.handles().inotify = Some(instance);
    Ok(())
}

pub(crate) fn inotify_close(cx: &mut Ctx) -> Result<()> {
    cx.handles().inotify.take().map(drop).ok_or_else(not_started)
}

pub(crate) fn inotify_add_watch(cx: &mut Ctx, path: &GuestPath, mask: i32) -> Result<i64> {
    started(cx)?;
    let mut mask = WatchFlags::from_bits_retain(mask.cast_unsigned());
    let file = match mask.contains(WatchFlags::DONT_FOLLOW) {
        true => cx.open_nofollow(path, OFlags::PATH)?,
        false => cx.open(path, OFlags::PATH)?,
    };
    // The path by which the kernel gets at the open file is a link itself.
    mask.remove(WatchFlags::DONT_FOLLOW);
    let place = cx.proc_fd(&file);
    Ok(add_watch(started(cx)?, place, mask).about(path)?.into())
}

pub(crate) fn inotify_rm_watch(cx: &mut Ctx, wd: i32) -> Result<()> {
    remove_watch(started(cx)?, wd).about(format_args!("wd: {wd}"))
}

pub(crate) fn inotify_read(cx: &mut Ctx) -> Result<Vec<InotifyEvent>> {
    let mut events = Vec::new();
    let mut room = MESSAGE_MAX / 2;
    read(started(cx)?, |event| {
        let event = record(event);
        room = room.saturating_sub(EVENT + event.in_name.len());
        events.push(event);
        room > 0
    })?;
    Ok(events)
}

pub(crate) fn inotify_files(cx: &mut Ctx) -> Result<Vec<BString>> {
    let mut names = BTreeSet::new();
    read(started(cx)?, |event| {
        names.extend(event.file_name().map(|name| BString::from(name.to_bytes())));
        true
    })?;
    Ok(names.into_iter().filter(|name| !name.is_empty()).collect())
}

fn started(cx: &mut Ctx) -> Result<&OwnedFd> {
    cx.handles().inotify.as_ref().ok_or_else(not_started)
}

fn not_started() -> Error {
    Error::refused(Errno::INVAL, "inotify", "inotify_init has to be called first")
}

/// Takes events until there are no more, or `wants_more` says no.
fn read(instance: &OwnedFd, mut wants_more: impl FnMut(&Event<'_>) -> bool) -> Result<()> {
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
    let mut reader = Reader::new(instance, &mut buffer);
    let mut go_on = true;
    // What has been read from the kernel must not be lost.
    while go_on || !reader.is_buffer_empty() {
        match reader.next() {
            Ok(event) => go_on &= wants_more(&event),
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::sys("inotify", errno)),
        }
    }
    Ok(())
}

fn record(event: &Event<'_>) -> InotifyEvent {
    InotifyEvent {
        in_wd: event.wd().into(),
        in_mask: event.events().bits(),
        in_cookie: event.cookie(),
        in_name: event.file_name().map(|name| name.to_bytes().into()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GuestPath {
        GuestPath::new("path", text.as_bytes()).unwrap()
    }

    #[test]
    fn events_of_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let mut cx = Ctx::new(root.path());
        cx.handles().inotify = Some(init(CreateFlags::NONBLOCK).unwrap());
        let wd = inotify_add_watch(&mut cx, &path("/"), 0x100).unwrap();
        for name in ["b", "a"] {
            system::write(root.path().join(name), b"").unwrap();
        }
        let events = inotify_read(&mut cx).unwrap();
        let pairs: Vec<_> =
            events.iter().map(|it| (it.in_wd, it.in_mask, it.in_name.to_string())).collect();
        assert_eq!(pairs, [(wd, 0x100, "b".into()), (wd, 0x100, "a".into())]);
        assert_eq!(inotify_read(&mut cx).unwrap(), []);
        for name in ["d", "c"] {
            system::write(root.path().join(name), b"").unwrap();
        }
        assert_eq!(inotify_files(&mut cx).unwrap(), ["c", "d"]);
        let wd = i32::try_from(wd).unwrap();
        inotify_rm_watch(&mut cx, wd).unwrap();
        let err = inotify_rm_watch(&mut cx, wd).unwrap_err();
        assert_eq!(err.to_string(), format!("wd: {wd}: Invalid argument"));
    }

    #[test]
    fn nothing_is_watched_before_the_start() {
        let root = tempfile::tempdir().unwrap();
        let mut cx = Ctx::new(root.path());
        let expected = "inotify: inotify_init has to be called first";
        assert_eq!(inotify_read(&mut cx).unwrap_err().to_string(), expected);
        assert_eq!(inotify_close(&mut cx).unwrap_err().to_string(), expected);
        let err = inotify_add_watch(&mut cx, &path("/missing"), 1).unwrap_err();
        assert_eq!(err.to_string(), expected);
    }
}
