// SPDX-License-Identifier: LGPL-2.1-or-later
//! Calls over a socket pair: the daemon in a thread, the library's part played by the test.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use bstr::BString;
use guestfs_protocol::wire::{CANCEL_FLAG, CHUNK_MAX, Chunk, FIRST_SERIAL, Nothing};
use guestfs_protocol::{DebugArgs, Pack, TouchArgs, UmaskArgs, UmaskRet, UmountArgs};

use super::*;
use crate::call::Encoded;
use crate::error::{About, Errno};
use crate::pieces::Piece;

const DOUBLE: u32 = 1;
const FAIL: u32 = 2;
const PANIC: u32 = 3;
const UPLOAD: u32 = 4;
const UPLOAD_REFUSED: u32 = 5;
const UPLOAD_IGNORED: u32 = 6;
const DOWNLOAD: u32 = 7;
const DOWNLOAD_REFUSED: u32 = 8;
const DOWNLOAD_BREAKS: u32 = 9;
const DOWNLOAD_ENDLESS: u32 = 10;
const OPTION: u32 = 11;
const LONG: u32 = 12;
const EXIT: u32 = 13;
const LIMITED: u32 = 14;
const OLDER: u32 = 15;
const DOWNLOAD_HOLES: u32 = 16;
const UPLOAD_PARTS: u32 = 17;

const SLOT_SIZE: usize = 1 << 17;
const HOLE: u64 = 1 << 20;

fn number(number: i32) -> Result<Reply> {
    Ok(Reply::of(&UmaskRet { oldmask: number }))
}

fn refused() -> Error {
    Error::sys("/known/abc", Errno::NOTDIR)
}

const TABLE: &[Entry] = &[
    (DOUBLE, "double", |_, call| number(call.decode::<UmaskArgs>()?.mask * 2)),
    (FAIL, "fail", |_, _| Err(refused())),
    (PANIC, "panic", |_, _| panic!("out of cheese")),
    (UPLOAD, "upload", |_, call| {
        let mut content = Vec::new();
        call.file_in().read_to_end(&mut content).about("file")?;
        number(content.len() as i32)
    }),
    (UPLOAD_REFUSED, "upload_refused", |_, call| {
        call.file_in().read_exact(&mut [0; 10]).about("file")?;
        Err(refused())
    }),
    (UPLOAD_IGNORED, "upload_ignored", |_, call| {
        call.file_in();
        number(0)
    }),
    (DOWNLOAD, "download", |_, call| {
        let len = call.decode::<UmaskArgs>()?.mask as usize;
        call.file_out().write_all(&vec![b'x'; len]).about("file")?;
        Ok(Reply::empty())
    }),
    (DOWNLOAD_REFUSED, "download_refused", |_, call| {
        call.file_out().write_all(b"not sent").about("file")?;
        Err(refused())
    }),
    (DOWNLOAD_BREAKS, "download_breaks", |_, call| {
        call.file_out().write_all(&[0; 20_000]).about("file")?;
        Err(refused())
    }),
    (DOWNLOAD_ENDLESS, "download_endless", |_, call| {
        let mut file = call.file_out();
        loop {
            file.write_all(&[0; 1000]).about("file")?;
        }
    }),
    (OPTION, "option", |_, call| {
        let mask = call.decode::<UmaskArgs>()?.mask;
        number(call.option(0, mask).unwrap_or(-1) + call.option(63, 1000).unwrap_or(0))
    }),
    (LONG, "long", |_, _| Err(Error::invalid("x", "é".repeat(40_000)))),
    (EXIT, "exit", |cx, _| {
        cx.exit();
        Ok(Reply::empty())
    }),
    (LIMITED, "limited", |_, call| {
        call.knows_options(2)?;
        Ok(Reply::empty())
    }),
    (OLDER, "older", |_, call| {
        let a: UmountArgs = call.decode()?;
        call.knows_options(2)?;
        number(i32::from(call.option(0, a.force) == Some(true)))
    }),
    (DOWNLOAD_HOLES, "download_holes", |_, call| {
        let mut file = call.file_out();
        file.write_all(b"start").about("file")?;
        file.hole(HOLE).about("file")?;
        file.write_all(&[b'z'; 3 * SLOT_SIZE]).about("file")?;
        file.hole(10).about("file")?;
        file.hole(HOLE).about("file")?;
        Ok(Reply::empty())
    }),
    (UPLOAD_PARTS, "upload_parts", |_, call| {
        // Two digits a part: 64 KiB each, and 50 more if they are no hole.
        let mut sum = 0;
        let parts = call.file_in().forward(|piece| {
            let part = match piece {
                Piece::Hole(length) => (length >> 16) as i32,
                Piece::Bytes(bytes) => (bytes.len() >> 16) as i32 + 50,
            };
            sum = sum * 100 + part;
            Ok(())
        });
        parts.about("file")?;
        number(sum)
    }),
];

/// The library's end of the channel.
struct Library {
    channel: UnixStream,
    daemon: JoinHandle<wire::Result<()>>,
    serial: u32,
}

