// SPDX-License-Identifier: LGPL-2.1-or-later
//! Transfers with a window, against a daemon that is a thread of the test.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use guestfs_protocol::wire::{SHOWN_MIN, Shown, TAKEN_FLAG};

use super::*;
use crate::window::SIZE;

const HOLE: u64 = 1 << 30;

/// Runs `user` beside a daemon which has been asked to look at the window, and does.
fn talk<T>(
    daemon: impl FnOnce(&mut Peer, &Window) + Send + 'static,
    user: impl FnOnce(&Handle) -> T,
) -> T {
    let window = Arc::new(Window::new().unwrap());
    let (g, mut peer) = connected_with(Some(window.clone()));
    let daemon = thread::spawn(move || {
        let (header, args) = peer.call();
        assert_eq!(header.proc_nr, Procedure::InternalWindow as u32);
        let args: InternalWindowArgs = wire::decode(&args).unwrap();
        assert_eq!(args.slots as u64 * args.slotsize as u64, SIZE);
        peer.reply(&header, &Nothing);
        daemon(&mut peer, &window);
    });
    let result = user(&g);
    daemon.join().unwrap();
    result
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i / 251 + i) as u8).collect()
}

/// A file with a hole in the middle, and one at its end.
fn sparse_file(path: &Path) {
    let file = File::create(path).unwrap();
    file.write_all_at(&bytes(SLOT_SIZE + 5), 0).unwrap();
    file.write_all_at(&bytes(SHOWN_MIN), HOLE).unwrap();
    file.set_len(2 * HOLE).unwrap();
}

impl Peer {
    fn show(&mut self, shown: Shown) {
        self.send(&wire::encode_chunk(&Chunk::Shown(shown)).unwrap());
    }
}

#[test]
fn a_file_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    sparse_file(&path);
    let daemon = |peer: &mut Peer, window: &Window| {
        let (header, _) = peer.call();
        let (mut content, mut at) = (Vec::new(), 0);
        let mut n_slots = 0;
        loop {
            match peer.chunk() {
                Chunk::Data(data) if data.is_empty() => break,
                Chunk::Data(data) => {
                    at += data.len() as u64;
                    content.extend(data);
                }
                Chunk::Shown(Shown { hole, slot, length }) => {
                    at += hole + u64::from(length);
                    let mut bytes = vec![0; length as usize];
                    window.take(slot, &mut bytes).unwrap();
                    content.extend(bytes);
                    if length > 0 {
                        assert_eq!(slot, n_slots);
                        n_slots += 1;
                        peer.send(&TAKEN_FLAG.to_be_bytes());
                    }
                }
                Chunk::Cancel => panic!("cancelled"),
            }
        }
        // What is read with the last byte of a block is zero.
        assert_eq!(at, 2 * HOLE);
        assert!(content.starts_with(&bytes(SLOT_SIZE + 5)));
        assert!(content.len() < SLOT_SIZE + 3 * SHOWN_MIN, "{}", content.len());
        peer.reply(&header, &Nothing);
        // The next call has nothing to do with it, and asks for nothing.
        let (header, _) = peer.call();
        assert_eq!(header.proc_nr, Procedure::Mount as u32);
        peer.reply(&header, &Nothing);
    };
    talk(daemon, |g| {
        upload(g, &path).unwrap();
        mount(g).unwrap();
    });
}

#[test]
fn no_more_is_shown_than_there_is_room_for() {
    let daemon = |peer: &mut Peer, _: &Window| {
        let (header, _) = peer.call();
        for slot in 0..N_SLOTS {
            let length = SLOT_SIZE as u32;
            assert_eq!(peer.chunk(), Chunk::Shown(Shown { hole: 0, slot, length }));
        }
        peer.send(&TAKEN_FLAG.to_be_bytes());
        assert!(matches!(peer.chunk(), Chunk::Shown(Shown { slot: 0, .. })));
        // Now it waits, and the daemon has had enough.
        peer.send(&wire::CANCEL_FLAG.to_be_bytes());
        assert_eq!(peer.chunk(), Chunk::Cancel);
        peer.refuse(&header, "ENOSPC", "/x: No space left on device");
    };
    talk(daemon, |g| {
        let result = upload(g, Path::new("/dev/zero"));
        check(result, libc::ENOSPC, "/x: No space left on device");
    });
}

