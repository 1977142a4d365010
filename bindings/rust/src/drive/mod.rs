// SPDX-License-Identifier: LGPL-2.1-or-later
//! The disks of the appliance: what may be added, checked when it is added.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use nix::errno::Errno;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::error::{Error, Result};
use crate::handle::{Handle, Phase};
use crate::launch::{no_temporary_file, set_len};
use crate::{AddDriveOptions, AddDriveScratchOptions};

pub(crate) use self::remote::{Endpoint, Protocol, Remote};

mod remote;

/// Targets of the one SCSI controller there is.
pub(crate) const MAX_DRIVES: usize = 255;

/// A serial number of SCSI disks has room for no more.
const LABEL_MAX: usize = 20;

/// What stands for `/dev/null`, which has no size of its own.
const NULL_DISK_SIZE: u64 = 4096;

const SECTOR: u64 = 512;

/// A disk that was added.
#[derive(Clone)]
pub(crate) struct Drive {
    pub source: Source,
    /// As it was given; it is found out at launch if it wasn't.
    pub format: Option<String>,
    pub readonly: bool,
    pub label: Option<String>,
    pub cache: CacheMode,
    pub discard: Discard,
    pub copy_on_read: bool,
    pub block_size: Option<u32>,
}

/// Where the content of a drive is.
#[derive(Clone)]
pub(crate) enum Source {
    /// A file or block device of the host, by its absolute path.
    File(PathBuf),
    /// A file without a name, which goes when nobody has it open any more.
    Scratch(Arc<File>),
    Remote(Remote),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheMode {
    Writeback,
    Unsafe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discard {
    Disable,
    Enable,
    BestEffort,
}

impl Discard {
    pub(crate) fn wanted(self) -> bool {
        self != Self::Disable
    }
}

impl Drive {
    /// A drive with these options, which are checked; the disk itself isn't looked at.
    pub(crate) fn new(filename: &[u8], options: &AddDriveOptions) -> Result<Self> {
        let readonly = options.readonly.unwrap_or(false);
        let discard = one_of(
            "discard",
            &options.discard,
            Discard::Disable,
            &[
                ("disable", Discard::Disable),
                ("enable", Discard::Enable),
                ("besteffort", Discard::BestEffort),
            ],
        )?;
        if readonly && discard == Discard::Enable {
            return Err(Error::invalid("discard", "a read-only drive has nothing to discard"));
        }
        let format = options.format.as_ref().map(|it| name("format", it)).transpose()?;
        Ok(Self {
            source: source(filename, options)?,
            format,
            readonly,
            label: options.label.as_ref().map(|it| label(it)).transpose()?,
            cache: one_of(
                "cachemode",
                &options.cachemode,
                CacheMode::Writeback,
                &[("writeback", CacheMode::Writeback), ("unsafe", CacheMode::Unsafe)],
            )?,
            discard,
            copy_on_read: options.copyonread.unwrap_or(false),
            block_size: options.blocksize.map(block_size).transpose()?,
        })
    }

    fn scratch(file: File, options: &AddDriveScratchOptions) -> Result<Self> {
        Ok(Self {
            source: Source::Scratch(Arc::new(file)),
            format: Some("raw".to_owned()),
            readonly: false,
            label: options.label.as_ref().map(|it| label(it)).transpose()?,
            cache: CacheMode::Unsafe,
            discard: Discard::BestEffort,
            copy_on_read: false,
            block_size: options.blocksize.map(block_size).transpose()?,
        })
    }

    /// Everything about it in a line, for developers.
    fn describe(&self) -> String {
        let protocol = match &self.source {
            Source::File(_) | Source::Scratch(_) => "file",
            Source::Remote(remote) => remote.protocol.name(),
        };
        let mut line = self.name();
        let mut say = |word: &str, value: Option<&dyn fmt::Display>| {
            if let Some(value) = value {
                line += &format!(" {word}={value}");
            }
        };
        say("format", self.format.as_ref().map(|it| it as _));
        say("protocol", Some(&protocol));
        say("label", self.label.as_ref().map(|it| it as _));
        say("blocksize", self.block_size.as_ref().map(|it| it as _));
        for (word, said) in [
            ("readonly", self.readonly),
            ("cachemode=unsafe", self.cache == CacheMode::Unsafe),
            ("discard=enable", self.discard == Discard::Enable),
            ("discard=besteffort", self.discard == Discard::BestEffort),
            ("copyonread", self.copy_on_read),
        ] {
            if said {
                line = line + " " + word;
            }
        }
        line
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Scratch(_) => "scratch disk".to_owned(),
            Source::Remote(Remote { protocol, servers, path, .. }) => {
                let server = servers.first().map(Endpoint::to_string).unwrap_or_default();
                let slash = if path.starts_with('/') { "" } else { "/" };
                format!("{}://{server}{slash}{path}", protocol.name())
            }
        }
    }
}

fn source(filename: &[u8], options: &AddDriveOptions) -> Result<Source> {
    let wanted = options.protocol.as_ref().map_or(BStr::new("file"), |it| it.as_bstr());
    let servers = options.server.as_deref().unwrap_or_default();
    let not_for = |argument| Error::invalid(argument, format!("not for protocol {wanted}"));
    if wanted == "file" {
        if !servers.is_empty() {
            return Err(not_for("server"));
        } else if options.username.is_some() {
            return Err(not_for("username"));
        } else if options.secret.is_some() {
            return Err(not_for("secret"));
        }
        let filename = crate::call::text("filename", filename)?;
        let path = Path::new(std::ffi::OsStr::from_bytes(&filename));
        let path = std::path::absolute(path).map_err(|_| Error::invalid("filename", "is empty"))?;
        return Ok(Source::File(path));
    }
    Remote::new(filename, wanted, options).map(Source::Remote)
}

fn text<'a>(argument: &str, value: &'a [u8]) -> Result<&'a str> {
    value.to_str().map_err(|_| Error::invalid(argument, "is not UTF-8"))
}

