// SPDX-License-Identifier: LGPL-2.1-or-later
//! A bar on the terminal that shows how far a long call has come.

use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

/// The bar of the command that runs.
#[derive(Default)]
pub(crate) struct Progress {
    bar: Mutex<Option<ProgressBar>>,
}

impl Progress {
    /// Shows a position.  The bar is drawn on standard error, some times a second at most, and
    /// only if that is a terminal.
    pub(crate) fn update(&self, position: u64, total: u64) {
        let mut bar = self.lock();
        let bar = bar.get_or_insert_with(|| ProgressBar::new(total).with_style(style()));
        bar.set_length(total);
        bar.set_position(position);
    }

    /// The command has come to its end.
    pub(crate) fn finish(&self) {
        if let Some(bar) = self.lock().take() {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        // A bar is in no state that could be half changed.
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{percent:>3}% [{wide_bar}] {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
