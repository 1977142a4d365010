// SPDX-License-Identifier: LGPL-2.1-or-later
//! Regular expressions of grep, by the C library that is linked in anyway: syntax and meaning are
//! those of GNU grep, down to back-references, and bytes are characters, NUL among them.
//!
//! The interface of POSIX cannot do the latter, so this is the one of GNU.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};
use std::ptr;
use std::sync::Mutex;

use bstr::BStr;

use crate::error::{Error, Result};

/// What may be chosen about an expression.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Syntax {
    /// The modern syntax, in which `(` and `|` are operators.
    pub(super) extended: bool,
    /// `a` is the same as `A`.
    pub(super) insensitive: bool,
}

// Bits of the C library's `reg_syntax_t`, under its names without `RE_`.
const BK_PLUS_QM: c_ulong = 1 << 1;
const CHAR_CLASSES: c_ulong = 1 << 2;
const CONTEXT_INDEP_ANCHORS: c_ulong = 1 << 3;
const CONTEXT_INDEP_OPS: c_ulong = 1 << 4;
const DOT_NEWLINE: c_ulong = 1 << 6;
const INTERVALS: c_ulong = 1 << 9;
const NO_BK_BRACES: c_ulong = 1 << 12;
const NO_BK_PARENS: c_ulong = 1 << 13;
const NO_BK_VBAR: c_ulong = 1 << 15;
const NO_EMPTY_RANGES: c_ulong = 1 << 16;
const UNMATCHED_RIGHT_PAREN_ORD: c_ulong = 1 << 17;
const INVALID_INTERVAL_ORD: c_ulong = 1 << 21;
const ICASE: c_ulong = 1 << 22;
const NO_SUB: c_ulong = 1 << 25;

/// What both syntaxes of grep have.
const COMMON: c_ulong = CHAR_CLASSES | DOT_NEWLINE | INTERVALS | NO_EMPTY_RANGES | NO_SUB;

const BASIC: c_ulong = COMMON | BK_PLUS_QM;

const EXTENDED: c_ulong = COMMON
    | CONTEXT_INDEP_ANCHORS
    | CONTEXT_INDEP_OPS
    | NO_BK_BRACES
    | NO_BK_PARENS
    | NO_BK_VBAR
    | UNMATCHED_RIGHT_PAREN_ORD
    | INVALID_INTERVAL_ORD;

/// The C library's `struct re_pattern_buffer`.
#[repr(C)]
struct PatternBuffer {
    buffer: *mut c_void,
    allocated: c_ulong,
    used: c_ulong,
    syntax: c_ulong,
    /// Room for 256 bytes by which it knows where a match may begin, or null.
    fastmap: *mut c_char,
    translate: *mut c_char,
    re_nsub: usize,
    flags: c_uint,
}

#[expect(unsafe_code, reason = "the C library has no safe interface")]
unsafe extern "C" {
    fn re_set_syntax(syntax: c_ulong) -> c_ulong;
    fn re_compile_pattern(
        pattern: *const c_char,
        length: usize,
        buffer: *mut PatternBuffer,
    ) -> *const c_char;
    fn re_search(
        buffer: *mut PatternBuffer,
        string: *const c_char,
        length: c_int,
        start: c_int,
        range: c_int,
        registers: *mut c_void,
    ) -> c_int;
    /// Takes what both interfaces compile to.
    fn regfree(buffer: *mut PatternBuffer);
}

/// The syntax is a global variable of the C library.
static SYNTAX: Mutex<()> = Mutex::new(());

/// Size of the table of bytes that a match may begin with.
const FASTMAP: usize = 256;

/// A compiled expression.
pub(super) struct Regex(PatternBuffer);

impl Regex {
    /// Compiles one, or says what is wrong with it.
    #[expect(unsafe_code, reason = "the C library has no safe interface")]
    pub(super) fn new(pattern: &[u8], syntax: Syntax) -> Result<Self> {
        let mut bits = if syntax.extended { EXTENDED } else { BASIC };
        if syntax.insensitive {
            bits |= ICASE;
        }
        let mut regex = Self(PatternBuffer {
            buffer: ptr::null_mut(),
            allocated: 0,
            used: 0,
            syntax: bits,
            // SAFETY: any size may be asked for; freed by `regfree`, and null will do as well.
            fastmap: unsafe { libc::malloc(FASTMAP) }.cast(),
            translate: ptr::null_mut(),
            re_nsub: 0,
            flags: 0,
        });
        let _guard = SYNTAX.lock();
        // SAFETY: nobody else uses the variable, as the lock is held.
        unsafe { re_set_syntax(bits) };
        let start = pattern.as_ptr().cast();
        // SAFETY: the pattern is readable up to its length, and the buffer empty.
        let why = unsafe { re_compile_pattern(start, pattern.len(), &mut regex.0) };
        if why.is_null() {
            return Ok(regex);
        }
        // SAFETY: the reason is text of the C library that stays, with a NUL at its end.
        let why = unsafe { CStr::from_ptr(why) }.to_string_lossy().to_lowercase();
        Err(Error::invalid("regex", format_args!("{:?}: {why}", BStr::new(pattern))))
    }

