//! The types of `bourn.yaml`. Their doc comments are the reference documentation and the
//! descriptions in the generated JSON Schema.

mod function;
mod lake;
mod lookup;
mod outside;
mod schedule;
mod server;
mod stream;
mod units;
mod workflow;

pub use function::{Concurrency, Destination, Function, Runtime};
pub use lake::{Commit, Compaction, Partition, PartitionFunction, SchemaPolicy, Storage, TableRetention};
pub use lookup::{Lookup, LookupFormat};
pub use outside::{
    AnswerCache, Breaker, Calls, ColumnType, FunctionFailure, FunctionStep, FunctionTransform, HttpFailure,
    HttpMethod, HttpRetry, HttpStep, PointedColumn, Take, Transform, TransformCall,
};
pub use schedule::{
    DEFAULT_BUS, InputTransformer, JobName, JobTarget, Missed, Overlap, Schedule, Target, Trigger, TriggerOn,
};
pub use server::{ApiKey, Postgres, Server, Sql, Tls, Verb};
pub use stream::{
    Dedupe, Draft, Enrich, EventTime, FileFormat, FileSource, FormatKeyword, HttpSource, InvalidPolicy,
    KeyList, LatePolicy, LogSettings, LookupStep, MissingKey, Policy, Source, Stream,
};
pub use units::{ByteSize, Span};
pub use workflow::{
    AccessKey, Aws, Basic, Connection, ExecutionLog, ExecutionLogLevel, KeyedTable, Notifier, Secret,
    Workflow, WorkflowType,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A pipeline: what comes in, what becomes of it, and where it is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Name of the pipeline: letters, digits, `_` and `-`.
    pub name: String,
    /// The streams, by name. A name is an SQL identifier: a letter, then letters, digits and `_`.
    #[serde(default)]
    pub streams: BTreeMap<String, Stream>,
    /// Small reference tables that events are enriched from and that SQL can join, by name.
    #[serde(default)]
    pub lookups: BTreeMap<String, Lookup>,
    /// Code of any language that runs on demand, by name.
    #[serde(default)]
    pub functions: BTreeMap<String, Function>,
    /// Settings of the workflows in `workflows/`, by name.
    #[serde(default)]
    pub workflows: BTreeMap<String, Workflow>,
    /// What begins at set times, by name.
    #[serde(default)]
    pub schedules: BTreeMap<String, Schedule>,
    /// What begins when an event matches, by name.
    #[serde(default)]
    pub triggers: BTreeMap<String, Trigger>,
    /// Tables of items by key, for workflows, by name.
    #[serde(default)]
    pub keyed: BTreeMap<String, KeyedTable>,
    /// Where notices go, by name.
    #[serde(default)]
    pub notifiers: BTreeMap<String, Notifier>,
    /// How outside APIs are reached, by name.
    #[serde(default)]
    pub connections: BTreeMap<String, Connection>,
    /// What AWS clients are told and asked for.
    #[serde(default)]
    pub aws: Aws,
    /// Where the log, the state and the lake live.
    #[serde(default)]
    pub storage: Storage,
    /// The HTTP server.
    #[serde(default)]
    pub server: Server,
    /// The Postgres wire server.
    #[serde(default)]
    pub postgres: Postgres,
    /// Limits of queries.
    #[serde(default)]
    pub sql: Sql,
}
