// SPDX-License-Identifier: LGPL-2.1-or-later
//! Makes the tree of the root image out of unpacked packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::elf::Elf;
use crate::modules::Modules;
use crate::packages::Package;
use crate::pattern::Patterns;
use crate::{host, inputs, stub};

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Libraries that are opened at run time, so that no program names them.
const OPENED_LATER: &[&str] =
    &["libaugeas.so", "libgcc_s.so", "libnss_dns.so", "libnss_files.so", "libsystemd.so"];

/// The program that opens some of them.
const HELPER: &str = "usr/bin/guestfs-helper";

/// An unpacked tree.
pub(crate) struct Tree {
    path: PathBuf,
    /// Release of its kernel, such as `6.1.0-10-amd64`.
    release: String,
}

impl Tree {
    /// Unpacks the packages into a new directory.
    pub(crate) fn unpack(path: PathBuf, packages: &[Package]) -> Result<Self> {
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        // Libraries are compared by the names that links lead to.
        let path = path.canonicalize()?;
        // Packages still have files in /bin that belong into /usr/bin.
        for name in ["bin", "sbin", "lib", "lib64"] {
            create_directory(&path, &format!("usr/{name}"))?;
            symlink(format!("usr/{name}"), path.join(name))?;
        }
        for package in packages {
            let mut from = host::command("dpkg-deb");
            from.arg("--fsys-tarfile").arg(&package.file);
            let mut to = host::command("tar");
            to.args(["-x", "-p", "--no-same-owner", "--keep-directory-symlink", "-C"]).arg(&path);
            host::pipe(&mut from, &mut to).with_context(|| package.file.display().to_string())?;
        }
        let release = names(&path.join("boot"))?
            .into_iter()
            .find_map(|it| it.strip_prefix("vmlinuz-").map(str::to_owned))
            .context("no package has a kernel")?;
        Ok(Self { path, release })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn release(&self) -> &str {
        &self.release
    }

    /// The kernel as it was packaged.
    pub(crate) fn bzimage(&self) -> Result<Vec<u8>> {
        let path = self.path.join(format!("boot/vmlinuz-{}", self.release));
        fs::read(&path).with_context(|| path.display().to_string())
    }

    /// The modules of the kernel.
    pub(crate) fn modules(&self) -> Result<Modules> {
        self.depmod()?;
        let read = |name: &str| {
            let path = self.modules_path().join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        Ok(Modules::parse(&read("modules.dep")?, &read("modules.builtin")?))
    }

    /// The content of a module, unpacked.
    pub(crate) fn module(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.modules_path().join(path);
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        match file.extension().and_then(|it| it.to_str()) {
            Some("xz") => host::filter(host::command("xz").arg("-dc"), &bytes),
            Some("zst") => host::filter(host::command("zstd").arg("-dc"), &bytes),
            Some("gz") => host::filter(host::command("gzip").arg("-dc"), &bytes),
            _ => Ok(bytes),
        }
    }

    /// Removes what the appliance has no use for, and adds the files of this project.
    pub(crate) fn finish(&self, modules: &Modules, helper: &Path) -> Result<()> {
        self.prune_modules(modules)?;
        let prune = Patterns::parse(inputs::PRUNE);
        remove_chosen(&self.path, "", &prune)?;
        for name in inputs::DIRECTORIES {
            create_directory(&self.path, name)?;
        }
        for (name, content) in inputs::FILES {
            if let Some((directory, _)) = name.rsplit_once('/') {
                create_directory(&self.path, directory)?;
            }
            let path = self.path.join(name);
            fs::write(&path, content).with_context(|| path.display().to_string())?;
            fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        }
        for (name, target) in inputs::LINKS {
            let path = self.path.join(name);
            match fs::remove_file(&path) {
                Err(err) if err.kind() != ErrorKind::NotFound => return Err(err.into()),
                _ => symlink(target, &path).with_context(|| path.display().to_string())?,
            }
        }
        fs::copy(helper, self.path.join(HELPER)).with_context(|| helper.display().to_string())?;
        let stub = self.path.join(LIBRARIES).join(stub::LIBXML2);
        fs::write(
            &stub,
            stub::library(stub::LIBXML2, stub::LIBXML2_VERSION, stub::LIBXML2_SYMBOLS),
        )
        .with_context(|| stub.display().to_string())?;
        self.prune_libraries()?;
        host::run(host::command(&self.program("usr/sbin/ldconfig")?).arg("-r").arg(&self.path))?;
        normalize_modes(&self.path)?;
        // It is linked against the host's C library, which may be newer than the appliance's.
        self.run("guestfs-helper", HELPER, |it| it.arg("check"))
    }

    fn prune_modules(&self, modules: &Modules) -> Result<()> {
        let wanted = Patterns::parse(inputs::MODULES);
        let wanted = modules
            .choose(|path| path.strip_prefix("kernel/").is_some_and(|it| wanted.choose(it)))?;
        let directory = self.modules_path();
        for file in files(&directory)? {
            if file.starts_with("kernel/") && !wanted.contains(&file) {
                fs::remove_file(directory.join(&file))?;
            }
        }
        remove_empty(&directory.join("kernel"))?;
        self.depmod()?;
        // The text forms are for people; kmod reads the binary ones.
        for name in
            ["modules.alias", "modules.symbols", "modules.symbols.bin", "modules.builtin.modinfo"]
        {
            fs::remove_file(directory.join(name)).with_context(|| name.to_owned())?;
        }
        Ok(())
    }

    /// Removes libraries that no program needs; a program that lacks one is an error.
    fn prune_libraries(&self) -> Result<()> {
        let directory = self.path.join(LIBRARIES);
        // What a program asks for, and the file that it gets.
        let mut libraries = BTreeMap::new();
        for name in names(&directory)? {
            let path = directory.join(&name);
            if name.contains(".so")
                && let Ok(file) = path.canonicalize()
                && file.is_file()
            {
                libraries.insert(name, file);
            }
        }
        let files_of_libraries: BTreeSet<_> = libraries.values().cloned().collect();
        let mut open = Vec::new();
        for file in files(&self.path)? {
            let path = self.path.join(&file);
            if !file.starts_with("usr/lib/modules/") && !files_of_libraries.contains(&path) {
                open.extend(needed(&path)?.into_iter().map(|it| (file.clone(), it)));
            }
        }
        for name in
            libraries.keys().filter(|it| OPENED_LATER.iter().any(|opened| it.starts_with(opened)))
        {
            open.push((String::new(), name.clone()));
        }
        let mut kept = BTreeSet::new();
        let mut missing = BTreeSet::new();
        while let Some((user, name)) = open.pop() {
            let Some(path) = libraries.get(&name) else {
                missing.insert(format!("{user}: needs {name}"));
                continue;
            };
            if kept.insert(path.clone()) {
                open.extend(needed(path)?.into_iter().map(|it| (name.clone(), it)));
            }
        }
        if !missing.is_empty() {
            let missing: Vec<_> = missing.into_iter().collect();
            bail!("{}; no package has it, or `prune` removes it", missing.join(", "));
        }
        for (name, file) in &libraries {
            if !kept.contains(file) {
                fs::remove_file(directory.join(name))?;
            }
        }
        Ok(())
    }

    fn modules_path(&self) -> PathBuf {
        self.path.join("usr/lib/modules").join(&self.release)
    }

    /// Runs depmod of the tree itself, as the host need not have one.
    fn depmod(&self) -> Result<()> {
        self.run("depmod", "usr/bin/kmod", |it| it.arg("-b").arg(&self.path).arg(&self.release))
    }

    /// Runs a program of the tree with the libraries of the tree.
    fn run(
        &self,
        name: &str,
        program: &str,
        arguments: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Result<()> {
        let linker = self.program(&format!("{LIBRARIES}/ld-linux-x86-64.so.2"))?;
        let mut command = host::command(&linker);
        command
            .arg("--library-path")
            .arg(self.path.join(LIBRARIES))
            .args(["--argv0", name])
            .arg(self.path.join(program));
        host::run(arguments(&mut command)).with_context(|| name.to_owned())?;
        Ok(())
    }

    fn program(&self, name: &str) -> Result<String> {
        let path = self.path.join(name).into_os_string();
        path.into_string().ok().context("the name of the directory is not UTF-8")
    }
}

/// What an ELF file is linked against; nothing for other files.
fn needed(path: &Path) -> Result<Vec<String>> {
    let mut file = fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut bytes = Vec::new();
    (&mut file).take(4).read_to_end(&mut bytes)?;
    if bytes != b"\x7fELF" {
        return Ok(vec![]);
    }
    file.read_to_end(&mut bytes)?;
    Elf::parse(&bytes).and_then(|it| it.needed()).with_context(|| path.display().to_string())
}

/// Removes everything below `directory` whose path (`prefix` in front) is chosen.
fn remove_chosen(directory: &Path, prefix: &str, chosen: &Patterns) -> Result<()> {
    for name in names(directory)? {
        let path = directory.join(&name);
        let relative = format!("{prefix}{name}");
        let is_directory = path.symlink_metadata()?.is_dir();
        if chosen.choose(&relative) {
            let removed =
                if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| path.display().to_string())?;
        } else if is_directory {
            remove_chosen(&path, &format!("{relative}/"), chosen)?;
        }
    }
    Ok(())
}

/// Removes directories that have nothing in them.
fn remove_empty(directory: &Path) -> Result<()> {
    for name in names(directory)? {
        let path = directory.join(name);
        if path.symlink_metadata()?.is_dir() {
            remove_empty(&path)?;
        }
    }
    if names(directory)?.is_empty() {
        fs::remove_dir(directory)?;
    }
    Ok(())
}

/// Paths of the regular files below a directory, relative to it.
fn files(directory: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in names(directory)? {
        let path = directory.join(&name);
        let metadata = path.symlink_metadata()?;
        if metadata.is_dir() {
            found.extend(files(&path)?.into_iter().map(|it| format!("{name}/{it}")));
        } else if metadata.is_file() {
            found.push(name);
        }
    }
    Ok(found)
}

/// Names of the entries of a directory, sorted.
fn names(directory: &Path) -> Result<Vec<String>> {
    let read = || -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            match entry?.file_name().into_string() {
                Ok(name) => names.push(name),
                Err(name) => bail!("{}: name is not UTF-8", name.display()),
            }
        }
        names.sort();
        Ok(names)
    };
    read().with_context(|| directory.display().to_string())
}

