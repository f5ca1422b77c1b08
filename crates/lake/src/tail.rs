//! The hot tail: refined rows that are not committed yet, in offset order, in few batches. Pure.
//!
//! ```text
//!  chunk chunk │ chunk chunk chunk
//!  ── sealed ──┘ (being committed: never touched)   newest two merge while they are alike in size
//! ```

use crate::actions::Tally;
use crate::partition::count_runs;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use bourn_event::{Micros, Offset, Outcome, Refined, SystemColumn};
use std::collections::VecDeque;

/// Chunks below this many rows are merged with their neighbour.
const MERGE_ROWS: usize = 1024;

/// A run of settled offsets and the rows it left.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub end: Offset,
    pub rows: RecordBatch,
    pub bytes: usize,
    pub counts: Tally,
    pub event_time_max: Option<Micros>,
}

impl Chunk {
    /// `rows` are those of `refined` in the table's columns.
    pub fn new(refined: &Refined, rows: RecordBatch) -> Self {
        let mut counts = Tally::new();
        if let Some(sources) =
            rows.column_by_name(SystemColumn::Source.name()).and_then(|c| c.as_string_opt::<i32>())
        {
            count_runs(sources, |source, n| add(&mut counts, Outcome::Stored, source, n));
        }
        for drop in &refined.drops {
            add(&mut counts, drop.outcome, &drop.source, 1);
        }
        for reject in &refined.rejects {
            add(&mut counts, Outcome::Rejected, &reject.source, 1);
        }
        let bytes = rows.get_array_memory_size();
        Self { end: refined.end, rows, bytes, counts, event_time_max: refined.event_time_max }
    }
}

/// Adds `n` to one count.
pub fn add(counts: &mut Tally, outcome: Outcome, source: &str, n: u64) {
    if let Some((_, count)) = counts.iter_mut().find(|((o, s), _)| *o == outcome && s == source) {
        *count += n;
    } else {
        counts.insert((outcome, source.into()), n);
    }
}

/// The chunks behind the committed offset.
#[derive(Debug, Default)]
pub struct Tail {
    chunks: VecDeque<Chunk>,
    sealed: usize,
    bytes: usize,
}

impl Tail {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn rows(&self) -> usize {
        self.chunks.iter().map(|c| c.rows.num_rows()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The rows in batches that share their memory with the tail.
    pub fn batches(&self) -> Vec<RecordBatch> {
        self.chunks.iter().filter(|c| c.rows.num_rows() > 0).map(|c| c.rows.clone()).collect()
    }

    /// Appends a chunk. Each row is copied a logarithmic number of times at most, however small
    /// the chunks come in.
    pub fn push(&mut self, chunk: Chunk) -> Result<(), ArrowError> {
        self.bytes += chunk.bytes;
        self.chunks.push_back(chunk);
        while self.chunks.len() >= self.sealed + 2 {
            let last = self.chunks.len() - 1;
            let (a, b) = (&self.chunks[last - 1], &self.chunks[last]);
            let (left, right) = (a.rows.num_rows(), b.rows.num_rows());
            let free = left == 0 || right == 0;
            if !free && (left + right > MERGE_ROWS || left > 2 * right) {
                break;
            }
            let merged = merge(a, b)?;
            self.bytes = self.bytes + merged.bytes - a.bytes - b.bytes;
            self.chunks.truncate(last - 1);
            self.chunks.push_back(merged);
        }
        Ok(())
    }

    /// Hands out all chunks for a commit; they stay visible until [`Tail::drop_until`].
    pub fn seal(&mut self) -> Vec<Chunk> {
        self.sealed = self.chunks.len();
        self.chunks.iter().cloned().collect()
    }

    /// Forgets the chunks that end at or before `offset`.
    pub fn drop_until(&mut self, offset: Offset) {
        while let Some(chunk) = self.chunks.front().filter(|c| c.end <= offset) {
            self.bytes -= chunk.bytes;
            self.chunks.pop_front();
        }
        self.sealed = 0;
    }

    /// Brings the rows into other columns.
    pub fn reshape(
        &mut self,
        with: impl Fn(&RecordBatch) -> Result<RecordBatch, ArrowError>,
    ) -> Result<(), ArrowError> {
        let rows = self.chunks.iter().map(|c| with(&c.rows)).collect::<Result<Vec<_>, _>>()?;
        for (chunk, rows) in self.chunks.iter_mut().zip(rows) {
            chunk.rows = rows;
        }
        Ok(())
    }
}

fn merge(a: &Chunk, b: &Chunk) -> Result<Chunk, ArrowError> {
    let rows = match (a.rows.num_rows(), b.rows.num_rows()) {
        (_, 0) => a.rows.clone(),
        (0, _) => b.rows.clone(),
        _ => concat_batches(a.rows.schema_ref(), [&a.rows, &b.rows])?,
    };
    let mut counts = a.counts.clone();
    b.counts.iter().for_each(|((outcome, source), n)| add(&mut counts, *outcome, source, *n));
    let bytes = rows.get_array_memory_size();
    Ok(Chunk { end: b.end, rows, bytes, counts, event_time_max: b.event_time_max.max(a.event_time_max) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    fn chunk(first: u64, rows: u64) -> Chunk {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(first as i64..(first + rows) as i64));
        let rows_batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut counts = Tally::new();
        add(&mut counts, Outcome::Stored, "http", rows);
        let bytes = rows_batch.get_array_memory_size();
        Chunk { end: first + rows, rows: rows_batch, bytes, counts, event_time_max: None }
    }

    #[test]
    fn a_tail_of_single_rows_is_few_batches_in_order() {
        let mut tail = Tail::default();
        for n in 0..5000 {
            tail.push(chunk(n, 1)).unwrap();
        }
        let batches = tail.batches();
        assert!(batches.len() < 20, "{} batches", batches.len());
        let all: Vec<i64> = batches
            .iter()
            .flat_map(|b| b.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec())
            .collect();
        assert_eq!(all, (0..5000).collect::<Vec<i64>>());
        assert_eq!(tail.chunks.iter().flat_map(|c| c.counts.values()).sum::<u64>(), 5000);
    }

    #[test]
    fn sealed_chunks_are_left_alone_until_they_are_committed() {
        let mut tail = Tail::default();
        tail.push(chunk(0, 10)).unwrap();
        let sealed = tail.seal();
        tail.push(chunk(10, 10)).unwrap();
        tail.push(chunk(20, 10)).unwrap();
        assert_eq!((tail.rows(), sealed[0].end), (30, 10));
        tail.drop_until(10);
        assert_eq!(tail.rows(), 20);
        tail.drop_until(30);
        assert_eq!((tail.rows(), tail.bytes()), (0, 0));
    }
}
