//! Which rejects are no longer rejects: put back into their stream, or purged.
//!
//! A reject that is put back is appended to its stream's log under the producer
//! `rejects/<run>` with the reject's own offset + 1 as sequence, so the log itself tells which
//! rejects it took. This set is that fact, gathered: it is written before each commit and grows
//! again from the log after a crash, so it never falls behind the table.

use crate::replay::{current_generation, generation_of};
use anyhow::Result;
use bourn_event::{Delivery, Offset, Reject, Span};
use bourn_lake::{Committed, Replayed};
use bourn_state::{Durability, Key, KeyKind, Scope, State};
use parking_lot::Mutex;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Producer ids of rejects that are put back begin with this.
pub const PRODUCER: &str = "rejects/";

/// The set of one stream.
#[derive(Clone, Debug, Default)]
pub struct ResolvedSet {
    /// Reject offsets whose events were put back.
    pub replayed: RoaringTreemap,
    /// How many of them by source.
    pub by_source: BTreeMap<String, u64>,
    /// Reject offsets that somebody purged.
    pub purged: RoaringTreemap,
}

/// What hides a stream's rejects: they were put back or purged, or a replay decided anew.
#[derive(Clone, Debug, Default)]
pub struct Gone {
    offsets: RoaringTreemap,
    replays: Vec<Replayed>,
}

impl Gone {
    pub fn of(set: &ResolvedSet, committed: &Committed) -> Self {
        Self { offsets: &set.replayed | &set.purged, replays: committed.replays.clone() }
    }

    /// Is the reject at `at` of the rejects' log no longer one to look at?
    pub fn hides(&self, at: Offset, reject: &Reject) -> bool {
        let is_superseded = |offset| {
            generation_of(reject.producer.as_ref()) != Some(current_generation(&self.replays, offset))
        };
        self.offsets.contains(at) || reject.offset.is_some_and(is_superseded)
    }

    /// For another process.
    pub fn to_json(&self) -> Value {
        let replays = self.replays.iter().map(|r| json!([r.generation, r.from, r.to]));
        json!({"offsets": self.offsets.iter().collect::<Vec<_>>(), "replays": replays.collect::<Vec<_>>()})
    }

    /// As another process told it; what cannot be read hides nothing.
    pub fn from_json(told: &Value) -> Self {
        let list = |key: &str| told[key].as_array().into_iter().flatten();
        let replay = |r: &Value| {
            Some(Replayed { generation: r[0].as_i64()?, from: r[1].as_u64()?, to: r[2].as_u64()? })
        };
        Self {
            offsets: list("offsets").filter_map(Value::as_u64).collect(),
            replays: list("replays").filter_map(replay).collect(),
        }
    }
}

/// What became of a reject, as it is stored under its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Resolution {
    Replayed { source: String },
    Purged,
}

#[derive(Default)]
struct Held {
    set: ResolvedSet,
    unsaved: Vec<(Offset, Resolution)>,
}

/// The sets of all streams, and their store.
pub struct Resolved {
    state: Arc<State>,
    streams: Mutex<BTreeMap<String, Held>>,
}

impl ResolvedSet {
    fn insert(&mut self, offset: Offset, resolution: &Resolution) -> bool {
        match resolution {
            Resolution::Purged => self.purged.insert(offset),
            Resolution::Replayed { source } => {
                let is_new = self.replayed.insert(offset);
                if is_new {
                    *self.by_source.entry(source.clone()).or_default() += 1;
                }
                is_new
            }
        }
    }
}

impl Resolved {
    pub fn open(state: Arc<State>, streams: impl Iterator<Item = String>) -> Result<Self> {
        let mut held = BTreeMap::new();
        for stream in streams {
            let mut set = ResolvedSet::default();
            for entry in state.scan::<Resolution>(Scope::stream(KeyKind::ResolvedReject, &stream)) {
                let (key, resolution) = entry?;
                if let Key::ResolvedReject { offset, .. } = key {
                    set.insert(offset, &resolution);
                }
            }
            held.insert(stream, Held { set, unsaved: Vec::new() });
        }
        Ok(Self { state, streams: Mutex::new(held) })
    }

    /// The set of a stream, as it is now.
    pub fn of(&self, stream: &str) -> ResolvedSet {
        self.streams.lock().get(stream).map(|held| held.set.clone()).unwrap_or_default()
    }

    /// Takes note of the rejects that a frame of the log brought back.
    pub fn note(&self, stream: &str, delivery: &Delivery) {
        let is_replay = |span: &&Span| span.producer.as_ref().is_some_and(|p| p.id.starts_with(PRODUCER));
        if delivery.spans.iter().any(|span| is_replay(&span)) {
            self.insert(stream, delivery.spans.iter().filter_map(replayed_reject));
        }
    }

    /// Takes note of rejects that the log has durably taken back.
    pub fn insert(&self, stream: &str, replayed: impl Iterator<Item = (Offset, String)>) {
        self.add(stream, replayed.map(|(offset, source)| (offset, Resolution::Replayed { source })));
    }

    /// Forgets rejects for good.
    pub fn purge(&self, stream: &str, offsets: &RoaringTreemap) -> Result<()> {
        self.add(stream, offsets.iter().map(|offset| (offset, Resolution::Purged)));
        self.save(stream)
    }

    fn add(&self, stream: &str, resolutions: impl Iterator<Item = (Offset, Resolution)>) {
        let mut streams = self.streams.lock();
        let held = streams.entry(stream.to_string()).or_default();
        for (offset, resolution) in resolutions {
            if held.set.insert(offset, &resolution) {
                held.unsaved.push((offset, resolution));
            }
        }
    }

    /// Writes what is new of a stream's set durably.
    pub fn save(&self, stream: &str) -> Result<()> {
        let mut streams = self.streams.lock();
        let Some(held) = streams.get_mut(stream).filter(|held| !held.unsaved.is_empty()) else {
            return Ok(());
        };
        let mut batch = self.state.batch();
        for (offset, resolution) in &held.unsaved {
            batch.put(&Key::ResolvedReject { stream: stream.to_string(), offset: *offset }, resolution)?;
        }
        batch.commit(Durability::Synced)?;
        held.unsaved.clear();
        Ok(())
    }
}

/// The reject offset and the source of a span that brought a reject back.
pub fn replayed_reject(span: &Span) -> Option<(Offset, String)> {
    let producer = span.producer.as_ref().filter(|producer| producer.id.starts_with(PRODUCER))?;
    Some((producer.sequence.checked_sub(1)?, span.source.clone()))
}
