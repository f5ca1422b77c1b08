//! Facts in memory in two layers: one that takes new facts, and one that is frozen until it is on disk.
//!
//! ```text
//!  gathers ──budget is used──► frozen, waits ──all of it is settled──► written by a thread ──durable──► a run
//! ```
//!
//! A frozen layer is read like any other, so that nobody waits for its file.

use super::error::DedupeError;
use super::run::{self, Header, Run};
use super::table::{Fact, Table};
use bourn_event::{Micros, Offset};
use std::cmp::{Ordering, Reverse};
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Facts that no run tells of.
#[derive(Default)]
pub struct Layer {
    pub table: Table,
    /// Facts that newer ones of the layer took the place of: what lies behind the runs may come
    /// again, and then they are needed.
    pub superseded: Vec<Fact>,
}

impl Layer {
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.superseded.len() * size_of::<Fact>()
    }

    /// Bytes it would take if its table were just large enough.
    pub fn bytes_needed(&self) -> usize {
        (self.table.len() * 4 / 3 + self.superseded.len()) * size_of::<Fact>()
    }

    /// The newest fact of each key, in the order of the keys.
    fn in_order(&self) -> impl Iterator<Item = Fact> {
        let mut older = self.superseded.clone();
        older.sort_unstable_by_key(|fact| (fact.key, Reverse(fact.offset)));
        older.dedup_by_key(|fact| fact.key);
        let (mut newer, mut older) = (self.table.in_order().peekable(), older.into_iter().peekable());
        iter::from_fn(move || match (newer.peek(), older.peek()) {
            (Some(new), Some(old)) => match new.key.cmp(&old.key) {
                Ordering::Less => newer.next(),
                Ordering::Greater => older.next(),
                Ordering::Equal => {
                    older.next();
                    newer.next()
                }
            },
            (Some(_), None) => newer.next(),
            (None, _) => older.next(),
        })
    }
}

/// A layer that takes no facts any more.
pub struct Frozen {
    pub layer: Arc<Layer>,
    /// Offset behind the last event that was judged into it.
    pub end: Offset,
    /// No event from `end` on was received before this.
    pub end_at: Micros,
    writing: Option<JoinHandle<Result<Run, DedupeError>>>,
}

impl Frozen {
    pub fn new(layer: Layer, end: Offset, end_at: Micros) -> Self {
        Self { layer: Arc::new(layer), end, end_at, writing: None }
    }

    pub fn find(&self, key: u128) -> Option<Fact> {
        self.layer.table.find(key).ok().map(|slot| *self.layer.table.get(slot))
    }

    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Is the run written, or has it failed?
    pub fn is_done(&self) -> bool {
        self.writing.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Begins to write the run, leaving out facts received before `expired`.
    pub fn write(&mut self, dir: PathBuf, header: Header, expired: Micros) -> std::io::Result<()> {
        let layer = Arc::clone(&self.layer);
        let write = move || {
            let lasting = layer.in_order().filter(|fact| fact.received_at >= expired).map(Ok);
            let room = layer.table.len() + layer.superseded.len();
            run::write(&dir, header, room, lasting)
        };
        self.writing = Some(std::thread::Builder::new().name("dedupe-spill".into()).spawn(write)?);
        Ok(())
    }

    /// The run, durable; waits for the thread. `None` if none is being written. After an error it
    /// may be written again.
    pub fn finish(&mut self) -> Result<Option<Run>, DedupeError> {
        match self.writing.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.map(Some),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(None),
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(thread) = self.writing.take() {
            // Its run is found when the index opens again, or what is left of it is cleaned up.
            let _ = thread.join();
        }
    }
}
