//! What a submission is, and what it is answered with.

use crate::cloudevents::Attributes;
use crate::split::Shape;
use bourn_event::{Ack, AppendError, Fault, Offset, Producer};
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Errors an answer names one by one; the rest is only counted.
pub const ERRORS_MAX: usize = 100;

/// How events lie in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Plain events.
    Plain(Shape),
    /// One CloudEvent in the JSON format.
    CloudEvent,
    /// A JSON array of CloudEvents.
    CloudEventBatch,
    /// The data of one CloudEvent whose attributes are given.
    CloudEventBinary(Box<Attributes>),
}

/// A body of events for a stream.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Inflated.
    pub body: Bytes,
    pub framing: Framing,
    /// Name of the source, as in `_source`.
    pub source: Arc<str>,
    /// Makes a repeated submission harmless.
    pub producer: Option<Producer>,
    pub ack: Ack,
    /// Any reject refuses the whole submission.
    pub strict: bool,
}

/// What became of a submission's events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Events that are in the log thanks to this submission or, for a producer, an earlier one
    /// with the same sequence.
    pub accepted: u64,
    /// Events that are in the rejects.
    pub rejected: u64,
    /// Offset of the first accepted event; `None` if nothing was stored by this submission.
    pub first_offset: Option<Offset>,
    /// Of `accepted`, those that an earlier submission had brought.
    #[serde(skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// The first [`ERRORS_MAX`].
    pub errors: Vec<EventError>,
    /// How many more there were.
    #[serde(skip_serializing_if = "is_zero")]
    pub errors_omitted: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Answer {
    pub(crate) fn reject(&mut self, index: u64, fault: &Fault) {
        self.rejected += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(EventError {
                index,
                pointer: fault.pointer.clone(),
                keyword: fault.keyword.clone(),
                message: fault.message.clone(),
            });
        } else {
            self.errors_omitted += 1;
        }
    }
}

/// Why one event was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventError {
    /// Position in the submission, from 0.
    pub index: u64,
    /// JSON pointer to the value; empty for the whole event.
    pub pointer: String,
    /// The schema's keyword; empty outside schemas.
    pub keyword: String,
    pub message: String,
}

/// Why a submission got no [`Answer`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum IngestError {
    #[error("the body holds no event")]
    Empty,
    /// With `strict`: nothing was stored but the rejects that the answer tells of.
    #[error("{} of the request's events were rejected and it is strict", .0.rejected)]
    Strict(Box<Answer>),
    /// `stored` tells what of the submission is in the log all the same: a large one without a
    /// producer goes there in several drafts.
    #[error("{error}")]
    Append { error: AppendError, stored: Box<Answer> },
    /// The events are durable, but no query saw them in time.
    #[error("the events are stored, but were not visible to queries within {} s", .waited.as_secs())]
    NotVisible { waited: Duration, stored: Box<Answer> },
    #[error("the server is shutting down")]
    Draining,
}
