// SPDX-License-Identifier: LGPL-2.1-or-later
//! Whether the caller still wants what it has called for.
//!
//! What may take long asks now and then.  That costs little, and who asks need not know of the
//! call it works for: it may be far below the function.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::channel::Channel;
use crate::error::{Error, Result};

/// How often the channel is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

thread_local! {
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

struct Call {
    channel: Rc<Channel>,
    due: Instant,
}

/// Carries out a call of this channel.
pub(crate) fn during<T>(channel: &Rc<Channel>, call: impl FnOnce() -> T) -> T {
    let due = Instant::now() + INTERVAL;
    let _over = Over(CALL.replace(Some(Call { channel: channel.clone(), due })));
    call()
}

/// Puts back what was there, even if the call panics.
struct Over(Option<Call>);

impl Drop for Over {
    fn drop(&mut self) {
        CALL.set(self.0.take());
    }
}

/// An error once the caller wants the call to end.
pub(crate) fn check() -> Result<()> {
    CALL.with_borrow_mut(|call| match call {
        Some(call) => call.check(),
        None => Ok(()),
    })
}

/// The same for readers and writers.
pub(crate) fn check_io() -> io::Result<()> {
    check().map_err(Error::into_io)
}

/// What can be read when the caller says something; none if it has said something already that is
/// for somebody else.
pub(crate) fn channel() -> Option<Rc<Channel>> {
    CALL.with_borrow(|call| {
        let channel = call.as_ref().map(|call| call.channel.clone());
        channel.filter(|channel| !channel.keeps())
    })
}

/// An error if the caller has just said that the call is to end.
pub(crate) fn check_now() -> Result<()> {
    CALL.with_borrow_mut(|call| match call {
        Some(call) => {
            call.due = Instant::now();
            call.check()
        }
        None => Ok(()),
    })
}

impl Call {
    fn check(&mut self) -> Result<()> {
        let now = Instant::now();
        if now < self.due {
            return Ok(());
        }
        self.due = now + INTERVAL;
        match self.channel.wants_to_stop()? {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use guestfs_protocol::wire::{CANCEL_FLAG, Incoming, TAKEN_FLAG};
    use rustix::fs::OFlags;

    use super::*;
    use crate::ctx::Ctx;
    use crate::file;
    use crate::path::GuestPath;

    /// Asks as long as it takes for the answer to be due.
    fn until_asked() -> Result<()> {
        let start = Instant::now();
        while start.elapsed() <= INTERVAL {
            check()?;
        }
        check()
    }

    #[test]
    fn only_the_flag_ends_a_call() {
        let (mut library, daemon) = UnixStream::pair().unwrap();
        let channel = Channel::new(daemon.into());
        check().unwrap();
        during(&channel, || {
            until_asked().unwrap();
            library.write_all(&TAKEN_FLAG.to_be_bytes()).unwrap();
            until_asked().unwrap();
            // It is for somebody else, and still there.
            assert!(channel.is_readable());
            assert_eq!(channel.receive().unwrap(), Incoming::Taken);
            library.write_all(&CANCEL_FLAG.to_be_bytes()).unwrap();
            let err = until_asked().unwrap_err();
            assert_eq!(err.to_string(), "cancelled by the caller");
            assert!(!channel.is_readable());
        });
        library.write_all(&CANCEL_FLAG.to_be_bytes()).unwrap();
        until_asked().unwrap();
    }

    /// The call would take hours, if it did not ask.
    #[track_caller]
    fn ends<T: std::fmt::Debug>(call: impl FnOnce(&mut Ctx, &GuestPath) -> Result<T>) {
        let dir = tempfile::tempdir().unwrap();
        crate::system::write(dir.path().join("file"), b"").unwrap();
        let file = crate::system::open(dir.path().join("file"), OFlags::RDWR).unwrap();
        file.set_len(1 << 42).unwrap();
        let (mut library, daemon) = UnixStream::pair().unwrap();
        library.write_all(&CANCEL_FLAG.to_be_bytes()).unwrap();
        let cx = &mut Ctx::new(dir.path());
        let path = GuestPath::new("path", b"/file").unwrap();
        let result = during(&Channel::new(daemon.into()), || call(cx, &path));
        assert_eq!(result.unwrap_err().to_string(), "cancelled by the caller");
    }

    #[test]
    fn long_calls_ask() {
        ends(|cx, path| file::checksum(cx, "crc".into(), path));
        ends(|cx, path| file::fill(cx, 0x78, i32::MAX, path));
    }
}
