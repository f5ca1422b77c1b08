//! The pipeline while it runs: every step, joined on one screen.

use crate::admin::PipelineAdmin;
use crate::catalog::{self, Tables};
use crate::cli::Stop;
use crate::compute::{self, Compute};
use crate::definition::Definition;
use crate::facts::RunningFacts;
use crate::files::{self, FileTasks};
use crate::layout::LogKind;
use crate::ledger::Snapshot;
use crate::metrics;
use crate::outside::Reach;
use crate::reading::unknown_stream;
use crate::resolved::{Gone, Resolved};
use crate::stream::{RefineLoop, StreamRuntime};
use crate::table::Silver;
use anyhow::{Context, Result};
use bourn_config::Source;
use bourn_event::{Clock, JobDone, Ledger, Log, SystemClock};
use bourn_functions::Host;
use bourn_ingest::{StreamOptions, StreamPort};
use bourn_lake::{CompactionReport, Lake, Table};
use bourn_schedule::UPKEEP;
use bourn_sql::Engine;
use bourn_state::{Durability, Key, OwnerLock, State};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often logs, tables and lookups are looked after.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);

/// How often old executions are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// How long a request with `ack=visible` waits for the tables.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A pipeline that this process owns.
pub struct Pipeline {
    pub definition: Arc<Definition>,
    pub clock: Arc<dyn Clock>,
    pub state: Arc<State>,
    pub lake: Arc<Lake>,
    pub streams: BTreeMap<String, Arc<StreamRuntime>>,
    pub ports: Arc<BTreeMap<String, Arc<StreamPort>>>,
    pub engine: Arc<Engine>,
    pub functions: Arc<Host>,
    /// Workflows, schedules and triggers; opened when they are first needed.
    compute: tokio::sync::OnceCell<Arc<Compute>>,
    /// What the streams' steps call.
    pub outside: Arc<Reach>,
    /// Held by a replay, of a table or of rejects: one at a time.
    pub jobs: tokio::sync::Mutex<()>,
    lock: Mutex<OwnerLock>,
    loops: Mutex<Vec<(Arc<StreamRuntime>, RefineLoop)>>,
}

