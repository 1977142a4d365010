// SPDX-License-Identifier: LGPL-2.1-or-later
//! The conversation with one daemon: calls, replies, files in both directions, and whatever else
//! arrives meanwhile.
//!
//! Everything that comes from the daemon may be hostile.  What breaks the protocol ends the
//! conversation; it is never guessed at.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bstr::ByteSlice;
use guestfs_protocol::wire::{self, Announced, Direction, Header, Incoming, MessageError, Status};
use guestfs_protocol::{Arguments, InternalWindowArgs, Procedure, errno};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use self::output::{Bytes, Output};
use crate::error::{Error, Result};
use crate::event::{Events, Payload};
use crate::handle::Handle;
use crate::interrupt;
use crate::launch::is_unknown_function;
use crate::transfer::{Sink, Source};
use crate::window::{N_SLOTS, SLOT_SIZE, Window};

mod files;
mod output;

/// How much is read, encoded and sent at a time.
const BLOCK: usize = 8 * wire::CHUNK_MAX;

/// What a conversation goes over, and what there is to know about its other end.
pub(crate) trait Channel: Send {
    /// Where the messages go.
    fn socket(&self) -> &UnixStream;
    /// Memory that is a disk over there.
    fn window(&self) -> Option<Arc<Window>>;
    /// What the appliance prints.
    fn console(&self) -> Option<BorrowedFd<'_>>;
    /// Keeps console output for the report of a death.
    fn absorb_console(&mut self, output: &[u8]);
    /// What the appliance died of, as far as can be found out.
    fn death_report(&mut self) -> String;
    /// Stops the appliance.
    fn shutdown(self: Box<Self>) -> Result<()>;
}

impl Channel for crate::launch::Appliance {
    fn socket(&self) -> &UnixStream {
        self.socket()
    }

    fn window(&self) -> Option<Arc<Window>> {
        self.window()
    }

    fn console(&self) -> Option<BorrowedFd<'_>> {
        Some(self.console())
    }

    fn absorb_console(&mut self, output: &[u8]) {
        self.absorb_console(output);
    }

    fn death_report(&mut self) -> String {
        self.death_report()
    }

    fn shutdown(self: Box<Self>) -> Result<()> {
        (*self).shutdown()
    }
}

/// A daemon that somebody else has started, and will stop.
pub(crate) struct Attached(pub(crate) UnixStream);

impl Channel for Attached {
    fn socket(&self) -> &UnixStream {
        &self.0
    }

    fn window(&self) -> Option<Arc<Window>> {
        None
    }

    fn console(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn absorb_console(&mut self, _: &[u8]) {}

    fn death_report(&mut self) -> String {
        String::new()
    }

    fn shutdown(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Why a conversation cannot go on.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The other end is gone.
    Closed,
    /// The other end sent what it must not.
    Malformed(String),
    /// This end failed.
    Host(Error),
}

impl From<wire::Error> for Lost {
    fn from(err: wire::Error) -> Self {
        Self::Malformed(err.to_string())
    }
}

type Talk<T> = std::result::Result<T, Lost>;

/// A call, with the files that go with it.
pub(crate) struct Call<'a, A> {
    pub(crate) procedure: Procedure,
    pub(crate) optargs: u64,
    pub(crate) args: &'a A,
    /// There is a secret in the arguments.
    pub(crate) secret: bool,
    pub(crate) source: Option<Source<'a>>,
    pub(crate) sink: Option<Sink<'a>>,
}

/// The library's end of a conversation.
pub(crate) struct Connection {
    channel: Box<dyn Channel>,
    serial: u32,
    /// Bytes from the socket; those before `start` have been dealt with.
    input: Vec<u8>,
    start: usize,
    socket_open: bool,
    console_open: bool,
    /// A call whose reply is still to come, and wanted by nobody.
    abandoned: Option<Header>,
    /// The window, once the daemon looks at it, too.
    window: Option<Arc<Window>>,
    /// Whether it has been asked to.
    window_offered: bool,
}

/// What ends the waiting for a message early.
#[derive(Clone, Copy)]
enum Unless {
    Nothing,
    Cancelled,
    Interrupted,
}

/// What to wait for, besides console output.
struct Want<'a> {
    socket: PollFlags,
    /// The host's end of a transfer.
    file: Option<(BorrowedFd<'a>, PollFlags)>,
    cancel: bool,
    timeout: PollTimeout,
}

/// What the waiting was good for.
struct Ready {
    send: bool,
    file: bool,
    /// The daemon's end is closed; what it had sent may still be unread.
    gone: bool,
}

impl Connection {
    /// The socket of the console, which stays the connection's.
    pub(crate) fn console(&self) -> Option<RawFd> {
        self.channel.console().map(|it| it.as_raw_fd())
    }

