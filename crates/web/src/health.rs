//! Liveness and readiness.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

/// Is the pipeline ready to take events, and if not, why?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Why not; ready if empty.
    pub reasons: Vec<Reason>,
}

/// One thing that stands between the pipeline and readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What is concerned: a stream's name, `lake`, `server`, …
    pub subject: String,
    pub message: String,
}

impl Readiness {
    pub fn ready() -> Self {
        Self::default()
    }

    pub fn not(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reasons: vec![Reason { subject: subject.into(), message: message.into() }] }
    }

    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

#[derive(Serialize)]
struct ReadyDocument<'a> {
    ready: bool,
    reasons: &'a [Reason],
}

pub(crate) fn alive() -> Response<Body> {
    document(StatusCode::OK, br#"{"alive":true}"#.to_vec())
}

pub(crate) fn readiness(state: &Readiness) -> Response<Body> {
    let ready = state.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_vec(&ReadyDocument { ready, reasons: &state.reasons });
    document(status, body.unwrap_or_default())
}

fn document(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
