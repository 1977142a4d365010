// SPDX-License-Identifier: LGPL-2.1-or-later
//! What every function gets first: the guest's files, its devices, and the state of the appliance.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bstr::{BString, ByteSlice};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags, fcntl_setfl, fstat,
    openat2, statx,
};

use crate::block::{Device, DeviceOrPath, Mountable};
use crate::channel::Reporter;
use crate::device_name::DeviceNames;
use crate::error::{About, Errno, Error, Result};
use crate::handles::Handles;
use crate::path::GuestPath;
use crate::window::{self, Window};
use crate::{features, tool};

/// The mask of file modes when the appliance starts.
const UMASK: Mode = Mode::from_raw_mode(0o022);

/// The state of the daemon.
#[derive(Debug)]
pub struct Ctx {
    sysroot: PathBuf,
    /// Mount of the directory while no filesystem of the guest is mounted on it.
    empty: Option<u64>,
    names: DeviceNames,
    umask: Mode,
    features: RefCell<HashMap<&'static str, bool>>,
    reporter: Option<Rc<Reporter>>,
    handles: Handles,
    /// The disk that can be the window.
    window_disk: Option<window::Disk>,
    /// The window, once the library has asked for it.
    window: Option<Rc<Window>>,
    verbose: bool,
    exiting: bool,
}

impl Ctx {
    /// For a directory that holds the guest's files already.
    pub fn new(sysroot: impl Into<PathBuf>) -> Self {
        rustix::process::umask(UMASK);
        Self {
            sysroot: sysroot.into(),
            empty: None,
            names: DeviceNames::new(Path::new("/sys"), Path::new("/dev"), &[]),
            umask: UMASK,
            features: RefCell::default(),
            reporter: None,
            handles: Handles::default(),
            window_disk: None,
            window: None,
            verbose: false,
            exiting: false,
        }
    }

    /// For a directory on which the guest's filesystems will be mounted, in an appliance that
    /// runs from the disk of number `root`.
    pub(crate) fn appliance(sysroot: &Path, root: u64) -> Result<Self> {
        let mut cx = Self::new(sysroot);
        cx.empty = Some(cx.mount_id()?);
        cx.window_disk = window::Disk::find()?;
        let hidden: Vec<u64> = cx.window_disk.iter().map(|it| it.number).chain([root]).collect();
        cx.names = DeviceNames::new(Path::new("/sys"), Path::new("/dev"), &hidden);
        Ok(cx)
    }

    /// From now on, what is sent is shown in the window.
    pub(crate) fn open_window(&mut self, n_slots: i32, slot_size: i32) -> Result<()> {
        let Some(disk) = &self.window_disk else {
            return Err(Error::refused(Errno::OPNOTSUPP, "window", "this appliance has none"));
        };
        self.window = Some(Rc::new(disk.open(n_slots, slot_size)?));
        Ok(())
    }

    /// The window, if there is one and the library knows.
    pub(crate) fn window(&self) -> Option<&Rc<Window>> {
        self.window.as_ref()
    }

    /// Has a window on a file.
    #[cfg(test)]
    pub(crate) fn set_window(&mut self, window: Window) {
        self.window = Some(Rc::new(window));
    }

    /// Checks a path of the guest.
    pub(crate) fn guest_path(&self, arg: &'static str, path: &BString) -> Result<GuestPath> {
        GuestPath::new(arg, path)
    }

    /// Checks a list of arguments that are names of files of the guest.
    pub(crate) fn guest_paths(
        &self,
        arg: &'static str,
        paths: &[BString],
    ) -> Result<Vec<GuestPath>> {
        paths.iter().map(|path| GuestPath::new(arg, path)).collect()
    }

    /// Looks up a device.
    pub(crate) fn device(&self, _: &'static str, name: &BString) -> Result<Device> {
        Device::new(&self.names, name.as_bstr())
    }

    /// Looks up a list of devices.
    pub(crate) fn devices(&self, _: &'static str, names: &[BString]) -> Result<Vec<Device>> {
        names.iter().map(|name| Device::new(&self.names, name.as_bstr())).collect()
    }

    /// Looks up a device, or a subvolume on one.
    pub(crate) fn mountable(&self, _: &'static str, name: &BString) -> Result<Mountable> {
        Mountable::new(&self.names, name.as_bstr())
    }

    /// Looks up a device; what is none is a path.
    pub(crate) fn device_or_path(&self, arg: &'static str, name: &BString) -> Result<DeviceOrPath> {
        match Device::new(&self.names, name.as_bstr()) {
            Ok(device) => Ok(DeviceOrPath::Device(device)),
            Err(err) => Ok(DeviceOrPath::Path(self.path_instead(arg, name, err)?)),
        }
    }

    /// The path that an argument must be if it is no device.
    fn path_instead(&self, arg: &'static str, name: &BString, err: Error) -> Result<GuestPath> {
        let looks_like_a_device = !name.starts_with(b"/") || name.starts_with(b"/dev/");
        match self.needs_root() {
            Ok(()) => GuestPath::new(arg, name),
            Err(_) if looks_like_a_device => Err(err),
            Err(err) => Err(err),
        }
    }

