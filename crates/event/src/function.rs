//! The function seam: a user's code, invoked by whoever stands beside it.

use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// One call of a function.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    pub function: String,
    /// A JSON text.
    pub payload: Bytes,
    /// What `X-Amz-Client-Context` carried, decoded.
    pub client_context: Option<String>,
    /// The trace that the call belongs to (`X-Amzn-Trace-Id`).
    pub trace: Option<String>,
    /// Does the caller want the last 4 KiB of what the function logs?
    pub wants_log: bool,
    /// Names the call, so that a function can tell one that is made again; a new name is made if absent.
    pub request_id: Option<String>,
}

/// What a function answered.
#[derive(Clone, Debug)]
pub struct Invoked {
    pub request_id: String,
    /// A JSON text: the result, or with `error` an object with `errorType` and `errorMessage`.
    pub payload: Bytes,
    pub error: Option<FunctionError>,
    /// The last 4 KiB of its log, if asked for.
    pub log_tail: Bytes,
}

/// How a function failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionError {
    /// Its code said so.
    Handled,
    /// It crashed, hung, or ran out of memory.
    Unhandled,
}

/// Why a call did not reach a function's code.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvokeError {
    #[error("there is no function `{0}`")]
    NotFound(String),
    #[error("function `{function}` has reached its concurrency")]
    Throttled { function: String, retry_after: Duration },
    #[error("a payload of {bytes} bytes is more than {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("the payload is not JSON: {0}")]
    Invalid(String),
    /// No process could be started, or a durable queue could not be written.
    #[error("function `{function}` cannot run: {why}")]
    Unavailable { function: String, why: String },
    #[error("the pipeline is closing")]
    Closed,
}

impl InvokeError {
    /// May the same call succeed later?
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. } | Self::Closed)
    }
}

/// Invokes functions. Dropping the future of [`Functions::invoke`] gives up on the answer; the function
/// itself runs on until it answers or its time is over.
#[async_trait]
pub trait Functions: Send + Sync {
    /// Invokes and waits for the answer. Throttled at once if the function is at its limit.
    async fn invoke(&self, call: Invocation) -> Result<Invoked, InvokeError>;

    /// Takes the call durably, to be made soon and retried; gives its request id.
    async fn invoke_later(&self, call: Invocation) -> Result<String, InvokeError>;

    /// The names of all functions, sorted.
    fn names(&self) -> Vec<String>;
}
