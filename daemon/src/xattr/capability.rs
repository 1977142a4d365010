// SPDX-License-Identifier: LGPL-2.1-or-later
//! Capabilities of programs: their text, as in cap_from_text(3), and the attribute that the kernel
//! keeps.

use std::fmt::{self, Write};

use bstr::{BStr, BString, ByteSlice};
use rustix::fs::{FileType, OFlags, fstat};

use super::{get_if_any, set};
use crate::ctx::Ctx;
use crate::error::{About, Error, Result};
use crate::path::GuestPath;

const ATTRIBUTE: &[u8] = b"security.capability";

/// Without `cap_`; the place is the number.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Room for those to come.
const BITS: usize = 64;

/// Set in the first word of the attribute if permitted capabilities are effective too.
const EFFECTIVE_FLAG: u32 = 1;
const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_1: u32 = 0x0100_0000;
const REVISION_2: u32 = 0x0200_0000;
/// With the user namespace in which it counts.
const REVISION_3: u32 = 0x0300_0000;

pub(crate) fn cap_get_file(cx: &mut Ctx, path: &GuestPath) -> Result<BString> {
    let file = cx.open(path, OFlags::PATH)?;
    match get_if_any(&cx.proc_fd(&file), ATTRIBUTE).about(path)? {
        Some(value) => match Capabilities::decode(&value) {
            Some(capabilities) => Ok(capabilities.to_string().into()),
            None => Err(Error::invalid(path, "the capabilities on the disk are in no known form")),
        },
        None => Ok(BString::default()),
    }
}

pub(crate) fn cap_set_file(cx: &mut Ctx, path: &GuestPath, cap: &BStr) -> Result<()> {
    let value = Capabilities::parse(cap).and_then(|it| it.encode());
    let value = value.map_err(|why| Error::invalid("cap", why))?;
    let file = cx.open(path, OFlags::PATH)?;
    if FileType::from_raw_mode(fstat(&file).about(path)?.st_mode) != FileType::RegularFile {
        return Err(Error::invalid(path, "only a regular file can have capabilities"));
    }
    set(&cx.proc_fd(&file), ATTRIBUTE, &value).about(path)
}

/// Three sets, a bit for each capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Capabilities {
    effective: u64,
    inheritable: u64,
    permitted: u64,
}

impl Capabilities {
    /// The guest wrote this.
    fn decode(value: &[u8]) -> Option<Self> {
        let (words, []) = value.as_chunks::<4>() else { return None };
        let words: Vec<u32> = words.iter().map(|&word| u32::from_le_bytes(word)).collect();
        let first = *words.first()?;
        let wide = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let (permitted, inheritable) = match (first & REVISION_MASK, &words[1..]) {
            (REVISION_1, &[p, i]) => (p.into(), i.into()),
            (REVISION_2, &[p0, i0, p1, i1]) | (REVISION_3, &[p0, i0, p1, i1, _]) => {
                (wide(p0, p1), wide(i0, i1))
            }
            _ => return None,
        };
        let effective = match first & EFFECTIVE_FLAG {
            0 => 0,
            _ => permitted | inheritable,
        };
        Some(Self { effective, inheritable, permitted })
    }

    fn encode(self) -> Result<Vec<u8>, String> {
        let flag = match self.effective {
            0 => 0,
            bits if bits == self.permitted | self.inheritable => EFFECTIVE_FLAG,
            _ => {
                return Err("a file has e for all that is permitted or inheritable, or for none \
                            of it"
                    .into());
            }
        };
        let halves = |bits: u64| [bits as u32, (bits >> 32) as u32];
        let (p, i) = (halves(self.permitted), halves(self.inheritable));
        let words = [REVISION_2 | flag, p[0], i[0], p[1], i[1]];
        Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let mut capabilities = Self::default();
        for clause in text.fields_with(|c| c.is_ascii_whitespace()) {
            let applied = capabilities.apply(clause);
            applied.map_err(|why| format!("{:?}: {why}", clause.as_bstr()))?;
        }
        Ok(capabilities)
    }

