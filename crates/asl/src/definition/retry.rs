//! `Retry` and `Catch`.

use super::build::SECONDS_MAX;
use super::fields::Fields;
use super::{Catcher, Jitter, Retrier};
use crate::document::join;
use crate::{ResultPath, errors};
use serde_json::Value;

/// Longest `MaxDelaySeconds`: a year and a day.
const DELAY_SECONDS_MAX: u64 = 31_622_400;

pub(super) fn retriers(fields: &Fields<'_, '_>) -> Vec<Retrier> {
    each(fields, "Retry", |entry, last| {
        entry.only(
            &[
                "ErrorEquals",
                "IntervalSeconds",
                "MaxAttempts",
                "BackoffRate",
                "MaxDelaySeconds",
                "JitterStrategy",
                "Comment",
            ],
            &[],
            &[],
        );
        let error_equals = error_equals(entry, last)?;
        let interval_seconds = entry.whole("IntervalSeconds", 1, SECONDS_MAX).unwrap_or(1);
        let max_delay_seconds = entry.whole("MaxDelaySeconds", 1, DELAY_SECONDS_MAX);
        if max_delay_seconds.is_some_and(|max| max <= interval_seconds) {
            entry.fault("MaxDelaySeconds", "MaxDelaySeconds must be greater than IntervalSeconds");
        }
        let full = entry.choice("JitterStrategy", &["FULL", "NONE"]).as_deref() == Some("FULL");
        Some(Retrier {
            error_equals,
            interval_seconds,
            max_attempts: entry.whole("MaxAttempts", 0, SECONDS_MAX).unwrap_or(3),
            backoff_rate: entry.number("BackoffRate", 1.0, f64::MAX).unwrap_or(2.0),
            max_delay_seconds,
            jitter: if full { Jitter::Full } else { Jitter::None },
        })
    })
}

pub(super) fn catchers(fields: &Fields<'_, '_>) -> Vec<Catcher> {
    each(fields, "Catch", |entry, last| {
        entry.only(&["ErrorEquals", "Next", "Assign", "Comment"], &["ResultPath"], &["Output"]);
        entry.require(&["Next"]);
        let jsonata = entry.is_jsonata();
        Some(Catcher {
            error_equals: error_equals(entry, last)?,
            next: entry.string("Next")?,
            result_path: if jsonata { ResultPath::Replace } else { entry.result_path() },
            output: if jsonata { entry.template("Output") } else { None },
            assign: entry.assign(),
        })
    })
}

fn each<T>(fields: &Fields<'_, '_>, key: &str, read: impl Fn(&Fields<'_, '_>, bool) -> Option<T>) -> Vec<T> {
    let Some(value) = fields.get(key) else { return Vec::new() };
    let Value::Array(entries) = value else {
        fields.fault(key, "Expected value of type Array");
        return Vec::new();
    };
    let mut out = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let pointer = join(&fields.at(key), &at.to_string());
        if let Some(entry) = Fields::of(fields.reading, &pointer, entry, fields.language) {
            out.extend(read(&entry, at + 1 == entries.len()));
        }
    }
    out
}

/// `States.ALL` stands alone, and in the last entry.
fn error_equals(entry: &Fields<'_, '_>, last: bool) -> Option<Vec<String>> {
    let key = "ErrorEquals";
    entry.require(&[key]);
    let names = entry.strings(key)?;
    if names.is_empty() {
        entry.fault(key, "Value cannot be empty");
    }
    if names.iter().any(|n| n == errors::ALL) {
        if names.len() > 1 {
            entry.fault(key, "States.ALL must appear alone in ErrorEquals");
        }
        if !last {
            entry.fault(key, "States.ALL must be in the last entry");
        }
    }
    Some(names)
}
