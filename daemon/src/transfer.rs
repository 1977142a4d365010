// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files which travel with a call: [`FileIn`] to the daemon, [`FileOut`] to the library.
//!
//! Function bodies see a reader or a writer.  How a transfer starts, ends and is given up is
//! between this file and dispatch: see [`State`].  A file travels in chunks; long parts of it are
//! shown in the window, if there is one, and long holes are only told.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use guestfs_protocol::wire::{
    self, CANCEL_FLAG, CHUNK_MAX, Chunk, Header, Incoming, Nothing, SHOWN_MIN, Shown, TAKEN_FLAG,
};

use crate::cancel;
use crate::channel::{Channel, Reporter};
use crate::error::{Error, Result};
use crate::pieces::Piece;
use crate::window::{Buffer, Window};

/// What the library sends with a call.
#[derive(Debug)]
pub(crate) struct FileIn<'a> {
    state: &'a RefCell<State>,
}

/// What the library receives with a reply.
#[derive(Debug)]
pub(crate) struct FileOut<'a> {
    state: &'a RefCell<State>,
}

/// The transfer of one call.
#[derive(Debug)]
pub(crate) struct State {
    channel: Rc<Channel>,
    reporter: Rc<Reporter>,
    window: Option<Rc<Window>>,
    header: Header,
    direction: Direction,
    /// Zeroes in front of what is in `buffer`.
    hole: u64,
    /// Bytes received and not read yet, or written and not sent yet.  Of the window, if there is
    /// one.
    buffer: Buffer,
    /// How much of `buffer` has been read.
    start: usize,
    /// Bytes that went over the channel.
    count: u64,
    /// Slots of the window that nothing is shown in, and the first of them.
    free: u32,
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// The call has no file, or nobody asked for it yet.
    Unknown,
    /// Chunks are coming.
    In,
    /// The last chunk has come.
    InEnded,
    /// The library gave up.
    InCancelled,
    /// Nothing is sent yet, so an error can still be an ordinary reply.
    Out,
    /// The reply is sent, and chunks follow.
    OutStarted,
}

impl State {
    /// Of a call that just came.
    pub(crate) fn new(
        channel: &Rc<Channel>,
        reporter: &Rc<Reporter>,
        window: Option<&Rc<Window>>,
        header: Header,
    ) -> Self {
        Self {
            channel: channel.clone(),
            reporter: reporter.clone(),
            window: window.cloned(),
            header,
            direction: Direction::Unknown,
            hole: 0,
            buffer: Buffer::default(),
            start: 0,
            count: 0,
            free: window.map_or(0, |it| it.n_slots()),
            next: 0,
        }
    }

    /// A file will be transferred.
    fn begin(&mut self, direction: Direction) {
        self.direction = direction;
        self.buffer = match &self.window {
            Some(window) => window.buffer(),
            None => Buffer::new(CHUNK_MAX),
        };
    }

    /// Ends the transfer of a call whose body returned `result`.  Answers whether there is still
    /// a reply to send: a file to the library has it in front.
    pub(crate) fn finish<T>(&mut self, result: Result<T>) -> Result<Option<Result<T>>> {
        match (self.direction, result) {
            (Direction::Unknown | Direction::InEnded, result) => Ok(Some(result)),
            (Direction::In, result) => {
                if result.is_err() {
                    self.channel.send(&CANCEL_FLAG.to_be_bytes()).map_err(wire::Error::from)?;
                }
                while self.direction == Direction::In {
                    self.receive()?;
                }
                self.finish(result)
            }
            (Direction::InCancelled, result) => Ok(Some(result.and(Err(Error::Cancelled)))),
            (Direction::Out | Direction::OutStarted, Ok(_)) => match self.send_end() {
                Ok(()) => Ok(None),
                Err(err) => self.finish(Err(err)),
            },
            (Direction::Out, Err(err)) => Ok(Some(Err(err))),
            (Direction::OutStarted, Err(err)) => {
                eprintln!("guestfsd: transfer stopped: {err}");
                self.send(&Chunk::Cancel)?;
                Ok(None)
            }
        }
    }

