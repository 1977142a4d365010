// SPDX-License-Identifier: LGPL-2.1-or-later
//! The settings of a handle.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};
use nix::errno::Errno;

use crate::call::text;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::launch::Config;

pub(crate) use crate::handle::get_pid;

/// Memory of the appliance unless `set_memsize` says otherwise.
pub(crate) const MEMSIZE_DEFAULT_MB: i32 = 1280;
const MEMSIZE_MIN_MB: i32 = 256;
const SMP_MAX: i32 = 255;

/// Directories that were set, and those that the environment suggests.
#[derive(Default)]
pub(crate) struct Directories {
    tmpdir: Option<PathBuf>,
    cachedir: Option<PathBuf>,
    environment_tmpdir: Option<PathBuf>,
    environment_runtime_dir: Option<PathBuf>,
}

impl Directories {
    fn tmpdir(&self) -> &Path {
        let set = self.tmpdir.as_deref().or(self.environment_tmpdir.as_deref());
        set.unwrap_or(Path::new("/tmp"))
    }

    fn cachedir(&self) -> &Path {
        let set = self.cachedir.as_deref().or(self.environment_tmpdir.as_deref());
        set.unwrap_or(Path::new("/var/tmp"))
    }

    fn sockdir(&self) -> &Path {
        self.environment_runtime_dir.as_deref().unwrap_or(Path::new("/tmp"))
    }

    /// Writes down for a launch what holds by then.
    pub(crate) fn resolve_into(&self, config: &mut Config) {
        config.tmpdir = self.tmpdir().to_owned();
        config.cachedir = self.cachedir().to_owned();
        config.sockdir = self.sockdir().to_owned();
    }
}

pub(crate) fn get_append(g: &Handle) -> Result<Option<BString>> {
    Ok(g.with(|s| s.config.append.clone()))
}

pub(crate) fn set_append(g: &Handle, append: Option<&[u8]>) -> Result<()> {
    let append = append.map(|it| text("append", it)).transpose()?;
    g.with(|s| s.config.append = append);
    Ok(())
}

pub(crate) fn get_autosync(g: &Handle) -> Result<bool> {
    Ok(g.with(|s| s.autosync))
}

pub(crate) fn set_autosync(g: &Handle, autosync: bool) -> Result<()> {
    g.with(|s| s.autosync = autosync);
    Ok(())
}

pub(crate) fn get_backend(g: &Handle) -> Result<BString> {
    Ok(g.with(|s| s.backend.clone()))
}

pub(crate) fn set_backend(g: &Handle, backend: &[u8]) -> Result<()> {
    let shown = backend.as_bstr();
    match backend {
        // The second is the name it had until 1.21.
        b"direct" | b"appliance" => {}
        _ if backend == b"libvirt" || backend.starts_with(b"libvirt:") => {
            let why = format!("backend: {shown} is not supported; direct is");
            return Err(Error::new(Errno::ENOTSUP as i32, why));
        }
        _ => return Err(Error::invalid("backend", format!("{shown} is not known"))),
    }
    g.with(|s| s.backend = "direct".into());
    Ok(())
}

pub(crate) fn get_attach_method(g: &Handle) -> Result<BString> {
    let backend = get_backend(g)?;
    Ok(if backend == "direct" { "appliance".into() } else { backend })
}

pub(crate) fn set_attach_method(g: &Handle, backend: &[u8]) -> Result<()> {
    set_backend(g, backend)
}

pub(crate) fn get_backend_setting(g: &Handle, name: &[u8]) -> Result<BString> {
    let value = g.with(|s| {
        let found = s.config.backend_settings.iter().find(|it| setting_name(it) == name);
        found.map(|it| it.split_once('=').map_or("1", |(_, value)| value).into())
    });
    value.ok_or_else(|| {
        Error::new(Errno::ESRCH as i32, format!("{}: this setting is not set", name.as_bstr()))
    })
}

