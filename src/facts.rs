//! What `system.*` shows, of a running pipeline and of one that is read from its files.

use crate::catalog::SystemFacts;
use crate::layout::{Layout, LogKind};
use crate::ledger::Snapshot;
use crate::reading::Stopped;
use crate::stream::{StreamRuntime, open_reader};
use crate::table::Silver;
use bourn_event::{Log, Micros};
use bourn_queue::SegmentInfo;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Commits shown of each stream, the newest.
const COMMITS_SHOWN: usize = 1000;

fn time(micros: Micros) -> Value {
    json!(crate::time::format(micros))
}

fn stream_row(
    name: &str,
    snapshot: &Snapshot,
    bytes: u64,
    first: u64,
    schema: Option<&str>,
    error: Option<String>,
) -> Value {
    let ledger = snapshot.ledger();
    let mut row = serde_json::to_value(ledger.total).unwrap_or_default();
    let committed = &snapshot.committed;
    let more = json!({
        "stream": name,
        "log_end": snapshot.events_end,
        "committed": committed.offset,
        "first_retained": first,
        "log_bytes": bytes,
        "table_version": committed.version,
        "schema_version": schema,
        "event_time_max": committed.event_time_max.map(time),
        "error": error,
    });
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
    row
}

fn segment_row(stream: &str, kind: LogKind, segment: &SegmentInfo) -> Value {
    json!({
        "stream": stream,
        "log": kind.name(),
        "path": segment.path.display().to_string(),
        "first_offset": segment.first_offset,
        "end_offset": segment.end,
        "bytes": segment.bytes,
        "sealed": segment.sealed,
        "created_at": time(segment.created_at),
        "received_last": time(segment.received_last),
    })
}

fn commit_rows(stream: &str, table: &Silver) -> Result<Vec<Value>, String> {
    // Called on a blocking thread of the runtime.
    let history = tokio::runtime::Handle::current().block_on(table.history(COMMITS_SHOWN));
    let history = history.map_err(|error| error.to_string())?;
    Ok(history
        .into_iter()
        .map(|commit| {
            json!({
                "stream": stream,
                "version": commit.version,
                "committed_at": time(commit.timestamp_ms * 1000),
                "operation": commit.operation,
                "rows_added": commit.rows_added,
                "bytes_added": commit.bytes_added,
                "files_added": commit.files_added,
                "files_removed": commit.files_removed,
            })
        })
        .collect())
}

fn compaction_rows(stream: &str, table: &Silver) -> Vec<Value> {
    let row = |report: bourn_lake::CompactionReport| {
        json!({
            "stream": stream,
            "begun_at": time(report.at),
            "took_ms": report.took_ms,
            "files_before": report.files_before,
            "files_after": report.files_after,
            "bytes_before": report.bytes_before,
            "bytes_after": report.bytes_after,
            "expired_files": report.expired_files,
            "vacuumed_files": report.vacuumed_files,
            "checkpoint_version": report.checkpoint,
            "error": report.error,
        })
    };
    table.reports().into_iter().map(row).collect()
}

/// A running pipeline's facts.
pub struct RunningFacts {
    pub streams: BTreeMap<String, Arc<StreamRuntime>>,
}

impl SystemFacts for RunningFacts {
    fn streams(&self) -> Result<Vec<Value>, String> {
        let row = |(name, stream): (&String, &Arc<StreamRuntime>)| {
            let (stats, error) = (stream.events.stats(), stream.table.health().last_error);
            stream_row(
                name,
                &stream.snapshot(),
                stats.bytes,
                stats.first_retained,
                Some(stream.schema.version()),
                error,
            )
        };
        Ok(self.streams.iter().map(row).collect())
    }

    fn segments(&self) -> Result<Vec<Value>, String> {
        let mut rows = Vec::new();
        for (name, stream) in &self.streams {
            let logs = [&stream.events, &stream.rejects, &stream.outcomes];
            for (kind, log) in LogKind::ALL.into_iter().zip(logs) {
                rows.extend(log.stats().segments.iter().map(|segment| segment_row(name, kind, segment)));
            }
        }
        Ok(rows)
    }

    fn consumers(&self) -> Result<Vec<Value>, String> {
        let mut rows = Vec::new();
        for (name, stream) in &self.streams {
            let end = stream.events.end();
            let mut row = |consumer: &str, offset: u64| {
                let behind = end.saturating_sub(offset);
                rows.push(json!({"stream": name, "consumer": consumer, "offset": offset, "behind": behind}));
            };
            row("visible", *stream.table.visible().borrow());
            row("committed", stream.table.committed().offset);
        }
        Ok(rows)
    }

    fn commits(&self) -> Result<Vec<Value>, String> {
        let rows: Result<Vec<_>, _> = self
            .streams
            .iter()
            .map(|(name, stream)| commit_rows(name, &Silver::Open(stream.table.clone())))
            .collect();
        Ok(rows?.into_iter().flatten().collect())
    }

    fn compactions(&self) -> Result<Vec<Value>, String> {
        Ok(self
            .streams
            .iter()
            .flat_map(|(name, stream)| compaction_rows(name, &Silver::Open(stream.table.clone())))
            .collect())
    }
}

/// The facts that the files of a stopped pipeline tell.
pub struct FileFacts {
    layout: Layout,
    tables: BTreeMap<String, Silver>,
    streams: Vec<Value>,
}

impl FileFacts {
    pub fn of(stopped: &Stopped) -> Self {
        let row = |name: &String| {
            let snapshot = stopped.snapshot(name).ok()?;
            let schema = stopped.definition.schema(name).map(|schema| schema.version());
            let segments = segments_of(&stopped.definition.layout, name, LogKind::Events).unwrap_or_default();
            let bytes = segments.iter().map(|segment| segment.bytes).sum();
            let first = segments.first().map_or(0, |segment| segment.first_offset);
            Some(stream_row(name, &snapshot, bytes, first, schema, None))
        };
        Self {
            layout: stopped.definition.layout.clone(),
            tables: stopped.tables.clone(),
            streams: stopped.tables.keys().filter_map(row).collect(),
        }
    }
}

fn segments_of(layout: &Layout, stream: &str, kind: LogKind) -> Result<Vec<SegmentInfo>, String> {
    if !layout.log(stream, kind).exists() {
        return Ok(Vec::new());
    }
    let reader = open_reader(layout, stream, kind).map_err(|error| format!("{error:#}"))?;
    Ok(reader.segments())
}

impl SystemFacts for FileFacts {
    fn streams(&self) -> Result<Vec<Value>, String> {
        Ok(self.streams.clone())
    }

    fn segments(&self) -> Result<Vec<Value>, String> {
        let mut rows = Vec::new();
        for name in self.tables.keys() {
            for kind in LogKind::ALL {
                let segments = segments_of(&self.layout, name, kind)?;
                rows.extend(segments.iter().map(|segment| segment_row(name, kind, segment)));
            }
        }
        Ok(rows)
    }

    fn consumers(&self) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }

    fn commits(&self) -> Result<Vec<Value>, String> {
        let rows: Result<Vec<_>, _> =
            self.tables.iter().map(|(name, table)| commit_rows(name, table)).collect();
        Ok(rows?.into_iter().flatten().collect())
    }

    fn compactions(&self) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }
}