impl Pipeline {
    /// Takes ownership of the folder and opens every stream where it left off.
    pub async fn open(definition: Definition) -> Result<Arc<Self>, Stop> {
        // Before anything is opened: whoever counts takes hold of its counters then.
        metrics::install()?;
        let layout = definition.layout.clone();
        std::fs::create_dir_all(&layout.state)
            .with_context(|| format!("cannot make {}", layout.state.display()))?;
        let lock = match OwnerLock::acquire(&layout.state, &SystemClock) {
            Ok(lock) => lock,
            Err(error) => return Err(Stop::Held(error.to_string())),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let state = Arc::new(State::open(layout.store())?);
        let lake = Lake::open(&definition.loaded.pipeline.storage, &definition.loaded.dir)?;
        let resolved = Arc::new(Resolved::open(state.clone(), definition.streams.keys().cloned())?);
        let functions = compute::open_functions(&definition, &state, &clock)?;
        let outside = Reach::open(&definition, &clock)?;
        outside.connect(functions.clone());
        let (mut streams, mut ports, mut loops) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (name, stream) in &definition.streams {
            let (runtime, refine) =
                StreamRuntime::open(stream, &layout, &lake, resolved.clone(), &clock, outside.clone())
                    .await?;
            ports.insert(name.clone(), port(&runtime, stream, &clock));
            loops.push((runtime.clone(), refine));
            streams.insert(name.clone(), runtime);
        }
        let tables = Tables {
            silver: streams
                .iter()
                .map(|(name, stream)| (name.clone(), Silver::Open(stream.table.clone())))
                .collect(),
            bronze: streams
                .iter()
                .filter_map(|(name, stream)| Some((name.clone(), Silver::Open(stream.bronze.clone()?))))
                .collect(),
            gone: {
                let streams = streams.clone();
                Arc::new(move |name: &str| {
                    streams.get(name).map_or_else(Gone::default, |stream| stream.gone())
                })
            },
            facts: Arc::new(RunningFacts { streams: streams.clone() }),
        };
        let engine = catalog::engine(&definition, &tables)?;
        Ok(Arc::new(Self {
            definition: Arc::new(definition),
            clock,
            state,
            lake,
            streams,
            ports: Arc::new(ports),
            engine,
            functions,
            compute: tokio::sync::OnceCell::new(),
            outside,
            jobs: tokio::sync::Mutex::new(()),
            lock: Mutex::new(lock),
            loops: Mutex::new(loops),
        }))
    }

    /// Says to other processes where this one serves.
    pub fn publish(
        &self,
        http: Option<std::net::SocketAddr>,
        pg: Option<std::net::SocketAddr>,
    ) -> Result<()> {
        let text = |address: std::net::SocketAddr| address.to_string();
        Ok(self.lock.lock().publish(http.map(text), pg.map(text))?)
    }

    /// What stands beside the route.
    pub async fn compute(self: &Arc<Self>) -> Result<&Arc<Compute>> {
        self.compute.get_or_try_init(|| Compute::open(self)).await
    }

    /// The same, if anybody needed it yet.
    pub fn compute_if_open(&self) -> Option<&Arc<Compute>> {
        self.compute.get()
    }

    /// The part of the pipeline that answers admin calls.
    pub fn admin(self: &Arc<Self>) -> Arc<PipelineAdmin> {
        Arc::new(PipelineAdmin::new(self.clone()))
    }

    /// Starts reading the file sources.
    pub fn start_files(self: &Arc<Self>, cancel: &CancellationToken, once: bool) -> Result<FileTasks> {
        files::start(self, cancel, once)
    }

    /// Rotation, retention, compaction and reloading, until cancelled.
    pub async fn maintain(self: Arc<Self>, cancel: CancellationToken) {
        let mut swept = Instant::now();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(MAINTAIN_EVERY) => {}
            }
            for reloaded in self.definition.lookups.reload_changed() {
                match reloaded.error {
                    None => tracing::info!(lookup = reloaded.name, rows = reloaded.rows, "read again"),
                    Some(error) => tracing::warn!(lookup = reloaded.name, "keeping the old rows: {error}"),
                }
            }
            if let Some(compute) = self.compute.get()
                && swept.elapsed() >= SWEEP_EVERY
            {
                compute.sweep().await;
                swept = Instant::now();
            }
            for stream in self.streams.values() {
                stream.gauge_lag();
                stream.maintain_logs().await;
                self.maintain_table(&stream.name, &stream.table).await;
                if let Some(bronze) = &stream.bronze {
                    self.maintain_table(&stream.name, bronze).await;
                }
                if let Err(error) = self.archive(stream).await {
                    tracing::warn!(stream = stream.name, "the raw zone's copy has to wait: {error:#}");
                }
            }
        }
    }

    /// What is due of compaction, retention, checkpoints and vacuum; a run if it changed anything.
    async fn maintain_table(&self, stream: &str, table: &Table) {
        let work = async {
            match table.maintain().await {
                None => Ok(JobDone::default()),
                Some(CompactionReport { error: Some(error), .. }) => Err(error),
                Some(report) => Ok(JobDone {
                    rows: None,
                    detail: serde_json::json!({
                        "files_merged": report.files_before,
                        "files_expired": report.expired_files,
                        "files_vacuumed": report.vacuumed_files,
                    }),
                }),
            }
        };
        // A failure is in the log and in `system.compactions` already.
        let _ = match self.compute.get() {
            Some(compute) => compute.runs.record(UPKEEP, "maintain", Some(stream), work).await,
            None => work.await,
        };
    }

    /// Copies finished segments to the raw zone, where that is an object store.
    async fn archive(&self, stream: &StreamRuntime) -> Result<()> {
        if !self.definition.layout.is_remote() {
            return Ok(());
        }
        let root = self.definition.layout.sealed(&stream.name, LogKind::Events);
        for segment in stream.events.stats().segments.into_iter().filter(|segment| segment.sealed) {
            let key = Key::LakeUpload { stream: stream.name.clone(), first_offset: segment.first_offset };
            if self.state.contains(&key)? {
                continue;
            }
            let path = segment.path.strip_prefix(&root).context("a sealed segment lies elsewhere")?;
            let folder = format!("raw/{}", stream.name);
            self.lake.archive(&segment.path, &folder, &path.to_string_lossy()).await?;
            self.state.put(&key, &segment.end, Durability::Synced)?;
        }
        Ok(())
    }

    /// Is every stream's loop alive?
    pub fn stopped_streams(&self) -> Vec<String> {
        let loops = self.loops.lock();
        loops
            .iter()
            .filter(|(_, refine)| refine.is_finished())
            .map(|(stream, _)| stream.name.clone())
            .collect()
    }

    /// The ledgers of all streams, at this moment.
    pub fn ledgers(&self) -> BTreeMap<String, Ledger> {
        self.streams.iter().map(|(name, stream)| (name.clone(), stream.snapshot().ledger())).collect()
    }

    /// The ports of the streams that take events over HTTP.
    pub fn http_ports(&self) -> Arc<BTreeMap<String, Arc<StreamPort>>> {
        let takes_http = |name: &str| {
            let sources = self.definition.streams.get(name).map(|stream| &stream.settings.sources);
            sources.into_iter().flatten().any(|source| matches!(source, Source::Http(_)))
        };
        let ports = self.ports.iter().filter(|(name, _)| takes_http(name));
        Arc::new(ports.map(|(name, port)| (name.clone(), port.clone())).collect())
    }

    pub fn stream(&self, name: &str) -> Result<&Arc<StreamRuntime>> {
        self.streams.get(name).ok_or_else(|| unknown_stream(self.streams.keys(), name))
    }

    /// Waits until all that is in the logs is in the tables.
    pub async fn settle(&self) -> Result<()> {
        for stream in self.streams.values() {
            let end = stream.events.end();
            let mut visible = stream.table.visible();
            visible.wait_for(|offset| *offset >= end).await.context("the table closed")?;
            stream.table.flush().await?;
            if let Some(bronze) = &stream.bronze {
                bronze.flush().await?;
            }
        }
        Ok(())
    }

    /// Drains and closes every stream, and what stands beside them.
    pub async fn close(&self) -> Result<()> {
        if let Some(compute) = self.compute.get() {
            compute.close().await;
        }
        let closed = self.close_streams().await;
        compute::close_functions(&self.functions).await;
        closed
    }

    async fn close_streams(&self) -> Result<()> {
        let loops = std::mem::take(&mut *self.loops.lock());
        self.outside.close();
        for (stream, refine) in loops {
            stream
                .close(refine)
                .await
                .with_context(|| format!("stream {} did not close cleanly", stream.name))?;
        }
        Ok(())
    }
}

