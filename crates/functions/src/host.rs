//! The host of all functions: opened with the pipeline, closed with it, and asked in between.

use crate::call::{Call, checked_context, checked_payload, new_request_id, new_trace};
use crate::folder;
use crate::later::Later;
use crate::logs;
use crate::pool::{Pool, Shared};
use crate::record::Stored;
use crate::rows::{DeadRow, FunctionRow, InvocationRow, LogRow, PendingRow};
use crate::scribe::{Files, Scribe};
use crate::settings::{LATER_PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX, Settings};
use crate::spawn::{Program, Spawner};
use crate::warden::{self, Warden};
use crate::{check, shim};
use async_trait::async_trait;
use bourn_config::{Function, Runtime};
use bourn_event::{Clock, Functions, Invocation, InvokeError, Invoked, Streams};
use bourn_state::{State, StateError, read_book};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How long a process that was killed may take to be gone.
const GONE_WAIT: Duration = Duration::from_secs(5);

/// Why the functions cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("functions cannot use {}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{0}` is not the name of a function: write 1 to 64 letters, digits, `_` and `-`")]
    Name(String),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Runs functions, each in processes of its own.
///
/// Dropping it ends all processes at once; [`Host::close`] lets them finish first.
pub struct Host {
    pools: BTreeMap<String, Arc<Pool>>,
    later: Arc<Later>,
    shared: Arc<Shared>,
    scribe: Mutex<Scribe>,
    warden: Mutex<Option<Warden>>,
    stop: CancellationToken,
    closed: AtomicBool,
}

impl Host {
    /// Opens the functions of a pipeline, and starts what is reserved. Must be called inside a tokio
    /// runtime; the folder of `settings` must be owned by this process.
    pub fn open(
        functions: &BTreeMap<String, Function>,
        settings: Settings,
        state: State,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let fail = |source| OpenError::Io { path: settings.dir.clone(), source };
        if let Some(name) = functions.keys().find(|name| !check::is_name(name)) {
            return Err(OpenError::Name(name.clone()));
        }
        let shims = std::path::absolute(settings.dir.join("runtime")).map_err(fail)?;
        shim::write(&shims).map_err(fail)?;
        let host_mark = warden::host_mark(&settings.dir);
        warden::sweep(&host_mark);
        let warden = match functions.is_empty() {
            true => None,
            false => Some(Warden::start(&host_mark).map_err(fail)?),
        };
        let files = Files::new(&settings.dir).map_err(fail)?;
        let history = Arc::new(logs::history(read_book(&files.history())));
        let runtime = Handle::current();
        let spawner = Spawner::start(runtime.clone()).map_err(fail)?;
        let shared = Shared { settings, clock, spawner, history: history.clone(), host_mark, runtime };
        let shared = Arc::new(shared);
        let mut pools = BTreeMap::new();
        let mut written = Vec::new();
        for (name, function) in functions {
            let log = Arc::new(logs::log(read_book(&files.log(name))));
            written.push((name.clone(), log.clone()));
            let program = Program::new(name, function, &shared.settings, &shims);
            let pool = Pool::new(name, function.clone(), program, log, shared.clone());
            pools.insert(name.clone(), pool);
        }
        let scribe = Scribe::start(&files, written, history)
            .map_err(|source| OpenError::Io { path: shared.settings.dir.clone(), source })?;
        let later = Arc::new(Later::open(state, shared.settings.clone(), &pools)?);
        let stop = CancellationToken::new();
        tokio::spawn(folder::watch(pools.values().cloned().collect(), stop.clone()));
        for pool in pools.values() {
            pool.balance();
        }
        let (scribe, warden) = (Mutex::new(scribe), Mutex::new(warden));
        let closed = AtomicBool::new(false);
        Ok(Arc::new(Self { pools, later, shared, scribe, warden, stop, closed }))
    }

    /// Begins to make asynchronous invocations, also those of earlier runs. `streams` takes what is given up.
    pub fn start(&self, streams: Arc<dyn Streams>) {
        self.later.start(streams);
    }

    /// Takes no more invocations, lets those that run finish for `grace`, and ends all processes.
    /// Asynchronous ones that are not settled are made at the next start.
    pub async fn close(&self, grace: Duration) {
        self.closed.store(true, Ordering::Release);
        self.later.stop();
        self.stop.cancel();
        for pool in self.pools.values() {
            pool.close();
        }
        let quiet = self.wait_until(|pool| pool.roster.lock().is_quiet());
        let _ = tokio::time::timeout(grace, quiet).await;
        for pool in self.pools.values() {
            pool.cut();
        }
        let gone = self.wait_until(|pool| !pool.roster.lock().has_processes());
        let _ = tokio::time::timeout(GONE_WAIT, gone).await;
        let warden = self.warden.lock().take();
        let mark = self.shared.host_mark.clone();
        let swept = tokio::task::spawn_blocking(move || {
            warden::sweep(&mark);
            if let Some(warden) = warden {
                warden.dismiss();
            }
        });
        let _ = swept.await;
        self.scribe.lock().stop();
    }

