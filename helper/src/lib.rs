// SPDX-License-Identifier: LGPL-2.1-or-later
//! How guestfsd and its helper talk: messages over pipes, each a list of byte strings.
//!
//! guestfsd is linked statically, as it has to run before there is a library, so it cannot load
//! any.  The helper can.  It is a process of its own too, so that a library which crashes on what a
//! guest has put into its files does not take process 1 with it.
//!
//! The first field of a request is the name of a function, the first field of a reply [`OK`] or
//! [`ERROR`].  Numbers are written in decimal digits.

use std::io::{self, ErrorKind, Read, Write};

/// Fields of any bytes.
pub type Message = Vec<Vec<u8>>;

/// The function was called; results follow.
pub const OK: &[u8] = b"ok";

/// The library refused; its code and its words follow.
pub const ERROR: &[u8] = b"error";

/// The longest message: more than this would not fit into the appliance's memory.
const MAX: usize = 128 << 20;

/// Sends a message.
pub fn send(out: &mut impl Write, fields: &[impl AsRef<[u8]>]) -> io::Result<()> {
    let mut bytes = word(fields.len())?.to_vec();
    for field in fields.iter().map(AsRef::as_ref) {
        bytes.extend(word(field.len())?);
        bytes.extend_from_slice(field);
    }
    if bytes.len() > MAX {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "message is too long"));
    }
    out.write_all(&bytes)?;
    out.flush()
}

/// Receives a message; none if the other side has closed the pipe.
pub fn receive(input: &mut impl Read) -> io::Result<Option<Message>> {
    let mut first = [0; 4];
    if input.read(&mut first[..1])? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut first[1..])?;
    let mut room = MAX;
    let mut fields = Message::new();
    for _ in 0..u32::from_le_bytes(first) {
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        // Nothing is allocated for bytes that may not come.
        let left = room.checked_sub(4).and_then(|room| room.checked_sub(length));
        room = left.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "message is too long"))?;
        let mut field = Vec::new();
        if input.take(length as u64).read_to_end(&mut field)? < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        fields.push(field);
    }
    Ok(Some(fields))
}

fn word(n: usize) -> io::Result<[u8; 4]> {
    let n = u32::try_from(n).map_err(|_| ErrorKind::FileTooLarge)?;
    Ok(n.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        #[track_caller]
        fn check(messages: &[&[&[u8]]]) {
            let mut pipe = Vec::new();
            for message in messages {
                send(&mut pipe, message).unwrap();
            }
            let mut pipe = &pipe[..];
            for message in messages {
                assert_eq!(
                    receive(&mut pipe).unwrap().as_deref(),
                    Some(&message.to_vec()[..])
                        .map(|it| it.iter().map(|it| it.to_vec()).collect::<Vec<_>>())
                        .as_deref()
                );
            }
            assert_eq!(receive(&mut pipe).unwrap(), None);
        }
        check(&[]);
        check(&[&[]]);
        check(&[&[b"get", b"/files"], &[OK, b"", b"\0\xff"]]);
    }

    #[test]
    fn what_cannot_be_a_message() {
        #[track_caller]
        fn check(mut bytes: &[u8], expected: ErrorKind) {
            assert_eq!(receive(&mut bytes).unwrap_err().kind(), expected);
        }
        check(b"\x01", ErrorKind::UnexpectedEof);
        check(b"\x01\0\0\0", ErrorKind::UnexpectedEof);
        check(b"\x01\0\0\0\x02\0\0\0a", ErrorKind::UnexpectedEof);
        check(b"\x01\0\0\0\xff\xff\xff\xff", ErrorKind::InvalidData);
        check(b"\xff\xff\xff\xff", ErrorKind::UnexpectedEof);
    }
}