    pub(crate) fn new(channel: Box<dyn Channel>) -> Self {
        Self {
            channel,
            serial: wire::FIRST_SERIAL,
            input: Vec::new(),
            start: 0,
            socket_open: true,
            console_open: true,
            abandoned: None,
            window: None,
            window_offered: false,
        }
    }

    /// Stops the other end.
    pub(crate) fn shutdown(self) -> Result<()> {
        self.channel.shutdown()
    }

    /// Why the conversation was lost, in words for the user.
    pub(crate) fn explain(&mut self, g: &Handle, lost: Lost) -> Error {
        match lost {
            Lost::Host(error) => error,
            Lost::Malformed(why) => {
                let why = format!("the appliance broke the protocol and was stopped: {why}");
                Error::new(Errno::EPROTO as i32, why)
            }
            Lost::Closed => {
                self.drain_console(g);
                let mut why = "the appliance closed the connection".to_owned();
                let report = self.channel.death_report();
                if !report.is_empty() {
                    why = format!("{why}: {report}");
                }
                Error::new(Errno::ECONNRESET as i32, why)
            }
        }
    }

    /// Makes one call: the reply's body, or the error that the daemon or this end has to report.
    pub(crate) fn call<A: Arguments>(
        &mut self,
        g: &Handle,
        call: Call<'_, A>,
    ) -> Talk<Result<Vec<u8>>> {
        let has_files = call.source.is_some() || call.sink.is_some();
        if has_files && let Err(err) = self.offer_window(g)? {
            return Ok(Err(err));
        }
        let result = self.converse(g, call)?;
        if has_files && let Some(window) = &self.window {
            window.clear();
        }
        Ok(result)
    }

    /// Whether the daemon looks at the window.
    pub(crate) fn has_window(&mut self, g: &Handle) -> Talk<Result<bool>> {
        Ok(self.offer_window(g)?.map(|()| self.window.is_some()))
    }

    /// Has the daemon look at the window, the first time that there may be something to see.
    fn offer_window(&mut self, g: &Handle) -> Talk<Result<()>> {
        if std::mem::replace(&mut self.window_offered, true) {
            return Ok(Ok(()));
        }
        let Some(window) = self.channel.window() else { return Ok(Ok(())) };
        let args = InternalWindowArgs { slots: N_SLOTS as i32, slotsize: SLOT_SIZE as i32 };
        let procedure = Procedure::InternalWindow;
        let (source, sink) = (None, None);
        let call = Call { procedure, optargs: 0, args: &args, secret: false, source, sink };
        match self.converse(g, call)? {
            Ok(_) => self.window = Some(window),
            Err(err) if err.errno() == Errno::EINTR as i32 => {
                self.window_offered = false;
                return Ok(Err(err));
            }
            // It has none, or does not know what that is.
            Err(_) => {}
        }
        Ok(Ok(()))
    }

    fn converse<A: Arguments>(&mut self, g: &Handle, call: Call<'_, A>) -> Talk<Result<Vec<u8>>> {
        let hint = call.source.as_ref().map_or(0, Source::size_hint);
        let header = Header::call(call.procedure as u32, self.serial, call.optargs, hint);
        // What is too long is found out before anything is sent.
        let encoded = match call.secret {
            true => wire::encode_secret_message(&header, call.args).map(Bytes::Secret),
            false => wire::encode_message(&header, call.args).map(Bytes::Plain),
        };
        let message = match encoded {
            Ok(message) => message,
            Err(err) => return Ok(Err(err.into())),
        };
        if interrupt::requested() || !self.settle(g)? {
            return Ok(Err(cancelled()));
        }
        self.serial = self.serial.wrapping_add(1);
        let failed = self.send(g, &header, message, call.source)?;
        // Other daemons than ours are told to stop while they send a file, and never else.
        let listens = failed.is_none() && self.channel.window().is_some();
        let reply = match listens {
            true => self.reply_or_stop(g, &header, call.sink.is_none())?,
            false => self.reply(g, &header, call.sink.is_none())?,
        };
        Ok(match (failed, reply, call.sink) {
            // The daemon's error is only that it was told to stop.
            (Some(cause), _, _) => Err(cause),
            (None, Ok(body), Some(sink)) => self.receive(g, &header, sink)?.map(|()| body),
            (None, reply, _) => reply,
        })
    }

    /// Waits for the end of a call that was left; false if that is interrupted, too.
    fn settle(&mut self, g: &Handle) -> Talk<bool> {
        let Some(header) = self.abandoned else { return Ok(true) };
        let Some(message) = self.message(g, &header, Unless::Interrupted)? else {
            return Ok(false);
        };
        reply_to(&header, &message)?;
        self.abandoned = None;
        Ok(true)
    }