pub(crate) fn set_backend_setting(g: &Handle, name: &[u8], val: &[u8]) -> Result<()> {
    let (name, val) = (utf8("name", name)?, utf8("val", val)?);
    if name.is_empty() || name.contains('=') {
        return Err(Error::invalid("name", format!("\"{name}\" cannot name a setting")));
    }
    clear_backend_setting(g, name.as_bytes())?;
    g.with(|s| s.config.backend_settings.push(format!("{name}={val}")));
    Ok(())
}

pub(crate) fn clear_backend_setting(g: &Handle, name: &[u8]) -> Result<i32> {
    g.with(|s| {
        let before = s.config.backend_settings.len();
        s.config.backend_settings.retain(|it| setting_name(it) != name);
        Ok((before - s.config.backend_settings.len()) as i32)
    })
}

pub(crate) fn get_backend_settings(g: &Handle) -> Result<Vec<BString>> {
    Ok(g.with(|s| s.config.backend_settings.iter().map(|it| it.as_str().into()).collect()))
}

pub(crate) fn set_backend_settings(g: &Handle, settings: &[&[u8]]) -> Result<()> {
    let settings: Result<Vec<String>> = settings.iter().map(|it| utf8("settings", it)).collect();
    let settings = settings?;
    g.with(|s| s.config.backend_settings = settings);
    Ok(())
}

/// A setting is `name=value`, or `name` alone for `name=1`.
fn setting_name(setting: &str) -> &[u8] {
    setting.split_once('=').map_or(setting, |(name, _)| name).as_bytes()
}

pub(crate) fn get_cachedir(g: &Handle) -> Result<BString> {
    Ok(g.with(|s| bytes(s.directories.cachedir())))
}

pub(crate) fn set_cachedir(g: &Handle, cachedir: Option<&[u8]>) -> Result<()> {
    let cachedir = cachedir.map(directory).transpose()?;
    g.with(|s| s.directories.cachedir = cachedir);
    Ok(())
}

pub(crate) fn get_tmpdir(g: &Handle) -> Result<BString> {
    Ok(g.with(|s| bytes(s.directories.tmpdir())))
}

pub(crate) fn set_tmpdir(g: &Handle, tmpdir: Option<&[u8]>) -> Result<()> {
    let tmpdir = tmpdir.map(directory).transpose()?;
    g.with(|s| s.directories.tmpdir = tmpdir);
    Ok(())
}

pub(crate) fn get_sockdir(g: &Handle) -> Result<BString> {
    Ok(g.with(|s| bytes(s.directories.sockdir())))
}

/// `TMPDIR` is for every program; one that is no directory is passed over.
pub(crate) fn set_environment_tmpdir(g: &Handle, value: &BStr) -> Result<()> {
    g.with(|s| s.directories.environment_tmpdir = directory(value).ok());
    Ok(())
}

/// `XDG_RUNTIME_DIR` is often another user's after su; see above.
pub(crate) fn set_environment_runtime_dir(g: &Handle, value: &BStr) -> Result<()> {
    g.with(|s| s.directories.environment_runtime_dir = directory(value).ok());
    Ok(())
}

/// `TERM` is passed on to the shells of the appliance.
pub(crate) fn get_direct(g: &Handle) -> Result<bool> {
    Ok(g.with(|s| s.direct))
}

pub(crate) fn set_direct(g: &Handle, direct: bool) -> Result<()> {
    g.with(|s| s.direct = direct);
    Ok(())
}

pub(crate) fn get_hv(g: &Handle) -> Result<BString> {
    let set = g.with(|s| s.config.hv.clone());
    Ok(set.as_deref().map_or_else(|| bytes(&crate::launch::default_hv()), bytes))
}

pub(crate) fn set_hv(g: &Handle, hv: &[u8]) -> Result<()> {
    let hv = text("hv", hv)?;
    g.with(|s| s.config.hv = Some(PathBuf::from(OsStr::from_bytes(&hv))));
    Ok(())
}

