//! The scalar types everything is counted and timed in.

use std::time::Duration;

/// Position of an event in a stream partition's log: from 0, without gaps.
pub type Offset = u64;

/// A moment, in microseconds since 1970-01-01T00:00:00Z.
pub type Micros = i64;

/// A length of time in microseconds; longer than can be counted is the longest.
pub fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// The columns Bourn adds to a table beside the ones a schema names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemColumn {
    /// `_offset`, Int64: the event's offset.
    Offset,
    /// `_partition`, Int32: the partition of the stream's log. Always 0 until a stream has more.
    Partition,
    /// `_received_at`, Timestamp(µs, UTC): when the event's frame was sealed.
    ReceivedAt,
    /// `_source`, Utf8: the source that brought it (`http`, `files:<index>`, `rejects`, …).
    Source,
    /// `_extra`, Utf8: a JSON object of the fields the schema does not name; null if there are none.
    Extra,
}

impl SystemColumn {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offset => "_offset",
            Self::Partition => "_partition",
            Self::ReceivedAt => "_received_at",
            Self::Source => "_source",
            Self::Extra => "_extra",
        }
    }
}
