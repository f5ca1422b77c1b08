//! Map runs: the children of a distributed Map, each an execution of its own.
//!
//! A map run is a task like any other to the machine. What it has done is found again after a crash: the
//! inputs of its children are stored before the first of them starts, and a child is stored under its
//! index in the batch that starts it. A redrive of the parent is another try of the same run: children that
//! succeeded keep what they have put out, the others go on.
//!
//! ```text
//! WorkflowMapRun    MapRunRecord
//! WorkflowMapItems  Vec<Data>     inputs of children, in chunks; whole once the record says so
//! WorkflowMapChild  ChildRecord   by its index
//! ```

mod drive;

pub use drive::drive;

use super::{Engine, runner::Job};
use crate::WorkflowError;
use crate::api::{ExecutionStatus, MapRunCounts};
use crate::data::Data;
use crate::machine::{FrameId, Input, Outcome, TaskPhase};
use crate::store::{self, Writes, get, put};
use bourn_event::Micros;
use bourn_state::{Key, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// A map run's number is its parent's and the first try's, so that those of one parent lie together.
const TRY_BITS: u32 = 24;

/// Inputs in one record, about.
const CHUNK_BYTES: usize = 1 << 20;

/// A map run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapRunRecord {
    pub arn: String,
    pub execution: u64,
    pub status: ExecutionStatus,
    pub started_at: Micros,
    pub ended_at: Option<Micros>,
    pub max_concurrency: u32,
    pub tolerated_count: u64,
    pub tolerated_percentage: f64,
    pub total: u64,
    pub items: u64,
    pub results_written: u64,
    /// Are the inputs of all children stored?
    pub has_inputs: bool,
    pub redrive_count: u32,
    pub redriven_at: Option<Micros>,
}

/// A child of a map run. Persisted by position: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ChildRecord {
    Standard(u64),
    /// An Express child that has ended.
    Done(ExecutionStatus, Outcome),
    /// A Standard child that began, or was driven again last, in this redrive of the run.
    Redriven(u64, u32),
    /// An Express child that ended in this redrive of the run.
    DoneAgain(ExecutionStatus, Outcome, u32),
}

impl ChildRecord {
    /// Number of its execution, if it is Standard.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::Standard(seq) | Self::Redriven(seq, _) => Some(*seq),
            Self::Done(..) | Self::DoneAgain(..) => None,
        }
    }

    /// The redrive of the run that it was last at work in.
    fn redrive(&self) -> u32 {
        match self {
            Self::Standard(_) | Self::Done(..) => 0,
            Self::Redriven(_, redrive) | Self::DoneAgain(_, _, redrive) => *redrive,
        }
    }

    /// How it stands; a child whose execution was swept had succeeded.
    fn status(&self, state: &State) -> Result<ExecutionStatus, WorkflowError> {
        Ok(match self {
            Self::Done(status, _) | Self::DoneAgain(status, ..) => *status,
            Self::Standard(seq) | Self::Redriven(seq, _) => {
                store::known(state, *seq)?.map_or(ExecutionStatus::Succeeded, |known| known.head.status)
            }
        })
    }
}

/// The number of the run that a Map's task is a try of.
fn number(execution: u64, task: &TaskPhase) -> u64 {
    number_of(execution, task.attempt, &task.parameters)
}

/// The same, of a job.
pub fn number_of_job(job: &Job) -> u64 {
    number_of(job.id.0, job.id.2, &job.parameters)
}

fn number_of(execution: u64, attempt: u32, parameters: &Data) -> u64 {
    let first = parameters.value().get("run").and_then(Value::as_u64).unwrap_or_else(|| u64::from(attempt));
    (execution << TRY_BITS) | (first & ((1 << TRY_BITS) - 1))
}

/// The execution that a map run belongs to.
pub fn parent_of(map_run: u64) -> u64 {
    map_run >> TRY_BITS
}

/// The map runs of an execution.
pub fn map_runs_of(state: &State, execution: u64) -> Result<Vec<(u64, MapRunRecord)>, WorkflowError> {
    let key = |execution: u64| Key::WorkflowMapRun { map_run: execution << TRY_BITS };
    let mut runs = Vec::new();
    for entry in state.range_raw(&key(execution), &key(execution + 1)) {
        let (key, value) = entry?;
        if let Key::WorkflowMapRun { map_run } = key {
            runs.push((map_run, crate::codec::decode(&value)?));
        }
    }
    Ok(runs)
}

/// The children of a map run, in their order.
pub fn children(
    state: &State,
    map_run: u64,
) -> impl DoubleEndedIterator<Item = Result<(u64, ChildRecord), WorkflowError>> {
    let key = |index| Key::WorkflowMapChild { map_run, index };
    state.range_raw(&key(0), &key(u64::MAX)).map(|entry| {
        let (key, value) = entry?;
        let index = if let Key::WorkflowMapChild { index, .. } = key { index } else { 0 };
        Ok((index, crate::codec::decode(&value)?))
    })
}

/// How many children stand how.
pub fn counts(state: &State, map_run: u64, record: &MapRunRecord) -> Result<MapRunCounts, WorkflowError> {
    let mut counts = MapRunCounts { total: record.total, ..MapRunCounts::default() };
    let mut begun = 0;
    for child in children(state, map_run) {
        begun += 1;
        let child = child?.1;
        let status = child.status(state)?;
        let waits = record.status == ExecutionStatus::Running && child.redrive() < record.redrive_count;
        match status {
            ExecutionStatus::Running => counts.running += 1,
            ExecutionStatus::Succeeded => counts.succeeded += 1,
            _ if waits => counts.pending_redrive += 1,
            ExecutionStatus::Failed => counts.failed += 1,
            ExecutionStatus::TimedOut => counts.timed_out += 1,
            ExecutionStatus::Aborted => counts.aborted += 1,
            ExecutionStatus::PendingRedrive => counts.pending_redrive += 1,
        }
    }
    counts.pending = record.total.saturating_sub(begun);
    Ok(counts)
}

