//! What a caller says of a table, and what a table says of itself.

use crate::actions::{Replayed, Tally};
use arrow::datatypes::SchemaRef;
use bourn_config::{Commit, Compaction, Partition, SchemaPolicy, TableRetention};
use bourn_event::{Clock, Micros, Offset};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The definition of a table.
#[derive(Clone)]
pub struct TableOptions {
    /// Its path in the lake, such as `silver/flights`.
    pub name: String,
    /// System columns, the definition's columns, `_extra`.
    pub schema: SchemaRef,
    pub partition_by: Vec<Partition>,
    pub policy: SchemaPolicy,
    pub commit: Commit,
    pub compaction: Compaction,
    pub retention: TableRetention,
    pub clock: Arc<dyn Clock>,
    /// Open the table with the columns it has, whatever the definition says: for a replay that
    /// will replace them.
    pub as_is: bool,
}

/// How far a table is committed, and the ledger's counts up to there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The offset behind the last settled event that is committed.
    pub offset: Offset,
    /// Cumulative, by outcome and source.
    pub counts: Tally,
    /// Stored events that retention deleted since, by source.
    pub expired: BTreeMap<String, u64>,
    pub event_time_max: Option<Micros>,
    /// Replays whose rows are in the table, oldest first.
    pub replays: Vec<Replayed>,
    /// The table's Delta version.
    pub version: i64,
}

/// How a table's committer does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Since when commits fail; `None` when all is well.
    pub failing_since: Option<Micros>,
    pub last_error: Option<String>,
    /// Failed attempts since the last success.
    pub failures: u64,
    pub uncommitted_rows: u64,
    pub uncommitted_bytes: u64,
    pub committed_at: Option<Micros>,
    /// How long the last commit took from sealing to visible.
    pub commit_ms: Option<u64>,
}

/// Runs before every commit with the offset it will settle: makes other logs durable first.
pub type BeforeCommit = Box<dyn Fn(Offset) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What maintenance did, for `system.compactions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    pub table: String,
    /// When it began.
    pub at: Micros,
    pub took_ms: u64,
    pub files_before: u64,
    pub files_after: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Files that retention removed.
    pub expired_files: u64,
    /// Files that were deleted from storage.
    pub vacuumed_files: u64,
    /// Version a checkpoint was written at.
    pub checkpoint: Option<i64>,
    /// Log files that were deleted.
    pub log_files: u64,
    /// Why it stopped early; it is tried again when it is due.
    pub error: Option<String>,
}
