// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the library says on the kernel's command line.

use std::path::PathBuf;

use bstr::ByteSlice;

/// The words that concern this program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Say what is done on the console.
    pub(super) verbose: bool,
    /// The disk with the appliance's root.
    pub(super) root: Option<PathBuf>,
    /// Configure the network.
    pub(super) network: bool,
    /// The channel to the library, if it is not the usual port.
    pub(super) channel: Option<PathBuf>,
}

impl Options {
    /// The others are for the kernel.
    pub(super) fn parse(cmdline: &[u8]) -> Self {
        let mut options = Self::default();
        for word in cmdline.split(u8::is_ascii_whitespace) {
            let (name, value) = word.split_once_str("=").unwrap_or((word, b""));
            let path = || Some(value.to_path_lossy().into_owned());
            match name {
                b"guestfs_verbose" => options.verbose = value == b"1",
                b"guestfs_root" => options.root = path(),
                b"guestfs_network" => options.network = value == b"1",
                b"guestfs_channel" => options.channel = path(),
                _ => {}
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(Options::parse(b""), Options::default());
        assert_eq!(Options::parse(b"panic=1 console=ttyS0\n"), Options::default());
        assert_eq!(
            Options::parse(
                b"quiet guestfs_verbose=1 guestfs_root=/dev/vdb guestfs_network=1 \
                  guestfs_channel=/dev/hvc1\n"
            ),
            Options {
                verbose: true,
                root: Some("/dev/vdb".into()),
                network: true,
                channel: Some("/dev/hvc1".into()),
            }
        );
    }
}
