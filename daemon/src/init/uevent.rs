// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel's announcements of devices.

use std::fmt::Display;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::os::fd::AsFd;

use crate::error::{About, Error, Result};

/// How long a device may take; a machine without KVM is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// A socket on which the kernel announces devices.
pub(super) struct Uevents(OwnedFd);

impl Uevents {
    /// Starts listening.
    pub(super) fn open() -> Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkKObjectUEvent,
        )
        .about("uevents")?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1)).about("uevents")?;
        Ok(Self(socket))
    }

    /// Asks after every event whether `what` is there.
    pub(super) fn wait_until<T>(
        &mut self,
        mut found: impl FnMut() -> Result<Option<T>>,
        what: &impl Display,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.drain()?;
            if let Some(found) = found()? {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            if left.is_zero() || poll(&mut fds, timeout).about("uevents")? == 0 {
                let why = format_args!("not there after {} seconds", PATIENCE.as_secs());
                return Err(Error::refused(crate::error::Errno::NODEV, what, why));
            }
        }
    }

    /// Forgets what was announced: what is there now is looked up.
    fn drain(&self) -> Result<()> {
        let mut event = [0; 8192];
        loop {
            match recv(self.0.as_raw_fd(), &mut event, MsgFlags::empty()) {
                Err(Errno::EAGAIN) => return Ok(()),
                // So many that some were lost; all the more reason to look.
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(err) => return Err(err).about("uevents"),
            }
        }
    }
}
