//! Why an event failed a stage, and the record that keeps it.

use crate::{Micros, Offset, Producer};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The closed list of reasons. Stored by name in the rejects' log: add to it, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The bytes are not a JSON object in UTF-8.
    Parse,
    /// JSON, but the stream's schema says no.
    Schema,
    /// The schema says yes, but the value does not fit its column's type.
    Type,
    /// Larger than the stream's `max_event_bytes`, or nested too deeply.
    TooLarge,
    /// The event time lies further ahead than `max_future` allows.
    FutureTime,
    /// The event came after its allowed lateness, and the policy says reject.
    Late,
    /// A lookup had no row for the key, and the policy says reject.
    Lookup,
    /// The transform failed on this row.
    Transform,
    /// A file, or a part of it, could not be read.
    File,
    /// A function failed on it.
    Function,
    /// An outside API refused it, or could not be asked, and the policy says reject.
    Http,
}

impl RejectReason {
    pub const ALL: [RejectReason; 11] = [
        Self::Parse,
        Self::Schema,
        Self::Type,
        Self::TooLarge,
        Self::FutureTime,
        Self::Late,
        Self::Lookup,
        Self::Transform,
        Self::File,
        Self::Function,
        Self::Http,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Schema => "schema",
            Self::Type => "type",
            Self::TooLarge => "too_large",
            Self::FutureTime => "future_time",
            Self::Late => "late",
            Self::Lookup => "lookup",
            Self::Transform => "transform",
            Self::File => "file",
            Self::Function => "function",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: RejectReason,
    /// JSON pointer (RFC 6901) to the offending value; empty for the whole event.
    pub pointer: String,
    /// The schema keyword that failed (`required`, `minimum`, …); empty outside schemas.
    pub keyword: String,
    pub message: String,
}

impl Fault {
    pub fn new(reason: RejectReason, message: impl Into<String>) -> Self {
        Self { reason, pointer: String::new(), keyword: String::new(), message: message.into() }
    }

    pub fn at(mut self, pointer: impl Into<String>, keyword: impl Into<String>) -> Self {
        self.pointer = pointer.into();
        self.keyword = keyword.into();
        self
    }
}

/// An event that failed a stage: the dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub fault: Fault,
    /// The stream's schema version (a short hash) that judged it.
    pub schema_version: String,
    pub source: String,
    /// Where its producer stood, so that a retried request does not reject it twice.
    pub producer: Option<Producer>,
    pub received_at: Micros,
    /// Set if the event was accepted into the log before a later stage refused it.
    pub offset: Option<Offset>,
    /// The event as it came, up to the stream's keep limit.
    pub original: Bytes,
    /// Length of the event as it came; larger than `original.len()` if that was cut.
    pub original_len: u64,
}
