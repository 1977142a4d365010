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

/// A disk on another machine.
#[derive(Clone)]
pub(crate) struct Remote {
    pub protocol: Protocol,
    pub servers: Vec<Endpoint>,
    /// Name of the export, file or volume.
    pub path: String,
    pub username: Option<String>,
    pub secret: Option<BString>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Ftp,
    Ftps,
    Http,
    Https,
    Iscsi,
    Nbd,
    Rbd,
    Ssh,
}

impl Protocol {
    const ALL: [Self; 8] = [
        Self::Ftp,
        Self::Ftps,
        Self::Http,
        Self::Https,
        Self::Iscsi,
        Self::Nbd,
        Self::Rbd,
        Self::Ssh,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Ftps => "ftps",
            Self::Http => "http",
            Self::Https => "https",
            Self::Iscsi => "iscsi",
            Self::Nbd => "nbd",
            Self::Rbd => "rbd",
            Self::Ssh => "ssh",
        }
    }

    /// What qemu calls the user of this protocol.
    pub(crate) fn user_key(self) -> &'static str {
        match self {
            Self::Ftp | Self::Ftps | Self::Http | Self::Https => "username",
            Self::Iscsi | Self::Nbd | Self::Rbd | Self::Ssh => "user",
        }
    }

    /// What qemu calls the object with the password.
    pub(crate) fn secret_key(self) -> &'static str {
        match self {
            Self::Rbd => "key-secret",
            Self::Ftp | Self::Ftps | Self::Http | Self::Https => "password-secret",
            Self::Iscsi | Self::Nbd | Self::Ssh => "password-secret",
        }
    }

    /// Keys of Ceph are handed around in base64.
    pub(crate) fn secret_is_base64(self) -> bool {
        self == Self::Rbd
    }

    fn takes_username(self) -> bool {
        self != Self::Nbd
    }

    /// ssh takes keys from an agent, and nothing else.
    fn takes_secret(self) -> bool {
        !matches!(self, Self::Nbd | Self::Ssh)
    }

    /// A Ceph cluster may be known from the host's configuration, and has several monitors.
    fn takes_servers(self, n: usize) -> bool {
        n == 1 || self == Self::Rbd
    }
}

/// A server, as given in `server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Inet { host: String, port: Option<u16> },
    Unix(String),
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self> {
        let bad = || Error::invalid("server", format!("{text}: not a server"));
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(bad()) } else { Ok(Self::Unix(path.to_owned())) };
        }
        let rest = text.strip_prefix("tcp:").unwrap_or(text);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
                let port = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix(':').ok_or_else(bad)?),
                };
                (host, port)
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let named = |it: char| it.is_ascii_alphanumeric() || "-._:%".contains(it);
        let port = port.map(str::parse::<u16>).transpose().map_err(|_| bad())?;
        if host.is_empty() || !host.chars().all(named) || port == Some(0) {
            return Err(bad());
        }
        Ok(Self::Inet { host: host.to_owned(), port })
    }

    /// Both as qemu wants them in JSON.
    pub(crate) fn host_and_port(&self, default_port: u16) -> (String, String) {
        match self {
            Self::Inet { host, port } => (host.clone(), port.unwrap_or(default_port).to_string()),
            Self::Unix(path) => (path.clone(), default_port.to_string()),
        }
    }
}

/// As it is written in a URL.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } => {
                if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }?;
                port.map_or(Ok(()), |it| write!(f, ":{it}"))
            }
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
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
    let Some(protocol) = Protocol::ALL.into_iter().find(|it| wanted == it.name()) else {
        return Err(Error::invalid("protocol", format!("{wanted}: not a known protocol")));
    };
    if options.username.is_some() && !protocol.takes_username() {
        return Err(not_for("username"));
    }
    if options.secret.is_some() && !protocol.takes_secret() {
        return Err(not_for("secret"));
    }
    if !protocol.takes_servers(servers.len()) {
        let why = format!("{wanted} takes exactly one server, not {}", servers.len());
        return Err(Error::invalid("server", why));
    }
    let servers = servers.iter().map(|it| Endpoint::parse(text("server", it)?));
    let servers = servers.collect::<Result<Vec<_>>>()?;
    if protocol != Protocol::Nbd && servers.iter().any(|it| matches!(it, Endpoint::Unix(_))) {
        return Err(Error::invalid("server", format!("{wanted} has no Unix sockets")));
    }
    let path = text("filename", filename)?;
    check_remote_path(protocol, path)?;
    Ok(Source::Remote(Remote {
        protocol,
        servers,
        path: path.to_owned(),
        username: options
            .username
            .as_ref()
            .map(|it| text("username", it))
            .transpose()?
            .map(Into::into),
        secret: options.secret.clone(),
    }))
}

