// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a launch would find, without one: for a program that looks at a machine.

use std::fs;
use std::path::PathBuf;

use super::accel::{self, Choice};
use super::features::{self, Features};
use super::search::{self, Files};
use super::{Config, manifest, timeout};
use crate::error::Result;

/// The qemu that runs appliances.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hypervisor {
    /// The program.
    pub path: PathBuf,
    /// What it says of itself.
    pub version: [u64; 3],
    /// The kind of machine it is to be.
    pub machine: String,
}

/// The appliance that is launched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FoundAppliance {
    /// Where it is.
    pub directory: PathBuf,
    /// The version of guestfs that made it, if it says so.
    pub made_by: Option<String>,
    /// The kernel, the initrd and the root.
    pub files: Vec<ApplianceFile>,
}

/// A file of the appliance.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApplianceFile {
    /// Where it is.
    pub path: PathBuf,
    /// How long it is.
    pub size_bytes: u64,
    /// How long it should be, and its SHA-256 in hexadecimal, if there is a manifest.
    pub made_as: Option<(u64, String)>,
}

pub(crate) fn hypervisor(config: &Config) -> Result<Hypervisor> {
    let (path, features) = ask(config)?;
    Ok(Hypervisor { path, version: features.version, machine: features.machine })
}

pub(crate) fn appliance(config: &Config) -> Result<FoundAppliance> {
    let files = search::appliance(&config.path)?;
    let entries = manifest::entries(&files);
    let made_by = manifest::version(&files);
    let Files { kernel, initrd, root } = files;
    let directory = root.parent().unwrap_or(&root).to_owned();
    let files = [kernel, initrd, root].map(|path| {
        let entry = entries.iter().find(|it| path.ends_with(&it.name));
        let made_as = entry.map(|it| (it.size, it.sum.clone()));
        let size_bytes = fs::metadata(&path).map_or(0, |it| it.len());
        ApplianceFile { path, size_bytes, made_as }
    });
    Ok(FoundAppliance { directory, made_by, files: files.into() })
}

/// Why KVM is not used, if it is not.
pub(crate) fn why_not_kvm(config: &Config) -> Result<Option<String>> {
    let files = search::appliance(&config.path)?;
    let (hv, features) = ask(config)?;
    let settings = &config.backend_settings;
    Ok(match accel::choose(settings, &hv, &features, &files, &config.cachedir)? {
        Choice::Kvm => None,
        Choice::Tcg { why } | Choice::Instead { why } => Some(why),
    })
}

fn ask(config: &Config) -> Result<(PathBuf, Features)> {
    let limit = timeout(&config.backend_settings)?;
    let hv = search::hypervisor(config.hv.as_deref())?;
    let features = features::of(&hv, &config.cachedir, limit)?;
    Ok((hv, features))
}
