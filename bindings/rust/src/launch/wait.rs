// SPDX-License-Identifier: LGPL-2.1-or-later
//! Waiting for file descriptors until a deadline.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Sleeps until at least one of the descriptors can be read or has been closed by the other side,
/// and says which.  All are false when the deadline has passed; none means to wait for ever.
pub(super) fn readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    deadline: Option<Instant>,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    loop {
        let timeout = deadline.map_or(PollTimeout::NONE, remaining);
        match poll(&mut polled, timeout) {
            Ok(0) if deadline.is_some_and(|it| it > Instant::now()) => {}
            Ok(_) => return Ok(polled.map(|it| it.any().unwrap_or(true))),
            // A signal handler of the program ran.
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Rounded up to milliseconds, so that the last one isn't spent spinning.
fn remaining(deadline: Instant) -> PollTimeout {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = left.saturating_add(Duration::from_nanos(999_999));
    PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn data_close_and_deadline() {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (c, d) = UnixStream::pair().unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(1));
        assert_eq!(readable([b.as_fd(), d.as_fd()], soon()).unwrap(), [false, false]);
        a.write_all(b"x").unwrap();
        assert_eq!(readable([b.as_fd(), d.as_fd()], None).unwrap(), [true, false]);
        drop(c);
        assert_eq!(readable([b.as_fd(), d.as_fd()], None).unwrap(), [true, true]);
    }
}
