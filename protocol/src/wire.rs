// SPDX-License-Identifier: LGPL-2.1-or-later
//! Framing: what a message, a file chunk and the words between them look like.
//!
//! A message is a length word, a [`Header`], and then the arguments, the result or a
//! [`MessageError`].  In place of the length word four flags may stand: the daemon has started,
//! the other side wants a transfer to stop, or a progress report of fixed size follows.

use std::io::{self, Read};

use bstr::BString;
use xdr_codec::{Pack, Unpack, Write};

use crate::Locked;
use crate::xdr::{Strict, pack_bytes, unpack_bytes};

/// RPC program number.
pub const PROGRAM: u32 = 0x2000_f5f5;
/// Version of the protocol.
pub const VERSION: u32 = 4;
/// The longest message, in bytes, without its length word.
pub const MESSAGE_MAX: usize = 4 << 20;
/// The longest text of an error, in bytes.
pub const ERROR_MAX: usize = 64 << 10;
/// The longest name of an errno, in bytes.
pub const ERRNO_NAME_MAX: usize = 32;
/// The most data one file chunk carries, in bytes.
pub const CHUNK_MAX: usize = 8192;
/// Sent once by the daemon when it is ready for calls.
pub const LAUNCH_FLAG: u32 = 0xf5f5_5ff5;
/// Sent by the receiver of a file to make the sender stop.
pub const CANCEL_FLAG: u32 = 0xffff_eeee;
/// Sent by the daemon before a [`Progress`] report.
pub const PROGRESS_FLAG: u32 = 0xffff_5555;
/// Sent by the receiver of a file that is shown in the window: a slot is free again, which is the
/// one that was shown first.  An extension of libguestfs's protocol.
pub const TAKEN_FLAG: u32 = 0xffff_5757;
/// In the place of [`Chunk`]'s flag that says whether the sender gives up.
const SHOWN: i32 = 2;
/// The serial number of a handle's first call.
pub const FIRST_SERIAL: u32 = 0x0012_3400;
/// Bytes of an encoded [`Header`].
pub const HEADER_SIZE: usize = 40;
/// Bytes of an encoded [`Progress`] report, without its flag.
pub const PROGRESS_SIZE: usize = 24;
/// The least that is worth to be shown in the window.  What is shorter goes in chunks, and what is
/// a shorter hole, as zeroes.
pub const SHOWN_MIN: usize = 64 << 10;
/// Serial number of the disk that is the window.
pub const WINDOW_SERIAL: &str = "guestfs-window";
/// Name of the virtio-serial port between library and daemon.
pub const PORT_NAME: &str = "org.libguestfs.channel.0";

/// Why a message cannot be read or sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side is gone, or the channel failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The message is longer than the protocol allows.
    #[error("message of {0} bytes is longer than the {MESSAGE_MAX} bytes that the protocol allows")]
    TooLong(usize),
    /// The bytes are not what the protocol says they are.
    #[error("malformed message: {0}")]
    Malformed(String),
}

impl From<xdr_codec::Error> for Error {
    fn from(err: xdr_codec::Error) -> Self {
        Self::Malformed(err.to_string())
    }
}

/// Result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From library to daemon.
    Call = 0,
    /// From daemon to library.
    Reply = 1,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The result follows the header.
    Ok = 0,
    /// A [`MessageError`] follows the header.
    Error = 1,
}

/// What precedes the arguments of a call and the result of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the function.
    pub proc_nr: u32,
    /// Call or reply.
    pub direction: Direction,
    /// Number of the call; the reply repeats it.
    pub serial: u32,
    /// Bytes that the files sent after the call add up to, or 0 where that is not known.
    pub progress_hint: u64,
    /// Bit N is set if optional argument N was given.
    pub optargs: u64,
    /// Outcome; `Ok` in a call.
    pub status: Status,
}

impl Header {
    /// The header of a call.
    pub fn call(proc_nr: u32, serial: u32, optargs: u64, progress_hint: u64) -> Self {
        let (direction, status) = (Direction::Call, Status::Ok);
        Self { proc_nr, direction, serial, progress_hint, optargs, status }
    }

