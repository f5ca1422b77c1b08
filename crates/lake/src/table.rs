//! A table that a stream writes: rows are visible when pushed, durable when committed.
//!
//! Invariants: the rows of the Delta state and those of the tail together hold every offset below
//! `pushed` at most once (G3); both are read under one lock, so that a query sees them cut at one
//! offset. Absent on purpose: updates and deletes of single rows.

use crate::LakeError;
use crate::actions::Settled;
use crate::committer;
use crate::files::{DataFile, data_files};
use crate::handle::Handle;
use crate::log::{self, Commit};
use crate::options::{BeforeCommit, Committed, CompactionReport, Health, TableOptions};
use crate::provider::{LakeProvider, Source};
use crate::shape::Shape;
use crate::tail::{Chunk, Tail};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bourn_event::{Micros, Offset, Refined};
use datafusion::catalog::TableProvider;
use deltalake_core::table::state::DeltaTableState;
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Notify, watch};

/// Reports that are kept for `system.compactions`.
const REPORTS_KEPT: usize = 100;

/// One table of the lake. See the module's invariants.
pub struct Table {
    pub(crate) shared: Arc<Shared>,
    committer: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// What the writer, the committer, maintenance and queries share.
pub(crate) struct Shared {
    pub handle: Handle,
    pub options: TableOptions,
    pub inner: Mutex<Inner>,
    /// Held while a commit of this process is put and published.
    pub commit_lock: tokio::sync::Mutex<()>,
    /// Held by maintenance and replay, which remove files. One for the whole lake.
    pub maintenance: Arc<tokio::sync::Mutex<()>>,
    pub before_commit: Mutex<Option<Arc<BeforeCommit>>>,
    pub visible: watch::Sender<Offset>,
    pub committed: watch::Sender<Offset>,
    /// Something to commit, a flush, or the end.
    pub wake: Notify,
    /// The tail became smaller.
    pub room: Notify,
    /// Files that are stored but in no commit yet: not to be vacuumed.
    pub pending: Mutex<HashSet<String>>,
    pub reports: Mutex<VecDeque<CompactionReport>>,
    pub maintained: Mutex<Maintained>,
}

/// When maintenance last did what.
#[derive(Debug, Default)]
pub(crate) struct Maintained {
    pub at: Option<Micros>,
    pub vacuumed_at: Option<Micros>,
    pub checkpoint: i64,
}

pub(crate) struct Inner {
    pub state: Arc<DeltaTableState>,
    pub shape: Arc<Shape>,
    pub settled: Settled,
    pub tail: Tail,
    pub pushed: Offset,
    /// When the oldest uncommitted chunk came.
    pub since: Option<Instant>,
    /// Commit at once up to here.
    pub flush_to: Offset,
    pub closing: bool,
    pub health: Health,
}

impl Shared {
    pub fn committed(&self) -> Committed {
        let inner = self.inner.lock();
        Committed {
            offset: inner.settled.offset,
            counts: inner.settled.counts.clone(),
            expired: inner.settled.expired.clone(),
            event_time_max: inner.settled.event_time_max,
            replays: inner.settled.replays.clone(),
            version: inner.state.version() as i64,
        }
    }

    pub fn now_ms(&self) -> i64 {
        self.options.clock.now().div_euclid(1000)
    }

    pub fn shape(&self) -> Arc<Shape> {
        self.inner.lock().shape.clone()
    }

    pub fn state(&self) -> Arc<DeltaTableState> {
        self.inner.lock().state.clone()
    }

    pub fn keep_report(&self, report: CompactionReport) {
        let mut reports = self.reports.lock();
        reports.push_back(report);
        while reports.len() > REPORTS_KEPT {
            reports.pop_front();
        }
    }
}

impl Source for Shared {
    fn cut(&self) -> (Arc<DeltaTableState>, Arc<Shape>, Vec<RecordBatch>) {
        let inner = self.inner.lock();
        (inner.state.clone(), inner.shape.clone(), inner.tail.batches())
    }

    fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Table {
    pub(crate) fn start(shared: Shared) -> Arc<Self> {
        let shared = Arc::new(shared);
        let task = tokio::spawn(committer::run(shared.clone()));
        Arc::new(Self { shared, committer: Mutex::new(Some(task)) })
    }

    pub fn name(&self) -> &str {
        &self.shared.handle.name
    }

    /// The table's columns as a query sees them.
    pub fn schema(&self) -> SchemaRef {
        self.shared.shape().table.clone()
    }

    pub fn committed(&self) -> Committed {
        self.shared.committed()
    }

    pub fn health(&self) -> Health {
        let inner = self.shared.inner.lock();
        let mut health = inner.health.clone();
        health.uncommitted_rows = inner.tail.rows() as u64;
        health.uncommitted_bytes = inner.tail.bytes() as u64;
        health
    }

    /// The offset behind the last visible event.
    pub fn visible(&self) -> watch::Receiver<Offset> {
        self.shared.visible.subscribe()
    }

    /// The offset behind the last committed event.
    pub fn committed_offset(&self) -> watch::Receiver<Offset> {
        self.shared.committed.subscribe()
    }

    /// Sets what has to be done before each commit.
    pub fn set_before_commit(&self, hook: BeforeCommit) {
        *self.shared.before_commit.lock() = Some(Arc::new(hook));
    }

    /// Takes the next run of settled events; its rows are visible when this returns. Events that
    /// were pushed before are passed over. Waits while the uncommitted rows take more than twice
    /// `commit.bytes` (G8). Errors: [`LakeError::Gap`], [`LakeError::Rows`], [`LakeError::Closed`].
    pub async fn push(&self, refined: Refined) -> Result<(), LakeError> {
        let shared = &self.shared;
        let limit = shared.options.commit.bytes.bytes().saturating_mul(2);
        loop {
            let room = shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            {
                let inner = shared.inner.lock();
                if inner.tail.is_empty() || inner.tail.bytes() < limit || inner.closing {
                    break;
                }
            }
            room.await;
        }
        let end = self.take(&refined)?;
        shared.visible.send_if_modified(|visible| std::mem::replace(visible, end.max(*visible)) < end);
        Ok(())
    }

    fn take(&self, refined: &Refined) -> Result<Offset, LakeError> {
        let shared = &self.shared;
        let table = &shared.handle.name;
        let shape = shared.shape();
        let mut body = shape.to_body(&refined.rows).map_err(|e| LakeError::rows(table, e))?;
        let mut inner = shared.inner.lock();
        if inner.closing {
            return Err(LakeError::Closed { table: table.to_string() });
        }
        if refined.end <= inner.pushed {
            return Ok(inner.pushed);
        }
        if refined.first_offset != inner.pushed {
            let (expected, got) = (inner.pushed, refined.first_offset);
            return Err(LakeError::Gap { table: table.to_string(), expected, got });
        }
        if !Arc::ptr_eq(&inner.shape, &shape) {
            body = inner.shape.to_body(&refined.rows).map_err(|e| LakeError::rows(table, e))?;
        }
        let was_empty = inner.tail.is_empty();
        inner.tail.push(Chunk::new(refined, body)).map_err(|e| LakeError::rows(table, e))?;
        inner.pushed = refined.end;
        inner.since.get_or_insert_with(Instant::now);
        let due = was_empty || inner.tail.bytes() >= shared.options.commit.bytes.bytes();
        drop(inner);
        if due {
            shared.wake.notify_one();
        }
        Ok(refined.end)
    }

    /// Commits what was pushed before the call and waits for it, through any fault of the store.
    pub async fn flush(&self) -> Result<(), LakeError> {
        let closed = || LakeError::Closed { table: self.name().into() };
        let mut committed = self.shared.committed.subscribe();
        let target = {
            let mut inner = self.shared.inner.lock();
            inner.flush_to = inner.flush_to.max(inner.pushed);
            inner.pushed
        };
        self.shared.wake.notify_one();
        if *committed.borrow() < target && self.committer.lock().is_none() {
            return Err(closed());
        }
        committed.wait_for(|offset| *offset >= target).await.map_err(|_| closed())?;
        Ok(())
    }

    /// Flushes, then stops. Later pushes are refused.
    pub async fn close(&self) -> Result<(), LakeError> {
        self.shared.inner.lock().closing = true;
        self.shared.room.notify_waiters();
        self.flush().await?;
        self.stop().await;
        Ok(())
    }

    /// Stops at once, leaving uncommitted rows to be pushed again after a restart.
    pub async fn stop(&self) {
        self.shared.inner.lock().closing = true;
        self.shared.room.notify_waiters();
        let task = self.committer.lock().take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }

    /// A provider over the committed rows and the tail. Its columns are those of now: get a new
    /// one for every query.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        let source: Arc<dyn Source> = self.shared.clone();
        Arc::new(LakeProvider::new(source))
    }

    /// The committed rows at a Delta version.
    pub async fn provider_at_version(&self, version: i64) -> Result<Arc<dyn TableProvider>, LakeError> {
        LakeProvider::at_version(&self.shared.handle, version).await
    }

    /// The committed rows at a moment.
    pub async fn provider_at_time(&self, at: Micros) -> Result<Arc<dyn TableProvider>, LakeError> {
        let version = log::version_at(&self.shared.handle, at.div_euclid(1000)).await?;
        self.provider_at_version(version).await
    }

    /// The newest `limit` commits, newest first.
    pub async fn history(&self, limit: usize) -> Result<Vec<Commit>, LakeError> {
        log::history(&self.shared.handle, limit).await
    }

    /// The data files of the committed state.
    pub fn files(&self) -> Vec<DataFile> {
        data_files(&self.shared.state())
    }

    /// What maintenance did lately, oldest first.
    pub fn reports(&self) -> Vec<CompactionReport> {
        self.shared.reports.lock().iter().cloned().collect()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if let Some(task) = self.committer.lock().take() {
            task.abort();
        }
    }
}
