// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a filesystem records about files: types, permissions, owners, times, links and space.

mod attributes;
mod df;
mod link;
mod node;

use std::os::fd::OwnedFd;

use bstr::{BString, ByteSlice};
use guestfs_protocol::{Statns, Statvfs};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
    chmodat, chownat, fstatvfs, statat, utimensat,
};

pub(crate) use self::attributes::copy_attributes;
pub(crate) use self::df::{df, df_h};
pub(crate) use self::link::{internal_readlinklist, ln, ln_f, ln_s, ln_sf, readlink, realpath};
pub(crate) use self::node::{mkfifo, mknod, mknod_b, mknod_c};
use crate::ctx::Ctx;
pub(crate) use crate::directory::llz;
use crate::directory::permissions;
use crate::error::{About, Errno, Error, Result};
use crate::generated::{
    IsBlockdevOptions, IsChardevOptions, IsDirOptions, IsFifoOptions, IsFileOptions,
    IsSocketOptions,
};
use crate::path::GuestPath;

pub(crate) fn statns(cx: &mut Ctx, path: &GuestPath) -> Result<Statns> {
    Ok(record(&cx.stat(path)?))
}

pub(crate) fn lstatns(cx: &mut Ctx, path: &GuestPath) -> Result<Statns> {
    Ok(record(&cx.lstat(path)?))
}

pub(crate) fn internal_lstatnslist(
    cx: &mut Ctx,
    path: &GuestPath,
    names: &[BString],
) -> Result<Vec<Statns>> {
    let directory = cx.open(path, OFlags::PATH | OFlags::DIRECTORY)?;
    let look = |name: &BString| {
        let stat = match name.as_slice() {
            // Beside the guest's root there is the appliance, which is none of the guest's.
            b".." => cx.lstat(&path.join(name)).ok(),
            name => statat(&directory, without_directory(name)?, AtFlags::SYMLINK_NOFOLLOW).ok(),
        };
        Ok(stat.map_or(NO_RECORD, |stat| record(&stat)))
    };
    names.iter().map(look).collect()
}

pub(crate) fn statvfs(cx: &mut Ctx, path: &GuestPath) -> Result<Statvfs> {
    let stat = fstatvfs(cx.open(path, OFlags::PATH)?).about(path)?;
    Ok(Statvfs {
        bsize: stat.f_bsize.cast_signed(),
        frsize: stat.f_frsize.cast_signed(),
        blocks: stat.f_blocks.cast_signed(),
        bfree: stat.f_bfree.cast_signed(),
        bavail: stat.f_bavail.cast_signed(),
        files: stat.f_files.cast_signed(),
        ffree: stat.f_ffree.cast_signed(),
        favail: stat.f_favail.cast_signed(),
        fsid: stat.f_fsid.cast_signed(),
        flag: stat.f_flag.bits().cast_signed(),
        namemax: stat.f_namemax.cast_signed(),
    })
}

pub(crate) fn exists(cx: &mut Ctx, path: &GuestPath) -> Result<bool> {
    Ok(if_any(cx.stat(path))?.is_some())
}

pub(crate) fn is_file(cx: &mut Ctx, path: &GuestPath, options: IsFileOptions) -> Result<bool> {
    is(cx, path, options.followsymlinks, FileType::RegularFile)
}

pub(crate) fn is_dir(cx: &mut Ctx, path: &GuestPath, options: IsDirOptions) -> Result<bool> {
    is(cx, path, options.followsymlinks, FileType::Directory)
}

pub(crate) fn is_symlink(cx: &mut Ctx, path: &GuestPath) -> Result<bool> {
    is(cx, path, None, FileType::Symlink)
}

pub(crate) fn is_fifo(cx: &mut Ctx, path: &GuestPath, options: IsFifoOptions) -> Result<bool> {
    is(cx, path, options.followsymlinks, FileType::Fifo)
}

pub(crate) fn is_socket(cx: &mut Ctx, path: &GuestPath, options: IsSocketOptions) -> Result<bool> {
    is(cx, path, options.followsymlinks, FileType::Socket)
}

