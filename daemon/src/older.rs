// SPDX-License-Identifier: LGPL-2.1-or-later
//! Procedures that the API has no more, for libraries that call them.

use guestfs_protocol::wire::MESSAGE_MAX;
use guestfs_protocol::xdr::pack_list;
use guestfs_protocol::{Dirent, InternalReaddirArgs, Pack};
use xdr_codec::Write;

use crate::call::{Call, Reply};
use crate::ctx::Ctx;
use crate::directory::dirents;
use crate::dispatch::Entry;
use crate::error::{Error, Result};

/// In the order of their numbers.
pub(crate) const TABLE: &[Entry] = &[(138, "readdir", readdir)];

/// What an entry takes up beside its name.
const OVERHEAD: usize = 20;

/// A whole directory in one message; until libguestfs 1.48.2, which has it written to a file.
fn readdir(cx: &mut Ctx, call: &Call<'_>) -> Result<Reply> {
    let a: InternalReaddirArgs = call.decode()?;
    cx.needs_root()?;
    let dir = cx.guest_path("dir", &a.dir)?;
    let mut entries = Vec::new();
    let mut size = 0;
    dirents(cx, &dir, |entry| {
        size += OVERHEAD + entry.name.len();
        entries.push(entry);
        match size < MESSAGE_MAX {
            true => Ok(()),
            false => Err(Error::TooBig(format!("{dir}: more entries than fit into a message"))),
        }
    })?;
    Ok(Reply::of(&Entries(entries)))
}

struct Entries(Vec<Dirent>);

impl<Out: Write> Pack<Out> for Entries {
    fn pack(&self, out: &mut Out) -> xdr_codec::Result<usize> {
        pack_list(&self.0, out)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;

    use guestfs_protocol::wire::{self, FIRST_SERIAL, Header, Incoming};
    use guestfs_protocol::xdr::{Strict, unpack_list};

    use super::*;

    #[test]
    fn a_directory_in_one_message() {
        let dir = tempfile::tempdir().unwrap();
        crate::system::write(dir.path().join("file"), b"").unwrap();
        crate::system::make_directories(dir.path().join("sub"));
        let (mut channel, theirs) = UnixStream::pair().unwrap();
        let root = dir.path().to_owned();
        let daemon = thread::spawn(move || crate::serve(theirs, &mut Ctx::new(root)));
        assert_eq!(wire::read_incoming(&mut channel).unwrap(), Incoming::Launch);
        let header = Header::call(138, FIRST_SERIAL, 0, 0);
        let args = InternalReaddirArgs { dir: "/".into() };
        std::io::Write::write_all(&mut channel, &wire::encode_message(&header, &args).unwrap())
            .unwrap();
        let Incoming::Message(reply) = wire::read_incoming(&mut channel).unwrap() else {
            panic!("no reply");
        };
        let (_, body) = wire::split_header(&reply).unwrap();
        let (entries, _) = unpack_list::<Dirent>(&mut Strict::new(body)).unwrap();
        let mut names: Vec<_> =
            entries.iter().map(|it| format!("{} {}", it.ftyp as char, it.name)).collect();
        names.sort();
        assert_eq!(names, ["d .", "d ..", "d sub", "r file"]);
        drop(channel);
        daemon.join().unwrap().unwrap();
    }
}
