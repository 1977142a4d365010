// SPDX-License-Identifier: LGPL-2.1-or-later
//! The conversation against a daemon that is a thread of the test.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use guestfs_protocol::wire::{Chunk, Nothing};
use guestfs_protocol::{
    DownloadArgs, ListDevicesRet, LuksKillSlotArgs, MountArgs, Pack, UploadArgs,
};

use super::*;

#[path = "connection_window_tests.rs"]
mod window;

/// The daemon's end, driven by hand.
struct Peer {
    socket: UnixStream,
    console: UnixStream,
}

impl Peer {
    /// Reads a call, and returns its header and its arguments.
    fn call(&mut self) -> (Header, Vec<u8>) {
        let Incoming::Message(message) = self.next() else { panic!("not a message") };
        let (header, body) = wire::split_header(&message).unwrap();
        (header, body.to_vec())
    }

    fn next(&mut self) -> Incoming {
        wire::read_incoming(&mut self.socket).unwrap()
    }

    fn chunk(&mut self) -> Chunk {
        let Incoming::Message(message) = self.next() else { panic!("not a chunk") };
        wire::decode(&message).unwrap()
    }

    /// Reads chunks to the end, and returns their content and whether they were cancelled.
    fn file(&mut self) -> (Vec<u8>, bool) {
        let mut content = Vec::new();
        loop {
            match self.chunk() {
                Chunk::Cancel => return (content, true),
                Chunk::Data(data) if data.is_empty() => return (content, false),
                Chunk::Data(data) => content.extend(data),
                chunk @ Chunk::Shown(_) => panic!("{chunk:?} without a window"),
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    fn reply(&mut self, header: &Header, body: &impl Pack<Vec<u8>>) {
        self.send(&wire::encode_message(&header.reply(Status::Ok), body).unwrap());
    }

    fn refuse(&mut self, header: &Header, errno: &str, message: &str) {
        let error = MessageError { errno_string: errno.into(), message: message.into() };
        self.send(&wire::encode_message(&header.reply(Status::Error), &error).unwrap());
    }

    fn send_chunk(&mut self, data: &[u8]) {
        let chunk = Chunk::Data(data.to_vec());
        self.send(&wire::encode_chunk(&chunk).unwrap());
    }

    fn cancel_chunk(&mut self) {
        self.send(&wire::encode_chunk(&Chunk::Cancel).unwrap());
    }
}

/// The library's end, with a console.
struct Fake {
    socket: UnixStream,
    console: UnixStream,
    window: Option<Arc<Window>>,
    printed: Vec<u8>,
}

impl Channel for Fake {
    fn socket(&self) -> &UnixStream {
        &self.socket
    }

    fn window(&self) -> Option<Arc<Window>> {
        self.window.clone()
    }

    fn console(&self) -> Option<BorrowedFd<'_>> {
        Some(self.console.as_fd())
    }

    fn absorb_console(&mut self, output: &[u8]) {
        self.printed.extend(output);
    }

    fn death_report(&mut self) -> String {
        String::from_utf8_lossy(&self.printed).into_owned()
    }

    fn shutdown(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn connected() -> (Handle, Peer) {
    connected_with(None)
}

fn connected_with(window: Option<Arc<Window>>) -> (Handle, Peer) {
    let (socket, peer) = UnixStream::pair().unwrap();
    let (console, peer_console) = UnixStream::pair().unwrap();
    let g = Handle::detached();
    g.with(|s| s.autosync = false);
    g.attach_channel(Box::new(Fake { socket, console, window, printed: Vec::new() }));
    (g, Peer { socket: peer, console: peer_console })
}

/// Runs `daemon` beside `user`; both must come to an end.
fn talk<T>(daemon: impl FnOnce(&mut Peer) + Send + 'static, user: impl FnOnce(&Handle) -> T) -> T {
    let (g, mut peer) = connected();
    let daemon = thread::spawn(move || daemon(&mut peer));
    let result = user(&g);
    daemon.join().unwrap();
    result
}

fn mount(g: &Handle) -> Result<()> {
    let args = MountArgs { mountable: "/dev/sda1".into(), mountpoint: "/".into() };
    g.call(Procedure::Mount, 0, &args).map(|Nothing| ())
}

fn upload(g: &Handle, file: &Path) -> Result<()> {
    let args = UploadArgs { remotefilename: "/x".into() };
    g.call_files(Procedure::Upload, 0, &args, Some(file), None).map(|Nothing| ())
}

fn download(g: &Handle, file: &Path) -> Result<()> {
    let args = DownloadArgs { remotefilename: "/x".into() };
    g.call_files(Procedure::Download, 0, &args, None, Some(file)).map(|Nothing| ())
}

#[track_caller]
fn check(result: Result<()>, errno: i32, expected: &str) {
    let err = result.unwrap_err();
    assert_eq!((err.to_string().as_str(), err.errno()), (expected, errno));
}

#[test]
fn a_call_and_its_reply() {
    let user = |g: &Handle| {
        mount(g).unwrap();
        let ret: ListDevicesRet = g.call(Procedure::ListDevices, 0, &Nothing).unwrap();
        assert_eq!(ret.devices, ["/dev/sda"]);
    };
    let daemon = |peer: &mut Peer| {
        let (header, body) = peer.call();
        assert_eq!(header, Header::call(1, wire::FIRST_SERIAL, 0, 0));
        assert_eq!(wire::decode::<MountArgs>(&body).unwrap().mountpoint, "/");
        peer.reply(&header, &Nothing);
        let (header, _) = peer.call();
        assert_eq!(header.serial, wire::FIRST_SERIAL + 1);
        // A byte at a time is as good as any other way.
        let ret = ListDevicesRet { devices: vec!["/dev/sda".into()] };
        for byte in wire::encode_message(&header.reply(Status::Ok), &ret).unwrap() {
            peer.send(&[byte]);
        }
    };
    talk(daemon, user);
}

#[test]
fn errors_of_the_daemon() {
    let daemon = |peer: &mut Peer| {
        for (errno, message) in
            [("ENOENT", "/dev/sdb: No such device\n"), ("EWEIRD", "no prefix"), ("", "a\0b")]
        {
            let (header, _) = peer.call();
            peer.refuse(&header, errno, message);
        }
    };
    talk(daemon, |g| {
        check(mount(g), libc::ENOENT, "/dev/sdb: No such device");
        check(mount(g), 0, "no prefix");
        check(mount(g), 0, "a\u{fffd}b");
        assert_eq!(crate::handle::is_ready(g), Ok(true));
    });
}

#[test]
fn progress_and_console_are_passed_on() {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = log.clone();
    let (hear, heard) = mpsc::channel();
    let daemon = move |peer: &mut Peer| {
        let (header, _) = peer.call();
        let (proc_nr, serial) = (header.proc_nr, header.serial);
        for serial in [serial, serial + 1] {
            let progress = wire::Progress { proc_nr, serial, position: 3, total: 4 };
            peer.send(&wire::encode_progress(&progress).unwrap());
        }
        peer.console.write_all(b"hello").unwrap();
        // The library has seen the console before it is replied to.
        heard.recv().unwrap();
        peer.send(&wire::CANCEL_FLAG.to_be_bytes());
        peer.reply(&header, &Nothing);
    };
    talk(daemon, |g| {
        g.set_event_callback(Events::ALL, move |g, event, _, payload| {
            if event == Events::APPLIANCE {
                // Another call has to wait for the one that is in progress, which is this one.
                check(mount(g), libc::EBUSY, "another call is in progress");
                check(crate::handle::shutdown(g), libc::EBUSY, "another call is in progress");
                hear.send(()).unwrap();
            }
            seen.lock().unwrap().push(format!("{event} {payload:?}"));
        });
        mount(g).unwrap();
    });
    let log = log.lock().unwrap();
    let serial = wire::FIRST_SERIAL;
    assert!(log.contains(&format!("progress Array([1, {serial}, 3, 4])")), "{log:?}");
    assert!(log.contains(&"appliance Buf([104, 101, 108, 108, 111])".to_owned()), "{log:?}");
    assert_eq!(log.iter().filter(|it| it.starts_with("progress")).count(), 1);
}

/// One call that is answered with `bytes`, and then nothing more.
#[track_caller]
fn check_lost(bytes: impl FnOnce(&Header) -> Vec<u8> + Send + 'static, errno: i32, expected: &str) {
    let quit: Arc<Mutex<u32>> = Arc::default();
    let counter = quit.clone();
    let daemon = move |peer: &mut Peer| {
        let (header, _) = peer.call();
        peer.send(&bytes(&header));
        peer.socket.shutdown(std::net::Shutdown::Both).unwrap();
    };
    talk(daemon, |g| {
        g.set_event_callback(Events::SUBPROCESS_QUIT, move |g, _, _, _| {
            assert_eq!(crate::handle::is_config(g), Ok(true));
            *counter.lock().unwrap() += 1;
        });
        check(mount(g), errno, expected);
        check(mount(g), libc::EINVAL, "call launch before using this function");
    });
    assert_eq!(*quit.lock().unwrap(), 1);
}

#[test]
fn what_breaks_the_protocol() {
    let reply = |header: &Header, patch: fn(&mut Header)| {
        let mut reply = header.reply(Status::Ok);
        patch(&mut reply);
        wire::encode_message(&reply, &Nothing).unwrap()
    };
    let broken = |why: &str| format!("the appliance broke the protocol and was stopped: {why}");
    let check = |bytes: fn(&Header) -> Vec<u8>, why: &str| {
        check_lost(bytes, libc::EPROTO, &broken(why));
    };
    check_lost(
        move |h| reply(h, |r| r.serial += 1),
        libc::EPROTO,
        &broken("reply to function 1 with serial number 1192961, not 1 with 1192960"),
    );
    check_lost(
        move |h| reply(h, |r| r.proc_nr = 2),
        libc::EPROTO,
        &broken("reply to function 2 with serial number 1192960, not 1 with 1192960"),
    );
    check_lost(
        move |h| reply(h, |r| r.direction = Direction::Call),
        libc::EPROTO,
        &broken("a call instead of a reply"),
    );
    check_lost(
        move |h| reply(h, |r| r.status = Status::Error),
        libc::EPROTO,
        &broken("malformed message: unexpected end of file"),
    );
    check(
        |h| wire::encode_message(&h.reply(Status::Ok), &7_u32).unwrap(),
        "malformed message: 4 bytes too many",
    );
    check(|_| b"\0\0\0\x04abcd".to_vec(), "malformed message: unexpected end of file");
    check(
        |_| b"\x00\x40\x00\x01".to_vec(),
        "message of 4194305 bytes is longer than the 4194304 bytes that the protocol allows",
    );
    check(|_| wire::LAUNCH_FLAG.to_be_bytes().to_vec(), "the daemon has started again");
}

#[test]
fn an_end_in_the_middle() {
    let closed = "the appliance closed the connection";
    check_lost(|_| Vec::new(), libc::ECONNRESET, closed);
    check_lost(|_| b"\0\0\0\x28\x20\0".to_vec(), libc::ECONNRESET, closed);
    check_lost(|_| b"\xff\xff\x55\x55\0".to_vec(), libc::ECONNRESET, closed);
}

#[test]
fn last_words_are_in_the_error() {
    let daemon = |peer: &mut Peer| {
        peer.call();
        peer.console.write_all(b"Kernel panic").unwrap();
        peer.socket.shutdown(std::net::Shutdown::Both).unwrap();
    };
    talk(daemon, |g| {
        let expected = "the appliance closed the connection: Kernel panic";
        check(mount(g), libc::ECONNRESET, expected);
    });
}

#[test]
fn what_is_too_long_is_not_sent() {
    let daemon = |peer: &mut Peer| {
        let (header, _) = peer.call();
        assert_eq!(header.serial, wire::FIRST_SERIAL);
        peer.reply(&header, &Nothing);
    };
    talk(daemon, |g| {
        let args = UploadArgs { remotefilename: vec![b'x'; 5 << 20].into() };
        let result = g.call(Procedure::Upload, 0, &args).map(|Nothing| ());
        let err = result.unwrap_err();
        assert_eq!(err.errno(), libc::EMSGSIZE);
        assert!(err.to_string().contains("4194304 bytes"), "{err}");
        mount(g).unwrap();
    });
}

#[test]
fn a_file_is_sent() {
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("in");
    std::fs::write(&file, &content).unwrap();
    let in_memory = content.clone();
    let daemon = move |peer: &mut Peer| {
        for hint in [1_000_000, 1_000_000, 0] {
            let (header, _) = peer.call();
            assert_eq!(header.progress_hint, hint);
            let (got, cancelled) = peer.file();
            assert!(got == if hint == 0 { &b"piped"[..] } else { &content }, "content differs");
            assert!(!cancelled);
            peer.reply(&header, &Nothing);
        }
    };
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    talk(daemon, |g| {
        upload(g, &file).unwrap();
        let args = UploadArgs { remotefilename: "/x".into() };
        g.call_from_memory(Procedure::Upload, &args, &in_memory).unwrap();
        let writer = fifo.clone();
        let writer = thread::spawn(move || std::fs::write(writer, "piped").unwrap());
        upload(g, &fifo).unwrap();
        writer.join().unwrap();
    });
}

#[test]
fn a_missing_file_costs_no_call() {
    talk(
        |_| {},
        |g| {
            check(
                upload(g, Path::new("/no/such")),
                libc::ENOENT,
                "/no/such: No such file or directory",
            )
        },
    );
}

#[test]
fn the_daemon_stops_an_upload() {
    let daemon = |peer: &mut Peer| {
        let (header, _) = peer.call();
        peer.chunk();
        peer.send(&wire::CANCEL_FLAG.to_be_bytes());
        let (_, cancelled) = peer.file();
        assert!(cancelled);
        peer.refuse(&header, "ENOSPC", "/x: No space left on device");
        let (header, _) = peer.call();
        peer.reply(&header, &Nothing);
    };
    talk(daemon, |g| {
        // Without end, so only the daemon can stop it.
        let result = upload(g, Path::new("/dev/zero"));
        check(result, libc::ENOSPC, "/x: No space left on device");
        mount(g).unwrap();
    });
}

#[test]
fn the_user_stops_an_upload() {
    for source in ["/dev/zero", "fifo that nobody writes to"] {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let held = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        let source = if source.starts_with('/') { Path::new(source) } else { &fifo };
        let (g, mut peer) = connected();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (header, _) = peer.call();
                g.user_cancel().unwrap();
                let (_, cancelled) = peer.file();
                assert!(cancelled);
                peer.refuse(&header, "", "upload: cancelled");
            });
            check(upload(&g, source), libc::EINTR, "operation cancelled by user");
        });
        drop(held);
    }
}

