// SPDX-License-Identifier: LGPL-2.1-or-later
//! Numbers as people write them: decimal, octal or hexadecimal, with `K`, `MiB` and the like.

/// What the number that a function takes counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, not space.
    Plain,
    /// Bytes.
    Bytes,
    /// 1024 bytes.
    KiB,
    /// 1024 KiB.
    MiB,
    /// 512 bytes.
    Sectors,
}

impl Unit {
    fn bytes(self) -> i64 {
        match self {
            Self::Plain | Self::Bytes => 1,
            Self::Sectors => 512,
            Self::KiB => 1 << 10,
            Self::MiB => 1 << 20,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain | Self::Bytes => "bytes",
            Self::Sectors => "sectors",
            Self::KiB => "KiB",
            Self::MiB => "MiB",
        }
    }
}

/// The number to pass for `text`: without a suffix it is in the unit of the parameter, with one it
/// is an amount of bytes.  The error is the reason only.
pub(crate) fn parse(text: &str, unit: Unit) -> Result<i64, String> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, rest) = match rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None if rest.len() > 1 && rest.starts_with('0') => (8, &rest[1..]),
        None => (10, rest),
    };
    let end = rest.find(|c: char| !c.is_digit(radix)).unwrap_or(rest.len());
    let (digits, suffix) = rest.split_at(end);
    // `0K` is nothing in octal, but it is a number.
    let digits = if digits.is_empty() && radix == 8 { "0" } else { digits };
    if digits.is_empty() {
        return Err("not a number".to_owned());
    }
    let too_large = || "the number is too large".to_owned();
    let number = i64::from_str_radix(digits, radix).map_err(|_| too_large())?;
    let number = if negative { -number } else { number };
    if suffix.is_empty() {
        return Ok(number);
    }
    let factor = factor(suffix)?.ok_or_else(too_large)?;
    let bytes = number.checked_mul(factor).ok_or_else(too_large)?;
    match bytes % unit.bytes() {
        0 => Ok(bytes / unit.bytes()),
        _ => Err(format!("not a whole number of {}", unit.name())),
    }
}

/// How many bytes a suffix stands for; none if that is more than a number can hold.
fn factor(suffix: &str) -> Result<Option<i64>, String> {
    let unknown = || format!("{suffix} is not one of K, M, G, T, P, E (KiB, KB, ...)");
    let (base, power) = match suffix.get(1..) {
        Some("" | "iB") => (1024_i64, suffix),
        Some("B") => (1000, suffix),
        _ => return Err(unknown()),
    };
    let power = match power.as_bytes()[0] {
        b'k' | b'K' => 1,
        b'M' => 2,
        b'G' => 3,
        b'T' => 4,
        b'P' => 5,
        b'E' => 6,
        b'Z' => 7,
        b'Y' => 8,
        _ => return Err(unknown()),
    };
    Ok(base.checked_pow(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, unit: Unit, expected: &str) {
        let actual = parse(text, unit).map_or_else(|why| why, |number| number.to_string());
        assert_eq!(actual, expected);
    }

    #[test]
    fn without_suffix() {
        check("42", Unit::MiB, "42");
        check("-1", Unit::Bytes, "-1");
        check("0", Unit::Plain, "0");
        check("0644", Unit::Plain, "420");
        check("0x1F", Unit::Plain, "31");
        check("9223372036854775807", Unit::Plain, "9223372036854775807");
        check("9223372036854775808", Unit::Plain, "the number is too large");
        check("", Unit::Plain, "not a number");
        check("five", Unit::Plain, "not a number");
        check("0x", Unit::Plain, "not a number");
    }

    #[test]
    fn with_suffix() {
        check("1K", Unit::Plain, "1024");
        check("1k", Unit::Bytes, "1024");
        check("1KiB", Unit::Bytes, "1024");
        check("1KB", Unit::Bytes, "1000");
        check("2M", Unit::Bytes, "2097152");
        check("0K", Unit::Bytes, "0");
        check("7E", Unit::Bytes, "8070450532247928832");
        check("8E", Unit::Bytes, "the number is too large");
        check("1Z", Unit::Bytes, "the number is too large");
        check("1Q", Unit::Bytes, "Q is not one of K, M, G, T, P, E (KiB, KB, ...)");
        check("1Kb", Unit::Bytes, "Kb is not one of K, M, G, T, P, E (KiB, KB, ...)");
    }

    #[test]
    fn into_the_unit_of_the_parameter() {
        check("100M", Unit::MiB, "100");
        check("1G", Unit::MiB, "1024");
        check("512K", Unit::MiB, "not a whole number of MiB");
        check("1M", Unit::Sectors, "2048");
        check("-1M", Unit::Sectors, "-2048");
        check("1M", Unit::KiB, "1024");
        check("1KB", Unit::Sectors, "not a whole number of sectors");
    }
}
