// SPDX-License-Identifier: LGPL-2.1-or-later
//! How filesystems are made: by which program, told what.

use std::ops::RangeInclusive;

use bstr::{BStr, ByteSlice};

use super::identity;
use crate::block::Device;
use crate::error::{Error, Result};
use crate::generated::MkfsOptions;
use crate::random::random;
use crate::tool::Tool;

/// How one family of filesystems wants to be made.
struct Maker {
    fstypes: &'static [&'static str],
    /// Program, and the flags which stop it from asking questions and from talking.
    program: &'static str,
    force: &'static [&'static str],
    /// Flag which tells the program the member of the family, if it makes more than one.
    fstype: Option<&'static str>,
    label: &'static str,
    features: Option<Features>,
    blocksize: Option<Number>,
    inode: Option<Number>,
    sectorsize: Option<Number>,
    /// Gives the filesystem a number of its own, where the program takes it from the time: two
    /// appliances may do that at the same moment.
    renumber: Option<fn(&Device, u64) -> Tool>,
}

struct Features {
    flag: &'static str,
    /// How the program begins to complain about one which it does not know.
    complaint: &'static str,
}

/// A size in bytes, always a power of two.
struct Number {
    values: RangeInclusive<i32>,
    args: fn(i32, &MkfsOptions) -> [String; 2],
}

/// Sectors of a disk, if the caller does not say otherwise.
const SECTOR: i32 = 512;

const MAKERS: &[Maker] = &[
    Maker {
        fstypes: &["ext2", "ext3", "ext4"],
        program: "mke2fs",
        force: &["-F", "-q"],
        fstype: Some("-t"),
        label: "-L",
        features: Some(Features { flag: "-O", complaint: "Invalid filesystem option set" }),
        blocksize: Some(Number { values: 1024..=65536, args: |it, _| flag("-b", it) }),
        inode: Some(Number { values: 128..=4096, args: |it, _| flag("-I", it) }),
        sectorsize: None,
        renumber: None,
    },
    Maker {
        fstypes: &["xfs"],
        program: "mkfs.xfs",
        force: &["-f", "-q"],
        fstype: None,
        label: "-L",
        features: None,
        blocksize: Some(Number { values: 512..=65536, args: |it, _| named("-b", "size", it) }),
        inode: Some(Number { values: 256..=2048, args: |it, _| named("-i", "size", it) }),
        sectorsize: Some(Number { values: 512..=32768, args: |it, _| named("-s", "size", it) }),
        renumber: None,
    },
    Maker {
        fstypes: &["btrfs"],
        program: "mkfs.btrfs",
        force: &["-f", "-q"],
        fstype: None,
        label: "-L",
        features: Some(Features { flag: "-O", complaint: "unrecognized filesystem feature" }),
        // Its blocks are called sectors, and the flag for a block size means something else.
        blocksize: None,
        inode: None,
        sectorsize: Some(Number { values: 4096..=65536, args: |it, _| flag("-s", it) }),
        renumber: None,
    },
    Maker {
        fstypes: &["vfat", "msdos", "fat"],
        program: "mkfs.fat",
        // Nor is there to be a partition table around it, which this program likes to make.
        force: &["-I", "--mbr=n"],
        fstype: None,
        label: "-n",
        features: None,
        // The nearest thing FAT has is the cluster, which is counted in sectors.
        blocksize: Some(Number {
            values: 512..=1 << 20,
            args: |it, options| flag("-s", it / options.sectorsize.unwrap_or(SECTOR)),
        }),
        inode: None,
        sectorsize: Some(Number { values: 512..=32768, args: |it, _| flag("-S", it) }),
        renumber: None,
    },
    Maker {
        fstypes: &["ntfs"],
        program: "mkntfs",
        force: &["-F", "-Q", "-q"],
        fstype: None,
        label: "-L",
        features: None,
        blocksize: Some(Number { values: 256..=2 << 20, args: |it, _| flag("-c", it) }),
        inode: None,
        sectorsize: Some(Number { values: 256..=4096, args: |it, _| flag("-s", it) }),
        renumber: Some(|device, number| {
            Tool::new("ntfslabel").arg(format!("--new-serial={number:016x}")).arg(device.path())
        }),
    },
    Maker {
        fstypes: &["exfat"],
        program: "mkfs.exfat",
        force: &["-q"],
        fstype: None,
        label: "-L",
        features: None,
        blocksize: Some(Number { values: 512..=32 << 20, args: |it, _| flag("-c", it) }),
        inode: None,
        sectorsize: None,
        renumber: None,
    },
    Maker {
        fstypes: &["f2fs"],
        program: "mkfs.f2fs",
        force: &["-f", "-q"],
        fstype: None,
        label: "-l",
        features: Some(Features { flag: "-O", complaint: "Wrong features" }),
        blocksize: None,
        inode: None,
        sectorsize: Some(Number { values: 512..=4096, args: |it, _| flag("-w", it) }),
        renumber: None,
    },
];

