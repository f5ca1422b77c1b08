//! Timestamps as the language takes them: RFC 3339 with an upper-case `T`, and an upper-case `Z` or an offset.

use chrono::DateTime;

/// Milliseconds since 1970-01-01T00:00:00Z, or `None` if the text is no timestamp of the language.
pub fn parse_timestamp_ms(text: &str) -> Option<i64> {
    if text.len() > 64 || text.as_bytes().get(10) != Some(&b'T') || text.ends_with('z') {
        return None;
    }
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_millis())
}