impl StreamRuntime {
    /// What hides its rejects.
    pub fn gone(&self) -> Gone {
        Gone::of(&self.resolved.of(&self.name), &self.table.committed())
    }

    /// How far the tables are behind the log: `bourn_queue_lag_*`.
    fn gauge_lag(&self) {
        let stats = self.events.stats();
        let lag = |offset: u64| stats.end.saturating_sub(offset) as f64;
        let gauge = |name: &'static str, value: f64| {
            ::metrics::gauge!(name, "stream" => self.name.clone()).set(value);
        };
        gauge("bourn_queue_lag_bytes", stats.behind_bytes as f64);
        gauge("bourn_queue_lag_visible_events", lag(*self.table.visible().borrow()));
        gauge("bourn_queue_lag_committed_events", lag(self.table.committed().offset));
    }

    /// Rotation and retention. What fails is tried again at the next turn.
    async fn maintain_logs(&self) {
        for log in [&self.events, &self.rejects, &self.outcomes] {
            let log = log.clone();
            match tokio::task::spawn_blocking(move || log.maintain()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(stream = self.name, "the log's upkeep has to wait: {error}"),
                Err(error) => tracing::error!(stream = self.name, "the log's upkeep panicked: {error}"),
            }
        }
    }

    /// The counters of this moment.
    pub fn snapshot(&self) -> Snapshot {
        let committed = self.table.committed();
        let resolved = self.resolved.of(&self.name);
        let rejects = self.rejects.stats();
        let events = self.events.stats();
        Snapshot {
            committed,
            resolved,
            rejects_end: rejects.end,
            rejects: rejects.received,
            events_end: events.end,
            events: events.received,
        }
    }
}

fn port(
    stream: &Arc<StreamRuntime>,
    definition: &crate::definition::StreamDefinition,
    clock: &Arc<dyn Clock>,
) -> Arc<StreamPort> {
    Arc::new(StreamPort::new(StreamOptions {
        name: stream.name.clone(),
        schema: Arc::new(stream.schema.clone()),
        log: stream.events.clone(),
        rejects: stream.rejects.clone(),
        visible: stream.table.visible(),
        visible_timeout: VISIBLE_TIMEOUT,
        max_event: definition.settings.max_event.bytes(),
        max_reject: definition.settings.max_reject.bytes(),
        clock: clock.clone(),
    }))
}