fn flag(flag: &str, value: i32) -> [String; 2] {
    [flag.into(), value.to_string()]
}

fn named(flag: &str, name: &str, value: i32) -> [String; 2] {
    [flag.into(), format!("{name}={value}")]
}

impl Maker {
    fn find(fstype: &BStr) -> Result<&'static Self> {
        MAKERS
            .iter()
            .find(|maker| maker.fstypes.iter().any(|it| fstype == it))
            .ok_or_else(|| Error::unsupported(format_args!("filesystem {fstype}")))
    }

    fn tool(&self, fstype: &BStr, device: &Device, options: &MkfsOptions) -> Result<Tool> {
        let lacks = |arg| Error::invalid(arg, format_args!("{fstype} has no such option"));
        let mut tool = Tool::new(self.program).args(self.force);
        if let Some(flag) = self.fstype {
            tool = tool.arg(flag).arg_bytes(fstype);
        }
        let numbers = [
            ("blocksize", options.blocksize, &self.blocksize),
            ("inode", options.inode, &self.inode),
            ("sectorsize", options.sectorsize, &self.sectorsize),
        ];
        for (arg, value, number) in numbers {
            let Some(value) = value else { continue };
            let number = number.as_ref().ok_or_else(|| lacks(arg))?;
            check_number(arg, value, &number.values)?;
            tool = tool.args((number.args)(value, options));
        }
        if let (Some(block), Some(sector)) = (options.blocksize, options.sectorsize)
            && block < sector
        {
            let why = format!("{block} is less than a sector, {sector}");
            return Err(Error::invalid("blocksize", why));
        }
        if let Some(features) = &options.features {
            let flag = self.features.as_ref().ok_or_else(|| lacks("features"))?.flag;
            tool = tool.arg(flag).arg_bytes(features);
        }
        if let Some(label) = &options.label {
            identity::check_label(self.fstypes[0], label.as_bstr())?;
            tool = tool.arg(self.label).arg_bytes(label);
        }
        Ok(tool.arg(device.path()))
    }

    /// What the program knows better than this table is the caller's mistake all the same.
    fn explain(&self, err: Error) -> Error {
        match (&self.features, err) {
            (Some(features), Error::Tool { stderr, .. }) if stderr.contains(features.complaint) => {
                let line = stderr.lines().find(|line| line.contains(features.complaint));
                Error::invalid("features", line.unwrap_or_default().trim())
            }
            (_, err) => err,
        }
    }
}

/// The command that makes a filesystem.  It is a value, so that a mistake of the caller is found
/// before anything is overwritten.
pub(super) struct Command {
    maker: &'static Maker,
    tool: Tool,
    renumber: Option<Tool>,
}

impl Command {
    pub(super) fn new(fstype: &BStr, device: &Device, options: &MkfsOptions) -> Result<Self> {
        let maker = Maker::find(fstype)?;
        if !crate::tool::exists(maker.program) {
            return Err(Error::unsupported(format_args!("filesystem {fstype}")));
        }
        let number = u64::from_ne_bytes(random()?);
        let renumber = maker.renumber.map(|tool| tool(device, number));
        Ok(Self { maker, tool: maker.tool(fstype, device, options)?, renumber })
    }

