//! The envelope of an event, as EventBridge has it, and Bourn's own events.
//!
//! ```text
//!  {"version": "0", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
//! ```

use crate::time::rfc3339;
use bourn_event::{Micros, Offset, Run};
use serde_json::{Value, json};
use uuid::Uuid;

/// `source` of events of streams; their `detail-type` is the stream.
pub const STREAM_SOURCE: &str = "bourn.stream";
/// `source` of Bourn's own events.
pub const OWN_SOURCE: &str = "bourn";

/// What all envelopes of a pipeline have in common (`aws:` in the settings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub account: String,
    pub region: String,
}

impl Home {
    /// The envelope of a stream's event.
    pub fn of_stream(&self, stream: &str, offset: Offset, received_at: Micros, detail: Value) -> Value {
        let id = uuid_of(&format!("{stream}/{offset}"));
        self.envelope(&id, STREAM_SOURCE, stream, received_at, Vec::new(), detail)
    }

    /// The envelope of one of Bourn's own events.
    pub fn of_own(&self, event: &OwnEvent, at: Micros) -> Value {
        let resources = event.stream().map(|stream| vec![json!(stream)]).unwrap_or_default();
        self.envelope(&event.id(at), OWN_SOURCE, event.detail_type(), at, resources, event.detail())
    }

    fn envelope(
        &self,
        id: &str,
        source: &str,
        detail_type: &str,
        time: Micros,
        resources: Vec<Value>,
        detail: Value,
    ) -> Value {
        json!({
            "version": "0",
            "id": id,
            "detail-type": detail_type,
            "source": source,
            "account": self.account,
            "time": rfc3339(time),
            "region": self.region,
            "resources": resources,
            "detail": detail,
        })
    }
}

/// Something that happened in Bourn.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnEvent {
    /// A commit of a stream's table.
    TableCommitted {
        stream: String,
        table: String,
        version: u64,
        rows: u64,
        end_offset: Offset,
    },
    /// A file source has read a file to its end.
    FileFinished {
        stream: String,
        path: String,
        events: u64,
        rejected: u64,
    },
    RunEnded(Box<Run>),
    /// Events of a stream were rejected within a window of time.
    RejectRate {
        stream: String,
        received: u64,
        rejected: u64,
        window_s: u64,
    },
}

impl OwnEvent {
    pub fn detail_type(&self) -> &'static str {
        match self {
            Self::TableCommitted { .. } => "table committed",
            Self::FileFinished { .. } => "file finished",
            Self::RunEnded(_) => "run ended",
            Self::RejectRate { .. } => "reject rate",
        }
    }

    fn stream(&self) -> Option<&str> {
        match self {
            Self::TableCommitted { stream, .. }
            | Self::FileFinished { stream, .. }
            | Self::RejectRate { stream, .. } => Some(stream),
            Self::RunEnded(run) => run.stream.as_deref(),
        }
    }

    fn id(&self, at: Micros) -> String {
        uuid_of(&match self {
            Self::TableCommitted { table, version, .. } => format!("table/{table}/{version}"),
            Self::FileFinished { stream, path, .. } => format!("file/{stream}/{path}/{at}"),
            Self::RunEnded(run) => format!("run/{}", run.id),
            Self::RejectRate { stream, .. } => format!("rejects/{stream}/{at}"),
        })
    }

    fn detail(&self) -> Value {
        match self {
            Self::TableCommitted { stream, table, version, rows, end_offset } => json!({
                "stream": stream, "table": table, "version": version, "rows": rows, "end_offset": end_offset,
            }),
            Self::FileFinished { stream, path, events, rejected } => json!({
                "stream": stream, "path": path, "events": events, "rejected": rejected,
            }),
            Self::RunEnded(run) => json!({
                "id": run.id,
                "kind": run.kind,
                "name": run.name,
                "stream": run.stream,
                "cause": run.cause,
                "scheduled_at": run.scheduled_at.map(rfc3339),
                "started_at": rfc3339(run.started_at),
                "ended_at": run.ended_at.map(rfc3339),
                "duration_ms": run.ended_at.map(|ended| (ended - run.started_at).max(0) / 1_000),
                "status": run.status,
                "rows": run.rows,
                "error": run.error,
                "execution": run.execution,
            }),
            Self::RejectRate { stream, received, rejected, window_s } => json!({
                "stream": stream,
                "received": received,
                "rejected": rejected,
                "rate": *rejected as f64 / (*received).max(1) as f64,
                "window_seconds": window_s,
            }),
        }
    }
}

/// The same key always has the same UUID.
pub(crate) fn uuid_of(key: &str) -> String {
    Uuid::from_u128(xxhash_rust::xxh3::xxh3_128(key.as_bytes())).to_string()
}