    /// Waits for the reply to a call, which is told to end if the user does not want it any more.
    fn reply_or_stop(
        &mut self,
        g: &Handle,
        header: &Header,
        may_leave: bool,
    ) -> Talk<Result<Vec<u8>>> {
        if let Some(message) = self.message(g, header, Unless::Cancelled)? {
            return result_of(header, &message);
        }
        self.send_flag(g, wire::CANCEL_FLAG)?;
        let reply = self.reply(g, header, may_leave)?;
        // It need not have listened.
        Ok(reply.map_err(|err| if err.errno() == libc::EINTR { cancelled() } else { err }))
    }

    /// Waits for the reply to a call, which may be left if no file follows.
    fn reply(&mut self, g: &Handle, header: &Header, may_leave: bool) -> Talk<Result<Vec<u8>>> {
        // A wish to stop that came too late for what has been sent is of no use here.
        let unless = if may_leave { Unless::Interrupted } else { Unless::Nothing };
        match self.message(g, header, unless)? {
            Some(message) => result_of(header, &message),
            None => {
                self.abandoned = Some(*header);
                Ok(Err(cancelled()))
            }
        }
    }

    /// The next message; `None` if the user wants to stop first, and `unless` says to look.
    fn message(&mut self, g: &Handle, header: &Header, unless: Unless) -> Talk<Option<Vec<u8>>> {
        loop {
            match self.parse()? {
                Some(Incoming::Message(message)) => return Ok(Some(message)),
                Some(Incoming::Progress(progress)) => report(g, header, &progress),
                // It crossed the end of the file that it was about.
                Some(Incoming::Cancel | Incoming::Taken) => {}
                Some(Incoming::Launch) => return Err(restarted()),
                None if !self.socket_open => return Err(Lost::Closed),
                None if unless.it_happens(g) => return Ok(None),
                None => {
                    let socket = PollFlags::POLLIN;
                    let timeout = PollTimeout::NONE;
                    let cancel = matches!(unless, Unless::Cancelled);
                    self.wait(g, &Want { socket, file: None, cancel, timeout })?;
                }
            }
        }
    }

