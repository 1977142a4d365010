// SPDX-License-Identifier: LGPL-2.1-or-later
//! The text of a trace: a call as one would type it, and its result.

use std::fmt::Write;
use std::path::Path;

use bstr::BString;

/// The most bytes of a buffer that a trace shows.
const BUFFER_SHOWN: usize = 256;

/// Options that are passwords.  In C their type is a string's, so that the name has to tell.
const SECRETS: [&str; 1] = ["secret"];

/// A call being written down: `mount "/dev/sda1" "/"`.
pub(crate) struct Trace {
    text: String,
}

impl Trace {
    pub(crate) fn new(function: &str) -> Self {
        Self { text: function.to_owned() }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    pub(crate) fn string(&mut self, value: &[u8]) {
        self.text.push(' ');
        quote(&mut self.text, value);
    }

    pub(crate) fn opt_string(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.string(value),
            None => self.text.push_str(" NULL"),
        }
    }

    pub(crate) fn path(&mut self, value: &Path) {
        self.string(value.as_os_str().as_encoded_bytes());
    }

    /// A secret is never shown, nor how long it is.
    pub(crate) fn key(&mut self) {
        self.text.push_str(" \"***\"");
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.text.push(' ');
        buffer(&mut self.text, value);
    }

    pub(crate) fn list(&mut self, value: &[impl AsRef<[u8]>]) {
        self.text.push_str(" \"");
        join(&mut self.text, value);
        self.text.push('"');
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.display(value);
    }

    pub(crate) fn int(&mut self, value: i32) {
        self.display(value);
    }

    pub(crate) fn int64(&mut self, value: i64) {
        self.display(value);
    }

    pub(crate) fn pointer(&mut self, value: usize) {
        let _ = write!(self.text, " {value:#x}");
    }

    pub(crate) fn option_bool(&mut self, name: &str, value: Option<bool>) {
        self.option(name, value);
    }

    pub(crate) fn option_int(&mut self, name: &str, value: Option<i32>) {
        self.option(name, value);
    }

    pub(crate) fn option_int64(&mut self, name: &str, value: Option<i64>) {
        self.option(name, value);
    }

    pub(crate) fn option_string(&mut self, name: &str, value: &Option<BString>) {
        if let Some(value) = value {
            self.option_start(name);
            escape(&mut self.text, if SECRETS.contains(&name) { b"***" } else { value });
            self.text.push('"');
        }
    }

    pub(crate) fn option_list(&mut self, name: &str, value: &Option<Vec<BString>>) {
        if let Some(value) = value {
            self.option_start(name);
            join(&mut self.text, value);
            self.text.push('"');
        }
    }

    fn option(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.option_start(name);
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{value}\"");
        }
    }

    fn option_start(&mut self, name: &str) {
        self.text.push_str(" \"");
        self.text.push_str(name);
        self.text.push(':');
    }

    fn display(&mut self, value: impl std::fmt::Display) {
        let _ = write!(self.text, " {value}");
    }
}

/// A value that a function of the API can return.
pub(crate) trait Traced {
    /// What C returns instead of a value where the function fails.
    const FAILURE: &'static str;

    /// Appends the value as a trace shows it.
    fn show(&self, text: &mut String);
}

/// A structure of the API; the generated code says which these are.
pub(crate) trait ApiStruct {
    /// Its name in C, without the prefix.
    const NAME: &'static str;
}

impl Traced for () {
    const FAILURE: &'static str = "-1";

    fn show(&self, text: &mut String) {
        text.push('0');
    }
}

impl Traced for bool {
    const FAILURE: &'static str = "-1";

    fn show(&self, text: &mut String) {
        text.push(if *self { '1' } else { '0' });
    }
}

impl Traced for i32 {
    const FAILURE: &'static str = "-1";

    fn show(&self, text: &mut String) {
        let _ = write!(text, "{self}");
    }
}

impl Traced for i64 {
    const FAILURE: &'static str = "-1";

    fn show(&self, text: &mut String) {
        let _ = write!(text, "{self}");
    }
}

impl Traced for BString {
    const FAILURE: &'static str = "NULL";

    fn show(&self, text: &mut String) {
        quote(text, self);
    }
}

impl Traced for Option<BString> {
    const FAILURE: &'static str = "NULL";

    fn show(&self, text: &mut String) {
        match self {
            Some(value) => quote(text, value),
            None => text.push_str("NULL"),
        }
    }
}

impl Traced for Vec<u8> {
    const FAILURE: &'static str = "NULL";

    fn show(&self, text: &mut String) {
        buffer(text, self);
    }
}

impl Traced for Vec<BString> {
    const FAILURE: &'static str = "NULL";

    fn show(&self, text: &mut String) {
        list(text, self.iter());
    }
}

impl Traced for Vec<(BString, BString)> {
    const FAILURE: &'static str = "NULL";