pub(crate) fn is_chardev(
    cx: &mut Ctx,
    path: &GuestPath,
    options: IsChardevOptions,
) -> Result<bool> {
    is(cx, path, options.followsymlinks, FileType::CharacterDevice)
}

pub(crate) fn is_blockdev(
    cx: &mut Ctx,
    path: &GuestPath,
    options: IsBlockdevOptions,
) -> Result<bool> {
    is(cx, path, options.followsymlinks, FileType::BlockDevice)
}

pub(crate) fn chmod(cx: &mut Ctx, mode: i32, path: &GuestPath) -> Result<()> {
    let mode = permissions(mode)?;
    let file = cx.open(path, OFlags::PATH)?;
    // The system call that takes an open file wants one that was opened for reading or writing,
    // which blocks on a fifo and wakes up a device.
    chmodat(CWD, cx.proc_fd(&file), mode, AtFlags::empty()).about(path)
}

pub(crate) fn chown(cx: &mut Ctx, owner: i32, group: i32, path: &GuestPath) -> Result<()> {
    change_owner(&cx.open(path, OFlags::PATH)?, owner, group, path)
}

pub(crate) fn lchown(cx: &mut Ctx, owner: i32, group: i32, path: &GuestPath) -> Result<()> {
    change_owner(&cx.open_nofollow(path, OFlags::PATH)?, owner, group, path)
}

pub(crate) fn utimens(
    cx: &mut Ctx,
    path: &GuestPath,
    atsecs: i64,
    atnsecs: i64,
    mtsecs: i64,
    mtnsecs: i64,
) -> Result<()> {
    let times = Timestamps {
        last_access: timespec(atsecs, atnsecs, "atnsecs")?,
        last_modification: timespec(mtsecs, mtnsecs, "mtnsecs")?,
    };
    let file = cx.open(path, OFlags::PATH)?;
    utimensat(file, "", &times, AtFlags::EMPTY_PATH).about(path)
}

/// What [`internal_lstatnslist`] answers for a file that cannot be looked at.
const NO_RECORD: Statns = Statns {
    st_dev: 0,
    st_ino: -1,
    st_mode: 0,
    st_nlink: 0,
    st_uid: 0,
    st_gid: 0,
    st_rdev: 0,
    st_size: 0,
    st_blksize: 0,
    st_blocks: 0,
    st_atime_sec: 0,
    st_atime_nsec: 0,
    st_mtime_sec: 0,
    st_mtime_nsec: 0,
    st_ctime_sec: 0,
    st_ctime_nsec: 0,
    st_spare1: 0,
    st_spare2: 0,
    st_spare3: 0,
    st_spare4: 0,
    st_spare5: 0,
    st_spare6: 0,
};

/// One of the argument `names`, if it is the name of an entry.
pub(crate) fn without_directory(name: &[u8]) -> Result<&[u8]> {
    match name.contains(&b'/') {
        false => Ok(name),
        true => {
            let why = format!("{:?} is not a name without directory", name.as_bstr());
            Err(Error::invalid("names", why))
        }
    }
}

fn record(stat: &Stat) -> Statns {
    Statns {
        st_dev: stat.st_dev.cast_signed(),
        st_ino: stat.st_ino.cast_signed(),
        st_mode: i64::from(stat.st_mode),
        st_nlink: stat.st_nlink.cast_signed(),
        st_uid: i64::from(stat.st_uid),
        st_gid: i64::from(stat.st_gid),
        st_rdev: stat.st_rdev.cast_signed(),
        st_size: stat.st_size,
        st_blksize: stat.st_blksize,
        st_blocks: stat.st_blocks,
        st_atime_sec: stat.st_atime,
        st_atime_nsec: stat.st_atime_nsec.cast_signed(),
        st_mtime_sec: stat.st_mtime,
        st_mtime_nsec: stat.st_mtime_nsec.cast_signed(),
        st_ctime_sec: stat.st_ctime,
        st_ctime_nsec: stat.st_ctime_nsec.cast_signed(),
        ..NO_RECORD
    }
}