    /// The header of the reply to `self`.
    pub fn reply(&self, status: Status) -> Self {
        Self { direction: Direction::Reply, progress_hint: 0, optargs: 0, status, ..*self }
    }
}

impl<Out: Write> Pack<Out> for Header {
    fn pack(&self, out: &mut Out) -> xdr_codec::Result<usize> {
        Ok(PROGRAM.pack(out)?
            + VERSION.pack(out)?
            + self.proc_nr.pack(out)?
            + (self.direction as u32).pack(out)?
            + self.serial.pack(out)?
            + self.progress_hint.pack(out)?
            + self.optargs.pack(out)?
            + (self.status as u32).pack(out)?)
    }
}

/// The error of a call, as it crosses the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageError {
    /// Name of the errno, such as `ENOENT`; empty if there is none.
    pub errno_string: BString,
    /// What went wrong, with the name of the function in front.
    pub message: BString,
}

impl<Out: Write> Pack<Out> for MessageError {
    fn pack(&self, out: &mut Out) -> xdr_codec::Result<usize> {
        Ok(pack_bytes(&self.errno_string, out)? + pack_bytes(&self.message, out)?)
    }
}

impl Unpack<Strict<'_>> for MessageError {
    fn unpack(input: &mut Strict<'_>) -> xdr_codec::Result<(Self, usize)> {
        let (errno_string, n) = unpack_bytes(input, ERRNO_NAME_MAX)?;
        let (message, m) = unpack_bytes(input, ERROR_MAX)?;
        Ok((Self { errno_string: errno_string.into(), message: message.into() }, n + m))
    }
}

/// A piece of a file in transit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// At most [`CHUNK_MAX`] bytes; none at the end of the file.
    Data(Vec<u8>),
    /// The sender gives up; the receiver forgets what it has.
    Cancel,
    /// The bytes are in the window.  Only sent to who has agreed to look there.
    Shown(Shown),
}

/// A part of a file that is shown in the window, a piece of memory that both sides have: see
/// `internal_window`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// So many zeroes come first, which are nowhere.
    pub hole: u64,
    /// Then the content of this slot of the window,
    pub slot: u32,
    /// as far as here.  The receiver sends [`TAKEN_FLAG`] when it has it, unless this is 0.
    pub length: u32,
}

impl<Out: Write> Pack<Out> for Chunk {
    fn pack(&self, out: &mut Out) -> xdr_codec::Result<usize> {
        match self {
            Self::Data(data) => Ok(0i32.pack(out)? + pack_bytes(data, out)?),
            Self::Cancel => Ok(1i32.pack(out)? + pack_bytes(&[], out)?),
            Self::Shown(Shown { hole, slot, length }) => {
                let mut data = Vec::with_capacity(16);
                hole.pack(&mut data)?;
                slot.pack(&mut data)?;
                length.pack(&mut data)?;
                Ok(SHOWN.pack(out)? + pack_bytes(&data, out)?)
            }
        }
    }
}

impl Unpack<Strict<'_>> for Chunk {
    fn unpack(input: &mut Strict<'_>) -> xdr_codec::Result<(Self, usize)> {
        let (kind, n) = i32::unpack(input)?;
        let (data, m) = unpack_bytes(input, CHUNK_MAX)?;
        let chunk = match kind {
            0 => Self::Data(data),
            SHOWN => {
                let mut data = Strict::new(&data);
                let (hole, _) = u64::unpack(&mut data)?;
                let (slot, _) = u32::unpack(&mut data)?;
                let (length, _) = u32::unpack(&mut data)?;
                Self::Shown(Shown { hole, slot, length })
            }
            _ => Self::Cancel,
        };
        Ok((chunk, n + m))
    }
}

/// How far a long call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of the function.
    pub proc_nr: u32,
    /// Serial number of the call.
    pub serial: u32,
    /// Work done, in the unit of `total`.
    pub position: u64,
    /// Work in all.
    pub total: u64,
}

