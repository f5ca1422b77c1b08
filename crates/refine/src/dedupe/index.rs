//! Judges keys against the tables and the runs; spills, merges and expires.

use super::error::DedupeError;
use super::merge::{self, FAN_IN, Merging};
use super::run::{self, Header, Run};
use super::spill::{Frozen, Layer};
use super::table::{Fact, NO_KEY, TOUCH};
use bourn_event::{Micros, Offset};
use std::collections::VecDeque;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Events that a start may have to read again from the log: above it the table is spilled even if
/// it is small.
const REBUILD_EVENTS_MAX: u64 = 4_000_000;
/// Shortest time between spills that are made for the log's retention only.
const SPILL_EVERY_MIN: Micros = 60_000_000;
/// Batches between two settlements whose times are told apart.
const TIMES_MAX: usize = 4096;

#[derive(Clone, Debug)]
pub struct IndexOptions {
    pub dir: PathBuf,
    /// How long a fact counts, by time of receipt.
    pub window: Micros,
    /// Budget in bytes for the tables and the filters. What is not settled yet may exceed it.
    pub memory_bytes: usize,
    /// Tells indexes over different keys apart.
    pub fingerprint: u64,
}

/// See the module's invariants.
pub struct Index {
    options: IndexOptions,
    seed: u64,
    newest: Layer,
    /// Older than `newest`, newer than the runs.
    frozen: Option<Frozen>,
    /// Oldest first.
    runs: Vec<Arc<Run>>,
    /// Offset behind the runs.
    covered: Offset,
    /// No event from `covered` on was received before this.
    covered_at: Micros,
    /// Behind the last event that was judged, and when that was received.
    judged: Offset,
    judged_at: Micros,
    /// Since when the newest layer gathers.
    gathers_since: Option<Micros>,
    settled: Offset,
    settled_at: Micros,
    /// End offset and time of receipt of batches that are not settled.
    times: VecDeque<(Offset, Micros)>,
    merging: Option<Merging>,
}

impl Index {
    /// Opens the index for a table that holds what lies before `start`.
    pub fn open(options: IndexOptions, start: Offset) -> Result<Self, DedupeError> {
        fs::create_dir_all(&options.dir).map_err(DedupeError::io(&options.dir, "create the folder"))?;
        let mut runs = Vec::new();
        for path in list(&options.dir)? {
            let run = Run::open(&path)?;
            if run.header.fingerprint != options.fingerprint || run.header.end > start {
                // Another key's facts, or more than the table holds: both come again from the log.
                tracing::info!(path = %path.display(), "a run of the dedupe index is rebuilt from the log");
                fs::remove_file(&path).map_err(DedupeError::io(&path, "delete it"))?;
                continue;
            }
            runs.push(Arc::new(run));
        }
        if let Some(pair) = runs.windows(2).find(|pair| pair[0].header.end != pair[1].header.first) {
            let what = format!("no run begins where it ends, at offset {}", pair[0].header.end);
            return Err(DedupeError::corrupt(&pair[0].path, what));
        }
        let covered = runs.last().map_or(0, |run| run.header.end);
        let covered_at = runs.iter().map(|run| run.header.received_max).max().unwrap_or(Micros::MIN);
        let seed = match runs.last() {
            Some(run) => run.header.seed,
            None => std::hash::RandomState::new().build_hasher().finish(),
        };
        let mut index = Self {
            options,
            seed,
            newest: Layer::default(),
            frozen: None,
            runs,
            covered,
            covered_at,
            judged: covered,
            judged_at: covered_at,
            gathers_since: None,
            settled: covered,
            settled_at: Micros::MIN,
            times: VecDeque::new(),
            merging: None,
        };
        index.fit_filters()?;
        Ok(index)
    }

    /// Seed of the keys' hashes.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The offset from which keys must be judged again after a start.
    pub fn rebuild_from(&self) -> Offset {
        self.covered
    }

    pub fn memory_bytes(&self) -> usize {
        let frozen = self.frozen.as_ref().map_or(0, |frozen| frozen.layer.bytes());
        self.newest.bytes() + frozen + self.runs_bytes()
    }

    fn runs_bytes(&self) -> usize {
        self.runs.iter().map(|run| run.bytes()).sum()
    }

    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Judges the events with these keys, in the order of their offsets, and appends `(row, kept offset)`
    /// of each duplicate. `stores` is `false` for a row that ends as a reject or late unless it is a
    /// duplicate: it leaves no fact.
    pub fn judge(
        &mut self,
        keys: &[u128],
        offset_of: impl Fn(usize) -> Offset,
        received_at: Micros,
        stores: impl Fn(usize) -> bool,
        duplicates: &mut Vec<(u32, Offset)>,
    ) -> Result<(), DedupeError> {
        self.newest.table.reserve(keys.len());
        for (group, chunk) in keys.chunks(TOUCH).enumerate() {
            self.newest.table.touch(chunk);
            if let Some(frozen) = &self.frozen {
                frozen.layer.table.touch(chunk);
            }
            self.runs.iter().for_each(|run| run.touch(chunk));
            for (i, &key) in chunk.iter().enumerate() {
                let row = group * TOUCH + i;
                if key == NO_KEY {
                    continue;
                }
                let fact = Fact { key, offset: offset_of(row), received_at };
                if let Some(kept) = self.judge_one(fact, stores(row))? {
                    duplicates.push((row as u32, kept));
                }
            }
        }
        Ok(())
    }

