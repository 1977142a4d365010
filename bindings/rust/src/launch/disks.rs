// SPDX-License-Identifier: LGPL-2.1-or-later
//! Drives made ready for qemu: formats found out, overlays made, passwords put out of sight.
//!
//! Files made here have no names.  qemu gets them as descriptors, so that nothing is left behind
//! however it and this program end.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use serde_json::Value;

use super::blockdev::{self, Supplies};
use super::qcow2;
use super::report::{no_temporary_file, node_name};
use crate::drive::{Drive, Source};
use crate::error::{Error, Result};
use crate::image::{self, Image};

/// Sizes of disks are multiples of it.
const SECTOR: u64 = 512;

/// A drive, as far as qemu's command line is concerned.
pub(super) struct Disk {
    /// For `-object`, in front of the others.
    pub secret: Option<String>,
    /// For `-blockdev`.
    pub tree: Value,
    pub label: Option<String>,
    pub block_size: Option<u32>,
}

/// All drives, and what they need.
#[derive(Default)]
pub(super) struct Disks {
    pub disks: Vec<Disk>,
    /// Descriptors that become `/dev/fdset/INDEX`.
    pub sets: Vec<OwnedFd>,
    /// Descriptors that qemu opens again through `/proc`.
    pub others: Vec<OwnedFd>,
    /// Descriptor set of the overlay that takes what the appliance writes to its root.
    pub root_overlay: Option<usize>,
}

impl Disks {
    /// Makes what the drives need; overlays are in `tmpdir`.
    pub(super) fn prepare(drives: &[Drive], tmpdir: &Path) -> Result<Self> {
        let mut disks = Self::default();
        for (index, drive) in drives.iter().enumerate() {
            let disk = disks.disk(index, drive, tmpdir)?;
            disks.disks.push(disk);
        }
        Ok(disks)
    }

    /// Lets the appliance write to its root; what it writes is thrown away.
    pub(super) fn cover_root(&mut self, root: &Path, tmpdir: &Path) -> Result<()> {
        let size = root.metadata().map_err(|it| Error::io(&it, root.display()))?.len();
        let overlay = overlay(tmpdir, size).map_err(|it| no_temporary_file(tmpdir, &it))?;
        self.root_overlay = Some(self.sets.len());
        self.sets.push(overlay.into());
        Ok(())
    }

    fn disk(&mut self, index: usize, drive: &Drive, tmpdir: &Path) -> Result<Disk> {
        let secret_id = format!("secret{index}");
        let secret = self.secret(&secret_id, drive)?;
        let mut supplies = Supplies {
            secret: secret.is_some().then_some(secret_id.as_str()),
            ..Default::default()
        };
        let mut proc_path = None;
        let opened = match &drive.source {
            Source::File(path) => {
                let file = File::open(path).map_err(|it| Error::io(&it, path.display()))?;
                let kind = file.metadata().map_err(|it| Error::io(&it, path.display()))?;
                supplies.block_device = kind.file_type().is_block_device();
                if path.to_str().is_none() {
                    proc_path = Some(self.by_descriptor(path)?);
                }
                Some(file)
            }
            Source::Scratch(file) => {
                let file = file.try_clone().map_err(|it| Error::io(&it, drive.name()))?;
                supplies.file = Some(self.sets.len());
                self.sets.push(file.into());
                None
            }
            Source::Remote(_) => None,
        };
        supplies.path = proc_path.as_deref();

        let format = self.format(drive, opened.as_ref(), secret.as_deref(), supplies)?;
        if drive.readonly {
            let size = match size(drive, &format, opened.as_ref())? {
                Some(size) => size,
                None => {
                    let node = blockdev::image(&drive.source, &format, supplies);
                    self.remote_info(drive, node, secret.as_deref())?.virtual_size
                }
            };
            let overlay = overlay(tmpdir, size).map_err(|it| no_temporary_file(tmpdir, &it))?;
            supplies.overlay = Some(self.sets.len());
            self.sets.push(overlay.into());
        }
        Ok(Disk {
            secret,
            tree: blockdev::tree(&node_name(index), drive, &format, supplies),
            label: drive.label.clone(),
            block_size: drive.block_size,
        })
    }

    /// The format that was given, or what the disk looks like.
    fn format(
        &self,
        drive: &Drive,
        opened: Option<&File>,
        secret: Option<&str>,
        supplies: Supplies<'_>,
    ) -> Result<String> {
        if let Some(format) = &drive.format {
            return Ok(format.clone());
        }
        if let Some(file) = opened {
            let mut head = [0; image::HEAD_SIZE];
            let n_read = file.read_at(&mut head, 0).map_err(|it| Error::io(&it, drive.name()))?;
            return Ok(image::format_of(&head[..n_read]).to_owned());
        }
        let mut node = blockdev::image(&drive.source, "raw", supplies);
        Ok(self.remote_info(drive, node["file"].take(), secret)?.format)
    }

    /// What `qemu-img` says about a disk that only it can read.
    fn remote_info(&self, drive: &Drive, node: Value, secret: Option<&str>) -> Result<Image> {
        image::info_of_node(&node, secret, &self.others, &drive.name())
    }

    /// The option for the object which holds the password.  The password itself isn't in it, as
    /// everybody can see command lines.
    fn secret(&mut self, id: &str, drive: &Drive) -> Result<Option<String>> {
        let Source::Remote(remote) = &drive.source else { return Ok(None) };
        let Some(secret) = &remote.secret else { return Ok(None) };
        let fail = |it| Error::io(&it, "secret");
        let file = memfd_create("guestfs-secret", MemfdFlags::CLOEXEC);
        let mut file = File::from(file.map_err(|it| fail(it.into()))?);
        file.write_all(secret).map_err(fail)?;
        let format = if remote.protocol.secret_is_base64() { "base64" } else { "raw" };
        let fd = file.as_raw_fd();
        self.others.push(file.into());
        Ok(Some(format!("secret,id={id},file=/proc/self/fd/{fd},format={format}")))
    }

    /// Another name for a file whose own isn't UTF-8, and so can't be said in JSON.
    fn by_descriptor(&mut self, path: &Path) -> Result<String> {
        let fd = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let fd = fd.map_err(|it| Error::io(&it.into(), path.display()))?;
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        self.others.push(fd);
        Ok(name)
    }
}

/// The size of the disk to be seen by the guest, if no program is needed to find it out.
fn size(drive: &Drive, format: &str, opened: Option<&File>) -> Result<Option<u64>> {
    let (Some(mut file), Source::File(path)) = (opened, &drive.source) else { return Ok(None) };
    let fail = |it| Error::io(&it, path.display());
    match format {
        // For a block device, metadata has no size.
        "raw" => Ok(Some(file.seek(SeekFrom::End(0)).map_err(fail)?)),
        "qcow2" => match qcow2::virtual_size(file).map_err(fail)? {
            Some(size) => Ok(Some(size)),
            None => Err(Error::new(0, format!("{}: not in qcow2 format", path.display()))),
        },
        _ => Ok(Some(image::info(path, Some(format))?.virtual_size)),
    }
}

fn overlay(tmpdir: &Path, size: u64) -> std::io::Result<File> {
    let file = tempfile::tempfile_in(tmpdir)?;
    let size = size.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX);
    qcow2::write_empty(&file, size)?;
    Ok(file)
}
