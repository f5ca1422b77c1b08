//! Where the events of a frame came from.

use serde::{Deserialize, Serialize};

/// An idempotent producer and how far it got.
///
/// A log accepts a span only if its `sequence` is greater than the last one it holds for `id`;
/// otherwise the span is a retry and is answered as such without being stored again. A file
/// source is a producer too: its id is the file's identity and its sequence the position behind
/// the last event, so that resuming after a crash neither loses nor repeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Producer {
    pub id: String,
    pub sequence: u64,
}

/// Ids of producers that send once begin with this. There is one for each sending, so a log forgets
/// them sooner than others.
const ONCE: &str = "once/";

impl Producer {
    /// The producer of a single sending that may be repeated after a crash.
    pub fn once(id: &str) -> Self {
        Self { id: format!("{ONCE}{id}"), sequence: 1 }
    }

    /// Was it made by [`Producer::once`]?
    pub fn is_once(id: &str) -> bool {
        id.starts_with(ONCE)
    }
}

/// A run of consecutive events in a frame that share a source and a producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<Producer>,
    /// How many events.
    pub count: u32,
}

impl Span {
    pub fn new(source: impl Into<String>, count: u32) -> Self {
        Self { source: source.into(), producer: None, count }
    }
}
