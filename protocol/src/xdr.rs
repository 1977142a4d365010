// SPDX-License-Identifier: LGPL-2.1-or-later
//! XDR values as the protocol uses them, decoded from bytes that may be hostile.
//!
//! `xdr-codec` does the encoding, but by itself it accepts an opaque that is cut short, loops on a
//! truncated fixed opaque, allocates whatever a length word says and insists on UTF-8.  So the
//! generated code decodes from [`Strict`] only, and variable lengths go through the functions
//! here, which compare the length word with the bytes that are left before anything is allocated.

use std::io;

use bstr::{BString, ByteSlice};
use xdr_codec::{Error, Pack, Result, Unpack, Write};

use crate::Key;

/// Reads one message: a slice whose end is an error and not a short read.
#[derive(Debug)]
pub struct Strict<'a> {
    left: &'a [u8],
    n_absent: u32,
}

impl<'a> Strict<'a> {
    /// A reader of exactly these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, n_absent: 0 }
    }

    /// The bytes that have not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.left
    }

    /// How many optional arguments there was nothing left for.
    pub fn n_absent(&self) -> u32 {
        self.n_absent
    }

    /// The length word at the front, if that many units of at least `unit` bytes can follow it.
    fn check_len(&self, max: usize, unit: usize) -> Result<usize> {
        let Some((word, rest)) = self.left.split_first_chunk::<4>() else {
            return Err(truncated());
        };
        let len = u32::from_be_bytes(*word) as usize;
        if len > max {
            return Err(Error::invalidlen(len));
        }
        match len.checked_mul(unit) {
            Some(bytes) if bytes <= rest.len() => Ok(len),
            _ => Err(truncated()),
        }
    }

    fn skip(&mut self, n: usize) {
        self.left = &self.left[n..];
    }
}

impl io::Read for Strict<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // A read of nothing at the end would make xdr-codec ask again for ever.
        if self.left.is_empty() && !buf.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        io::Read::read(&mut self.left, buf)
    }
}

fn truncated() -> Error {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}

fn nul() -> Error {
    io::Error::new(io::ErrorKind::InvalidData, "NUL byte in a string").into()
}

/// Decodes a `string<>` or `opaque<>` of at most `max` bytes.
pub fn unpack_bytes(input: &mut Strict<'_>, max: usize) -> Result<(Vec<u8>, usize)> {
    let len = input.check_len(max, 1)?;
    if len.next_multiple_of(4) > input.left.len() - 4 {
        return Err(truncated());
    }
    xdr_codec::unpack_opaque_flex(input, Some(max))
}

/// Decodes a `string<>`.  Names of guest files are bytes, so this does not ask for UTF-8; a NUL
/// cannot be in a string of C and is an error.
pub fn unpack_text(input: &mut Strict<'_>) -> Result<(BString, usize)> {
    let (bytes, size) = unpack_bytes(input, crate::wire::MESSAGE_MAX)?;
    if bytes.contains(&0) {
        return Err(nul());
    }
    Ok((bytes.into(), size))
}

/// Decodes a `string<>` that is a secret, without a copy on the way.
pub fn unpack_key(input: &mut Strict<'_>) -> Result<(Key, usize)> {
    let len = input.check_len(crate::wire::MESSAGE_MAX, 1)?;
    let size = 4 + len.next_multiple_of(4);
    let Some(padded) = input.left.get(4..size) else { return Err(truncated()) };
    let bytes = &padded[..len];
    if bytes.contains(&0) {
        return Err(nul());
    }
    let key = Key::new(bytes)?;
    input.skip(size);
    Ok((key, size))
}

/// Decodes an array of `string<>`.
pub fn unpack_text_list(input: &mut Strict<'_>) -> Result<(Vec<BString>, usize)> {
    unpack_with(input, unpack_text)
}

/// Decodes an optional argument.  A caller that is older than the argument does not send it: if the
/// message is at its end, this was not given, and has the value of one that is not given.
pub fn unpack_trailing<'a, T: Default>(
    input: &mut Strict<'a>,
    unpack: impl FnOnce(&mut Strict<'a>) -> Result<(T, usize)>,
) -> Result<(T, usize)> {
    if !input.left.is_empty() {
        return unpack(input);
    }
    input.n_absent += 1;
    Ok((T::default(), 0))
}