/// Gives everything below a directory a mode that neither packages nor the umask differ in.
fn normalize_modes(directory: &Path) -> Result<()> {
    for name in names(directory)? {
        let path = directory.join(name);
        let metadata = path.symlink_metadata()?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        if metadata.is_dir() {
            normalize_modes(&path)?;
        }
        if !metadata.is_symlink() {
            let mode = if executable { 0o755 } else { 0o644 };
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Makes a directory and those above it, whatever the umask is.
fn create_directory(root: &Path, name: &str) -> Result<()> {
    let mut path = root.to_owned();
    for part in name.split('/') {
        path.push(part);
        match fs::create_dir(&path) {
            Ok(()) => fs::set_permissions(&path, Permissions::from_mode(0o755))?,
            Err(err) if err.kind() == ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err).with_context(|| path.display().to_string()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruning() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["etc/lvm", "usr/share/doc/acl", "usr/bin", "empty/empty"] {
            create_directory(directory.path(), name).unwrap();
        }
        for name in
            ["etc/magic", "etc/motd", "etc/lvm/lvm.conf", "usr/share/doc/acl/README", "usr/bin/ls"]
        {
            fs::write(directory.path().join(name), "").unwrap();
        }
        symlink("/nowhere", directory.path().join("etc/link")).unwrap();
        let chosen = Patterns::parse("etc/*\n!etc/magic\nusr/share/doc");
        remove_chosen(directory.path(), "", &chosen).unwrap();
        assert_eq!(files(directory.path()).unwrap(), ["etc/magic", "usr/bin/ls"]);
        remove_empty(directory.path()).unwrap();
        assert_eq!(names(directory.path()).unwrap(), ["etc", "usr"]);
        assert_eq!(names(&directory.path().join("usr")).unwrap(), ["bin"]);
    }
}
