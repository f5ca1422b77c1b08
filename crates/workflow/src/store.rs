//! What is stored of executions, and how it is read back.
//!
//! ```text
//! WorkflowExecution  Meta           once
//! WorkflowHead       Head           every step
//! WorkflowFrame      Frame          when it changed; part 1 holds a Map's items
//! WorkflowHistory    Vec<Event>     every step, by the first event's number
//! WorkflowOutcome    Outcome        at the end
//! WorkflowIndex      ()             moves from RUNNING to how it ended
//! WorkflowEnded      ()             at the end, for the sweep
//! WorkflowName       Named          while the name may not be used again
//! WorkflowInFlight   ()             while a runner has to be at work
//! WorkflowTimer      Timed          until it has fired
//! ```
//! All writes of one step are one atomic batch.

use crate::WorkflowError;
use crate::api::{ExecutionStatus, MachineType, Tags};
use crate::codec::{decode, encode};
use crate::data::Data;
use crate::event::Event;
use crate::machine::{Frame, FrameId, Head, Meta, Outcome};
use bourn_event::Micros;
use bourn_state::{Durability, Key, State};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// A machine as it is registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineRecord {
    pub name: String,
    pub machine_type: MachineType,
    pub role_arn: String,
    /// Hash of the definition.
    pub revision: String,
    pub created_at: Micros,
    pub from_file: bool,
    /// JSON texts, kept and given back.
    pub logging: Option<String>,
    pub tracing: Option<String>,
    pub events_max: u64,
    pub payload_bytes_max: u64,
    pub history: Micros,
}

/// Whose a name is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub seq: u64,
    pub started_at: Micros,
    /// Hash of the input: the same name with the same input is the same execution.
    pub input: u64,
    pub ended_at: Option<Micros>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityRecord {
    pub name: String,
    pub created_at: Micros,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord(pub Tags);

/// Writes that belong together.
pub type Writes = Vec<(Key, Option<Vec<u8>>)>;

/// A read of a record.
pub fn get<T: DeserializeOwned>(state: &State, key: &Key) -> Result<Option<T>, WorkflowError> {
    state.get_raw(key)?.map(|bytes| decode(&bytes)).transpose()
}

pub fn put<T: Serialize>(writes: &mut Writes, key: Key, value: &T) -> Result<(), WorkflowError> {
    writes.push((key, Some(encode(value)?)));
    Ok(())
}

pub fn delete(writes: &mut Writes, key: Key) {
    writes.push((key, None));
}

/// Writes a few records at once, durably.
pub fn commit(state: &State, writes: Writes) -> Result<(), WorkflowError> {
    let mut batch = state.batch();
    for (key, value) in &writes {
        match value {
            Some(value) => batch.put_raw(key, value),
            None => batch.delete(key),
        }
    }
    Ok(batch.commit(Durability::Synced)?)
}

pub fn frame_key(execution: u64, frame: FrameId, part: u64) -> Key {
    Key::WorkflowFrame { execution, frame: u64::from(frame), part }
}

pub fn index_key(machine: &str, status: ExecutionStatus, execution: u64) -> Key {
    Key::WorkflowIndex { machine: machine.to_owned(), status: status as u64, execution }
}

/// A time as part of a key. Times before 1970 are as good as 1970.
pub fn key_time(at: Micros) -> u64 {
    u64::try_from(at).unwrap_or(0)
}

/// The frames of an execution.
pub fn frames(state: &State, execution: u64) -> Result<BTreeMap<FrameId, Frame>, WorkflowError> {
    let mut frames = BTreeMap::new();
    for entry in state.range_raw(&frame_key(execution, 0, 0), &frame_key(execution, FrameId::MAX, 2)) {
        let (key, value) = entry?;
        let Key::WorkflowFrame { frame, part, .. } = key else { continue };
        let id = frame as FrameId;
        match part {
            0 => {
                frames.insert(id, decode::<Frame>(&value)?);
            }
            _ => {
                if let Some(frame) = frames.get_mut(&id) {
                    frame.items = Some(decode::<Data>(&value)?);
                }
            }
        }
    }
    Ok(frames)
}

/// What is known of an execution without its frames.
pub struct Known {
    pub meta: Meta,
    pub head: Head,
    pub outcome: Option<Outcome>,
}

pub fn known(state: &State, execution: u64) -> Result<Option<Known>, WorkflowError> {
    let Some(meta) = get(state, &Key::WorkflowExecution { execution })? else { return Ok(None) };
    let Some(head) = get(state, &Key::WorkflowHead { execution })? else { return Ok(None) };
    let outcome = get(state, &Key::WorkflowOutcome { execution })?;
    Ok(Some(Known { meta, head, outcome }))
}

/// The revision in a stored [`Meta`], found without reading the input that stands before it.
pub fn revision_of(meta: &[u8]) -> Result<&str, WorkflowError> {
    #[derive(Deserialize)]
    struct Front<'a> {
        _seq: u64,
        #[serde(borrow)]
        _names: [&'a str; 6],
        _started_at: Micros,
        #[serde(borrow)]
        _input: &'a str,
        _express: bool,
        _events_max: u64,
        _payload_bytes_max: u64,
        #[serde(borrow)]
        revision: &'a str,
    }
    Ok(crate::codec::decode_front::<Front<'_>>(meta)?.revision)
}

/// Events from `first` on (or, in reverse, from `first` back), at most `max`.
pub fn events(
    state: &State,
    execution: u64,
    first: u64,
    reverse: bool,
    max: usize,
) -> Result<Vec<Event>, WorkflowError> {
    let key = |event| Key::WorkflowHistory { execution, event };
    let mut events: Vec<Event> = Vec::new();
    if reverse {
        for entry in state.range_raw(&key(0), &key(first.saturating_add(1))).rev() {
            let chunk: Vec<Event> = decode(&entry?.1)?;
            events.extend(chunk.into_iter().rev().filter(|event| event.id <= first));
            if events.len() >= max {
                break;
            }
        }
    } else {
        // The chunk that `first` is in may begin before it.
        let before = state.range_raw(&key(0), &key(first.saturating_add(1))).next_back();
        let from = match before {
            Some(entry) => entry?.0,
            None => key(first),
        };
        for entry in state.range_raw(&from, &key(u64::MAX)) {
            let chunk: Vec<Event> = decode(&entry?.1)?;
            events.extend(chunk.into_iter().filter(|event| event.id >= first));
            if events.len() >= max {
                break;
            }
        }
    }
    events.truncate(max);
    Ok(events)
}

/// Deletes everything of an execution but its name.
pub fn forget(state: &State, known: &Known, writes: &mut Writes) -> Result<(), WorkflowError> {
    let execution = known.meta.seq;
    let frames = state.range_raw(&frame_key(execution, 0, 0), &frame_key(execution, FrameId::MAX, 2));
    let history = state.range_raw(
        &Key::WorkflowHistory { execution, event: 0 },
        &Key::WorkflowHistory { execution, event: u64::MAX },
    );
    for entry in frames.chain(history) {
        delete(writes, entry?.0);
    }
    delete(writes, Key::WorkflowExecution { execution });
    delete(writes, Key::WorkflowHead { execution });
    delete(writes, Key::WorkflowOutcome { execution });
    delete(writes, index_key(&known.meta.machine_name, known.head.status, execution));
    Ok(())
}
