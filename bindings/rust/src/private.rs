// SPDX-License-Identifier: LGPL-2.1-or-later
//! The private data area: what a program hangs on a handle under names of its own.

use std::any::Any;
use std::sync::Arc;

use crate::handle::Handle;

/// A value of the user's, of any type.
pub type Private = Arc<dyn Any + Send + Sync>;

impl Handle {
    /// Keeps `value` under `key`, and returns what was there before.
    pub fn set_private(&self, key: &str, value: Private) -> Option<Private> {
        self.with(|s| s.private.insert(key.to_owned(), value))
    }

    /// What is kept under `key`.
    pub fn get_private(&self, key: &str) -> Option<Private> {
        self.with(|s| s.private.get(key).cloned())
    }

    /// Forgets what is kept under `key`, and returns it.
    pub fn remove_private(&self, key: &str) -> Option<Private> {
        self.with(|s| s.private.remove(key))
    }

    /// The keys in use, sorted.
    pub fn private_keys(&self) -> Vec<String> {
        self.with(|s| s.private.keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        let g = Handle::detached();
        assert!(g.set_private("b", Arc::new(1_i32)).is_none());
        assert!(g.set_private("a", Arc::new("x")).is_none());
        let old = g.set_private("b", Arc::new(2_i32)).unwrap();
        assert_eq!(old.downcast_ref(), Some(&1_i32));
        assert_eq!(g.private_keys(), ["a", "b"]);
        assert_eq!(g.get_private("b").unwrap().downcast_ref(), Some(&2_i32));
        assert!(g.remove_private("b").is_some());
        assert!(g.get_private("b").is_none());
    }
}
