// SPDX-License-Identifier: LGPL-2.1-or-later
//! Numbers and texts at fixed places of a disk, which may be shorter than it should be.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use bstr::{BString, ByteSlice};
use rustix::fs::SeekFrom;

/// A disk, or in tests the content of one.
pub(crate) trait ReadAt {
    /// Reads until `buf` is full or the disk ends, and tells how much that was.
    fn read_up_to(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// The `len` bytes at `offset`, unless the disk ends before.
    fn bytes(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
        // Offsets come from the disk: those which the kernel would call invalid are past its end.
        if i64::try_from(offset).is_err() {
            return Ok(None);
        }
        let mut buf = vec![0; len];
        let n = self.read_up_to(&mut buf, offset)?;
        Ok((n == len).then_some(Bytes(buf)))
    }
}

impl ReadAt for File {
    fn read_up_to(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(done)
    }

    fn size(&self) -> io::Result<u64> {
        // The metadata of a block device says 0.
        Ok(rustix::fs::seek(self, SeekFrom::End(0))?)
    }
}

impl ReadAt for Vec<u8> {
    fn read_up_to(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.len(), |it| it.min(self.len()));
        let n = buf.len().min(self.len() - start);
        buf[..n].copy_from_slice(&self[start..start + n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// A piece of a disk.  What lies past its end reads as zero, so that no number which the disk
/// tells can be the wrong index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    /// A slice of the piece, cut off at its end.
    pub(crate) fn slice(&self, at: usize, len: usize) -> &[u8] {
        let start = at.min(self.0.len());
        &self.0[start..start.saturating_add(len).min(self.0.len())]
    }

    /// Exactly `N` bytes.
    pub(crate) fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        let found = self.slice(at, N);
        array[..found.len()].copy_from_slice(found);
        array
    }

    /// Whether `magic` stands at this place.
    pub(crate) fn has(&self, at: usize, magic: &[u8]) -> bool {
        self.slice(at, magic.len()) == magic
    }

    pub(crate) fn u8(&self, at: usize) -> u8 {
        self.array::<1>(at)[0]
    }

    pub(crate) fn le16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    pub(crate) fn le32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    pub(crate) fn le64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    pub(crate) fn be16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.array(at))
    }

    pub(crate) fn be32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.array(at))
    }

    /// A text that ends with a NUL, with blanks, or with its field.
    pub(crate) fn text(&self, at: usize, len: usize) -> Option<BString> {
        let field = self.slice(at, len);
        let end = field.find_byte(0).unwrap_or(len.min(field.len()));
        let text = field[..end].trim_ascii_end();
        (!text.is_empty()).then(|| text.into())
    }

    /// Little-endian UTF-16 of at most `len` bytes.
    pub(crate) fn text_utf16(&self, at: usize, len: usize) -> Option<BString> {
        let (units, _) = self.slice(at, len).as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        let text = utf16(&units);
        (!text.is_empty()).then(|| text.into())
    }

    /// A UUID in its usual notation; all zero means that there is none.
    pub(crate) fn uuid(&self, at: usize) -> Option<String> {
        let bytes: [u8; 16] = self.array(at);
        (bytes != [0; 16]).then(|| uuid(bytes))
    }
}

/// UTF-16 up to its first NUL.
pub(crate) fn utf16(units: &[u16]) -> String {
    let end = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
    String::from_utf16_lossy(&units[..end])
}

/// The usual notation, of bytes in the order in which they are written.
pub(crate) fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (idx, byte) in bytes.iter().enumerate() {
        if matches!(idx, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_past_the_end() {
        let bytes = Bytes(vec![1, 2, 3]);
        assert_eq!(bytes.le16(0), 0x0201);
        assert_eq!(bytes.le32(1), 0x0302);
        assert_eq!(bytes.le64(usize::MAX), 0);
        assert_eq!(bytes.slice(2, usize::MAX), [3]);
        assert!(!bytes.has(2, &[3, 0]));
        assert_eq!(vec![0; 10].bytes(8, 4).unwrap(), None);
        assert_eq!(vec![0; 10].bytes(u64::MAX, 1).unwrap(), None);
    }

    #[test]
    fn texts() {
        let text = |text: &[u8]| Bytes(text.to_vec()).text(0, text.len());
        assert_eq!(text(b"ROOT\0garbage"), Some("ROOT".into()));
        assert_eq!(text(b"NO END"), Some("NO END".into()));
        assert_eq!(text(b"ESP        "), Some("ESP".into()));
        assert_eq!(text(b"\0\0\0"), None);
        assert_eq!(Bytes(b"G\0\xf6\0\0\0x\0".to_vec()).text_utf16(0, 8), Some("Gö".into()));
    }

    #[test]
    fn uuids() {
        let bytes = Bytes((0..16).collect());
        assert_eq!(bytes.uuid(0).unwrap(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(Bytes(vec![0; 16]).uuid(0), None);
    }
}
