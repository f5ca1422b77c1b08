//! `streams:`: what comes in, what is expected of it, and the stages it goes through.

use super::lake::{Commit, Compaction, Partition, SchemaPolicy, TableRetention};
use super::outside::{FunctionStep, HttpStep, Transform};
use super::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A named sequence of events with a schema.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// The JSON Schema of an event (drafts 2020-12, 2019-09, 7, 6, 4), relative to the pipeline's folder.
    pub schema: PathBuf,
    /// Draft of a schema that has no `$schema`.
    #[serde(default)]
    pub draft: Draft,
    /// Does `format` refuse events, or only describe them?
    #[serde(default)]
    pub format: FormatKeyword,
    /// What feeds the stream.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// The field that says when an event happened.
    #[serde(default)]
    pub event_time: Option<EventTime>,
    /// Leave out events that came before.
    #[serde(default)]
    pub dedupe: Option<Dedupe>,
    /// Columns from elsewhere, in this order.
    #[serde(default)]
    pub enrich: Vec<Enrich>,
    /// A file with one SELECT over the table `events`, relative to the pipeline's folder, or a function.
    #[serde(default)]
    pub transform: Option<Transform>,
    /// Partition columns of the table.
    #[serde(default)]
    pub partition_by: Vec<Partition>,
    /// Also write the checked events, before the transform, to a table of their own.
    #[serde(default)]
    pub bronze_table: bool,
    /// What happens to events that do not fit.
    #[serde(default)]
    pub policy: Policy,
    /// The log.
    #[serde(default)]
    pub log: LogSettings,
    /// When rows are committed to the table.
    #[serde(default)]
    pub commit: Commit,
    /// Merging of the table's small files.
    #[serde(default)]
    pub compaction: Compaction,
    /// Deletion of the table's old rows.
    #[serde(default)]
    pub retention: TableRetention,
    /// Largest event in bytes; a larger one is a reject.
    #[serde(default = "max_event")]
    pub max_event: ByteSize,
    /// Bytes of a rejected event that are kept.
    #[serde(default = "max_reject")]
    pub max_reject: ByteSize,
}

fn max_event() -> ByteSize {
    ByteSize::mib(1)
}

fn max_reject() -> ByteSize {
    ByteSize::mib(1)
}

/// A JSON Schema draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Draft {
    #[default]
    #[serde(rename = "2020-12")]
    Draft202012,
    #[serde(rename = "2019-09")]
    Draft201909,
    #[serde(rename = "7")]
    Draft7,
    #[serde(rename = "6")]
    Draft6,
    #[serde(rename = "4")]
    Draft4,
}

/// The meaning of the keyword `format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FormatKeyword {
    /// As the draft says: asserted up to draft 7, an annotation since 2019-09.
    #[default]
    Draft,
    /// An event whose value does not have the format is a reject.
    Assert,
    /// Only describes.
    Annotate,
}

/// What feeds a stream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `POST /v1/streams/<stream>`.
    Http(HttpSource),
    /// Files in a folder.
    Files(FileSource),
}

/// Events over HTTP.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {}

/// Events in files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// A glob, relative to the pipeline's folder.
    pub path: String,
    /// Told from the file's name if absent; `.gz` and `.zst` behind it are understood.
    #[serde(default)]
    pub format: Option<FileFormat>,
    /// Keep looking for new and growing files?
    #[serde(default = "yes")]
    pub watch: bool,
    /// How often to look.
    #[serde(default = "poll_every")]
    pub every: Span,
    /// Move finished files to this folder, relative to the pipeline's. Without it they stay and
    /// are remembered by their content.
    #[serde(default)]
    pub done: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

fn poll_every() -> Span {
    Span::from_secs(1)
}

/// Format of a file with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// One object or one array of objects.
    Json,
    /// An object a line.
    Ndjson,
    /// A header line, then a row a line; types come from the schema.
    Csv,
    Parquet,
}

/// Event time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTime {
    /// The field, at the top of the event: a timestamp, a date, or epoch milliseconds.
    pub field: String,
    /// How far behind the newest event an event may come without being late.
    #[serde(default = "lateness")]
    pub lateness: Span,
    /// How far ahead of the time of receipt an event time may lie; further is a reject.
    #[serde(default = "max_future")]
    pub max_future: Span,
}

fn lateness() -> Span {
    Span::from_secs(600)
}

fn max_future() -> Span {
    Span::from_secs(300)
}

/// Deduplication.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedupe {
    /// The field, or fields, or JSON pointers, whose values name an event. An event in which all of
    /// them are missing or null is never a duplicate.
    pub key: KeyList,
    /// How long a key is remembered, by time of receipt.
    #[serde(default = "window")]
    pub window: Span,
    /// Memory for the newest keys; older ones are on disk.
    #[serde(default = "dedupe_memory")]
    pub memory: ByteSize,
}

fn window() -> Span {
    Span::from_secs(86_400)
}

fn dedupe_memory() -> ByteSize {
    ByteSize::mib(64)
}

/// One name or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum KeyList {
    One(String),
    Many(Vec<String>),
}

impl KeyList {
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// A step that adds columns.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enrich {
    /// From a reference table.
    Lookup(LookupStep),
    /// From one of the pipeline's functions.
    Function(FunctionStep),
    /// From an API over HTTP.
    Http(Box<HttpStep>),
}

/// Columns from a lookup.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupStep {
    /// The lookup's name.
    pub table: String,
    /// The event's field, or fields, in the order of the lookup's `key`.
    pub on: KeyList,
    /// The lookup's columns to add; all but the key if absent.
    #[serde(default)]
    pub take: Vec<String>,
    /// Put before the names of added columns.
    #[serde(default)]
    pub prefix: String,
    /// What happens if the lookup has no such key.
    #[serde(default)]
    pub missing: MissingKey,
}

/// What happens to an event whose key a lookup does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingKey {
    /// The added columns are null.
    #[default]
    Null,
    /// The event is a reject.
    Reject,
}

/// What happens to events that do not fit. Every default keeps the data.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Events the schema refuses.
    pub invalid: InvalidPolicy,
    /// Events behind their lateness.
    pub late: LatePolicy,
    /// A definition whose columns differ from the table's.
    pub schema: SchemaPolicy,
}

/// What happens to an event the schema refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvalidPolicy {
    /// It goes to the rejects, with its reason and its bytes.
    #[default]
    Reject,
}

/// What happens to a late event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatePolicy {
    /// It is stored as any other.
    #[default]
    Correct,
    /// It is counted as late and left out of the table; its bytes stay in the raw zone.
    Drop,
    /// It goes to the rejects.
    Reject,
}

/// The log of a stream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Size at which a segment is sealed.
    pub segment: ByteSize,
    /// Age at which a segment is sealed.
    pub segment_age: Span,
    /// Sealed segments older than this are deleted once nothing needs them. Kept for ever if absent.
    pub retention_age: Option<Span>,
    /// Oldest sealed segments are deleted above this size once nothing needs them.
    pub retention_bytes: Option<ByteSize>,
    /// Bytes that readers may be behind; above it sources get 429.
    pub budget: ByteSize,
    /// Memory for decoded events between the log and the table.
    pub memory: ByteSize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment: ByteSize::mib(256),
            segment_age: Span::from_secs(3600),
            retention_age: None,
            retention_bytes: None,
            budget: ByteSize::mib(4096),
            memory: ByteSize::mib(32),
        }
    }
}
