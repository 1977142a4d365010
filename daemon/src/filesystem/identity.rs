// SPDX-License-Identifier: LGPL-2.1-or-later
//! Labels and UUIDs: what each filesystem can have, and the programs that change them.

use bstr::{BStr, ByteSlice};

use crate::block::Device;
use crate::error::{Error, Result};
use crate::tool::Tool;

/// What one family of filesystems lets be changed.
struct Identity {
    fstypes: &'static [&'static str],
    /// The longest label, and what it is measured in.
    label_max: (usize, Unit),
    /// What a label must not have, in words.
    forbidden: fn(&[u8]) -> Option<&'static str>,
    set_label: Option<fn(&Device, &BStr) -> Tool>,
    set_uuid: Option<fn(&Device, &str) -> Tool>,
    /// What the program prints when it has done its work, if its exit code does not tell.
    confirms: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Utf16,
}

const IDENTITIES: &[Identity] = &[
    Identity {
        fstypes: &["ext2", "ext3", "ext4"],
        label_max: (16, Unit::Bytes),
        forbidden: |_| None,
        set_label: Some(|device, label| {
            Tool::new("tune2fs").arg("-L").arg_bytes(label).arg(device.path())
        }),
        set_uuid: Some(|device, uuid| Tool::new("tune2fs").args(["-U", uuid]).arg(device.path())),
        confirms: None,
    },
    Identity {
        fstypes: &["xfs"],
        label_max: (12, Unit::Bytes),
        forbidden: |label| {
            let breaks = label.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'"');
            (breaks || label == b"--").then_some("xfs_db cannot set a label with blanks or quotes")
        },
        set_label: Some(|device, label| {
            let label = if label.is_empty() { BStr::new("--") } else { label };
            xfs_db(device, &[b"label ", label.as_bytes()].concat())
        }),
        set_uuid: Some(|device, uuid| xfs_db(device, format!("uuid {uuid}").as_bytes())),
        confirms: Some("new "),
    },
    Identity {
        fstypes: &["btrfs"],
        label_max: (255, Unit::Bytes),
        forbidden: |label| label.contains(&b'\n').then_some("btrfs takes no line breaks"),
        set_label: Some(|device, label| {
            let tool = Tool::new("btrfs").args(["filesystem", "label", "--"]);
            tool.arg(device.path()).arg_bytes(label)
        }),
        set_uuid: Some(|device, uuid| {
            Tool::new("btrfstune").args(["-f", "-U", uuid]).arg(device.path())
        }),
        confirms: None,
    },
    Identity {
        fstypes: &["vfat"],
        label_max: (11, Unit::Bytes),
        forbidden: |label| {
            let bad =
                |byte: &u8| !matches!(byte, b' '..=b'~') || b"*?.,;:/\\|+=<>[]\"".contains(byte);
            label.iter().any(bad).then_some("only printable ASCII, and none of *?.,;:/\\|+=<>[]\"")
        },
        set_label: Some(|device, label| {
            let tool = Tool::new("fatlabel");
            match label.is_empty() {
                true => tool.arg("-r").arg(device.path()),
                false => tool.arg("--").arg(device.path()).arg_bytes(label),
            }
        }),
        set_uuid: None,
        confirms: None,
    },
    Identity {
        fstypes: &["ntfs"],
        label_max: (128, Unit::Utf16),
        forbidden: |label| {
            label.starts_with(b"-").then_some("ntfslabel takes it for an option, with its hyphen")
        },
        set_label: Some(|device, label| Tool::new("ntfslabel").arg(device.path()).arg_bytes(label)),
        set_uuid: None,
        confirms: None,
    },
    Identity {
        fstypes: &["exfat"],
        label_max: (11, Unit::Utf16),
        forbidden: |_| None,
        set_label: None,
        set_uuid: None,
        confirms: None,
    },
    Identity {
        fstypes: &["f2fs"],
        label_max: (511, Unit::Utf16),
        forbidden: |_| None,
        set_label: None,
        set_uuid: None,
        confirms: None,
    },
    Identity {
        fstypes: &["swap"],
        // The sixteenth byte of the field is a NUL.
        label_max: (15, Unit::Bytes),
        forbidden: |_| None,
        set_label: Some(|device, label| {
            Tool::new("swaplabel").arg("-L").arg_bytes(label).arg(device.path())
        }),
        set_uuid: Some(|device, uuid| Tool::new("swaplabel").args(["-U", uuid]).arg(device.path())),
        confirms: None,
    },
];

fn xfs_db(device: &Device, command: &[u8]) -> Tool {
    let tool = Tool::new("xfs_db").args(["-x", "-p", "xfs_admin", "-c"]);
    tool.arg_bytes(command).arg(device.path())
}

fn find(fstype: &str) -> Option<&'static Identity> {
    IDENTITIES.iter().find(|it| it.fstypes.contains(&fstype))
}

