// SPDX-License-Identifier: LGPL-2.1-or-later
//! Packs the files of the appliance and puts them into place, all or none.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::cpio::{self, Entry};
use crate::elf::{self, Elf};
use crate::modules::Modules;
use crate::packages::{self, Package};
use crate::root::Tree;
use crate::{host, inputs, kernel};

/// The same for every appliance, so that equal content is an equal file.  Its bytes 53 ef are where
/// ext2 has its magic number: libguestfs's library takes no other image, and guestfsd knows this
/// one by them.
const ROOT_UUID: &str = "67756573-7466-7300-53ef-000000000001";

/// The files, in the order in which they are listed.
const FILES: &[&str] = &["kernel", "initrd", "root", "README.fixed"];

pub(crate) struct Build {
    pub(crate) output: PathBuf,
    pub(crate) guestfsd: PathBuf,
    pub(crate) helper: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) update: bool,
    pub(crate) verbose: bool,
}

impl Build {
    pub(crate) fn run(&self, verify: bool) -> Result<()> {
        let guestfsd = read_daemon(&self.guestfsd)?;
        let _lock = self.lock_cache()?;
        let packages = packages::fetch(&self.cache, self.update, |it| self.say(it))?;
        let stage = self.stage()?;
        let made = self.make("tree", stage.path(), &packages, &guestfsd)?;
        if verify {
            let again = self.stage()?;
            same(&made, &self.make("another", again.path(), &packages, &guestfsd)?)?;
        }
        publish(&made, &self.output)?;
        print!("{}", sizes(&self.output)?);
        Ok(())
    }

    /// Makes the files in a directory inside `stage`, out of a tree of that name in the cache.
    fn make(
        &self,
        tree: &str,
        stage: &Path,
        packages: &[Package],
        guestfsd: &[u8],
    ) -> Result<PathBuf> {
        self.say("unpacking");
        let tree = self.cache.join(tree);
        // Left by a build that was interrupted.
        remove_tree(&tree)?;
        let tree = Tree::unpack(tree, packages)?;
        let output = stage.join("appliance");
        fs::create_dir(&output)?;
        fs::set_permissions(&output, Permissions::from_mode(0o755))?;
        self.say(&format!("kernel {}", tree.release()));
        let vmlinux = kernel::vmlinux(&tree.bzimage()?)
            .with_context(|| format!("vmlinuz-{}", tree.release()))?;
        write(&output.join("kernel"), &vmlinux)?;
        let modules = tree.modules()?;
        self.say("initrd");
        write(&output.join("initrd"), &initrd(&tree, &modules, guestfsd)?)?;
        self.say("root");
        tree.finish(&modules, &self.helper)?;
        pack_root(tree.path(), &output.join("root"))?;
        write(&output.join("README.fixed"), readme(tree.release()).as_bytes())?;
        write(&output.join("manifest"), manifest(&output, packages)?.as_bytes())?;
        remove_tree(tree.path())?;
        Ok(output)
    }

    /// Builds that share a cache wait for each other, until the lock is dropped.
    fn lock_cache(&self) -> Result<File> {
        let about = || self.cache.display().to_string();
        fs::create_dir_all(&self.cache).with_context(about)?;
        let lock = File::create(self.cache.join("building")).with_context(about)?;
        lock.lock().with_context(about)?;
        Ok(lock)
    }

    /// A directory beside the output, so that it can be renamed.
    fn stage(&self) -> Result<tempfile::TempDir> {
        let beside = beside(&self.output)?;
        fs::create_dir_all(beside).with_context(|| beside.display().to_string())?;
        tempfile::Builder::new()
            .prefix(".appliance-")
            .tempdir_in(beside)
            .with_context(|| beside.display().to_string())
    }

    fn say(&self, what: &str) {
        if self.verbose {
            eprintln!("guestfs-appliance: {what}");
        }
    }
}

/// Puts another daemon into the initrd of a finished appliance.
pub(crate) fn replace_daemon(output: &Path, guestfsd: &Path) -> Result<()> {
    let guestfsd = read_daemon(guestfsd)?;
    let path = output.join("initrd");
    let about = || path.display().to_string();
    let old = fs::read(&path).with_context(about)?;
    let mut entries = cpio::read(&old).with_context(about)?;
    entries.retain(|it| it.name != "init");
    entries.push(Entry::program("init", guestfsd));
    replace(&path, &cpio::write(entries)?)?;
    let path = output.join("manifest");
    let manifest = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let packages = manifest.split(SUMS).next().unwrap_or_default();
    replace(&path, format!("{packages}{SUMS}{}", sums(output)?).as_bytes())
}

/// The daemon becomes process 1 of an initrd that has no libraries.
fn read_daemon(path: &Path) -> Result<Vec<u8>> {
    let about = || path.display().to_string();
    let bytes = fs::read(path).with_context(about)?;
    let segments = Elf::parse(&bytes).and_then(|it| it.segments()).with_context(about)?;
    if segments.iter().any(|it| it.kind == elf::INTERPRETER) {
        bail!(
            "{}: not statically linked; build it with `cargo rustc -p guestfsd --release --bin \
             guestfsd -- -C target-feature=+crt-static`",
            path.display()
        );
    }
    Ok(bytes)
}

