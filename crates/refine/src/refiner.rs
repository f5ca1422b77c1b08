//! Takes batches through the stages, in offset order.

use crate::dedupe::{DedupeError, Index, IndexOptions};
use crate::outside::Outside;
use crate::plan::Stages;
use crate::stages::Step;
use crate::time::TimeFault;
use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use bourn_config::LatePolicy;
use bourn_event::{
    Decoded, Drop as Dropped, Fault, Micros, Offset, Outcome, Producer, Refined, Reject, RejectReason,
};
use bytes::Bytes;
use datafusion::common::DataFusionError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The producer whose sequences make refine's own records idempotent: offset + 1.
const PRODUCER: &str = "refine";

/// Where a refiner begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first offset that is not settled.
    pub offset: Offset,
    /// The largest event time of what is settled.
    pub event_time_max: Option<Micros>,
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The stream's own index, which outlives the refiner.
    Live,
    /// An index of its own, empty, and deleted with the refiner.
    Replay,
}

/// Gives the bytes of events, for rejects.
pub trait Originals {
    /// # Errors
    /// Why they cannot be read, for people.
    fn original(&mut self, offset: Offset) -> Result<Bytes, String>;
}

/// Why a batch was not refined. The refiner must not be used for the same batch again.
#[derive(Debug, thiserror::Error)]
pub enum RefineError {
    /// Retryable from a new refiner when the disk recovers.
    #[error(transparent)]
    Dedupe(#[from] DedupeError),
    #[error("the event at offset {offset} cannot be read back for its reject: {message}")]
    Original { offset: Offset, message: String },
    #[error("a batch of offset {offset} came where {expected} was expected")]
    Order { offset: Offset, expected: Offset },
    #[error("the batch does not have the columns the plan was made for: {0}")]
    Columns(String),
    #[error("a stage failed on a whole batch: {0}")]
    Stage(String),
    /// What a step calls cannot be called here, now or later.
    #[error("{0}")]
    Outside(String),
    /// The pipeline is closing while a step waits for an answer: the batch comes again at the next start.
    #[error("closing while a step waits")]
    Closed,
}

impl From<ArrowError> for RefineError {
    fn from(error: ArrowError) -> Self {
        Self::Stage(error.to_string())
    }
}

impl From<DataFusionError> for RefineError {
    fn from(error: DataFusionError) -> Self {
        Self::Stage(error.strip_backtrace())
    }
}

/// The stages at work.
pub struct Refiner {
    pub(crate) stages: Arc<Stages>,
    pub(crate) steps: Vec<Step>,
    pub(crate) outside: Arc<dyn Outside>,
    index: Option<Index>,
    replay_dir: Option<PathBuf>,
    replays: bool,
    next: Offset,
    event_time_max: Option<Micros>,
    keys: Vec<u128>,
    time_faults: Vec<(u32, TimeFault)>,
    duplicates: Vec<(u32, Offset)>,
    told: BTreeMap<Offset, Dropped>,
}

/// What has become of a batch so far.
#[derive(Default)]
pub(crate) struct Outcomes {
    pub parts: Vec<RecordBatch>,
    pub drops: Vec<(u32, Outcome, Option<Offset>)>,
    pub faults: Vec<(u32, Fault)>,
}

impl Refiner {
    pub(crate) fn new(
        stages: Arc<Stages>,
        start: Start,
        outside: Arc<dyn Outside>,
    ) -> Result<Self, RefineError> {
        let steps = stages.steps.iter().map(|step| Step::new(step, &stages.lookups));
        let steps = steps.collect::<Result<_, _>>()?;
        let replays = start.mode == Mode::Replay;
        let mut replay_dir = None;
        let index = match &stages.dedupe {
            None => None,
            Some((key, window, memory_bytes)) => {
                let mut dir = stages.options.dedupe_dir.clone();
                if replays {
                    static COUNT: AtomicU64 = AtomicU64::new(0);
                    let count = COUNT.fetch_add(1, Ordering::Relaxed);
                    dir = dir.join(format!("replay-{}-{count}", std::process::id()));
                    replay_dir = Some(dir.clone());
                } else {
                    clean_replays(&dir);
                }
                let (window, memory_bytes, fingerprint) = (*window, *memory_bytes, key.fingerprint());
                Some(Index::open(IndexOptions { dir, window, memory_bytes, fingerprint }, start.offset)?)
            }
        };
        Ok(Self {
            stages,
            steps,
            outside,
            index,
            replay_dir,
            replays,
            next: start.offset,
            event_time_max: start.event_time_max,
            keys: Vec::new(),
            time_faults: Vec::new(),
            duplicates: Vec::new(),
            told: BTreeMap::new(),
        })
    }

