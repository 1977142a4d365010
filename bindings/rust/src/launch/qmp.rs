// SPDX-License-Identifier: LGPL-2.1-or-later
//! Client of qemu's control socket: JSON requests and answers, one a line.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use super::wait::readable;

/// No answer we ask for is longer; anything that is doesn't come from a qemu in its right mind.
const LINE_MAX: usize = 16 << 20;

/// A control connection.  Nothing is sent before the first command.
pub(super) struct Qmp {
    stream: UnixStream,
    received: Vec<u8>,
    /// What came before an answer, for whoever asks.
    events: VecDeque<Value>,
    negotiated: bool,
}

impl Qmp {
    pub(super) fn new(stream: UnixStream) -> Self {
        let (received, events) = Default::default();
        Self { stream, received, events, negotiated: false }
    }

    /// Runs a command and returns its result.  An error that is no more than qemu's answer is of
    /// the kind `Other`.
    pub(super) fn execute(
        &mut self,
        command: &str,
        arguments: Value,
        deadline: Instant,
    ) -> io::Result<Value> {
        self.negotiate(deadline)?;
        self.roundtrip(command, arguments, deadline)
    }

    fn negotiate(&mut self, deadline: Instant) -> io::Result<()> {
        if !self.negotiated {
            // The greeting comes by itself; it is skipped like an event.
            self.roundtrip("qmp_capabilities", json!({}), deadline)?;
            self.negotiated = true;
        }
        Ok(())
    }

    /// Gives qemu a descriptor, which commands can then call by this name.
    pub(super) fn give(&mut self, name: &str, fd: &impl AsFd, deadline: Instant) -> io::Result<()> {
        self.negotiate(deadline)?;
        let request = request("getfd", json!({"fdname": name}));
        let fds = [fd.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        let bytes = [io::IoSlice::new(request.as_bytes())];
        // A socket with nothing in it takes a line at once.
        let sent = sendmsg(&self.stream, &bytes, &mut ancillary, SendFlags::NOSIGNAL)?;
        self.stream.write_all(&request.as_bytes()[sent..])?;
        self.answer("getfd", deadline)?;
        Ok(())
    }

    /// Waits for an event and returns what it says; others before it are dropped.
    pub(super) fn event(&mut self, name: &str, deadline: Instant) -> io::Result<Value> {
        loop {
            let mut message = match self.events.pop_front() {
                Some(event) => event,
                None => serde_json::from_slice(&self.line(deadline)?)?,
            };
            if message["event"] == name {
                return Ok(message["data"].take());
            }
        }
    }

    fn roundtrip(&mut self, command: &str, arguments: Value, by: Instant) -> io::Result<Value> {
        self.stream.write_all(request(command, arguments).as_bytes())?;
        self.answer(command, by)
    }

    fn answer(&mut self, command: &str, by: Instant) -> io::Result<Value> {
        loop {
            let mut answer: Value = serde_json::from_slice(&self.line(by)?)?;
            if answer["id"] != command {
                if answer["event"].is_string() {
                    self.events.push_back(answer);
                }
                continue;
            }
            if let Some(error) = answer["error"]["desc"].as_str() {
                return Err(io::Error::other(format!("{command}: {error}")));
            }
            return Ok(answer["return"].take());
        }
    }

    fn line(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(n) = self.received[searched..].iter().position(|&it| it == b'\n') {
                let rest = self.received.split_off(searched + n + 1);
                return Ok(std::mem::replace(&mut self.received, rest));
            }
            searched = self.received.len();
            if searched > LINE_MAX {
                return Err(io::Error::other("an answer without end"));
            }
            if readable([self.stream.as_fd()], Some(deadline))? == [false] {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.received.extend_from_slice(&chunk[..n]),
            }
        }
    }
}

/// A command as it is sent; its answer will have its name.
fn request(command: &str, arguments: Value) -> String {
    json!({"execute": command, "arguments": arguments, "id": command}).to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The connection, when qemu says `said` and nothing else.
    fn execute(said: &str, patience_ms: u64) -> (io::Result<Value>, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(said.as_bytes()).unwrap();
        let deadline = Instant::now() + Duration::from_millis(patience_ms);
        (Qmp::new(ours).execute("query-x", json!({"a": 1}), deadline), theirs)
    }

    const HELLO: &str = concat!(
        r#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#,
        "\r\n",
        r#"{"return": {}, "id": "qmp_capabilities"}"#,
        "\r\n"
    );

    #[track_caller]
    fn check(said: &str, expected: &str) {
        let (answer, _theirs) = execute(&format!("{HELLO}{said}"), 1);
        let text = answer.map_or_else(|it| it.to_string(), |it| it.to_string());
        assert_eq!(text, expected);
    }

    #[test]
    fn answers() {
        check("{\"return\": [1], \"id\": \"query-x\"}\r\n", "[1]");
        check(
            "{\"event\": \"RESUME\"}\r\n{\"return\": {\"b\": 2}, \"id\": \"query-x\"}\r\n",
            r#"{"b":2}"#,
        );
        check(
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"No\"}, \"id\": \"query-x\"}\n",
            "query-x: No",
        );
        check("", "timed out");
        check("{\"return\": [1], \"id\": \"query-x\"}", "timed out");
        check("nonsense\n", "expected ident at line 1 column 2");
    }

    #[test]
    fn an_event_before_the_answer() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let event = r#"{"event": "MIGRATION", "data": {"status": "completed"}}"#;
        let answer = r#"{"return": {}, "id": "migrate"}"#;
        writeln!(theirs, "{}{{\"event\": \"STOP\"}}\n{event}\n{answer}", HELLO).unwrap();
        let (mut qmp, deadline) = (Qmp::new(ours), Instant::now() + Duration::from_secs(20));
        qmp.execute("migrate", json!({}), deadline).unwrap();
        assert_eq!(qmp.event("MIGRATION", deadline).unwrap(), json!({"status": "completed"}));
        // It is told once.
        let again = qmp.event("MIGRATION", Instant::now()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn requests() {
        let (_, mut theirs) = execute(HELLO, 1);
        let mut sent = String::new();
        theirs.read_to_string(&mut sent).unwrap();
        assert_eq!(
            sent,
            "{\"arguments\":{},\"execute\":\"qmp_capabilities\",\"id\":\"qmp_capabilities\"}\n\
             {\"arguments\":{\"a\":1},\"execute\":\"query-x\",\"id\":\"query-x\"}\n"
        );
    }
}
