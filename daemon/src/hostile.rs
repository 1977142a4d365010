// SPDX-License-Identifier: LGPL-2.1-or-later
//! A guest that changes while calls are at work in it: whatever they find, they stay inside.
#![expect(clippy::disallowed_methods, reason = "what is beside the guest is the test's own")]

use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bstr::BString;
use rustix::fs::{CWD, Mode, RenameFlags, mkfifoat, renameat_with};

use crate::ctx::Ctx;
use crate::error::Result;
use crate::generated::{GlobExpandOptions, MktempOptions};
use crate::path::GuestPath;
use crate::{directory, file, metadata, text, xattr};

/// How often each function is called.
const TIMES: u32 = 300;

/// What is there twice, and changes places: something of the guest, and something that leads out,
/// or that would hold whoever opens it.
const SWAPPED: &[(&str, &str)] =
    &[("d", "link-to-outside"), ("f", "link-to-file-outside"), ("p", "pipe")];

/// The same in trees, which are copied, and removed as a whole.
const SWAPPED_IN_TREE: &[(&str, &str)] =
    &[("tree/d0", "tree/link0"), ("tree/d1", "tree/link1"), ("tree/d2", "tree/link2")];

/// A guest beside something that is none of its business.
fn guest(top: &Path) -> Ctx {
    let (root, outside) = (top.join("guest"), top.join("outside"));
    fs::create_dir_all(root.join("d/sub")).unwrap();
    fs::create_dir_all(outside.join("sub")).unwrap();
    for name in ["file", "x", "sub/deep"] {
        fs::write(outside.join(name), "secret\n").unwrap();
        fs::write(root.join("d").join(name), "inside\n").unwrap();
    }
    for name in ["f", "p"] {
        fs::write(root.join(name), "inside\n").unwrap();
    }
    symlink("../outside", root.join("link-to-outside")).unwrap();
    symlink(outside.join("file"), root.join("link-to-file-outside")).unwrap();
    mkfifoat(CWD, root.join("pipe"), Mode::RWXU).unwrap();
    Ctx::new(root)
}

/// Anything that is done to a file changes one of its times.
fn state_of(directory: &Path) -> Vec<(PathBuf, u32, u64, [i64; 4])> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(at) = left.pop() {
        let stat = fs::symlink_metadata(&at).unwrap();
        if stat.is_dir() {
            left.extend(fs::read_dir(&at).unwrap().map(|it| it.unwrap().path()));
        }
        let times = [stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec()];
        found.push((at, stat.mode(), stat.nlink(), times));
    }
    found.sort();
    found
}

/// Lets names change places until the guest is dropped.
struct Racer<'a>(&'a AtomicBool);

impl Drop for Racer<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn race(root: &Path, names: &[(&str, &str)], stop: &AtomicBool) -> u32 {
    let names: Vec<_> = names.iter().map(|(a, b)| (root.join(a), root.join(b))).collect();
    let mut swaps = 0;
    while !stop.load(Ordering::Relaxed) {
        for (a, b) in &names {
            // A call may just have removed one of them.
            swaps += u32::from(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).is_ok());
        }
    }
    swaps
}

/// Runs `calls` while names change places.
fn during_a_race(names: &[(&str, &str)], calls: impl FnOnce(&mut Ctx)) {
    let top = tempfile::tempdir().unwrap();
    let mut cx = guest(top.path());
    let (root, outside) = (cx.sysroot().to_owned(), top.path().join("outside"));
    let before = state_of(&outside);
    let stop = AtomicBool::new(false);
    let swaps = thread::scope(|scope| {
        let racer = scope.spawn(|| race(&root, names, &stop));
        let stopped_at_the_end = Racer(&stop);
        calls(&mut cx);
        drop(stopped_at_the_end);
        racer.join().unwrap()
    });
    assert!(swaps > 100, "{swaps} swaps are no race");
    assert_eq!(state_of(&outside), before);
}

fn path(name: &str) -> GuestPath {
    GuestPath::new("path", name.as_bytes()).unwrap()
}

/// Nothing that is outside comes back.
#[track_caller]
fn check<T: Debug>(cx: &mut Ctx, call: impl Fn(&mut Ctx) -> Result<T>) {
    for _ in 0..TIMES {
        let result = format!("{:?}", call(cx));
        assert!(!result.contains("secret"), "{result}");
    }
}

