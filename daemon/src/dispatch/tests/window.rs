// SPDX-License-Identifier: LGPL-2.1-or-later
//! Transfers with a window, which is a file here.

use std::fs::File;
use std::os::unix::fs::FileExt;

use guestfs_protocol::wire::{SHOWN_MIN, Shown, TAKEN_FLAG};

use super::*;
use crate::window::Window;

fn start() -> (Library, File) {
    let file = tempfile::tempfile().unwrap();
    file.set_len(2 * SLOT_SIZE as u64).unwrap();
    let theirs = file.try_clone().unwrap();
    let set_up = |cx: &mut Ctx| cx.set_window(Window::new(theirs, 2, SLOT_SIZE as i32).unwrap());
    (Library::start_with(set_up), file)
}

impl Library {
    fn next_chunk(&mut self) -> Chunk {
        let Incoming::Message(message) = self.incoming() else { panic!("no message") };
        wire::decode(&message).unwrap()
    }

    fn show(&mut self, hole: u64, slot: u32, length: usize) {
        let shown = Shown { hole, slot, length: length as u32 };
        self.send(&wire::encode_chunk(&Chunk::Shown(shown)).unwrap());
    }

    fn taken(&mut self) {
        self.send(&TAKEN_FLAG.to_be_bytes());
    }
}

#[test]
fn a_file_to_the_library() {
    let (mut library, window) = start();
    library.call(DOWNLOAD, 0, (5 * SLOT_SIZE / 2) as i32);
    assert_eq!(library.reply(), "ok");
    // No more than there are slots.
    for (slot, length) in [(0, SLOT_SIZE), (1, SLOT_SIZE), (0, SLOT_SIZE / 2)] {
        let length = length as u32;
        let expected = Chunk::Shown(Shown { hole: 0, slot, length });
        assert_eq!(library.next_chunk(), expected);
        let mut content = vec![0; length as usize];
        window.read_exact_at(&mut content, u64::from(slot) * SLOT_SIZE as u64).unwrap();
        assert!(content.iter().all(|&byte| byte == b'x'));
        library.taken();
    }
    assert_eq!(library.next_chunk(), Chunk::Data(Vec::new()));
    library.finish();
}

#[test]
fn short_files_go_in_chunks() {
    let (mut library, _window) = start();
    library.call(DOWNLOAD, 0, SHOWN_MIN as i32 - 1);
    assert_eq!(library.reply(), "ok");
    assert_eq!(library.file(), (SHOWN_MIN - 1).to_string());
    library.finish();
}

#[test]
fn holes_to_the_library() {
    let (mut library, _window) = start();
    library.call(DOWNLOAD_HOLES, 0, 0);
    assert_eq!(library.reply(), "ok");
    assert_eq!(library.next_chunk(), Chunk::Data(b"start".into()));
    for (hole, slot) in [(HOLE, 0), (0, 1), (0, 0)] {
        let length = SLOT_SIZE as u32;
        assert_eq!(library.next_chunk(), Chunk::Shown(Shown { hole, slot, length }));
        library.taken();
    }
    assert_eq!(library.next_chunk(), Chunk::Data(vec![0; 10]));
    let last = Shown { hole: HOLE, slot: 0, length: 0 };
    assert_eq!(library.next_chunk(), Chunk::Shown(last));
    assert_eq!(library.next_chunk(), Chunk::Data(Vec::new()));
    library.finish();
}

#[test]
fn holes_are_zeroes_without_a_window() {
    let mut library = Library::start();
    library.call(DOWNLOAD_HOLES, 0, 0);
    assert_eq!(library.reply(), "ok");
    assert_eq!(library.file(), (5 + 2 * HOLE as usize + 3 * SLOT_SIZE + 10).to_string());
    library.finish();
}

#[test]
fn the_library_stops_what_waits_for_it() {
    let (mut library, _window) = start();
    library.call(DOWNLOAD_ENDLESS, 0, 0);
    assert_eq!(library.reply(), "ok");
    for _ in 0..2 {
        assert!(matches!(library.next_chunk(), Chunk::Shown(_)));
    }
    library.send(&CANCEL_FLAG.to_be_bytes());
    assert_eq!(library.next_chunk(), Chunk::Cancel);
    library.finish();
}

#[test]
fn a_file_to_the_daemon() {
    let (mut library, window) = start();
    window.write_all_at(&[b'a'; SLOT_SIZE], SLOT_SIZE as u64).unwrap();
    library.call(UPLOAD_PARTS, 0, 0);
    library.show(HOLE, 1, SLOT_SIZE);
    assert_eq!(library.incoming(), Incoming::Taken);
    library.chunk(false, 100);
    library.show(HOLE, 0, 0);
    library.chunk(false, 0);
    assert_eq!(library.reply(), "16525016");
    library.finish();
}

#[test]
fn a_reader_sees_zeroes() {
    let (mut library, _window) = start();
    library.call(UPLOAD, 0, 0);
    library.show(HOLE, 1, SLOT_SIZE - 1);
    assert_eq!(library.incoming(), Incoming::Taken);
    library.show(7, 0, 0);
    library.chunk(false, 0);
    assert_eq!(library.reply(), (HOLE as usize + SLOT_SIZE + 6).to_string());
    library.finish();
}

/// The library may be waiting for a slot.
#[test]
fn what_nobody_reads_is_taken() {
    let (mut library, _window) = start();
    library.call(UPLOAD_IGNORED, 0, 0);
    for slot in [0, 1, 0] {
        library.show(0, slot, SLOT_SIZE);
        assert_eq!(library.incoming(), Incoming::Taken);
    }
    library.chunk(false, 0);
    assert_eq!(library.reply(), "0");
    library.finish();
}

#[test]
fn what_is_not_there_is_refused() {
    for (slot, length, expected) in [
        (2, SLOT_SIZE, "upload: the window has no slot 2"),
        (0, SLOT_SIZE + 1, "upload: 131073 bytes in a slot of the window"),
    ] {
        let (mut library, _window) = start();
        library.call(UPLOAD, 0, 0);
        library.show(0, slot, length);
        assert_eq!(library.incoming(), Incoming::Cancel);
        library.chunk(true, 0);
        assert!(library.reply().contains(expected.trim_start_matches("upload: ")));
        library.finish();
    }
}

#[test]
fn nothing_can_be_shown_without_a_window() {
    let mut library = Library::start();
    library.call(UPLOAD, 0, 0);
    library.show(0, 0, SLOT_SIZE);
    assert_eq!(library.incoming(), Incoming::Cancel);
    library.chunk(true, 0);
    assert!(library.reply().contains("something is shown, and there is no window"));
    library.finish();
}
