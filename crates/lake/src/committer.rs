//! The committer of a table: seals the tail by time and bytes, and sees each seal through.
//!
//! ```text
//!  seal ► before_commit ► encode ► store files ► commit ► load state ► publish
//!          each step is repeated until it succeeds; a crash between any two leaves either
//!          files nobody names, or a commit whose offset tells the next start where to go on
//! ```

use crate::LakeError;
use crate::actions::{Action, Add, Settled, Tally};
use crate::commit::{Done, Intent, commit};
use crate::encode::encode;
use crate::log;
use crate::partition::PartitionKey;
use crate::shape::Shape;
use crate::table::{Inner, Shared};
use crate::tail::{Chunk, add};
use arrow::array::RecordBatch;
use bourn_event::Offset;
use deltalake_core::table::state::DeltaTableState;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Runs until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let next = wait(&shared.inner.lock(), &shared);
        match next {
            Wait::Now => settle(&shared).await,
            Wait::Until(left) => {
                let _ = tokio::time::timeout(left, shared.wake.notified()).await;
            }
            Wait::Forever => shared.wake.notified().await,
        }
    }
}

enum Wait {
    Now,
    Until(Duration),
    Forever,
}

fn wait(inner: &Inner, shared: &Shared) -> Wait {
    if inner.tail.is_empty() {
        return Wait::Forever;
    }
    let limits = &shared.options.commit;
    let flush = inner.flush_to > inner.settled.offset;
    if flush || inner.tail.bytes() >= limits.bytes.bytes() {
        return Wait::Now;
    }
    let age = inner.since.map_or(Duration::ZERO, |since| since.elapsed());
    match limits.every.0.checked_sub(age) {
        Some(left) if !left.is_zero() => Wait::Until(left),
        _ => Wait::Now,
    }
}

/// Commits the tail as it is now.
async fn settle(shared: &Arc<Shared>) {
    let started = Instant::now();
    let (chunks, shape) = {
        let mut inner = shared.inner.lock();
        inner.since = Some(started);
        (inner.tail.seal(), inner.shape.clone())
    };
    let Some(end) = chunks.last().map(|c| c.end) else { return };
    let mut retry = Retry::new(shared);
    while let Err(e) = before_commit(shared, end).await {
        retry.again(e).await;
    }
    let mut files = loop {
        match write_files(shared, &shape, &chunks, &mut retry).await {
            Ok(files) => break files,
            Err(e) => retry.again(e).await,
        }
    };
    let guard = shared.commit_lock.lock().await;
    let now = shared.shape();
    if !Arc::ptr_eq(&now, &shape) {
        files = loop {
            match reshape_and_write(shared, &now, &chunks, &mut retry).await {
                Ok(files) => break files,
                Err(e) => retry.again(e).await,
            }
        };
    }
    put_and_publish(shared, &chunks, &files, &mut retry).await;
    drop(guard);
    forget_pending(shared, &files);
    let took = started.elapsed();
    metrics::histogram!("bourn_commit_seconds", "table" => shared.handle.name.to_string())
        .record(took.as_secs_f64());
    shared.inner.lock().health.commit_ms = Some(took.as_millis() as u64);
    retry.recovered();
}

async fn before_commit(shared: &Shared, end: Offset) -> Result<(), LakeError> {
    let hook = shared.before_commit.lock().clone();
    match hook {
        Some(hook) => hook(end).await.map_err(|e| LakeError::unavailable(&shared.handle.name, e)),
        None => Ok(()),
    }
}

fn forget_pending(shared: &Shared, files: &[Action]) {
    let mut pending = shared.pending.lock();
    files.iter().filter_map(|a| a.add.as_ref()).for_each(|add| {
        pending.remove(&add.path);
    });
}

async fn reshape_and_write(
    shared: &Arc<Shared>,
    shape: &Arc<Shape>,
    chunks: &[Chunk],
    retry: &mut Retry<'_>,
) -> Result<Vec<Action>, LakeError> {
    let table = &shared.handle.name;
    let mut moved = chunks.to_vec();
    for chunk in &mut moved {
        chunk.rows = shape.to_body(&chunk.rows).map_err(|e| LakeError::rows(table, e))?;
    }
    write_files(shared, shape, &moved, retry).await
}

/// Encodes the rows, a file per partition, and stores them.
async fn write_files(
    shared: &Arc<Shared>,
    shape: &Arc<Shape>,
    chunks: &[Chunk],
    retry: &mut Retry<'_>,
) -> Result<Vec<Action>, LakeError> {
    let table = shared.handle.name.clone();
    let rows: Vec<RecordBatch> =
        chunks.iter().filter(|c| c.rows.num_rows() > 0).map(|c| c.rows.clone()).collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let shape = shape.clone();
    let encoded = tokio::task::spawn_blocking(move || encode_all(&shape, &rows))
        .await
        .map_err(|e| LakeError::unavailable(&table, e))?
        .map_err(|e| LakeError::rows(&table, e))?;
    let mut actions = Vec::with_capacity(encoded.len());
    for (add, bytes) in encoded {
        shared.pending.lock().insert(add.path.clone());
        while let Err(e) = shared.handle.upload(&add.path, bytes.clone()).await {
            retry.again(e).await;
        }
        let modification_time = shared.now_ms();
        actions.push(Action::from(Add { modification_time, ..add }));
    }
    Ok(actions)
}

type EncodedFile = (Add, bytes::Bytes);

