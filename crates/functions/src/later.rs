//! Asynchronous invocations: durable before they are answered, made in the order of arrival, retried,
//! and in the end delivered somewhere or kept.
//!
//! The state holds each until it is settled; the memory only when it is due. After a crash all that is
//! not settled is made again, under the same request id.

use crate::call::Call;
use crate::pool::Pool;
use crate::record::{Condition, LastError, NO_PAYLOAD, Stored, record};
use crate::rows::{DeadRow, PendingRow};
use crate::settings::{PENDING_MAX, Settings};
use crate::writer::Writer;
use bourn_config::Destination;
use bourn_event::{FunctionError, InvokeError, Invoked, Micros, SendError, Sending, Streams, micros};
use bourn_state::{Durability, Key, KeyKind, Scope, State, StateError};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// A pump that has nothing due looks again after this at the latest: clocks can be set.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The asynchronous invocations of all functions.
pub(crate) struct Later {
    state: State,
    writer: Writer,
    settings: Settings,
    sequence: AtomicU64,
    queues: BTreeMap<String, Queue>,
    streams: OnceLock<Arc<dyn Streams>>,
    stop: CancellationToken,
}

struct Queue {
    pool: Arc<Pool>,
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Default)]
struct Inner {
    /// When each is due, and its sequence.
    due: BTreeSet<(Micros, u64)>,
    running: usize,
}

