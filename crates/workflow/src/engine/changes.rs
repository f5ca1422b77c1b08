//! What a step changed, as writes and effects.

use super::runner::Job;
use super::{Effect, Engine, commit::Ended};
use crate::WorkflowError;
use crate::machine::{Action, Execution, Frame, FrameId, Outcome, Pattern, Phase, Resource, Stepped};
use crate::store::{self, Named, Writes, delete, frame_key, put};
use bourn_asl::Kind;
use bourn_state::Key;
use sha2::{Digest, Sha256};

/// Events in one record of a history.
const CHUNK_EVENTS_MAX: usize = 1_000;

/// The first eight bytes of a text's SHA-256.
pub fn fingerprint(text: &str) -> u64 {
    let hash = Sha256::digest(text.as_bytes());
    hash.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Adds what a step did.
pub fn collect(
    ex: &mut Execution,
    stepped: Stepped,
    writes: &mut Writes,
    effects: &mut Vec<Effect>,
) -> Result<(), WorkflowError> {
    let execution = ex.meta.seq;
    for events in stepped.events.chunks(CHUNK_EVENTS_MAX) {
        let Some(first) = events.first() else { continue };
        put(writes, Key::WorkflowHistory { execution, event: first.id }, &events)?;
    }
    put(writes, Key::WorkflowHead { execution }, &ex.head)?;
    frames(ex, writes)?;
    for action in stepped.actions {
        act(ex, action, writes, effects)?;
    }
    Ok(())
}

fn frames(ex: &mut Execution, writes: &mut Writes) -> Result<(), WorkflowError> {
    let execution = ex.meta.seq;
    for (id, gone) in std::mem::take(&mut ex.removed) {
        delete(writes, frame_key(execution, id, 0));
        if gone.has_items {
            delete(writes, frame_key(execution, id, 1));
        }
        if gone.in_flight {
            delete(writes, in_flight_key(execution, id));
        }
    }
    for id in std::mem::take(&mut ex.changed) {
        let wanted = wants_runner(ex, id);
        let Some(frame) = ex.frames.get_mut(&id) else { continue };
        items(execution, id, frame, writes)?;
        if wanted != frame.in_flight {
            frame.in_flight = wanted;
            let value = wanted.then(Vec::new);
            writes.push((in_flight_key(execution, id), value));
        }
        frame.stored = true;
        put(writes, frame_key(execution, id, 0), &*frame)?;
    }
    Ok(())
}

fn items(execution: u64, id: FrameId, frame: &mut Frame, writes: &mut Writes) -> Result<(), WorkflowError> {
    match &frame.items {
        Some(items) if frame.items_changed => {
            put(writes, frame_key(execution, id, 1), items)?;
            frame.has_items = true;
            frame.items_changed = false;
        }
        None if frame.has_items => {
            delete(writes, frame_key(execution, id, 1));
            frame.has_items = false;
        }
        _ => {}
    }
    Ok(())
}

fn in_flight_key(execution: u64, frame: FrameId) -> Key {
    Key::WorkflowInFlight { execution, frame: u64::from(frame) }
}

/// Does a task have to be at work for a frame?
pub fn wants_runner(ex: &Execution, id: FrameId) -> bool {
    let Some(Frame { phase: Phase::Task(task), .. }) = ex.frames.get(&id) else { return false };
    match resource(ex, id) {
        None | Some(Resource::Activity(_)) => false,
        Some(resource) => resource.pattern() != Pattern::Token || task.submitted.is_none(),
    }
}

fn resource(ex: &Execution, id: FrameId) -> Option<Resource> {
    match &ex.state_of(&ex.machine, id)?.kind {
        Kind::Task(task) => Some(Resource::parse(&task.resource)),
        Kind::Map(_) => Some(Resource::parse("bourn:mapRun")),
        _ => None,
    }
}

/// What a runner needs to know of a frame's task.
pub fn job(ex: &Execution, id: FrameId) -> Option<Job> {
    let frame = ex.frames.get(&id)?;
    let task = frame.task()?;
    let state = ex.state_of(&ex.machine, id)?;
    let map_state = matches!(state.kind, Kind::Map(_)).then(|| state.name.clone());
    Some(Job {
        id: (ex.meta.seq, id, task.attempt),
        resource: resource(ex, id)?,
        parameters: task.parameters.clone(),
        submitted: task.submitted.clone(),
        meta: ex.meta.clone(),
        machine: ex.machine.clone(),
        visible: frame.visible.clone(),
        map_state,
        entered_at: frame.entered_at,
    })
}

fn act(
    ex: &Execution,
    action: Action,
    writes: &mut Writes,
    effects: &mut Vec<Effect>,
) -> Result<(), WorkflowError> {
    let execution = ex.meta.seq;
    match action {
        Action::Task { frame, .. } => effects.extend(job(ex, frame).map(|job| Effect::Run(Box::new(job)))),
        Action::CancelTask { frame, attempt } => effects.push(Effect::Cancel((execution, frame, attempt))),
        Action::Offer { frame, activity, .. } => {
            writes.push((offer_key(&activity, execution, frame), Some(Vec::new())));
            effects.push(Effect::Offered);
        }
        Action::Withdraw { frame, activity, .. } => delete(writes, offer_key(&activity, execution, frame)),
        Action::SetTimer { frame, timer } => {
            put(writes, super::timers::key(execution, frame, timer), &timer.wall)?;
            effects.push(Effect::SetTimer { seq: execution, frame, timer });
        }
        Action::ClearTimer { frame, timer } => {
            delete(writes, super::timers::key(execution, frame, timer));
            effects.push(Effect::ClearTimer { seq: execution, frame, timer });
        }
        Action::End(outcome) => end(ex, outcome, writes, effects)?,
    }
    Ok(())
}

pub fn offer_key(activity: &str, execution: u64, frame: FrameId) -> Key {
    let name = activity.rsplit(':').next().unwrap_or_default();
    Key::WorkflowOffer { activity: name.to_owned(), execution, frame: u64::from(frame) }
}

fn end(
    ex: &Execution,
    outcome: Outcome,
    writes: &mut Writes,
    effects: &mut Vec<Effect>,
) -> Result<(), WorkflowError> {
    let (meta, execution, status) = (&ex.meta, ex.meta.seq, ex.head.status);
    put(writes, Key::WorkflowOutcome { execution }, &outcome)?;
    put(writes, name_key(&meta.machine_name, &meta.name), &named(ex, Some(outcome.ended_at)))?;
    writes.push((Key::WorkflowEnded { at: store::key_time(outcome.ended_at), execution }, Some(Vec::new())));
    if meta.map_run.is_none() {
        delete(writes, store::index_key(&meta.machine_name, crate::ExecutionStatus::Running, execution));
        writes.push((store::index_key(&meta.machine_name, status, execution), Some(Vec::new())));
    }
    let took = outcome.ended_at - ex.meta.started_at;
    let is_counted = meta.map_run.is_none();
    let ended = Ended { seq: execution, is_counted, status, machine: meta.machine_name.clone(), took };
    effects.push(Effect::Ended(Box::new(ended)));
    Ok(())
}

pub fn name_key(machine: &str, name: &str) -> Key {
    Key::WorkflowName { machine: machine.to_owned(), name: name.to_owned() }
}

pub fn named(ex: &Execution, ended_at: Option<bourn_event::Micros>) -> Named {
    let input = fingerprint(ex.meta.input.text());
    Named { seq: ex.meta.seq, started_at: ex.meta.started_at, input, ended_at }
}

impl Engine {
    /// Puts an execution together from what is stored.
    pub fn load(&self, seq: u64) -> Result<Option<Execution>, WorkflowError> {
        let Some(known) = store::known(&self.state, seq)? else { return Ok(None) };
        let machine = self.machine(&known.meta.revision)?;
        let frames = store::frames(&self.state, seq)?;
        Ok(Some(Execution::restore(std::sync::Arc::new(known.meta), machine, known.head, frames)))
    }
}
