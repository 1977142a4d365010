// SPDX-License-Identifier: LGPL-2.1-or-later
//! Content of guest files, of any size, on top of `download` and `upload`.

use bstr::{BString, ByteSlice};
use guestfs_checksum::Sum;
use guestfs_protocol::wire::{MESSAGE_MAX, Nothing};
use guestfs_protocol::{
    Arguments, ChecksumArgs, ChecksumRet, DownloadArgs, InternalWriteAppendArgs, InternalWriteArgs,
    Procedure, UploadArgs,
};

use crate::call::{MEMORY_MAX, text};
use crate::error::Result;
use crate::handle::Handle;

/// The most content that goes in one message, with room for the path beside it.
const SMALL: usize = MESSAGE_MAX / 2;

pub(crate) fn cat(g: &Handle, path: &[u8]) -> Result<BString> {
    Ok(read_file(g, path)?.into())
}

pub(crate) fn read_file(g: &Handle, path: &[u8]) -> Result<Vec<u8>> {
    as_file(path, |remotefilename| {
        let args = DownloadArgs { remotefilename };
        into_memory(g, Procedure::Download, &args, path)
    })
}

pub(crate) fn read_lines(g: &Handle, path: &[u8]) -> Result<Vec<BString>> {
    Ok(lines(&read_file(g, path)?))
}

pub(crate) fn write(g: &Handle, path: &[u8], content: &[u8]) -> Result<()> {
    if content.len() > SMALL {
        return as_file(path, |remotefilename| {
            g.call_from_memory(Procedure::Upload, &UploadArgs { remotefilename }, content)
        });
    }
    let args = InternalWriteArgs { path: text("path", path)?, content: content.to_vec() };
    let Nothing = g.call(Procedure::InternalWrite, 0, &args)?;
    Ok(())
}

pub(crate) fn write_append(g: &Handle, path: &[u8], content: &[u8]) -> Result<()> {
    // Even nothing is appended once: the file comes into being.
    let (first, rest) = content.split_at(content.len().min(SMALL));
    for piece in std::iter::once(first).chain(rest.chunks(SMALL)) {
        let args = InternalWriteAppendArgs { path: text("path", path)?, content: piece.to_vec() };
        let Nothing = g.call(Procedure::InternalWriteAppend, 0, &args)?;
    }
    Ok(())
}

/// The host's processor may have instructions for it, and is never emulated.
pub(crate) fn checksum(g: &Handle, csumtype: &[u8], path: &[u8]) -> Result<BString> {
    match Sum::new(csumtype) {
        Some(sum) if g.has_window()? => as_file(path, |name| sum_here(g, sum, name)),
        _ => {
            let (csumtype, path) = (text("csumtype", csumtype)?, text("path", path)?);
            let args = ChecksumArgs { csumtype, path };
            g.call(Procedure::Checksum, 0, &args).map(|it: ChecksumRet| it.checksum)
        }
    }
}

/// The sum of a file or device whose content comes here.
pub(crate) fn sum_here(g: &Handle, mut sum: Sum, remotefilename: BString) -> Result<BString> {
    g.call_into_sum(Procedure::Download, &DownloadArgs { remotefilename }, &mut sum)?;
    Ok(sum.finish().into())
}

/// Calls a procedure that sends what there is at `path`.
pub(crate) fn into_memory(
    g: &Handle,
    procedure: Procedure,
    args: &impl Arguments,
    path: &[u8],
) -> Result<Vec<u8>> {
    let content = g.call_into_memory(procedure, args, MEMORY_MAX);
    // Memory does not know for whom it is filled.
    content.map_err(|err| err.renamed("larger than ", &format!("{}: larger than ", path.as_bstr())))
}

/// Calls a procedure that takes what begins with `/dev/` for a device, with the name of a file.
pub(crate) fn as_file<T>(path: &[u8], call: impl FnOnce(BString) -> Result<T>) -> Result<T> {
    let path = text("path", path)?;
    if !path.starts_with(b"/dev/") {
        return call(path).map_err(|err| err.renamed("remotefilename: ", "path: "));
    }
    call([b"/", path.as_slice()].concat().into()).map_err(|err| err.renamed("//dev/", "/dev/"))
}

/// Lines without their ends, which are those of Unix or of DOS.
fn lines(content: &[u8]) -> Vec<BString> {
    content.lines().map(BString::from).collect()
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::error::Error;

    #[track_caller]
    fn check(content: &str, expected: &[&str]) {
        assert_eq!(lines(content.as_bytes()), expected);
    }

    #[test]
    fn line_ends() {
        check("", &[]);
        check("\n", &[""]);
        check("one\ntwo\n", &["one", "two"]);
        check("one\ntwo", &["one", "two"]);
        check("one\r\ntwo\r\n", &["one", "two"]);
        check("one\n\ntwo\r", &["one", "", "two\r"]);
    }

    #[test]
    fn files_below_dev_are_files() {
        let fail = |name: BString| Err::<(), _>(Error::system(Errno::ENOENT, name));
        let check = |path: &str, expected: &str| {
            assert_eq!(as_file(path.as_bytes(), fail).unwrap_err().to_string(), expected);
        };
        assert_eq!(as_file(b"/dev/null", Ok).unwrap(), "//dev/null");
        check("/dev/null", "/dev/null: No such file or directory");
        check("/device", "/device: No such file or directory");
    }
}