impl Later {
    /// Finds what is not settled yet.
    pub fn open(
        state: State,
        settings: Settings,
        pools: &BTreeMap<String, Arc<Pool>>,
    ) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Due {
            due_at: Micros,
        }
        let queue =
            |pool: &Arc<Pool>| Queue { pool: pool.clone(), inner: Mutex::default(), wake: Notify::new() };
        let queues: BTreeMap<_, _> = pools.iter().map(|(name, pool)| (name.clone(), queue(pool))).collect();
        let mut last = 0;
        let mut orphans = BTreeMap::<String, u64>::new();
        for item in state.scan::<Due>(Scope::all(KeyKind::PendingInvocation)) {
            let (Key::PendingInvocation { function, sequence }, Due { due_at }) = item? else { continue };
            last = last.max(sequence);
            match queues.get(&function) {
                Some(queue) => {
                    queue.inner.lock().due.insert((due_at, sequence));
                }
                None => *orphans.entry(function).or_default() += 1,
            }
        }
        for item in state.scan::<serde::de::IgnoredAny>(Scope::all(KeyKind::DeadInvocation)) {
            if let (Key::DeadInvocation { sequence, .. }, _) = item? {
                last = last.max(sequence);
            }
        }
        for (function, count) in orphans {
            tracing::warn!(
                "{count} asynchronous invocations of function {function} wait for it to be defined again"
            );
        }
        let writer = Writer::start(state.clone())
            .map_err(|source| StateError::Io { dir: state.dir().to_path_buf(), source })?;
        let (streams, stop) = (OnceLock::new(), CancellationToken::new());
        Ok(Self { state, writer, settings, sequence: AtomicU64::new(last + 1), queues, streams, stop })
    }

    /// Begins to make them. `streams` takes what is given up.
    pub fn start(self: &Arc<Self>, streams: Arc<dyn Streams>) {
        if self.streams.set(streams).is_err() {
            return;
        }
        for name in self.queues.keys() {
            tokio::spawn(self.clone().pump(name.clone()));
        }
    }

    /// Begins no more of them.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Takes an invocation; resolves once it is durable.
    pub async fn take(&self, function: &str, stored: Stored) -> Result<(), InvokeError> {
        let unavailable = |why| InvokeError::Unavailable { function: function.to_owned(), why };
        let queue = self.queues.get(function).ok_or_else(|| InvokeError::NotFound(function.to_owned()))?;
        if queue.inner.lock().due.len() >= PENDING_MAX {
            return Err(unavailable(format!("{PENDING_MAX} asynchronous invocations of it wait already")));
        }
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let due_at = stored.due_at;
        let value = raw(&stored).map_err(unavailable)?;
        let key = Key::PendingInvocation { function: function.to_owned(), sequence };
        self.writer.write(vec![(key, Some(value))], Durability::Synced).await.map_err(unavailable)?;
        queue.add(due_at, sequence);
        Ok(())
    }

    /// How many of a function's are not settled.
    pub fn count(&self, function: &str) -> u64 {
        let Some(queue) = self.queues.get(function) else { return 0 };
        let inner = queue.inner.lock();
        (inner.due.len() + inner.running) as u64
    }

    /// Those that wait, by function and time, at most `limit`.
    pub fn pending(&self, limit: usize) -> Vec<PendingRow> {
        let mut rows = Vec::new();
        for (function, queue) in &self.queues {
            let inner = queue.inner.lock();
            rows.extend(inner.due.iter().take(limit - rows.len()).map(|(due_at, sequence)| PendingRow {
                function: function.clone(),
                sequence: *sequence,
                due_at: *due_at,
            }));
        }
        rows
    }

    /// The dead letters, at most `limit`.
    pub fn dead(&self, limit: usize) -> Result<Vec<DeadRow>, StateError> {
        let mut rows = Vec::new();
        for item in self.state.scan(Scope::all(KeyKind::DeadInvocation)).take(limit) {
            if let (Key::DeadInvocation { function, sequence }, record) = item? {
                rows.push(DeadRow { function, sequence, record });
            }
        }
        Ok(rows)
    }

    /// Forgets a dead letter. False if there is none.
    pub async fn forget(&self, function: &str, sequence: u64) -> Result<bool, String> {
        let key = Key::DeadInvocation { function: function.to_owned(), sequence };
        if !self.state.contains(&key).map_err(|error| error.to_string())? {
            return Ok(false);
        }
        self.writer.write(vec![(key, None)], Durability::Synced).await.map(|()| true)
    }

    /// Makes a dead letter's invocation again, under a new request id. False if there is none.
    pub async fn again(&self, function: &str, sequence: u64, fresh: Stored) -> Result<bool, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Dead {
            request_payload: Option<Box<RawValue>>,
        }
        let key = Key::DeadInvocation { function: function.to_owned(), sequence };
        let Some(dead) = self.state.get::<Dead>(&key).map_err(|error| error.to_string())? else {
            return Ok(false);
        };
        let queue = self.queues.get(function).ok_or_else(|| format!("there is no function `{function}`"))?;
        let stored = Stored { payload: dead.request_payload.ok_or(NO_PAYLOAD)?, ..fresh };
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let due_at = stored.due_at;
        let pending = Key::PendingInvocation { function: function.to_owned(), sequence };
        let writes = vec![(key, None), (pending, Some(raw(&stored)?))];
        self.writer.write(writes, Durability::Synced).await?;
        queue.add(due_at, sequence);
        Ok(true)
    }

    async fn pump(self: Arc<Self>, function: String) {
        let Some(queue) = self.queues.get(&function) else { return };
        loop {
            let (due, wait) = queue.take_due(queue.pool.shared.clock.now());
            for sequence in due {
                tokio::spawn(self.clone().attempt(function.clone(), sequence));
            }
            queue.pool.meter.pending.set(self.count(&function) as f64);
            tokio::select! {
                () = queue.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn attempt(self: Arc<Self>, function: String, sequence: u64) {
        let Some(queue) = self.queues.get(&function) else { return };
        let key = Key::PendingInvocation { function: function.clone(), sequence };
        match self.state.get::<Stored>(&key) {
            Ok(Some(stored)) => {
                let next = self.advance(queue, &key, stored).await;
                let mut inner = queue.inner.lock();
                inner.running -= 1;
                if let Some(due_at) = next {
                    inner.due.insert((due_at, sequence));
                }
            }
            Ok(None) => queue.inner.lock().running -= 1,
            Err(error) => {
                // It stays in the state, for a time when it can be read.
                tracing::error!("function {function}: an asynchronous invocation cannot be read: {error}");
                queue.inner.lock().running -= 1;
            }
        }
        queue.wake.notify_one();
    }

    /// One step of one invocation. Gives when the next is due; `None` if it is settled, or left for the
    /// next start.
    async fn advance(&self, queue: &Queue, key: &Key, mut stored: Stored) -> Option<Micros> {
        let pool = &queue.pool;
        let now = pool.shared.clock.now();
        if stored.given_up.is_none() && now - stored.accepted_at > pool.function.max_age.micros() {
            stored.given_up = Some(Condition::EventAgeExceeded);
        }
        if stored.given_up.is_none() {
            match invoke(pool, &stored).await {
                Ok(Invoked { error: None, .. }) => {
                    self.put(key, None).await;
                    return None;
                }
                Ok(Invoked { error: Some(error), payload, .. }) => {
                    self.failed(pool, &mut stored, error, &payload);
                }
                Err(InvokeError::Closed) => return None,
                Err(error) => {
                    if !error.is_retryable() {
                        tracing::warn!("function {}: {error}", pool.name);
                    }
                    stored.due_at = self.later(pool, &mut stored.throttles);
                }
            }
        }
        if let Some(condition) = stored.given_up
            && self.deliver(pool, key, &stored, condition).await
        {
            return None;
        }
        if stored.given_up.is_some() {
            stored.due_at = self.later(pool, &mut stored.throttles);
        }
        let value = raw(&stored).ok();
        if value.is_some() {
            self.put(key, value).await;
        }
        Some(stored.due_at)
    }

    fn failed(&self, pool: &Pool, stored: &mut Stored, error: FunctionError, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload).into_owned();
        let payload = RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
        stored.last = Some(LastError { handled: error == FunctionError::Handled, payload });
        stored.attempts += 1;
        stored.throttles = 0;
        if stored.attempts > pool.function.retries {
            stored.given_up = Some(Condition::RetriesExhausted);
            return;
        }
        let delays = self.settings.retry_delays;
        let delay = delays[(stored.attempts as usize - 1).min(delays.len() - 1)];
        stored.due_at = pool.shared.clock.now() + micros(delay);
    }

    /// When to try again what could not be tried.
    fn later(&self, pool: &Pool, throttles: &mut u32) -> Micros {
        let (least, most) = self.settings.throttle_delays;
        let delay = least.saturating_mul(1 << (*throttles).min(16)).min(most);
        *throttles = throttles.saturating_add(1);
        pool.shared.clock.now() + micros(delay)
    }

    /// Takes what was given up to its destination. False if that cannot take it now.
    async fn deliver(&self, pool: &Pool, key: &Key, stored: &Stored, condition: Condition) -> bool {
        let record = record(stored, &pool.arn, condition, pool.shared.clock.now());
        match &pool.function.on_failure {
            Some(Destination::Stream(stream)) => {
                let Some(streams) = self.streams.get() else { return false };
                let sending = Sending {
                    stream: stream.clone(),
                    events: vec![Box::<str>::from(record.clone()).into_string().into()],
                    source: format!("function:{}", pool.name),
                    id: Some(format!("on_failure:{}", stored.request_id)),
                };
                match streams.send(sending).await {
                    Ok(_) => self.put(key, None).await,
                    Err(error @ SendError::NotFound(_)) => {
                        tracing::warn!("function {}: {error}; its dead letter is kept", pool.name);
                        self.bury(pool, key, record).await
                    }
                    Err(error) => {
                        tracing::warn!("function {}: a dead letter waits: {error}", pool.name);
                        false
                    }
                }
            }
            Some(Destination::Function(other)) => match self.queues.get(other) {
                Some(queue) => self.hand_on(pool, key, queue, other, record).await,
                None => {
                    tracing::warn!("there is no function `{other}`; a dead letter of {} is kept", pool.name);
                    self.bury(pool, key, record).await
                }
            },
            None => self.bury(pool, key, record).await,
        }
    }

    /// Gives the record to another function, in one write with settling this one.
    async fn hand_on(
        &self,
        pool: &Pool,
        key: &Key,
        queue: &Queue,
        other: &str,
        record: Box<RawValue>,
    ) -> bool {
        let now = pool.shared.clock.now();
        let fresh = Stored::new(record, None, None, now);
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let target = Key::PendingInvocation { function: other.to_owned(), sequence };
        let Ok(value) = raw(&fresh) else { return false };
        let writes = vec![(target, Some(value)), (key.clone(), None)];
        if let Err(error) = self.writer.write(writes, Durability::Synced).await {
            tracing::warn!("function {}: a dead letter waits: {error}", pool.name);
            return false;
        }
        queue.add(now, sequence);
        true
    }

    /// Keeps the record.
    async fn bury(&self, pool: &Pool, key: &Key, record: Box<RawValue>) -> bool {
        let Key::PendingInvocation { function, sequence } = key.clone() else { return false };
        metrics::counter!("bourn_function_dead_letters_total", "function" => function.clone()).increment(1);
        let dead = Key::DeadInvocation { function, sequence };
        let writes = vec![(dead, Some(record)), (key.clone(), None)];
        match self.writer.write(writes, Durability::Synced).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!("function {}: a dead letter waits: {error}", pool.name);
                false
            }
        }
    }

    /// Lost with the machine's power at most, which repeats an attempt.
    async fn put(&self, key: &Key, value: Option<Box<RawValue>>) -> bool {
        let result = self.writer.write(vec![(key.clone(), value)], Durability::Buffered).await;
        if let Err(error) = &result {
            tracing::warn!("{key:?}: {error}");
        }
        result.is_ok()
    }
}

