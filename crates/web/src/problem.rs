//! Problem documents (RFC 9457): the one form of every answer that is not a success.

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Serialize;

/// Media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The kinds of problem this crate answers with. The kind's name is the last part of the document's
/// `type`, is stable, and is what a client should branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    InvalidRequest,
    InvalidQuery,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
    TaskOver,
    Overloaded,
    Internal,
    QueryFailed,
    AdminFailed,
    Unavailable,
    Draining,
    QueryTimeout,
    QueryMemory,
}

impl ProblemKind {
    pub const ALL: [ProblemKind; 19] = [
        Self::InvalidRequest,
        Self::InvalidQuery,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::TaskOver,
        Self::Overloaded,
        Self::Internal,
        Self::QueryFailed,
        Self::AdminFailed,
        Self::Unavailable,
        Self::Draining,
        Self::QueryTimeout,
        Self::QueryMemory,
    ];

    /// Status, name and title.
    const fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => {
                (StatusCode::BAD_REQUEST, "bad-request", "The request cannot be understood")
            }
            Self::InvalidQuery => (StatusCode::BAD_REQUEST, "invalid-query", "The query is not valid"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "A valid API key is needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here")
            }
            Self::NotAcceptable => {
                (StatusCode::NOT_ACCEPTABLE, "not-acceptable", "None of the accepted media types is offered")
            }
            Self::RequestTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long to arrive")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request body is too large"),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The media type is not supported",
            ),
            Self::TaskOver => (StatusCode::GONE, "task-over", "Nobody waits for an answer any more"),
            Self::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "busy", "Too many requests are in flight"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed"),
            Self::QueryFailed => (StatusCode::INTERNAL_SERVER_ERROR, "query-failed", "The query failed"),
            Self::AdminFailed => (StatusCode::INTERNAL_SERVER_ERROR, "admin-failed", "The operation failed"),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The server cannot do this now")
            }
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", "The server is shutting down"),
            Self::QueryTimeout => (StatusCode::GATEWAY_TIMEOUT, "query-timeout", "The query took too long"),
            Self::QueryMemory => {
                (StatusCode::INSUFFICIENT_STORAGE, "query-memory", "The query needs too much memory")
            }
        }
    }

    pub const fn status(self) -> StatusCode {
        self.facts().0
    }

    pub const fn name(self) -> &'static str {
        self.facts().1
    }

    pub const fn title(self) -> &'static str {
        self.facts().2
    }
}

/// A problem on its way to a client.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: ProblemKind,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), headers: Vec::new() }
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn challenge(self, challenge: &'static str) -> Self {
        self.header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    pub fn into_response(self) -> Response<Body> {
        let document = Document {
            r#type: format!("/problems/{}", self.kind.name()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.status();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response.headers_mut().extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        Problem::into_response(self)
    }
}
