// SPDX-License-Identifier: LGPL-2.1-or-later
//! The tables that `df` and `df_h` print about the guest's filesystems.

use bstr::{BString, ByteSlice};
use rustix::fs::{OFlags, StatVfs, fstatvfs};

use crate::ctx::Ctx;
use crate::error::{About, Result};
use crate::path::GuestPath;

pub(crate) fn df(cx: &mut Ctx) -> Result<BString> {
    let headings = ["Filesystem", "1K-blocks", "Used", "Available", "Use%", "Mounted on"];
    Ok(table(headings, &filesystems(cx)?, |bytes| bytes.div_ceil(1024).to_string()))
}

pub(crate) fn df_h(cx: &mut Ctx) -> Result<BString> {
    let headings = ["Filesystem", "Size", "Used", "Avail", "Use%", "Mounted on"];
    Ok(table(headings, &filesystems(cx)?, human))
}

/// The space of a filesystem, in bytes.
struct Space {
    device: BString,
    size: u128,
    used: u128,
    available: u128,
    mountpoint: BString,
}

impl Space {
    fn new(device: BString, mountpoint: BString, stat: &StatVfs) -> Self {
        let bytes = |blocks: u64| u128::from(blocks) * u128::from(stat.f_frsize);
        Self {
            device,
            size: bytes(stat.f_blocks),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            available: bytes(stat.f_bavail),
            mountpoint,
        }
    }

    /// How full it is for ordinary users, rounded up.
    fn percent(&self) -> String {
        match self.used + self.available {
            0 => "-".to_owned(),
            total => format!("{}%", (100 * self.used).div_ceil(total)),
        }
    }
}

fn filesystems(cx: &mut Ctx) -> Result<Vec<Space>> {
    let mut filesystems = Vec::new();
    for (device, mountpoint) in crate::mount::mountpoints(cx)? {
        let path = GuestPath::new("mount point", &mountpoint)?;
        let stat = fstatvfs(cx.open(&path, OFlags::PATH)?).about(&path)?;
        filesystems.push(Space::new(device, mountpoint, &stat));
    }
    Ok(filesystems)
}

fn table(headings: [&str; 6], rows: &[Space], size: fn(u128) -> String) -> BString {
    let mut cells = vec![headings.map(BString::from)];
    cells.extend(rows.iter().map(|row| {
        let numbers = [row.size, row.used, row.available].map(|bytes| BString::from(size(bytes)));
        let [total, used, available] = numbers;
        let percent = row.percent().into();
        [row.device.clone(), total, used, available, percent, row.mountpoint.clone()]
    }));
    let width = |column: usize| cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut out = BString::default();
    for row in &cells {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width - cell.len());
            match column {
                0 => out.extend([cell.as_bytes(), padding.as_bytes()].concat()),
                5 => out.extend([b" ", cell.as_bytes()].concat()),
                _ => out.extend([b" ", padding.as_bytes(), cell].concat()),
            }
        }
        out.push(b'\n');
    }
    out
}

/// A size in units of 1024, rounded up to what three or four characters can hold, as df(1) does.
fn human(bytes: u128) -> String {
    let mut unit: u128 = 1;
    for suffix in ["", "K", "M", "G", "T", "P", "E", "Z"] {
        let whole = bytes.div_ceil(unit);
        let tenths = (bytes * 10).div_ceil(unit);
        match (suffix, tenths, whole) {
            ("", _, 0..1024) => return whole.to_string(),
            (_, 0..100, _) if !suffix.is_empty() => {
                return format!("{}.{}{suffix}", tenths / 10, tenths % 10);
            }
            (_, _, 0..1024) => return format!("{whole}{suffix}"),
            _ => unit *= 1024,
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let space = |device: &str, size, used, available, mountpoint: &str| Space {
            device: device.into(),
            size,
            used,
            available,
            mountpoint: mountpoint.into(),
        };
        let rows = [
            space("/dev/sda1", 100 << 20, 33 << 20, 62 << 20, "/"),
            space("btrfsvol:/dev/sdb/home", 3 << 40, 0, 3 << 40, "/home"),
            space("/dev/sdc", 0, 0, 0, "/run/a b"),
        ];
        let kib = |bytes: u128| (bytes / 1024).to_string();
        let headings = ["Filesystem", "1K-blocks", "Used", "Available", "Use%", "Mounted on"];
        let expected = "\
Filesystem              1K-blocks  Used  Available Use% Mounted on
/dev/sda1                  102400 33792      63488  35% /
btrfsvol:/dev/sdb/home 3221225472     0 3221225472   0% /home
/dev/sdc                        0     0          0    - /run/a b
";
        assert_eq!(table(headings, &rows, kib), expected);
    }

    #[test]
    fn sizes_for_people() {
        #[track_caller]
        fn check(bytes: u128, expected: &str) {
            assert_eq!(human(bytes), expected);
        }
        check(0, "0");
        check(1023, "1023");
        check(1024, "1.0K");
        check(1025, "1.1K");
        check(10 * 1024, "10K");
        check(10 * 1024 - 1, "10K");
        check(1024 * 1024 - 1, "1.0M");
        check(100 << 20, "100M");
        check(3 << 39, "1.5T");
        // A damaged filesystem may claim anything.
        check(u128::from(u64::MAX) * 4096, "64Z");
    }
}
