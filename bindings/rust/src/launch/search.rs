// SPDX-License-Identifier: LGPL-2.1-or-later
//! Where the appliance and qemu are.

use std::env;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{Access, access};

use super::arch::{self, Arch};
use crate::error::{Error, Result};

/// The three files of an appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    pub root: PathBuf,
}

impl Files {
    /// The file that is called so in its directory.
    pub(super) fn named(&self, name: &str) -> Option<&Path> {
        let mut files = [&self.kernel, &self.initrd, &self.root].into_iter();
        files.find(|it| it.ends_with(name)).map(PathBuf::as_path)
    }
}

/// Below a library directory.
const SUBDIRECTORY: &str = "guestfs";

/// Library directories, as seen from the place of this library or of the program it is linked into,
/// before that of the architecture.
const NEARBY: [&str; 2] = ["", "../lib"];

/// Where packages of the usual distributions put it.
const SYSTEM: [&str; 3] = ["/usr/local/lib", "/usr/lib", "/usr/lib64"];

/// Directories in which the appliance is looked for unless the caller says otherwise, separated
/// by colons.
pub(crate) fn default_path() -> String {
    let here = own_file().or_else(|| env::current_exe().ok());
    let here = here.as_deref().and_then(Path::parent);
    let multiarch = |lib: &str| format!("{lib}/{}", arch::HOST.multiarch);
    let nearby = NEARBY.map(str::to_owned).into_iter().chain([multiarch("../lib")]);
    let nearby = nearby.filter_map(|it| Some(resolve(here?, &it)));
    let nearby = nearby.chain(here.and_then(around_python));
    let system = SYSTEM.map(PathBuf::from).into_iter().chain([multiarch("/usr/lib").into()]);
    let mut directories = Vec::new();
    for directory in nearby.chain(system) {
        let directory = directory.join(SUBDIRECTORY).to_string_lossy().into_owned();
        // The separator can't be part of a directory.
        if !directory.contains(':') && !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    directories.join(":")
}

/// The qemu that is used unless the caller says otherwise.
pub(crate) fn default_hv() -> PathBuf {
    let Arch { programs, hidden, .. } = arch::HOST;
    let in_path = programs.iter().find_map(|it| in_search_path(OsStr::new(it)));
    let hidden = || hidden.iter().map(PathBuf::from).find(|it| is_program(it));
    in_path.or_else(hidden).unwrap_or_else(|| PathBuf::from(programs[0]))
}

/// The program `hv`, which like a command of the shell may leave out its directory.
pub(super) fn hypervisor(hv: Option<&Path>) -> Result<PathBuf> {
    const REMEDY: &str = "install qemu-system-x86, or name another qemu with LIBGUESTFS_HV";
    let hv = hv.map_or_else(default_hv, Path::to_owned);
    let found = if hv.as_os_str().as_bytes().contains(&b'/') {
        std::path::absolute(&hv).ok().filter(|it| it.exists())
    } else {
        in_search_path(hv.as_os_str())
    };
    let name = hv.display();
    match found {
        None => Err(Error::new(Errno::ENOENT as i32, format!("{name}: not found; {REMEDY}"))),
        Some(it) if !is_program(&it) => {
            Err(Error::new(Errno::EACCES as i32, format!("{name}: not a program; {REMEDY}")))
        }
        Some(it) => Ok(it),
    }
}

/// The first directory of `path` that holds an appliance.
pub(super) fn appliance(path: &str) -> Result<Files> {
    let mut tried = Vec::new();
    for directory in path.split(':') {
        // As everywhere: an empty entry is the current directory.
        let directory = Path::new(if directory.is_empty() { "." } else { directory });
        let file = |name| std::path::absolute(directory.join(name)).ok();
        let (Some(kernel), Some(initrd), Some(root)) =
            (file("kernel"), file("initrd"), file("root"))
        else {
            continue;
        };
        let files = [("kernel", &kernel), ("initrd", &initrd), ("root", &root)];
        let unreadable = |(_, file): &(_, &PathBuf)| access(*file, Access::READ_OK).is_err();
        let is_there = |(_, file): &(_, &PathBuf)| access(*file, Access::EXISTS).is_ok();
        let names = |files: &mut dyn Iterator<Item = (&'static str, &PathBuf)>| {
            files.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
        };
        let missing = names(&mut files.into_iter().filter(|it| !is_there(it)));
        let closed = names(&mut files.into_iter().filter(|it| is_there(it) && unreadable(it)));
        let directory = directory.display();
        match (missing.as_str(), closed.as_str()) {
            ("", "") => return Ok(Files { kernel, initrd, root }),
            ("kernel, initrd, root", _) => tried.push(directory.to_string()),
            ("", closed) => tried.push(format!("{directory} (unreadable: {closed})")),
            (missing, _) => tried.push(format!("{directory} (without {missing})")),
        }
    }
    let message = format!(
        "no appliance found in {}; build one with guestfs-appliance, and name its directory with \
         LIBGUESTFS_PATH if it is none of these",
        tried.join(", ")
    );
    Err(Error::new(Errno::ENOENT as i32, message))
}

fn in_search_path(name: &OsStr) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|it| it.join(name)).find(|it| is_program(it))
}

