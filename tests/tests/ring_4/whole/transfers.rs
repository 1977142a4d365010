// SPDX-License-Identifier: LGPL-2.1-or-later
//! Large files come back as they went, in little memory, and a transfer that cannot go on says so.
//!
//! The sizes are those that show a mistake in little time.  `GUESTFS_BIG=1` transfers 2 GiB of
//! random bytes and a sparse file of 5 GiB, which takes minutes.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use crate::support::{Running, fifo, refused, session, sparse, with_ext4, with_scratch};

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;

/// By how much a transfer may make the program grow.
const GROWTH_MAX_KIB: u64 = 32 << 10;

/// The appliance has less memory than the files have bytes.
const MEMSIZE_MB: &str = "256";

fn big() -> bool {
    std::env::var_os("GUESTFS_BIG").is_some_and(|it| it == "1")
}

/// Bytes without a pattern, the same each time (xorshift64*).
struct Random {
    state: u64,
    left: u64,
}

impl Random {
    fn new(size: u64) -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, left: size }
    }
}

impl Read for Random {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for word in buf[..n].chunks_mut(8) {
            self.state ^= self.state >> 12;
            self.state ^= self.state << 25;
            self.state ^= self.state >> 27;
            let value = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            word.copy_from_slice(&value[..word.len()]);
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// Both have the same bytes; neither is ever in memory as a whole.
fn compare(mut got: impl Read, mut expected: impl Read) -> Result<u64, String> {
    let (mut a, mut b) = (vec![0; MIB], vec![0; MIB]);
    let mut position = 0;
    loop {
        let n = fill(&mut got, &mut a);
        if n != fill(&mut expected, &mut b) || a[..n] != b[..n] {
            return Err(format!("they differ in the {n} bytes from {position} on"));
        }
        if n == 0 {
            return Ok(position);
        }
        position += n as u64;
    }
}

fn fill(from: &mut impl Read, block: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < block.len() {
        match from.read(&mut block[filled..]).expect("read") {
            0 => break,
            n => filled += n,
        }
    }
    filled
}

/// Has a program send `source` to a disk of `disk` bytes and fetch it again.  Meanwhile `feed`
/// runs, and what arrives is compared with what `expected` opens.
#[track_caller]
fn there_and_back<R: Read>(
    disk: u64,
    source: &Path,
    sink: &Path,
    feed: impl FnOnce() + Send + 'static,
    expected: impl FnOnce() -> R + Send + 'static,
    size: u64,
) {
    let mut program = session("transfer")
        .args([MEMSIZE_MB, &disk.to_string()])
        .args([source, sink])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a session");
    let output = BufReader::new(program.stdout.take().expect("a pipe"));
    let feed = Running::start(feed);
    let sink = sink.to_owned();
    let compared = Running::start(move || compare(File::open(sink).expect("the sink"), expected()));
    let lines: Vec<_> = output.lines().map(|it| it.expect("a line")).collect();
    assert!(program.wait().expect("the program").success(), "{lines:?}");
    feed.end();
    assert_eq!(compared.end(), Ok(size));
    assert_eq!(lines[0], format!("sent {size}"));
    let grown = lines[1].strip_prefix("grown by ").and_then(|it| it.strip_suffix(" KiB"));
    let grown: u64 = grown.expect("a number").parse().expect("a number");
    assert!(grown < GROWTH_MAX_KIB, "the program has grown by {grown} KiB");
}

#[test]
fn random_bytes() {
    let size = if big() { 2 * GIB } else { GIB * 3 / 8 } + 12345;
    let dir = tempfile::tempdir().expect("a directory");
    let source = fifo(dir.path().join("source"));
    let sink = fifo(dir.path().join("sink"));
    let feed = {
        let source = source.clone();
        move || {
            let mut pipe = File::create(source).expect("the source");
            std::io::copy(&mut Random::new(size), &mut pipe).expect("copy");
        }
    };
    there_and_back(size + GIB / 2, &source, &sink, feed, move || Random::new(size), size);
}

#[test]
fn sparse_files() {
    let size = if big() { 5 * GIB } else { GIB / 4 } + 1;
    let dir = tempfile::tempdir().expect("a directory");
    let source = sparse(dir.path().join("source"), size);
    let mut file = File::options().write(true).open(&source).expect("the source");
    for position in [0, size / 5 * 2 - 7, size / 5 * 4 + 4093, size - 3] {
        file.seek(SeekFrom::Start(position)).expect("seek");
        file.write_all(&position.to_le_bytes()[..3]).expect("write");
    }
    let sink = fifo(dir.path().join("sink"));
    let expected = {
        let source = source.clone();
        move || File::open(source).expect("the source")
    };
    there_and_back(size + GIB / 2, &source, &sink, || (), expected, size);
}

/// Neither side stores what is not there, and none of it is read or sent.
#[test]
fn holes_stay_holes() {
    const SIZE: u64 = 100 * GIB;
    let dir = tempfile::tempdir().expect("a directory");
    let source = sparse(dir.path().join("source"), SIZE);
    let content = vec![7; 3 * MIB + 5];
    let file = File::options().write(true).open(&source).expect("the source");
    let places = [0, 5 * GIB + 1, 40 * GIB - 100_000];
    for position in places {
        file.write_all_at(&content, position).expect("write");
    }
    let g = with_ext4(1 << 30);
    g.upload(&source, "/sparse").expect("upload");
    assert_eq!(g.filesize("/sparse").expect("filesize"), SIZE as i64);
    let blocks = 4 * places.len() as i64 * MIB as i64 / 512;
    assert!(g.lstatns("/sparse").expect("lstatns").st_blocks < blocks);
    // What is there already is no hole, whatever the host's file has.
    g.fill(1, 20 * MIB as i32, "/full").expect("fill");
    let small = sparse(dir.path().join("small"), 10 * MIB as u64);
    g.upload_offset(&small, "/full", 5 * MIB as i64 + 1).expect("upload_offset");
    assert_eq!(g.filesize("/full").expect("filesize"), 20 * MIB as i64);
    for (position, byte) in [(5 * MIB, 1), (5 * MIB + 1, 0), (15 * MIB, 0), (15 * MIB + 1, 1)] {
        assert_eq!(g.pread("/full", 1, position as i64).expect("pread"), [byte], "at {position}");
    }
    let sink = dir.path().join("sink");
    g.download("/sparse", &sink).expect("download");
    let sink = File::open(&sink).expect("the sink");
    let metadata = sink.metadata().expect("metadata");
    assert_eq!(metadata.len(), SIZE);
    assert!(metadata.blocks() < blocks as u64, "{} blocks", metadata.blocks());
    for position in places {
        let mut got = vec![0; content.len() + 2];
        sink.read_exact_at(&mut got[1..], position).expect("read");
        assert!(got[1..=content.len()] == content, "what is at {position} differs");
        assert_eq!(got[content.len() + 1], 0, "behind what is at {position}");
    }
}

/// A disk that was never written to need not become one that is full of zeroes.
#[test]
fn an_empty_disk_makes_an_empty_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let sink = dir.path().join("sink");
    let g = with_scratch(64 * MIB as i64);
    g.pwrite_device("/dev/sda", b"end", 64 * MIB as i64 - 3).expect("pwrite_device");
    g.download("/dev/sda", &sink).expect("download");
    let metadata = fs::metadata(&sink).expect("metadata");
    assert_eq!(metadata.len(), 64 * MIB as u64);
    assert!(metadata.blocks() < 1024, "{} blocks", metadata.blocks());
    assert!(fs::read(&sink).expect("the sink").ends_with(b"\0end"));
}

/// Positions that need more than 32 bits, without as many bytes.
#[test]
fn beyond_four_gibibytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (source, sink) = (dir.path().join("source"), dir.path().join("sink"));
    std::io::copy(&mut Random::new(100_000), &mut File::create(&source).expect("a file"))
        .expect("copy");
    let g = with_ext4(1 << 30);
    let offset = 5 * GIB as i64 - 50_000;
    g.upload_offset(&source, "/file", offset).expect("upload_offset");
    assert_eq!(g.filesize("/file").expect("filesize"), offset + 100_000);
    g.download_offset("/file", &sink, offset, 100_000).expect("download_offset");
    assert!(fs::read(&source).expect("a file") == fs::read(&sink).expect("a file"), "they differ");
}