fn check_remote_path(protocol: Protocol, path: &str) -> Result<()> {
    let bare = path.strip_prefix('/').unwrap_or(path);
    let fits = match protocol {
        Protocol::Nbd => true,
        Protocol::Ftp | Protocol::Ftps | Protocol::Http | Protocol::Https => !bare.is_empty(),
        Protocol::Ssh => path.starts_with('/') && !bare.is_empty(),
        Protocol::Iscsi => {
            let lun = bare.split_once('/').map(|(_, lun)| lun);
            !bare.is_empty() && lun.is_none_or(|it| it.parse::<u32>().is_ok())
        }
        Protocol::Rbd => {
            (2..=3).contains(&bare.split('/').count()) && bare.split('/').all(|it| !it.is_empty())
        }
    };
    if fits {
        return Ok(());
    }
    let form = match protocol {
        Protocol::Iscsi => "TARGET/LUN",
        Protocol::Rbd => "POOL/IMAGE",
        Protocol::Ssh => "an absolute path",
        _ => "a path",
    };
    Err(Error::invalid("filename", format!("{path:?}: {} needs {form}", protocol.name())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filename: &str, options: AddDriveOptions, expected: &str) {
        let drive = Drive::new(filename.as_bytes(), &options);
        assert_eq!(drive.map_or_else(|it| it.message().to_owned(), |it| it.name()), expected);
    }

    fn remote(protocol: &str, servers: &[&str]) -> AddDriveOptions {
        AddDriveOptions {
            protocol: Some(protocol.into()),
            server: Some(servers.iter().map(|it| (*it).into()).collect()),
            ..Default::default()
        }
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
    fn remotes() {
        check("/disk", remote("nbd", &["h:1"]), "nbd://h:1/disk");
        check("disk", remote("nbd", &[]), "server: nbd takes exactly one server, not 0");
        check("pool/disk", remote("rbd", &[]), "rbd:///pool/disk");
        check("disk", remote("rbd", &[]), "filename: \"disk\": rbd needs POOL/IMAGE");
        check("t/x", remote("iscsi", &["h"]), "filename: \"t/x\": iscsi needs TARGET/LUN");
        check("x", remote("ssh", &["h"]), "filename: \"x\": ssh needs an absolute path");
        check("/x", remote("ssh", &["unix:/s"]), "server: ssh has no Unix sockets");
        check("/x", remote("gopher", &["h"]), "protocol: gopher: not a known protocol");
        check("/x", remote("file", &["h"]), "server: not for protocol file");
        let secret = AddDriveOptions { secret: Some("s".into()), ..remote("ssh", &["h"]) };
        check("/x", secret, "secret: not for protocol ssh");
    }

    #[track_caller]
    fn check_endpoint(server: &str, expected: &str) {
        let parsed = Endpoint::parse(server);
        assert_eq!(parsed.map_or_else(|it| it.message().to_owned(), |it| it.to_string()), expected);
    }

    #[test]
    fn endpoints() {
        check_endpoint("example.com", "example.com");
        check_endpoint("tcp:example.com:80", "example.com:80");
        check_endpoint("[::1]:80", "[::1]:80");
        check_endpoint("unix:/run/s", "unix:/run/s");
        for bad in ["", "h:", "h:0", "h:65536", "h:x", "[::1", "[::1]x", "a/b", "unix:", "a@b"] {
            check_endpoint(bad, &format!("server: {bad}: not a server"));
        }
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
