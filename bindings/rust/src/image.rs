// SPDX-License-Identifier: LGPL-2.1-or-later
//! Disk images as files of the host: making them, and what they say about themselves.
//!
//! An image may have been made by an enemy.  It is looked at by `qemu-img`, in a process with
//! little memory and time.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bstr::{BStr, BString, ByteSlice};
use nix::errno::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::Value;

use crate::DiskCreateOptions;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::launch::{keep_across_exec, run_before_exec};

const QEMU_IMG: &str = "qemu-img";

/// An honest image is looked at in a fraction of this.
const MEMORY_MAX: u64 = 1 << 30;
const CPU_SECONDS_MAX: u64 = 10;

/// As much of an image as its format is known by.
pub(crate) const HEAD_SIZE: usize = 512;

/// Formats by the bytes at an offset.  Encrypted disks without more around them (LUKS) are raw:
/// it is the guest which opens them.
const MAGIC: [(usize, &[u8], &str); 9] = [
    (0, b"QFI\xfb\0\0\0\x01", "qcow"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"conectix", "vpc"),
    (0, b"vhdxfile", "vhdx"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
];

/// The format of an image that begins like this.
pub(crate) fn format_of(head: &[u8]) -> &'static str {
    let known =
        MAGIC.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|it| it.starts_with(magic)));
    known.map_or("raw", |(_, _, format)| format)
}

/// What an image says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub format: String,
    pub virtual_size: u64,
    pub has_backing_file: bool,
}

impl Image {
    fn parse(json: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(json).ok()?;
        Some(Self {
            format: json["format"].as_str()?.to_owned(),
            virtual_size: json["virtual-size"].as_u64()?,
            has_backing_file: json["backing-filename"].is_string(),
        })
    }
}

/// Looks at an image file, which may be in use by a virtual machine.
pub(crate) fn info(file: &Path, format: Option<&str>) -> Result<Image> {
    let metadata = fs::metadata(file).map_err(|it| Error::io(&it, file.display()))?;
    if metadata.is_dir() {
        return Err(Error::system(Errno::EISDIR, file.display()));
    }
    if !metadata.is_file() && !metadata.file_type().is_block_device() {
        let why = format!("{}: not a file or a block device", file.display());
        return Err(Error::new(Errno::EINVAL as i32, why));
    }
    let mut args = info_arguments();
    args.extend(format.iter().flat_map(|it| ["-f".into(), OsString::from(it)]));
    args.push(absolute(file)?.into());
    let name = file.display().to_string();
    parse(&run(wary(args, Vec::new()), &name)?, &name)
}

/// Looks at a disk given as a block node of qemu's.  `secret` is the option for the object with
/// its password, `inherit` what that refers to.
pub(crate) fn info_of_node(
    node: &Value,
    secret: Option<&str>,
    inherit: &[OwnedFd],
    name: &str,
) -> Result<Image> {
    let mut args = info_arguments();
    args.extend(secret.iter().flat_map(|it| ["--object".into(), OsString::from(it)]));
    args.push(format!("json:{node}").into());
    let inherit = inherit.iter().map(AsRawFd::as_raw_fd).collect();
    parse(&run(wary(args, inherit), name)?, name)
}

fn info_arguments() -> Vec<OsString> {
    ["info", "--output=json", "--force-share"].map(OsString::from).into()
}

fn parse(output: &[u8], name: &str) -> Result<Image> {
    let bad =
        || Error::new(0, format!("{name}: {QEMU_IMG} says nothing about its format and size"));
    Image::parse(output).ok_or_else(bad)
}

/// A path which can't be taken for an option or a protocol.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|it| Error::io(&it, path.display()))
}

