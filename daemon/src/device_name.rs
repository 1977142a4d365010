// SPDX-License-Identifier: LGPL-2.1-or-later
//! Names of block devices: `/dev/sda` is the first drive the caller added, whatever the kernel
//! made of it.
//!
//! The kernel probes SCSI targets in parallel and names them in the order in which they answer,
//! so the caller's name goes by the address on the bus, which follows the order of adding.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};
use guestfs_protocol::disk_name;
use rustix::fs::{FileType, major, minor, readlinkat};

use crate::error::{About, Errno, Error, Result};
use crate::system;

/// Links of this directory are drives by the label they were added with.
const LABELS: &[u8] = b"/dev/disk/guestfs/";

/// What is in `/sys/block` but was not added as a drive.
const NOT_DRIVES: &[&str] = &["dm-", "fd", "loop", "md", "mtdblock", "nbd", "ram", "sr", "zram"];

/// A drive of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drive {
    /// Name for the caller, such as `sda`.
    pub(crate) name: BString,
    /// Name of the kernel for the same.
    pub(crate) kernel: BString,
}

/// Translates between the two kinds of names.
#[derive(Clone, Debug)]
pub(crate) struct DeviceNames {
    sys: PathBuf,
    dev: PathBuf,
    /// Device numbers of the appliance's own disks.
    hidden: Vec<u64>,
}

/// Host, channel, target and unit.
type ScsiAddress = [u64; 4];

impl DeviceNames {
    /// The devices of `sys` and `dev`, of which the caller must not see some.
    pub(crate) fn new(sys: &Path, dev: &Path, hidden: &[u64]) -> Self {
        Self { sys: sys.into(), dev: dev.into(), hidden: hidden.into() }
    }

    /// Device numbers of the appliance's own disks.
    pub(crate) fn hidden(&self) -> &[u64] {
        &self.hidden
    }

    /// The caller's drives: SCSI in the order of adding, then the others.
    pub(crate) fn drives(&self) -> Result<Vec<Drive>> {
        let mut scsi: Vec<(ScsiAddress, BString)> = Vec::new();
        let mut others: Vec<BString> = Vec::new();
        let hidden = self.hidden_names();
        for name in system::names(self.sys.join("block"))? {
            if NOT_DRIVES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
                || hidden.contains(&name)
            {
                continue;
            }
            match self.scsi_address(name.as_bstr()) {
                Some(address) if name.starts_with(b"sd") => scsi.push((address, name)),
                _ => others.push(name),
            }
        }
        scsi.sort();
        others.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        let scsi = scsi
            .into_iter()
            .enumerate()
            .map(|(idx, (_, kernel))| Drive { name: disk_name(idx), kernel });
        let others = others.into_iter().map(|name| Drive { name: name.clone(), kernel: name });
        Ok(scsi.chain(others).collect())
    }

    /// The node of a device that the caller names.  Whether it exists is for the caller to find.
    pub(crate) fn to_kernel(&self, name: &BStr) -> Result<PathBuf> {
        if let Some(label) = name.strip_prefix(LABELS) {
            return match self.by_label(label)? {
                Some(kernel) => Ok(self.node(&kernel)),
                None => Err(Error::sys(name, Errno::NOENT)),
            };
        }
        let Some(rest) = name.strip_prefix(b"/dev/") else {
            return Err(Error::invalid(name, "the name of a device starts with /dev/"));
        };
        if rest.split_str("/").any(|part| part == b"..") {
            return Err(Error::invalid(name, "the name of a device has no .. in it"));
        }
        let Some((letters, partition)) = split_scsi(rest) else {
            return Ok(self.node(rest));
        };
        let drives = self.drives()?;
        let wanted = |prefix: &str| [prefix.as_bytes(), letters].concat();
        let found = ["sd", "hd", "vd"]
            .iter()
            .find_map(|prefix| drives.iter().find(|drive| drive.name == wanted(prefix)));
        match found {
            Some(drive) => Ok(self.node(&[drive.kernel.as_bytes(), partition].concat())),
            None => Err(Error::sys(name, Errno::NOENT)),
        }
    }

    /// The caller's name of a device which the kernel or a program names.
    pub(crate) fn to_api(&self, path: &BStr) -> Result<BString> {
        let Some((letters, partition)) = path.strip_prefix(b"/dev/").and_then(split_scsi) else {
            return Ok(path.into());
        };
        let kernel = [b"sd", letters].concat();
        let drive = self.drives()?.into_iter().find(|drive| drive.kernel == kernel);
        Ok(match drive {
            Some(drive) => [b"/dev/", drive.name.as_bytes(), partition].concat().into(),
            None => path.into(),
        })
    }

