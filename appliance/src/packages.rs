// SPDX-License-Identifier: LGPL-2.1-or-later
//! Gets the Debian packages by apt, with a state directory of its own: neither root nor the
//! host's package lists are needed, and what the host has installed does not matter.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::{host, inputs};

/// A package in the cache.
#[derive(Debug, PartialEq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    pub(crate) file: PathBuf,
}

/// The data file `packages`, understood.
struct Selection<'a> {
    wanted: Vec<&'a str>,
    /// Not installed, but taken to be there.
    assumed: Vec<&'a str>,
}

impl<'a> Selection<'a> {
    fn parse(text: &'a str) -> Self {
        let (assumed, wanted): (Vec<_>, Vec<_>) =
            inputs::lines(text).partition(|it| it.starts_with('-'));
        Self { wanted, assumed: assumed.into_iter().map(|it| &it[1..]).collect() }
    }

    /// What dpkg would have noted if the assumed packages were installed, in a version that
    /// satisfies everybody.
    fn status(&self) -> String {
        let paragraph = |name: &&str| {
            format!(
                "Package: {name}\nStatus: install ok installed\nVersion: 99:0\n\
                 Architecture: amd64\nMulti-Arch: allowed\nMaintainer: nobody\n\
                 Description: stands for a package that the appliance does without\n\n"
            )
        };
        self.assumed.iter().map(paragraph).collect()
    }
}

/// Where downloads are kept if nothing else is said.
pub(crate) fn default_cache() -> Result<PathBuf> {
    let cache = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
        (Some(cache), _) if Path::new(&cache).is_absolute() => cache.into(),
        (_, Some(home)) => Path::new(&home).join(".cache"),
        _ => bail!("neither HOME nor --cache says where downloads can be kept"),
    };
    Ok(cache.join("guestfs-appliance"))
}

