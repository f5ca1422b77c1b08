//! Steps of a stream that call what lies outside it: functions, and APIs over HTTP.

use super::KeyList;
use super::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// What makes a stream's rows out of its events.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Transform {
    /// A file with one SELECT over the table `events`, relative to the pipeline's folder.
    Sql(PathBuf),
    /// Something that is called.
    Call(TransformCall),
}

/// A transform that is called.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransformCall {
    /// One of the pipeline's functions.
    Function(FunctionTransform),
}

impl Transform {
    /// The file of an SQL transform.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sql(path) => Some(path),
            Self::Call(_) => None,
        }
    }

    /// The function of the other kind.
    pub fn function(&self) -> Option<&FunctionTransform> {
        match self {
            Self::Sql(_) => None,
            Self::Call(TransformCall::Function(function)) => Some(function),
        }
    }
}

/// A function that makes rows: it is given events and answers with one row for each, or `null` for
/// an event that is left out (counted as filtered). An event that it fails on is a reject.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionTransform {
    /// The function's name.
    pub name: String,
    /// The table's columns, each a type, or a type and where in the answer its value lies.
    pub columns: BTreeMap<String, Take>,
    /// Events in a call, at most.
    #[serde(default = "batch")]
    pub batch: u32,
    /// Calls at once; their answers are used in order.
    #[serde(default = "in_flight")]
    pub in_flight: u32,
    /// How often a call that failed is repeated before its batch is split, and an event that failed alone
    /// before it is given up.
    #[serde(default = "retries")]
    pub retries: u32,
}

/// How a function is called from a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    pub batch: usize,
    pub in_flight: usize,
    pub retries: u32,
}

impl FunctionTransform {
    pub fn calls(&self) -> Calls {
        Calls { batch: self.batch as usize, in_flight: self.in_flight as usize, retries: self.retries }
    }
}

impl FunctionStep {
    pub fn calls(&self) -> Calls {
        Calls { batch: self.batch as usize, in_flight: self.in_flight as usize, retries: self.retries }
    }
}

fn batch() -> u32 {
    1_000
}

fn in_flight() -> u32 {
    2
}

fn retries() -> u32 {
    2
}

/// Columns from a function: it is given events and answers with one object for each, or `null`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionStep {
    /// The function's name.
    pub name: String,
    /// The columns to add, each a type, or a type and where in the answer its value lies.
    pub take: BTreeMap<String, Take>,
    /// What happens to an event that the function fails on, after all retries.
    #[serde(default)]
    pub on_failure: FunctionFailure,
    /// Events in a call, at most.
    #[serde(default = "batch")]
    pub batch: u32,
    /// Calls at once; their answers are used in order.
    #[serde(default = "in_flight")]
    pub in_flight: u32,
    /// How often a call that failed is repeated before its batch is split, and an event that failed alone
    /// before it is given up.
    #[serde(default = "retries")]
    pub retries: u32,
}

/// What happens to an event that a function fails on. A function that cannot be reached, or has no
/// process free, is waited for in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FunctionFailure {
    /// The event is a reject, with the function's error; it can be put back.
    #[default]
    Reject,
    /// The added columns are null, for good.
    Null,
}

/// A column out of a JSON answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Take {
    /// The value under the column's own name.
    Named(ColumnType),
    /// The value at a pointer.
    Pointed(PointedColumn),
}

/// A column and where its value lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointedColumn {
    pub r#type: ColumnType,
    /// A JSON pointer (RFC 6901) into the answer, like `/profile/tier`.
    pub from: String,
}

impl Take {
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Named(kind) => *kind,
            Self::Pointed(column) => column.r#type,
        }
    }

    /// The JSON pointer of a column called `name`.
    pub fn pointer(&self, name: &str) -> String {
        match self {
            Self::Named(_) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Self::Pointed(column) => column.from.clone(),
        }
    }
}

/// Type of a column that is taken from an answer. A value of another type fails its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// A whole number of 64 bits.
    Bigint,
    /// A number.
    Double,
    /// `true` or `false`.
    Boolean,
    Text,
    /// RFC 3339 text, or epoch milliseconds.
    Timestamp,
    /// `YYYY-MM-DD`.
    Date,
    /// Anything, kept as JSON text.
    Json,
}

