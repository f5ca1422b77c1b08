//! Every key that is ever persisted, and its encoding (format v1).
//!
//! ```text
//! ┌──────────────┬───────────────────────────────────────────────┐
//! │ number (u16) │ parts, in the order of the variant's fields   │
//! └──────────────┴───────────────────────────────────────────────┘
//! text:   its UTF-8 bytes with 00 written as 00 FF, ended by 00 01
//! number: u64
//! ```
//!
//! All numbers are big-endian, so that the order of encodings is the order of the parts, and all keys
//! of a stream lie together. A number is never used again for anything else.
//!
//! | numbers | for |
//! | --- | --- |
//! | 0 | the format's version |
//! | 1–99 | the route |
//! | 100–199 | views and serving tables |
//! | 200–219 | workflows: executions, history, timers |
//! | 220–239 | functions: asynchronous invocations, metering |
//! | 240–259 | schedules, triggers and runs |
//! | 260–279 | keyed tables, queries of workflows |
//! | 300–399 | quality and alerts |

use std::fmt;

/// A persisted key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// 0: the version of the store's format, a number.
    FormatVersion,
    /// 1: a file that a file source has read to its end. `identity` is the file's content identity.
    FinishedFile { stream: String, identity: String },
    /// 2: which version of a stream's table is current; a replay writes the next and swaps.
    TableGeneration { stream: String },
    /// 3: a sealed segment on its way to the raw zone, by its first offset.
    LakeUpload { stream: String, first_offset: u64 },
    /// 4: a reject that was replayed or purged, by its offset in the rejects' log.
    ResolvedReject { stream: String, offset: u64 },
    /// 5: a replay that is under way, so that a restart goes on with it.
    Replay { stream: String },
    /// 6: how far a stream's rejects were purged: the offset behind the last one.
    PurgedRejects { stream: String },
    /// 240: how far a schedule has come, and its runs that are not over.
    Schedule { name: String },
    /// 241: a run, by its id, which sorts by time.
    Run { id: String },
    /// 242: the offset behind the last event of a stream that its triggers have settled.
    TriggerOffset { stream: String },
    /// 243: how far a backfill has come.
    Backfill { name: String },
    /// 244: an event on a bus, by its id: until its triggers have settled it, and a while longer.
    BusEvent { id: String },
    /// 220: an asynchronous invocation that is not settled yet, in the order of arrival.
    PendingInvocation { function: String, sequence: u64 },
    /// 221: an asynchronous invocation that was given up and has no other place to go.
    DeadInvocation { function: String, sequence: u64 },
    /// 260: an item of a keyed table. `partition` is the table's name, `/` and the item's key; `sort` is
    /// its sort key, or empty.
    KeyedItem { partition: String, sort: String },
    /// 261: a write to a keyed table that was done, by the id of its request, with its answer.
    KeyedRequest { id: String },
    /// 262: a query that a workflow started.
    QueryExecution { id: String },
    /// 263: a page of such a query's rows.
    QueryRows { id: String, page: u64 },
    /// 200: a machine, by name.
    WorkflowMachine { name: String },
    /// 201: a definition, by the hash of its text.
    WorkflowRevision { hash: String },
    /// 202: what never changes about an execution.
    WorkflowExecution { execution: u64 },
    /// 203: which execution has a name.
    WorkflowName { machine: String, name: String },
    /// 204: what changes about an execution with every step.
    WorkflowHead { execution: u64 },
    /// 205: one thread of control of an execution; part 1 is a Map's items.
    WorkflowFrame { execution: u64, frame: u64, part: u64 },
    /// 206: events of an execution, from this one on.
    WorkflowHistory { execution: u64, event: u64 },
    /// 207: a timer, in the order of time.
    WorkflowTimer { due: u64, execution: u64, frame: u64, serial: u64 },
    /// 208: a task that has to be at work.
    WorkflowInFlight { execution: u64, frame: u64 },
    /// 209: the executions of a machine, by status.
    WorkflowIndex { machine: String, status: u64, execution: u64 },
    /// 210: ended executions, in the order of time.
    WorkflowEnded { at: u64, execution: u64 },
    /// 211: an activity.
    WorkflowActivity { name: String },
    /// 212: a task that waits for a worker.
    WorkflowOffer { activity: String, execution: u64, frame: u64 },
    /// 213: a map run.
    WorkflowMapRun { map_run: u64 },
    /// 214: a child of a map run.
    WorkflowMapChild { map_run: u64, index: u64 },
    /// 215: items of a map run.
    WorkflowMapItems { map_run: u64, chunk: u64 },
    /// 216: tags of a machine or activity.
    WorkflowTags { arn: String },
    /// 217: numbers of executions that may have been given.
    WorkflowCounter,
    /// 218: how an execution ended.
    WorkflowOutcome { execution: u64 },
    /// 219: the time that timers count, and how far the wall clock was set.
    WorkflowClock,
}