pub(crate) fn get_qemu(g: &Handle) -> Result<BString> {
    get_hv(g)
}

pub(crate) fn set_qemu(g: &Handle, hv: Option<&[u8]>) -> Result<()> {
    match hv {
        Some(hv) => set_hv(g, hv)?,
        None => g.with(|s| s.config.hv = None),
    }
    Ok(())
}

pub(crate) fn get_identifier(g: &Handle) -> Result<BString> {
    Ok(g.with(|s| s.config.identifier.as_str().into()))
}

pub(crate) fn set_identifier(g: &Handle, identifier: &[u8]) -> Result<()> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !identifier.iter().all(allowed) {
        let why =
            format!("{} has other characters than a-z, A-Z, 0-9, - and _", identifier.as_bstr());
        return Err(Error::invalid("identifier", why));
    }
    let identifier = utf8("identifier", identifier)?;
    g.with(|s| s.config.identifier = identifier);
    Ok(())
}

pub(crate) fn get_memsize(g: &Handle) -> Result<i32> {
    Ok(g.with(|s| s.config.memsize_mb))
}

pub(crate) fn set_memsize(g: &Handle, memsize: i32) -> Result<()> {
    if memsize < MEMSIZE_MIN_MB {
        let why = format!("{memsize} is less than {MEMSIZE_MIN_MB}, the least that works");
        return Err(Error::invalid("memsize", why));
    }
    g.with(|s| s.config.memsize_mb = memsize);
    Ok(())
}

pub(crate) fn get_network(g: &Handle) -> Result<bool> {
    Ok(g.with(|s| s.config.network))
}

pub(crate) fn set_network(g: &Handle, network: bool) -> Result<()> {
    g.with(|s| s.config.network = network);
    Ok(())
}

pub(crate) fn get_path(g: &Handle) -> Result<BString> {
    Ok(g.with(|s| s.config.path.as_str().into()))
}

pub(crate) fn set_path(g: &Handle, searchpath: Option<&[u8]>) -> Result<()> {
    let path = match searchpath {
        Some(path) => utf8("searchpath", path)?,
        None => crate::launch::default_path(),
    };
    g.with(|s| s.config.path = path);
    Ok(())
}

pub(crate) fn get_pgroup(g: &Handle) -> Result<bool> {
    Ok(g.with(|s| s.config.pgroup))
}

pub(crate) fn set_pgroup(g: &Handle, pgroup: bool) -> Result<()> {
    g.with(|s| s.config.pgroup = pgroup);
    Ok(())
}

pub(crate) fn get_program(g: &Handle) -> Result<BString> {
    Ok(g.with(|s| s.program.clone()))
}

pub(crate) fn set_program(g: &Handle, program: &[u8]) -> Result<()> {
    let program = text("program", program)?;
    g.with(|s| s.program = program);
    Ok(())
}

pub(crate) fn get_recovery_proc(g: &Handle) -> Result<bool> {
    Ok(g.with(|s| s.config.recovery_proc))
}

pub(crate) fn set_recovery_proc(g: &Handle, recoveryproc: bool) -> Result<()> {
    g.with(|s| s.config.recovery_proc = recoveryproc);
    Ok(())
}

pub(crate) fn get_selinux(g: &Handle) -> Result<bool> {
    Ok(g.with(|s| s.config.selinux))
}

pub(crate) fn set_selinux(g: &Handle, selinux: bool) -> Result<()> {
    g.with(|s| s.config.selinux = selinux);
    Ok(())
}

pub(crate) fn get_smp(g: &Handle) -> Result<i32> {
    Ok(g.with(|s| s.config.smp))
}

pub(crate) fn set_smp(g: &Handle, smp: i32) -> Result<()> {
    if !(1..=SMP_MAX).contains(&smp) {
        return Err(Error::invalid("smp", format!("{smp} is not from 1 to {SMP_MAX}")));
    }
    g.with(|s| s.config.smp = smp);
    Ok(())
}