    /// Does what a clause such as `cap_chown,cap_kill=p+e` says.
    fn apply(&mut self, clause: &[u8]) -> Result<(), &'static str> {
        let at = clause.find_byteset(b"=+-").ok_or("there is no =, + or -")?;
        let (list, mut actions) = clause.split_at(at);
        let chosen = match list {
            b"" => all(),
            list => list.split_str(",").try_fold(0, |bits, name| Ok(bits | number(name)?))?,
        };
        let mut is_first = true;
        while let Some((&operator, rest)) = actions.split_first() {
            if list.is_empty() && !(is_first && operator == b'=') {
                return Err("without capabilities there can only be one =");
            }
            let end = rest.find_byteset(b"=+-").unwrap_or(rest.len());
            let (flags, later) = rest.split_at(end);
            match operator {
                b'=' if is_first => {
                    for set in [&mut self.effective, &mut self.inheritable, &mut self.permitted] {
                        *set &= !chosen;
                    }
                }
                b'=' => return Err("= comes first or not at all"),
                _ if flags.is_empty() => return Err("+ and - need letters"),
                _ => {}
            }
            for flag in flags {
                let set = match flag {
                    b'e' => &mut self.effective,
                    b'i' => &mut self.inheritable,
                    b'p' => &mut self.permitted,
                    _ => return Err("the letters are e, i and p"),
                };
                match operator {
                    b'-' => *set &= !chosen,
                    _ => *set |= chosen,
                }
            }
            actions = later;
            is_first = false;
        }
        Ok(())
    }

    /// The sets that a capability is in: 1 effective, 2 permitted, 4 inheritable.
    fn state(self, number: usize) -> usize {
        let bit = |set: u64| (set >> number & 1) as usize;
        bit(self.effective) | bit(self.permitted) << 1 | bit(self.inheritable) << 2
    }
}

/// In the words of cap_to_text(3): what most capabilities have comes first, then the exceptions.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut count = [0; 8];
        for number in 0..NAMES.len() {
            count[self.state(number)] += 1;
        }
        // Of those that are equally frequent, the one with the fewest letters.
        let common = (0..8).rev().max_by_key(|&state| count[state]).unwrap_or_default();
        let mut exceptions = String::new();
        let mut starts_afresh = false;
        for state in (0..8).rev().filter(|&state| state != common) {
            let names = self.list(state, 0..NAMES.len(), |n| format!("cap_{}", NAMES[n]));
            let (gained, lost) = (state & !common, common & !state);
            if names.is_empty() {
                continue;
            }
            let plus = match common == 0 && !starts_afresh {
                true => '=',
                false => '+',
            };
            starts_afresh |= common == 0;
            write!(exceptions, " {names}")?;
            if gained != 0 {
                write!(exceptions, "{plus}{}", letters(gained))?;
            }
            if lost != 0 {
                write!(exceptions, "-{}", letters(lost))?;
            }
        }
        if starts_afresh {
            f.write_str(exceptions.trim_start())?;
        } else {
            write!(f, "={}{exceptions}", letters(common))?;
        }
        // What is true of all is not said of those that have no name.
        for state in (1..8).rev() {
            let numbers = self.list(state, NAMES.len()..BITS, |n| n.to_string());
            if !numbers.is_empty() {
                write!(f, " {numbers}+{}", letters(state))?;
            }
        }
        Ok(())
    }
}

impl Capabilities {
    fn list(
        self,
        state: usize,
        mut numbers: std::ops::Range<usize>,
        name: impl Fn(usize) -> String,
    ) -> String {
        let chosen = numbers.by_ref().filter(|&number| self.state(number) == state);
        chosen.map(name).collect::<Vec<_>>().join(",")
    }
}

fn letters(state: usize) -> String {
    let letter = |(bit, letter)| (state & bit != 0).then_some(letter);
    [(1, 'e'), (4, 'i'), (2, 'p')].into_iter().filter_map(letter).collect()
}

/// All that have a name.
fn all() -> u64 {
    (1 << NAMES.len()) - 1
}