    async fn wait_until(&self, test: impl Fn(&Pool) -> bool) {
        for pool in self.pools.values() {
            loop {
                let mut changed = std::pin::pin!(pool.changed.notified());
                changed.as_mut().enable();
                if test(pool) {
                    break;
                }
                changed.await;
            }
        }
    }

    /// All functions, by name.
    pub fn functions(&self) -> Vec<FunctionRow> {
        self.pools.values().map(|pool| self.function(pool)).collect()
    }

    fn function(&self, pool: &Pool) -> FunctionRow {
        let (function, census, meter) = (&pool.function, pool.census(), &pool.meter);
        FunctionRow {
            name: pool.name.to_string(),
            runtime: runtime_name(function.runtime),
            memory_bytes: function.memory.0,
            timeout_ms: u64::try_from(function.timeout.0.as_millis()).unwrap_or(u64::MAX),
            concurrency_max: function.concurrency.max.into(),
            concurrency_reserved: function.concurrency.reserved.into(),
            processes: census.alive as u64,
            busy: census.busy as u64,
            idle: census.idle as u64,
            waiting: census.waiting as u64,
            pending: self.later.count(&pool.name),
            invocations: meter.invocations.get(),
            errors: meter.errors.get(),
            throttles: meter.throttles.get(),
            cold_starts: meter.cold_starts.get(),
        }
    }

    /// The newest invocations, the oldest of them first.
    pub fn invocations(&self) -> Vec<Arc<InvocationRow>> {
        self.shared.history.rows()
    }

    /// The newest lines of one function's log, or of all, by time.
    pub fn logs(&self, function: Option<&str>) -> Vec<Arc<LogRow>> {
        let wanted = self.pools.values().filter(|pool| function.is_none_or(|name| *pool.name == *name));
        let mut rows: Vec<_> = wanted.flat_map(|pool| pool.log.rows()).collect();
        rows.sort_by_key(|row| row.at);
        rows
    }

    /// Asynchronous invocations that wait, at most `limit`.
    pub fn pending(&self, limit: usize) -> Vec<PendingRow> {
        self.later.pending(limit)
    }

    /// Asynchronous invocations that were given up and are kept, at most `limit`. Reads the state.
    pub fn dead_letters(&self, limit: usize) -> Result<Vec<DeadRow>, StateError> {
        self.later.dead(limit)
    }

    /// Forgets a dead letter. False if there is none.
    pub async fn forget_dead_letter(&self, function: &str, sequence: u64) -> Result<bool, String> {
        self.later.forget(function, sequence).await
    }

    /// Makes a dead letter's invocation again, with all its retries. False if there is none.
    pub async fn retry_dead_letter(&self, function: &str, sequence: u64) -> Result<bool, String> {
        let fresh = Stored::new(RawValue::NULL.to_owned(), None, None, self.shared.clock.now());
        self.later.again(function, sequence, fresh).await
    }

    fn pool(&self, function: &str) -> Result<&Arc<Pool>, InvokeError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(InvokeError::Closed);
        }
        self.pools.get(function).ok_or_else(|| InvokeError::NotFound(function.to_owned()))
    }
}

/// As settings write it.
pub(crate) fn runtime_name(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Provided => "provided",
        Runtime::Python3 => "python3",
        Runtime::Nodejs => "nodejs",
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.later.stop();
        self.stop.cancel();
        for pool in self.pools.values() {
            pool.cut();
        }
    }
}

#[async_trait]
impl Functions for Host {
    async fn invoke(&self, call: Invocation) -> Result<Invoked, InvokeError> {
        let pool = self.pool(&call.function)?;
        let (answer, answered) = oneshot::channel();
        pool.submit(Call {
            request_id: call.request_id.unwrap_or_else(new_request_id).into(),
            payload: checked_payload(call.payload, PAYLOAD_BYTES_MAX)?,
            client_context: checked_context(call.client_context)?,
            trace: call.trace.unwrap_or_else(|| new_trace(self.shared.clock.now())),
            wants_log: call.wants_log,
            attempt: 0,
            answer,
        })?;
        answered.await.unwrap_or(Err(InvokeError::Closed))
    }

    async fn invoke_later(&self, call: Invocation) -> Result<String, InvokeError> {
        self.pool(&call.function)?;
        let payload = checked_payload(call.payload, LATER_PAYLOAD_BYTES_MAX)?;
        let invalid = |error: &dyn std::fmt::Display| InvokeError::Invalid(error.to_string());
        let text = String::from_utf8(payload.into()).map_err(|error| invalid(&error))?;
        let payload = RawValue::from_string(text).map_err(|error| invalid(&error))?;
        let context = checked_context(call.client_context)?;
        let mut stored = Stored::new(payload, context, call.trace, self.shared.clock.now());
        if let Some(request_id) = call.request_id {
            stored.request_id = request_id.into();
        }
        let request_id = stored.request_id.to_string();
        self.later.take(&call.function, stored).await?;
        Ok(request_id)
    }

    fn names(&self) -> Vec<String> {
        self.pools.keys().cloned().collect()
    }
}