fn one_of<T: Copy>(
    argument: &str,
    value: &Option<BString>,
    default: T,
    choices: &[(&str, T)],
) -> Result<T> {
    let Some(value) = value else { return Ok(default) };
    if let Some((_, choice)) = choices.iter().find(|(name, _)| value == name) {
        return Ok(*choice);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    Err(Error::invalid(argument, format!("{value}: not one of {}", names.join(", "))))
}

/// A name of qemu's, such as a format.
fn name(argument: &str, value: &[u8]) -> Result<String> {
    let plain = |it: &u8| it.is_ascii_alphanumeric() || b"-_".contains(it);
    match text(argument, value)? {
        "" => Err(Error::invalid(argument, "is empty")),
        it if value.iter().all(plain) => Ok(it.to_owned()),
        it => Err(Error::invalid(argument, format!("{it:?} is no name"))),
    }
}

fn label(value: &[u8]) -> Result<String> {
    let label = name("label", value)?;
    if label.len() > LABEL_MAX {
        let why = format!("{label}: longer than {LABEL_MAX} characters");
        return Err(Error::invalid("label", why));
    }
    Ok(label)
}

fn block_size(bytes: i32) -> Result<u32> {
    match bytes {
        512 | 4096 => Ok(bytes as u32),
        _ => Err(Error::invalid("blocksize", format!("{bytes}: not one of 512, 4096"))),
    }
}

/// Complains about a disk now that would make qemu fail at launch.
fn check_file(path: &Path, readonly: bool) -> Result<()> {
    let object = path.display();
    let file = fs::metadata(path).map_err(|it| Error::io(&it, object))?.file_type();
    if file.is_dir() {
        return Err(Error::system(Errno::EISDIR, path.display()));
    }
    if !file.is_file() && !file.is_block_device() {
        let why = format!("{}: not a file or a block device", path.display());
        return Err(Error::new(Errno::EINVAL as i32, why));
    }
    // Opening it would do as well, but closing a block device that was open for writing makes
    // udev probe it.
    let access = if readonly { Access::READ_OK } else { Access::READ_OK | Access::WRITE_OK };
    accessat(CWD, path, access, AtFlags::EACCESS).map_err(|it| {
        let error = Error::system(Errno::from_raw(it.raw_os_error()), path.display());
        let for_reading = accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS);
        match for_reading {
            Ok(()) => {
                let hint = format!("{} (it can be added read-only)", error.message());
                Error::new(error.errno(), hint)
            }
            Err(_) => error,
        }
    })
}

