//! Makes one run of several neighbours, in a thread of its own.

use super::error::DedupeError;
use super::run::{self, Header, Run};
use super::table::Fact;
use bourn_event::Micros;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Runs that are merged at a time.
pub const FAN_IN: usize = 4;

/// Which neighbours, oldest first, are worth merging: the newest [`FAN_IN`] in a row of which none
/// is much larger than the rest together, and that do not span so much time that expired facts
/// would be kept for long.
pub fn choose(runs: &[&Header], span_max: Micros) -> Option<usize> {
    (0..(runs.len() + 1).saturating_sub(FAN_IN)).rev().find(|&at| {
        let group = &runs[at..at + FAN_IN];
        let total: u64 = group.iter().map(|header| header.count).sum();
        let largest = group.iter().map(|header| header.count).max().unwrap_or(0);
        let facts = || group.iter().filter(|header| header.count > 0);
        let earliest = facts().map(|header| header.received_min).min().unwrap_or(0);
        let latest = facts().map(|header| header.received_max).max().unwrap_or(0);
        largest <= 4 * (total - largest) + 4096 && latest.saturating_sub(earliest) <= span_max
    })
}

/// A merge under way. Dropping it stops and awaits the thread.
pub struct Merging {
    pub at: usize,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Option<Run>, DedupeError>>>,
}

impl Merging {
    pub fn start(dir: PathBuf, at: usize, inputs: Vec<Arc<Run>>, expired: Micros) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("dedupe-merge".into())
            .spawn(move || merge(dir, &inputs, expired, &flag))?;
        Ok(Self { at, stop, thread: Some(thread) })
    }

    pub fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the thread; `None` if it was stopped.
    pub fn finish(mut self) -> Result<Option<Run>, DedupeError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(None),
        }
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its result is not wanted: what it left is cleaned up when the index opens.
            let _ = thread.join();
        }
    }
}

/// Of equal keys the fact of the newest run stays; facts received before `expired` go.
fn merge(
    dir: PathBuf,
    inputs: &[Arc<Run>],
    expired: Micros,
    stop: &AtomicBool,
) -> Result<Option<Run>, DedupeError> {
    let (Some(oldest), Some(newest)) = (inputs.first(), inputs.last()) else { return Ok(None) };
    let header = Header {
        seed: newest.header.seed,
        fingerprint: newest.header.fingerprint,
        count: 0,
        first: oldest.header.first,
        end: newest.header.end,
        received_min: Micros::MAX,
        received_max: Micros::MIN,
    };
    let room = inputs.iter().map(|input| input.header.count as usize).sum();
    let mut cursors =
        inputs.iter().map(|input| Cursor::new(Arc::clone(input))).collect::<Result<Vec<_>, _>>()?;
    let facts = std::iter::from_fn(|| next(&mut cursors, expired, stop).transpose());
    let merged = run::write(&dir, header, room, facts);
    match merged {
        Err(_) if stop.load(Ordering::Relaxed) => Ok(None),
        merged => merged.map(Some),
    }
}

fn next(cursors: &mut [Cursor], expired: Micros, stop: &AtomicBool) -> Result<Option<Fact>, DedupeError> {
    loop {
        let Some(key) = cursors.iter().filter_map(|cursor| cursor.head()).map(|fact| fact.key).min() else {
            return Ok(None);
        };
        if stop.load(Ordering::Relaxed) {
            let source = std::io::Error::from(std::io::ErrorKind::Interrupted);
            return Err(DedupeError::Io { path: PathBuf::new(), action: "merge", source });
        }
        let mut newest = None;
        for cursor in cursors.iter_mut() {
            if let Some(fact) = cursor.head().copied().filter(|fact| fact.key == key) {
                newest = Some(fact);
                cursor.advance()?;
            }
        }
        if let Some(fact) = newest.filter(|fact| fact.received_at >= expired) {
            return Ok(Some(fact));
        }
    }
}

struct Cursor {
    run: Arc<Run>,
    next_block: usize,
    facts: Vec<Fact>,
    at: usize,
}

impl Cursor {
    fn new(run: Arc<Run>) -> Result<Self, DedupeError> {
        let mut cursor = Self { run, next_block: 0, facts: Vec::new(), at: 0 };
        cursor.fill()?;
        Ok(cursor)
    }

    fn head(&self) -> Option<&Fact> {
        self.facts.get(self.at)
    }

    fn advance(&mut self) -> Result<(), DedupeError> {
        self.at += 1;
        if self.at == self.facts.len() { self.fill() } else { Ok(()) }
    }

    fn fill(&mut self) -> Result<(), DedupeError> {
        self.facts.clear();
        self.at = 0;
        if self.next_block < self.run.blocks() {
            self.facts = self.run.block(self.next_block)?;
            self.next_block += 1;
        }
        Ok(())
    }
}
