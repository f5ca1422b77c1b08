//! Moments: how they are written, and what a time of the wall clock means in a time zone.

use bourn_event::Micros;
use chrono::{DateTime, Duration, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

pub const MICROS_PER_SECOND: Micros = 1_000_000;

/// No time zone ever was further from UTC than this.
const OFFSET_MAX: Duration = Duration::hours(18);

/// `2026-11-21T02:00:00Z`, with a fraction only where there is one.
pub fn rfc3339(at: Micros) -> String {
    match DateTime::from_timestamp_micros(at) {
        Some(time) if at % MICROS_PER_SECOND == 0 => time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        None => at.to_string(),
    }
}

/// `20261121T020000.000000Z`: sorts as the time does.
pub fn sortable(at: Micros) -> String {
    match DateTime::from_timestamp_micros(at) {
        Some(time) => time.format("%Y%m%dT%H%M%S%.6fZ").to_string(),
        None => at.to_string(),
    }
}

/// The time zone of an IANA name. The error says what one looks like.
pub fn zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        format!("`{name}` is not a time zone: write an IANA name like `Europe/Berlin`, `America/New_York` or `UTC`")
    })
}

/// A time as people write it: `2026-01-31`, `2026-01-31T02:00`, `2026-01-31T02:00:00` (in the given zone),
/// or with an offset of its own, `2026-01-31T02:00:00Z`, `…+01:00`. A time that a zone leaves out is the
/// moment the gap ends; one that it has twice is the first.
pub fn parse_time(text: &str, zone: Tz) -> Result<Micros, String> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_micros());
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let local = formats
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or_else(|| Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN)));
    local.and_then(|local| first_reached(zone, local)).map(|time| time.timestamp_micros()).ok_or_else(|| {
        format!("`{text}` is not a time: write one like `2026-01-31T02:00:00` or `2026-01-31`")
    })
}

/// The first moment at which the zone's clocks show `local` or more: a time inside a gap is where the gap
/// ends, and of a time that comes twice it is the first.
pub(crate) fn first_reached(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(time) => Some(time.with_timezone(&Utc)),
        LocalResult::Ambiguous(one, other) => Some(one.min(other).with_timezone(&Utc)),
        LocalResult::None => end_of_gap(zone, local),
    }
}

/// `local` exists at no moment, so that the only step of the clocks over it is the gap's.
fn end_of_gap(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let mut before = local.checked_sub_signed(OFFSET_MAX)?.and_utc().timestamp();
    let mut behind = local.checked_add_signed(OFFSET_MAX)?.and_utc().timestamp();
    while behind - before > 1 {
        let middle = before + (behind - before) / 2;
        let reached = shown(zone, DateTime::from_timestamp(middle, 0)?) >= local;
        *(if reached { &mut behind } else { &mut before }) = middle;
    }
    DateTime::from_timestamp(behind, 0)
}

/// What the zone's clocks show at a moment.
pub(crate) fn shown(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}
