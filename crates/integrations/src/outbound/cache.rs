//! A cache of answers: bounded in bytes, entries with an end, "there is none" remembered too, and
//! one fetch at a time for a key.

use bourn_event::{Clock, Micros};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// What an entry takes beside its key and value: the maps' nodes and pointers.
const ENTRY_BYTES: usize = 160;

/// How much a cache holds, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Keys, values and what an entry takes beside them. The entries that were not used for the
    /// longest time make room. 0: nothing is kept.
    pub bytes_max: usize,
    pub ttl: Duration,
    /// For "there is none".
    pub negative_ttl: Duration,
}

/// What a cache knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<V> {
    Found(V),
    /// It is known that there is none.
    Absent,
    Unknown,
}

impl<V> From<Option<V>> for Look<V> {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Absent, Self::Found)
    }
}

/// The cache. `E` is the error of a fetch, shared by all that waited for it; it is not kept.
pub struct TtlCache<V, E> {
    limits: CacheLimits,
    clock: Arc<dyn Clock>,
    weigh: fn(&V) -> usize,
    held: Mutex<Held<V>>,
    flights: Flights<V, E>,
}

type Flight<V, E> = OnceCell<Result<Option<V>, E>>;
type Flights<V, E> = Mutex<HashMap<Arc<str>, Arc<Flight<V, E>>>>;

struct Held<V> {
    entries: HashMap<Arc<str>, Entry<V>>,
    /// Keys by their last use.
    order: BTreeMap<u64, Arc<str>>,
    uses: u64,
    bytes: usize,
}

struct Entry<V> {
    value: Option<V>,
    bytes: usize,
    stored_at: Micros,
    used: u64,
}

impl<V: Clone, E: Clone> TtlCache<V, E> {
    /// `weigh` gives the bytes of a value.
    pub fn new(limits: CacheLimits, clock: Arc<dyn Clock>, weigh: fn(&V) -> usize) -> Self {
        let held = Held { entries: HashMap::new(), order: BTreeMap::new(), uses: 0, bytes: 0 };
        Self { limits, clock, weigh, held: Mutex::new(held), flights: Mutex::default() }
    }

    /// What is known of a key now.
    pub fn look(&self, key: &str) -> Look<V> {
        let now = self.clock.now();
        let mut held = self.held.lock();
        let Some(entry) = held.entries.get(key) else { return Look::Unknown };
        let ttl = if entry.value.is_some() { self.limits.ttl } else { self.limits.negative_ttl };
        let age = now.checked_sub(entry.stored_at).and_then(|age| u64::try_from(age).ok());
        // An entry from the future is of a clock that was set back: its age is unknown.
        if age.is_none_or(|age| Duration::from_micros(age) >= ttl) {
            held.remove(key);
            return Look::Unknown;
        }
        held.touch(key).map_or(Look::Unknown, Look::from)
    }

    /// Remembers what was fetched.
    pub fn put(&self, key: &str, value: Option<V>) {
        let bytes = key.len() + value.as_ref().map_or(0, self.weigh) + ENTRY_BYTES;
        let stored_at = self.clock.now();
        let mut held = self.held.lock();
        held.remove(key);
        let ttl = if value.is_some() { self.limits.ttl } else { self.limits.negative_ttl };
        if bytes > self.limits.bytes_max || ttl.is_zero() {
            return;
        }
        while held.bytes + bytes > self.limits.bytes_max {
            let Some(oldest) = held.order.first_key_value().map(|(_, key)| key.clone()) else { break };
            held.remove(&oldest);
        }
        held.insert(key.into(), value, bytes, stored_at);
    }

    /// What is known of a key, or else what `fetch` gives, which is remembered. While one caller
    /// fetches, others that ask for the same key wait for its result; if it goes away, another one fetches.
    pub async fn get_or_fetch<F, Fut>(&self, key: &str, fetch: F) -> Result<Option<V>, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
    {
        match self.look(key) {
            Look::Found(value) => return Ok(Some(value)),
            Look::Absent => return Ok(None),
            Look::Unknown => {}
        }
        let flight = {
            let mut flights = self.flights.lock();
            flights.entry(key.into()).or_default().clone()
        };
        let joined = Joined { flights: &self.flights, key, flight };
        let result = joined
            .flight
            .get_or_init(|| async {
                let result = fetch().await;
                if let Ok(value) = &result {
                    self.put(key, value.clone());
                }
                result
            })
            .await;
        result.clone()
    }

    /// Entries and bytes that are held.
    pub fn size(&self) -> (usize, usize) {
        let held = self.held.lock();
        (held.entries.len(), held.bytes)
    }
}

impl<V: Clone> Held<V> {
    fn touch(&mut self, key: &str) -> Option<Option<V>> {
        self.uses += 1;
        let uses = self.uses;
        let entry = self.entries.get_mut(key)?;
        let key = self.order.remove(&entry.used)?;
        entry.used = uses;
        self.order.insert(uses, key);
        Some(entry.value.clone())
    }

    fn insert(&mut self, key: Arc<str>, value: Option<V>, bytes: usize, stored_at: Micros) {
        self.uses += 1;
        self.order.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { value, bytes, stored_at, used: self.uses });
        self.bytes += bytes;
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

/// One caller's part in a fetch; the flight ends with its result, or when its last caller goes away.
struct Joined<'a, V, E> {
    flights: &'a Flights<V, E>,
    key: &'a str,
    flight: Arc<Flight<V, E>>,
}

impl<V, E> Drop for Joined<'_, V, E> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        // Two are the map's and this one's own.
        let over = self.flight.initialized() || Arc::strong_count(&self.flight) <= 2;
        if over && flights.get(self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(self.key);
        }
    }
}
