//! Decoded and refined events as Arrow record batches.

use crate::{Micros, Offset, Outcome, Reject, Span, SystemColumn};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, TimeUnit};
use std::sync::Arc;

/// The system columns that lead every refined batch, in this order. `_extra` comes with the
/// decoded columns, as their last.
pub const SYSTEM_COLUMNS: [SystemColumn; 4] =
    [SystemColumn::Offset, SystemColumn::Partition, SystemColumn::ReceivedAt, SystemColumn::Source];

/// Arrow fields of [`SYSTEM_COLUMNS`]; none is ever null.
pub fn system_fields() -> Vec<Field> {
    vec![
        Field::new(SystemColumn::Offset.name(), DataType::Int64, false),
        Field::new(SystemColumn::Partition.name(), DataType::Int32, false),
        Field::new(
            SystemColumn::ReceivedAt.name(),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            false,
        ),
        Field::new(SystemColumn::Source.name(), DataType::Utf8, false),
    ]
}

/// The events of a frame, decoded: row `i` has offset `first_offset + i`, or `offsets[i]`.
#[derive(Clone, Debug)]
pub struct Decoded {
    pub first_offset: Offset,
    pub received_at: Micros,
    /// In row order; the counts add up to the number of rows.
    pub spans: Arc<[Span]>,
    /// The schema's columns and `_extra`, without the other system columns.
    pub columns: RecordBatch,
    /// Each row's offset, rising, where rows of the frame are missing: a frame that is decoded
    /// again may hold events that today's schema refuses.
    pub offsets: Option<Vec<Offset>>,
}

impl Decoded {
    /// The offset of row `row`.
    pub fn offset_of(&self, row: usize) -> Offset {
        match &self.offsets {
            None => self.first_offset + row as Offset,
            Some(offsets) => offsets[row],
        }
    }

    /// The offset behind the last row.
    pub fn end(&self) -> Offset {
        match self.columns.num_rows() {
            0 => self.first_offset,
            rows => self.offset_of(rows - 1) + 1,
        }
    }

    /// Source of row `row`. Panics if the spans do not cover it.
    pub fn source_of(&self, row: usize) -> &str {
        let mut seen = 0;
        for span in self.spans.iter() {
            seen += span.count as usize;
            if row < seen {
                return &span.source;
            }
        }
        panic!("row {row} lies behind the spans' {seen} events")
    }
}

/// What a run of offsets became: `[first_offset, end)` is wholly told by `rows` (stored),
/// `drops` and `rejects`, each offset in exactly one of them.
#[derive(Clone, Debug)]
pub struct Refined {
    pub first_offset: Offset,
    pub end: Offset,
    /// [`SYSTEM_COLUMNS`], then the table's columns. In offset order.
    pub rows: RecordBatch,
    /// Offsets that end here without a row: duplicates, filtered and late events, in offset order.
    pub drops: Vec<Drop>,
    /// Events that a stage refused, in offset order; each has its `offset` set.
    pub rejects: Vec<Reject>,
    /// The largest event time seen so far in the stream, if it has one.
    pub event_time_max: Option<Micros>,
}

/// An event that leaves the route on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    pub offset: Offset,
    pub outcome: Outcome,
    pub source: Arc<str>,
    /// For a duplicate: the offset of the event that is kept.
    pub kept: Option<Offset>,
}
