//! Why an outside API gave no answer.

use std::time::Duration;

/// A call without an answer. An answer with a bad status is an answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutboundError {
    /// It failed too often of late, and is left alone for a while.
    #[error("{endpoint} is left alone after repeated failures (its circuit breaker is open); next try in {:.1} s", .retry_after.as_secs_f64())]
    Open { endpoint: String, retry_after: Duration },
    /// No connection: unknown name, refused, unreachable, bad certificate.
    #[error("cannot connect to {endpoint}: {why}")]
    Connect { endpoint: String, why: String },
    #[error("{endpoint} did not answer within {:.1} s", .limit.as_secs_f64())]
    Timeout { endpoint: String, limit: Duration },
    /// The connection ended before the answer did.
    #[error("{endpoint} broke off: {why}")]
    Broken { endpoint: String, why: String },
    #[error("{endpoint} answered with more than {bytes_max} bytes")]
    TooLarge { endpoint: String, bytes_max: usize },
    /// The request itself cannot be sent.
    #[error("the request to {endpoint} is not valid: {why}")]
    Invalid { endpoint: String, why: String },
}

impl OutboundError {
    /// May the same call succeed later?
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::Invalid { .. })
    }

    pub(super) fn of(error: reqwest::Error, endpoint: &str, limit: Duration) -> Self {
        let error = error.without_url();
        let endpoint = endpoint.to_string();
        let why = innermost(&error);
        if error.is_timeout() {
            Self::Timeout { endpoint, limit }
        } else if error.is_builder() {
            Self::Invalid { endpoint, why }
        } else if error.is_connect() {
            Self::Connect { endpoint, why }
        } else {
            Self::Broken { endpoint, why }
        }
    }
}

/// The last of the causes: what the operating system, TLS or HTTP said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