fn qemu_img(args: Vec<OsString>) -> Command {
    let mut command = Command::new(QEMU_IMG);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// A `qemu-img` that looks at what an enemy may have made.  It keeps the descriptors in `inherit`.
fn wary(args: Vec<OsString>, inherit: Vec<RawFd>) -> Command {
    let mut command = qemu_img(args);
    run_before_exec(&mut command, move || {
        inherit.iter().try_for_each(|fd| keep_across_exec(*fd))?;
        limit(Resource::As, MEMORY_MAX)?;
        limit(Resource::Cpu, CPU_SECONDS_MAX)
    });
    command
}

/// What the command prints.  `object` is what errors are about.
fn run(mut command: Command, object: &str) -> Result<Vec<u8>> {
    let output = command.output().map_err(|it| match it.kind() {
        io::ErrorKind::NotFound => {
            Error::new(Errno::ENOENT as i32, format!("{QEMU_IMG}: not found; install qemu-utils"))
        }
        _ => Error::io(&it, QEMU_IMG),
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = output.stderr.trim_with(|it| it.is_whitespace()).to_str_lossy();
    let said = said.strip_prefix("qemu-img: ").unwrap_or(&said);
    // "FILE: Could not open 'FILE': reason" names it once too often.
    let said = said.split_once(": ").filter(|(it, rest)| rest.contains(it)).map_or(said, |it| it.1);
    let why = if said.is_empty() { output.status.to_string() } else { said.replace('\n', " ") };
    let errno = errno_of(&why).map_or(0, |it| it as i32);
    // It usually names the file, but not always.
    let message = if why.contains(object) { why } else { format!("{object}: {why}") };
    Err(Error::new(errno, message))
}

fn limit(resource: Resource, maximum: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) })?)
}

/// The errno behind a text, for those that a caller may want to tell apart.
fn errno_of(text: &str) -> Option<Errno> {
    let known = [Errno::ENOENT, Errno::EACCES, Errno::ENOSPC, Errno::EISDIR, Errno::EROFS];
    known.into_iter().find(|it| text.ends_with(it.desc()))
}

/// How much of a new image is backed by storage at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preallocation {
    Off,
    Metadata,
    Full,
}

impl Preallocation {
    fn parse(value: &Option<BString>, format: &BStr) -> Result<Self> {
        let Some(value) = value else { return Ok(Self::Off) };
        match value.to_str() {
            Ok("off" | "sparse") => Ok(Self::Off),
            Ok("full") => Ok(Self::Full),
            Ok("metadata") if format == "qcow2" => Ok(Self::Metadata),
            _ => Err(Error::invalid("preallocation", format!("{value}: not for format {format}"))),
        }
    }
}

pub(crate) fn disk_create(
    _: &Handle,
    filename: &[u8],
    format: &[u8],
    size: i64,
    options: &DiskCreateOptions,
) -> Result<()> {
    let target = Path::new(OsStr::from_bytes(filename));
    let preallocation = Preallocation::parse(&options.preallocation, format.as_bstr())?;
    let size = match (u64::try_from(size), &options.backingfile) {
        (Ok(size), _) => Some(size),
        (Err(_), Some(_)) if size == -1 => None,
        _ => return Err(Error::invalid("size", format!("{size}: not a size of a disk"))),
    };
    match (format, size) {
        (b"raw", Some(size)) => create_raw(target, size, preallocation, options),
        (b"raw", None) => Err(Error::invalid("backingfile", "not for format raw")),
        (b"qcow2", _) => {
            let args = qcow2_arguments(target, size, preallocation, options)?;
            check_target(target)?;
            run(qemu_img(args), &target.display().to_string())?;
            Ok(())
        }
        _ => Err(Error::invalid("format", format!("{}: not one of raw, qcow2", format.as_bstr()))),
    }
}

/// What is there already is overwritten only if it is a file.
fn check_target(target: &Path) -> Result<()> {
    match fs::metadata(target) {
        Ok(it) if !it.is_file() => {
            let why = format!("{}: exists and is not a file", target.display());
            Err(Error::new(Errno::EEXIST as i32, why))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(&error, target.display()))
        }
        _ => Ok(()),
    }
}