impl<Out: Write> Pack<Out> for Progress {
    fn pack(&self, out: &mut Out) -> xdr_codec::Result<usize> {
        Ok(self.proc_nr.pack(out)?
            + self.serial.pack(out)?
            + self.position.pack(out)?
            + self.total.pack(out)?)
    }
}

impl Unpack<Strict<'_>> for Progress {
    fn unpack(input: &mut Strict<'_>) -> xdr_codec::Result<(Self, usize)> {
        let (proc_nr, _) = u32::unpack(input)?;
        let (serial, _) = u32::unpack(input)?;
        let (position, _) = u64::unpack(input)?;
        let (total, _) = u64::unpack(input)?;
        Ok((Self { proc_nr, serial, position, total }, PROGRESS_SIZE))
    }
}

/// No arguments, or no result: nothing on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nothing;

impl<Out: Write> Pack<Out> for Nothing {
    fn pack(&self, _: &mut Out) -> xdr_codec::Result<usize> {
        Ok(0)
    }
}

impl Unpack<Strict<'_>> for Nothing {
    fn unpack(_: &mut Strict<'_>) -> xdr_codec::Result<(Self, usize)> {
        Ok((Self, 0))
    }
}

/// A message with its length word, ready to be written.
pub fn encode_message(header: &Header, body: &impl Pack<Vec<u8>>) -> Result<Vec<u8>> {
    framed(HEADER_SIZE, |out| Ok(header.pack(out)? + body.pack(out)?))
}

/// A message that holds a secret.
pub fn encode_secret_message(header: &Header, body: &impl Pack<Locked>) -> Result<Locked> {
    let mut out = Locked::with_capacity(HEADER_SIZE)?;
    out.write_all(&[0; 4])?;
    header.pack(&mut out)?;
    body.pack(&mut out)?;
    let word = length_word(&out)?;
    out[..4].copy_from_slice(&word);
    Ok(out)
}

/// A file chunk with its length word, ready to be written.
pub fn encode_chunk(chunk: &Chunk) -> Result<Vec<u8>> {
    let size_hint = match chunk {
        Chunk::Data(data) => data.len(),
        Chunk::Cancel | Chunk::Shown(_) => 0,
    };
    framed(size_hint, |out| chunk.pack(out))
}

/// A progress report behind its flag, ready to be written.
pub fn encode_progress(progress: &Progress) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(4 + PROGRESS_SIZE);
    PROGRESS_FLAG.pack(&mut out)?;
    progress.pack(&mut out)?;
    Ok(out)
}

fn framed(
    size_hint: usize,
    pack: impl FnOnce(&mut Vec<u8>) -> xdr_codec::Result<usize>,
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(size_hint + 64);
    out.extend_from_slice(&[0; 4]);
    pack(&mut out)?;
    let word = length_word(&out)?;
    out[..4].copy_from_slice(&word);
    Ok(out)
}

/// What the place at the front of these bytes is for.
fn length_word(framed: &[u8]) -> Result<[u8; 4]> {
    let len = framed.len() - 4;
    match u32::try_from(len) {
        Ok(word) if len <= MESSAGE_MAX => Ok(word.to_be_bytes()),
        _ => Err(Error::TooLong(len)),
    }
}

/// What arrives where a length word is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The daemon has started.
    Launch,
    /// The other side wants the transfer to stop.
    Cancel,
    /// The other side has taken a part of a file out of the window.
    Taken,
    /// A progress report.
    Progress(Progress),
    /// A message or a chunk, without its length word.
    Message(Vec<u8>),
}

/// What the first word of something incoming announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// [`Incoming::Launch`]; nothing follows.
    Launch,
    /// [`Incoming::Cancel`]; nothing follows.
    Cancel,
    /// [`Incoming::Taken`]; nothing follows.
    Taken,
    /// [`PROGRESS_SIZE`] bytes of a [`Progress`] report follow.
    Progress,
    /// This many bytes of a message follow.
    Message(usize),
}