    fn show(&self, text: &mut String) {
        list(text, self.iter().flat_map(|(key, value)| [key, value]));
    }
}

impl<T: ApiStruct> Traced for T {
    const FAILURE: &'static str = "NULL";

    fn show(&self, text: &mut String) {
        let _ = write!(text, "<struct guestfs_{} *>", T::NAME);
    }
}

impl<T: ApiStruct> Traced for Vec<T> {
    const FAILURE: &'static str = "NULL";

    fn show(&self, text: &mut String) {
        let _ = write!(text, "<struct guestfs_{}_list *>", T::NAME);
    }
}

fn list<'a>(text: &mut String, values: impl Iterator<Item = &'a BString>) {
    text.push('[');
    for (i, value) in values.enumerate() {
        text.push_str(if i == 0 { "" } else { ", " });
        quote(text, value);
    }
    text.push(']');
}

fn join(text: &mut String, values: &[impl AsRef<[u8]>]) {
    for (i, value) in values.iter().enumerate() {
        text.push_str(if i == 0 { "" } else { " " });
        escape(text, value.as_ref());
    }
}

fn buffer(text: &mut String, value: &[u8]) {
    quote(text, &value[..value.len().min(BUFFER_SHOWN)]);
    if value.len() > BUFFER_SHOWN {
        let _ = write!(text, "<truncated, original size {} bytes>", value.len());
    }
}

fn quote(text: &mut String, value: &[u8]) {
    text.push('"');
    escape(text, value);
    text.push('"');
}

fn escape(text: &mut String, value: &[u8]) {
    for &byte in value {
        match byte {
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_call(write: impl FnOnce(&mut Trace), expected: &str) {
        let mut trace = Trace::new("f");
        write(&mut trace);
        assert_eq!(trace.into_text(), expected);
    }

    #[test]
    fn calls() {
        check_call(|_| {}, "f");
        check_call(|t| t.string(b"/dev/sda1"), r#"f "/dev/sda1""#);
        check_call(|t| t.string(b"a\nb\xe9"), r#"f "a\x0ab\xe9""#);
        check_call(|t| t.opt_string(Some(b"x")), r#"f "x""#);
        check_call(|t| t.opt_string(None), "f NULL");
        check_call(|t| t.path(Path::new("/tmp/x")), r#"f "/tmp/x""#);
        check_call(|t| t.key(), r#"f "***""#);
        check_call(|t| t.bytes(b"a\0"), r#"f "a\x00""#);
        check_call(|t| t.list(&["a", "b"]), r#"f "a b""#);
        check_call(|t| t.list(&[] as &[&str]), r#"f """#);
        check_call(|t| t.bool(true), "f true");
        check_call(|t| t.int(-1), "f -1");
        check_call(|t| t.int64(1 << 40), "f 1099511627776");
        check_call(|t| t.pointer(4096), "f 0x1000");
        let long = format!(r#"f "{}"<truncated, original size 300 bytes>"#, "a".repeat(256));
        check_call(|t| t.bytes(&[b'a'; 300]), &long);
    }

    #[test]
    fn options() {
        check_call(|t| t.option_bool("readonly", Some(true)), r#"f "readonly:true""#);
        check_call(|t| t.option_bool("readonly", None), "f");
        check_call(|t| t.option_int("n", Some(1)), r#"f "n:1""#);
        check_call(|t| t.option_int64("n", Some(1)), r#"f "n:1""#);
        check_call(|t| t.option_string("label", &Some("D\t".into())), r#"f "label:D\x09""#);
        check_call(|t| t.option_string("secret", &Some("pass".into())), r#"f "secret:***""#);
        let list = Some(vec!["a".into(), "b".into()]);
        check_call(|t| t.option_list("server", &list), r#"f "server:a b""#);
    }

    #[track_caller]
    fn check_result<T: Traced>(value: T, expected: &str, failure: &str) {
        let mut text = String::new();
        value.show(&mut text);
        assert_eq!((text.as_str(), T::FAILURE), (expected, failure));
    }

    struct Thing;

    impl ApiStruct for Thing {
        const NAME: &'static str = "thing";
    }

    #[test]
    fn results() {
        check_result((), "0", "-1");
        check_result(true, "1", "-1");
        check_result(7_i32, "7", "-1");
        check_result(7_i64, "7", "-1");
        check_result(BString::from("x"), r#""x""#, "NULL");
        check_result(None, "NULL", "NULL");
        check_result(b"x\0".to_vec(), r#""x\x00""#, "NULL");
        check_result(vec![BString::from("a"), "b".into()], r#"["a", "b"]"#, "NULL");
        check_result(vec![(BString::from("k"), BString::from("v"))], r#"["k", "v"]"#, "NULL");
        check_result(Thing, "<struct guestfs_thing *>", "NULL");
        check_result(vec![Thing], "<struct guestfs_thing_list *>", "NULL");
    }
}
