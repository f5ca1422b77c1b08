//! Steps that call what lies outside the stream, and the seam through which they do.
//!
//! ```text
//!  rows ─► encode ─► function: {"stream", "records": [{"offset", "event"}…]} ─┐
//!       └► keys, each once ─► cache ─► http: a request a key, or a batch ─────┤
//!  columns ◄── answer: {"records": [{…} | null…]} in the same order ◄─────────┘
//! ```
//!
//! Several calls are under way at once, their answers are used in order. What cannot be reached is
//! waited for, and never costs an event; what fails on an event is tried again, alone in the end,
//! and costs only that event (G6).

mod answer;
mod encode;
mod function;
mod http;
mod slot;

pub(crate) use function::FunctionPlan;
pub(crate) use http::{HttpCall, HttpPlan};

use crate::refiner::RefineError;
use arrow::array::{ArrayRef, UInt32Array};
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// First and longest wait before something is tried again; it doubles in between.
pub(crate) const WAIT_MIN: Duration = Duration::from_millis(100);
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(5);

/// What a stream's steps may call. Futures are driven by the stream's own thread, which is no
/// runtime's: an implementation brings its own.
#[async_trait]
pub trait Outside: Send + Sync {
    /// Invokes a function with a JSON text and gives the JSON text of its answer.
    async fn invoke(&self, function: &str, payload: Bytes) -> Result<Bytes, CallError>;

    /// Sends a request, again if its policy says so, and gives the last answer. `step` names the
    /// policy: `<stream>/enrich[<index>]`.
    async fn fetch(&self, step: &str, request: &Request) -> Result<Fetched, CallError>;

    /// What the step's cache knows of a key.
    fn look(&self, step: &str, key: &str) -> Cached;

    /// Remembers an answer, or that there is none.
    fn keep(&self, step: &str, key: &str, answer: Option<Bytes>);

    /// Waits. [`CallError::Closed`] at once, or as soon as it is so, when nothing is to be waited
    /// for any more.
    async fn pause(&self, wait: Duration) -> Result<(), CallError>;
}

/// A request of an `http` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: &'static str,
    pub url: String,
    /// JSON.
    pub body: Option<Bytes>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub status: u16,
    pub body: Bytes,
}

/// What a cache knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cached {
    Found(Bytes),
    /// It is known that there is none.
    Absent,
    Unknown,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The other side failed on what it was given.
    #[error("{0}")]
    Failed(String),
    /// It cannot be reached, is overloaded, or has no process free: the same call may succeed later.
    #[error("{why}")]
    Unavailable { why: String, retry_after: Option<Duration> },
    /// Nobody can make such a call here, now or later.
    #[error("{0}")]
    Impossible(String),
    /// The pipeline is closing.
    #[error("the pipeline is closing")]
    Closed,
}

impl From<CallError> for RefineError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Closed => Self::Closed,
            other => Self::Outside(other.to_string()),
        }
    }
}

/// Names a stream's step to [`Outside`].
pub fn step_name(stream: &str, at: usize) -> String {
    format!("{stream}/enrich[{at}]")
}

/// For streams whose steps call nothing.
pub(crate) struct Nowhere;

#[async_trait]
impl Outside for Nowhere {
    async fn invoke(&self, function: &str, _: Bytes) -> Result<Bytes, CallError> {
        Err(CallError::Impossible(format!("nobody can invoke the function `{function}` here")))
    }

    async fn fetch(&self, step: &str, _: &Request) -> Result<Fetched, CallError> {
        Err(CallError::Impossible(format!("nobody can send the requests of {step} here")))
    }

    fn look(&self, _: &str, _: &str) -> Cached {
        Cached::Unknown
    }

    fn keep(&self, _: &str, _: &str, _: Option<Bytes>) {}

    async fn pause(&self, _: Duration) -> Result<(), CallError> {
        Err(CallError::Closed)
    }
}

/// What a step answered for a batch's rows.
pub(crate) struct Answered {
    /// As long as the batch; null where nothing was answered.
    pub columns: Vec<ArrayRef>,
    /// Rows that there is no answer for, ascending.
    pub absent: Vec<u32>,
    /// Rows that it failed on, ascending, and why.
    pub failed: Vec<(u32, String)>,
}

/// The rows among `0..count` that are not in `gone` (ascending); `None` for all.
pub(crate) fn rest(count: usize, gone: impl Iterator<Item = u32>) -> Option<UInt32Array> {
    let mut stays = vec![true; count];
    gone.for_each(|row| stays[row as usize] = false);
    if stays.iter().all(|stays| *stays) {
        return None;
    }
    Some((0..count as u32).filter(|row| stays[*row as usize]).collect::<Vec<_>>().into())
}