/// Whether a filesystem of this type, which is known here, can have the label when it is made.
pub(crate) fn check_label(fstype: &str, label: &BStr) -> Result<()> {
    let Some(identity) = find(fstype) else { return Ok(()) };
    let (max, unit) = identity.label_max;
    let (len, unit) = match unit {
        Unit::Bytes => (label.len(), "bytes"),
        Unit::Utf16 => match label.to_str() {
            Ok(text) => (text.encode_utf16().count(), "units of UTF-16"),
            Err(_) => return Err(Error::invalid("label", "not UTF-8")),
        },
    };
    if len > max {
        let why = format!("{len} {unit} are more than {fstype} can have, {max}");
        return Err(Error::invalid("label", why));
    }
    Ok(())
}

/// Changes the label of what has this type.
pub(super) fn set_label(device: &Device, fstype: &str, label: &BStr) -> Result<()> {
    let unsupported = || Error::unsupported(format_args!("{device}: a new label for {fstype}"));
    let identity = find(fstype).ok_or_else(unsupported)?;
    let tool = identity.set_label.ok_or_else(unsupported)?;
    check_label(fstype, label)?;
    if let Some(why) = (identity.forbidden)(label) {
        return Err(Error::invalid("label", why));
    }
    identity.run(tool(device, label))
}

/// Changes the UUID of what has this type.
pub(super) fn set_uuid(device: &Device, fstype: &str, uuid: &str) -> Result<()> {
    let tool = find(fstype)
        .and_then(|it| Some((it, it.set_uuid?)))
        .ok_or_else(|| Error::unsupported(format_args!("{device}: a new UUID for {fstype}")));
    let (identity, tool) = tool?;
    identity.run(tool(device, uuid))
}

impl Identity {
    fn run(&self, tool: Tool) -> Result<()> {
        let Some(confirms) = self.confirms else { return tool.run() };
        let program = tool.to_string();
        let program = program.split(' ').next().unwrap_or_default().to_owned();
        let output = tool.output()?;
        if output.stdout.contains_str(confirms) {
            return Ok(());
        }
        let stderr = [output.stdout, output.stderr].concat();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Err(Error::Tool { program, status: output.status, stderr })
    }
}

/// The notation of a UUID, in small letters.
pub(crate) fn parse_uuid(uuid: &BStr) -> Result<String> {
    let is_uuid = uuid.len() == 36
        && uuid.iter().enumerate().all(|(idx, byte)| match idx {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    match is_uuid {
        true => Ok(uuid.to_string().to_ascii_lowercase()),
        false => Err(Error::invalid("uuid", format_args!("{uuid} is not a UUID"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(fstype: &str, label: &str) -> String {
        let identity = find(fstype).unwrap();
        if let Some(why) = (identity.forbidden)(label.as_bytes()) {
            return format!("error: {why}");
        }
        if let Err(err) = check_label(fstype, BStr::new(label)) {
            return format!("error: {err}");
        }
        identity.set_label.unwrap()(&Device::fake("/dev/sda"), BStr::new(label)).to_string()
    }

    #[test]
    fn labels() {
        #[track_caller]
        fn check(fstype: &str, label: &str, expected: &str) {
            assert_eq!(set(fstype, label), expected);
        }
        check("ext4", "sixteen-bytes-16", "tune2fs -L sixteen-bytes-16 /dev/sda");
        check("ext2", "", "tune2fs -L '' /dev/sda");
        check("ext3", "a b", "tune2fs -L 'a b' /dev/sda");
        let error = "error: label: 17 bytes are more than ext4 can have, 16";
        check("ext4", "seventeen-bytes17", error);
        check("xfs", "", "xfs_db -x -p xfs_admin -c 'label --' /dev/sda");
        check("xfs", "X", "xfs_db -x -p xfs_admin -c 'label X' /dev/sda");
        check("xfs", "a b", "error: xfs_db cannot set a label with blanks or quotes");
        check("btrfs", "-n", "btrfs filesystem label -- /dev/sda -n");
        check("vfat", "ESP", "fatlabel -- /dev/sda ESP");
        check("vfat", "", "fatlabel -r /dev/sda");
        let error = r#"error: only printable ASCII, and none of *?.,;:/\|+=<>[]""#;
        check("vfat", "größe", error);
        check("ntfs", "Größe", "ntfslabel /dev/sda Größe");
        check("swap", "s", "swaplabel -L s /dev/sda");
    }

    #[test]
    fn every_uuid_that_can_be_set() {
        let device = Device::fake("/dev/sda");
        let lines: Vec<String> = IDENTITIES
            .iter()
            .filter_map(|it| Some(it.set_uuid?(&device, "U").to_string()))
            .collect();
        assert_eq!(
            lines.join("\n"),
            "tune2fs -U U /dev/sda\n\
             xfs_db -x -p xfs_admin -c 'uuid U' /dev/sda\n\
             btrfstune -f -U U /dev/sda\n\
             swaplabel -U U /dev/sda"
        );
    }

    #[test]
    fn uuids() {
        #[track_caller]
        fn check(uuid: &str, expected: &str) {
            let got = parse_uuid(uuid.into()).unwrap_or_else(|err| err.to_string());
            assert_eq!(got, expected);
        }
        let uuid = "a3a61220-882b-4f61-89f4-cf24dcc7297d";
        check(uuid, uuid);
        check(&uuid.to_uppercase(), uuid);
        check("random", "uuid: random is not a UUID");
        check(&uuid.replace('-', "0"), "uuid: a3a612200882b04f61089f40cf24dcc7297d is not a UUID");
    }
}
