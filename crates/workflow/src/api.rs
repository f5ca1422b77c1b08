//! What [`crate::Workflows`] is asked and what it answers: the shapes of the Step Functions API.
//!
//! Inputs, outputs and definitions are JSON texts, as the API has them. Times are [`Micros`] of the wall
//! clock. Lists are paged: `next_token` of an answer, given back, goes on behind it.

use bourn_event::Micros;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Durable with a history, or fast and in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MachineType {
    #[default]
    Standard,
    Express,
}

impl MachineType {
    /// `STANDARD` or `EXPRESS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Express => "EXPRESS",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Standard, Self::Express].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How an execution (or a map run) stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExecutionStatus {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Aborted,
    PendingRedrive,
}

impl ExecutionStatus {
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Succeeded, Self::Failed, Self::TimedOut, Self::Aborted, Self::PendingRedrive];

    /// As the API writes it: `RUNNING`, `TIMED_OUT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
            Self::PendingRedrive => "PENDING_REDRIVE",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Tags of a machine or an activity.
pub type Tags = BTreeMap<String, String>;

/// A machine to be made.
#[derive(Clone, Debug, Default)]
pub struct CreateMachine {
    pub name: String,
    pub definition: String,
    pub machine_type: MachineType,
    pub role_arn: String,
    /// Kept and given back; logging here always goes to the pipeline's own log.
    pub logging: Option<Value>,
    pub tracing: Option<Value>,
    pub tags: Tags,
}

/// A machine, made.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineCreated {
    pub arn: String,
    pub created_at: Micros,
}

/// What of a machine is changed; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct UpdateMachine {
    pub arn: String,
    pub definition: Option<String>,
    pub role_arn: Option<String>,
    pub logging: Option<Value>,
    pub tracing: Option<Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MachineUpdated {
    pub updated_at: Micros,
    pub revision_id: String,
}

/// A machine as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineDescription {
    pub arn: String,
    pub name: String,
    pub definition: String,
    pub machine_type: MachineType,
    pub role_arn: String,
    pub logging: Option<Value>,
    pub tracing: Option<Value>,
    pub created_at: Micros,
    /// Names the definition; another one has another.
    pub revision_id: String,
    /// Does it come from a file of the pipeline?
    pub from_file: bool,
}

/// A machine in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineItem {
    pub arn: String,
    pub name: String,
    pub machine_type: MachineType,
    pub created_at: Micros,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_token: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next_token: None }
    }
}

/// Which page.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    /// At most so many; 0 is the API's default.
    pub max_results: u32,
    pub next_token: Option<String>,
}

/// One fault or remark of `ValidateStateMachineDefinition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// `ERROR` or `WARNING`.
    pub severity: &'static str,
    pub code: String,
    pub message: String,
    /// `/States/First/Next`.
    pub location: String,
}

/// What is validated.
#[derive(Clone, Debug, Default)]
pub struct ValidateMachine {
    pub definition: String,
    pub machine_type: MachineType,
    /// Warnings too?
    pub warnings: bool,
    /// At most so many; 0 is 100.
    pub max_results: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validation {
    /// `true` is `OK`.
    pub ok: bool,
    pub diagnostics: Vec<Diagnostic>,
    pub truncated: bool,
}

/// An execution to be started.
#[derive(Clone, Debug, Default)]
pub struct StartExecution {
    pub machine_arn: String,
    /// Made up if absent.
    pub name: Option<String>,
    /// `{}` if absent.
    pub input: Option<String>,
    /// `X-Amzn-Trace-Id`; handed to functions.
    pub trace: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionStarted {
    pub arn: String,
    pub started_at: Micros,
}

/// How an Express execution ended.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncExecution {
    pub arn: String,
    pub machine_arn: String,
    pub name: String,
    pub started_at: Micros,
    pub ended_at: Micros,
    pub status: ExecutionStatus,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub input: String,
    pub output: Option<String>,
    pub trace: Option<String>,
    /// What it would be charged for: milliseconds, rounded up to 100.
    pub billed_ms: u64,
}

/// An execution as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionDescription {
    pub arn: String,
    pub machine_arn: String,
    pub name: String,
    pub status: ExecutionStatus,
    pub started_at: Micros,
    pub ended_at: Option<Micros>,
    pub input: String,
    pub output: Option<String>,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub map_run_arn: Option<String>,
    /// The definition it runs.
    pub revision_id: String,
    pub redrive_count: u32,
    pub redriven_at: Option<Micros>,
    /// `REDRIVABLE`, `NOT_REDRIVABLE` or `REDRIVABLE_BY_MAP_RUN`.
    pub redrive_status: &'static str,
    /// Why it is not.
    pub redrive_reason: Option<String>,
    pub trace: Option<String>,
    /// Events in its history.
    pub events: u64,
}

/// An execution in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionItem {
    pub arn: String,
    pub machine_arn: String,
    pub name: String,
    pub status: ExecutionStatus,
    pub started_at: Micros,
    pub ended_at: Option<Micros>,
    pub map_run_arn: Option<String>,
    /// Items of a distributed Map that it holds.
    pub item_count: Option<u32>,
    pub redrive_count: u32,
    pub redriven_at: Option<Micros>,
}