/// Columns from an outside API.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpStep {
    /// The address. `{field}` stands for a field of the event, percent-encoded.
    pub url: String,
    /// `GET` if absent, or `POST` with `body` or `batch`.
    #[serde(default)]
    pub method: Option<HttpMethod>,
    /// The connection whose headers go along.
    #[serde(default)]
    pub connection: Option<String>,
    /// The event's field, or fields, that the answer depends on: events with equal ones share it. The
    /// fields named in `url` and `body` if absent. An event in which one of them is null is not asked for.
    #[serde(default)]
    pub on: Option<KeyList>,
    /// Ask for so many keys in one request: it carries `{"records": [{field: value}, …]}` and is answered
    /// with `{"records": [{…} or null, …]}` in the same order. One request a key if absent.
    #[serde(default)]
    pub batch: Option<u32>,
    /// A JSON body, in which the text `"{field}"` stands for a field's value.
    #[serde(default)]
    pub body: Option<Value>,
    /// The columns to add, each a type, or a type and where in the answer its value lies.
    pub take: BTreeMap<String, Take>,
    /// Answers that are kept. Not kept at all if absent.
    #[serde(default)]
    pub cache: Option<AnswerCache>,
    /// Requests at once.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// How long a request may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// Largest answer in bytes.
    #[serde(default = "max_answer")]
    pub max_answer: ByteSize,
    /// Repetition of requests that failed.
    #[serde(default)]
    pub retry: HttpRetry,
    /// When to stop asking for a while.
    #[serde(default)]
    pub breaker: Breaker,
    /// What happens if the API does not know a key (404, 410, or `null`).
    #[serde(default)]
    pub missing: super::MissingKey,
    /// What happens while the API cannot be reached, is too slow or says it is overloaded.
    #[serde(default)]
    pub on_failure: HttpFailure,
}

fn concurrency() -> u32 {
    8
}

fn timeout() -> Span {
    Span::from_secs(5)
}

fn max_answer() -> ByteSize {
    ByteSize::mib(1)
}

impl HttpStep {
    /// The method in force.
    pub fn method(&self) -> HttpMethod {
        match self.method {
            Some(method) => method,
            None if self.body.is_some() || self.batch.is_some() => HttpMethod::Post,
            None => HttpMethod::Get,
        }
    }

    /// The fields that name what is asked for, each once: `on`, or else those in `url` and `body`.
    pub fn key_fields(&self) -> Vec<String> {
        match &self.on {
            Some(on) => on.names().to_vec(),
            None => self.placeholders(),
        }
    }

    /// The fields named in `url` and `body`, each once.
    pub fn placeholders(&self) -> Vec<String> {
        let mut names = Vec::new();
        placeholders(&self.url, &mut names);
        if let Some(body) = &self.body {
            placeholders_of(body, &mut names);
        }
        names
    }
}

fn placeholders_of(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(text) => placeholders(text, names),
        Value::Array(items) => items.iter().for_each(|item| placeholders_of(item, names)),
        Value::Object(fields) => fields.values().for_each(|field| placeholders_of(field, names)),
        _ => {}
    }
}

/// The names in `{…}` of a text, each once. A brace without its partner is text.
fn placeholders(text: &str, names: &mut Vec<String>) {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once('{')
        && let Some((name, after)) = behind.split_once('}')
    {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_string());
        }
        rest = after;
    }
}

impl fmt::Debug for HttpStep {
    /// An address may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("HttpStep");
        shown.field("method", &self.method()).field("connection", &self.connection);
        shown.field("on", &self.key_fields()).field("take", &self.take).finish_non_exhaustive()
    }
}

/// Method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    Get,
    Post,
    Put,
    Patch,
}

impl HttpMethod {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }
}

/// Answers that are kept in memory; the oldest go first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerCache {
    /// Memory for them.
    pub size: ByteSize,
    /// How long an answer is used.
    pub ttl: Span,
    /// How long it is believed that the API does not know a key.
    pub negative_ttl: Span,
}

impl Default for AnswerCache {
    fn default() -> Self {
        Self { size: ByteSize::mib(16), ttl: Span::from_secs(600), negative_ttl: Span::from_secs(60) }
    }
}

/// Repetition of requests, with exponential backoff and jitter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpRetry {
    /// Repetitions at most.
    pub max: u32,
    /// Wait before the first one; doubled for each further one.
    pub initial: Span,
    /// Longest wait.
    pub max_delay: Span,
}

impl Default for HttpRetry {
    fn default() -> Self {
        Self { max: 3, initial: Span(std::time::Duration::from_millis(200)), max_delay: Span::from_secs(5) }
    }
}

/// The circuit breaker: after failures in a row no request is sent for a while, then one is let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before one request is let through.
    pub open: Span,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, open: Span::from_secs(30) }
    }
}

/// What happens while an API fails. An answer that refuses one event (another status of 400 to 599, or
/// something that cannot be used) never holds up a stream: under `wait` that event is a reject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpFailure {
    /// The stream waits, and its sources get 429 when its log is full: no value is lost.
    #[default]
    Wait,
    /// The event is a reject; it can be put back.
    Reject,
    /// The added columns are null, for good.
    Null,
}
