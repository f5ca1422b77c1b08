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
    PendingInvocation = 220,
    DeadInvocation = 221,
    KeyedItem = 260,
    KeyedRequest = 261,
    QueryExecution = 262,
    QueryRows = 263,
}

impl KeyKind {
    pub const ALL: [KeyKind; 17] = [
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
        Self::PendingInvocation,
        Self::DeadInvocation,
        Self::KeyedItem,
        Self::KeyedRequest,
        Self::QueryExecution,
        Self::QueryRows,
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
            Self::PendingInvocation { .. } => KeyKind::PendingInvocation,
            Self::DeadInvocation { .. } => KeyKind::DeadInvocation,
            Self::KeyedItem { .. } => KeyKind::KeyedItem,
            Self::KeyedRequest { .. } => KeyKind::KeyedRequest,
            Self::QueryExecution { .. } => KeyKind::QueryExecution,
            Self::QueryRows { .. } => KeyKind::QueryRows,
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
            | Self::Backfill { name: text } => put_text(text, &mut bytes),
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
