//! Problem documents (RFC 9457): the one place where failures become HTTP answers.

use crate::answer::{Answer, IngestError};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bourn_event::AppendError;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};
use std::time::Duration;

/// Media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A failure as it is told to an HTTP client.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub status: StatusCode,
    /// Last part of the `type` URI: `/problems/<kind>`.
    pub kind: &'static str,
    pub title: &'static str,
    /// What is wrong in this case, and what helps.
    pub detail: String,
    /// For `Retry-After`.
    pub retry_after: Option<Duration>,
    /// For `Allow`.
    pub allow: Option<&'static str>,
    /// Further members of the document.
    pub members: Map<String, Value>,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self { status, kind, title, detail, retry_after: None, allow: None, members: Map::new() }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be read", detail)
    }

    pub fn unreadable_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable-body", "The body cannot be read", detail)
    }

    pub fn unknown_stream(name: &str) -> Self {
        let detail = format!("this pipeline has no stream `{}` that takes events over HTTP", shorten(name));
        Self::new(StatusCode::NOT_FOUND, "unknown-stream", "There is no such stream", detail)
    }

    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this path takes {allow}");
        let title = "The path does not take this method";
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", title, detail);
        Self { allow: Some(allow), ..problem }
    }

    pub fn too_slow(limit: Duration) -> Self {
        let detail = format!("the body did not arrive within {} s", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long to arrive", detail)
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    pub fn unsupported(detail: impl Into<String>) -> Self {
        let title = "The body's type or encoding is not taken";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title, detail)
    }

    pub fn busy(detail: impl Into<String>, retry_after: Duration) -> Self {
        let title = "Too much is in flight";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", title, detail);
        Self { retry_after: Some(retry_after), ..problem }
    }

    pub fn unavailable(kind: &'static str, detail: impl Into<String>) -> Self {
        let title = "Events cannot be taken now";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail);
        Self { retry_after: Some(Duration::from_secs(1)), ..problem }
    }

    /// A request whose events were refused; the members are those of the answer.
    pub fn rejected(detail: impl Into<String>, answer: &Answer) -> Self {
        let title = "The events were rejected";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "rejected", title, detail).with_answer(answer)
    }

    fn with_answer(mut self, answer: &Answer) -> Self {
        if let Ok(Value::Object(members)) = serde_json::to_value(answer) {
            self.members.extend(members);
        }
        self
    }

    /// With what was stored before the failure, if anything was.
    fn with_stored(self, stored: &Answer) -> Self {
        if stored.accepted + stored.rejected == 0 { self } else { self.with_answer(stored) }
    }

    fn document(&self) -> Vec<u8> {
        let mut document = Map::new();
        document.insert("type".into(), format!("/problems/{}", self.kind).into());
        document.insert("title".into(), self.title.into());
        document.insert("status".into(), self.status.as_u16().into());
        document.insert("detail".into(), self.detail.clone().into());
        document.extend(self.members.clone());
        Value::Object(document).to_string().into_bytes()
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        let detail = error.to_string();
        match error {
            IngestError::Empty => Self::unreadable_body(detail),
            IngestError::Strict(answer) => Self::rejected(detail, &answer),
            IngestError::Append { error, stored } => match error {
                AppendError::Full { retry_after } => Self::busy(detail, retry_after),
                AppendError::Unavailable(_) => Self::unavailable("log-unavailable", detail),
                AppendError::Closed => Self::unavailable("draining", detail),
            }
            .with_stored(&stored),
            IngestError::NotVisible { stored, .. } => {
                Self::unavailable("not-visible", detail).with_stored(&stored)
            }
            IngestError::Draining => Self::unavailable("draining", detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.document()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: a client that obeys finds room.
            let seconds = (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(128).collect()
}
