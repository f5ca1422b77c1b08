//! `POST /v1/tasks/{token}/{success|failure|heartbeat}`: a person or a program answers a task that waits
//! for it, without AWS's tools.
//!
//! | verb | body |
//! | --- | --- |
//! | `success` | the task's output, any JSON; nothing is `{}` |
//! | `failure` | `{"error": …, "cause": …}`, each may be absent; nothing is neither |
//! | `heartbeat` | not looked at |
//!
//! Only POST: an address that approves when it is merely looked at would be approved by whatever
//! previews links.

use crate::problem::{Problem, ProblemKind};
use crate::route::TaskVerb;
use async_trait::async_trait;
use axum::body::Body;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

/// As AWS limits a task token.
const TOKEN_BYTES_MAX: usize = 2_048;
const ERROR_CHARS_MAX: usize = 256;
const CAUSE_CHARS_MAX: usize = 32_768;

/// Takes answers of tasks that wait.
#[async_trait]
pub trait TaskAnswers: Send + Sync {
    /// `output` is a JSON text.
    async fn succeed(&self, token: &str, output: &str) -> Result<(), TaskAnswerError>;

    async fn fail(
        &self,
        token: &str,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<(), TaskAnswerError>;

    /// It is still worked on.
    async fn heartbeat(&self, token: &str) -> Result<(), TaskAnswerError>;
}

/// Why an answer was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskAnswerError {
    /// The token is no token, or the output is not one.
    #[error("{0}")]
    Invalid(String),
    /// There is no such task.
    #[error("{0}")]
    Unknown(String),
    /// It was answered, it timed out, or its execution is over.
    #[error("{0}")]
    Over(String),
    /// The same answer may be taken later.
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Failed(String),
}

impl From<TaskAnswerError> for Problem {
    fn from(error: TaskAnswerError) -> Self {
        match error {
            TaskAnswerError::Invalid(detail) => Problem::new(ProblemKind::InvalidRequest, detail),
            TaskAnswerError::Unknown(detail) => Problem::new(ProblemKind::NotFound, detail),
            TaskAnswerError::Over(detail) => Problem::new(ProblemKind::TaskOver, detail),
            TaskAnswerError::Unavailable(detail) => {
                Problem::new(ProblemKind::Unavailable, detail).retry_after(1)
            }
            TaskAnswerError::Failed(detail) => Problem::new(ProblemKind::Internal, detail),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    cause: Option<String>,
}

pub(crate) async fn answer(
    tasks: &dyn TaskAnswers,
    token: &str,
    verb: TaskVerb,
    body: &[u8],
) -> Result<Response<Body>, Problem> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(invalid(format!("a task token has at most {TOKEN_BYTES_MAX} bytes")));
    }
    match verb {
        TaskVerb::Success => tasks.succeed(token, output(body)?).await?,
        TaskVerb::Failure => {
            let Failure { error, cause } = failure(body)?;
            tasks.fail(token, error, cause).await?;
        }
        TaskVerb::Heartbeat => tasks.heartbeat(token).await?,
    }
    let mut response = Response::new(Body::from(json!({"answered": verb.name()}).to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn output(body: &[u8]) -> Result<&str, Problem> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Ok("{}");
    }
    let not_json = |detail: String| invalid(format!("the output is not JSON: {detail}"));
    let text = std::str::from_utf8(body).map_err(|error| not_json(error.to_string()))?;
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(text),
        Err(error) => Err(not_json(error.to_string())),
    }
}

fn failure(body: &[u8]) -> Result<Failure, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(Failure::default());
    }
    // By way of a map: a list of the members' values is not what is asked for.
    let failure: Failure = serde_json::from_slice::<Map<String, Value>>(body)
        .and_then(|members| serde_json::from_value(Value::Object(members)))
        .map_err(|error| invalid(format!("the body is not `{{\"error\", \"cause\"}}`: {error}")))?;
    let bounds = [("error", &failure.error, ERROR_CHARS_MAX), ("cause", &failure.cause, CAUSE_CHARS_MAX)];
    for (name, text, chars_max) in bounds {
        if text.as_ref().is_some_and(|text| text.chars().count() > chars_max) {
            return Err(invalid(format!("`{name}` has more than {chars_max} characters")));
        }
    }
    Ok(failure)
}

fn invalid(detail: String) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, detail)
}
