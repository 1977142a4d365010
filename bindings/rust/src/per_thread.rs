// SPDX-License-Identifier: LGPL-2.1-or-later
//! Values that each thread has for itself, in a place that all of them share.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// One value a thread.  Those of threads that have ended go when the next thread has its first.
#[derive(Debug)]
pub struct PerThread<T> {
    slots: Vec<Slot<T>>,
}

#[derive(Debug)]
struct Slot<T> {
    thread: u64,
    /// Dead when the thread is.
    alive: Weak<()>,
    value: T,
}

impl<T> Default for PerThread<T> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<T: Default> PerThread<T> {
    /// The value of this thread, if it has one.
    pub fn get(&self) -> Option<&T> {
        let thread = this_thread();
        self.slots.iter().find(|slot| slot.thread == thread).map(|slot| &slot.value)
    }

    /// The value of this thread, which is a new one at first.
    pub fn get_mut(&mut self) -> &mut T {
        let thread = this_thread();
        let at = match self.slots.iter().position(|slot| slot.thread == thread) {
            Some(at) => at,
            None => {
                self.slots.retain(|slot| slot.alive.strong_count() > 0);
                self.slots.push(Slot { thread, alive: sign_of_life(), value: T::default() });
                self.slots.len() - 1
            }
        };
        &mut self.slots[at].value
    }
}

/// A number that no other thread of the process has or had.  It needs no destructor, so handles
/// that are closed when the program exits, when a thread's values are gone already, have it too.
fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(0) });
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// What lives as long as the thread; nothing if it is at its end.
fn sign_of_life() -> Weak<()> {
    thread_local!(static ALIVE: Arc<()> = Arc::default());
    ALIVE.try_with(Arc::downgrade).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn each_thread_has_its_own() {
        let mut values: PerThread<i32> = PerThread::default();
        assert_eq!(values.get(), None);
        *values.get_mut() = 1;
        for number in 2..10 {
            thread::scope(|scope| {
                let other = scope.spawn(|| {
                    assert_eq!(values.get(), None);
                    *values.get_mut() = number;
                    assert_eq!(values.get(), Some(&number));
                });
                // The end of a scope waits for what its threads do, not for their end.
                other.join().unwrap();
            });
        }
        assert_eq!(values.get(), Some(&1));
        // This thread, and at most the last of the others.
        assert!(values.slots.len() <= 2, "{values:?}");
    }
}