impl Library {
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    fn start_with(set_up: impl FnOnce(&mut Ctx) + Send + 'static) -> Self {
        let (channel, theirs) = UnixStream::pair().unwrap();
        let daemon = thread::spawn(|| {
            let directory = tempfile::tempdir().unwrap();
            let mut cx = Ctx::new(directory.path());
            set_up(&mut cx);
            serve_table(TABLE, theirs.into(), &mut cx, |_| {})
        });
        let mut library = Self { channel, daemon, serial: FIRST_SERIAL };
        assert_eq!(library.incoming(), Incoming::Launch);
        library
    }

    fn incoming(&mut self) -> Incoming {
        wire::read_incoming(&mut self.channel).unwrap()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.channel.write_all(bytes).unwrap();
    }

    fn call(&mut self, proc_nr: u32, optargs: u64, mask: i32) {
        self.serial += 1;
        let header = Header::call(proc_nr, self.serial, optargs, 0);
        self.send(&wire::encode_message(&header, &UmaskArgs { mask }).unwrap());
    }

    fn chunk(&mut self, cancel: bool, len: usize) {
        let chunk = if cancel { Chunk::Cancel } else { Chunk::Data(vec![b'y'; len]) };
        self.send(&wire::encode_chunk(&chunk).unwrap());
    }

    /// The reply in words.
    fn reply(&mut self) -> String {
        let Incoming::Message(message) = self.incoming() else { panic!("no message") };
        let (header, body) = wire::split_header(&message).unwrap();
        assert_eq!(header.serial, self.serial);
        match header.status {
            Status::Error => {
                let err: MessageError = wire::decode(body).unwrap();
                format!("{} {}", err.errno_string, err.message)
            }
            Status::Ok if body.is_empty() => "ok".into(),
            Status::Ok => wire::decode::<UmaskRet>(body).unwrap().oldmask.to_string(),
        }
    }

    /// The file in words.
    fn file(&mut self) -> String {
        let mut len = 0;
        loop {
            let Incoming::Message(message) = self.incoming() else { panic!("no message") };
            let chunk: Chunk = wire::decode(&message).unwrap();
            match chunk {
                Chunk::Cancel => return format!("cancelled after {len}"),
                Chunk::Data(data) if data.is_empty() => return len.to_string(),
                Chunk::Data(data) => len += data.len(),
                Chunk::Shown(_) => panic!("{chunk:?} without a window"),
            }
        }
    }

    /// Whatever went before, the next call works, and the end of the channel ends the daemon.
    fn finish(mut self) {
        self.call(DOUBLE, 0, 21);
        assert_eq!(self.reply(), "42");
        drop(self.channel);
        self.daemon.join().unwrap().unwrap();
    }
}

#[track_caller]
fn check(proc_nr: u32, mask: i32, expected: &str) {
    let mut library = Library::start();
    library.call(proc_nr, 0, mask);
    assert_eq!(library.reply(), expected);
    library.finish();
}

#[test]
fn options_that_nobody_knows() {
    let mut library = Library::start();
    library.call(LIMITED, 0b11, 0);
    assert_eq!(library.reply(), "ok");
    library.call(LIMITED, 0b101, 0);
    let expected = "EINVAL options: 0x5 has bits beyond the 2 options there are";
    assert_eq!(library.reply(), expected);
    library.finish();
}

#[test]
fn calls() {
    check(DOUBLE, 4, "8");
    check(FAIL, 0, "ENOTDIR /known/abc: Not a directory");
    check(PANIC, 0, " internal error: out of cheese");
    check(99, 0, " procedure 99 is unknown to this daemon");
}

#[test]
fn options_that_were_not_given() {
    let mut library = Library::start();
    for (optargs, expected) in [(0, "-1"), (1, "5"), (1 << 63, "999"), (2, "-1")] {
        library.call(OPTION, optargs, 5);
        assert_eq!(library.reply(), expected);
    }
    library.finish();
}

#[test]
fn options_that_the_caller_is_too_old_for() {
    let mut all = Vec::new();
    UmountArgs { pathordevice: "/x".into(), force: true, lazyunmount: false }
        .pack(&mut all)
        .unwrap();
    let mut path = Vec::new();
    TouchArgs { path: "/x".into() }.pack(&mut path).unwrap();
    let mut library = Library::start();
    let mut check = |optargs, len: usize, expected: &str| {
        library.serial += 1;
        let header = Header::call(OLDER, library.serial, optargs, 0);
        library.send(&wire::encode_message(&header, &Encoded(all[..len].into())).unwrap());
        assert_eq!(library.reply(), expected);
    };
    check(0b01, all.len(), "1");
    check(0b01, path.len() + 4, "1");
    check(0b00, path.len(), "0");
    check(0b01, path.len(), "EPROTO options: 0x1 has bits beyond the 0 that were sent");
    check(0b11, path.len() + 4, "EPROTO options: 0x3 has bits beyond the 1 that were sent");
    for len in [0, path.len() - 1, path.len() + 1, all.len() - 1] {
        check(0b00, len, "EPROTO arguments: malformed message: unexpected end of file");
    }
    library.finish();
}