    /// Names of devices, both ways.
    pub(crate) fn names(&self) -> &DeviceNames {
        &self.names
    }

    /// The caller's name of a device that the kernel or a program calls `path`.
    pub(crate) fn api_name(&self, path: &[u8]) -> Result<BString> {
        self.names.to_api(path.as_bstr())
    }

    /// Fails unless a filesystem is mounted on `/`.
    pub(crate) fn needs_root(&self) -> Result<()> {
        match self.empty {
            Some(empty) if self.mount_id()? == empty => Err(Error::NeedsRoot),
            _ => Ok(()),
        }
    }

    /// Fails unless the appliance has what a group of functions needs.
    pub(crate) fn needs_feature(&self, feature: &'static str) -> Result<()> {
        match self.has_feature(feature) {
            true => Ok(()),
            false => Err(Error::unsupported(format_args!("feature {feature}"))),
        }
    }

    /// Whether the appliance has it; found out once.
    pub(crate) fn has_feature(&self, feature: &'static str) -> bool {
        *self.features.borrow_mut().entry(feature).or_insert_with(|| features::probe(feature))
    }

    /// The directory that is the guest's `/`, as the appliance sees it.
    pub(crate) fn sysroot(&self) -> &Path {
        &self.sysroot
    }

    /// The mount that is there before any of the guest's.
    pub(crate) fn empty_mount(&self) -> Option<u64> {
        self.empty
    }

    /// The guest's root directory.  Opened anew, as something may have been mounted on it.
    #[expect(clippy::disallowed_methods, reason = "the root of everything that is opened below")]
    pub(crate) fn root(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.sysroot, flags, Mode::empty()).about("/")
    }

    /// Opens what the guest means by `path`: links do not lead out of the guest.
    pub(crate) fn open(&self, path: &GuestPath, flags: OFlags) -> Result<OwnedFd> {
        self.open_mode(path, flags, Mode::empty())
    }

    /// The same, creating the file with this mode if `flags` say so.
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    pub(crate) fn open_mode(&self, path: &GuestPath, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut flags = flags | OFlags::CLOEXEC;
        if !flags.contains(OFlags::PATH) {
            flags |= OFlags::NOCTTY;
        }
        loop {
            // The kernel gives up if something was renamed while it walked over a `..`.
            match openat2(self.root()?, path.relative(), flags, mode, resolve) {
                Err(Errno::AGAIN) => {}
                result => return result.about(path),
            }
        }
    }

    /// Opens the link itself if the last component is one.
    pub(crate) fn open_nofollow(&self, path: &GuestPath, flags: OFlags) -> Result<OwnedFd> {
        self.open(path, flags | OFlags::NOFOLLOW)
    }

    /// Opens a file for its content.  A fifo would block, and a device would do who knows what.
    pub(crate) fn open_regular(&self, path: &GuestPath, flags: OFlags, mode: Mode) -> Result<File> {
        // Without O_TRUNC and only to look: opening some devices has effects.
        if let Ok(stat) = self.stat(path) {
            check_regular(path, &stat)?;
        }
        let fd = self.open_mode(path, flags | OFlags::NONBLOCK, mode)?;
        check_regular(path, &fstat(&fd).about(path)?)?;
        fcntl_setfl(&fd, flags & OFlags::APPEND).about(path)?;
        Ok(fd.into())
    }

    /// Status of the file, or of what a link leads to.
    pub(crate) fn stat(&self, path: &GuestPath) -> Result<Stat> {
        fstat(self.open(path, OFlags::PATH)?).about(path)
    }

    /// Status of the file or the link.
    pub(crate) fn lstat(&self, path: &GuestPath) -> Result<Stat> {
        fstat(self.open_nofollow(path, OFlags::PATH)?).about(path)
    }

    /// The directory in which the last component of `path` is a name, and that name: for system
    /// calls which make, remove or rename.
    pub(crate) fn parent(&self, path: &GuestPath) -> Result<(OwnedFd, BString)> {
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        let (parent, name) = path.split();
        // These name no entry, and `..` taken literally might lead out of the guest.
        if name.is_empty() || name == "." || name == ".." {
            return Ok((self.open(path, directory)?, ".".into()));
        }
        let fd = self.open(&parent, directory).map_err(|err| match err {
            Error::Sys { errno, .. } => Error::sys(path, errno),
            err => err,
        })?;
        if path.as_bstr().ends_with(b"/") {
            let stat = rustix::fs::statat(&fd, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
            if stat.is_ok_and(|it| FileType::from_raw_mode(it.st_mode) != FileType::Directory) {
                return Err(Error::sys(path, Errno::NOTDIR));
            }
        }
        Ok((fd, name.into()))
    }

    /// The path by which a program or system call gets at an open file.
    pub(crate) fn proc_fd(&self, fd: &OwnedFd) -> PathBuf {
        tool::proc_path(fd)
    }

    /// The mask of file modes.
    pub(crate) fn umask(&self) -> Mode {
        self.umask
    }

    /// Changes the mask and answers with the old one.
    pub(crate) fn set_umask(&mut self, mask: Mode) -> Mode {
        rustix::process::umask(mask);
        std::mem::replace(&mut self.umask, mask)
    }

    /// What functions keep open between calls.
    pub(crate) fn handles(&mut self) -> &mut Handles {
        &mut self.handles
    }

    /// Reports how far a long call has come.
    pub(crate) fn progress(&self, position: u64, total: u64) {
        if let Some(reporter) = &self.reporter {
            reporter.report(position, total);
        }
    }

    /// Where the reports of the next call go.
    pub(crate) fn set_reporter(&mut self, reporter: Rc<Reporter>) {
        self.reporter = Some(reporter);
    }

    /// Says on the console what is done.
    pub(crate) fn set_verbose(&mut self, verbose: bool) {
        self.verbose = verbose;
    }

    /// Whether the console is for more than troubles.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Makes the daemon end after the reply.
    pub(crate) fn exit(&mut self) {
        self.exiting = true;
    }

    /// Whether this was the last call.
    pub(crate) fn is_exiting(&self) -> bool {
        self.exiting
    }

    fn mount_id(&self) -> Result<u64> {
        let stat = statx(CWD, &self.sysroot, AtFlags::empty(), StatxFlags::MNT_ID).about("/")?;
        Ok(stat.stx_mnt_id)
    }
}