    /// Judges one more event of a batch that was judged; see [`Self::judge`].
    pub fn judge_again(
        &mut self,
        key: u128,
        offset: Offset,
        received_at: Micros,
        stores: bool,
    ) -> Result<Option<Offset>, DedupeError> {
        self.newest.table.reserve(1);
        self.judge_one(Fact { key, offset, received_at }, stores)
    }

    fn judge_one(&mut self, fact: Fact, stores: bool) -> Result<Option<Offset>, DedupeError> {
        let found = self.newest.table.find(fact.key);
        let known = match found {
            Ok(slot) => Some(*self.newest.table.get(slot)),
            Err(_) => self.find_older(fact)?,
        };
        let window = self.options.window;
        if let Some(known) = known
            && known.offset < fact.offset
            && fact.received_at.saturating_sub(known.received_at) <= window
        {
            return Ok(Some(known.offset));
        }
        if stores {
            let (Ok(slot) | Err(slot)) = found;
            if found.is_ok() {
                self.newest.superseded.push(*self.newest.table.get(slot));
            }
            self.newest.table.put(slot, fact);
        }
        Ok(None)
    }

    fn find_older(&self, fact: Fact) -> Result<Option<Fact>, DedupeError> {
        if let Some(known) = self.frozen.as_ref().and_then(|frozen| frozen.find(fact.key)) {
            return Ok(Some(known));
        }
        for run in self.runs.iter().rev() {
            if fact.received_at.saturating_sub(run.header.received_max) > self.options.window {
                continue;
            }
            if let Some(known) = run.get(fact.key)? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// Takes back the fact of an event of the last batch that a later stage refused.
    pub fn forget(&mut self, key: u128, offset: Offset) {
        if let Ok(slot) = self.newest.table.find(key)
            && self.newest.table.get(slot).offset == offset
        {
            self.newest.table.remove(slot);
        }
    }

    /// Notes that everything before `end` was judged, and when the last of it was received.
    pub fn judged(&mut self, end: Offset, received_at: Micros) {
        self.gathers_since.get_or_insert(received_at);
        self.judged = self.judged.max(end);
        self.judged_at = self.judged_at.max(received_at);
        if self.times.len() >= TIMES_MAX {
            // Fewer, earlier times only mean that facts are kept a little longer.
            let mut i = 0;
            self.times.retain(|_| {
                i += 1;
                i % 2 == 0
            });
        }
        self.times.push_back((end, received_at));
    }

    /// Everything before `offset` is committed: it may be spilled, and what is outside its window
    /// may go.
    pub fn settled(&mut self, offset: Offset) -> Result<(), DedupeError> {
        while let Some(&(end, received_at)) = self.times.front()
            && end <= offset
        {
            self.settled_at = self.settled_at.max(received_at);
            self.settled = self.settled.max(end);
            self.times.pop_front();
        }
        self.keep_budget()?;
        self.expire()?;
        self.merge(false)
    }

    /// Spills all that is settled, so that the next start has little to read again. What is not is
    /// left to the log.
    pub fn checkpoint(&mut self) -> Result<(), DedupeError> {
        while self.frozen.is_some() || self.judged > self.covered {
            if self.frozen.is_none() {
                self.freeze();
            }
            if !self.begin_spill()? {
                break;
            }
            self.end_spill()?;
        }
        self.merge(true)
    }

    /// Moves facts towards the disk if it is time to.
    fn keep_budget(&mut self) -> Result<(), DedupeError> {
        loop {
            match &self.frozen {
                None if self.is_due() => self.freeze(),
                None => return Ok(()),
                // Waiting for the file bounds the memory.
                Some(frozen) if frozen.is_done() || (frozen.is_writing() && self.is_full()) => {
                    self.end_spill()?
                }
                Some(frozen) if frozen.is_writing() => return Ok(()),
                Some(_) => {
                    if !self.begin_spill()? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn is_due(&self) -> bool {
        let behind = self.settled.saturating_sub(self.covered);
        let age = self.settled_at.saturating_sub(self.gathers_since.unwrap_or(self.settled_at));
        let is_old = age > (self.options.window / 8).max(SPILL_EVERY_MIN);
        behind > REBUILD_EVENTS_MAX || (behind > 0 && is_old) || self.is_full()
    }

    /// Has the newest layer used its share? The frozen one has another, the filters at most half.
    fn is_full(&self) -> bool {
        let budget = self.options.memory_bytes;
        let share = budget.saturating_sub(self.runs_bytes()).max(budget / 2) / 2;
        self.newest.table.len() > 0 && self.newest.bytes_needed() > share / 8 * 7
    }

    fn freeze(&mut self) {
        let layer = std::mem::take(&mut self.newest);
        self.frozen = Some(Frozen::new(layer, self.judged, self.judged_at));
        self.gathers_since = None;
    }

    /// Begins to write the frozen layer, if all of it is settled.
    fn begin_spill(&mut self) -> Result<bool, DedupeError> {
        let Some(frozen) = self.frozen.as_mut().filter(|frozen| frozen.end <= self.settled) else {
            return Ok(false);
        };
        if frozen.is_writing() {
            return Ok(true);
        }
        let header = Header {
            seed: self.seed,
            fingerprint: self.options.fingerprint,
            count: 0,
            first: self.covered,
            end: frozen.end,
            received_min: Micros::MAX,
            received_max: Micros::MIN,
        };
        let expired = frozen.end_at.max(self.covered_at).saturating_sub(self.options.window);
        let dir = &self.options.dir;
        frozen
            .write(dir.clone(), header, expired)
            .map_err(DedupeError::io(dir, "start a thread to spill"))?;
        Ok(true)
    }

    /// Takes the written run in place of the frozen layer.
    fn end_spill(&mut self) -> Result<(), DedupeError> {
        let Some(mut frozen) = self.frozen.take() else { return Ok(()) };
        match frozen.finish() {
            Ok(Some(run)) => {
                self.runs.push(Arc::new(run));
                self.covered = frozen.end;
                self.covered_at = frozen.end_at.max(self.covered_at);
                self.fit_filters()
            }
            // Still in memory, to be written again.
            unwritten => {
                self.frozen = Some(frozen);
                unwritten.map(drop)
            }
        }
    }

    /// Facts received before this have left the window of every event that is still to come, also
    /// after a restart, when what lies behind the runs comes again.
    fn expired_before(&self) -> Micros {
        self.covered_at.saturating_sub(self.options.window)
    }

    /// Deletes runs all of whose facts have left the window. The newest stays: it tells the seed and
    /// how far the index got.
    fn expire(&mut self) -> Result<(), DedupeError> {
        let expired = self.expired_before();
        while self.merging.is_none()
            && self.runs.len() > 1
            && let Some(run) = self.runs.first()
            && run.header.received_max < expired
        {
            fs::remove_file(&run.path).map_err(DedupeError::io(&run.path, "delete it"))?;
            self.runs.remove(0);
        }
        Ok(())
    }

    fn merge(&mut self, wait: bool) -> Result<(), DedupeError> {
        if let Some(merging) = self.merging.take_if(|merging| wait || merging.is_done()) {
            let at = merging.at;
            if let Some(run) = merging.finish()? {
                for input in self.runs.splice(at..at + FAN_IN, [Arc::new(run)]) {
                    fs::remove_file(&input.path).map_err(DedupeError::io(&input.path, "delete it"))?;
                }
                self.fit_filters()?;
            }
        }
        if self.merging.is_none() && !wait {
            let headers: Vec<&Header> = self.runs.iter().map(|run| &run.header).collect();
            if let Some(at) = merge::choose(&headers, self.options.window / 2) {
                let inputs = self.runs[at..at + FAN_IN].to_vec();
                let dir = self.options.dir.clone();
                let started = Merging::start(dir, at, inputs, self.expired_before());
                self.merging =
                    Some(started.map_err(DedupeError::io(&self.options.dir, "start a thread to merge"))?);
            }
        }
        Ok(())
    }

    /// Keeps the filters of the newest runs, in half of the budget.
    fn fit_filters(&mut self) -> Result<(), DedupeError> {
        let mut left = self.options.memory_bytes / 2;
        for run in self.runs.iter_mut().rev() {
            let fits = run.filter_bytes() <= left;
            left = left.saturating_sub(run.filter_bytes());
            if fits == run.has_filter() {
                continue;
            }
            // A run that is being merged is shared; it will be replaced soon and can wait.
            let Some(run) = Arc::get_mut(run) else { continue };
            if fits { run.load_filter()? } else { run.drop_filter() }
        }
        Ok(())
    }
}

/// The runs' files, oldest first, after cleaning up what a crash may have left.
fn list(dir: &Path) -> Result<Vec<PathBuf>, DedupeError> {
    let mut runs: Vec<(Offset, Offset, PathBuf)> = Vec::new();
    let mut delete = Vec::new();
    for entry in fs::read_dir(dir).map_err(DedupeError::io(dir, "list the folder"))? {
        let path = entry.map_err(DedupeError::io(dir, "list the folder"))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".tmp") {
            delete.push(path);
        } else if let Some((first, end)) = run::range_of(name) {
            runs.push((first, end, path));
        }
    }
    // Of runs with one first offset the longest comes first, so that it stands before what it holds.
    runs.sort_by_key(|(first, end, _)| (*first, std::cmp::Reverse(*end)));
    let mut kept: Vec<(Offset, Offset, PathBuf)> = Vec::new();
    for run in runs {
        match kept.last() {
            Some((_, end, _)) if run.1 <= *end => delete.push(run.2),
            _ => kept.push(run),
        }
    }
    for path in delete {
        fs::remove_file(&path).map_err(DedupeError::io(&path, "delete it"))?;
    }
    Ok(kept.into_iter().map(|(_, _, path)| path).collect())
}
