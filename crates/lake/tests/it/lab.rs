//! What the tests share: a lake in a folder, refined events, and questions asked of a table.

use crate::faults::FaultyStore;
use arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bourn_config::{ByteSize, Partition, SchemaPolicy, Span};
use bourn_event::{Drop as Dropped, ManualClock, Outcome, Refined, system_fields};
use bourn_lake::{Lake, Place, SyncedFolder, Table, TableOptions};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use std::sync::Arc;
use tempfile::TempDir;
use url::Url;

pub const DAY: i64 = 86_400_000_000;
/// 2024-01-01T00:00:00Z.
pub const START: i64 = 1_704_067_200_000_000;

/// A lake in a folder of its own, behind a store that can fail.
pub struct Lab {
    pub folder: TempDir,
    pub store: Arc<FaultyStore>,
    pub clock: Arc<ManualClock>,
}

impl Lab {
    pub fn new() -> Self {
        let store = FaultyStore::new(Arc::new(SyncedFolder::new()));
        Self { folder: tempfile::tempdir().unwrap(), store, clock: Arc::new(ManualClock::at(START)) }
    }

    /// A lake as a process that just started sees it.
    pub fn lake(&self) -> Arc<Lake> {
        let path = self.folder.path().canonicalize().unwrap();
        Lake::at(Place { store: self.store.clone(), url: Url::from_directory_path(path).unwrap() })
    }

    pub fn options(&self) -> TableOptions {
        TableOptions {
            name: "silver/things".into(),
            schema: schema(&[("n", DataType::Int64), ("who", DataType::Utf8)]),
            partition_by: Vec::new(),
            policy: SchemaPolicy::Evolve,
            commit: bourn_config::Commit { every: Span::from_secs(3600), bytes: ByteSize::mib(64) },
            compaction: Default::default(),
            retention: Default::default(),
            clock: self.clock.clone(),
            as_is: false,
        }
    }

    pub fn partitioned(&self, by: &[&str]) -> TableOptions {
        let partition_by = by.iter().map(|p| Partition::parse(p).unwrap()).collect();
        TableOptions { partition_by, ..self.options() }
    }

    pub async fn open(&self) -> Arc<Table> {
        self.lake().table(self.options()).await.unwrap()
    }
}

/// System columns, `columns`, `_extra`.
pub fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let mut fields = system_fields();
    fields.extend(columns.iter().map(|(n, t)| Field::new(*n, t.clone(), true)));
    fields.push(Field::new("_extra", DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}

/// Events `first..end`, a minute apart; every tenth is a duplicate. `n` is the offset.
pub fn events(first: u64, end: u64) -> Refined {
    let stored: Vec<i64> = (first..end).filter(|o| o % 10 != 9).map(|o| o as i64).collect();
    let who = StringArray::from_iter_values(stored.iter().map(|o| ["ann", "bob", "cy"][(*o % 3) as usize]));
    rows(first, end, &stored, vec![("n", Arc::new(Int64Array::from(stored.clone()))), ("who", Arc::new(who))])
}

/// Events `first..end` of which `stored` have rows with these columns.
pub fn rows(first: u64, end: u64, stored: &[i64], columns: Vec<(&str, ArrayRef)>) -> Refined {
    let times = stored.iter().map(|o| START + o * 60_000_000);
    let mut all: Vec<(&str, ArrayRef)> = vec![
        ("_offset", Arc::new(Int64Array::from(stored.to_vec()))),
        ("_partition", Arc::new(Int32Array::from(vec![0; stored.len()]))),
        ("_received_at", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))),
        ("_source", Arc::new(StringArray::from(vec!["http"; stored.len()]))),
    ];
    all.extend(columns);
    all.push(("_extra", Arc::new(StringArray::new_null(stored.len()))));
    let drops = (first..end)
        .filter(|o| !stored.contains(&(*o as i64)))
        .map(|offset| Dropped { offset, outcome: Outcome::Duplicate, source: "http".into(), kept: Some(0) })
        .collect();
    let rows = RecordBatch::try_from_iter_with_nullable(all.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    Refined { first_offset: first, end, rows, drops, rejects: Vec::new(), event_time_max: Some(end as i64) }
}

/// How many of the offsets `0..end` are stored.
pub fn stored(end: u64) -> u64 {
    (0..end).filter(|o| o % 10 != 9).count() as u64
}

pub async fn ask(provider: Arc<dyn TableProvider>, sql: &str) -> Vec<RecordBatch> {
    let session = SessionContext::new();
    session.register_table("t", provider).unwrap();
    session.sql(sql).await.unwrap().collect().await.unwrap()
}

pub async fn number(provider: Arc<dyn TableProvider>, sql: &str) -> i64 {
    let batches = ask(provider, sql).await;
    batches.iter().find(|b| b.num_rows() > 0).map_or(0, |b| b.column(0).as_primitive::<Int64Type>().value(0))
}

/// Holds a table against what `0..end` must have left: rows once each, counters equal.
pub async fn assert_exact(table: &Table, end: u64) {
    let committed = table.committed();
    assert_eq!(committed.offset, end);
    let count = |outcome| committed.counts.get(&(outcome, "http".to_string())).copied().unwrap_or(0);
    assert_eq!(count(Outcome::Stored), stored(end), "stored");
    assert_eq!(count(Outcome::Duplicate), end - stored(end), "duplicate");
    let recount = table.recount().await.unwrap();
    assert_eq!(recount.repeated, 0, "offsets stored twice");
    assert_eq!(recount.stored.values().sum::<u64>(), stored(end), "recount");
    assert_eq!(recount.offsets.len(), stored(end));
    assert_eq!(number(table.provider(), "select count(*) from t").await, stored(end) as i64);
}