    /// Waits for the next chunk.
    fn receive(&mut self) -> Result<()> {
        let message = match self.channel.receive()? {
            Incoming::Message(message) => message,
            // The library answers a flag that crossed the last chunk of an earlier transfer.
            Incoming::Cancel | Incoming::Taken => return Ok(()),
            other => return Err(Error::Protocol(format!("{other:?} in place of a chunk"))),
        };
        self.start = 0;
        self.buffer.clear();
        match wire::decode(&message)? {
            Chunk::Cancel => self.direction = Direction::InCancelled,
            Chunk::Data(data) if data.is_empty() => self.direction = Direction::InEnded,
            Chunk::Data(data) => {
                self.buffer.room()[..data.len()].copy_from_slice(&data);
                self.buffer.extend(data.len());
            }
            Chunk::Shown(shown) => self.take(shown)?,
        }
        self.count += self.hole + self.buffer.content().len() as u64;
        if self.direction == Direction::In && self.header.progress_hint > 0 {
            self.reporter.report(self.count, self.header.progress_hint);
        }
        Ok(())
    }

    fn take(&mut self, shown: Shown) -> Result<()> {
        let Some(window) = &self.window else {
            return Err(Error::Protocol("something is shown, and there is no window".into()));
        };
        self.hole += shown.hole;
        if shown.length > 0 {
            window.take(shown.slot, shown.length, &mut self.buffer)?;
            self.channel.send(&TAKEN_FLAG.to_be_bytes()).map_err(wire::Error::from)?;
        }
        Ok(())
    }

