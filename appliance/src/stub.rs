// SPDX-License-Identifier: LGPL-2.1-or-later
//! A library without content, in place of one that is not worth its size.
//!
//! libaugeas is linked against libxml2 for the sake of a function that nobody here calls, and that
//! against 30 MB of ICU's tables.  The dynamic linker is content with a library of the name that
//! has the symbols; a program that used one of them would crash.

/// The library that is replaced, and what libaugeas wants of it.
pub(crate) const LIBXML2: &str = "libxml2.so.2";
pub(crate) const LIBXML2_VERSION: &str = "LIBXML2_2.4.30";
pub(crate) const LIBXML2_SYMBOLS: &[&str] = &[
    "xmlElemDump",
    "xmlFree",
    "xmlFreeNode",
    "xmlNewChild",
    "xmlNewNode",
    "xmlNewTextChild",
    "xmlSetProp",
];

/// Sizes of the structures of a 64-bit ELF file.
const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
const SYMBOL: u64 = 24;

/// Kinds of segments, and their permissions.
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const STACK: u32 = 0x6474_e551;
const READ_WRITE: u32 = 6;

/// A shared library of the x86_64 architecture, with symbols of one version.
pub(crate) fn library(name: &str, version: &str, symbols: &[&str]) -> Vec<u8> {
    let mut strings = vec![0];
    let mut string = |text: &str| {
        let at = strings.len() as u32;
        strings.extend(text.as_bytes());
        strings.push(0);
        at
    };
    let soname = string(name);
    // The first symbol is none.
    let mut table = vec![0; SYMBOL as usize];
    for symbol in symbols {
        table.extend(string(symbol).to_le_bytes());
        // Global, of no type, in the first section; a place that cannot be executed.
        table.extend([1 << 4, 0, 1, 0]);
        table.extend(HEADER.to_le_bytes());
        table.extend(0_u64.to_le_bytes());
    }
    // The library itself is the first version.
    let mut versions = Vec::new();
    for (index, text, at, next) in [(1_u16, name, soname, 28_u32), (2, version, string(version), 0)]
    {
        let is_base = u16::from(index == 1);
        versions.extend([1, is_base, index, 1].iter().flat_map(|it| it.to_le_bytes()));
        versions.extend([elf_hash(text), 20, next, at, 0].iter().flat_map(|it| it.to_le_bytes()));
    }
    let version_of = (0..=symbols.len()).map(|at| if at == 0 { 0_u16 } else { 2 });
    let version_of: Vec<u8> = version_of.flat_map(u16::to_le_bytes).collect();
    // One bucket, in which each symbol leads to the next, and the last to none.
    let count = symbols.len() as u32 + 1;
    let chain = (0..count).map(|at| if at == 0 || at + 1 == count { 0 } else { at + 1 });
    let hash: Vec<u8> = [1, count, 1].into_iter().chain(chain).flat_map(u32::to_le_bytes).collect();
    let dynamic_at = HEADER + 3 * PROGRAM_HEADER;
    let symbols_at = dynamic_at + 10 * 16;
    let hash_at = symbols_at + table.len() as u64;
    let versions_at = hash_at + hash.len() as u64;
    let version_of_at = versions_at + versions.len() as u64;
    let strings_at = version_of_at + version_of.len() as u64;
    let end = strings_at + strings.len() as u64;
    let dynamic = [
        (14, u64::from(soname)),
        (4, hash_at),
        (5, strings_at),
        (6, symbols_at),
        (10, strings.len() as u64),
        (11, SYMBOL),
        (0x6fff_fff0, version_of_at),
        (0x6fff_fffc, versions_at),
        (0x6fff_fffd, 2),
        (0, 0),
    ];
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // A shared object for x86_64 of version 1.
    file.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    file.extend([0, HEADER, 0].iter().flat_map(|it| it.to_le_bytes()));
    let sizes = [0, 0, HEADER as u16, PROGRAM_HEADER as u16, 3, 64, 0, 0];
    file.extend(sizes.iter().flat_map(|it| it.to_le_bytes()));
    for (kind, at, size) in
        [(LOAD, 0, end), (DYNAMIC, dynamic_at, symbols_at - dynamic_at), (STACK, 0, 0)]
    {
        file.extend([kind, READ_WRITE].iter().flat_map(|it| it.to_le_bytes()));
        let alignment = if kind == LOAD { 0x1000 } else { 8 };
        let numbers: [u64; 6] = [at, at, at, size, size, alignment];
        file.extend(numbers.iter().flat_map(|it| it.to_le_bytes()));
    }
    for (tag, value) in dynamic {
        file.extend([tag, value].iter().flat_map(|it: &u64| it.to_le_bytes()));
    }
    [file, table, hash, versions, version_of, strings].concat()
}

/// The hash of the System V ABI.
fn elf_hash(text: &str) -> u32 {
    text.bytes().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Elf;

    #[test]
    fn it_is_a_library_of_nothing() {
        let bytes = library(LIBXML2, LIBXML2_VERSION, LIBXML2_SYMBOLS);
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(elf.needed().unwrap(), [""; 0]);
        assert!(bytes.len() < 1024);
    }
}