fn check_regular(path: &GuestPath, stat: &Stat) -> Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Error::sys(path, Errno::ISDIR)),
        _ => Err(Error::invalid(path, "not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> GuestPath {
        GuestPath::new("path", text.as_bytes()).unwrap()
    }

    fn guest() -> (tempfile::TempDir, Ctx) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("guest");
        crate::system::make_directories(root.join("sub"));
        crate::system::write(dir.path().join("outside"), b"outside\n").unwrap();
        crate::system::write(root.join("abc"), b"abc\0\n").unwrap();
        symlink("/abc", root.join("absolute")).unwrap();
        symlink("../../../../outside", root.join("escape")).unwrap();
        symlink(dir.path().join("outside"), root.join("absolute-escape")).unwrap();
        symlink("/sub", root.join("link-to-sub")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        rustix::fs::mkfifoat(CWD, root.join("fifo"), Mode::RUSR).unwrap();
        let cx = Ctx::new(root);
        (dir, cx)
    }

    #[test]
    fn links_stay_inside_the_guest() {
        let (_dir, cx) = guest();
        #[track_caller]
        fn check(cx: &Ctx, name: &str, expected: &str) {
            let content =
                cx.open_regular(&path(name), OFlags::RDONLY, Mode::empty()).and_then(|mut file| {
                    let mut content = Vec::new();
                    file.read_to_end(&mut content).about(name)?;
                    Ok(content)
                });
            let got = match content {
                Ok(content) => format!("{:?}", content.as_bstr()),
                Err(err) => err.to_string(),
            };
            assert_eq!(got, expected);
        }
        check(&cx, "/abc", r#""abc\0\n""#);
        check(&cx, "/absolute", r#""abc\0\n""#);
        check(&cx, "/../../abc", r#""abc\0\n""#);
        check(&cx, "/escape", "/escape: No such file or directory");
        check(&cx, "/absolute-escape", "/absolute-escape: No such file or directory");
        check(&cx, "/magic", "/magic: No such file or directory");
        check(&cx, "/sub", "/sub: Is a directory");
        check(&cx, "/loop", "/loop: Too many levels of symbolic links");
        check(&cx, "/fifo", "/fifo: not a regular file");
        check(&cx, "/abc/", "/abc/: Not a directory");
        check(&cx, "/abc/x", "/abc/x: Not a directory");
    }

    #[test]
    fn parents() {
        let (_dir, cx) = guest();
        #[track_caller]
        fn check(cx: &Ctx, name: &str, expected: &str) {
            let got = cx.parent(&path(name)).map(|(fd, name)| {
                let at = rustix::fs::readlink(cx.proc_fd(&fd), Vec::new()).unwrap();
                let at = at.to_string_lossy().into_owned();
                let root = cx.sysroot().to_str().unwrap();
                format!("{} {name}", at.strip_prefix(root).unwrap())
            });
            assert_eq!(got.unwrap_or_else(|err| err.to_string()), expected);
        }
        check(&cx, "/new", " new");
        check(&cx, "/sub/new", "/sub new");
        check(&cx, "/link-to-sub/new/", "/sub new");
        check(&cx, "/link-to-sub", " link-to-sub");
        check(&cx, "/", " .");
        check(&cx, "/sub/../..", " .");
        check(&cx, "/abc/new", "/abc/new: Not a directory");
        check(&cx, "/abc/", "/abc/: Not a directory");
        check(&cx, "/none/new", "/none/new: No such file or directory");
    }
}