fn create_raw(
    target: &Path,
    size: u64,
    preallocation: Preallocation,
    options: &DiskCreateOptions,
) -> Result<()> {
    let absent = [
        ("backingfile", options.backingfile.is_none()),
        ("backingformat", options.backingformat.is_none()),
        ("compat", options.compat.is_none()),
        ("clustersize", options.clustersize.is_none()),
    ];
    if let Some((argument, _)) = absent.iter().find(|(_, absent)| !absent) {
        return Err(Error::invalid(argument, "not for format raw"));
    }
    check_target(target)?;
    let fail = |it| Error::io(&it, target.display());
    let mut open = OpenOptions::new();
    let mut file = open.write(true).create(true).truncate(true).open(target).map_err(fail)?;
    let made = match preallocation {
        Preallocation::Full => allocate(&mut file, size),
        Preallocation::Off | Preallocation::Metadata => file.set_len(size),
    };
    made.map_err(|it| {
        // Half an image is none; the error is the one that counts.
        let _ = fs::remove_file(target);
        fail(it)
    })
}

/// Backs a new file with storage.
fn allocate(file: &mut File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    if size == 0 {
        return Ok(());
    }
    match fallocate(&*file, FallocateFlags::empty(), 0, size) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            io::copy(&mut io::Read::take(io::repeat(0), size), file)?;
            file.flush()
        }
        result => Ok(result?),
    }
}

/// The command line that makes a qcow2 image; relative names are relative to the new image, as
/// they are when it is opened.
fn qcow2_arguments(
    target: &Path,
    size: Option<u64>,
    preallocation: Preallocation,
    options: &DiskCreateOptions,
) -> Result<Vec<OsString>> {
    let mut args: Vec<OsString> = ["create", "-q", "-f", "qcow2"].map(OsString::from).into();
    let target = absolute(target)?;
    match &options.backingfile {
        Some(name) => {
            let name = Path::new(OsStr::from_bytes(name));
            let beside = target.parent().unwrap_or(Path::new("/")).join(name);
            args.extend(["-b".into(), plain_name(name)]);
            args.extend(["-F".into(), backing_format(&beside, &options.backingformat)?.into()]);
        }
        None if options.backingformat.is_some() => {
            return Err(Error::invalid("backingformat", "there is no backingfile"));
        }
        None => {}
    }
    match options.compat.as_ref().map(|it| it.as_slice()) {
        None => {}
        Some(it @ (b"0.10" | b"1.1")) => {
            args.extend(["-o".into(), format!("compat={}", it.as_bstr()).into()])
        }
        Some(it) => {
            let why = format!("{}: not one of 0.10, 1.1", it.as_bstr());
            return Err(Error::invalid("compat", why));
        }
    }
    if let Some(bytes) = options.clustersize {
        if !(512..=2 << 20).contains(&bytes) || bytes.count_ones() != 1 {
            let why = format!("{bytes}: not a power of two from 512 to 2097152");
            return Err(Error::invalid("clustersize", why));
        }
        args.extend(["-o".into(), format!("cluster_size={bytes}").into()]);
    }
    let preallocation = match preallocation {
        Preallocation::Off => None,
        Preallocation::Metadata => Some("preallocation=metadata"),
        Preallocation::Full => Some("preallocation=falloc"),
    };
    args.extend(preallocation.into_iter().flat_map(|it| ["-o", it]).map(OsString::from));
    args.push(target.into());
    args.extend(size.map(|it| it.to_string().into()));
    Ok(args)
}

/// A name which qemu, when it opens the new image, takes for that of a file.
fn plain_name(name: &Path) -> OsString {
    if name.is_absolute() { name.into() } else { Path::new(".").join(name).into() }
}

fn backing_format(file: &Path, given: &Option<BString>) -> Result<String> {
    let plain = |it: &u8| it.is_ascii_alphanumeric() || b"-_".contains(it);
    match given {
        Some(it) if !it.is_empty() && it.iter().all(plain) => Ok(it.to_string()),
        Some(it) => Err(Error::invalid("backingformat", format!("{:?} is no name", it.as_bstr()))),
        // qemu would guess it each time the image is opened, by what a guest has written by then.
        None => Ok(info(file, None)?.format),
    }
}

pub(crate) fn disk_format(_: &Handle, filename: &[u8]) -> Result<BString> {
    Ok(info(Path::new(OsStr::from_bytes(filename)), None)?.format.into())
}