    /// Gives events their outcomes that were told of before (in the rejects' and outcomes' logs) and are
    /// not committed yet: they keep them, whatever a step or another definition would say now. Call
    /// it before the first batch.
    pub fn recall(&mut self, told: impl IntoIterator<Item = Dropped>) {
        self.told.extend(told.into_iter().map(|drop| (drop.offset, drop)));
    }

    /// The outcome of an event that was told of before.
    pub fn told(&self, offset: Offset) -> Option<&Dropped> {
        self.told.get(&offset)
    }

    /// Offset from which [`Self::remember`] must be fed, up to the start, before the first batch;
    /// the start itself if nothing is missing. A replay misses nothing unless it starts midway.
    pub fn rebuild_from(&self) -> Offset {
        match &self.index {
            Some(index) => index.rebuild_from().min(self.next),
            None => self.next,
        }
    }

    /// The log must be kept from here on.
    pub fn needs_log_from(&self) -> Offset {
        self.rebuild_from()
    }

    /// Learns the keys of settled events, in offset order. `unstored` are those of the batch's
    /// offsets that ended as rejects or late, ascending: they keep nobody out.
    pub fn remember(&mut self, batch: &Decoded, unstored: &[Offset]) -> Result<(), RefineError> {
        let (Some((key, ..)), Some(index)) = (&self.stages.dedupe, &mut self.index) else { return Ok(()) };
        key.hash(&batch.columns, index.seed(), &mut self.keys);
        self.duplicates.clear();
        let stores = |row: usize| unstored.binary_search(&batch.offset_of(row)).is_err();
        let offset_of = |row| batch.offset_of(row);
        index.judge(&self.keys, offset_of, batch.received_at, stores, &mut self.duplicates)?;
        index.judged(batch.end(), batch.received_at);
        index.settled(batch.end())?;
        Ok(())
    }

    /// Everything before `offset` is committed. Call it after each commit: it lets the dedupe index
    /// keep its budget, forget what left the window, and free the log.
    pub fn settled(&mut self, offset: Offset) -> Result<(), RefineError> {
        if self.told.first_key_value().is_some_and(|(first, _)| *first < offset) {
            self.told = self.told.split_off(&offset);
        }
        if let Some(index) = &mut self.index {
            index.settled(offset)?;
        }
        Ok(())
    }

    /// Writes down what is settled, at a clean shutdown: the next start has nothing to rebuild.
    pub fn checkpoint(&mut self) -> Result<(), RefineError> {
        match &mut self.index {
            Some(index) if !self.replays => Ok(index.checkpoint()?),
            _ => Ok(()),
        }
    }

    /// Bytes the dedupe index holds in memory.
    pub fn memory_bytes(&self) -> usize {
        self.index.as_ref().map_or(0, Index::memory_bytes)
    }

