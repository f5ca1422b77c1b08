//! Rebuilding a table from the log, for `bourn replay`, while the stream goes on writing to it.
//!
//! ```text
//!  rebuild() ── write() … write() ── finish(range, adjust): one commit that
//!     new files, not visible            removes the old rows of `range` (whole files, or a copy
//!                                       without them), adds the new files, the new columns and
//!                                       the ledger's new counts
//! ```

use crate::LakeError;
use crate::actions::{Action, Replayed, Tally};
use crate::commit::Intent;
use crate::committer::{commit_until_told, merge_counts, refresh_until_told};
use crate::files::data_files;
use crate::lake::{meta_data, stored_shape};
use crate::rewrite::Rewriter;
use crate::shape::Shape;
use crate::table::{Shared, Table};
use crate::tail::Chunk;
use arrow::datatypes::SchemaRef;
use bourn_config::Partition;
use bourn_event::{Offset, Outcome, Refined};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// New rows on their way to replace old ones. Dropping it leaves the table as it is; the files it
/// wrote are vacuumed.
pub struct Rebuild {
    shared: Arc<Shared>,
    shape: Arc<Shape>,
    writer: Rewriter,
    counts: Tally,
    rows: u64,
}

/// What a rebuild did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    pub version: i64,
    pub rows: u64,
    pub files_added: u64,
    pub files_removed: u64,
}

impl Table {
    /// Begins a rebuild with these columns and partitions, which may differ from the table's.
    pub fn rebuild(&self, schema: &SchemaRef, partition_by: &[Partition]) -> Result<Rebuild, LakeError> {
        let shared = self.shared.clone();
        let shape = Shape::defined(schema, partition_by).map_err(|problem| LakeError::Schema {
            table: self.name().into(),
            problem,
            way_out: "Mend `partition_by` or the columns".into(),
        })?;
        let shape = Arc::new(shape);
        let limits = shared.options.compaction.clone();
        let writer = Rewriter::new(shared.handle.clone(), shape.clone(), limits, shared.now_ms());
        Ok(Rebuild { shared, shape, writer, counts: Tally::new(), rows: 0 })
    }
}

impl Rebuild {
    /// Takes the next run of settled events, in offset order.
    pub async fn write(&mut self, refined: Refined) -> Result<(), LakeError> {
        let table = self.shared.handle.name.clone();
        let body = self.shape.to_body(&refined.rows).map_err(|e| LakeError::rows(&table, e))?;
        let chunk = Chunk::new(&refined, body);
        merge_counts(&mut self.counts, &chunk.counts);
        self.rows += chunk.rows.num_rows() as u64;
        self.writer.write(&chunk.rows).await
    }

    /// How the events written so far ended, by outcome and source.
    pub fn counts(&self) -> &Tally {
        &self.counts
    }

    /// Swaps the rows with an offset in `range` for the new ones, atomically. `adjust` is added
    /// to the cumulative counts: for each outcome and source what the range counts now, less what
    /// it counted before. `range` must be committed: [`LakeError::Gap`] otherwise. Rows outside
    /// `generation` names the replay, larger than those before it. Rows outside
    /// of it stay; if the columns changed they are brought into the new ones.
    pub async fn finish(
        self,
        range: Range<Offset>,
        adjust: &BTreeMap<(Outcome, String), i64>,
        generation: i64,
    ) -> Result<Rebuilt, LakeError> {
        let Self { shared, shape, writer, rows, .. } = self;
        let new_files = writer.finish().await?;
        let _one = shared.maintenance.lock().await;
        let _guard = shared.commit_lock.lock().await;
        let (state, before, have) = {
            let inner = shared.inner.lock();
            (inner.state.clone(), inner.settled.clone(), inner.shape.clone())
        };
        if range.end > before.offset {
            let table = shared.handle.name.to_string();
            return Err(LakeError::Gap { table, expected: before.offset, got: range.end });
        }
        let reshaped = !same_columns(&shape, &have);
        let now_ms = shared.now_ms();
        let mut actions = Vec::new();
        if reshaped {
            let id = state.metadata().id().to_string();
            actions.push(meta_data(&shape, &shared.options, id, now_ms));
        }
        let target = if reshaped { shape.clone() } else { have.clone() };
        let limits = shared.options.compaction.clone();
        let mut kept = Rewriter::new(shared.handle.clone(), target, limits, now_ms);
        let mut removed = 0;
        for file in data_files(&state) {
            let (inside, outside) = match file.offsets {
                Some((first, last)) => {
                    (first >= range.start && last < range.end, last < range.start || first >= range.end)
                }
                None => (false, false),
            };
            if outside && !reshaped {
                continue;
            }
            if !inside {
                kept.copy(&file, &have, |offset| !range.contains(&offset)).await?;
            }
            actions.push(file.remove(true, now_ms));
            removed += 1;
        }
        let kept = kept.finish().await?;
        let files_added = (new_files.len() + kept.len()) as u64;
        actions.extend(new_files.into_iter().chain(kept).map(Action::from));
        let mut after = before.clone();
        for (key, change) in adjust {
            let count = after.counts.entry(key.clone()).or_default();
            *count = count.saturating_add_signed(*change);
        }
        after.replays.push(Replayed { generation, from: range.start, to: range.end });
        actions.extend(after.txns_since(&before, now_ms));
        let intent = Intent::new("REPLAY", actions, now_ms);
        commit_until_told(&shared, state.version() as i64, &intent).await?;
        let state = refresh_until_told(&shared).await;
        let version = state.version() as i64;
        let mut inner = shared.inner.lock();
        if reshaped {
            let now = Arc::new(stored_shape(&state, Vec::new()));
            let moved = inner.tail.reshape(|rows| now.to_body(rows));
            moved.map_err(|e| LakeError::rows(&shared.handle.name, e))?;
            inner.shape = now;
        }
        inner.state = Arc::new(state);
        inner.settled = after;
        Ok(Rebuilt { version, rows, files_added, files_removed: removed })
    }
}

fn same_columns(new: &Shape, have: &Shape) -> bool {
    let kinds = |shape: &Shape| -> Vec<_> {
        shape
            .table
            .fields()
            .iter()
            .map(|f| (f.name().clone(), crate::schema::kept_type(f.data_type())))
            .collect()
    };
    new.partitions == have.partitions && kinds(new) == kinds(have)
}
