// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files that go with a call or a reply: in chunks, or shown in the window.

use std::sync::Arc;

use guestfs_protocol::wire::{self, Chunk, Header, Incoming, SHOWN_MIN, Shown};
use nix::errno::Errno;
use nix::poll::{PollFlags, PollTimeout};

use super::output::{Bytes, Output};
use super::{BLOCK, Connection, Lost, Talk, Unless, Want, cancelled, report, restarted};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::transfer::{Sink, Source};
use crate::window::{N_SLOTS, SLOT_SIZE, Window};

/// Of a sink that has to have its zeroes written.
static ZEROES: [u8; BLOCK] = [0; BLOCK];

/// A file on its way to the daemon.
struct Sending<'a> {
    source: Source<'a>,
    window: Option<Arc<Window>>,
    block: Vec<u8>,
    /// Slots that nothing is shown in, and the first of them.
    free: u32,
    next: u32,
}

impl<'a> Sending<'a> {
    fn new(source: Source<'a>, window: Option<Arc<Window>>) -> Self {
        let block = vec![0; if window.is_some() { SLOT_SIZE } else { BLOCK }];
        Self { source, window, block, free: N_SLOTS, next: 0 }
    }

    /// Whether there is a place for what is read now.
    fn has_room(&self) -> bool {
        self.window.is_none() || self.free > 0
    }

    /// Reads some of the file, and says so to the daemon.  False at the end.
    fn go_on(&mut self, out: &mut Output) -> Talk<Result<bool>> {
        let hole = match self.window.as_ref().map(|_| self.source.skip_hole()).transpose() {
            Ok(hole) => hole.unwrap_or(0),
            Err(err) => return Ok(Err(err)),
        };
        let n = match self.source.read(&mut self.block) {
            Ok(Some(n)) => n,
            Ok(None) => return Ok(Ok(true)),
            Err(err) => return Ok(Err(err)),
        };
        let bytes = &self.block[..n];
        let mut shown = Shown { hole, slot: 0, length: 0 };
        match &self.window {
            Some(window) if n >= SHOWN_MIN => {
                if let Err(err) = window.show(self.next, bytes) {
                    return Ok(Err(Error::io(&err, "window")));
                }
                (shown.slot, shown.length) = (self.next, n as u32);
                self.next = (self.next + 1) % N_SLOTS;
                self.free -= 1;
                out.push(&Chunk::Shown(shown))?;
            }
            _ => {
                if hole > 0 {
                    out.push(&Chunk::Shown(shown))?;
                }
                for data in bytes.chunks(wire::CHUNK_MAX) {
                    out.push(&Chunk::Data(data.to_vec()))?;
                }
            }
        }
        if n == 0 {
            out.push(&Chunk::Data(Vec::new()))?;
        }
        Ok(Ok(n > 0))
    }
}

impl Connection {
    /// Sends a message and the file that belongs to it.  Returns why this end stopped early, if
    /// it did; that the daemon wanted to stop shows in its reply.
    pub(super) fn send(
        &mut self,
        g: &Handle,
        header: &Header,
        message: Bytes,
        source: Option<Source<'_>>,
    ) -> Talk<Option<Error>> {
        let mut failed = None;
        let mut out = Output::new(message);
        let mut sending = source.map(|it| Sending::new(it, self.window.clone()));
        loop {
            while let Some(incoming) = self.parse()? {
                match incoming {
                    Incoming::Cancel => {
                        if sending.take().is_some() {
                            out.push(&Chunk::Cancel)?;
                        }
                    }
                    Incoming::Taken => {
                        if let Some(it) = &mut sending {
                            it.free = (it.free + 1).min(N_SLOTS);
                        }
                    }
                    Incoming::Progress(progress) => report(g, header, &progress),
                    Incoming::Launch => return Err(restarted()),
                    Incoming::Message(_) => {
                        return Err(Lost::Malformed("a reply before the end of the call".into()));
                    }
                }
            }
            if !self.socket_open {
                return Err(Lost::Closed);
            }
            if sending.is_some() && g.cancel().requested() {
                sending = None;
                failed = Some(cancelled());
                out.push(&Chunk::Cancel)?;
            }
            if out.is_empty() && sending.is_none() {
                return Ok(failed);
            }
            let reading = sending.as_ref().filter(|it| out.is_empty() && it.has_room());
            let file = reading.and_then(|it| it.source.fd()).map(|fd| (fd, PollFlags::POLLIN));
            let at_once = reading.is_some() && file.is_none();
            let socket = match out.is_empty() {
                true => PollFlags::POLLIN,
                false => PollFlags::POLLIN | PollFlags::POLLOUT,
            };
            let timeout = if at_once { PollTimeout::ZERO } else { PollTimeout::NONE };
            let ready = self.wait(g, &Want { socket, file, cancel: sending.is_some(), timeout })?;
            if ready.send && !out.is_empty() {
                self.write(&mut out)?;
            }
            if let Some(it) = &mut sending
                && (ready.file || at_once)
            {
                match it.go_on(&mut out)? {
                    Ok(true) => {}
                    Ok(false) => sending = None,
                    Err(err) => {
                        failed = Some(err);
                        sending = None;
                        out.push(&Chunk::Cancel)?;
                    }
                }
            }
        }
    }