impl Queue {
    fn add(&self, due_at: Micros, sequence: u64) {
        self.inner.lock().due.insert((due_at, sequence));
        self.wake.notify_one();
    }

    /// Those that are due and may run now, in order, and how long until the next is.
    fn take_due(&self, now: Micros) -> (Vec<u64>, Duration) {
        let mut inner = self.inner.lock();
        let room = (self.pool.function.concurrency.max.max(1) as usize).saturating_sub(inner.running);
        let mut taken = Vec::new();
        while taken.len() < room
            && let Some((due_at, sequence)) = inner.due.first().copied()
            && due_at <= now
        {
            inner.due.pop_first();
            taken.push(sequence);
        }
        inner.running += taken.len();
        let wait = match inner.due.first() {
            Some((due_at, _)) if taken.len() < room => {
                Duration::from_micros(u64::try_from(due_at - now).unwrap_or(0)).min(LOOK_EVERY)
            }
            _ => LOOK_EVERY,
        };
        (taken, wait)
    }
}

impl Stored {
    pub fn new(
        payload: Box<RawValue>,
        client_context: Option<String>,
        trace: Option<String>,
        now: Micros,
    ) -> Self {
        Self {
            request_id: crate::call::new_request_id().into(),
            payload,
            client_context,
            trace: trace.unwrap_or_else(|| crate::call::new_trace(now)),
            accepted_at: now,
            due_at: now,
            attempts: 0,
            throttles: 0,
            last: None,
            given_up: None,
        }
    }
}

async fn invoke(pool: &Arc<Pool>, stored: &Stored) -> Result<Invoked, InvokeError> {
    let (answer, answered) = oneshot::channel();
    pool.submit(Call {
        request_id: stored.request_id.clone(),
        payload: stored.payload.get().to_owned().into(),
        client_context: stored.client_context.clone(),
        trace: stored.trace.clone(),
        wants_log: false,
        attempt: stored.attempts + 1,
        answer,
    })?;
    answered.await.unwrap_or(Err(InvokeError::Closed))
}

fn raw(stored: &Stored) -> Result<Box<RawValue>, String> {
    to_raw_value(stored).map_err(|error| error.to_string())
}
