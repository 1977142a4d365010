// SPDX-License-Identifier: LGPL-2.1-or-later
//! Calls to the daemon, as the generated functions make them.

use std::path::Path;

use bstr::BString;
use guestfs_checksum::Sum;
use guestfs_protocol::wire::{self, Nothing};
use guestfs_protocol::xdr::Strict;
use guestfs_protocol::{Arguments, Key, Procedure, Unpack};
use nix::errno::Errno;

use crate::connection::Call;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::transfer::{Sink, Source};

/// The most that is received into memory: a daemon that never stops sending must not take it all.
pub(crate) const MEMORY_MAX: usize = 1 << 31;

impl Handle {
    /// Calls a function that deals in no files.
    pub(crate) fn call<R: for<'a> Unpack<Strict<'a>>>(
        &self,
        procedure: Procedure,
        optargs: u64,
        args: &impl Arguments,
    ) -> Result<R> {
        self.converse(Call { procedure, optargs, args, secret: false, source: None, sink: None })
    }

    /// Calls a function that is given a secret: nothing of the call stays in memory.
    pub(crate) fn call_with_secret<R: for<'a> Unpack<Strict<'a>>>(
        &self,
        procedure: Procedure,
        optargs: u64,
        args: &impl Arguments,
    ) -> Result<R> {
        self.converse(Call { procedure, optargs, args, secret: true, source: None, sink: None })
    }

    /// Calls a function that takes a file of the host, or fills one.
    pub(crate) fn call_files<R: for<'a> Unpack<Strict<'a>>>(
        &self,
        procedure: Procedure,
        optargs: u64,
        args: &impl Arguments,
        filein: Option<&Path>,
        fileout: Option<&Path>,
    ) -> Result<R> {
        let source = filein.map(Source::open).transpose()?;
        let sink = fileout.map(Sink::Path);
        self.converse(Call { procedure, optargs, args, secret: false, source, sink })
    }

    /// Calls a function that fills a file, and returns its content, of at most `max` bytes.
    pub(crate) fn call_into_memory(
        &self,
        procedure: Procedure,
        args: &impl Arguments,
        max: usize,
    ) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let (source, sink) = (None, Some(Sink::Memory { content: &mut content, max }));
        let call = Call { procedure, optargs: 0, args, secret: false, source, sink };
        self.converse::<Nothing, _>(call)?;
        Ok(content)
    }

    /// Calls a function that takes a file, and gives it these bytes.
    pub(crate) fn call_from_memory(
        &self,
        procedure: Procedure,
        args: &impl Arguments,
        content: &[u8],
    ) -> Result<()> {
        let (source, sink) = (Some(Source::Bytes(content)), None);
        let call = Call { procedure, optargs: 0, args, secret: false, source, sink };
        self.converse::<Nothing, _>(call)?;
        Ok(())
    }

    /// Calls a function that fills a file, and sums up its content.
    pub(crate) fn call_into_sum(
        &self,
        procedure: Procedure,
        args: &impl Arguments,
        sum: &mut Sum,
    ) -> Result<()> {
        let (source, sink) = (None, Some(Sink::Sum(sum)));
        let call = Call { procedure, optargs: 0, args, secret: false, source, sink };
        self.converse::<Nothing, _>(call)?;
        Ok(())
    }

    /// Whether what is sent is shown in the window, where it costs little.
    pub(crate) fn has_window(&self) -> Result<bool> {
        self.queue(|| {
            self.cancel().reset();
            self.with_connection(|connection| connection.has_window(self))?
        })
    }

    fn converse<R, A>(&self, call: Call<'_, A>) -> Result<R>
    where
        R: for<'a> Unpack<Strict<'a>>,
        A: Arguments,
    {
        self.queue(|| {
            self.cancel().reset();
            self.with_connection(|connection| {
                Ok(match connection.call(self, call)? {
                    Ok(body) => Ok(wire::decode(&body)?),
                    Err(err) => Err(err),
                })
            })?
        })
    }
}

/// The text of an argument.  It ends at a NUL in the daemon's programs, so it must not have one.
pub(crate) fn text(argument: &str, value: &[u8]) -> Result<BString> {
    without_nul(argument, value).map(BString::from)
}

fn without_nul<'a>(argument: &str, value: &'a [u8]) -> Result<&'a [u8]> {
    match value.contains(&0) {
        true => Err(Error::invalid(argument, "contains a NUL byte")),
        false => Ok(value),
    }
}

/// The text of an argument that is a secret.
pub(crate) fn secret(argument: &str, value: &[u8]) -> Result<Key> {
    let value = without_nul(argument, value)?;
    Key::new(value).map_err(|err| Error::io(&err, argument))
}

/// The text of an argument that may be absent.
pub(crate) fn optional_text(argument: &str, value: Option<&[u8]>) -> Result<Option<BString>> {
    value.map(|value| text(argument, value)).transpose()
}

/// The texts of an argument.
pub(crate) fn texts(argument: &str, values: &[&[u8]]) -> Result<Vec<BString>> {
    values.iter().map(|value| text(argument, value)).collect()
}

/// The text of an option; what is not given is sent as an empty string.
pub(crate) fn option_text(option: &str, value: &Option<BString>) -> Result<BString> {
    value.as_ref().map_or_else(|| Ok(BString::default()), |value| text(option, value))
}

/// The texts of an option; what is not given is sent as an empty list.
pub(crate) fn option_texts(option: &str, value: &Option<Vec<BString>>) -> Result<Vec<BString>> {
    value.iter().flatten().map(|value| text(option, value)).collect()
}

/// The pairs of a hash, which crosses the wire as a list of keys and values in turn.
pub(crate) fn pairs(list: Vec<BString>) -> Result<Vec<(BString, BString)>> {
    if !list.len().is_multiple_of(2) {
        let why = format!("the appliance sent {} keys and values", list.len());
        return Err(Error::new(Errno::EPROTO as i32, why));
    }
    let mut list = list.into_iter();
    Ok(std::iter::from_fn(|| list.next().zip(list.next())).collect())
}

/// Bit `n` of the mask that says which optional arguments were given.
pub(crate) fn bit(n: u32, given: bool) -> u64 {
    u64::from(given) << n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_no_nul() {
        assert_eq!(text("device", b"/dev/sda").unwrap(), "/dev/sda");
        let err = text("device", b"/dev\0").unwrap_err();
        assert_eq!((err.to_string().as_str(), err.errno()), ("device: contains a NUL byte", 22));
        assert_eq!(option_text("label", &None).unwrap(), "");
        assert!(option_text("label", &Some("\0".into())).is_err());
        assert_eq!(optional_text("x", None).unwrap(), None);
        assert!(texts("names", &[b"a", b"\0"]).is_err());
        assert_eq!(option_texts("x", &None).unwrap(), [""; 0]);
        assert_eq!((bit(4, true), bit(4, false)), (16, 0));
    }

    #[test]
    fn hashes() {
        let list: Vec<BString> = vec!["k".into(), "v".into()];
        assert_eq!(pairs(list.clone()).unwrap(), [("k".into(), "v".into())]);
        assert_eq!(pairs(list[..1].to_vec()).unwrap_err().errno(), Errno::EPROTO as i32);
    }
}
