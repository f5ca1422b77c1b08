//! A call on its way through a pool, and what can become of it.

use bourn_event::{FunctionError, InvokeError, Invoked, Micros};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

pub(crate) type Answer = oneshot::Sender<Result<Invoked, InvokeError>>;

/// A call that no process has yet.
pub(crate) struct Call {
    pub request_id: Arc<str>,
    pub payload: Bytes,
    pub client_context: Option<String>,
    pub trace: String,
    pub wants_log: bool,
    /// 0 for a synchronous call, else which attempt of an asynchronous one.
    pub attempt: u32,
    pub answer: Answer,
}

/// What a process is told with its event.
#[derive(Debug)]
pub(crate) struct Work {
    pub request_id: Arc<str>,
    pub payload: Bytes,
    pub client_context: Option<String>,
    pub trace: String,
    pub deadline_ms: i64,
    pub wants_log: bool,
}

/// A call that a process has.
pub(crate) struct Running {
    pub request_id: Arc<str>,
    pub wants_log: bool,
    pub attempt: u32,
    pub answer: Answer,
    pub begun: Instant,
    pub begun_at: Micros,
    pub deadline: Instant,
    /// How long the process took to start, if this is its first call.
    pub init: Option<Duration>,
}

/// How a call ended inside a process.
pub(crate) enum Ended {
    Answered(Bytes),
    /// The function said that it failed; the type, and the JSON object that says so.
    Failed {
        kind: String,
        payload: Bytes,
    },
    /// The process said that it cannot start.
    Unborn {
        kind: String,
        payload: Bytes,
    },
    /// The process did not answer.
    Broken {
        kind: &'static str,
        payload: Bytes,
    },
    /// We end, not it.
    Cut,
}

impl Ended {
    /// A failure of the process, in AWS's words.
    pub fn broken(kind: &'static str, request_id: &str, what: &str) -> Self {
        Self::Broken { kind, payload: error_payload(kind, &format!("RequestId: {request_id} Error: {what}")) }
    }

    pub fn error_type(&self) -> Option<&str> {
        match self {
            Self::Answered(_) => None,
            Self::Failed { kind, .. } | Self::Unborn { kind, .. } => Some(kind),
            Self::Broken { kind, .. } => Some(kind),
            Self::Cut => Some("Closed"),
        }
    }

    pub fn into_answer(self, request_id: &str, log_tail: Bytes) -> Result<Invoked, InvokeError> {
        let (payload, error) = match self {
            Self::Answered(payload) => (payload, None),
            Self::Failed { payload, .. } => (payload, Some(FunctionError::Handled)),
            Self::Broken { payload, .. } | Self::Unborn { payload, .. } => {
                (payload, Some(FunctionError::Unhandled))
            }
            Self::Cut => return Err(InvokeError::Closed),
        };
        Ok(Invoked { request_id: request_id.to_owned(), payload, error, log_tail })
    }
}

/// The error object that AWS answers with.
pub(crate) fn error_payload(kind: &str, message: &str) -> Bytes {
    json!({"errorType": kind, "errorMessage": message}).to_string().into()
}

/// What a function reported as its error: its JSON as it is, or an object around what is not JSON.
pub(crate) fn reported(body: Bytes, header: Option<&str>) -> (String, Bytes) {
    match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Object(fields)) => {
            let named = fields.get("errorType").and_then(Value::as_str);
            let kind = named.or(header).unwrap_or("Error").to_owned();
            (kind, body)
        }
        _ => {
            let kind = header.unwrap_or("Error").to_owned();
            let message = String::from_utf8_lossy(&body);
            let payload = error_payload(&kind, &message);
            (kind, payload)
        }
    }
}

/// What a function answered, as JSON: a text that is none becomes a JSON string.
pub(crate) fn as_json(body: Bytes) -> Bytes {
    if body.is_empty() {
        return Bytes::from_static(b"null");
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(&body) {
        Ok(_) => body,
        Err(_) => Value::String(String::from_utf8_lossy(&body).into_owned()).to_string().into(),
    }
}

/// A payload as a function may get it: JSON, `{}` if there is none.
pub(crate) fn checked_payload(payload: Bytes, bytes_max: usize) -> Result<Bytes, InvokeError> {
    if payload.len() > bytes_max {
        return Err(InvokeError::TooLarge { bytes: payload.len(), bytes_max });
    }
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(&payload) {
        Ok(_) => Ok(payload),
        Err(error) => Err(InvokeError::Invalid(error.to_string())),
    }
}

/// A client context as it may stand in a header.
pub(crate) fn checked_context(context: Option<String>) -> Result<Option<String>, InvokeError> {
    let Some(text) = context else { return Ok(None) };
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        return Err(InvokeError::Invalid(format!("the client context: {error}")));
    }
    Ok(Some(text.replace(['\r', '\n', '\t'], " ")))
}

pub(crate) fn new_request_id() -> String {
    Uuid::new_v4().to_string()
}

/// A tracing header of our own, for a call that came without one.
pub(crate) fn new_trace(now: Micros) -> String {
    let id = Uuid::new_v4().simple().to_string();
    let seconds = u32::try_from(now / 1_000_000).unwrap_or(0);
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &id[..24], &id[16..])
}