pub(crate) fn get_trace(g: &Handle) -> Result<bool> {
    Ok(g.with(|s| s.trace))
}

pub(crate) fn set_trace(g: &Handle, trace: bool) -> Result<()> {
    g.with(|s| s.trace = trace);
    Ok(())
}

pub(crate) fn get_verbose(g: &Handle) -> Result<bool> {
    Ok(g.with(|s| s.config.verbose))
}

pub(crate) fn set_verbose(g: &Handle, verbose: bool) -> Result<()> {
    g.with(|s| s.config.verbose = verbose);
    Ok(())
}

/// An existing directory, absolute, so that it stays the same when the program changes its own.
fn directory(path: &[u8]) -> Result<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path));
    let absolute = path.canonicalize().map_err(|err| Error::io(&err, path.display()))?;
    match absolute.is_dir() {
        true => Ok(absolute),
        false => Err(Error::system(Errno::ENOTDIR, path.display())),
    }
}

fn bytes(path: &Path) -> BString {
    path.as_os_str().as_bytes().into()
}

/// What the library itself reads must be text.
fn utf8(argument: &str, value: &[u8]) -> Result<String> {
    String::from_utf8(text(argument, value)?.into())
        .map_err(|_| Error::invalid(argument, format!("{} is not UTF-8", value.as_bstr())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(result: Result<()>, expected: &str) {
        let got = result.err().map_or_else(|| "ok".to_owned(), |err| err.to_string());
        assert_eq!(got, expected);
    }

    #[test]
    fn ranges() {
        let g = &Handle::detached();
        check(set_memsize(g, 256), "ok");
        check(set_memsize(g, 255), "memsize: 255 is less than 256, the least that works");
        check(set_smp(g, 4), "ok");
        check(set_smp(g, 0), "smp: 0 is not from 1 to 255");
        check(set_smp(g, 256), "smp: 256 is not from 1 to 255");
        check(set_identifier(g, b"web-1_A"), "ok");
        check(
            set_identifier(g, b"a b"),
            "identifier: a b has other characters than a-z, A-Z, 0-9, - and _",
        );
        check(set_backend(g, b"appliance"), "ok");
        check(set_backend(g, b"uml"), "backend: uml is not known");
        check(
            set_backend(g, b"libvirt:qemu:///session"),
            "backend: libvirt:qemu:///session is not supported; direct is",
        );
        check(set_append(g, Some(b"a\0")), "append: contains a NUL byte");
        check(set_tmpdir(g, Some(b"/dev/null")), "/dev/null: Not a directory");
        check(set_path(g, Some(b"\xff")), "searchpath: \u{fffd} is not UTF-8");
        assert_eq!((get_memsize(g), get_smp(g)), (Ok(256), Ok(4)));
    }

    #[test]
    fn backend_settings() {
        let g = &Handle::detached();
        check(set_backend_settings(g, &[b"force_tcg", b"gdb=0", b"gdb=1"]), "ok");
        assert_eq!(get_backend_setting(g, b"force_tcg").unwrap(), "1");
        assert_eq!(get_backend_setting(g, b"gdb").unwrap(), "0");
        check(get_backend_setting(g, b"x").map(drop), "x: this setting is not set");
        check(set_backend_setting(g, b"gdb", b"a=b"), "ok");
        assert_eq!(get_backend_settings(g).unwrap(), ["force_tcg", "gdb=a=b"]);
        assert_eq!(get_backend_setting(g, b"gdb").unwrap(), "a=b");
        assert_eq!(clear_backend_setting(g, b"gdb"), Ok(1));
        assert_eq!(clear_backend_setting(g, b"gdb"), Ok(0));
        check(set_backend_setting(g, b"a=b", b""), "name: \"a=b\" cannot name a setting");
    }
}
