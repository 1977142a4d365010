// SPDX-License-Identifier: LGPL-2.1-or-later
//! The little of qcow2 that is done here: the size of an image, and an empty one as the overlay
//! which takes the writes to a disk added read-only.
//!
//! The latter is what `qemu-img create` makes, without starting a program for each disk of each
//! launch.  Layout: <https://www.qemu.org/docs/master/interop/qcow2.html>.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub(super) const MAGIC: &[u8] = b"QFI\xfb";

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;

/// Clusters of data that one cluster of the second-level table describes.
const L2_ENTRIES: u64 = CLUSTER / 8;

/// qemu opens no image with a larger first-level table; this one is enough for 2 PiB.
const L1_SIZE_MAX: u64 = 32 << 20;

/// Reference counts have 16 bits, a power of two.
const REFCOUNT_ORDER: u32 = 4;

/// Where the tables are, in clusters; the header is in the first.
const REFCOUNT_TABLE: u64 = 1;
const REFCOUNT_BLOCK: u64 = 2;
const L1_TABLE: u64 = 3;

/// The size an image says it has, if it is one.
pub(super) fn virtual_size(image: &File) -> io::Result<Option<u64>> {
    let mut header = [0; 32];
    match image.read_exact_at(&mut header, 0) {
        Ok(()) if header.starts_with(MAGIC) => {}
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => return Ok(None),
    }
    Ok(header.last_chunk().map(|it| u64::from_be_bytes(*it)))
}

/// Makes `file`, which is empty, an image of `size` bytes in which nothing is allocated.  What it
/// is an overlay of is said when it is opened, not in the image.
pub(super) fn write_empty(file: &File, size: u64) -> io::Result<()> {
    let l1_entries = size.div_ceil(CLUSTER * L2_ENTRIES);
    if l1_entries * 8 > L1_SIZE_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let n_clusters = L1_TABLE + (l1_entries * 8).div_ceil(CLUSTER).max(1);

    let mut header = Vec::new();
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&3u32.to_be_bytes()); // version
    header.extend_from_slice(&0u64.to_be_bytes()); // no name of a backing file
    header.extend_from_slice(&0u32.to_be_bytes());
    header.extend_from_slice(&CLUSTER_BITS.to_be_bytes());
    header.extend_from_slice(&size.to_be_bytes());
    header.extend_from_slice(&0u32.to_be_bytes()); // not encrypted
    header.extend_from_slice(&(l1_entries as u32).to_be_bytes());
    header.extend_from_slice(&(L1_TABLE * CLUSTER).to_be_bytes());
    header.extend_from_slice(&(REFCOUNT_TABLE * CLUSTER).to_be_bytes());
    header.extend_from_slice(&1u32.to_be_bytes()); // clusters of the refcount table
    header.extend_from_slice(&0u32.to_be_bytes()); // no snapshots
    header.extend_from_slice(&0u64.to_be_bytes());
    header.extend_from_slice(&[0; 24]); // no incompatible, compatible or autoclear features
    header.extend_from_slice(&REFCOUNT_ORDER.to_be_bytes());
    header.extend_from_slice(&104u32.to_be_bytes()); // length of this header

    // The rest, and the first-level table in particular, is zero.
    file.set_len(n_clusters * CLUSTER)?;
    file.write_all_at(&header, 0)?;
    file.write_all_at(&(REFCOUNT_BLOCK * CLUSTER).to_be_bytes(), REFCOUNT_TABLE * CLUSTER)?;
    let counts = 1u16.to_be_bytes().repeat(n_clusters as usize);
    file.write_all_at(&counts, REFCOUNT_BLOCK * CLUSTER)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[track_caller]
    fn check(size: u64, l1_entries: u32, n_clusters: usize) {
        let mut file = tempfile::tempfile().unwrap();
        write_empty(&file, size).unwrap();
        assert_eq!(virtual_size(&file).unwrap(), Some(size));
        let mut image = Vec::new();
        file.read_to_end(&mut image).unwrap();
        assert_eq!(image.len(), n_clusters << CLUSTER_BITS);
        assert_eq!(image[36..40], l1_entries.to_be_bytes());
        assert_eq!(image[100..104], 104u32.to_be_bytes());
        let counts = image[2 << CLUSTER_BITS..3 << CLUSTER_BITS].chunks(2);
        assert_eq!(counts.filter(|it| *it == [0, 1]).count(), n_clusters);
    }

    #[test]
    fn layouts() {
        check(0, 0, 4);
        check(512, 1, 4);
        check(512 << 20, 1, 4);
        check((512 << 20) + 512, 2, 4);
        check(4 << 40, 8192, 4);
        check(5 << 40, 10240, 5);
        assert!(write_empty(&tempfile::tempfile().unwrap(), 3 << 50).is_err());
    }

    #[test]
    fn not_an_image() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(virtual_size(&file).unwrap(), None);
        file.set_len(512).unwrap();
        assert_eq!(virtual_size(&file).unwrap(), None);
    }
}