    /// What comes next; `None` at the end.  It stays until the caller counts it as read.
    fn next(&mut self) -> Result<Option<Piece<'_>>> {
        while self.hole == 0 && self.start == self.buffer.content().len() {
            match self.direction {
                Direction::InCancelled => return Err(Error::Cancelled),
                Direction::In => self.receive()?,
                _ => return Ok(None),
            }
        }
        Ok(Some(match self.hole {
            0 => Piece::Bytes(&self.buffer.content()[self.start..]),
            length => Piece::Hole(length),
        }))
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        // A long hole is told at once: then nothing comes for a while that could say so.
        cancel::check()?;
        match self.next()? {
            None => Ok(0),
            Some(Piece::Hole(length)) => {
                let n = out.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                out[..n].fill(0);
                self.hole -= n as u64;
                Ok(n)
            }
            Some(Piece::Bytes(bytes)) => {
                let n = out.len().min(bytes.len());
                out[..n].copy_from_slice(&bytes[..n]);
                self.start += n;
                Ok(n)
            }
        }
    }

    /// Passes on all there is.
    fn forward(&mut self, mut put: impl FnMut(Piece<'_>) -> io::Result<()>) -> io::Result<()> {
        while let Some(piece) = self.next().map_err(Error::into_io)? {
            put(piece)?;
            match self.hole {
                0 => self.start = self.buffer.content().len(),
                _ => self.hole = 0,
            }
        }
        Ok(())
    }

    /// Lends room for what is to be sent.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        if self.buffer.room().is_empty() {
            self.send_buffer().map_err(Error::into_io)?;
        }
        let n = read(self.buffer.room())?;
        self.buffer.extend(n);
        Ok(n)
    }

    fn send_hole(&mut self, length: u64) -> io::Result<()> {
        if self.window.is_some() && length >= SHOWN_MIN as u64 {
            self.send_buffer().map_err(Error::into_io)?;
            self.hole += length;
            return Ok(());
        }
        let mut rest = length;
        while rest > 0 {
            let n = self.fill(|room| {
                let n = room.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
                room[..n].fill(0);
                Ok(n)
            })?;
            rest -= n as u64;
        }
        Ok(())
    }

    /// Sends what there is.
    fn send_buffer(&mut self) -> Result<()> {
        self.look(false)?;
        let shown = match &self.window {
            Some(window) if self.buffer.content().len() >= SHOWN_MIN => Some(window.clone()),
            _ => None,
        };
        let mut chunk = Shown { hole: std::mem::take(&mut self.hole), slot: 0, length: 0 };
        if let Some(window) = shown {
            while self.free == 0 {
                self.look(true)?;
            }
            (chunk.slot, chunk.length) = (self.next, self.buffer.content().len() as u32);
            window.show(chunk.slot, &mut self.buffer)?;
            self.next = (self.next + 1) % window.n_slots();
            self.free -= 1;
            self.buffer.clear();
        }
        if chunk != Shown::default() {
            self.send(&Chunk::Shown(chunk))?;
        }
        for start in (0..self.buffer.content().len()).step_by(CHUNK_MAX) {
            let rest = &self.buffer.content()[start..];
            self.send(&Chunk::Data(rest[..rest.len().min(CHUNK_MAX)].into()))?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Sees what the library has to say, and waits until it says something if need be.
    fn look(&mut self, wait: bool) -> Result<()> {
        let mut wait = wait;
        while wait || self.channel.is_readable() {
            match self.channel.receive()? {
                Incoming::Cancel => return Err(Error::Cancelled),
                Incoming::Taken => self.free += 1,
                _ => return Err(Error::Protocol("unexpected message during a transfer".into())),
            }
            wait = false;
        }
        Ok(())
    }

    fn send_end(&mut self) -> Result<()> {
        self.send_buffer()?;
        // A chunk with nothing in it.
        self.send(&Chunk::Data(Vec::new()))
    }

    /// Sends a chunk, and before the first of them the reply.
    fn send(&mut self, chunk: &Chunk) -> Result<()> {
        if self.direction == Direction::Out {
            let header = self.header.reply(wire::Status::Ok);
            let reply = wire::encode_message(&header, &Nothing)?;
            self.channel.send(&reply).map_err(wire::Error::from)?;
            self.direction = Direction::OutStarted;
        }
        let bytes = wire::encode_chunk(chunk)?;
        self.channel.send(&bytes).map_err(wire::Error::from)?;
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(window) = &self.window
            && self.direction != Direction::Unknown
        {
            window.keep(std::mem::take(&mut self.buffer));
        }
    }
}

impl<'a> FileIn<'a> {
    /// From now on chunks are expected, and skipped if the call fails.
    pub(crate) fn new(state: &'a RefCell<State>) -> Self {
        state.borrow_mut().begin(Direction::In);
        Self { state }
    }

    /// Passes on all that comes, without having it copied.
    pub(crate) fn forward(
        &mut self,
        put: impl FnMut(Piece<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.state.borrow_mut().forward(put)
    }
}

impl Read for FileIn<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.state.borrow_mut().read(buf).map_err(Error::into_io)
    }
}

impl<'a> FileOut<'a> {
    /// From now on the reply is followed by chunks.
    pub(crate) fn new(state: &'a RefCell<State>) -> Self {
        state.borrow_mut().begin(Direction::Out);
        Self { state }
    }

    /// Has a part of the file read into the memory which it is sent from.  There is always room
    /// for some of it; memory and room may be used past the page cache.
    pub(crate) fn fill(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.state.borrow_mut().fill(read)
    }

    /// Sends so many zeroes.
    pub(crate) fn hole(&mut self, length: u64) -> io::Result<()> {
        self.state.borrow_mut().send_hole(length)
    }
}

impl Write for FileOut<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fill(|room| {
            let n = bytes.len().min(room.len());
            room[..n].copy_from_slice(&bytes[..n]);
            Ok(n)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        // Chunks are sent when they are full: the library only looks at the file when it is whole.
        // But what it says is heard.
        self.state.borrow_mut().look(false).map_err(Error::into_io)
    }
}
