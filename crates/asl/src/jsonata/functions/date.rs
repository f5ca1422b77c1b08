//! Functions on date and time. `now` is the same all through an evaluation.

use super::{arg, date_picture};
use crate::jsonata::Fault;
use crate::jsonata::env::Run;
use crate::jsonata::value::Val;
use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

pub fn now(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    format(run.scope.outside.now_ms() as f64, arg(&args, 0), arg(&args, 1))
}

pub fn millis(run: &Run<'_>, _: Vec<Val>) -> Result<Val, Fault> {
    Ok(Val::Num(run.scope.outside.now_ms() as f64))
}

pub fn from_millis(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    match arg(&args, 0).as_num() {
        Some(ms) => format(ms, arg(&args, 1), arg(&args, 2)),
        None => Ok(Val::Undefined),
    }
}

fn format(ms: f64, picture: &Val, zone: &Val) -> Result<Val, Fault> {
    let range = || Fault::new("D3110", format!("Not a time that can be written: {ms}"));
    if ms.abs() > 8.64e15 {
        return Err(range());
    }
    let time = DateTime::<Utc>::from_timestamp_millis(ms as i64).ok_or_else(range)?;
    match (picture.as_str(), zone.as_str()) {
        (None, None) => Ok(Val::str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))),
        (picture, zone) => {
            let picture = picture.unwrap_or("[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01].[f001][Z01:01t]");
            date_picture::format(time, picture, zone).map(|text| Val::str(&text))
        }
    }
}

pub fn to_millis(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(text) = arg(&args, 0).as_str() else { return Ok(Val::Undefined) };
    match arg(&args, 1).as_str() {
        None => iso(text).map(|ms| Val::Num(ms as f64)).ok_or_else(|| {
            Fault::new("D3110", format!("The argument of the toMillis function must be an ISO 8601 formatted timestamp. Given \"{text}\""))
        }),
        Some(picture) => Ok(date_picture::parse(text, picture)?.map_or(Val::Undefined, |ms| Val::Num(ms as f64))),
    }
}

/// ISO 8601: a year, month or date alone, or with a time, with or without a zone; without one it is UTC.
fn iso(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z") {
        return Some(time.timestamp_millis());
    }
    for shape in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, shape) {
            return Some(time.and_utc().timestamp_millis());
        }
    }
    let date = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => return None,
    };
    let date = NaiveDate::parse_from_str(&date, "%Y-%m-%d").ok()?;
    Some(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis())
}