#[test]
fn a_file_is_received() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let daemon = |peer: &mut Peer, window: &Window| {
        for _ in 0..2 {
            let (header, _) = peer.call();
            peer.reply(&header, &Nothing);
            peer.send_chunk(b"start");
            window.show(3, &bytes(SLOT_SIZE)).unwrap();
            peer.show(Shown { hole: HOLE, slot: 3, length: SLOT_SIZE as u32 });
            assert_eq!(peer.next(), Incoming::Taken);
            peer.show(Shown { hole: HOLE, slot: 0, length: 0 });
            peer.send_chunk(b"");
        }
    };
    talk(daemon, |g| {
        download(g, &path).unwrap();
        let file = File::open(&path).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 5 + 2 * HOLE + SLOT_SIZE as u64);
        assert!(metadata.blocks() * 512 < 4 * SLOT_SIZE as u64, "{metadata:?}");
        let mut content = vec![1; SLOT_SIZE + 8];
        file.read_exact_at(&mut content, HOLE + 1).unwrap();
        assert_eq!(content[..4], [0; 4]);
        assert_eq!(content[4..][..SLOT_SIZE], bytes(SLOT_SIZE));
        // A pipe has no holes, so it is a file that is not sparse.
        download(g, Path::new("/dev/null")).unwrap();
    });
}

#[test]
fn memory_has_no_holes() {
    let daemon = |peer: &mut Peer, window: &Window| {
        for hole in [10, HOLE] {
            let (header, _) = peer.call();
            peer.reply(&header, &Nothing);
            window.show(0, b"end").unwrap();
            peer.show(Shown { hole, slot: 0, length: 3 });
            assert_eq!(peer.next(), Incoming::Taken);
            if hole == HOLE {
                assert_eq!(peer.next(), Incoming::Cancel);
                peer.cancel_chunk();
            } else {
                peer.send_chunk(b"");
            }
        }
    };
    talk(daemon, |g| {
        let args = DownloadArgs { remotefilename: "/x".into() };
        let content = g.call_into_memory(Procedure::Download, &args, 100).unwrap();
        assert_eq!(content, b"\0\0\0\0\0\0\0\0\0\0end");
        let err = g.call_into_memory(Procedure::Download, &args, 100).unwrap_err();
        assert_eq!(err.errno(), libc::EFBIG);
    });
}

#[test]
fn a_daemon_without_a_window() {
    let window = Arc::new(Window::new().unwrap());
    let (g, mut peer) = connected_with(Some(window));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, bytes(SLOT_SIZE)).unwrap();
    let daemon = thread::spawn(move || {
        let (header, _) = peer.call();
        peer.refuse(&header, "", "procedure 4097 is unknown to this daemon");
        for _ in 0..2 {
            let (header, _) = peer.call();
            assert_eq!(peer.file(), (bytes(SLOT_SIZE), false));
            peer.reply(&header, &Nothing);
        }
    });
    upload(&g, &path).unwrap();
    upload(&g, &path).unwrap();
    daemon.join().unwrap();
}

#[test]
fn what_is_not_there_ends_the_conversation() {
    for (slot, length) in [(N_SLOTS, 1), (0, SLOT_SIZE as u32 + 1), (u32::MAX, u32::MAX)] {
        let daemon = move |peer: &mut Peer, _: &Window| {
            let (header, _) = peer.call();
            peer.reply(&header, &Nothing);
            peer.show(Shown { hole: 0, slot, length });
        };
        let err = talk(daemon, |g| download(g, Path::new("/dev/null"))).unwrap_err();
        assert_eq!(err.errno(), libc::EPROTO, "{err}");
        assert!(err.to_string().contains(&format!("in slot {slot} of the window")), "{err}");
    }
}

#[test]
fn nothing_can_be_shown_without_a_window() {
    let daemon = |peer: &mut Peer| {
        let (header, _) = peer.call();
        peer.reply(&header, &Nothing);
        peer.show(Shown { hole: 0, slot: 0, length: 1 });
    };
    let err = super::talk(daemon, |g| download(g, Path::new("/dev/null"))).unwrap_err();
    assert!(err.to_string().contains("something is shown, and there is no window"), "{err}");
}