fn encode_all(
    shape: &Shape,
    rows: &[RecordBatch],
) -> Result<Vec<EncodedFile>, Box<dyn std::error::Error + Send + Sync>> {
    let mut parts: BTreeMap<PartitionKey, Vec<RecordBatch>> = BTreeMap::new();
    for batch in rows {
        for (key, part) in shape.split(batch)? {
            parts.entry(key).or_default().push(part);
        }
    }
    let mut files = Vec::with_capacity(parts.len());
    for (key, batches) in parts {
        let encoded = encode(&shape.file, &batches)?;
        let add = Add {
            path: file_path(shape, &key),
            partition_values: shape.values(&key),
            size: encoded.bytes.len() as i64,
            modification_time: 0,
            data_change: true,
            stats: Some(encoded.stats),
        };
        files.push((add, encoded.bytes.into()));
    }
    Ok(files)
}

/// A path that no other file has.
pub(crate) fn file_path(shape: &Shape, key: &PartitionKey) -> String {
    format!("{}part-{}.zstd.parquet", shape.folder(key), Uuid::new_v4())
}

/// Commits until it is done. The commit lock is held.
async fn put_and_publish(shared: &Shared, chunks: &[Chunk], files: &[Action], retry: &mut Retry<'_>) {
    let (before, base) = {
        let inner = shared.inner.lock();
        (inner.settled.clone(), inner.state.version() as i64)
    };
    let mut after = before.clone();
    for chunk in chunks {
        after.offset = chunk.end;
        after.event_time_max = after.event_time_max.max(chunk.event_time_max);
        merge_counts(&mut after.counts, &chunk.counts);
    }
    let mut actions = after.txns_since(&before, shared.now_ms());
    actions.extend(files.iter().cloned());
    let intent = Intent::new("WRITE", actions, shared.now_ms());
    let mut base = base;
    let done = loop {
        match commit(&shared.handle, base, &intent).await {
            Ok(done) => break done,
            Err(e @ LakeError::Conflict { .. }) => {
                // Whatever came between is judged anew behind the log's end.
                retry.again(e).await;
                if let Ok(listing) = log::list(&shared.handle).await {
                    base = listing.commits.last().copied().unwrap_or(base).max(base);
                }
            }
            Err(e) => retry.again(e).await,
        }
    };
    while let Err(e) = publish(shared, done, &after).await {
        retry.again(e).await;
    }
}

/// Commits with a known end: faults of the store are waited out, because a commit whose answer is
/// lost may stand. Only a final error or a conflict returns early.
pub(crate) async fn commit_until_told(
    shared: &Shared,
    base: i64,
    intent: &Intent,
) -> Result<Done, LakeError> {
    let mut retry = Retry::new(shared);
    loop {
        match commit(&shared.handle, base, intent).await {
            Err(e @ LakeError::Unavailable { .. }) => retry.again(e).await,
            told => {
                retry.recovered();
                return told;
            }
        }
    }
}

/// The state behind a commit that stands, however long it takes to load.
pub(crate) async fn refresh_until_told(shared: &Shared) -> DeltaTableState {
    let mut retry = Retry::new(shared);
    loop {
        match shared.handle.refresh(&shared.state()).await {
            Ok(state) => {
                retry.recovered();
                return state;
            }
            Err(e) => retry.again(e).await,
        }
    }
}

pub(crate) fn merge_counts(total: &mut Tally, more: &Tally) {
    more.iter().for_each(|((outcome, source), n)| add(total, *outcome, source, *n));
}

/// Makes a commit the state that queries see, and lets go of the rows it holds.
async fn publish(shared: &Shared, done: Done, after: &Settled) -> Result<(), LakeError> {
    let state = shared.handle.refresh(&shared.state()).await?;
    let settled = match done {
        Done::Committed(_) => after.clone(),
        Done::Superseded(_) => {
            let listing = log::list(&shared.handle).await?;
            Settled::from_txns(&log::transactions(&shared.handle, &listing, None).await?)
        }
    };
    let offset = settled.offset;
    {
        let mut inner = shared.inner.lock();
        inner.state = Arc::new(state);
        inner.tail.drop_until(offset);
        inner.pushed = inner.pushed.max(offset);
        inner.settled = settled;
        inner.health.committed_at = Some(shared.options.clock.now());
        if inner.tail.is_empty() {
            inner.since = None;
        }
    }
    shared.committed.send_replace(offset);
    shared.room.notify_waiters();
    Ok(())
}

/// Waits longer after each failure, and says so in the table's health.
struct Retry<'a> {
    shared: &'a Shared,
    wait: Duration,
}

impl<'a> Retry<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, wait: BACKOFF_MIN }
    }

    async fn again(&mut self, error: LakeError) {
        let table = &self.shared.handle.name;
        tracing::warn!(%table, %error, wait_ms = self.wait.as_millis() as u64, "commit failed; trying again");
        {
            let mut inner = self.shared.inner.lock();
            inner.health.failures += 1;
            inner.health.last_error = Some(error.to_string());
            inner.health.failing_since.get_or_insert_with(|| self.shared.options.clock.now());
        }
        metrics::counter!("bourn_commit_failures_total", "table" => table.to_string()).increment(1);
        let jitter = 0.5 + f64::from(Uuid::new_v4().as_bytes()[0]) / 512.0;
        tokio::time::sleep(self.wait.mul_f64(jitter)).await;
        self.wait = (self.wait * 2).min(BACKOFF_MAX);
    }

    fn recovered(&mut self) {
        let mut inner = self.shared.inner.lock();
        inner.health.failures = 0;
        inner.health.failing_since = None;
        inner.health.last_error = None;
    }
}
