// SPDX-License-Identifier: LGPL-2.1-or-later
//! Files which travel with a call, in chunks: [`FileIn`] to the daemon, [`FileOut`] to the library.
//!
//! Function bodies see a reader or a writer.  How a transfer starts, ends and is given up is
//! between this file and dispatch: see [`State`].

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use guestfs_protocol::wire::{self, CANCEL_FLAG, CHUNK_MAX, Chunk, Header, Incoming, Nothing};

use crate::channel::{Channel, Reporter};
use crate::error::{Error, Result};

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
    header: Header,
    direction: Direction,
    /// Bytes received and not read yet, or written and not sent yet.
    buffer: Vec<u8>,
    /// How much of `buffer` has been read.
    start: usize,
    /// Bytes that went over the channel.
    count: u64,
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
    pub(crate) fn new(channel: &Rc<Channel>, reporter: &Rc<Reporter>, header: Header) -> Self {
        Self {
            channel: channel.clone(),
            reporter: reporter.clone(),
            header,
            direction: Direction::Unknown,
            buffer: Vec::new(),
            start: 0,
            count: 0,
        }
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
                self.send_chunk(Chunk { cancel: true, data: Vec::new() })?;
                Ok(None)
            }
        }
    }

    /// Waits for the next chunk.
    fn receive(&mut self) -> Result<()> {
        let message = match self.channel.receive()? {
            Incoming::Message(message) => message,
            // The library answers a flag that crossed the last chunk of an earlier transfer.
            Incoming::Cancel => return Ok(()),
            other => return Err(Error::Protocol(format!("{other:?} in place of a chunk"))),
        };
        let chunk: Chunk = wire::decode(&message)?;
        self.start = 0;
        self.buffer = chunk.data;
        self.count += self.buffer.len() as u64;
        if chunk.cancel {
            self.direction = Direction::InCancelled;
            self.buffer.clear();
        } else if self.buffer.is_empty() {
            self.direction = Direction::InEnded;
        } else if self.header.progress_hint > 0 {
            self.reporter.report(self.count, self.header.progress_hint);
        }
        Ok(())
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while self.start == self.buffer.len() {
            match self.direction {
                Direction::InCancelled => return Err(Error::Cancelled),
                Direction::In => self.receive()?,
                _ => return Ok(0),
            }
        }
        let n = out.len().min(self.buffer.len() - self.start);
        out[..n].copy_from_slice(&self.buffer[self.start..][..n]);
        self.start += n;
        Ok(n)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.buffer.len() == CHUNK_MAX {
            self.send_buffer()?;
        }
        let n = bytes.len().min(CHUNK_MAX - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn send_buffer(&mut self) -> Result<()> {
        if self.channel.cancelled()? {
            return Err(Error::Cancelled);
        }
        if self.direction == Direction::Out {
            let header = self.header.reply(wire::Status::Ok);
            let reply = wire::encode_message(&header, &Nothing)?;
            self.channel.send(&reply).map_err(wire::Error::from)?;
            self.direction = Direction::OutStarted;
        }
        let data = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_MAX));
        self.send_chunk(Chunk { cancel: false, data })
    }

    fn send_end(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.send_buffer()?;
        }
        // With nothing left in the buffer this is the empty chunk, which means the end.
        self.send_buffer()
    }

    fn send_chunk(&mut self, chunk: Chunk) -> Result<()> {
        let bytes = wire::encode_chunk(&chunk)?;
        self.channel.send(&bytes).map_err(wire::Error::from)?;
        Ok(())
    }
}

impl<'a> FileIn<'a> {
    /// From now on chunks are expected, and skipped if the call fails.
    pub(crate) fn new(state: &'a RefCell<State>) -> Self {
        state.borrow_mut().direction = Direction::In;
        Self { state }
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
        state.borrow_mut().direction = Direction::Out;
        Self { state }
    }
}

impl Write for FileOut<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.state.borrow_mut().write(bytes).map_err(Error::into_io)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Chunks are sent when they are full: the library only looks at the file when it is whole.
        Ok(())
    }
}
