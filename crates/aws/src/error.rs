//! An error on its way to an AWS client: a name that SDKs make an exception of, a status, a message.
//!
//! | protocol | status | where the name is | body |
//! | --- | --- | --- | --- |
//! | AWS JSON 1.0 (Step Functions) | 400, 500 or 503 | `__type` and `x-amzn-ErrorType` | `{"__type", "message"}` |
//! | REST-JSON (Lambda) | by error | `x-amzn-ErrorType` | `{"Type", "message" or "Message"}` |

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Map, Value};
use std::time::Duration;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// How requests and answers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `POST /` with `X-Amz-Target`.
    Json10,
    /// Paths and methods.
    RestJson,
}

impl Protocol {
    pub(crate) fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json10 => "application/x-amz-json-1.0",
            Self::RestJson => "application/json",
        })
    }
}

/// What a client is told when its call fails.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AwsError {
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Further members of the body.
    pub(crate) fields: Map<String, Value>,
    pub(crate) retry_after: Option<Duration>,
}

impl AwsError {
    /// With status 400.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, status: StatusCode::BAD_REQUEST, message, fields: Map::new(), retry_after: None }
    }

    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    pub(crate) fn into_response(self, protocol: Protocol) -> Response {
        let mut body = self.fields;
        match protocol {
            Protocol::Json10 => {
                body.insert("__type".into(), self.code.into());
                body.insert("message".into(), self.message.into());
            }
            Protocol::RestJson => {
                let fault = if self.status.is_server_error() { "Service" } else { "User" };
                body.insert("Type".into(), fault.into());
                body.insert(message_member(self.code).into(), self.message.into());
            }
        }
        let mut response = Response::new(Body::from(Value::Object(body).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, protocol.media_type());
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.code));
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1000).max(1) as u64));
        }
        response
    }
}

/// Lambda's own model spells the member both ways.
fn message_member(code: &str) -> &'static str {
    match code {
        "ResourceNotFoundException" | "ServiceException" => "Message",
        _ => "message",
    }
}
