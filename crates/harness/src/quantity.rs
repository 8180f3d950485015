//! Durations and sizes as people write them: `1.5s`, `150MB`. What is written reads back equal.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration as written in scenarios and on command lines: `1.5s`, `500ms`, `2min`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, name) = match nanos {
            0 => return f.pad("0s"),
            n if n >= 1_000_000_000 => (1_000_000_000, "s"),
            n if n >= 1_000_000 => (1_000_000, "ms"),
            n if n >= 1_000 => (1_000, "us"),
            _ => (1, "ns"),
        };
        let digits = format!("{:0width$}", nanos % unit, width = unit.ilog10() as usize);
        let part = digits.trim_end_matches('0');
        let dot = if part.is_empty() { "" } else { "." };
        f.pad(&format!("{}{dot}{}{name}", nanos / unit, if unit == 1 { "" } else { part }))
    }
}

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no duration; write a number and its unit: 1.5s, 500ms, 2min")]
pub struct NoSpan(String);

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        humantime::parse_duration(text).map(Self).map_err(|_| NoSpan(text.to_owned()))
    }
}

/// A size in bytes as written: `150MB` (powers of ten), `64MiB` (powers of two), or a plain number of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

/// Units, largest first; a size is written in the first that divides it.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.into_iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        let (name, unit) = exact.unwrap_or(("B", 1));
        f.pad(&format!("{}{name}", self.0 / unit))
    }
}

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size; write a number and its unit: 150MB, 64MiB, 512kB")]
pub struct NoBytes(String);

impl FromStr for Bytes {
    type Err = NoBytes;

    fn from_str(text: &str) -> Result<Self, NoBytes> {
        let error = || NoBytes(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim() {
            "" => 1,
            unit => UNITS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(error)?.1,
        };
        let number: u64 = number.parse().map_err(|_| error())?;
        number.checked_mul(unit).map(Self).ok_or_else(error)
    }
}

/// Text both ways for a type that reads and writes itself.
macro_rules! as_text {
    ($type:ty, $what:literal) => {
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl ::serde::de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: ::serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}
pub(crate) use as_text;

as_text!(Span, "a duration in quotes: \"1.5s\", \"500ms\"");
as_text!(Bytes, "a size in quotes: \"150MB\", \"64MiB\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_documented_and_read_back_equal() {
        for (text, nanos) in [
            ("1.5s", 1_500_000_000),
            ("500ms", 500_000_000),
            ("1.25ms", 1_250_000),
            ("90s", 90_000_000_000),
            ("7us", 7_000),
            ("3ns", 3),
            ("1.000000001s", 1_000_000_001),
            ("10s", 10_000_000_000),
            ("0s", 0),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0.as_nanos(), nanos, "{text}");
            assert_eq!(span.to_string(), text);
        }
        assert_eq!("2min".parse::<Span>().unwrap().to_string(), "120s");
        for bad in ["", "5", "fast", "-1s", "1.5 parsecs"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_read_as_documented_and_read_back_equal() {
        for (text, bytes) in
            [("150MB", 150_000_000), ("64MiB", 64 << 20), ("1GiB", 1 << 30), ("511kB", 511_000), ("7B", 7), ("0B", 0)]
        {
            let size: Bytes = text.parse().unwrap();
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string(), text);
        }
        assert_eq!("150 mb".parse::<Bytes>(), Ok(Bytes(150_000_000)));
        assert_eq!("42".parse::<Bytes>(), Ok(Bytes(42)));
        for bad in ["", "MB", "1.5MB", "12 potatoes", "99999999999999GiB", "-1MB"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }
}