fn is_program(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

/// `from/relative` without dots.
fn resolve(from: &Path, relative: &str) -> PathBuf {
    relative.split('/').filter(|it| !it.is_empty()).fold(from.to_owned(), |mut path, it| {
        if it == ".." {
            path.pop();
        } else {
            path.push(it);
        }
        path
    })
}

/// The library directory that `lib/python3.13/dist-packages/guestfs` is below.
fn around_python(module: &Path) -> Option<PathBuf> {
    let packages = module.parent()?;
    let python = packages.parent()?;
    let is_module = packages.file_name()?.to_str()?.ends_with("-packages")
        && python.file_name()?.to_str()?.starts_with("python3");
    is_module.then(|| python.parent().map(Path::to_owned)).flatten()
}

/// The file this code was loaded from: the shared library, or the program itself.
#[expect(unsafe_code, reason = "only the dynamic linker knows")]
fn own_file() -> Option<PathBuf> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is that of a function of this library, and `info` has room.
    let found = unsafe { libc::dladdr(default_path as *const libc::c_void, info.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: zeroed is a valid Dl_info, and dladdr has succeeded.
    let name = unsafe { info.assume_init() }.dli_fname;
    if name.is_null() {
        return None;
    }
    // SAFETY: the linker's own string, which stays while the library is loaded.
    let name = unsafe { CStr::from_ptr(name) };
    // The name of a program is argv[0], which isn't always a path.
    Path::new(OsStr::from_bytes(name.to_bytes())).canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn search() {
        let top = tempfile::tempdir().unwrap();
        let dir = |name: &str, files: &[&str]| {
            let dir = top.path().join(name);
            fs::create_dir(&dir).unwrap();
            files.iter().for_each(|it| fs::write(dir.join(it), "").unwrap());
            dir.display().to_string()
        };
        let (empty, part) = (dir("empty", &[]), dir("part", &["kernel", "initrd"]));
        let whole = dir("whole", &["kernel", "initrd", "root"]);
        let found = appliance(&format!("{empty}:{part}:{whole}")).unwrap();
        assert_eq!(found.root, Path::new(&whole).join("root"));
        let error = appliance(&format!("{empty}:{part}")).unwrap_err();
        assert_eq!(
            error.message(),
            format!(
                "no appliance found in {empty}, {part} (without root); build one with \
                 guestfs-appliance, and name its directory with LIBGUESTFS_PATH if it is none of \
                 these"
            )
        );
    }

    #[track_caller]
    fn check_hv(hv: &str, expected: &str) {
        let found = hypervisor(Some(Path::new(hv)));
        let text = found.map_or_else(|it| it.message().to_owned(), |it| it.display().to_string());
        assert_eq!(text.split("; ").next(), Some(expected));
    }

    #[test]
    fn hypervisors() {
        check_hv("/bin/sh", "/bin/sh");
        check_hv("/no/such/qemu", "/no/such/qemu: not found");
        check_hv("no-such-qemu", "no-such-qemu: not found");
        check_hv("/etc/passwd", "/etc/passwd: not a program");
        check_hv("/etc", "/etc: not a program");
    }

    #[test]
    fn default_directories() {
        let path = default_path();
        let own = env::current_exe().unwrap().parent().unwrap().join("guestfs");
        assert!(path.starts_with(&format!("{}:", own.display())), "{path}");
        assert!(path.contains("/usr/lib/guestfs") && !path.contains(".."), "{path}");
    }

    #[test]
    fn python_modules() {
        let check = |module, expected: Option<&str>| {
            assert_eq!(around_python(Path::new(module)).as_deref(), expected.map(Path::new));
        };
        check("/opt/x/lib/python3.13/dist-packages/guestfs", Some("/opt/x/lib"));
        check("/home/me/venv/lib/python3.9/site-packages/guestfs", Some("/home/me/venv/lib"));
        check("/usr/lib/python3/dist-packages/guestfs", Some("/usr/lib"));
        check("/tmp/a/b/guestfs", None);
        check("/", None);
    }

    #[test]
    fn resolved() {
        assert_eq!(resolve(Path::new("/usr/bin"), "../lib"), Path::new("/usr/lib"));
        assert_eq!(resolve(Path::new("/opt/x"), ""), Path::new("/opt/x"));
    }
}
