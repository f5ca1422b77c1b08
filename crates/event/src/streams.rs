//! The streams seam: sending events from inside, with the same checks as from outside.

use async_trait::async_trait;
use bytes::Bytes;

/// Events on their way into a stream.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    pub stream: String,
    /// Each one JSON object.
    pub events: Vec<Bytes>,
    /// What the ledger names as their source, such as `workflow:nightly`.
    pub source: String,
    /// Names this sending: the same id is taken once.
    pub id: Option<String>,
}

/// What became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub accepted: u64,
    /// They are in the rejects.
    pub rejected: u64,
    pub first_offset: Option<u64>,
    /// Why, for the first few rejects: index and message.
    pub errors: Vec<(usize, String)>,
}

/// Why nothing was sent.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SendError {
    #[error("there is no stream `{0}`")]
    NotFound(String),
    /// The log is full, or the disk is.
    #[error("stream `{stream}` takes no events now: {why}")]
    Unavailable { stream: String, why: String },
}

/// Sends events to streams; resolves once they are durable (G1).
#[async_trait]
pub trait Streams: Send + Sync {
    async fn send(&self, sending: Sending) -> Result<Sent, SendError>;

    /// The names of all streams, sorted.
    fn names(&self) -> Vec<String>;
}
