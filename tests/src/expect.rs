// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the last step of a case comes to.

use guestfs::Result;
use regex::bytes::Regex;

use crate::value::{ToValue, Value, text};

/// The result is exactly this.
#[track_caller]
pub(crate) fn returns(got: Result<impl ToValue>, expected: Value) {
    match got {
        Ok(got) => {
            let got = got.to_value();
            assert!(expected.accepts(&got), "\nexpected {expected:?}\ngot      {got:?}");
        }
        Err(err) => panic!("\nexpected {expected:?}\ngot the error: {err}"),
    }
}

/// The text of the result matches this.
#[track_caller]
pub(crate) fn matches(got: Result<impl ToValue>, pattern: &str) {
    let regex = Regex::new(pattern).expect("a regular expression");
    match got {
        Ok(got) => {
            let got = text(&got.to_value());
            assert!(regex.is_match(got.as_bytes()), "\nexpected a match of {pattern}\ngot {got:?}");
        }
        Err(err) => panic!("\nexpected a match of {pattern}\ngot the error: {err}"),
    }
}

/// The error has this errno and these words.
#[track_caller]
pub(crate) fn fails(got: Result<impl ToValue>, errno: Option<&str>, says: &str) {
    match got {
        Ok(got) => panic!("\nexpected the error {errno:?}\ngot {:?}", got.to_value()),
        Err(err) => {
            let name = guestfs_protocol::errno::name(err.errno());
            assert!(
                name == errno.unwrap_or_default() && err.to_string().contains(says),
                "\nexpected {errno:?} with {says:?}\ngot      {name:?} with {:?}",
                err.to_string()
            );
        }
    }
}