/// The initrd: guestfsd and what it inserts to reach the root.
fn initrd(tree: &Tree, modules: &Modules, guestfsd: &[u8]) -> Result<Vec<u8>> {
    let mut entries: Vec<_> =
        ["dev", "modules", "proc", "root", "sys"].into_iter().map(Entry::directory).collect();
    entries.push(Entry::program("init", guestfsd.to_vec()));
    let mut order = String::new();
    for path in modules.closure(inputs::lines(inputs::INITRD))? {
        let name = path.rsplit('/').next().unwrap_or(&path);
        let name = name.split_once(".ko").map_or(name, |(name, _)| name);
        writeln!(order, "{name}.ko")?;
        entries.push(Entry::file(format!("modules/{name}.ko"), tree.module(&path)?));
    }
    entries.push(Entry::file("modules/order", order.into_bytes()));
    cpio::write(entries)
}

/// Packs the tree.  Measured without KVM, starting some tools and reading all of /usr/bin:
///
/// | image | MB | seconds |
/// |---|---|---|
/// | EROFS, lz4hc, 64 KiB clusters | 42 | 1.0 to 1.2 |
/// | EROFS, lz4hc, 16 KiB clusters | 44 | 1.1 to 1.6 |
/// | EROFS, not compressed | 100 | 1.1 to 1.5 |
/// | squashfs, lz4hc | 40 | 1.2 to 1.8 |
/// | squashfs, zstd | 30 | 1.6 to 2.2 |
/// | squashfs, gzip | 33 | 1.8 to 2.7 |
fn pack_root(tree: &Path, image: &Path) -> Result<()> {
    host::run(
        host::command("mkfs.erofs")
            .args([
                "--quiet",
                "-zlz4hc,12",
                "-C65536",
                "-T0",
                "-U",
                ROOT_UUID,
                "--all-root",
                "-x-1",
            ])
            .arg(image)
            .arg(tree),
    )?;
    Ok(())
}

fn readme(release: &str) -> String {
    format!(
        "This is a libguestfs \"fixed appliance\": the small virtual machine in which guestfs\n\
         opens disk images.  To use it, set LIBGUESTFS_PATH to the directory with these files.\n\
         \n\
         kernel    Linux {release} of Debian, as an ELF file with a PVH entry point\n\
         initrd    guestfsd, and the kernel modules which it inserts to reach the root\n\
         root      the filesystem with the tools, EROFS, read-only\n\
         manifest  packages and versions it was made of, and checksums\n\
         \n\
         guestfs {version} made it with guestfs-appliance.  Licenses and sources are those of the\n\
         Debian packages in the manifest.\n",
        version = env!("CARGO_PKG_VERSION")
    )
}

const SUMS: &str = "\n# SHA-256 and bytes of the files.\n";

fn manifest(output: &Path, packages: &[Package]) -> Result<String> {
    let mut text = "# Debian packages, versions and architectures.\n".to_owned();
    for Package { name, version, architecture, .. } in packages {
        writeln!(text, "{name} {version} {architecture}")?;
    }
    Ok(format!("{text}{SUMS}{}", sums(output)?))
}

fn sums(output: &Path) -> Result<String> {
    let mut text = String::new();
    for name in FILES {
        let path = output.join(name);
        writeln!(text, "{} {} {name}", host::sha256(&path)?, path.metadata()?.len())?;
    }
    Ok(text)
}

fn sizes(output: &Path) -> Result<String> {
    let mut text = String::new();
    let mut total = 0;
    for name in FILES {
        let size = output.join(name).metadata()?.len();
        total += size;
        writeln!(text, "{:>8.2} MB  {name}", size as f64 / 1e6)?;
    }
    writeln!(text, "{:>8.2} MB  {}", total as f64 / 1e6, output.display())?;
    Ok(text)
}

fn same(first: &Path, second: &Path) -> Result<()> {
    for name in FILES.iter().chain(&["manifest"]) {
        if fs::read(first.join(name))? != fs::read(second.join(name))? {
            bail!("{name}: differs when built a second time");
        }
    }
    Ok(())
}

/// Puts the new directory where the old one is.
fn publish(made: &Path, output: &Path) -> Result<()> {
    let about = || output.display().to_string();
    if output.try_exists().with_context(about)? {
        // What was there is now in the staging directory, and goes with it.
        renameat_with(CWD, made, CWD, output, RenameFlags::EXCHANGE).with_context(about)
    } else {
        fs::rename(made, output).with_context(about)
    }
}

fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            Err(err).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

fn beside(output: &Path) -> Result<&Path> {
    match output.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => bail!("{}: cannot be the output", output.display()),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| path.display().to_string())?;
    fs::set_permissions(path, Permissions::from_mode(0o644))?;
    Ok(())
}

/// Replaces a file in one step.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = tempfile::NamedTempFile::new_in(beside(path)?)?;
    write(temporary.path(), content)?;
    temporary.persist(path).with_context(|| path.display().to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (made, output) = (directory.path().join("made"), directory.path().join("output"));
        for content in ["old", "new"] {
            fs::create_dir_all(&made).unwrap();
            fs::write(made.join("kernel"), content).unwrap();
            publish(&made, &output).unwrap();
            assert_eq!(fs::read_to_string(output.join("kernel")).unwrap(), content);
        }
        assert_eq!(fs::read_to_string(made.join("kernel")).unwrap(), "old");
    }

    #[test]
    fn daemons() {
        #[track_caller]
        fn check(path: &Path, expected: &str) {
            let err = format!("{:#}", read_daemon(path).unwrap_err());
            assert!(err.starts_with(&format!("{}: {expected}", path.display())), "{err}");
        }
        check(Path::new("/nowhere/guestfsd"), "No such file or directory");
        check(Path::new("/etc/passwd"), "not a 64-bit ELF file");
        // This test itself.
        check(&std::env::current_exe().unwrap(), "not statically linked; build it with");
    }
}