#[test]
fn a_host_file_that_cannot_be_read() {
    let daemon = |peer: &mut Peer| {
        let (header, _) = peer.call();
        let (_, cancelled) = peer.file();
        assert!(cancelled);
        peer.refuse(&header, "", "upload: cancelled");
    };
    // Address 0 of this process is not mapped.
    let file = "/proc/self/mem";
    talk(daemon, |g| {
        check(upload(g, Path::new(file)), libc::EIO, "/proc/self/mem: Input/output error")
    });
}

#[test]
fn a_reply_before_the_end_of_the_file() {
    let daemon = |peer: &mut Peer| {
        let (header, _) = peer.call();
        peer.reply(&header, &Nothing);
        // The library must not wait for this end, which reads nothing more.
        let _ = peer.console.read(&mut [0]);
    };
    talk(daemon, |g| {
        let expected =
            "the appliance broke the protocol and was stopped: a reply before the end of the call";
        check(upload(g, Path::new("/dev/zero")), libc::EPROTO, expected);
    });
}

/// Sends a file of many chunks until it is told to stop.
fn send_until_cancelled(peer: &mut Peer) {
    let (header, _) = peer.call();
    peer.reply(&header, &Nothing);
    let stop = peer.socket.try_clone().unwrap();
    let stopped = thread::spawn(move || wire::read_incoming(&mut &stop).unwrap());
    while !stopped.is_finished() {
        peer.send_chunk(&[7; wire::CHUNK_MAX]);
    }
    assert_eq!(stopped.join().unwrap(), Incoming::Cancel);
    peer.cancel_chunk();
    let (header, _) = peer.call();
    peer.reply(&header, &Nothing);
}