/// Decodes an array of structures.
pub fn unpack_list<'a, T: Unpack<Strict<'a>>>(input: &mut Strict<'a>) -> Result<(Vec<T>, usize)> {
    unpack_with(input, T::unpack)
}

fn unpack_with<'a, T>(
    input: &mut Strict<'a>,
    element: impl Fn(&mut Strict<'a>) -> Result<(T, usize)>,
) -> Result<(Vec<T>, usize)> {
    // No element is shorter than a word, so the bytes left bound what is allocated.
    let len = input.check_len(crate::wire::MESSAGE_MAX, 4)?;
    input.skip(4);
    let mut list = Vec::with_capacity(len.min(4096));
    let mut size = 4;
    for _ in 0..len {
        let (item, n) = element(input)?;
        size += n;
        list.push(item);
    }
    Ok((list, size))
}

/// Decodes an optional string: a flag and, if it is set, a `string<>`.
pub fn unpack_opt_text(input: &mut Strict<'_>) -> Result<(Option<BString>, usize)> {
    let (present, n) = bool::unpack(input)?;
    if !present {
        return Ok((None, n));
    }
    let (text, m) = unpack_text(input)?;
    Ok((Some(text), n + m))
}

/// Decodes an `opaque[32]`, an LVM identifier without its dashes.
pub fn unpack_uuid(input: &mut Strict<'_>) -> Result<([u8; 32], usize)> {
    let Some((uuid, _)) = input.left.split_first_chunk::<32>() else {
        return Err(truncated());
    };
    input.skip(uuid.len());
    Ok((*uuid, uuid.len()))
}

/// Decodes a `char`: XDR sends it as an integer.
pub fn unpack_char(input: &mut Strict<'_>) -> Result<(u8, usize)> {
    let (value, n) = i32::unpack(input)?;
    // A signed char of C arrives sign-extended.
    match u8::try_from(value).or_else(|_| i8::try_from(value).map(|c| c as u8)) {
        Ok(c) => Ok((c, n)),
        Err(_) => Err(Error::invalidenum(value)),
    }
}

/// Encodes a `string<>` or `opaque<>`.
pub fn pack_bytes<Out: Write>(bytes: &[u8], out: &mut Out) -> Result<usize> {
    xdr_codec::pack_opaque_flex(bytes, None, out)
}

/// Encodes a `string<>`.  It cannot have a NUL, and the other side refuses one, so those of a text
/// that a guest has made, such as the output of a program, are left out.
pub fn pack_text<Out: Write>(text: &[u8], out: &mut Out) -> Result<usize> {
    match text.contains(&0) {
        false => pack_bytes(text, out),
        true => pack_bytes(&text.replace([0], ""), out),
    }
}

/// Encodes an array of `string<>`.
pub fn pack_text_list<Out: Write>(list: &[BString], out: &mut Out) -> Result<usize> {
    let mut size = pack_len(list.len(), out)?;
    for text in list {
        size += pack_text(text, out)?;
    }
    Ok(size)
}

/// Encodes an array of structures.
pub fn pack_list<Out: Write, T: Pack<Out>>(list: &[T], out: &mut Out) -> Result<usize> {
    let mut size = pack_len(list.len(), out)?;
    for item in list {
        size += item.pack(out)?;
    }
    Ok(size)
}

/// Encodes an optional string.
pub fn pack_opt_text<Out: Write>(text: &Option<BString>, out: &mut Out) -> Result<usize> {
    match text {
        None => false.pack(out),
        Some(text) => Ok(true.pack(out)? + pack_text(text, out)?),
    }
}

/// Encodes an `opaque[32]`.
pub fn pack_uuid<Out: Write>(uuid: &[u8; 32], out: &mut Out) -> Result<usize> {
    out.write_all(uuid)?;
    Ok(uuid.len())
}

/// Encodes a `char`.
pub fn pack_char<Out: Write>(c: u8, out: &mut Out) -> Result<usize> {
    i32::from(c).pack(out)
}