    /// The same for all the names in the words of a program.
    pub(crate) fn to_api_in_text(&self, text: &str) -> Result<String> {
        let text = each_name(text.as_bytes(), |name| self.to_api(name))?;
        Ok(text.to_str_lossy().into_owned())
    }

    /// The kernel's names in place of those of the caller, in the words of a command.  What is none
    /// stays as it is.
    pub(crate) fn to_kernel_in_text(&self, text: &BStr) -> Result<BString> {
        each_name(text, |name| match self.to_kernel(name) {
            Ok(path) => Ok(path.as_os_str().as_bytes().into()),
            Err(_) => Ok(name.into()),
        })
    }

    /// The kernel's names of the disks that are not for the caller.
    fn hidden_names(&self) -> Vec<BString> {
        let name = |number: &u64| {
            let link = format!("dev/block/{}:{}", major(*number), minor(*number));
            let target = readlinkat(rustix::fs::CWD, self.sys.join(link), Vec::new()).ok()?;
            Some(target.to_bytes().rsplit_str("/").next()?.into())
        };
        self.hidden.iter().filter_map(name).collect()
    }

    fn scsi_address(&self, kernel: &BStr) -> Option<ScsiAddress> {
        // The link has all of the path in it, so the kernel need not follow it.
        let link = self.sys.join("block").join(kernel.to_os_str_lossy());
        let target = readlinkat(rustix::fs::CWD, &link, Vec::new()).ok()?;
        parse_scsi_address(target.to_bytes())
    }

    /// The kernel's name for a label, or a label with the number of a partition.
    fn by_label(&self, wanted: &[u8]) -> Result<Option<BString>> {
        let labels = self.labels()?;
        // A label may end with a digit itself, so the label as it is comes first.
        if let Some((_, drive)) = labels.iter().find(|(label, _)| label == wanted) {
            return Ok(Some(drive.kernel.clone()));
        }
        Ok(labels.iter().find_map(|(label, drive)| {
            let partition = wanted.strip_prefix(label.as_bytes())?;
            let number = !partition.is_empty() && partition.iter().all(u8::is_ascii_digit);
            number.then(|| [drive.kernel.as_bytes(), partition].concat().into())
        }))
    }

    /// The drives that were added with a label.
    pub(crate) fn labels(&self) -> Result<Vec<(BString, Drive)>> {
        let labelled = |drive: Drive| Some((self.label(drive.kernel.as_bstr())?, drive));
        let labels = self.drives()?.into_iter().filter_map(labelled);
        Ok(labels.filter(|(label, _)| !label.is_empty()).collect())
    }

    /// The serial number which the drive was added with.
    fn label(&self, kernel: &BStr) -> Option<BString> {
        let dir = self.sys.join("block").join(kernel.to_os_str_lossy());
        if let Ok(page) = system::read(dir.join("device/vpd_pg80")) {
            return Some(page.get(4..)?.trim_ascii().into());
        }
        system::read_line(dir.join("serial")).ok().map(Into::into)
    }

    fn node(&self, name: &[u8]) -> PathBuf {
        self.dev.join(std::ffi::OsStr::from_bytes(name))
    }
}

/// The device number of the disk on which the appliance's own root is.
pub(crate) fn root_device() -> Result<u64> {
    Ok(rustix::fs::stat("/").about("/")?.st_dev)
}

/// The number of the device that a node stands for.
pub(crate) fn number_of_node(path: &Path) -> Option<u64> {
    let stat = rustix::fs::stat(path).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice).then_some(stat.st_rdev)
}

/// Splits `sdaa12` into `aa` and `12`; anything else is not the name of a SCSI disk.
fn split_scsi(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = name.strip_prefix(b"sd")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_lowercase()).unwrap_or(rest.len());
    let (letters, partition) = rest.split_at(end);
    let is_name = !letters.is_empty() && partition.iter().all(u8::is_ascii_digit);
    is_name.then_some((letters, partition))
}