    /// Receives the file that follows a reply.
    pub(super) fn receive(
        &mut self,
        g: &Handle,
        header: &Header,
        mut sink: Sink<'_>,
    ) -> Talk<Result<()>> {
        let mut failed = None;
        let mut block = Vec::new();
        if let Err(err) = sink.open() {
            self.cancel_transfer(g, &mut failed, err)?;
        }
        loop {
            if failed.is_none() && g.cancel().requested() {
                self.cancel_transfer(g, &mut failed, cancelled())?;
            }
            let unless = if failed.is_none() { Unless::Cancelled } else { Unless::Nothing };
            let Some(message) = self.message(g, header, unless)? else { continue };
            let stored = match wire::decode(&message)? {
                Chunk::Cancel => {
                    let why = "the appliance could not send all of the data";
                    return Ok(Err(failed.unwrap_or_else(|| Error::new(Errno::EIO as i32, why))));
                }
                Chunk::Data(data) if data.is_empty() => {
                    return Ok(failed.map_or_else(|| sink.finish(), Err));
                }
                _ if failed.is_some() => Ok(()),
                Chunk::Data(data) => self.store(g, &mut sink, &data)?,
                Chunk::Shown(shown) => self.store_shown(g, &mut sink, shown, &mut block)?,
            };
            if let Err(err) = stored {
                self.cancel_transfer(g, &mut failed, err)?;
            }
        }
    }

    /// Takes what is in the window, and writes it to the host's end.
    fn store_shown(
        &mut self,
        g: &Handle,
        sink: &mut Sink<'_>,
        shown: Shown,
        block: &mut Vec<u8>,
    ) -> Talk<Result<()>> {
        let Some(window) = self.window.clone() else {
            return Err(Lost::Malformed("something is shown, and there is no window".into()));
        };
        block.resize((shown.length as usize).min(SLOT_SIZE + 1), 0);
        if !block.is_empty() {
            let taken = window.take(shown.slot, block);
            taken.map_err(|it| Lost::Malformed(it.to_string()))?;
            // The daemon can go on while this is stored.
            self.send_flag(g, wire::TAKEN_FLAG)?;
        }
        let mut rest = match sink.skip(shown.hole) {
            Ok(done) => shown.hole - done,
            Err(err) => return Ok(Err(err)),
        };
        while rest > 0 {
            let n = rest.min(BLOCK as u64);
            if let Err(err) = self.store(g, sink, &ZEROES[..n as usize])? {
                return Ok(Err(err));
            }
            if g.cancel().requested() {
                return Ok(Err(cancelled()));
            }
            rest -= n;
        }
        for part in block.chunks(BLOCK) {
            // A disk that is downloaded is mostly empty, even if its file does not say so.
            if part == &ZEROES[..part.len()]
                && sink.skip(part.len() as u64) == Ok(part.len() as u64)
            {
                continue;
            }
            if let Err(err) = self.store(g, sink, part)? {
                return Ok(Err(err));
            }
        }
        Ok(Ok(()))
    }

    /// Writes bytes to the host's end.
    fn store(&mut self, g: &Handle, sink: &mut Sink<'_>, mut data: &[u8]) -> Talk<Result<()>> {
        while !data.is_empty() {
            match sink.write(data) {
                Err(err) => return Ok(Err(err)),
                Ok(0) => {
                    if g.cancel().requested() {
                        return Ok(Err(cancelled()));
                    }
                    // The daemon may send on: that can wait until there is room here.
                    let file = sink.fd().map(|fd| (fd, PollFlags::POLLOUT));
                    let socket = PollFlags::empty();
                    let timeout = PollTimeout::NONE;
                    let ready = self.wait(g, &Want { socket, file, cancel: true, timeout })?;
                    // Nobody needs to wait for room if there is nothing more to come.
                    if ready.gone && !ready.file {
                        return Err(Lost::Closed);
                    }
                }
                Ok(n) => data = &data[n..],
            }
        }
        Ok(Ok(()))
    }

    /// Asks the daemon to stop sending; what is on its way is still to be read.
    fn cancel_transfer(&mut self, g: &Handle, failed: &mut Option<Error>, why: Error) -> Talk<()> {
        *failed = Some(why);
        self.send_flag(g, wire::CANCEL_FLAG)
    }

    pub(super) fn send_flag(&mut self, g: &Handle, flag: u32) -> Talk<()> {
        let mut out = Output::new(Bytes::Plain(flag.to_be_bytes().to_vec()));
        while !out.is_empty() && self.socket_open {
            let socket = PollFlags::POLLOUT;
            let timeout = PollTimeout::NONE;
            let ready = self.wait(g, &Want { socket, file: None, cancel: false, timeout })?;
            if ready.send {
                self.write(&mut out)?;
            }
        }
        Ok(())
    }
}