pub(crate) fn disk_virtual_size(_: &Handle, filename: &[u8]) -> Result<i64> {
    let name = Path::new(OsStr::from_bytes(filename));
    let size = info(name, None)?.virtual_size;
    i64::try_from(size).map_err(|_| Error::system(Errno::EOVERFLOW, name.display()))
}

pub(crate) fn disk_has_backing_file(_: &Handle, filename: &[u8]) -> Result<bool> {
    Ok(info(Path::new(OsStr::from_bytes(filename)), None)?.has_backing_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let check = |head: &[u8], expected| assert_eq!(format_of(head), expected);
        check(b"", "raw");
        check(&[0; 512], "raw");
        check(b"QFI\xfb\0\0\0\x03", "qcow2");
        check(b"QFI\xfb\0\0\0\x01", "qcow");
        check(b"LUKS\xba\xbe", "raw");
        let mut vdi = [0; 512];
        vdi[0x40..0x44].copy_from_slice(&0xbeda_107fu32.to_le_bytes());
        check(&vdi, "vdi");
    }

    #[test]
    fn infos() {
        let json = br#"{"virtual-size": 1024, "filename": "x", "format": "qcow2",
                        "backing-filename": "y", "actual-size": 1}"#;
        let image = Image { format: "qcow2".into(), virtual_size: 1024, has_backing_file: true };
        assert_eq!(Image::parse(json), Some(image));
        assert_eq!(Image::parse(br#"{"format": "raw", "virtual-size": -1}"#), None);
        assert_eq!(Image::parse(b"qemu-img: oops"), None);
    }

    #[track_caller]
    fn check(size: Option<u64>, options: DiskCreateOptions, expected: &str) {
        let args = qcow2_arguments(Path::new("/d/-x.img"), size, Preallocation::Off, &options);
        let text = args.map_or_else(
            |it| it.message().to_owned(),
            |it| it.join(OsStr::new(" ")).into_string().unwrap(),
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn qcow2_command_lines() {
        let none = DiskCreateOptions::default;
        check(Some(1024), none(), "create -q -f qcow2 /d/-x.img 1024");
        check(
            None,
            DiskCreateOptions {
                backingfile: Some("nbd:host".into()),
                backingformat: Some("raw".into()),
                compat: Some("0.10".into()),
                clustersize: Some(512),
                ..none()
            },
            "create -q -f qcow2 -b ./nbd:host -F raw -o compat=0.10 -o cluster_size=512 /d/-x.img",
        );
        check(
            None,
            DiskCreateOptions {
                backingfile: Some("/b".into()),
                backingformat: Some("raw,x".into()),
                ..none()
            },
            "backingformat: \"raw,x\" is no name",
        );
        check(
            Some(0),
            DiskCreateOptions { backingformat: Some("raw".into()), ..none() },
            "backingformat: there is no backingfile",
        );
        check(
            Some(0),
            DiskCreateOptions { compat: Some("2".into()), ..none() },
            "compat: 2: not one of 0.10, 1.1",
        );
        check(
            Some(0),
            DiskCreateOptions { clustersize: Some(1000), ..none() },
            "clustersize: 1000: not a power of two from 512 to 2097152",
        );
        check(
            None,
            DiskCreateOptions { backingfile: Some("no such".into()), ..none() },
            "/d/no such: No such file or directory",
        );
    }

    #[test]
    fn raw_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.img");
        let make = |it| create_raw(&file, 1 << 20, it, &DiskCreateOptions::default());
        use std::os::unix::fs::MetadataExt;
        make(Preallocation::Off).unwrap();
        let sparse = fs::metadata(&file).unwrap();
        assert_eq!((sparse.len(), sparse.blocks()), (1 << 20, 0));
        make(Preallocation::Full).unwrap();
        let full = fs::metadata(&file).unwrap();
        assert!(full.len() == 1 << 20 && full.blocks() >= 2048);
        let error = create_raw(dir.path(), 0, Preallocation::Off, &DiskCreateOptions::default());
        assert_eq!(error.unwrap_err().errno(), Errno::EEXIST as i32);
    }
}