fn number(name: &[u8]) -> Result<u64, &'static str> {
    let name = name.to_ascii_lowercase();
    if name == b"all" {
        return Ok(all());
    }
    let named = name
        .strip_prefix(b"cap_")
        .and_then(|name| NAMES.iter().position(|known| known.as_bytes() == name));
    let number = named.or_else(|| name.to_str().ok()?.parse().ok().filter(|&it| it < BITS));
    number.map(|number| 1 << number).ok_or("there is no such capability")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let got = match Capabilities::parse(text.as_bytes()) {
            Ok(capabilities) => {
                let text = capabilities.to_string();
                assert_eq!(Capabilities::parse(text.as_bytes()), Ok(capabilities));
                text
            }
            Err(why) => why,
        };
        assert_eq!(got, expected);
    }

    /// What cap_to_text(3) makes of what cap_from_text(3) reads.
    #[test]
    fn texts() {
        check("cap_net_raw=ep", "cap_net_raw=ep");
        check("cap_net_raw+pe", "cap_net_raw=ep");
        check("CAP_Net_Raw=ep", "cap_net_raw=ep");
        check("=ep", "=ep");
        check("all=ep", "=ep");
        check("all+p", "=p");
        check("=", "=");
        check("", "=");
        check(" \t", "=");
        check("cap_net_raw,cap_sys_admin=p cap_chown=i", "cap_chown=i cap_net_raw,cap_sys_admin+p");
        check("all=p cap_chown-p", "=p cap_chown-p");
        check("=p cap_chown+e", "=p cap_chown+e");
        check("cap_chown=ep cap_fowner+i", "cap_fowner=i cap_chown+ep");
        check("63=ep", "= 63+ep");
        check("cap_chown=", "=");
        check("cap_chown+ep-i", "cap_chown=ep");
        check("=ep cap_chown=", "=ep cap_chown-ep");
        check("all,cap_chown=p", "=p");
        check("40,41=p", "cap_checkpoint_restore=p 41+p");
        check("cap_chown=p+i", "cap_chown=ip");
        check("=eip cap_chown-eip", "=eip cap_chown-eip");
    }

    #[test]
    fn what_is_no_text() {
        check("cap_chown", "\"cap_chown\": there is no =, + or -");
        check("foo=p", "\"foo=p\": there is no such capability");
        check("64=p", "\"64=p\": there is no such capability");
        check("cap_chown,=p", "\"cap_chown,=p\": there is no such capability");
        check("cap_chown=P", "\"cap_chown=P\": the letters are e, i and p");
        check("cap_chown=e=p", "\"cap_chown=e=p\": = comes first or not at all");
        check("cap_chown+", "\"cap_chown+\": + and - need letters");
        check("+p", "\"+p\": without capabilities there can only be one =");
        check("=p+i", "\"=p+i\": without capabilities there can only be one =");
        check("cap_kill=p x", "\"x\": there is no =, + or -");
    }

    #[test]
    fn the_attribute() {
        #[track_caller]
        fn check(text: &str, expected: &[u8]) {
            let capabilities = Capabilities::parse(text.as_bytes()).unwrap();
            assert_eq!(capabilities.encode().unwrap().as_bstr(), expected.as_bstr());
            assert_eq!(Capabilities::decode(expected), Some(capabilities));
        }
        check("cap_net_raw=ep", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        check("=p", b"\0\0\0\x02\xff\xff\xff\xff\0\0\0\0\xff\x01\0\0\0\0\0\0");
        check("cap_chown=i", b"\0\0\0\x02\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0");
        check("=", b"\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        for text in ["cap_chown=e", "cap_chown=ep cap_kill=p", "cap_chown=p cap_kill=e"] {
            assert!(Capabilities::parse(text.as_bytes()).unwrap().encode().is_err(), "{text}");
        }
    }

    #[test]
    fn attributes_of_other_systems() {
        let text = |value: &[u8]| Capabilities::decode(value).map(|it| it.to_string());
        let old = b"\x01\0\0\x01\0\x20\0\0\0\0\0\0";
        let with_owner = b"\x01\0\0\x03\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe8\x03\0\0";
        assert_eq!(text(old).as_deref(), Some("cap_net_raw=ep"));
        assert_eq!(text(with_owner).as_deref(), Some("cap_net_raw=ep"));
        for damaged in [&b""[..], b"\0", &old[..8], &with_owner[..20], b"\0\0\0\x04\0\0\0\0"] {
            assert_eq!(text(damaged), None);
        }
    }
}