/// A sparse file which disappears with its last user, even if that is killed.
fn unnamed_file(tmpdir: &Path, size: u64) -> Result<File> {
    let make = || {
        let file = tempfile::tempfile_in(tmpdir)?;
        set_len(&file, size)?;
        Ok(file)
    };
    make().map_err(|it| no_temporary_file(tmpdir, &it))
}

fn tmpdir(h: &Handle) -> PathBuf {
    h.with(|s| {
        s.directories.resolve_into(&mut s.config);
        s.config.tmpdir.clone()
    })
}

fn add(h: &Handle, drive: Drive) -> Result<()> {
    if h.phase() != Phase::Config {
        let why = "drives can only be added before launch";
        return Err(Error::new(Errno::EINVAL as i32, why));
    }
    h.with(|s| {
        let drives = &mut s.config.drives;
        if drives.len() >= MAX_DRIVES {
            let why = format!("{}: more than {MAX_DRIVES} drives", drive.name());
            return Err(Error::new(Errno::ENOSPC as i32, why));
        }
        if let Some(label) = &drive.label
            && drives.iter().any(|it| it.label.as_ref() == Some(label))
        {
            let why = format!("{label}: another drive has this label");
            return Err(Error::new(Errno::EEXIST as i32, why));
        }
        drives.push(drive);
        Ok(())
    })
}

pub(crate) fn add_drive(h: &Handle, filename: &[u8], options: &AddDriveOptions) -> Result<()> {
    let mut drive = Drive::new(filename, options)?;
    match &drive.source {
        Source::File(path) if path == Path::new("/dev/null") => {
            if drive.format.as_deref().is_some_and(|it| it != "raw") {
                return Err(Error::invalid("format", "/dev/null is raw"));
            }
            drive.source = Source::Scratch(Arc::new(unnamed_file(&tmpdir(h), NULL_DISK_SIZE)?));
            drive.format = Some("raw".to_owned());
        }
        Source::File(path) => check_file(path, drive.readonly)?,
        Source::Scratch(_) | Source::Remote(_) => {}
    }
    add(h, drive)
}

pub(crate) fn add_drive_ro(h: &Handle, filename: &[u8]) -> Result<()> {
    add_drive(h, filename, &AddDriveOptions { readonly: Some(true), ..Default::default() })
}

pub(crate) fn add_drive_scratch(
    h: &Handle,
    size: i64,
    options: &AddDriveScratchOptions,
) -> Result<()> {
    let Some(size) = u64::try_from(size).ok().filter(|it| *it > 0) else {
        return Err(Error::invalid("size", format!("{size}: not a size of a disk")));
    };
    add(h, Drive::scratch(unnamed_file(&tmpdir(h), size.next_multiple_of(SECTOR))?, options)?)
}

pub(crate) fn add_cdrom(h: &Handle, filename: &[u8]) -> Result<()> {
    add_drive_ro(h, filename)
}

pub(crate) fn add_drive_with_if(h: &Handle, filename: &[u8], iface: &[u8]) -> Result<()> {
    let iface = Some(iface.into());
    add_drive(h, filename, &AddDriveOptions { iface, ..Default::default() })
}

pub(crate) fn add_drive_ro_with_if(h: &Handle, filename: &[u8], iface: &[u8]) -> Result<()> {
    let (readonly, iface) = (Some(true), Some(iface.into()));
    add_drive(h, filename, &AddDriveOptions { readonly, iface, ..Default::default() })
}

