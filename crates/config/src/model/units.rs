//! Durations and sizes as people write them: `10m`, `24h`, `64MB`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A length of time: a number and a unit (`us`, `ms`, `s`, `m`, `h`, `d`, `w`), like `500ms` or `24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whole microseconds, at most `i64::MAX`.
    pub fn micros(self) -> i64 {
        bourn_event::micros(self.0)
    }

    /// Errors say what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text).ok_or_else(|| expected_span(text))?;
        let micros = match unit {
            "us" | "µs" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            "m" => 60e6,
            "h" => 3_600e6,
            "d" => 86_400e6,
            "w" => 604_800e6,
            _ => return Err(expected_span(text)),
        };
        let total = number * micros;
        if total > i64::MAX as f64 {
            return Err(format!("`{text}` is longer than can be counted"));
        }
        Ok(Self(Duration::from_micros(total as u64)))
    }
}

fn expected_span(text: &str) -> String {
    format!("`{text}` is not a duration: write a number and one of us, ms, s, m, h, d, w, like `10m`")
}

/// A number of bytes: `64MB` (10^6), `64MiB` (2^20), or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Errors say what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!("`{text}` is not a size: write a number and one of B, KB, MB, GB, TB, KiB, MiB, GiB, TiB")
        };
        let (number, unit) = split(text).ok_or_else(expected)?;
        let scale: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(expected()),
        };
        Ok(Self((number * scale as f64) as u64))
    }
}

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim()))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let units = [
            (604_800_000_000, "w"),
            (86_400_000_000, "d"),
            (3_600_000_000, "h"),
            (60_000_000, "m"),
            (1_000_000, "s"),
        ];
        for (size, unit) in units.into_iter().chain([(1_000, "ms")]) {
            if micros >= size && micros.is_multiple_of(size) {
                return write!(f, "{}{unit}", micros / size);
            }
        }
        write!(f, "{micros}us")
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (size, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

macro_rules! text_or_number {
    ($type:ident, $name:literal, $unit:literal, $description:literal, $pattern:literal, $number:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Written {
                    Number(u64),
                    Text(String),
                }
                match Written::deserialize(deserializer)? {
                    Written::Number(number) => $number(number).map_err(D::Error::custom),
                    Written::Text(text) => $type::parse(&text).map_err(D::Error::custom),
                }
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": ["string", "integer"],
                    "pattern": $pattern,
                    "minimum": 0,
                    "x-unit": $unit,
                    "description": $description,
                })
            }
        }
    };
}

text_or_number!(
    Span,
    "Duration",
    "duration",
    "A number and one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`: `500ms`, `24h`.",
    r"^\s*[0-9.]+\s*(us|µs|ms|s|m|h|d|w)\s*$",
    |n: u64| Err::<Span, _>(expected_span(&n.to_string()))
);
text_or_number!(
    ByteSize,
    "ByteSize",
    "size",
    "Bytes, or a number and one of `B`, `KB`, `MB`, `GB`, `TB` (powers of 1000), `KiB`, `MiB`, `GiB`, `TiB` (of 1024).",
    r"^\s*[0-9.]+\s*([bB]|[kKmMgGtT]([bB]|i[bB])?)?\s*$",
    |n: u64| Ok::<ByteSize, String>(ByteSize(n))
);