/// The variants of [`Key`] by their stable number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum KeyKind {
    FormatVersion = 0,
    FinishedFile = 1,
    TableGeneration = 2,
    LakeUpload = 3,
    ResolvedReject = 4,
    Replay = 5,
    PurgedRejects = 6,
    Schedule = 240,
    Run = 241,
    TriggerOffset = 242,
    Backfill = 243,
    BusEvent = 244,
    PendingInvocation = 220,
    DeadInvocation = 221,
    KeyedItem = 260,
    KeyedRequest = 261,
    QueryExecution = 262,
    QueryRows = 263,
    WorkflowMachine = 200,
    WorkflowRevision = 201,
    WorkflowExecution = 202,
    WorkflowName = 203,
    WorkflowHead = 204,
    WorkflowFrame = 205,
    WorkflowHistory = 206,
    WorkflowTimer = 207,
    WorkflowInFlight = 208,
    WorkflowIndex = 209,
    WorkflowEnded = 210,
    WorkflowActivity = 211,
    WorkflowOffer = 212,
    WorkflowMapRun = 213,
    WorkflowMapChild = 214,
    WorkflowMapItems = 215,
    WorkflowTags = 216,
    WorkflowCounter = 217,
    WorkflowOutcome = 218,
    WorkflowClock = 219,
}

impl KeyKind {
    pub const ALL: [KeyKind; 38] = [
        Self::FormatVersion,
        Self::FinishedFile,
        Self::TableGeneration,
        Self::LakeUpload,
        Self::ResolvedReject,
        Self::Replay,
        Self::PurgedRejects,
        Self::Schedule,
        Self::Run,
        Self::TriggerOffset,
        Self::Backfill,
        Self::BusEvent,
        Self::PendingInvocation,
        Self::DeadInvocation,
        Self::KeyedItem,
        Self::KeyedRequest,
        Self::QueryExecution,
        Self::QueryRows,
        Self::WorkflowMachine,
        Self::WorkflowRevision,
        Self::WorkflowExecution,
        Self::WorkflowName,
        Self::WorkflowHead,
        Self::WorkflowFrame,
        Self::WorkflowHistory,
        Self::WorkflowTimer,
        Self::WorkflowInFlight,
        Self::WorkflowIndex,
        Self::WorkflowEnded,
        Self::WorkflowActivity,
        Self::WorkflowOffer,
        Self::WorkflowMapRun,
        Self::WorkflowMapChild,
        Self::WorkflowMapItems,
        Self::WorkflowTags,
        Self::WorkflowCounter,
        Self::WorkflowOutcome,
        Self::WorkflowClock,
    ];

    pub const fn number(self) -> u16 {
        self as u16
    }

    fn of_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// Bytes in the store that are no key of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state holds a key this version does not know: {0}")]
pub struct BadKey(String);

/// A run of keys that lie together: all of a kind, or those of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    pub kind: KeyKind,
    pub stream: Option<&'a str>,
}

impl<'a> Scope<'a> {
    pub fn all(kind: KeyKind) -> Self {
        Self { kind, stream: None }
    }

    pub fn stream(kind: KeyKind, stream: &'a str) -> Self {
        Self { kind, stream: Some(stream) }
    }

    pub(crate) fn prefix(&self) -> Vec<u8> {
        let mut bytes = self.kind.number().to_be_bytes().to_vec();
        if let Some(stream) = self.stream {
            put_text(stream, &mut bytes);
        }
        bytes
    }
}