#[test]
fn a_file_is_received() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    std::fs::write(&file, "what was there before is longer").unwrap();
    let daemon = |peer: &mut Peer| {
        for _ in 0..2 {
            let (header, _) = peer.call();
            peer.reply(&header, &Nothing);
            peer.send_chunk(b"hello, ");
            peer.send_chunk(b"world");
            peer.send_chunk(b"");
        }
    };
    talk(daemon, |g| {
        download(g, &file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"hello, world");
        let args = DownloadArgs { remotefilename: "/x".into() };
        assert_eq!(g.call_into_memory(Procedure::Download, &args, 100).unwrap(), b"hello, world");
    });
}

#[test]
fn a_refused_download_leaves_the_host_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let daemon = |peer: &mut Peer| {
        let (header, _) = peer.call();
        peer.refuse(&header, "ENOENT", "/x: No such file or directory");
    };
    talk(daemon, |g| {
        check(download(g, &file), libc::ENOENT, "/x: No such file or directory");
        assert!(!file.exists());
    });
}

#[test]
fn a_host_file_that_cannot_be_written() {
    talk(send_until_cancelled, |g| {
        check(
            download(g, Path::new("/dev/full")),
            libc::ENOSPC,
            "/dev/full: No space left on device",
        );
        mount(g).unwrap();
    });
    talk(send_until_cancelled, |g| {
        check(
            download(g, Path::new("/no/such")),
            libc::ENOENT,
            "/no/such: No such file or directory",
        );
        mount(g).unwrap();
    });
    talk(send_until_cancelled, |g| {
        let args = DownloadArgs { remotefilename: "/x".into() };
        let result = g.call_into_memory(Procedure::Download, &args, 10_000);
        let expected = "larger than 10000 bytes, which is the most that fits";
        check(result.map(drop), libc::EFBIG, expected);
        mount(g).unwrap();
    });
}