    /// Takes one thing off the bytes that have arrived, if they hold a whole one.
    fn parse(&mut self) -> Talk<Option<Incoming>> {
        let bytes = &self.input[self.start..];
        let Some((word, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let (incoming, len) = match wire::announced(u32::from_be_bytes(*word))? {
            Announced::Launch => (Incoming::Launch, 0),
            Announced::Cancel => (Incoming::Cancel, 0),
            Announced::Taken => (Incoming::Taken, 0),
            Announced::Progress => match rest.get(..wire::PROGRESS_SIZE) {
                Some(body) => (Incoming::Progress(wire::decode(body)?), body.len()),
                None => return Ok(None),
            },
            Announced::Message(len) => match rest.get(..len) {
                Some(body) => (Incoming::Message(body.to_vec()), len),
                None => return Ok(None),
            },
        };
        self.start += word.len() + len;
        Ok(Some(incoming))
    }

    /// Waits, and takes in what has arrived on the socket and the console.
    fn wait(&mut self, g: &Handle, want: &Want<'_>) -> Talk<Ready> {
        let socket = self.channel.socket().as_fd();
        let mut fds = Vec::with_capacity(4);
        let mut watch = |fd, events| {
            fds.push(PollFd::new(fd, events));
            fds.len() - 1
        };
        // Its end is reported even when nothing is asked for.
        let socket = watch(socket, want.socket);
        let console = match self.channel.console() {
            Some(fd) if self.console_open => Some(watch(fd, PollFlags::POLLIN)),
            _ => None,
        };
        let file = want.file.map(|(fd, events)| watch(fd, events));
        if want.cancel {
            watch(g.cancel().fd(), PollFlags::POLLIN);
        }
        let interrupts = interrupt::current();
        let signals = interrupts.as_deref().map(|it| watch(it.as_fd(), PollFlags::POLLIN));
        match poll(&mut fds, want.timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(err) => return Err(Lost::Host(Error::system(err, "poll"))),
        }
        let got = |at: Option<usize>| {
            at.and_then(|at| fds.get(at)).and_then(PollFd::revents).unwrap_or(PollFlags::empty())
        };
        let (socket, console, file) = (got(Some(socket)), got(console), got(file));
        if let Some(scope) = interrupts.as_deref().filter(|_| !got(signals).is_empty()) {
            scope.wake();
            if interrupt::requested() {
                g.cancel().request();
            }
        }
        if !console.is_empty() {
            self.read_console(g);
        }
        if !want.socket.is_empty() && socket.intersects(!PollFlags::POLLOUT) {
            self.fill()?;
        }
        let gone = socket.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
        Ok(Ready { send: socket.contains(PollFlags::POLLOUT), file: !file.is_empty(), gone })
    }

    /// Reads what the socket has.
    fn fill(&mut self) -> Talk<()> {
        self.input.drain(..self.start);
        self.start = 0;
        let mut block = [0; BLOCK];
        let fd = self.channel.socket().as_raw_fd();
        match recv(fd, &mut block, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => self.socket_open = false,
            Ok(n) => self.input.extend_from_slice(&block[..n]),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(err) => return Err(Lost::Host(Error::system(err, "connection to the appliance"))),
        }
        Ok(())
    }

    /// Writes as much as the socket takes.
    fn write(&mut self, out: &mut Output) -> Talk<()> {
        let fd = self.channel.socket().as_raw_fd();
        match send(fd, out.rest(), MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(n) => out.advance(n),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // What it had to say before it went may still be there, but is no reply to this.
            Err(Errno::EPIPE | Errno::ECONNRESET) => self.socket_open = false,
            Err(err) => return Err(Lost::Host(Error::system(err, "connection to the appliance"))),
        }
        Ok(())
    }

    /// Passes on console output; false when there is no more to come.
    fn read_console(&mut self, g: &Handle) -> bool {
        let mut block = [0; 4096];
        let read = match self.channel.console() {
            Some(fd) => nix::unistd::read(fd, &mut block),
            None => Ok(0),
        };
        match read {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(0) | Err(_) => self.console_open = false,
            Ok(n) => {
                self.channel.absorb_console(&block[..n]);
                g.emit(Events::APPLIANCE, Payload::Buf(&block[..n]));
            }
        }
        self.console_open
    }

    /// Passes on what the appliance printed last.
    fn drain_console(&mut self, g: &Handle) {
        while self.console_open {
            let Some(fd) = self.channel.console() else { return };
            let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::ZERO) {
                Ok(1) if self.read_console(g) => {}
                _ => return,
            }
        }
    }
}

impl Unless {
    fn it_happens(self, g: &Handle) -> bool {
        match self {
            Self::Nothing => false,
            Self::Cancelled => g.cancel().requested(),
            Self::Interrupted => interrupt::requested(),
        }
    }
}

/// What the reply to this call says.
fn result_of(header: &Header, message: &[u8]) -> Talk<Result<Vec<u8>>> {
    let (reply, body) = reply_to(header, message)?;
    match reply.status {
        Status::Ok => Ok(Ok(body.to_vec())),
        Status::Error => Ok(Err(refusal(&wire::decode(body)?))),
    }
}

/// Takes a message apart, which has to be the reply to this call.
fn reply_to<'a>(header: &Header, message: &'a [u8]) -> Talk<(Header, &'a [u8])> {
    let (reply, body) = wire::split_header(message)?;
    if reply.direction != Direction::Reply {
        return Err(Lost::Malformed("a call instead of a reply".into()));
    }
    if (reply.proc_nr, reply.serial) != (header.proc_nr, header.serial) {
        return Err(Lost::Malformed(format!(
            "reply to function {} with serial number {}, not {} with {}",
            reply.proc_nr, reply.serial, header.proc_nr, header.serial
        )));
    }
    Ok((reply, body))
}

/// Tells the user how far the call has come; reports about anything else mean nothing.
fn report(g: &Handle, header: &Header, progress: &wire::Progress) {
    if (progress.proc_nr, progress.serial) == (header.proc_nr, header.serial) {
        let (proc_nr, serial) = (progress.proc_nr.into(), progress.serial.into());
        let array = [proc_nr, serial, progress.position, progress.total];
        g.emit(Events::PROGRESS, Payload::Array(&array));
    }
}

/// The daemon's error.  The name of the function is added to it by who knows what was called.
fn refusal(error: &MessageError) -> Error {
    let errno = error.errno_string.to_str().ok().and_then(errno::number).unwrap_or(0);
    let text = error.message.trim_ascii_end();
    if is_unknown_function(&text.to_str_lossy()) {
        let why = "the appliance does not have this function";
        return Error::new(Errno::ENOTSUP as i32, why);
    }
    // A C string ends at a NUL; the rest of the message must not end there with it.
    Error::new(errno, text.to_str_lossy().replace('\0', "\u{fffd}"))
}

fn cancelled() -> Error {
    Error::new(Errno::EINTR as i32, "operation cancelled by user")
}

fn restarted() -> Lost {
    Lost::Malformed("the daemon has started again".into())
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
