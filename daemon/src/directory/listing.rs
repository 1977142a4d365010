// SPDX-License-Identifier: LGPL-2.1-or-later
//! The listing that `ll` prints: what is found out about each file, and how that becomes columns.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bstr::{BStr, BString, ByteSlice};
use guestfs_protocol::wire::MESSAGE_MAX;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat, fstat, readlinkat, statat};
use rustix::io::dup;
use rustix::time::{ClockId, clock_gettime};

use super::walk::{enter, entries};
use crate::ctx::Ctx;
use crate::error::{About, Errno, Error, Result};
use crate::path::GuestPath;
use crate::xattr;

/// Half a year: files changed longer ago, or in the future, show the year and not the hour.
const RECENT: i64 = 365 * DAY / 2;

const DAY: i64 = 24 * 60 * 60;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A row without name is at least this long.
const ROW_MIN: usize = 40;

pub(crate) fn ll(cx: &mut Ctx, directory: &GuestPath) -> Result<BString> {
    list(cx, directory, false)
}

pub(crate) fn llz(cx: &mut Ctx, directory: &GuestPath) -> Result<BString> {
    list(cx, directory, true)
}

fn list(cx: &Ctx, directory: &GuestPath, labels: bool) -> Result<BString> {
    let file = match directory.as_bstr().ends_with(b"/") {
        true => cx.open(directory, OFlags::PATH)?,
        false => cx.open_nofollow(directory, OFlags::PATH)?,
    };
    let stat = fstat(&file).about(directory)?;
    let users = names_of(cx, "/etc/passwd");
    let groups = names_of(cx, "/etc/group");
    let label = |open: &dyn Fn() -> rustix::io::Result<OwnedFd>| labels.then(|| label(cx, open()));
    let row = |stat: &Stat, name: &BStr, target, label| Row {
        mode: stat.st_mode,
        links: stat.st_nlink,
        owner: users.of(stat.st_uid),
        group: groups.of(stat.st_gid),
        label,
        size: size(stat),
        time: stat.st_mtime,
        name: name.into(),
        target,
    };
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        let target = link_target(file.as_fd(), b"", &stat);
        let row = row(&stat, directory.as_bstr(), target, label(&|| dup(&file)));
        return Ok(table(&[row], now).into());
    }
    let open = enter(file.as_fd(), c".").about(directory)?;
    let mut names: Vec<BString> = Vec::new();
    let mut length = 0;
    entries(open.as_fd(), directory, |entry| {
        length += entry.name.count_bytes() + ROW_MIN;
        if length > MESSAGE_MAX {
            let text = format!("{directory}: too many files for one listing: use readdir");
            return Err(Error::TooBig(text));
        }
        names.push(entry.name.to_bytes().into());
        Ok(())
    })?;
    names.sort_unstable();
    let mut blocks = 0u64;
    let mut rows = Vec::with_capacity(names.len());
    for name in &names {
        let (stat, label) = match name.as_slice() {
            // Beside the guest's root there is the appliance, which is none of the guest's.
            b".." => {
                let parent = cx.open(&directory.join(name), OFlags::PATH)?;
                (fstat(&parent).about(directory.join(name))?, label(&|| dup(&parent)))
            }
            name => match statat(&open, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => {
                    (stat.about(directory.join(name))?, label(&|| xattr::open_entry(&open, name)))
                }
            },
        };
        blocks = blocks.saturating_add(stat.st_blocks.cast_unsigned());
        rows.push(row(&stat, name.as_bstr(), link_target(open.as_fd(), name, &stat), label));
    }
    let mut out = format!("total {}\n", blocks.div_ceil(2)).into_bytes();
    out.extend(table(&rows, now));
    Ok(out.into())
}