#[test]
fn what_is_read() {
    during_a_race(SWAPPED, |cx| {
        for name in ["/d/file", "/f", "/p", "/d/sub/deep", "/d/../d/file"] {
            let it = &path(name);
            check(cx, |cx| file::pread(cx, it, 100, 0).map(BString::from));
            check(cx, |cx| file::filesize(cx, it));
            check(cx, |cx| file::equal(cx, it, &path("/f")));
            check(cx, |cx| file::is_zero(cx, it));
            check(cx, |cx| text::head(cx, it));
            check(cx, |cx| text::tail(cx, it));
            check(cx, |cx| text::strings(cx, it));
            check(cx, |cx| text::egrep(cx, "s".into(), it));
            check(cx, |cx| text::hexdump(cx, it));
            check(cx, |cx| metadata::statns(cx, it));
            check(cx, |cx| metadata::readlink(cx, it).map(drop));
            check(cx, |cx| xattr::getxattrs(cx, it));
            check(cx, |cx| {
                let sum = file::checksum(cx, "md5".into(), it)?;
                // That of what is outside.
                assert_ne!(sum, "dd02c7c2232759874e1c205587017bed");
                Ok(sum)
            });
        }
        for name in ["/d", "/d/sub", "/", "/d/*"] {
            let it = &path(name);
            check(cx, |cx| directory::ll(cx, it));
            check(cx, |cx| directory::du(cx, it));
            let options = || GlobExpandOptions { directoryslash: None };
            check(cx, |cx| directory::glob_expand(cx, it, options()));
            check(cx, |cx| metadata::realpath(cx, it));
            check(cx, |cx| metadata::internal_lstatnslist(cx, it, &["file".into()]));
            check(cx, |cx| metadata::internal_readlinklist(cx, it, &["file".into()]));
        }
    });
}

#[test]
fn what_is_written() {
    during_a_race(SWAPPED, |cx| {
        for name in ["/d/file", "/f", "/p", "/d/new"] {
            let it = &path(name);
            check(cx, |cx| file::touch(cx, it));
            check(cx, |cx| file::internal_write(cx, it, b"new"));
            check(cx, |cx| file::internal_write_append(cx, it, b"more"));
            check(cx, |cx| file::pwrite(cx, it, b"there", 5));
            check(cx, |cx| file::truncate_size(cx, it, 3));
            check(cx, |cx| file::fallocate64(cx, it, 5));
            check(cx, |cx| file::fill(cx, 0x78, 5, it));
            check(cx, |cx| metadata::chmod(cx, 0o640, it));
            check(cx, |cx| metadata::chown(cx, -1, -1, it));
            check(cx, |cx| metadata::lchown(cx, -1, -1, it));
            check(cx, |cx| metadata::utimens(cx, it, 1, 1, 1, 1));
            check(cx, |cx| xattr::setxattr(cx, "user.x".into(), "v".into(), 1, it));
            check(cx, |cx| xattr::lsetxattr(cx, "user.x".into(), "v".into(), 1, it));
            check(cx, |cx| xattr::removexattr(cx, "user.x".into(), it));
            check(cx, |cx| file::cp(cx, &path("/f"), it));
            check(cx, |cx| file::cp_a(cx, &path("/d/x"), it));
        }
    });
}

#[test]
fn what_is_made_and_removed() {
    during_a_race(SWAPPED, |cx| {
        check(cx, |cx| directory::mkdir(cx, &path("/d/made")));
        check(cx, |cx| directory::mkdir_p(cx, &path("/d/made/more/of/it")));
        check(cx, |cx| file::rm_rf(cx, &path("/d/made")));
        check(cx, |cx| directory::mkdtemp(cx, &path("/d/XXXXXX")));
        let options = || MktempOptions { suffix: None };
        check(cx, |cx| file::mktemp(cx, &path("/d/XXXXXX"), options()));
        check(cx, |cx| directory::fill_dir(cx, &path("/d/sub"), 3));
        check(cx, |cx| metadata::ln(cx, "/d/x".into(), &path("/d/y")));
        check(cx, |cx| metadata::ln_sf(cx, "x".into(), &path("/d/z")));
        check(cx, |cx| file::rename(cx, &path("/d/y"), &path("/d/sub/y")));
        check(cx, |cx| file::mv(cx, &path("/d/sub/y"), &path("/d/y")));
        check(cx, |cx| file::rm_f(cx, &path("/d/y")));
        check(cx, |cx| file::rm(cx, &path("/d/x")));
        check(cx, |cx| directory::rmdir(cx, &path("/d/sub/made")));
        check(cx, |cx| file::rm_rf(cx, &path("/d/sub")));
    });
}

#[test]
fn trees() {
    during_a_race(SWAPPED_IN_TREE, |cx| {
        check(cx, |cx| {
            for (directory, link) in SWAPPED_IN_TREE {
                // There may be something else of that name.
                let _ = directory::mkdir_p(cx, &path(&format!("/{directory}/sub")));
                let deep = path(&format!("/{directory}/sub/deep"));
                let _ = file::internal_write(cx, &deep, b"inside\n");
                let _ = metadata::ln_s(cx, "../../outside".into(), &path(&format!("/{link}")));
            }
            for _ in 0..10 {
                let _ = directory::du(cx, &path("/tree"));
            }
            let copied = file::cp_a(cx, &path("/tree"), &path("/copy"));
            // Links are copied as what they are, and lead nowhere from there.
            let found = text::head(cx, &path("/copy/d0/sub/deep"));
            let removed = [file::rm_rf(cx, &path("/tree")), file::rm_rf(cx, &path("/copy"))];
            Ok((copied, found, removed))
        });
    });
}
