// SPDX-License-Identifier: LGPL-2.1-or-later
//! One call and its reply, as the generated code sees them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use guestfs_protocol::wire::{self, Header};
use guestfs_protocol::xdr::Strict;
use guestfs_protocol::{Pack, Unpack};

use crate::channel::{Channel, Reporter};
use crate::error::{Error, Result};
use crate::transfer::{FileIn, FileOut, State};
use crate::window::Window;

/// A call that was received.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    header: Header,
    args: &'a [u8],
    /// Optional arguments that the caller is too old for.
    n_absent: Cell<u32>,
    transfer: RefCell<State>,
}

impl<'a> Call<'a> {
    /// With the bytes that follow the header.
    pub(crate) fn new(
        channel: &Rc<Channel>,
        reporter: &Rc<Reporter>,
        window: Option<&Rc<Window>>,
        header: Header,
        args: &'a [u8],
    ) -> Self {
        let transfer = RefCell::new(State::new(channel, reporter, window, header));
        Self { header, args, n_absent: Cell::new(0), transfer }
    }

    /// The arguments.
    pub(crate) fn decode<T: Unpack<Strict<'a>>>(&self) -> Result<T> {
        match wire::decode_arguments(self.args) {
            Ok((args, n_absent)) => {
                self.n_absent.set(n_absent);
                Ok(args)
            }
            Err(err) => Err(Error::Protocol(format!("arguments: {err}"))),
        }
    }

    /// Whether every optional argument that was given is one of the first `n`, and was sent.
    pub(crate) fn knows_options(&self, n: u32) -> Result<()> {
        let given = self.header.optargs;
        let has_bits_from = |n: u32| given.checked_shr(n).unwrap_or(0) != 0;
        if has_bits_from(n) {
            let why = format!("{given:#x} has bits beyond the {n} options there are");
            return Err(Error::invalid("options", why));
        }
        let n_sent = n.saturating_sub(self.n_absent.get());
        if has_bits_from(n_sent) {
            let why = format!("options: {given:#x} has bits beyond the {n_sent} that were sent");
            return Err(Error::Protocol(why));
        }
        Ok(())
    }

    /// An optional argument, if the caller gave it.
    pub(crate) fn option<T>(&self, bit: u32, value: T) -> Option<T> {
        (self.header.optargs >> bit & 1 == 1).then_some(value)
    }

    /// The file that follows the call.  To be asked for first of all: whatever goes wrong
    /// afterwards, its chunks have to be read.
    pub(crate) fn file_in(&self) -> FileIn<'_> {
        FileIn::new(&self.transfer)
    }

    /// The file that follows the reply.
    pub(crate) fn file_out(&self) -> FileOut<'_> {
        FileOut::new(&self.transfer)
    }

    /// Number of the procedure.
    pub(crate) fn proc_nr(&self) -> u32 {
        self.header.proc_nr
    }

    /// Ends the transfer; `None` if the reply has been sent.
    pub(crate) fn finish(self, result: Result<Reply>) -> Result<Option<Result<Reply>>> {
        self.transfer.into_inner().finish(result)
    }
}

/// What a function returned, encoded.
#[derive(Debug)]
pub(crate) struct Reply(wire::Result<Vec<u8>>);

impl Reply {
    /// Of a function that returns nothing.
    pub(crate) fn empty() -> Self {
        Self(Ok(Vec::new()))
    }

    /// Of a function that returns something.
    pub(crate) fn of(value: &impl Pack<Vec<u8>>) -> Self {
        let mut bytes = Vec::new();
        Self(value.pack(&mut bytes).map(|_| bytes).map_err(wire::Error::from))
    }

    /// The whole message, ready to be sent.
    pub(crate) fn encode(self, header: &Header) -> Result<Vec<u8>> {
        Ok(wire::encode_message(header, &Encoded(self.0?))?)
    }
}

/// Bytes which are XDR already.
pub(crate) struct Encoded(pub(crate) Vec<u8>);

impl Pack<Vec<u8>> for Encoded {
    fn pack(&self, out: &mut Vec<u8>) -> xdr_codec::Result<usize> {
        out.extend_from_slice(&self.0);
        Ok(self.0.len())
    }
}