pub(crate) fn debug_drives(h: &Handle) -> Result<Vec<BString>> {
    Ok(h.with(|s| s.config.drives.iter().map(|it| it.describe().into()).collect()))
}

pub(crate) fn max_disks(_: &Handle) -> Result<i32> {
    Ok(MAX_DRIVES as i32)
}

pub(crate) fn remove_drive(_: &Handle, label: &[u8]) -> Result<()> {
    let why = format!("{}: drives cannot be removed", label.as_bstr());
    Err(Error::new(Errno::ENOTSUP as i32, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    pub(super) fn check(filename: &str, options: AddDriveOptions, expected: &str) {
        let drive = Drive::new(filename.as_bytes(), &options);
        assert_eq!(drive.map_or_else(|it| it.message().to_owned(), |it| it.name()), expected);
    }

    #[test]
    fn options() {
        let with = |f: fn(&mut AddDriveOptions)| {
            let mut options = AddDriveOptions::default();
            f(&mut options);
            options
        };
        check("/a.img", with(|_| {}), "/a.img");
        check("", with(|_| {}), "filename: is empty");
        check(
            "/a",
            with(|o| o.format = Some("qcow2,x=y".into())),
            "format: \"qcow2,x=y\" is no name",
        );
        check("/a", with(|o| o.format = Some("".into())), "format: is empty");
        check("/a", with(|o| o.label = Some("a b".into())), "label: \"a b\" is no name");
        check(
            "/a",
            with(|o| o.label = Some("abcdefghijklmnopqrstu".into())),
            "label: abcdefghijklmnopqrstu: longer than 20 characters",
        );
        check(
            "/a",
            with(|o| o.cachemode = Some("none".into())),
            "cachemode: none: not one of writeback, unsafe",
        );
        check(
            "/a",
            with(|o| o.discard = Some("yes".into())),
            "discard: yes: not one of disable, enable, besteffort",
        );
        check(
            "/a",
            with(|o| (o.discard, o.readonly) = (Some("enable".into()), Some(true))),
            "discard: a read-only drive has nothing to discard",
        );
        check("/a", with(|o| o.blocksize = Some(1024)), "blocksize: 1024: not one of 512, 4096");
        check("/a", with(|o| o.username = Some("x".into())), "username: not for protocol file");
    }

    #[test]
    fn descriptions() {
        let check = |filename: &str, options: AddDriveOptions, expected: &str| {
            let drive = Drive::new(filename.as_bytes(), &options).unwrap();
            assert_eq!(drive.describe(), expected);
        };
        check("/a.img", AddDriveOptions::default(), "/a.img protocol=file");
        check(
            "/a.img",
            AddDriveOptions {
                format: Some("qcow2".into()),
                label: Some("data".into()),
                blocksize: Some(4096),
                cachemode: Some("unsafe".into()),
                discard: Some("enable".into()),
                copyonread: Some(true),
                ..Default::default()
            },
            "/a.img format=qcow2 protocol=file label=data blocksize=4096 cachemode=unsafe \
             discard=enable copyonread",
        );
        check(
            "t/0",
            AddDriveOptions {
                protocol: Some("iscsi".into()),
                server: Some(vec!["h".into()]),
                username: Some("user".into()),
                secret: Some("pass".into()),
                readonly: Some(true),
                ..Default::default()
            },
            "iscsi://h/t/0 protocol=iscsi readonly",
        );
    }

    #[test]
    fn files() {
        let check = |path: &str, errno: Errno| {
            assert_eq!(check_file(Path::new(path), true).unwrap_err().errno(), errno as i32);
        };
        check("/", Errno::EISDIR);
        check("/no/such/file", Errno::ENOENT);
        check("/etc/passwd/x", Errno::ENOTDIR);
        check("/dev/zero", Errno::EINVAL);
        assert!(check_file(&std::env::current_exe().unwrap(), true).is_ok());
    }
}
