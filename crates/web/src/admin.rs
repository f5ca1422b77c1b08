//! `POST /v1/admin/{verb}`: what changes a pipeline that is running.
//!
//! The body is the verb's arguments as a JSON object (nothing: an empty one). The answer is NDJSON:
//! any number of `{"progress": …}` lines, then one `{"result": …}` or `{"error": …}`. An answer that
//! ends without either was cut off.

use crate::body::{ChannelBody, CutOff};
use crate::problem::{Problem, ProblemKind};
use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

/// Carries out administrative verbs.
#[async_trait]
pub trait Admin: Send + Sync {
    /// The stream's items are `{"progress": …}` objects and, last, one `{"result": …}` or
    /// `{"error": …}`. It is dropped when the client goes away; work that must not stop half-way does
    /// not live in it.
    async fn call(&self, verb: &str, args: Value) -> Result<BoxStream<'static, Value>, AdminError>;

    /// The verbs there are, for the OpenAPI document.
    fn verbs(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Why a verb was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// There is no such verb, or what it names is not there.
    #[error("{0}")]
    NotFound(String),
    /// The arguments are not what the verb takes.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Failed(String),
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NotFound(detail) => Problem::new(ProblemKind::NotFound, detail),
            AdminError::Invalid(detail) => Problem::new(ProblemKind::InvalidRequest, detail),
            AdminError::Failed(detail) => Problem::new(ProblemKind::AdminFailed, detail),
        }
    }
}

pub(crate) async fn answer(admin: &dyn Admin, verb: &str, body: &[u8]) -> Result<Response<Body>, Problem> {
    let args = if body.trim_ascii().is_empty() { json!({}) } else { parse(body)? };
    let lines = admin.call(verb, args).await?;
    let (sender, stream) = ChannelBody::new(16);
    tokio::spawn(forward(lines, sender));
    let mut response = Response::new(Body::new(stream));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

fn parse(body: &[u8]) -> Result<Value, Problem> {
    let invalid = |detail: String| Problem::new(ProblemKind::InvalidRequest, detail);
    let args: Value = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the arguments are not JSON: {error}")))?;
    if args.is_object() { Ok(args) } else { Err(invalid("the arguments must be a JSON object".to_owned())) }
}

async fn forward(
    mut lines: BoxStream<'static, Value>,
    sender: tokio::sync::mpsc::Sender<Result<Bytes, CutOff>>,
) {
    let mut ended = false;
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = sender.closed() => return,
        };
        let Some(line) = line else { break };
        ended = line.get("result").is_some() || line.get("error").is_some();
        let mut text = line.to_string();
        text.push('\n');
        if sender.send(Ok(Bytes::from(text))).await.is_err() {
            return;
        }
    }
    if !ended {
        // Whoever broke the contract, the client must not take this for success; it may be gone already.
        let _ = sender.send(Err(CutOff("the operation ended without a result".to_owned()))).await;
    }
}