/// Stops the children of a map run that nobody waits for, or starts, any more.
pub async fn abandon(engine: &Arc<Engine>, map_run: u64) -> Result<(), WorkflowError> {
    // Those that were about to begin are stored by then.
    engine.settle().await?;
    let standing: Vec<_> = children(&engine.state, map_run).collect::<Result<_, _>>()?;
    for (_, child) in standing {
        if let Some(seq) = child.seq()
            && child.status(&engine.state)? == ExecutionStatus::Running
        {
            engine.input(seq, Input::Stop { error: None, cause: None }).await?;
        }
    }
    finish(engine, map_run, ExecutionStatus::Aborted, 0)
}

fn finish(
    engine: &Engine,
    map_run: u64,
    status: ExecutionStatus,
    results_written: u64,
) -> Result<(), WorkflowError> {
    let key = Key::WorkflowMapRun { map_run };
    let Some(mut record) = get::<MapRunRecord>(&engine.state, &key)? else { return Ok(()) };
    record.status = status;
    record.ended_at = Some(engine.now().wall);
    record.results_written = results_written;
    let mut writes = Vec::new();
    put(&mut writes, key, &record)?;
    store::commit(&engine.state, writes)
}

/// Tells a map run that one of its children begins, or is driven again, in the batch that does it.
pub fn begins(state: &State, seq: u64, child: (u64, u32), writes: &mut Writes) -> Result<(), WorkflowError> {
    let (map_run, index) = child;
    let run: Option<MapRunRecord> = get(state, &Key::WorkflowMapRun { map_run })?;
    let record = match run.map_or(0, |run| run.redrive_count) {
        0 => ChildRecord::Standard(seq),
        redrive => ChildRecord::Redriven(seq, redrive),
    };
    put(writes, Key::WorkflowMapChild { map_run, index: u64::from(index) }, &record)
}

/// Stores the inputs of all children, before any of them starts.
fn store_inputs(state: &State, map_run: u64, inputs: &[Value]) -> Result<(), WorkflowError> {
    let (mut chunk, mut bytes, mut number) = (Vec::new(), 0, 0);
    for (index, input) in inputs.iter().enumerate() {
        let input = Data::new(input.clone());
        bytes += input.text().len();
        chunk.push(input);
        if bytes >= CHUNK_BYTES || index + 1 == inputs.len() {
            let mut writes = Vec::new();
            put(&mut writes, Key::WorkflowMapItems { map_run, chunk: number }, &chunk)?;
            store::commit(state, writes)?;
            chunk.clear();
            (bytes, number) = (0, number + 1);
        }
    }
    Ok(())
}

fn stored_inputs(state: &State, map_run: u64) -> Result<Vec<Value>, WorkflowError> {
    let key = |chunk| Key::WorkflowMapItems { map_run, chunk };
    let mut inputs = Vec::new();
    for entry in state.range_raw(&key(0), &key(u64::MAX)) {
        let chunk: Vec<Data> = crate::codec::decode(&entry?.1)?;
        inputs.extend(chunk.into_iter().map(Data::into_value));
    }
    Ok(inputs)
}

/// Deletes the map runs of an execution. Its children are executions, with ends of their own.
pub fn forget(state: &State, execution: u64, writes: &mut Writes) -> Result<(), WorkflowError> {
    for (map_run, _) in map_runs_of(state, execution)? {
        let child = |index| Key::WorkflowMapChild { map_run, index };
        let items = |chunk| Key::WorkflowMapItems { map_run, chunk };
        let children = state.range_raw(&child(0), &child(u64::MAX));
        for entry in children.chain(state.range_raw(&items(0), &items(u64::MAX))) {
            store::delete(writes, entry?.0);
        }
        store::delete(writes, Key::WorkflowMapRun { map_run });
    }
    Ok(())
}

impl Engine {
    /// Map runs that count as running, but that no execution waits for: the last process ended before it
    /// had stopped their children.
    pub(super) fn orphaned_map_runs(&self) -> Result<Vec<u64>, WorkflowError> {
        let (from, to) = (Key::WorkflowMapRun { map_run: 0 }, Key::WorkflowMapRun { map_run: u64::MAX });
        let mut orphans = Vec::new();
        for entry in self.state.range_raw(&from, &to) {
            let (key, value) = entry?;
            let (Key::WorkflowMapRun { map_run }, record) =
                (key, crate::codec::decode::<MapRunRecord>(&value)?)
            else {
                continue;
            };
            if record.status == ExecutionStatus::Running && !self.awaits_map_run(record.execution, map_run)? {
                orphans.push(map_run);
            }
        }
        Ok(orphans)
    }

    fn awaits_map_run(&self, execution: u64, map_run: u64) -> Result<bool, WorkflowError> {
        let key = |frame| Key::WorkflowInFlight { execution, frame };
        let Some(ex) = self.load(execution)? else { return Ok(false) };
        for entry in self.state.range_raw(&key(0), &key(u64::MAX)) {
            let Key::WorkflowInFlight { frame, .. } = entry?.0 else { continue };
            let task = ex.frames.get(&(frame as FrameId)).and_then(|frame| frame.task());
            if task.is_some_and(|task| number(execution, task) == map_run) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