/// What is printed about one file.
#[derive(Debug)]
struct Row {
    mode: u32,
    links: u64,
    owner: BString,
    group: BString,
    /// SELinux label, in a listing that shows it.
    label: Option<BString>,
    /// Size in bytes, or the numbers of a device.
    size: String,
    /// Last change of the content, in seconds since 1970.
    time: i64,
    name: BString,
    /// Where a symbolic link leads.
    target: Option<BString>,
}

/// The column that tells the size of a file, or the number of a device.
fn size(stat: &Stat) -> String {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice | FileType::CharacterDevice => {
            format!("{}, {}", fs::major(stat.st_rdev), fs::minor(stat.st_rdev))
        }
        _ => stat.st_size.to_string(),
    }
}

/// Where a file leads, if it is a link.
fn link_target(directory: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Option<BString> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return None;
    }
    let target = readlinkat(directory, name, Vec::new()).ok()?;
    Some(target.into_bytes().into())
}

/// The SELinux label of a file, or a question mark.
fn label(cx: &Ctx, file: rustix::io::Result<OwnedFd>) -> BString {
    let label = file.and_then(|file| xattr::get(&cx.proc_fd(&file), xattr::SELINUX));
    let label = label.unwrap_or_default();
    let label = label.strip_suffix(b"\0").unwrap_or(&label);
    match !label.is_empty() && label.iter().all(u8::is_ascii_graphic) {
        true => label.into(),
        false => "?".into(),
    }
}

/// What the guest calls its users or groups; nothing if it does not say.
fn names_of(cx: &Ctx, file: &str) -> Names {
    Names::parse(&database(cx, file))
}

/// The content of `/etc/passwd` or a file like it; nothing if the guest has none.
pub(crate) fn database(cx: &Ctx, file: &str) -> Vec<u8> {
    /// Enough for every user of a large site.
    const MAX: u64 = 4 << 20;
    let read = || {
        let path = GuestPath::new("path", file.as_bytes())?;
        let file = cx.open_regular(&path, OFlags::RDONLY, Mode::empty())?;
        let mut text = Vec::new();
        file.take(MAX).read_to_end(&mut text).about(&path)?;
        Ok::<_, Error>(text)
    };
    read().unwrap_or_default()
}

/// Rows under each other; `now` decides which times are recent.
fn table(rows: &[Row], now: i64) -> Vec<u8> {
    let width = |column: fn(&Row) -> usize| rows.iter().map(column).max().unwrap_or(0);
    let links = width(|row| row.links.to_string().len());
    let owner = width(|row| row.owner.len());
    let group = width(|row| row.group.len());
    let label = width(|row| row.label.as_ref().map_or(0, |label| label.len()));
    let size = width(|row| row.size.len());
    let mut out = Vec::new();
    for row in rows {
        let line = format!(
            "{} {:>links$} {:owner$} {:group$} {}{:>size$} {} ",
            permissions(row.mode),
            row.links,
            row.owner.to_str_lossy(),
            row.group.to_str_lossy(),
            row.label
                .as_ref()
                .map_or_else(String::new, |it| format!("{:label$} ", it.to_str_lossy())),
            row.size,
            date(row.time, now),
        );
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(&row.name);
        if let Some(target) = &row.target {
            out.extend_from_slice(b" -> ");
            out.extend_from_slice(target);
        }
        out.push(b'\n');
    }
    out
}

/// Type and permissions in the ten letters of ls(1).
fn permissions(mode: u32) -> String {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Unknown => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, false) => letter.to_ascii_uppercase(),
            (true, true) => letter,
        });
    }
    text
}

/// A time in UTC, as ls(1) writes it in the C locale.
fn date(time: i64, now: i64) -> String {
    let (year, month, day) = civil(time.div_euclid(DAY));
    let month = MONTHS[month - 1];
    if (now - RECENT..=now).contains(&time) {
        let minutes = time.rem_euclid(DAY) / 60;
        format!("{month} {day:>2} {:02}:{:02}", minutes / 60, minutes % 60)
    } else {
        format!("{month} {day:>2} {year:>5}")
    }
}

