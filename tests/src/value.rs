// SPDX-License-Identifier: LGPL-2.1-or-later
//! Results of any type, in a form that can be compared with what a test expects.

use std::fmt;

use bstr::{BString, ByteSlice};

/// A result.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Nothing,
    Number(i128),
    Percent(f32),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    /// A structure: what is expected may name fewer fields than there are.
    Fields(Vec<(String, Value)>),
    /// Pairs in any order.
    Hash(Vec<(String, Value)>),
}

pub(crate) fn nothing() -> Value {
    Value::Nothing
}

pub(crate) fn number(value: impl Into<i128>) -> Value {
    Value::Number(value.into())
}

pub(crate) fn percent(value: f32) -> Value {
    Value::Percent(value)
}

pub(crate) fn character(value: u8) -> Value {
    Value::Bytes(vec![value])
}

pub(crate) fn bytes(value: impl AsRef<[u8]>) -> Value {
    Value::Bytes(value.as_ref().to_vec())
}

pub(crate) fn list<const N: usize>(items: [Value; N]) -> Value {
    Value::List(items.into())
}

pub(crate) fn fields<const N: usize>(items: [(&str, Value); N]) -> Value {
    Value::Fields(items.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

pub(crate) fn hash<const N: usize>(items: [(&str, Value); N]) -> Value {
    Value::Hash(items.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

impl Value {
    /// Whether a result is what is expected.
    pub(crate) fn accepts(&self, got: &Self) -> bool {
        match (self, got) {
            (Self::Number(number), Self::Percent(got)) => *number as f32 == *got,
            (Self::List(expected), Self::List(got)) => {
                expected.len() == got.len()
                    && expected.iter().zip(got).all(|(expected, got)| expected.accepts(got))
            }
            (Self::Fields(expected), Self::Fields(got)) => {
                expected.iter().all(|it| contains(got, it))
            }
            (Self::Hash(expected), Self::Hash(got)) => {
                expected.len() == got.len() && expected.iter().all(|it| contains(got, it))
            }
            _ => self == got,
        }
    }
}

fn contains(got: &[(String, Value)], (name, expected): &(String, Value)) -> bool {
    got.iter().any(|(key, value)| key == name && expected.accepts(value))
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Percent(value) => write!(f, "{value}"),
            Self::Bytes(value) if value.len() > 4000 => {
                write!(f, "{:?}... ({} bytes)", value[..4000].as_bstr(), value.len())
            }
            Self::Bytes(value) => write!(f, "{:?}", value.as_bstr()),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Fields(items) | Self::Hash(items) => {
                f.debug_map().entries(items.iter().map(|(key, value)| (key, value))).finish()
            }
        }
    }
}

/// A type that functions return.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value;
}

impl ToValue for () {
    fn to_value(&self) -> Value {
        Value::Nothing
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Value {
        number(*self)
    }
}

impl ToValue for i32 {
    fn to_value(&self) -> Value {
        number(*self)
    }
}

impl ToValue for i64 {
    fn to_value(&self) -> Value {
        number(*self)
    }
}

impl ToValue for BString {
    fn to_value(&self) -> Value {
        bytes(self)
    }
}

impl ToValue for Option<BString> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Nothing, ToValue::to_value)
    }
}

/// Bytes have no list form: what returns `Vec<u8>` returns content.
impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value {
        bytes(self)
    }
}

impl ToValue for Vec<(BString, BString)> {
    fn to_value(&self) -> Value {
        Value::Hash(self.iter().map(|(key, value)| (key.to_string(), bytes(value))).collect())
    }
}

/// What a list is made of.
pub(crate) trait Element: ToValue {}

impl Element for BString {}

impl<T: Element> ToValue for Vec<T> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(ToValue::to_value).collect())
    }
}

/// Text that a pattern is compared with.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Nothing => String::new(),
        Value::Bytes(value) => value.to_str_lossy().into_owned(),
        Value::List(items) => items.iter().map(|it| text(it) + "\n").collect(),
        other => format!("{other:?}"),
    }
}
