// SPDX-License-Identifier: LGPL-2.1-or-later
//! The connection to the library, and the reports of progress on it.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use guestfs_protocol::wire::{self, Incoming};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Short calls do not report at all.
const FIRST_REPORT: Duration = Duration::from_secs(2);
/// Reports are for people.
const NEXT_REPORT: Duration = Duration::from_millis(333);

/// A stream in both directions.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: File,
    /// What was taken off the stream and is still to be received.
    kept: RefCell<Option<Incoming>>,
}

impl Channel {
    /// A virtio-serial port or a socket.
    pub(crate) fn new(fd: OwnedFd) -> Rc<Self> {
        Rc::new(Self { stream: fd.into(), kept: RefCell::default() })
    }

    /// Waits for the next thing from the library.
    pub(crate) fn receive(&self) -> wire::Result<Incoming> {
        match self.kept.take() {
            Some(incoming) => Ok(incoming),
            None => wire::read_incoming(&mut &self.stream),
        }
    }

    /// Sends bytes which are framed already.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.stream).write_all(bytes)
    }

    /// Whether the library has said something.
    pub(crate) fn is_readable(&self) -> bool {
        self.keeps() || self.has_input()
    }

    /// Whether the library wants the call to end.  Anything else that it has said stays for those
    /// who expect it.
    pub(crate) fn wants_to_stop(&self) -> wire::Result<bool> {
        if self.keeps() || !self.has_input() {
            return Ok(false);
        }
        match self.receive()? {
            Incoming::Cancel => Ok(true),
            other => {
                self.kept.replace(Some(other));
                Ok(false)
            }
        }
    }

    /// Whether there is something that was taken off the stream.
    pub(crate) fn keeps(&self) -> bool {
        self.kept.borrow().is_some()
    }

    fn has_input(&self) -> bool {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok()
            && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Tells the library how far one call has come.
#[derive(Debug)]
pub(crate) struct Reporter {
    channel: Rc<Channel>,
    proc_nr: u32,
    serial: u32,
    due: Cell<Instant>,
    reported: Cell<bool>,
}

impl Reporter {
    /// For the call of this header, which starts now.
    pub(crate) fn new(channel: &Rc<Channel>, header: &wire::Header) -> Rc<Self> {
        Rc::new(Self {
            channel: channel.clone(),
            proc_nr: header.proc_nr,
            serial: header.serial,
            due: Cell::new(Instant::now() + FIRST_REPORT),
            reported: Cell::new(false),
        })
    }

    /// Sends a report if the last one was some time ago, and at the end if there ever was one.
    pub(crate) fn report(&self, position: u64, total: u64) {
        let now = Instant::now();
        let at_end = position >= total && self.reported.get();
        if now < self.due.get() && !at_end {
            return;
        }
        self.due.set(now + NEXT_REPORT);
        self.reported.set(true);
        let Self { proc_nr, serial, .. } = *self;
        let progress = wire::Progress { proc_nr, serial, position, total };
        // If the library is gone the reply fails too, and that is noticed.
        let _ = wire::encode_progress(&progress)
            .map_err(io::Error::other)
            .and_then(|bytes| self.channel.send(&bytes));
    }
}
