//! `workflows:`, `keyed:`, `notifiers:`, `connections:` and `aws:`: what workflows are and what they reach.

use super::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Settings of a workflow. Every `workflows/<name>.asl.json` and `.asl.yaml` is a workflow, whether or
/// not it has settings.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Workflow {
    /// The definition, relative to the pipeline's folder; `workflows/<name>.asl.json` (or `.asl.yaml`) if absent.
    pub file: Option<PathBuf>,
    /// Durable with a history, or fast and in memory.
    pub r#type: WorkflowType,
    /// How long ended executions and their history are kept.
    pub history: Span,
    /// An execution whose history grows beyond this many events fails.
    pub max_events: u32,
    /// Largest input or output of a state.
    pub max_payload: ByteSize,
    /// What is logged of Express executions, which have no history (`system.execution_logs`). Beginnings, ends
    /// and failures with their data, if absent.
    pub log: Option<ExecutionLog>,
}

impl Default for Workflow {
    fn default() -> Self {
        Self {
            file: None,
            r#type: WorkflowType::Standard,
            history: Span::from_secs(90 * 86_400),
            max_events: 25_000,
            max_payload: ByteSize(256 << 10),
            log: None,
        }
    }
}

/// How executions of a workflow are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowType {
    /// Every transition is durable and in the history; an execution may last a year.
    #[default]
    Standard,
    /// In memory, at most five minutes; a crash ends it.
    Express,
}

/// What is logged of Express executions, as `loggingConfiguration` of Step Functions says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecutionLog {
    pub level: ExecutionLogLevel,
    /// With inputs and outputs (`includeExecutionData`).
    #[serde(default = "yes")]
    pub data: bool,
}

fn yes() -> bool {
    true
}

/// Which events are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionLogLevel {
    /// None.
    Off,
    /// Executions that failed, timed out or were aborted.
    Fatal,
    /// Every failure, also those that were retried or caught.
    Error,
    /// Every event.
    All,
}

impl ExecutionLog {
    /// As Step Functions has it.
    pub fn logging_configuration(&self) -> serde_json::Value {
        let level = match self.level {
            ExecutionLogLevel::Off => "OFF",
            ExecutionLogLevel::Fatal => "FATAL",
            ExecutionLogLevel::Error => "ERROR",
            ExecutionLogLevel::All => "ALL",
        };
        serde_json::json!({"level": level, "includeExecutionData": self.data})
    }
}

/// A table of items by key, for the `dynamodb:*` calls of workflows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyedTable {
    /// Attribute that names an item (the partition key).
    pub key: String,
    /// Attribute that orders items with the same key (the sort key).
    #[serde(default)]
    pub sort: Option<String>,
}

/// Where notices go (`sns:publish`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notifier {
    /// Receives a POST with `{"subject", "message", "attributes"}`.
    pub webhook: String,
    /// The connection whose headers go along.
    #[serde(default)]
    pub connection: Option<String>,
}

impl fmt::Debug for Notifier {
    /// The address of a webhook often holds its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// How an outside API is reached; used by name, so that definitions hold no secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Connection {
    /// Only addresses that begin with this may be called through it.
    pub url: Option<String>,
    /// Headers that every request gets; secrets by reference.
    pub headers: BTreeMap<String, Secret>,
    /// HTTP basic authentication.
    pub basic: Option<Basic>,
}

/// HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    pub user: String,
    pub password: Secret,
}

/// What AWS clients are told and asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Aws {
    /// The region in ARNs.
    pub region: String,
    /// The account in ARNs: 12 digits.
    pub account: String,
    /// Access keys. With one, every call of an AWS API must be signed (Signature Version 4).
    pub keys: Vec<AccessKey>,
}

impl Default for Aws {
    fn default() -> Self {
        Self { region: "us-east-1".into(), account: "000000000000".into(), keys: Vec::new() }
    }
}

/// A pair of keys that AWS clients sign with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// Sent along.
    pub id: String,
    /// Never sent; by reference (`${env:…}` or `${file:…}`).
    pub secret: Secret,
}

/// A value that is never printed, nor written when settings are shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

/// What is shown in place of a secret.
pub(crate) const HIDDEN: &str = "(hidden)";

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}
