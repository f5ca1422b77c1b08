//! Moments as people write and read them: RFC 3339.

use anyhow::{Result, anyhow};
use bourn_event::Micros;
use chrono::{DateTime, SecondsFormat, Utc};

/// `2026-11-21T06:00:00Z` or with another offset.
pub fn parse(text: &str) -> Result<Micros> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.timestamp_micros())
        .map_err(|_| anyhow!("`{text}` is not a time: write it as in 2026-11-21T06:00:00Z"))
}

pub fn format(micros: Micros) -> String {
    match DateTime::<Utc>::from_timestamp_micros(micros) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => format!("{micros}us"),
    }
}