    pub(super) fn run(self) -> Result<()> {
        self.tool.run().map_err(|err| self.maker.explain(err))?;
        self.renumber.map_or(Ok(()), |tool| tool.run().map(drop))
    }
}

fn check_number(arg: &str, value: i32, values: &RangeInclusive<i32>) -> Result<()> {
    if values.contains(&value) && value.count_ones() == 1 {
        return Ok(());
    }
    let (min, max) = (values.start(), values.end());
    Err(Error::invalid(arg, format!("{value} is not a power of two from {min} to {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> MkfsOptions {
        MkfsOptions { blocksize: None, features: None, inode: None, sectorsize: None, label: None }
    }

    #[track_caller]
    fn check(fstype: &str, options: MkfsOptions, expected: &str) {
        let fstype = BStr::new(fstype);
        let device = Device::fake("/dev/sda");
        let got = Maker::find(fstype).and_then(|maker| maker.tool(fstype, &device, &options));
        let got = got.map_or_else(|err| format!("error: {err}"), |tool| tool.to_string());
        assert_eq!(got, expected);
    }

    #[test]
    fn command_lines() {
        check("ext4", none(), "mke2fs -F -q -t ext4 /dev/sda");
        let all = MkfsOptions {
            blocksize: Some(1024),
            features: Some("^resize_inode".into()),
            inode: Some(256),
            label: Some("A B".into()),
            ..none()
        };
        check(
            "ext2",
            all,
            "mke2fs -F -q -t ext2 -b 1024 -I 256 -O ^resize_inode -L 'A B' /dev/sda",
        );
        let all = MkfsOptions {
            blocksize: Some(4096),
            inode: Some(512),
            sectorsize: Some(512),
            label: Some("X".into()),
            ..none()
        };
        check("xfs", all, "mkfs.xfs -f -q -b size=4096 -i size=512 -s size=512 -L X /dev/sda");
        let vfat = MkfsOptions { blocksize: Some(4096), label: Some("B".into()), ..none() };
        check("vfat", vfat, "mkfs.fat -I --mbr=n -s 8 -n B /dev/sda");
        let vfat = MkfsOptions { blocksize: Some(4096), sectorsize: Some(4096), ..none() };
        check("msdos", vfat, "mkfs.fat -I --mbr=n -s 1 -S 4096 /dev/sda");
        let ntfs = MkfsOptions { blocksize: Some(4096), label: Some("".into()), ..none() };
        check("ntfs", ntfs, "mkntfs -F -Q -q -c 4096 -L '' /dev/sda");
        let btrfs = MkfsOptions { sectorsize: Some(4096), label: Some("-x".into()), ..none() };
        check("btrfs", btrfs, "mkfs.btrfs -f -q -s 4096 -L -x /dev/sda");
    }

    #[test]
    fn mistakes() {
        check("zfs", none(), "error: filesystem zfs is not supported by this appliance");
        check("ext4 ", none(), "error: filesystem ext4  is not supported by this appliance");
        let blocksize = |blocksize| MkfsOptions { blocksize: Some(blocksize), ..none() };
        let error = "error: blocksize: 1000 is not a power of two from 1024 to 65536";
        check("ext4", blocksize(1000), error);
        let error = "error: blocksize: -2147483648 is not a power of two from 1024 to 65536";
        check("ext4", blocksize(i32::MIN), error);
        let error = "error: blocksize: 512 is not a power of two from 1024 to 65536";
        check("ext4", blocksize(512), error);
        check("btrfs", blocksize(4096), "error: blocksize: btrfs has no such option");
        let options = MkfsOptions { blocksize: Some(512), sectorsize: Some(4096), ..none() };
        check("vfat", options, "error: blocksize: 512 is less than a sector, 4096");
        let options = MkfsOptions { inode: Some(256), ..none() };
        check("vfat", options, "error: inode: vfat has no such option");
        let options = MkfsOptions { features: Some("x".into()), ..none() };
        check("xfs", options, "error: features: xfs has no such option");
        let options = MkfsOptions { label: Some("a label that is long".into()), ..none() };
        check("vfat", options, "error: label: 20 bytes are more than vfat can have, 11");
    }
}