fn pack_len<Out: Write>(len: usize, out: &mut Out) -> Result<usize> {
    match u32::try_from(len) {
        Ok(len) => len.pack(out),
        Err(_) => Err(Error::invalidlen(len)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_text(bytes: &[u8], expected: &str) {
        let mut input = Strict::new(bytes);
        let got = match unpack_text(&mut input) {
            Ok((text, n)) => format!("{text:?} {n}, {} left", input.rest().len()),
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn strings() {
        check_text(b"\0\0\0\x03abc\0", r#""abc" 8, 0 left"#);
        check_text(b"\0\0\0\0rest", r#""" 4, 4 left"#);
        check_text(b"\0\0\0\x01\xe9\0\0\0", r#""\xe9" 8, 0 left"#);
        check_text(b"\0\0\0\x03abc", "error: unexpected end of file");
        check_text(b"\0\0\0\x04abc", "error: unexpected end of file");
        check_text(b"\0\0", "error: unexpected end of file");
        check_text(b"\xff\xff\xff\xffabcd", "error: invalid array len: '4294967295'");
        check_text(b"\0\0\0\x03a\0c\0", "error: NUL byte in a string");
    }

    #[test]
    fn nul_bytes_are_left_out() {
        let mut bytes = Vec::new();
        pack_text(b"a\0b\0", &mut bytes).unwrap();
        assert_eq!(bytes, b"\0\0\0\x02ab\0\0");
        bytes.clear();
        pack_text_list(&["\0".into(), "\0c".into()], &mut bytes).unwrap();
        assert_eq!(unpack_text_list(&mut Strict::new(&bytes)).unwrap().0, ["", "c"]);
        bytes.clear();
        pack_opt_text(&Some("\0d".into()), &mut bytes).unwrap();
        assert_eq!(unpack_opt_text(&mut Strict::new(&bytes)).unwrap().0, Some("d".into()));
    }

    #[test]
    fn keys_are_strings() {
        for bytes in [
            &b"\0\0\0\x03abc\0rest"[..],
            b"\0\0\0\0",
            b"\0\0\0\x03abc",
            b"\0\0\0\x03a\0c\0",
            b"\0\0\0\x03abcd",
            b"\0\0",
        ] {
            let mut input = Strict::new(bytes);
            let text = unpack_text(&mut input).ok();
            let text = text.map(|(text, n)| (Vec::from(text), n, input.rest()));
            let mut input = Strict::new(bytes);
            let key = unpack_key(&mut input).ok();
            let key = key.map(|(key, n)| (key.as_ref().to_vec(), n, input.rest()));
            assert_eq!(key, text, "{bytes:?}");
        }
    }

    #[test]
    fn lists_do_not_trust_their_length() {
        let lie = b"\0\x0f\xff\xff\0\0\0\0";
        assert!(unpack_text_list(&mut Strict::new(lie)).is_err());
        assert!(unpack_uuid(&mut Strict::new(&[0; 31])).is_err());
        assert!(unpack_char(&mut Strict::new(b"\0\0\x01\0")).is_err());
        assert!(unpack_opt_text(&mut Strict::new(b"\0\0\0\x02\0\0\0\0")).is_err());
    }

    proptest! {
        #[test]
        fn lists_of_strings_come_back(
            list in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..6),
        ) {
            let list: Vec<BString> = list
                .into_iter()
                .map(|bytes| bytes.into_iter().filter(|&b| b != 0).collect::<Vec<u8>>().into())
                .collect();
            let mut bytes = Vec::new();
            let packed = pack_text_list(&list, &mut bytes).unwrap();
            prop_assert_eq!(packed, bytes.len());
            let (back, unpacked) = unpack_text_list(&mut Strict::new(&bytes)).unwrap();
            prop_assert_eq!(back, list);
            prop_assert_eq!(unpacked, bytes.len());
            for end in 0..bytes.len() {
                prop_assert!(unpack_text_list(&mut Strict::new(&bytes[..end])).is_err());
            }
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            let _ = unpack_text_list(&mut Strict::new(&bytes));
            let _ = unpack_opt_text(&mut Strict::new(&bytes));
            let _ = unpack_bytes(&mut Strict::new(&bytes), 16);
        }
    }
}