/// Which executions. Exactly one of the ARNs.
#[derive(Clone, Debug, Default)]
pub struct ListExecutions {
    pub machine_arn: Option<String>,
    pub map_run_arn: Option<String>,
    pub status: Option<ExecutionStatus>,
    /// Only redriven ones, or only those that were not.
    pub redriven: Option<bool>,
    pub page: Paging,
}

/// Which part of a history.
#[derive(Clone, Debug)]
pub struct GetHistory {
    pub execution_arn: String,
    /// Latest first.
    pub reverse: bool,
    /// With inputs and outputs.
    pub include_data: bool,
    pub page: Paging,
}

impl GetHistory {
    /// All of it, in order.
    pub fn of(execution_arn: impl Into<String>) -> Self {
        Self {
            execution_arn: execution_arn.into(),
            reverse: false,
            include_data: true,
            page: Paging::default(),
        }
    }
}

/// An event of a history, in the API's words.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    pub id: u64,
    pub previous_id: u64,
    pub at: Micros,
    /// `TaskStateEntered`.
    pub kind: &'static str,
    /// Name of the field that holds the details (`stateEnteredEventDetails`) and its value: inputs and
    /// outputs are JSON texts. `None` where the type has none.
    pub details: Option<(&'static str, Value)>,
}

impl HistoryEvent {
    /// As the API's JSON, but with the whole time, where AWS gives milliseconds.
    pub fn into_api(self) -> Value {
        event_to_api(self.id, self.previous_id, self.at, self.kind, self.details)
    }
}

/// An event as the API's JSON: its time in seconds, and its details under the name of their field.
pub fn event_to_api(
    id: u64,
    previous_id: u64,
    at: Micros,
    kind: &str,
    details: Option<(&str, Value)>,
) -> Value {
    let mut told = json!({
        "id": id,
        "previousEventId": previous_id,
        "timestamp": at as f64 / 1e6,
        "type": kind,
    });
    if let Some((field, details)) = details {
        told[field] = details;
    }
    told
}

/// An execution that was stopped from outside.
#[derive(Clone, Debug, Default)]
pub struct StopExecution {
    pub execution_arn: String,
    pub error: Option<String>,
    pub cause: Option<String>,
}

/// A Task given to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityTask {
    pub token: String,
    pub input: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    pub arn: String,
    pub name: String,
    pub created_at: Micros,
}

/// How many of what a map run works on stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MapRunCounts {
    pub pending: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub aborted: u64,
    pub total: u64,
    pub results_written: u64,
    pub failures_not_redrivable: u64,
    pub pending_redrive: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MapRunDescription {
    pub arn: String,
    pub execution_arn: String,
    pub machine_arn: String,
    pub status: ExecutionStatus,
    pub started_at: Micros,
    pub ended_at: Option<Micros>,
    pub max_concurrency: u32,
    pub tolerated_failure_percentage: f64,
    pub tolerated_failure_count: u64,
    pub items: MapRunCounts,
    pub executions: MapRunCounts,
    pub redrive_count: u32,
    pub redriven_at: Option<Micros>,
}

/// What of a map run is changed while it runs; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct UpdateMapRun {
    pub arn: String,
    pub max_concurrency: Option<u32>,
    pub tolerated_failure_percentage: Option<f64>,
    pub tolerated_failure_count: Option<u64>,
}

/// How much `TestState` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inspection {
    #[default]
    Info,
    Debug,
    Trace,
}

/// What a mocked Task answers: a result, or an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mock {
    /// A JSON text.
    pub result: Option<String>,
    /// Error name and cause.
    pub error_output: Option<(Option<String>, Option<String>)>,
    /// `STRICT` (if absent), `PRESENT` or `NONE`.
    pub field_validation: Option<String>,
}

/// One state to be tried by itself.
#[derive(Clone, Debug, Default)]
pub struct TestState {
    /// A state, or a machine with `state_name`.
    pub definition: String,
    pub input: Option<String>,
    pub inspection: Inspection,
    pub state_name: Option<String>,
    pub role_arn: Option<String>,
    pub reveal_secrets: bool,
    /// A JSON text of an object.
    pub variables: Option<String>,
    /// A JSON text of a context object.
    pub context: Option<String>,
    pub mock: Option<Mock>,
    /// `stateConfiguration`: `retrierRetryCount`, `errorCausedByState`, `mapIterationFailureCount`,
    /// `mapItemReaderData`.
    pub configuration: Option<Value>,
}

/// What a state did. `inspection` is `inspectionData` in the API's words, there for DEBUG and TRACE.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TestedState {
    /// `SUCCEEDED`, `FAILED`, `RETRIABLE` or `CAUGHT_ERROR`.
    pub status: &'static str,
    pub output: Option<String>,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub next_state: Option<String>,
    pub inspection: Option<Value>,
}

/// A machine as a pipeline's files have it.
#[derive(Clone, Debug)]
pub struct MachineFile {
    pub name: String,
    /// JSON text of the definition; a YAML file is turned into it by whoever reads it.
    pub definition: String,
    pub settings: bourn_config::Workflow,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub executions: u64,
    pub names: u64,
    /// Definitions.
    pub revisions: u64,
}

/// What the engine is doing now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activeness {
    /// Standard executions that have not ended.
    pub open: u64,
    /// Inputs queued, transitions being committed, and tasks under way.
    pub busy: u64,
    /// When the next timer is due.
    pub next_timer: Option<Micros>,
}