impl Key {
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::FormatVersion => KeyKind::FormatVersion,
            Self::FinishedFile { .. } => KeyKind::FinishedFile,
            Self::TableGeneration { .. } => KeyKind::TableGeneration,
            Self::LakeUpload { .. } => KeyKind::LakeUpload,
            Self::ResolvedReject { .. } => KeyKind::ResolvedReject,
            Self::Replay { .. } => KeyKind::Replay,
            Self::PurgedRejects { .. } => KeyKind::PurgedRejects,
            Self::Schedule { .. } => KeyKind::Schedule,
            Self::Run { .. } => KeyKind::Run,
            Self::TriggerOffset { .. } => KeyKind::TriggerOffset,
            Self::Backfill { .. } => KeyKind::Backfill,
            Self::BusEvent { .. } => KeyKind::BusEvent,
            Self::PendingInvocation { .. } => KeyKind::PendingInvocation,
            Self::DeadInvocation { .. } => KeyKind::DeadInvocation,
            Self::KeyedItem { .. } => KeyKind::KeyedItem,
            Self::KeyedRequest { .. } => KeyKind::KeyedRequest,
            Self::QueryExecution { .. } => KeyKind::QueryExecution,
            Self::QueryRows { .. } => KeyKind::QueryRows,
            Self::WorkflowMachine { .. } => KeyKind::WorkflowMachine,
            Self::WorkflowRevision { .. } => KeyKind::WorkflowRevision,
            Self::WorkflowExecution { .. } => KeyKind::WorkflowExecution,
            Self::WorkflowName { .. } => KeyKind::WorkflowName,
            Self::WorkflowHead { .. } => KeyKind::WorkflowHead,
            Self::WorkflowFrame { .. } => KeyKind::WorkflowFrame,
            Self::WorkflowHistory { .. } => KeyKind::WorkflowHistory,
            Self::WorkflowTimer { .. } => KeyKind::WorkflowTimer,
            Self::WorkflowInFlight { .. } => KeyKind::WorkflowInFlight,
            Self::WorkflowIndex { .. } => KeyKind::WorkflowIndex,
            Self::WorkflowEnded { .. } => KeyKind::WorkflowEnded,
            Self::WorkflowActivity { .. } => KeyKind::WorkflowActivity,
            Self::WorkflowOffer { .. } => KeyKind::WorkflowOffer,
            Self::WorkflowMapRun { .. } => KeyKind::WorkflowMapRun,
            Self::WorkflowMapChild { .. } => KeyKind::WorkflowMapChild,
            Self::WorkflowMapItems { .. } => KeyKind::WorkflowMapItems,
            Self::WorkflowTags { .. } => KeyKind::WorkflowTags,
            Self::WorkflowCounter => KeyKind::WorkflowCounter,
            Self::WorkflowOutcome { .. } => KeyKind::WorkflowOutcome,
            Self::WorkflowClock => KeyKind::WorkflowClock,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&self.kind().number().to_be_bytes());
        match self {
            Self::FormatVersion => {}
            Self::FinishedFile { stream, identity } => {
                put_text(stream, &mut bytes);
                put_text(identity, &mut bytes);
            }
            Self::TableGeneration { stream } | Self::Replay { stream } | Self::PurgedRejects { stream } => {
                put_text(stream, &mut bytes);
            }
            Self::Schedule { name: text }
            | Self::Run { id: text }
            | Self::TriggerOffset { stream: text }
            | Self::Backfill { name: text }
            | Self::BusEvent { id: text } => put_text(text, &mut bytes),
            Self::LakeUpload { stream, first_offset: offset } | Self::ResolvedReject { stream, offset } => {
                put_text(stream, &mut bytes);
                bytes.extend_from_slice(&offset.to_be_bytes());
            }
            Self::PendingInvocation { function, sequence } | Self::DeadInvocation { function, sequence } => {
                put_text(function, &mut bytes);
                bytes.extend_from_slice(&sequence.to_be_bytes());
            }
            Self::KeyedItem { partition, sort } => {
                put_text(partition, &mut bytes);
                put_text(sort, &mut bytes);
            }
            Self::KeyedRequest { id } | Self::QueryExecution { id } => put_text(id, &mut bytes),
            Self::QueryRows { id, page } => {
                put_text(id, &mut bytes);
                bytes.extend_from_slice(&page.to_be_bytes());
            }
            Self::WorkflowMachine { name } => {
                put_text(name, &mut bytes);
            }
            Self::WorkflowRevision { hash } => {
                put_text(hash, &mut bytes);
            }
            Self::WorkflowExecution { execution } => {
                bytes.extend_from_slice(&execution.to_be_bytes());
            }
            Self::WorkflowName { machine, name } => {
                put_text(machine, &mut bytes);
                put_text(name, &mut bytes);
            }
            Self::WorkflowHead { execution } => {
                bytes.extend_from_slice(&execution.to_be_bytes());
            }
            Self::WorkflowFrame { execution, frame, part } => {
                bytes.extend_from_slice(&execution.to_be_bytes());
                bytes.extend_from_slice(&frame.to_be_bytes());
                bytes.extend_from_slice(&part.to_be_bytes());
            }
            Self::WorkflowHistory { execution, event } => {
                bytes.extend_from_slice(&execution.to_be_bytes());
                bytes.extend_from_slice(&event.to_be_bytes());
            }
            Self::WorkflowTimer { due, execution, frame, serial } => {
                bytes.extend_from_slice(&due.to_be_bytes());
                bytes.extend_from_slice(&execution.to_be_bytes());
                bytes.extend_from_slice(&frame.to_be_bytes());
                bytes.extend_from_slice(&serial.to_be_bytes());
            }
            Self::WorkflowInFlight { execution, frame } => {
                bytes.extend_from_slice(&execution.to_be_bytes());
                bytes.extend_from_slice(&frame.to_be_bytes());
            }
            Self::WorkflowIndex { machine, status, execution } => {
                put_text(machine, &mut bytes);
                bytes.extend_from_slice(&status.to_be_bytes());
                bytes.extend_from_slice(&execution.to_be_bytes());
            }
            Self::WorkflowEnded { at, execution } => {
                bytes.extend_from_slice(&at.to_be_bytes());
                bytes.extend_from_slice(&execution.to_be_bytes());
            }
            Self::WorkflowActivity { name } => {
                put_text(name, &mut bytes);
            }
            Self::WorkflowOffer { activity, execution, frame } => {
                put_text(activity, &mut bytes);
                bytes.extend_from_slice(&execution.to_be_bytes());
                bytes.extend_from_slice(&frame.to_be_bytes());
            }
            Self::WorkflowMapRun { map_run } => {
                bytes.extend_from_slice(&map_run.to_be_bytes());
            }
            Self::WorkflowMapChild { map_run, index } => {
                bytes.extend_from_slice(&map_run.to_be_bytes());
                bytes.extend_from_slice(&index.to_be_bytes());
            }
            Self::WorkflowMapItems { map_run, chunk } => {
                bytes.extend_from_slice(&map_run.to_be_bytes());
                bytes.extend_from_slice(&chunk.to_be_bytes());
            }
            Self::WorkflowTags { arn } => {
                put_text(arn, &mut bytes);
            }
            Self::WorkflowCounter | Self::WorkflowClock => {}
            Self::WorkflowOutcome { execution } => {
                bytes.extend_from_slice(&execution.to_be_bytes());
            }
        }
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, BadKey> {
        Self::parse(bytes).ok_or_else(|| BadKey(bytes.escape_ascii().to_string()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (number, mut rest) = bytes.split_first_chunk::<2>()?;
        let rest = &mut rest;
        let key = match KeyKind::of_number(u16::from_be_bytes(*number))? {
            KeyKind::FormatVersion => Self::FormatVersion,
            KeyKind::FinishedFile => {
                Self::FinishedFile { stream: take_text(rest)?, identity: take_text(rest)? }
            }
            KeyKind::TableGeneration => Self::TableGeneration { stream: take_text(rest)? },
            KeyKind::LakeUpload => {
                Self::LakeUpload { stream: take_text(rest)?, first_offset: take_number(rest)? }
            }
            KeyKind::ResolvedReject => {
                Self::ResolvedReject { stream: take_text(rest)?, offset: take_number(rest)? }
            }
            KeyKind::Replay => Self::Replay { stream: take_text(rest)? },
            KeyKind::PurgedRejects => Self::PurgedRejects { stream: take_text(rest)? },
            KeyKind::Schedule => Self::Schedule { name: take_text(rest)? },
            KeyKind::Run => Self::Run { id: take_text(rest)? },
            KeyKind::TriggerOffset => Self::TriggerOffset { stream: take_text(rest)? },
            KeyKind::Backfill => Self::Backfill { name: take_text(rest)? },
            KeyKind::BusEvent => Self::BusEvent { id: take_text(rest)? },
            KeyKind::PendingInvocation => {
                Self::PendingInvocation { function: take_text(rest)?, sequence: take_number(rest)? }
            }
            KeyKind::DeadInvocation => {
                Self::DeadInvocation { function: take_text(rest)?, sequence: take_number(rest)? }
            }
            KeyKind::KeyedItem => Self::KeyedItem { partition: take_text(rest)?, sort: take_text(rest)? },
            KeyKind::KeyedRequest => Self::KeyedRequest { id: take_text(rest)? },
            KeyKind::QueryExecution => Self::QueryExecution { id: take_text(rest)? },
            KeyKind::QueryRows => Self::QueryRows { id: take_text(rest)?, page: take_number(rest)? },
            KeyKind::WorkflowMachine => Self::WorkflowMachine { name: take_text(rest)? },
            KeyKind::WorkflowRevision => Self::WorkflowRevision { hash: take_text(rest)? },
            KeyKind::WorkflowExecution => Self::WorkflowExecution { execution: take_number(rest)? },
            KeyKind::WorkflowName => Self::WorkflowName { machine: take_text(rest)?, name: take_text(rest)? },
            KeyKind::WorkflowHead => Self::WorkflowHead { execution: take_number(rest)? },
            KeyKind::WorkflowFrame => Self::WorkflowFrame {
                execution: take_number(rest)?,
                frame: take_number(rest)?,
                part: take_number(rest)?,
            },
            KeyKind::WorkflowHistory => {
                Self::WorkflowHistory { execution: take_number(rest)?, event: take_number(rest)? }
            }
            KeyKind::WorkflowTimer => Self::WorkflowTimer {
                due: take_number(rest)?,
                execution: take_number(rest)?,
                frame: take_number(rest)?,
                serial: take_number(rest)?,
            },
            KeyKind::WorkflowInFlight => {
                Self::WorkflowInFlight { execution: take_number(rest)?, frame: take_number(rest)? }
            }
            KeyKind::WorkflowIndex => Self::WorkflowIndex {
                machine: take_text(rest)?,
                status: take_number(rest)?,
                execution: take_number(rest)?,
            },
            KeyKind::WorkflowEnded => {
                Self::WorkflowEnded { at: take_number(rest)?, execution: take_number(rest)? }
            }
            KeyKind::WorkflowActivity => Self::WorkflowActivity { name: take_text(rest)? },
            KeyKind::WorkflowOffer => Self::WorkflowOffer {
                activity: take_text(rest)?,
                execution: take_number(rest)?,
                frame: take_number(rest)?,
            },
            KeyKind::WorkflowMapRun => Self::WorkflowMapRun { map_run: take_number(rest)? },
            KeyKind::WorkflowMapChild => {
                Self::WorkflowMapChild { map_run: take_number(rest)?, index: take_number(rest)? }
            }
            KeyKind::WorkflowMapItems => {
                Self::WorkflowMapItems { map_run: take_number(rest)?, chunk: take_number(rest)? }
            }
            KeyKind::WorkflowTags => Self::WorkflowTags { arn: take_text(rest)? },
            KeyKind::WorkflowCounter => Self::WorkflowCounter,
            KeyKind::WorkflowOutcome => Self::WorkflowOutcome { execution: take_number(rest)? },
            KeyKind::WorkflowClock => Self::WorkflowClock,
        };
        rest.is_empty().then_some(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

const ZERO: u8 = 0x00;
const ESCAPED: u8 = 0xFF;
const END: u8 = 0x01;

fn put_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == ZERO {
            out.push(ESCAPED);
        }
    }
    out.extend_from_slice(&[ZERO, END]);
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        if *byte != ZERO {
            text.push(*byte);
            continue;
        }
        let (mark, after) = rest.split_first()?;
        *rest = after;
        match *mark {
            ESCAPED => text.push(ZERO),
            END => return String::from_utf8(text).ok(),
            _ => return None,
        }
    }
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_be_bytes(*number))
}
