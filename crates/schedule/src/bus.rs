//! Event buses: what workflows put with `events:putEvents`, and the triggers that listen.
//!
//! ```text
//!  put ─► no trigger matches: counted, and gone
//!      └► kept, synced ─► taken ─► its runs begun ─► settled: the id is remembered a while longer
//! ```
//!
//! An event is kept under its id, so one that is put again after a crash is the same event. One that was not settled
//! when the process ended is looked at again, by the triggers that there are then, under the ids of its first time.

use crate::backoff::Backoff;
use crate::runs::Runs;
use crate::triggers::{Closing, Launcher, Triggers};
use crate::troubles::Troubles;
use bourn_config::DEFAULT_BUS;
use bourn_event::{Clock, Micros};
use bourn_state::{Durability, Key, KeyKind, Scope, State, StateError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Events whose runs are being begun at once.
const STARTS_MAX: usize = 64;
/// Events that wait for their runs to begin; more are refused.
pub const BUS_WAITING_MAX: usize = 10_000;
/// Settled events whose ids are remembered.
const SETTLED_MAX: usize = 10_000;

/// What the troubles of buses are about.
const ABOUT: &str = "triggers on event buses";

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("{BUS_WAITING_MAX} events wait for the runs that triggers begin: try again later")]
    Full,
    #[error("the pipeline is closing")]
    Closing,
    #[error(transparent)]
    State(#[from] StateError),
}

/// An event as the state holds it (format v1, JSON).
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// The order of arrival; of settling, once it is settled.
    sequence: u64,
    bus: String,
    at: Micros,
    /// Gone once it is settled.
    event: Option<Value>,
}

/// All buses of a pipeline.
pub struct Bus {
    state: State,
    clock: Arc<dyn Clock>,
    triggers: Arc<Triggers>,
    troubles: Troubles,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// Ids of all that the state holds.
    known: HashSet<String>,
    waiting: BTreeMap<u64, String>,
    settled: VecDeque<String>,
}

impl Bus {
    /// Finds what is not settled yet; it waits for [`Bus::run`].
    pub fn open(
        runs: &Runs,
        clock: Arc<dyn Clock>,
        triggers: Arc<Triggers>,
    ) -> Result<Arc<Self>, StateError> {
        let state = runs.state().clone();
        let (mut inner, mut settled) = (Inner::default(), BTreeMap::new());
        for entry in state.scan::<Kept>(Scope::all(KeyKind::BusEvent)) {
            let (Key::BusEvent { id }, kept) = entry? else { continue };
            inner.next = inner.next.max(kept.sequence + 1);
            inner.known.insert(id.clone());
            match kept.event {
                Some(_) => inner.waiting.insert(kept.sequence, id),
                None => settled.insert(kept.sequence, id),
            };
        }
        inner.settled = settled.into_values().collect();
        let (inner, troubles, changed) = (Mutex::new(inner), runs.troubles().clone(), Notify::new());
        Ok(Arc::new(Self { state, clock, triggers, troubles, inner, changed }))
    }

    /// Takes an event in its envelope; resolves once it is durable. The same id is taken once. One that no trigger
    /// matches is counted and not kept.
    pub async fn put(self: &Arc<Self>, bus: &str, event: Value) -> Result<(), BusError> {
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        if self.inner.lock().known.contains(&id) {
            return Ok(());
        }
        metrics::counter!("bourn_bus_events_total", "bus" => bus.to_owned()).increment(1);
        if self.triggers.of_bus(bus, &event).next().is_none() {
            if bus == DEFAULT_BUS {
                metrics::counter!("bourn_bus_unmatched_events_total").increment(1);
            }
            return Ok(());
        }
        let (own, bus, at) = (self.clone(), bus.to_owned(), self.clock.now());
        // It goes on if the caller goes away.
        let kept = tokio::task::spawn_blocking(move || own.keep(id, bus, at, event));
        kept.await.unwrap_or(Err(BusError::Closing))
    }

    fn keep(&self, id: String, bus: String, at: Micros, event: Value) -> Result<(), BusError> {
        let sequence = {
            let mut inner = self.inner.lock();
            if inner.waiting.len() >= BUS_WAITING_MAX {
                return Err(BusError::Full);
            }
            inner.next += 1;
            inner.next - 1
        };
        let kept = Kept { sequence, bus, at, event: Some(event) };
        self.state.put(&Key::BusEvent { id: id.clone() }, &kept, Durability::Synced)?;
        let mut inner = self.inner.lock();
        if inner.known.insert(id.clone()) {
            inner.waiting.insert(sequence, id);
            self.gauge(&inner);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Begins the runs of triggers until `stop`, in the order of arrival. Call it once.
    pub async fn run(&self, launcher: &Arc<Launcher>, stop: CancellationToken) {
        let mut beginning = FuturesUnordered::new();
        loop {
            while beginning.len() < STARTS_MAX
                && let Some(id) = self.take_next()
            {
                beginning.push(self.begin(launcher, id));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                Some(begun) = beginning.next() => if begun.is_err() { return },
            }
        }
    }

    fn take_next(&self) -> Option<String> {
        let mut inner = self.inner.lock();
        let (_, id) = inner.waiting.pop_first()?;
        self.gauge(&inner);
        Some(id)
    }

    /// Tries until its runs have begun, or were refused for good, and that is noted.
    async fn begin(&self, launcher: &Arc<Launcher>, id: String) -> Result<(), Closing> {
        let mut backoff = Backoff::default();
        loop {
            let error = match self.begin_once(launcher, &id).await? {
                Ok(()) => {
                    self.troubles.clear(ABOUT);
                    return Ok(());
                }
                Err(error) => error,
            };
            self.troubles.note(ABOUT, format!("an event waits: {error}"));
            tracing::warn!(event = id, %error, "triggers cannot settle an event of a bus; it is tried again");
            tokio::time::sleep(backoff.grow()).await;
        }
    }

    async fn begin_once(
        &self,
        launcher: &Arc<Launcher>,
        id: &str,
    ) -> Result<Result<(), StateError>, Closing> {
        let key = Key::BusEvent { id: id.to_owned() };
        let kept = match self.state.get::<Kept>(&key) {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        if let Some(event) = &kept.event {
            for trigger in self.triggers.of_bus(&kept.bus, event) {
                launcher.launch(trigger, &format!("bus/{id}"), kept.at, event).await?;
            }
        }
        Ok(self.settle(&key, id, kept))
    }

    /// Lost with the machine's power at most: then the same runs are found begun.
    fn settle(&self, key: &Key, id: &str, kept: Kept) -> Result<(), StateError> {
        let mut inner = self.inner.lock();
        let sequence = inner.next;
        let mut batch = self.state.batch();
        batch.put(key, &Kept { sequence, event: None, ..kept })?;
        let surplus = (inner.settled.len() + 1).saturating_sub(SETTLED_MAX);
        for old in inner.settled.iter().take(surplus) {
            batch.delete(&Key::BusEvent { id: old.clone() });
        }
        batch.commit(Durability::Buffered)?;
        inner.next += 1;
        let forgotten: Vec<String> = inner.settled.drain(..surplus).collect();
        for old in &forgotten {
            inner.known.remove(old);
        }
        inner.settled.push_back(id.to_owned());
        Ok(())
    }

    fn gauge(&self, inner: &Inner) {
        metrics::gauge!("bourn_bus_waiting_events").set(inner.waiting.len() as f64);
    }
}
