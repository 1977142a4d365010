// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kernel's announcements of devices.

use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use bstr::ByteSlice;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket, sockopt,
};

use crate::error::{About, Error, Result};

/// How long a device may take; a machine without KVM is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many bytes of announcements may wait: hundreds of disks with partitions come at once.
const BACKLOG: usize = 64 << 20;

/// A socket on which the kernel announces devices.
pub(crate) struct Uevents(OwnedFd);

impl Uevents {
    /// Starts listening.
    pub(crate) fn open() -> Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkKObjectUEvent,
        )
        .about("uevents")?;
        setsockopt(&socket, sockopt::RcvBufForce, &BACKLOG).about("uevents")?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1)).about("uevents")?;
        Ok(Self(socket))
    }

    /// Asks after every event whether `what` is there.
    pub(crate) fn wait_until<T>(
        &mut self,
        mut found: impl FnMut() -> Result<Option<T>>,
        what: &impl Display,
    ) -> Result<T> {
        self.wait(|socket| drain(socket).and_then(|()| found()), what)
    }

    fn wait<T>(
        &mut self,
        mut found: impl FnMut(&OwnedFd) -> Result<Option<T>>,
        what: &impl Display,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(&self.0)? {
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

    /// Gives every whole disk that is announced to `enough`, until that says so.
    pub(crate) fn wait_for_disks(
        &mut self,
        mut enough: impl FnMut(&[u8]) -> bool,
        what: &impl Display,
    ) -> Result<()> {
        let mut event = [0; 8192];
        let mut done = false;
        let found = |socket: &OwnedFd| {
            loop {
                match recv(socket.as_raw_fd(), &mut event, MsgFlags::empty()) {
                    Ok(n) => done |= new_disk(&event[..n]).is_some_and(&mut enough),
                    Err(Errno::EAGAIN) => return Ok(done.then_some(())),
                    Err(Errno::EINTR) => {}
                    Err(err) => return Err(err).about("uevents"),
                }
            }
        };
        self.wait(found, what)
    }
}

/// Forgets what was announced: what is there now is looked up.
fn drain(socket: &OwnedFd) -> Result<()> {
    let mut event = [0; 8192];
    loop {
        match recv(socket.as_raw_fd(), &mut event, MsgFlags::empty()) {
            Err(Errno::EAGAIN) => return Ok(()),
            // So many that some were lost; all the more reason to look.
            Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
            Err(err) => return Err(err).about("uevents"),
        }
    }
}

/// The disk that an event is about, if it says that there is a new one.  Its partitions have been
/// announced by then, or are in the same burst.
fn new_disk(event: &[u8]) -> Option<&[u8]> {
    let mut fields = event.split(|byte| *byte == 0);
    let path = fields.next()?.strip_prefix(b"add@")?;
    let is_disk = fields.any(|field| field == b"DEVTYPE=disk");
    let (_, name) = path.rsplit_once_str(b"/block/")?;
    is_disk.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: &[u8], expected: Option<&str>) {
        assert_eq!(new_disk(event), expected.map(str::as_bytes));
    }

    #[test]
    fn events() {
        let path = "add@/devices/pci0000:00/virtio1/host0/target0:0:1/0:0:1:0/block/sdb";
        check(format!("{path}\0ACTION=add\0DEVTYPE=disk\0").as_bytes(), Some("sdb"));
        check(format!("{path}/sdb1\0ACTION=add\0DEVTYPE=partition\0").as_bytes(), None);
        check(b"remove@/devices/x/block/sdb\0DEVTYPE=disk\0", None);
        check(b"add@/devices/x/scsi_device/0:0:1:0\0", None);
        check(b"", None);
    }
}
