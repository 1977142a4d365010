// SPDX-License-Identifier: LGPL-2.1-or-later
//! A way out of calls that wait, for programs in which a signal is more than `EINTR`.
//!
//! An interpreter must not run its handlers of signals inside the system's.  It has them announced
//! on a descriptor instead, and runs them where it may: in its main thread, which may be here,
//! waiting for the appliance.  So whatever waits in that thread waits for that descriptor too.

use std::cell::{Cell, RefCell};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

/// Where signals are announced, and what is to be done about them.
pub trait Watch {
    /// Becomes readable when there is something to be done.
    fn as_fd(&self) -> BorrowedFd<'_>;

    /// Does it, and empties the descriptor.  True means that the call should end as soon as it can.
    fn wake(&self) -> bool;
}

/// What is watched in a part of the program.
pub(crate) struct Scope {
    watch: Rc<dyn Watch>,
    requested: Cell<bool>,
}

thread_local! {
    static SCOPE: RefCell<Option<Rc<Scope>>> = const { RefCell::new(None) };
}

/// Carries out `body`; calls that this thread makes in there can be ended by `watch`.
///
/// A transfer is cancelled, as by [`Handle::user_cancel`](crate::Handle::user_cancel).  A launch is
/// given up.  Any other call goes on in the appliance, but its result is not waited for; the next
/// call waits until that one is over.
pub fn interruptible<T>(watch: Rc<dyn Watch>, body: impl FnOnce() -> T) -> T {
    let scope = Rc::new(Scope { watch, requested: Cell::new(false) });
    let _restored = Restored(SCOPE.replace(Some(scope)));
    body()
}

/// Puts the scope around this one back, even when `body` panics.
struct Restored(Option<Rc<Scope>>);

impl Drop for Restored {
    fn drop(&mut self) {
        SCOPE.set(self.0.take());
    }
}

/// What calls of this thread have to watch, if anything.
pub(crate) fn current() -> Option<Rc<Scope>> {
    // There is none any more when a program that exits has its handles closed.
    SCOPE.try_with(|scope| scope.borrow().clone()).ok().flatten()
}

/// The call is to end.
pub(crate) fn requested() -> bool {
    current().is_some_and(|it| it.requested.get())
}

impl Scope {
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// To be called when the descriptor is readable.
    pub(crate) fn wake(&self) {
        if self.watch.wake() {
            self.requested.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    struct Once(UnixStream);

    impl Watch for Once {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        fn wake(&self) -> bool {
            (&self.0).read(&mut [0; 8]).is_ok()
        }
    }

    #[test]
    fn scopes() {
        let (mut tell, watch) = UnixStream::pair().unwrap();
        assert!(current().is_none() && !requested());
        interruptible(Rc::new(Once(watch)), || {
            tell.write_all(b"x").unwrap();
            assert!(!requested());
            current().unwrap().wake();
            assert!(requested());
            let inner = Rc::new(Once(tell.try_clone().unwrap()));
            interruptible(inner, || assert!(!requested()));
            assert!(requested());
        });
        assert!(current().is_none() && !requested());
    }
}