#[test]
fn the_user_stops_a_download() {
    let (g, mut peer) = connected();
    thread::scope(|scope| {
        scope.spawn(|| send_until_cancelled(&mut peer));
        scope.spawn(|| {
            let dir = tempfile::tempdir().unwrap();
            let fifo = dir.path().join("fifo");
            nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
            thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    let mut reader = std::fs::File::open(&fifo).unwrap();
                    reader.read_exact(&mut [0; 10]).unwrap();
                    g.user_cancel().unwrap();
                    reader
                });
                // Nobody empties the pipe any more, and it stays open.
                check(download(&g, &fifo), libc::EINTR, "operation cancelled by user");
                reader.join().unwrap();
            });
            mount(&g).unwrap();
        });
    });
}

/// Nobody empties the pipe that the file goes to, so the death is all there is to notice.
/// Answers calls of which the first is not wanted any more; `listens` says whether it ends for that.
fn stop_any_call(window: Option<Arc<Window>>, listens: bool) -> Result<()> {
    let told = window.is_some();
    let (g, mut peer) = connected_with(window);
    let g = Arc::new(g);
    let (called, is_called) = mpsc::channel();
    let daemon = thread::spawn(move || {
        let (header, _) = peer.call();
        called.send(()).unwrap();
        if told {
            assert_eq!(peer.next(), Incoming::Cancel);
        }
        match listens {
            true => peer.refuse(&header, "EINTR", "cancelled by the caller"),
            false => peer.reply(&header, &Nothing),
        }
        let (header, _) = peer.call();
        peer.reply(&header, &Nothing);
    });
    let call = {
        let g = g.clone();
        thread::spawn(move || mount(&g))
    };
    is_called.recv().unwrap();
    g.user_cancel().unwrap();
    let result = call.join().unwrap();
    mount(&g).unwrap();
    daemon.join().unwrap();
    result
}