    /// Takes the next batch through all stages. Each of its offsets is in exactly one of the
    /// result's rows, drops and rejects.
    pub fn process(
        &mut self,
        batch: &Decoded,
        originals: &mut dyn Originals,
    ) -> Result<Refined, RefineError> {
        self.admit(batch)?;
        let stages = Arc::clone(&self.stages);
        self.time_faults.clear();
        if let Some(time) = &stages.time {
            let faults = &mut self.time_faults;
            time.judge(&batch.columns, batch.received_at, &mut self.event_time_max, faults)?;
        }
        self.dedupe(batch)?;

        let mut outcomes = Outcomes::default();
        let mut waiting = std::mem::take(&mut self.duplicates);
        let mut candidates = self.survivors(batch, &waiting, &mut outcomes);
        loop {
            let failed_before = outcomes.faults.len();
            self.stage(batch, candidates, &mut outcomes)?;
            let failed = &outcomes.faults[failed_before..];
            if self.index.is_none() || failed.is_empty() {
                break;
            }
            let failed: Vec<u32> = failed.iter().map(|(row, _)| *row).collect();
            let again = self.judge_again(batch, &failed, &mut waiting, &mut outcomes)?;
            if again.is_empty() {
                break;
            }
            candidates = Some(again.into());
        }
        outcomes.drops.extend(waiting.iter().map(|(row, kept)| (*row, Outcome::Duplicate, Some(*kept))));
        waiting.clear();
        self.duplicates = waiting;
        if let Some(index) = &mut self.index {
            index.judged(batch.end(), batch.received_at);
            if self.replays {
                index.settled(batch.end())?;
            }
        }
        self.next = batch.end();
        self.finish(batch, outcomes, originals)
    }

    fn admit(&mut self, batch: &Decoded) -> Result<(), RefineError> {
        if batch.first_offset < self.next {
            return Err(RefineError::Order { offset: batch.first_offset, expected: self.next });
        }
        if batch.offsets.as_ref().is_some_and(|offsets| offsets.len() != batch.columns.num_rows()) {
            return Err(RefineError::Columns("its offsets are not one a row".to_owned()));
        }
        let (has, wanted) = (batch.columns.schema(), &self.stages.options.columns);
        if !Arc::ptr_eq(&has, wanted) {
            let same = |(a, b): (&Arc<_>, &Arc<_>)| {
                let (a, b): (&arrow::datatypes::Field, &arrow::datatypes::Field) = (a, b);
                a.name() == b.name() && a.data_type() == b.data_type()
            };
            if has.fields().len() != wanted.fields().len()
                || !has.fields().iter().zip(wanted.fields()).all(same)
            {
                return Err(RefineError::Columns(format!("{has} is not {wanted}")));
            }
        }
        self.steps.iter_mut().try_for_each(|step| step.refresh(&self.stages.lookups))?;
        Ok(())
    }

    fn dedupe(&mut self, batch: &Decoded) -> Result<(), RefineError> {
        self.duplicates.clear();
        let (Some((key, ..)), Some(index)) = (&self.stages.dedupe, &mut self.index) else { return Ok(()) };
        key.hash(&batch.columns, index.seed(), &mut self.keys);
        let (faults, told) = (&self.time_faults, &self.told);
        let stores = |row: usize| {
            let by_time =
                faults.is_empty() || faults.binary_search_by_key(&(row as u32), |(row, _)| *row).is_err();
            by_time
                && (told.is_empty()
                    || told.get(&batch.offset_of(row)).is_none_or(|drop| drop.outcome == Outcome::Filtered))
        };
        let offset_of = |row| batch.offset_of(row);
        index.judge(&self.keys, offset_of, batch.received_at, stores, &mut self.duplicates)?;
        if !told.is_empty() {
            self.duplicates.retain(|(row, _)| !told.contains_key(&batch.offset_of(*row as usize)));
        }
        Ok(())
    }

    /// The rows that go on, `None` for all; the others' outcomes but the duplicates'.
    fn survivors(
        &self,
        batch: &Decoded,
        duplicates: &[(u32, Offset)],
        outcomes: &mut Outcomes,
    ) -> Option<UInt32Array> {
        if duplicates.is_empty() && self.time_faults.is_empty() && self.told.is_empty() {
            return None;
        }
        let mut goes_on = vec![true; batch.columns.num_rows()];
        self.end_as_told(batch, &mut goes_on, outcomes);
        duplicates.iter().for_each(|(row, _)| goes_on[*row as usize] = false);
        for (row, fault) in &self.time_faults {
            if std::mem::replace(&mut goes_on[*row as usize], false) {
                self.end_by_time(*row, *fault, batch.received_at, outcomes);
            }
        }
        Some((0..goes_on.len() as u32).filter(|row| goes_on[*row as usize]).collect::<Vec<_>>().into())
    }