/// Status of a file, if there is one.
fn if_any(stat: Result<Stat>) -> Result<Option<Stat>> {
    match stat {
        Ok(stat) => Ok(Some(stat)),
        Err(err) => match err.errno() {
            // The last is what ntfs-3g says to a name that is not UTF-8: none of its files has one.
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ILSEQ) => Ok(None),
            _ => Err(err),
        },
    }
}

fn is(cx: &Ctx, path: &GuestPath, followsymlinks: Option<bool>, kind: FileType) -> Result<bool> {
    let stat = match followsymlinks {
        Some(true) => cx.stat(path),
        _ => cx.lstat(path),
    };
    Ok(if_any(stat)?.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind))
}

fn change_owner(file: &OwnedFd, owner: i32, group: i32, path: &GuestPath) -> Result<()> {
    // The numbers of the upper half come as negative ones; -1 is the one that chown(2) ignores.
    let id = |id: i32| (id != -1).then_some(id.cast_unsigned());
    let (owner, group) = (id(owner).map(Uid::from_raw), id(group).map(Gid::from_raw));
    chownat(file, "", owner, group, AtFlags::EMPTY_PATH).about(path)
}

fn timespec(tv_sec: i64, tv_nsec: i64, arg: &'static str) -> Result<Timespec> {
    match tv_nsec {
        -1 => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
        -2 => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
        0..=999_999_999 => Ok(Timespec { tv_sec, tv_nsec }),
        _ => {
            let why = format!("{tv_nsec} is not from 0 to 999999999, nor -1 or -2");
            Err(Error::invalid(arg, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Display;

    use rustix::fs::{Mode, fstat, mkfifoat, symlinkat};

    use super::*;

    fn path(text: &str) -> GuestPath {
        GuestPath::new("path", text.as_bytes()).unwrap()
    }

    fn text(result: Result<impl Display>) -> String {
        result.map_or_else(|err| err.to_string(), |value| value.to_string())
    }

    /// A guest with a file of 4 bytes, a fifo, and links.
    fn guest() -> (tempfile::TempDir, Ctx) {
        let root = tempfile::tempdir().unwrap();
        let cx = Ctx::new(root.path());
        let top = cx.root().unwrap();
        crate::system::write(root.path().join("abc"), b"abc\n").unwrap();
        mkfifoat(&top, "fifo", Mode::RUSR).unwrap();
        for (link, target) in [("link", "/abc"), ("dangling", "missing"), ("loop", "loop")] {
            symlinkat(target, &top, link).unwrap();
        }
        (root, cx)
    }

    #[test]
    fn types() {
        let (_root, cx) = guest();
        #[track_caller]
        fn check(cx: &Ctx, at: &str, expected: &str) {
            let kinds = [FileType::RegularFile, FileType::Directory, FileType::Fifo];
            let mut found = String::new();
            for followsymlinks in [None, Some(false), Some(true)] {
                for kind in kinds.into_iter().chain([FileType::Symlink]) {
                    let yes = is(cx, &path(at), followsymlinks, kind).unwrap();
                    found.push(if yes { 'y' } else { '-' });
                }
                found.push(' ');
            }
            assert_eq!(found.trim_end(), expected);
        }
        check(&cx, "/", "-y-- -y-- -y--");
        check(&cx, "/abc", "y--- y--- y---");
        check(&cx, "/abc/x", "---- ---- ----");
        check(&cx, "/missing/x", "---- ---- ----");
        check(&cx, "/fifo", "--y- --y- --y-");
        check(&cx, "/link", "---y ---y y---");
        check(&cx, "/dangling", "---y ---y ----");
        check(&cx, "/loop", "---y ---y ----");
    }

    #[test]
    fn existence() {
        let (_root, mut cx) = guest();
        let long = format!("/{}", "x".repeat(256));
        for (at, expected) in [
            ("/", "true"),
            ("/link", "true"),
            ("/fifo", "true"),
            ("/dangling", "false"),
            ("/loop", "false"),
            ("/abc/x", "false"),
            (&long, &format!("{long}: File name too long")),
        ] {
            assert_eq!(text(exists(&mut cx, &path(at))), expected);
        }
    }

    #[test]
    fn permissions_of_what_a_link_leads_to() {
        let (_root, mut cx) = guest();
        chmod(&mut cx, 0o6751, &path("/link")).unwrap();
        assert_eq!(statns(&mut cx, &path("/abc")).unwrap().st_mode, 0o106_751);
        chmod(&mut cx, 0, &path("/fifo")).unwrap();
        assert_eq!(statns(&mut cx, &path("/fifo")).unwrap().st_mode, 0o10000);
        for mode in [-1, 0o10000] {
            let expected = format!("mode: {mode} is not from 0 to 07777");
            assert_eq!(text(chmod(&mut cx, mode, &path("/abc")).map(|()| "")), expected);
        }
    }

    #[test]
    fn times() {
        let (_root, mut cx) = guest();
        let mut set = |atsecs, atnsecs, mtsecs, mtnsecs| {
            utimens(&mut cx, &path("/link"), atsecs, atnsecs, mtsecs, mtnsecs)?;
            let stat = statns(&mut cx, &path("/abc"))?;
            Ok(format!(
                "{}.{} {}.{}",
                stat.st_atime_sec, stat.st_atime_nsec, stat.st_mtime_sec, stat.st_mtime_nsec
            ))
        };
        assert_eq!(text(set(1, 2, -3, 4)), "1.2 -3.4");
        assert_eq!(text(set(9, -2, 5, 6)), "1.2 5.6");
        assert!(text(set(9, -2, 5, -1)).starts_with("1.2 1"));
        assert_eq!(
            text(set(0, 1_000_000_000, 0, 0)),
            "atnsecs: 1000000000 is not from 0 to 999999999, nor -1 or -2"
        );
        assert_eq!(text(set(0, 0, 0, -3)), "mtnsecs: -3 is not from 0 to 999999999, nor -1 or -2");
    }

    #[test]
    fn owners() {
        let (_root, mut cx) = guest();
        chown(&mut cx, -1, -1, &path("/link")).unwrap();
        lchown(&mut cx, -1, -1, &path("/dangling")).unwrap();
        assert_eq!(
            text(chown(&mut cx, -1, -1, &path("/dangling")).map(|()| "")),
            "/dangling: No such file or directory"
        );
    }

    #[test]
    fn many_files_at_once() {
        let (root, mut cx) = guest();
        #[track_caller]
        fn check(cx: &mut Ctx, names: &[&str], expected: &str) {
            let names: Vec<BString> = names.iter().map(|&name| name.into()).collect();
            let sizes = internal_lstatnslist(cx, &path("/"), &names).map(|list| {
                let size = |it: &Statns| if it.st_ino == -1 { -1 } else { it.st_size };
                format!("{:?}", list.iter().map(size).collect::<Vec<_>>())
            });
            assert_eq!(text(sizes), expected);
        }
        check(&mut cx, &[], "[]");
        check(&mut cx, &["abc", "missing", "link", ""], "[4, -1, 4, -1]");
        check(&mut cx, &["a/b"], r#"names: "a/b" is not a name without directory"#);
        let dotdot = internal_lstatnslist(&mut cx, &path("/"), &["..".into()]).unwrap();
        let root = fstat(crate::system::open(root.path(), OFlags::PATH).unwrap());
        assert_eq!(dotdot[0].st_ino, root.unwrap().st_ino.cast_signed());
    }

    #[test]
    fn filesystems() {
        let (_root, mut cx) = guest();
        let stat = statvfs(&mut cx, &path("/link")).unwrap();
        assert!(stat.blocks >= stat.bfree && stat.bfree >= stat.bavail && stat.namemax > 0);
        assert_eq!(
            text(statvfs(&mut cx, &path("/missing")).map(|_| "")),
            "/missing: No such file or directory"
        );
    }
}