/// Reads the first word.
pub fn announced(word: u32) -> Result<Announced> {
    match word {
        LAUNCH_FLAG => Ok(Announced::Launch),
        CANCEL_FLAG => Ok(Announced::Cancel),
        TAKEN_FLAG => Ok(Announced::Taken),
        PROGRESS_FLAG => Ok(Announced::Progress),
        len if len as usize <= MESSAGE_MAX => Ok(Announced::Message(len as usize)),
        len => Err(Error::TooLong(len as usize)),
    }
}

/// Waits for the next thing from the other side.
pub fn read_incoming(input: &mut impl Read) -> Result<Incoming> {
    let mut word = [0; 4];
    input.read_exact(&mut word)?;
    match announced(u32::from_be_bytes(word))? {
        Announced::Launch => Ok(Incoming::Launch),
        Announced::Cancel => Ok(Incoming::Cancel),
        Announced::Taken => Ok(Incoming::Taken),
        Announced::Progress => {
            let mut bytes = [0; PROGRESS_SIZE];
            input.read_exact(&mut bytes)?;
            Ok(Incoming::Progress(decode(&bytes)?))
        }
        Announced::Message(len) => {
            let mut bytes = vec![0; len];
            input.read_exact(&mut bytes)?;
            Ok(Incoming::Message(bytes))
        }
    }
}

/// Decodes a value that takes up the whole of `bytes`.
pub fn decode<'a, T: Unpack<Strict<'a>>>(bytes: &'a [u8]) -> Result<T> {
    Ok(decode_arguments(bytes)?.0)
}

/// The same for arguments, with the number of those at the end that the caller did not send.
pub fn decode_arguments<'a, T: Unpack<Strict<'a>>>(bytes: &'a [u8]) -> Result<(T, u32)> {
    let mut input = Strict::new(bytes);
    let (value, _) = T::unpack(&mut input)?;
    match input.rest().len() {
        0 => Ok((value, input.n_absent())),
        n => Err(Error::Malformed(format!("{n} bytes too many"))),
    }
}