/// A transfer of a small file, after one that failed.
#[track_caller]
fn works(g: &guestfs::Handle, name: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let (source, sink) = (dir.path().join("source"), dir.path().join("sink"));
    fs::write(&source, "content").expect("a file");
    g.upload(&source, name).expect("upload");
    g.download_offset(name, &sink, 0, 7).expect("download_offset");
    assert_eq!(fs::read(&sink).expect("a file"), b"content");
}

#[test]
fn cancelled_upload() {
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = fifo(dir.path().join("source"));
    let g = Arc::new(with_scratch(64 << 20));
    let upload = {
        let (g, pipe) = (g.clone(), pipe.clone());
        Running::start(move || g.upload(&pipe, "/dev/sda"))
    };
    let mut source = File::create(&pipe).expect("a pipe");
    source.write_all(&vec![1; 8 * MIB]).expect("most of it is on its way");
    g.user_cancel().expect("user_cancel");
    refused(upload.end(), "EINTR upload: operation cancelled by user");
    works(&g, "/dev/sda");
}

#[test]
fn cancelled_download() {
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = fifo(dir.path().join("sink"));
    let g = Arc::new(with_scratch(64 << 20));
    let download = {
        let (g, pipe) = (g.clone(), pipe.clone());
        Running::start(move || g.download("/dev/sda", &pipe))
    };
    let mut sink = File::open(&pipe).expect("a pipe");
    sink.read_exact(&mut vec![0; 8 * MIB]).expect("some of it");
    g.user_cancel().expect("user_cancel");
    refused(download.end(), "EINTR download: operation cancelled by user");
    works(&g, "/dev/sda");
}

