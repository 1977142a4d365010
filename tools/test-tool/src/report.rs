// SPDX-License-Identifier: LGPL-2.1-or-later
//! The report as it is printed: what was looked at, what came of it, and the verdict.

use std::fmt::Display;

/// What programs and people look for in the last line.
const GOOD: &str = "===== TEST FINISHED OK =====";
const BAD: &str = "===== TEST FAILED =====";

/// What has been found so far.
#[derive(Default)]
pub(crate) struct Report {
    problems: Vec<String>,
    chapter: &'static str,
}

impl Report {
    /// Begins with something else.
    pub(crate) fn chapter(&mut self, title: &'static str) {
        println!("\n----- {title} -----");
        self.chapter = title;
    }

    /// A fact, which is neither good nor bad.
    pub(crate) fn fact(&self, name: &str, value: impl Display) {
        println!("{name}: {value}");
    }

    /// Something that is as it should be.
    pub(crate) fn good(&self, what: impl Display) {
        println!("ok: {what}");
    }

    /// Something that could be better, but does not keep anything from working.
    pub(crate) fn warning(&self, what: impl Display) {
        println!("warning: {what}");
    }

    /// Something that has to be mended.
    pub(crate) fn problem(&mut self, what: impl Display) {
        println!("FAILED: {what}");
        self.problems.push(format!("{}: {what}", self.chapter));
    }

    /// Text of others.
    pub(crate) fn quote(&self, title: &str, text: &str) {
        println!("{title}:");
        text.lines().for_each(|line| println!("    {}", line.trim_end()));
    }

    /// The end; whether all was well.
    pub(crate) fn verdict(self) -> bool {
        println!();
        for problem in &self.problems {
            println!("problem: {problem}");
        }
        println!("{}", if self.problems.is_empty() { GOOD } else { BAD });
        self.problems.is_empty()
    }
}
