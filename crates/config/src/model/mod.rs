//! The types of `bourn.yaml`. Their doc comments are the reference documentation and the
//! descriptions in the generated JSON Schema.

mod lake;
mod lookup;
mod server;
mod stream;
mod units;

pub use lake::{Commit, Compaction, Partition, PartitionFunction, SchemaPolicy, Storage, TableRetention};
pub use lookup::{Lookup, LookupFormat};
pub use server::{ApiKey, Postgres, Server, Sql, Tls, Verb};
pub use stream::{
    Dedupe, Draft, Enrich, EventTime, FileFormat, FileSource, FormatKeyword, HttpSource, InvalidPolicy,
    KeyList, LatePolicy, LogSettings, LookupStep, MissingKey, Policy, Source, Stream,
};
pub use units::{ByteSize, Span};

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