    fn end_as_told(&self, batch: &Decoded, goes_on: &mut [bool], outcomes: &mut Outcomes) {
        if self.told.is_empty() {
            return;
        }
        for row in 0..goes_on.len() as u32 {
            let Some(told) = self.told.get(&batch.offset_of(row as usize)) else { continue };
            goes_on[row as usize] = false;
            match told.outcome {
                Outcome::Rejected => {
                    let fault = Fault::new(RejectReason::File, "told of before");
                    outcomes.faults.push((row, fault));
                }
                outcome => outcomes.drops.push((row, outcome, told.kept)),
            }
        }
    }

    fn end_by_time(&self, row: u32, fault: TimeFault, received_at: Micros, outcomes: &mut Outcomes) {
        let field = self.stages.options.settings.event_time.as_ref().map(|time| time.field.as_str());
        let field = field.unwrap_or_default();
        let pointer = match field.starts_with('/') {
            true => field.to_owned(),
            false => format!("/{}", field.replace('~', "~0").replace('/', "~1")),
        };
        let (reason, message) = match fault {
            TimeFault::Future { event_time } => (
                RejectReason::FutureTime,
                format!("its time lies {} after its receipt", length(event_time.saturating_sub(received_at))),
            ),
            TimeFault::Late { .. } if self.stages.options.settings.policy.late == LatePolicy::Drop => {
                outcomes.drops.push((row, Outcome::Late, None));
                return;
            }
            TimeFault::Late { event_time, event_time_max } => {
                let behind = length(event_time_max.saturating_sub(event_time));
                (RejectReason::Late, format!("its time lies {behind} behind the newest event's"))
            }
        };
        let fault = Fault { pointer, ..Fault::new(reason, message) };
        outcomes.faults.push((row, fault));
    }

    /// Events that a later stage refused kept others of the batch out: those get their turn.
    fn judge_again(
        &mut self,
        batch: &Decoded,
        failed: &[u32],
        waiting: &mut Vec<(u32, Offset)>,
        outcomes: &mut Outcomes,
    ) -> Result<Vec<u32>, RefineError> {
        let Some(index) = &mut self.index else { return Ok(Vec::new()) };
        for row in failed {
            index.forget(self.keys[*row as usize], batch.offset_of(*row as usize));
        }
        let mut failed: Vec<Offset> = failed.iter().map(|row| batch.offset_of(*row as usize)).collect();
        failed.sort_unstable();
        let (mut again, mut by_time) = (Vec::new(), Vec::new());
        let mut error = None;
        waiting.retain_mut(|(row, kept)| {
            if error.is_some() || failed.binary_search(kept).is_err() {
                return true;
            }
            let offset = batch.offset_of(*row as usize);
            let fault = self.time_faults.binary_search_by_key(row, |(row, _)| *row);
            let key = self.keys[*row as usize];
            match index.judge_again(key, offset, batch.received_at, fault.is_err()) {
                Ok(Some(other)) => {
                    *kept = other;
                    return true;
                }
                Ok(None) => match fault {
                    Ok(at) => by_time.push(self.time_faults[at]),
                    Err(_) => again.push(*row),
                },
                Err(failure) => error = Some(failure),
            }
            false
        });
        if let Some(error) = error {
            return Err(error.into());
        }
        for (row, fault) in by_time {
            self.end_by_time(row, fault, batch.received_at, outcomes);
        }
        Ok(again)
    }

