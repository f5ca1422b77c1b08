//! When a call is made again, and after how long. Pure.

use std::time::Duration;

/// How often and how soon a failed call is made again: exponential backoff with full jitter, that is
/// a pause between nothing and `base × 2ⁿ⁻¹` (at most `pause_max`) after the n-th failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all; 1: never again.
    pub attempts: u32,
    pub base: Duration,
    pub pause_max: Duration,
    /// A server that wants to be left alone for longer than this (`Retry-After`) is not asked again.
    pub retry_after_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 4,
            base: Duration::from_millis(100),
            pause_max: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// One attempt.
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// The pause after so many failures, or `None` if that was the last attempt. `random` is within
    /// [0, 1). What the server asked for is kept to.
    pub fn pause(&self, failures: u32, retry_after: Option<Duration>, random: f64) -> Option<Duration> {
        if failures >= self.attempts || retry_after.is_some_and(|wanted| wanted > self.retry_after_max) {
            return None;
        }
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.pause_max);
        Some(ceiling.mul_f64(random.clamp(0.0, 1.0)).max(retry_after.unwrap_or_default()))
    }
}

/// Is this a status that may be another one soon?
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=599) && status != 505
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(header: &str, now: bourn_event::Micros) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(header).ok()?;
    Some(Duration::from_micros(date.timestamp_micros().saturating_sub(now).max(0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_full_jitter() {
        let retry = Retry {
            attempts: 5,
            base: Duration::from_millis(100),
            pause_max: Duration::from_millis(500),
            retry_after_max: Duration::from_secs(2),
        };
        let ms = Duration::from_millis;
        let cases = [
            // failures, retry-after, random, pause
            (1, None, 0.0, Some(ms(0))),
            (1, None, 0.5, Some(ms(50))),
            (2, None, 0.5, Some(ms(100))),
            (3, None, 0.5, Some(ms(200))),
            (4, None, 0.5, Some(ms(250))),
            (5, None, 0.5, None),
            (6, None, 0.0, None),
            (1, Some(ms(1500)), 0.5, Some(ms(1500))),
            (4, Some(ms(10)), 0.5, Some(ms(250))),
            (1, Some(ms(2001)), 0.5, None),
        ];
        for (failures, after, random, pause) in cases {
            assert_eq!(retry.pause(failures, after, random), pause, "{failures} {after:?} {random}");
        }
        assert_eq!(Retry::never().pause(1, None, 0.5), None);
        assert!(Retry { attempts: u32::MAX, ..retry }.pause(u32::MAX - 1, None, 0.9).is_some());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 1_700_000_000_000_000;
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Tue, 14 Nov 2023 22:13:30 GMT", Some(10)),
            ("Tue, 14 Nov 2023 22:13:10 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("99999999999999999999999", None),
        ];
        for (header, seconds) in cases {
            assert_eq!(retry_after(header, now), seconds.map(Duration::from_secs), "{header}");
        }
    }

    #[test]
    fn passing_statuses_are_those_of_load_and_faults() {
        let passing = [408, 425, 429, 500, 502, 503, 504, 520, 599];
        let lasting = [200, 204, 301, 304, 400, 401, 403, 404, 409, 410, 422, 501, 505];
        assert!(passing.into_iter().all(is_passing));
        assert!(!lasting.into_iter().any(is_passing));
    }
}