#[test]
fn the_guest_has_no_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("source");
    fs::write(&source, vec![1; 40 * MIB]).expect("a file");
    let g = with_ext4(16 << 20);
    refused(g.upload(&source, "/large"), "ENOSPC upload: /large: No space left on device");
    g.rm("/large").expect("rm");
    works(&g, "/small");
    refused(g.upload(&source, "/no/such"), "ENOENT upload: /no/such: No such file or directory");
    works(&g, "/small");
}

#[test]
fn the_host_has_something_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("no/such");
    let g = with_ext4(64 << 20);
    g.write("/large", &vec![1; 10 * MIB]).expect("write");
    let check = |result, expected: &str| {
        refused(result, &expected.replace("HERE", &dir.path().display().to_string()));
        works(&g, "/small");
    };
    check(g.upload(&missing, "/x"), "ENOENT upload: HERE/no/such: No such file or directory");
    check(g.upload(dir.path(), "/x"), "EISDIR upload: HERE: Is a directory");
    // Opens, and then can't be read.
    check(g.upload("/proc/self/mem", "/x"), "EIO upload: /proc/self/mem: Input/output error");
    let no_such = "ENOENT download: HERE/no/such: No such file or directory";
    check(g.download("/large", &missing), no_such);
    check(g.download("/large", dir.path()), "EISDIR download: HERE: Is a directory");
    check(g.download("/large", "/dev/full"), "ENOSPC download: /dev/full: No space left on device");
    // What can't be read in the guest does not cost a file of the host.
    let kept = dir.path().join("kept");
    fs::write(&kept, "kept").expect("a file");
    check(g.download("/missing", &kept), "ENOENT download: /missing: No such file or directory");
    assert_eq!(fs::read(&kept).expect("a file"), b"kept");
}