#[test]
fn the_user_stops_any_call() {
    let window = || Some(Arc::new(Window::new().unwrap()));
    let stopped = stop_any_call(window(), true);
    check(stopped, libc::EINTR, "operation cancelled by user");
    stop_any_call(window(), false).unwrap();
    // A daemon that is not ours would not know what to make of it.
    stop_any_call(None, false).unwrap();
}

#[test]
fn a_death_while_the_host_has_no_room() {
    let daemon = |peer: &mut Peer| {
        let (header, _) = peer.call();
        peer.reply(&header, &Nothing);
        for _ in 0..16 {
            peer.send_chunk(&[7; wire::CHUNK_MAX]);
        }
        peer.console.write_all(b"gone").unwrap();
    };
    talk(daemon, |g| {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let held = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        let expected = "the appliance closed the connection: gone";
        check(download(g, &fifo), libc::ECONNRESET, expected);
        drop(held);
    });
}

#[test]
fn the_daemon_stops_a_download() {
    let daemon = |peer: &mut Peer| {
        let (header, _) = peer.call();
        peer.reply(&header, &Nothing);
        peer.send_chunk(b"half");
        peer.cancel_chunk();
        let (header, _) = peer.call();
        peer.reply(&header, &Nothing);
        peer.send_chunk(&[]);
    };
    talk(daemon, |g| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out");
        check(download(g, &file), libc::EIO, "the appliance could not send all of the data");
        download(g, &file).unwrap();
    });
}