#[test]
fn arguments_of_another_function() {
    let mut library = Library::start();
    library.serial += 1;
    let header = Header::call(DOUBLE, library.serial, 0, 0);
    let args = DebugArgs { subcmd: "x".into(), extraargs: vec![BString::from("y")] };
    library.send(&wire::encode_message(&header, &args).unwrap());
    assert_eq!(library.reply(), "EPROTO arguments: malformed message: 16 bytes too many");
    library.serial += 1;
    let header = Header::call(DOUBLE, library.serial, 0, 0);
    library.send(&wire::encode_message(&header, &Nothing).unwrap());
    assert_eq!(library.reply(), "EPROTO arguments: malformed message: unexpected end of file");
    library.finish();
}

#[test]
fn errors_are_cut_between_characters() {
    let mut library = Library::start();
    library.call(LONG, 0, 0);
    let reply = library.reply();
    assert_eq!(reply.len(), "EINVAL ".len() + ERROR_MAX - 1);
    assert!(reply.ends_with('é'), "{reply}");
    library.finish();
}

#[test]
fn what_is_no_call_is_ignored() {
    let mut library = Library::start();
    library.send(&CANCEL_FLAG.to_be_bytes());
    library.chunk(false, 100);
    library.finish();
}

#[test]
fn a_call_can_end_the_daemon() {
    let mut library = Library::start();
    library.call(EXIT, 0, 0);
    assert_eq!(library.reply(), "ok");
    library.daemon.join().unwrap().unwrap();
}

#[test]
fn a_message_too_long_ends_the_daemon() {
    let mut library = Library::start();
    library.send(&0x0040_0001_u32.to_be_bytes());
    let err = library.daemon.join().unwrap().unwrap_err();
    assert!(err.to_string().contains("longer than"), "{err}");
}

#[test]
fn a_file_to_the_daemon() {
    let mut library = Library::start();
    library.call(UPLOAD, 0, 0);
    for len in [CHUNK_MAX, CHUNK_MAX, 100, 0] {
        library.chunk(false, len);
    }
    assert_eq!(library.reply(), "16484");
    library.finish();
}

#[test]
fn the_library_cancels_a_file_to_the_daemon() {
    let mut library = Library::start();
    library.call(UPLOAD, 0, 0);
    library.chunk(false, 100);
    library.chunk(true, 0);
    assert_eq!(library.reply(), "EINTR cancelled by the caller");
    library.finish();
}

#[test]
fn the_daemon_cancels_a_file_to_the_daemon() {
    let mut library = Library::start();
    library.call(UPLOAD_REFUSED, 0, 0);
    library.chunk(false, 100);
    assert_eq!(library.incoming(), Incoming::Cancel);
    // What was on its way when the flag came.
    library.chunk(false, 100);
    library.chunk(true, 0);
    assert_eq!(library.reply(), "ENOTDIR /known/abc: Not a directory");
    library.finish();
}

#[test]
fn a_file_may_end_before_the_flag_comes() {
    let mut library = Library::start();
    library.call(UPLOAD_REFUSED, 0, 0);
    library.chunk(false, 100);
    library.chunk(false, 0);
    assert_eq!(library.incoming(), Incoming::Cancel);
    assert_eq!(library.reply(), "ENOTDIR /known/abc: Not a directory");
    library.finish();
}

#[test]
fn a_file_nobody_reads() {
    let mut library = Library::start();
    library.call(UPLOAD_IGNORED, 0, 0);
    library.chunk(false, 100);
    library.chunk(false, 0);
    assert_eq!(library.reply(), "0");
    library.finish();
}

#[test]
fn a_file_to_the_library() {
    let mut library = Library::start();
    for len in [0, 1, 8191, 8192, 8193, 100_000] {
        library.call(DOWNLOAD, 0, len);
        assert_eq!(library.reply(), "ok");
        assert_eq!(library.file(), len.to_string());
    }
    library.finish();
}

#[test]
fn an_error_before_the_first_byte_is_a_reply() {
    check(DOWNLOAD_REFUSED, 0, "ENOTDIR /known/abc: Not a directory");
}

#[test]
fn an_error_in_mid_file_cancels_it() {
    let mut library = Library::start();
    library.call(DOWNLOAD_BREAKS, 0, 0);
    assert_eq!(library.reply(), "ok");
    assert_eq!(library.file(), "cancelled after 16384");
    library.finish();
}

#[test]
fn the_library_cancels_a_file_to_the_library() {
    let mut library = Library::start();
    library.call(DOWNLOAD_ENDLESS, 0, 0);
    assert_eq!(library.reply(), "ok");
    library.send(&CANCEL_FLAG.to_be_bytes());
    let end = library.file();
    assert!(end.starts_with("cancelled after "), "{end}");
    library.finish();
}

mod window;
