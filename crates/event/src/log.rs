//! The log seam: how a source makes events durable, and how the route reads them back.

use crate::{Micros, Offset, Span};
use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What a client wants to have happened before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// Handed to the operating system: lost if the machine loses power.
    Memory,
    /// Synced to disk (G1).
    #[default]
    Durable,
    /// Durable, and seen by the next query.
    Visible,
}

/// Checked events on their way into a log.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// In order; the counts add up to the number of events.
    pub spans: Vec<Span>,
    /// The events as newline-delimited JSON, each ended by `\n`, none containing one.
    pub payload: Bytes,
    /// The same events decoded, if the caller has them; handed to readers that are close behind
    /// the end, so that an event is parsed once.
    pub columns: Option<RecordBatch>,
}

impl Draft {
    /// How many events.
    pub fn count(&self) -> u32 {
        self.spans.iter().map(|span| span.count).sum()
    }
}

/// Where a draft ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Offset of the first event that was stored.
    pub first_offset: Offset,
    /// Offset behind the last one; equal to `first_offset` if every span was a retry.
    pub end: Offset,
    /// Events of spans that the log held already.
    pub repeated: u32,
}

/// Why a draft was not taken. Nothing of it is stored.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AppendError {
    /// The log's byte budget is used up by events its readers still need.
    #[error("the log is full: its readers are behind")]
    Full { retry_after: Duration },
    /// The disk is full or failing; the log takes events again when it recovers.
    #[error("the log cannot write: {0}")]
    Unavailable(String),
    #[error("the log is closed")]
    Closed,
}

impl AppendError {
    /// May the same draft succeed later?
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Closed)
    }
}

/// A frame as a reader gets it.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub first_offset: Offset,
    /// How many events.
    pub count: u32,
    pub received_at: Micros,
    pub spans: Arc<[Span]>,
    /// NDJSON; `None` if `columns` is there and the bytes were not read.
    pub payload: Option<Bytes>,
    pub columns: Option<RecordBatch>,
}

impl Delivery {
    pub fn end(&self) -> Offset {
        self.first_offset + Offset::from(self.count)
    }
}

/// Takes events durably.
///
/// ```text
///  append(A) ─┐            ┌─ sync ─┐
///  append(B) ─┼─ A B C ────┤        ├─ receipts of A, B, C
///  append(C) ─┘            └────────┘
/// ```
///
/// Offsets are given in the order of writing, without gaps. `append` resolves with `Ok` only
/// when every stored event of the draft survives `kill -9` and power loss (G1), unless `ack` is
/// [`Ack::Memory`]. With `Err`, none of the draft is stored or ever will be.
#[async_trait]
pub trait Log: Send + Sync {
    async fn append(&self, draft: Draft, ack: Ack) -> Result<Receipt, AppendError>;

    /// The last sequence held durably for a producer.
    fn producer_sequence(&self, producer: &str) -> Option<u64>;

    /// Offset behind the last durable event.
    fn end(&self) -> Offset;
}