#[test]
fn calls_of_several_threads_queue() {
    let daemon = |peer: &mut Peer| {
        for _ in 0..40 {
            let (header, _) = peer.call();
            peer.reply(&header, &Nothing);
        }
    };
    talk(daemon, |g| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| mount(g).unwrap()));
            }
        });
    });
}

#[test]
fn a_panic_in_a_callback_gives_the_connection_up() {
    let daemon = |peer: &mut Peer| {
        let (header, _) = peer.call();
        let (proc_nr, serial) = (header.proc_nr, header.serial);
        let progress = wire::Progress { proc_nr, serial, position: 1, total: 2 };
        peer.send(&wire::encode_progress(&progress).unwrap());
    };
    talk(daemon, |g| {
        g.set_event_callback(Events::PROGRESS, |_, _, _, _| panic!("expected by the test"));
        let call = std::panic::AssertUnwindSafe(|| mount(g));
        std::panic::catch_unwind(call).unwrap_err();
        check(mount(g), libc::EINVAL, "call launch before using this function");
    });
}

#[test]
fn closing_writes_everything_to_disk() {
    let (g, mut peer) = connected();
    g.with(|s| s.autosync = true);
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = log.clone();
    g.set_event_callback(Events::CLOSE | Events::SUBPROCESS_QUIT, move |_, event, _, _| {
        seen.lock().unwrap().push(event.to_string());
    });
    let daemon = thread::spawn(move || {
        let (header, _) = peer.call();
        assert_eq!(header.proc_nr, Procedure::InternalAutosync as u32);
        peer.refuse(&header, "EIO", "/: Input/output error");
    });
    check(g.close(), libc::EIO, "close: /: Input/output error");
    daemon.join().unwrap();
    assert_eq!(*log.lock().unwrap(), ["subprocess_quit", "close"]);
}

#[test]
fn a_key_is_sent_and_not_shown() {
    let (g, mut peer) = connected();
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let events = log.clone();
    g.set_event_callback(Events::TRACE, move |_, _, _, payload| {
        let Payload::Buf(text) = payload else { panic!("no text") };
        events.lock().unwrap().push(String::from_utf8_lossy(text).into_owned());
    });
    g.with(|s| s.trace = true);
    let daemon = thread::spawn(move || {
        let (header, body) = peer.call();
        peer.refuse(&header, "EACCES", "no key of this kind");
        wire::decode::<LuksKillSlotArgs>(&body).unwrap()
    });
    g.luks_kill_slot("/dev/sda", "sesame", 1).unwrap_err();
    assert_eq!(daemon.join().unwrap().key.as_ref(), b"sesame");
    let err = g.luks_kill_slot("/dev/sda", "sesame\0", 1).unwrap_err();
    assert_eq!(err.to_string(), "luks_kill_slot: key: contains a NUL byte");
    let (call, failure) = ("luks_kill_slot \"/dev/sda\" \"***\" 1", "luks_kill_slot = -1 (error)");
    assert_eq!(*log.lock().unwrap(), [call, failure, call, failure]);
}