/// `../devices/.../target2:0:1/2:0:1:0/block/sdb` as four numbers.
fn parse_scsi_address(link: &[u8]) -> Option<ScsiAddress> {
    let device = link.rsplit_str("/").nth(2)?.to_str().ok()?;
    let numbers: Option<Vec<u64>> = device.split(':').map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Replaces all names of SCSI disks, and of their partitions, in a text.
fn each_name(text: &[u8], replace: impl Fn(&BStr) -> Result<BString>) -> Result<BString> {
    const BEGINNING: &str = "/dev/sd";
    let mut pieces = text.split_str(BEGINNING);
    let mut out = BString::from(pieces.next().unwrap_or_default());
    for piece in pieces {
        let end = piece.iter().position(|it| !it.is_ascii_alphanumeric()).unwrap_or(piece.len());
        let (name, rest) = piece.split_at(end);
        out.extend_from_slice(&replace([BEGINNING.as_bytes(), name].concat().as_bstr())?);
        out.extend_from_slice(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::makedev;

    use super::*;

    /// A `/sys` in which the kernel named the first two drives the wrong way round.
    fn swapped() -> (tempfile::TempDir, DeviceNames) {
        let dir = tempfile::tempdir().unwrap();
        let block = dir.path().join("sys/block");
        let disks = [
            ("sda", "2:0:1:0", "data"),
            ("sdb", "2:0:0:0", "root1"),
            ("sdc", "2:0:10:0", ""),
            ("sdd", "2:0:2:0", "root"),
        ];
        system::make_directories(&block);
        for (name, address, label) in disks {
            let device = dir.path().join(format!("sys/devices/{address}"));
            let disk = device.join("block").join(name);
            system::make_directories(&disk);
            symlink(&device, disk.join("device")).unwrap();
            symlink(&disk, block.join(name)).unwrap();
            if !label.is_empty() {
                let page = [b"\0\x80\0\x04", label.as_bytes()].concat();
                system::write(device.join("vpd_pg80"), &page).unwrap();
            }
        }
        for name in ["vda", "vdb", "vde"] {
            system::make_directories(block.join(name));
        }
        let numbers = dir.path().join("sys/dev/block");
        system::make_directories(&numbers);
        symlink(block.join("vda"), numbers.join("254:0")).unwrap();
        system::make_directories(block.join("loop0"));
        let names =
            DeviceNames::new(&dir.path().join("sys"), Path::new("/dev"), &[makedev(254, 0)]);
        (dir, names)
    }

    #[test]
    fn drives_in_the_order_of_adding() {
        let (_dir, names) = swapped();
        let drives: Vec<String> = names
            .drives()
            .unwrap()
            .iter()
            .map(|drive| format!("{}={}", drive.name, drive.kernel))
            .collect();
        assert_eq!(drives.join(" "), "sda=sdb sdb=sda sdc=sdd sdd=sdc vdb=vdb vde=vde");
    }

    #[test]
    fn names_of_the_caller() {
        let (_dir, names) = swapped();
        #[track_caller]
        fn check(names: &DeviceNames, name: &str, expected: &str) {
            let got = match names.to_kernel(name.as_bytes().as_bstr()) {
                Ok(path) => path.display().to_string(),
                Err(err) => format!("error: {err}"),
            };
            assert_eq!(got, expected);
        }
        check(&names, "/dev/sda", "/dev/sdb");
        check(&names, "/dev/sda15", "/dev/sdb15");
        check(&names, "/dev/sdb1", "/dev/sda1");
        // There is no fifth SCSI disk, but a virtio disk with that letter.
        check(&names, "/dev/sde1", "/dev/vde1");
        check(&names, "/dev/sdf", "error: /dev/sdf: No such file or directory");
        check(&names, "/dev/VG/LV", "/dev/VG/LV");
        check(&names, "/dev/sdata/lv", "/dev/sdata/lv");
        check(&names, "/dev/disk/guestfs/data", "/dev/sda");
        check(&names, "/dev/disk/guestfs/data3", "/dev/sda3");
        check(&names, "/dev/disk/guestfs/root1", "/dev/sdb");
        check(&names, "/dev/disk/guestfs/root2", "/dev/sdd2");
        check(
            &names,
            "/dev/disk/guestfs/none",
            "error: /dev/disk/guestfs/none: No such file or directory",
        );
        check(&names, "/etc/passwd", "error: /etc/passwd: the name of a device starts with /dev/");
        check(&names, "/dev/../x", "error: /dev/../x: the name of a device has no .. in it");
    }

    #[test]
    fn names_for_the_caller() {
        let (_dir, names) = swapped();
        let check = |name: &str, expected: &str| {
            assert_eq!(names.to_api(name.as_bytes().as_bstr()).unwrap(), expected);
        };
        check("/dev/sdb", "/dev/sda");
        check("/dev/sdb2", "/dev/sda2");
        check("/dev/sdz", "/dev/sdz");
        check("/dev/mapper/VG-LV", "/dev/mapper/VG-LV");
        let text = names.to_api_in_text("/dev/sda1 is full, /dev/sdb: not so").unwrap();
        assert_eq!(text, "/dev/sdb1 is full, /dev/sda: not so");
        let text = names.to_kernel_in_text(b"cat /dev/sdb1 /dev/sdz /dev/null".into()).unwrap();
        assert_eq!(text, "cat /dev/sda1 /dev/sdz /dev/null");
    }
}
