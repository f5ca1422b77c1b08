//! Which errors a Retry or Catch takes, and how long a retry waits.

use crate::{Catcher, Jitter, Retrier, errors};

impl Retrier {
    pub fn matches(&self, error: &str) -> bool {
        takes(&self.error_equals, error)
    }

    /// Seconds to wait before retry number `attempt`, counted from 0; `random` in `[0, 1)` is the jitter.
    pub fn delay_seconds(&self, attempt: u64, random: f64) -> f64 {
        let exponent = i32::try_from(attempt).unwrap_or(i32::MAX);
        let mut delay = self.interval_seconds as f64 * self.backoff_rate.powi(exponent);
        if let Some(max) = self.max_delay_seconds {
            delay = delay.min(max as f64);
        }
        let delay = delay.min(DELAY_SECONDS_MAX);
        match self.jitter {
            Jitter::None => delay,
            Jitter::Full => delay * random,
        }
    }
}

/// Longest interval AWS keeps: an execution ends after a year.
const DELAY_SECONDS_MAX: f64 = 31_622_400.0;

impl Catcher {
    pub fn matches(&self, error: &str) -> bool {
        takes(&self.error_equals, error)
    }
}

/// Whether one of the names in `ErrorEquals` takes the error. `States.ALL` takes every error but `States.Runtime`;
/// against its guide, Step Functions lets it take `States.DataLimitExceeded` too. `States.TaskFailed` takes the same
/// but time-outs, `States.Timeout` heartbeats that did not come too, and any other name itself.
pub fn takes(names: &[String], error: &str) -> bool {
    names.iter().any(|name| match name.as_str() {
        errors::ALL => error != errors::RUNTIME,
        errors::TASK_FAILED => {
            !matches!(error, errors::RUNTIME | errors::TIMEOUT | errors::HEARTBEAT_TIMEOUT)
        }
        errors::TIMEOUT => error == errors::TIMEOUT || error == errors::HEARTBEAT_TIMEOUT,
        name => name == error,
    })
}