/// The packages of the appliance, sorted by name; downloaded unless they are in the cache.
pub(crate) fn fetch(cache: &Path, update: bool, say: impl Fn(&str)) -> Result<Vec<Package>> {
    let resolved = cache.join("resolved");
    if !update && let Some(packages) = cached(&resolved, cache) {
        say(&format!("{} packages are in the cache", packages.len()));
        return Ok(packages);
    }
    let selection = Selection::parse(inputs::PACKAGES);
    for directory in ["lists/partial", "archives/partial"] {
        let directory = cache.join(directory);
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    let cache = cache.canonicalize().with_context(|| cache.display().to_string())?;
    let config = cache.join("apt.conf");
    fs::write(cache.join("status"), selection.status())?;
    fs::write(&config, apt_config(&cache)?)?;
    let apt = |args: &[&str]| {
        let mut command = host::command("apt-get");
        command.arg("-c").arg(&config).args(["-qq", "-y", "--no-install-recommends"]).args(args);
        command
    };
    say("reading the package lists");
    // A source that does not answer matters only if packages are missing afterwards.
    let updated = host::run(&mut apt(&["update", "-o", "APT::Update::Error-Mode=any"]));
    let install = |options: &[&'static str]| {
        let mut command = apt(&["install"]);
        command.args(options).arg("--").args(&selection.wanted);
        command
    };
    let list = host::run(&mut install(&["--print-uris"])).map_err(|err| match updated {
        Ok(_) => err,
        Err(cause) => cause,
    })?;
    let list = String::from_utf8(list).context("apt-get: list of packages")?;
    // 'URI' FILE SIZE HASH: the files that are not in the cache yet.
    let sizes = list.lines().filter_map(|it| it.split_whitespace().nth(2)?.parse::<u64>().ok());
    say(&format!("downloading {} MB", sizes.sum::<u64>() / 1_000_000));
    host::run(&mut install(&["--download-only"]))?;
    // Asked again, for the names of all of them.
    let list = host::run(&mut install(&["--simulate"]))?;
    let request = request(&String::from_utf8_lossy(&list))?;
    let temporary = cache.join("resolved.new");
    fs::write(&temporary, request)?;
    fs::rename(&temporary, &resolved)?;
    match cached(&resolved, &cache) {
        Some(packages) => Ok(packages),
        None => bail!("apt-get: some packages were not downloaded to {}", cache.display()),
    }
}

/// The packages of the last time, if they were asked for in the same way and are all there.
fn cached(resolved: &Path, cache: &Path) -> Option<Vec<Package>> {
    let text = fs::read_to_string(resolved).ok()?;
    let names = text.strip_prefix(inputs::PACKAGES)?.strip_prefix(SEPARATOR)?;
    let packages: Vec<_> =
        names.lines().map(|it| Package::parse(it, cache)).collect::<Option<_>>()?;
    packages.iter().all(|it| it.file.is_file()).then_some(packages)
}

/// Between what was asked for and what it came to.
const SEPARATOR: &str = "\n# These were found:\n";

/// What to note in the cache: the request, and the answer of `apt-get --simulate` as file names.
fn request(simulation: &str) -> Result<String> {
    let mut names = Vec::new();
    for line in simulation.lines() {
        // Inst libacl1 (2.3.1-3 Debian:12.14/oldstable [amd64])
        let Some(line) = line.strip_prefix("Inst ") else { continue };
        let words: Vec<_> =
            line.split([' ', '(', ')', '[', ']']).filter(|it| !it.is_empty()).collect();
        let [name, version, .., architecture] = words[..] else {
            bail!("apt-get: cannot make sense of {line:?}");
        };
        let version = version.replace(':', "%3a");
        names.push(format!("{name}_{version}_{architecture}.deb\n"));
    }
    names.sort();
    Ok(format!("{}{SEPARATOR}{}", inputs::PACKAGES, names.concat()))
}

impl Package {
    /// From the name under which apt stores it.
    fn parse(file: &str, cache: &Path) -> Option<Self> {
        let (name, rest) = file.strip_suffix(".deb")?.split_once('_')?;
        let (version, architecture) = rest.rsplit_once('_')?;
        Some(Self {
            name: name.to_owned(),
            version: version.replace("%3a", ":"),
            architecture: architecture.to_owned(),
            file: cache.join("archives").join(file),
        })
    }
}

/// Keeps the host's sources, keys and proxies, and replaces the rest.
fn apt_config(cache: &Path) -> Result<String> {
    let cache = cache.to_str().filter(|it| !it.contains(['"', '\n']));
    let cache = cache.context("apt cannot work in a directory with such a name")?;
    Ok(format!(
        "Dir::State \"{cache}\";\n\
         Dir::State::lists \"{cache}/lists\";\n\
         Dir::State::status \"{cache}/status\";\n\
         Dir::Cache \"{cache}\";\n\
         Dir::Cache::archives \"{cache}/archives\";\n\
         // Preferences are about the host.\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\n\
         #clear APT::Architectures;\n\
         APT::Architecture \"amd64\";\n\
         // The user that root would become has no access to this directory.\n\
         APT::Sandbox::User \"\";\n\
         // So have hooks and indexes that are not about packages.\n\
         #clear APT::Update;\n\
         #clear DPkg;\n\
         #clear Acquire::IndexTargets::deb::DEP-11;\n\
         #clear Acquire::IndexTargets::deb::DEP-11-icons-small;\n\
         APT::Keep-Downloaded-Packages \"true\";\n\
         Acquire::Languages \"none\";\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_stand_ins() {
        let selection = Selection::parse("# a\nbash\n\n-udev\nacl\n");
        assert_eq!(selection.wanted, ["bash", "acl"]);
        assert_eq!(selection.assumed, ["udev"]);
        assert!(selection.status().starts_with("Package: udev\nStatus: install ok installed\n"));
    }

    #[test]
    fn answers_of_apt() {
        #[track_caller]
        fn check(simulation: &str, expected: &str) {
            let text = match request(simulation) {
                Ok(it) => it.split_once(SEPARATOR).unwrap().1.to_owned(),
                Err(err) => format!("error: {err}"),
            };
            assert_eq!(text, expected);
        }
        check(
            "NOTE: simulation\nInst mdadm (4.2-5 Debian:12/stable [amd64])\n\
             Inst acl (1:2.3~x+1 Debian:12/stable, Debian-Security:12/stable [all]) []\nConf acl",
            "acl_1%3a2.3~x+1_all.deb\nmdadm_4.2-5_amd64.deb\n",
        );
        check("Inst\nInst x", "error: apt-get: cannot make sense of \"x\"");
    }

    #[test]
    fn names_of_files() {
        let package = Package::parse("attr_1%3a2.5.1-4_amd64.deb", Path::new("/c")).unwrap();
        assert_eq!(package.name, "attr");
        assert_eq!(package.version, "1:2.5.1-4");
        assert_eq!(package.architecture, "amd64");
        assert_eq!(package.file, Path::new("/c/archives/attr_1%3a2.5.1-4_amd64.deb"));
        assert_eq!(Package::parse("lock", Path::new("/c")), None);
    }
}