    fn finish(
        &self,
        batch: &Decoded,
        mut outcomes: Outcomes,
        originals: &mut dyn Originals,
    ) -> Result<Refined, RefineError> {
        let rows = match outcomes.parts.len() {
            0 => RecordBatch::new_empty(Arc::clone(&self.stages.table)),
            1 => outcomes.parts.remove(0),
            _ => {
                let all = concat_batches(&self.stages.table, &outcomes.parts)?;
                take_record_batch(&all, &sort_to_indices(all.column(0), None, None)?)?
            }
        };
        debug_assert!(rows.column(0).as_primitive::<Int64Type>().values().is_sorted());
        outcomes.drops.sort_unstable_by_key(|(row, ..)| *row);
        outcomes.faults.sort_by_key(|(row, _)| *row);
        let names: Vec<Arc<str>> = match outcomes.drops.is_empty() {
            true => Vec::new(),
            false => batch.spans.iter().map(|span| span.source.as_str().into()).collect(),
        };
        let offset = |row: u32| batch.offset_of(row as usize);
        let mut place = SpanOf::default();
        let drops = outcomes.drops.iter().map(|(row, outcome, kept)| Dropped {
            offset: offset(*row),
            outcome: *outcome,
            source: names.get(place.of(batch, *row)).cloned().unwrap_or_else(|| "".into()),
            kept: *kept,
        });
        let drops = drops.collect();
        let mut rejects = Vec::with_capacity(outcomes.faults.len());
        for (row, fault) in outcomes.faults {
            rejects.push(self.reject(batch, row, fault, originals)?);
        }
        Ok(Refined {
            first_offset: batch.first_offset,
            end: batch.end(),
            rows,
            drops,
            rejects,
            event_time_max: self.event_time_max,
        })
    }

    fn reject(
        &self,
        batch: &Decoded,
        row: u32,
        fault: Fault,
        originals: &mut dyn Originals,
    ) -> Result<Reject, RefineError> {
        let offset = batch.offset_of(row as usize);
        if self.told(offset).is_some() {
            return Ok(self.told_reject(batch, row, fault));
        }
        let original =
            originals.original(offset).map_err(|message| RefineError::Original { offset, message })?;
        let original_len = original.len() as u64;
        let keep = self.stages.options.settings.max_reject.bytes().min(original.len());
        Ok(Reject {
            fault,
            schema_version: self.stages.options.schema_version.clone(),
            source: batch.source_of(row as usize).to_owned(),
            producer: Some(Producer { id: PRODUCER.to_owned(), sequence: offset + 1 }),
            received_at: batch.received_at,
            offset: Some(offset),
            original: original.slice(..keep),
            original_len,
        })
    }
}

impl Refiner {
    /// Counts as a reject; the record itself was kept before.
    fn told_reject(&self, batch: &Decoded, row: u32, fault: Fault) -> Reject {
        let offset = batch.offset_of(row as usize);
        Reject {
            fault,
            schema_version: self.stages.options.schema_version.clone(),
            source: batch.source_of(row as usize).to_owned(),
            producer: None,
            received_at: batch.received_at,
            offset: Some(offset),
            original: Bytes::new(),
            original_len: 0,
        }
    }
}

impl Drop for Refiner {
    fn drop(&mut self) {
        if let Some(dir) = self.replay_dir.take() {
            self.index = None;
            if let Err(error) = std::fs::remove_dir_all(&dir) {
                tracing::warn!(dir = %dir.display(), %error, "a replay's dedupe index could not be deleted");
            }
        }
    }
}

/// Deletes what replays of processes that died have left.
fn clean_replays(dir: &std::path::Path) {
    let own = format!("replay-{}-", std::process::id());
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let stale = name.to_str().is_some_and(|name| name.starts_with("replay-") && !name.starts_with(&own));
        if stale && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(dir = %entry.path().display(), %error, "an old replay's dedupe index could not be deleted");
        }
    }
}

/// Walks the spans along ascending rows.
#[derive(Default)]
pub(crate) struct SpanOf {
    span: usize,
    end: u32,
}

impl SpanOf {
    pub fn of(&mut self, batch: &Decoded, row: u32) -> usize {
        if self.end == 0 {
            self.end = batch.spans.first().map_or(0, |span| span.count);
        }
        while row >= self.end && self.span + 1 < batch.spans.len() {
            self.span += 1;
            self.end += batch.spans[self.span].count;
        }
        self.span
    }
}

fn length(micros: Micros) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0..120 => format!("{:.1} s", micros as f64 / 1e6),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