    /// Whether some part of the line matches.
    #[expect(unsafe_code, reason = "the C library has no safe interface")]
    pub(super) fn matches(&mut self, line: &[u8]) -> Result<bool> {
        let Ok(length) = c_int::try_from(line.len()) else {
            return Err(Error::TooBig(String::from("a line of more than 2 GiB")));
        };
        let start = line.as_ptr().cast();
        // SAFETY: the expression is compiled, the line is readable up to its length, and null
        // means that nobody asks where the match is.
        match unsafe { re_search(&mut self.0, start, length, 0, length, ptr::null_mut()) } {
            0.. => Ok(true),
            -1 => Ok(false),
            _ => Err(Error::Internal(String::from("no memory to match a line"))),
        }
    }
}

impl Drop for Regex {
    #[expect(unsafe_code, reason = "the C library has no safe interface")]
    fn drop(&mut self) {
        // SAFETY: all in it is null, or was allocated by the C library and is not used any more.
        unsafe { regfree(&mut self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Syntax = Syntax { extended: false, insensitive: false };
    const MODERN: Syntax = Syntax { extended: true, insensitive: false };
    const ANY_CASE: Syntax = Syntax { extended: false, insensitive: true };

    #[track_caller]
    fn check(syntax: Syntax, pattern: &[u8], line: &[u8], expected: bool) {
        assert_eq!(Regex::new(pattern, syntax).unwrap().matches(line).unwrap(), expected);
    }

    #[test]
    fn basic_and_extended() {
        check(OLD, b"", b"", true);
        check(OLD, b"b", b"abc", true);
        check(OLD, b"^b", b"abc", false);
        check(OLD, b"a.c$", b"xabc", true);
        check(OLD, b"(a|b)+", b"a", false);
        check(OLD, b"(a|b)+", b"(a|b)+", true);
        check(OLD, br"^\(a\|b\)\+$", b"abab", true);
        check(OLD, br"^a\{3\}$", b"aaa", true);
        check(OLD, b"*", b"x", false);
        check(OLD, b"*", b"*", true);
        check(MODERN, b"^(a|b)+$", b"abab", true);
        check(MODERN, br"\(a\)", b"a", false);
        check(MODERN, b"^a{2,3}$", b"aaaa", false);
        check(MODERN, b"a?b", b"b", true);
        check(MODERN, b"a)", b"a)", true);
        check(MODERN, b"*x", b"x", true);
    }

    #[test]
    fn classes_words_and_references() {
        check(OLD, b"^[[:digit:]]*$", b"0123", true);
        check(OLD, b"[^[:space:][:alpha:]]", b"a b", false);
        check(OLD, b"[]x]", b"]", true);
        check(OLD, br"\bb\b", b"a b c", true);
        check(OLD, br"\<c", b"abc", false);
        check(OLD, br"\w\W", b"a-", true);
        check(OLD, br"^\(..*\)\1$", b"abcabc", true);
        check(OLD, br"^\(..*\)\1$", b"abcabd", false);
        check(MODERN, br"(a)(b)\2\1", b"xabba", true);
    }

    #[test]
    fn bytes() {
        check(OLD, b"a.b", b"a\0b", true);
        check(OLD, b"b$", b"a\0b", true);
        check(OLD, b"a$", b"a\0b", false);
        check(OLD, b"a\0", b"a\0", true);
        check(OLD, b"^.$", b"\xff", true);
        check(OLD, b"\xe9", b"latin1-\xe9", true);
        check(OLD, b"^..$", "é".as_bytes(), true);
        check(ANY_CASE, b"ABC", b"xaBcx", true);
        check(ANY_CASE, "É".as_bytes(), "é".as_bytes(), false);
    }

    #[test]
    fn mistakes() {
        #[track_caller]
        fn check(syntax: Syntax, pattern: &[u8], expected: &str) {
            let got = Regex::new(pattern, syntax).err().map(|err| err.to_string());
            assert_eq!(got.as_deref(), Some(expected));
        }
        check(OLD, br"\(a", r#"regex: "\\(a": unmatched ( or \("#);
        check(OLD, b"[a", r#"regex: "[a": unmatched [, [^, [:, [., or [="#);
        check(MODERN, b"a(", r#"regex: "a(": unmatched ( or \("#);
        check(OLD, br"\1", r#"regex: "\\1": invalid back reference"#);
    }
}