/// Takes the header off a message; what is left is the arguments, the result or the error.
pub fn split_header(message: &[u8]) -> Result<(Header, &[u8])> {
    let mut input = Strict::new(message);
    let mut word = || Ok::<u32, Error>(u32::unpack(&mut input)?.0);
    let (program, version, proc_nr) = (word()?, word()?, word()?);
    let (direction, serial) = (word()?, word()?);
    let progress_hint = u64::unpack(&mut input)?.0;
    let optargs = u64::unpack(&mut input)?.0;
    let status = u32::unpack(&mut input)?.0;
    if program != PROGRAM {
        return Err(Error::Malformed(format!("program {program:#x} is not {PROGRAM:#x}")));
    }
    if version != VERSION {
        return Err(Error::Malformed(format!("protocol version {version} is not {VERSION}")));
    }
    let direction = match direction {
        0 => Direction::Call,
        1 => Direction::Reply,
        other => return Err(Error::Malformed(format!("direction {other} is unknown"))),
    };
    let status = match status {
        0 => Status::Ok,
        1 => Status::Error,
        other => return Err(Error::Malformed(format!("status {other} is unknown"))),
    };
    let header = Header { proc_nr, direction, serial, progress_hint, optargs, status };
    Ok((header, input.rest()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Header {
        Header::call(1, FIRST_SERIAL, 5, 77)
    }

    #[test]
    fn header_vector() {
        let bytes = encode_message(&sample(), &Nothing).unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "00000028\
             2000f5f5000000040000000100000000001234000000000000\
             00004d000000000000000500000000"
        );
        assert_eq!(split_header(&bytes[4..]).unwrap(), (sample(), &[][..]));
    }

    #[test]
    fn a_message_with_a_secret_is_one_like_others() {
        struct Secret(Vec<u8>);

        impl<Out: Write> Pack<Out> for Secret {
            fn pack(&self, out: &mut Out) -> xdr_codec::Result<usize> {
                pack_bytes(&self.0, out)
            }
        }

        let secret = Secret(vec![7; 5001]);
        let message = encode_secret_message(&sample(), &secret).unwrap();
        assert_eq!(*message, encode_message(&sample(), &secret).unwrap());
        let err = encode_secret_message(&sample(), &Secret(vec![7; MESSAGE_MAX])).unwrap_err();
        assert!(matches!(err, Error::TooLong(_)), "{err}");
    }

    #[track_caller]
    fn check_header(patch: impl Fn(&mut Vec<u8>), expected: &str) {
        let mut bytes = encode_message(&sample(), &Nothing).unwrap().split_off(4);
        patch(&mut bytes);
        assert_eq!(split_header(&bytes).unwrap_err().to_string(), expected);
    }

    #[test]
    fn wrong_headers() {
        check_header(|b| b[3] = 0, "malformed message: program 0x2000f500 is not 0x2000f5f5");
        check_header(|b| b[7] = 9, "malformed message: protocol version 9 is not 4");
        check_header(|b| b[15] = 2, "malformed message: direction 2 is unknown");
        check_header(|b| b[39] = 7, "malformed message: status 7 is unknown");
        check_header(|b| b.truncate(39), "malformed message: unexpected end of file");
    }

    #[track_caller]
    fn check_incoming(bytes: &[u8], expected: &str) {
        let got = match read_incoming(&mut &bytes[..]) {
            Ok(incoming) => format!("{incoming:?}"),
            Err(err) => format!("error: {err}"),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn first_words() {
        check_incoming(&LAUNCH_FLAG.to_be_bytes(), "Launch");
        check_incoming(&CANCEL_FLAG.to_be_bytes(), "Cancel");
        check_incoming(b"\0\0\0\x02hi", "Message([104, 105])");
        check_incoming(b"\0\0\0\x03hi", "error: failed to fill whole buffer");
        check_incoming(b"", "error: failed to fill whole buffer");
        check_incoming(
            b"\0\x40\0\x01",
            "error: message of 4194305 bytes is longer than the 4194304 bytes that the protocol \
             allows",
        );
        let progress = Progress { proc_nr: 66, serial: 7, position: 1, total: 2 };
        check_incoming(&encode_progress(&progress).unwrap(), &format!("Progress({progress:?})"));
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let message = MessageError { errno_string: "".into(), message: vec![b'x'; 5 << 20].into() };
        let err = encode_message(&sample(), &message).unwrap_err();
        assert!(matches!(err, Error::TooLong(5242928)), "{err:?}");
    }

    #[test]
    fn an_error_text_has_a_limit() {
        let message = MessageError { errno_string: "".into(), message: vec![b'x'; 65537].into() };
        let mut bytes = Vec::new();
        message.pack(&mut bytes).unwrap();
        let err = decode::<MessageError>(&bytes).unwrap_err();
        assert_eq!(err.to_string(), "malformed message: invalid array len: '65537'");
    }

    proptest! {
        #[test]
        fn chunks_come_back(data in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let fits = data.len() <= CHUNK_MAX;
            let chunk = Chunk::Data(data);
            let bytes = encode_chunk(&chunk).unwrap();
            let Incoming::Message(body) = read_incoming(&mut &bytes[..]).unwrap() else {
                panic!("not a message")
            };
            match decode::<Chunk>(&body) {
                Ok(back) => prop_assert_eq!(back, chunk),
                Err(_) => prop_assert!(!fits),
            }
        }

        #[test]
        fn what_is_shown_comes_back(hole: u64, slot: u32, length: u32) {
            let shown = Chunk::Shown(Shown { hole, slot, length });
            let bytes = encode_chunk(&shown).unwrap();
            prop_assert_eq!(decode::<Chunk>(&bytes[4..]).unwrap(), shown);
        }

        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes: Vec<u8>) {
            let _ = split_header(&bytes);
            let _ = decode::<MessageError>(&bytes);
            let _ = decode::<Chunk>(&bytes);
            let _ = read_incoming(&mut &bytes[..]);
        }
    }
}