/// Year, month from 1 and day from 1 of a day counted from the first of January 1970.
///
/// Years begin in March here, so that a leap day is the last of its year; 400 years are 146097
/// days (<https://howardhinnant.github.io/date_algorithms.html>).
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month as usize, day)
}

/// The names that `/etc/passwd` or `/etc/group` gives to numbers.
#[derive(Debug, Default)]
struct Names(HashMap<u32, BString>);

impl Names {
    /// The guest wrote this: a line that makes no sense, or a name that would spoil the table, is
    /// left out.
    fn parse(text: &[u8]) -> Self {
        let mut names = HashMap::new();
        for line in text.lines() {
            let mut fields = line.split(|&byte| byte == b':');
            let (Some(name), Some(_), Some(id)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let printable = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
            if let Some(id) = id.to_str().ok().and_then(|id| id.parse().ok())
                && printable
            {
                // The first line with a number gives the name, as in getpwuid(3).
                names.entry(id).or_insert_with(|| BString::from(name));
            }
        }
        Self(names)
    }

    /// The name, or the number if it has none.
    fn of(&self, id: u32) -> BString {
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    #[test]
    fn columns_line_up() {
        let row = |mode, links, owner: &str, size: &str, time, name: &str| Row {
            mode,
            links,
            owner: owner.into(),
            group: "0".into(),
            label: None,
            size: size.into(),
            time,
            name: name.into(),
            target: (mode & 0o170_000 == 0o120_000).then(|| "abc".into()),
        };
        let rows = [
            row(0o40755, 12, "root", "4096", NOW - 60, "."),
            row(0o20666, 1, "4711", "1, 3", NOW + 60, "null"),
            row(0o120_777, 1, "me", "3", 0, "link"),
        ];
        let expected = "\
drwxr-xr-x 12 root 0 4096 Nov 14 22:12 .
crw-rw-rw-  1 4711 0 1, 3 Nov 14  2023 null
lrwxrwxrwx  1 me   0    3 Jan  1  1970 link -> abc
";
        assert_eq!(table(&rows, NOW).as_bstr(), expected);
        let rows = rows.map(|row| Row { label: Some("a:b".into()), ..row });
        let line = table(&rows[2..], NOW);
        assert_eq!(line.as_bstr(), "lrwxrwxrwx 1 me 0 a:b 3 Jan  1  1970 link -> abc\n");
    }

    #[test]
    fn letters_of_a_mode() {
        #[track_caller]
        fn check(mode: u32, expected: &str) {
            assert_eq!(permissions(mode), expected);
        }
        check(0o100_000, "----------");
        check(0o104_755, "-rwsr-xr-x");
        check(0o107_000, "---S--S--T");
        check(0o41777, "drwxrwxrwt");
        check(0o60600, "brw-------");
        check(0o140_755, "srwxr-xr-x");
        check(0o10644, "prw-r--r--");
        check(0, "?---------");
    }

    #[test]
    fn dates() {
        #[track_caller]
        fn check(time: i64, expected: &str) {
            assert_eq!(date(time, NOW), expected);
        }
        check(-1, "Dec 31  1969");
        check(951_782_400, "Feb 29  2000");
        check(NOW, "Nov 14 22:13");
        check(253_402_300_800, "Jan  1 10000");
        // No filesystem of the guest, however damaged, makes this overflow.
        check(i64::MIN, "Jan 27 -292277022657");
        check(i64::MAX, "Dec  4 292277026596");
    }

    #[test]
    fn names_of_users() {
        let names = Names::parse(
            b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0\nbad\n\x1b[2J:x:5:5\nme:x:12\nno:x:-1:\n",
        );
        let named = [0, 5, 12, 4711].map(|id| names.of(id).to_string());
        assert_eq!(named, ["root", "5", "me", "4711"]);
    }
}
