//! `schedules:` and `triggers:`: when something begins.

use super::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Something that begins at set times.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Five cron fields (`0 2 * * *`: minute, hour, day of month, month, day of week), `rate(5 minutes)`,
    /// or `at(2026-01-31T02:00:00)`.
    pub when: String,
    /// The time zone of `when`, `from` and `until`, by its IANA name.
    #[serde(default = "utc")]
    pub timezone: String,
    /// What begins.
    pub run: Target,
    /// Its input; `{"schedule": name, "scheduled_at": time}` if absent.
    #[serde(default)]
    pub input: Option<Value>,
    /// What happens at start about times that passed while nothing ran.
    #[serde(default)]
    pub missed: Missed,
    /// Missed times older than this are skipped.
    #[serde(default = "missed_age")]
    pub missed_max_age: Span,
    /// Each run begins up to this much later, so that not all begin at once.
    #[serde(default)]
    pub jitter: Option<Span>,
    /// What happens if the run before is not over.
    #[serde(default)]
    pub overlap: Overlap,
    /// Not before this time.
    #[serde(default)]
    pub from: Option<String>,
    /// Not at or after this time.
    #[serde(default)]
    pub until: Option<String>,
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn utc() -> String {
    "UTC".into()
}

fn missed_age() -> Span {
    Span::from_secs(86_400)
}

fn yes() -> bool {
    true
}

/// What a schedule or trigger begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An execution of a workflow.
    Workflow(String),
    /// An asynchronous invocation of a function.
    Function(String),
    /// One of the pipeline's own jobs.
    Job(JobTarget),
}

/// A job of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobTarget {
    pub name: JobName,
    /// The stream it works on; all if absent.
    #[serde(default)]
    pub stream: Option<String>,
}

/// The pipeline's own jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobName {
    /// Merges small files of the tables.
    Compact,
    /// Deletes files that no version within the retention needs.
    Vacuum,
    /// Deletes rows and segments beyond their age.
    Retention,
    /// Rebuilds a table from its log.
    Replay,
}

/// Missed times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are passed over.
    Skip,
    /// One run makes up for all of them, with the time of the latest.
    #[default]
    Once,
    /// One run each, in order.
    All,
}

/// A run that is due while the one before is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Both run.
    Allow,
    /// The new one is skipped, and says so in `system.runs`.
    #[default]
    Skip,
    /// The new one waits.
    Queue,
    /// The old one is stopped.
    Replace,
}

/// Something that begins when an event matches.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// What it listens to: `{stream: NAME}`, `{bus: NAME}` (events that workflows put with `events:putEvents`;
    /// `default`, or the stream that is the bus) or `bourn`. All streams, Bourn and the default bus if absent.
    #[serde(default)]
    pub on: Option<TriggerOn>,
    /// An EventBridge event pattern. Events of a stream have `"source": "bourn.stream"` and the stream's
    /// name as `detail-type`; Bourn's own have `"source": "bourn"` and `table committed`, `file finished`,
    /// `run ended` or `reject rate` as `detail-type`; those on a bus have what they were put with.
    pub pattern: Value,
    /// What begins.
    pub run: Target,
    /// Makes the input; the whole event if absent.
    #[serde(default)]
    pub input: Option<InputTransformer>,
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// Where a trigger's events come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriggerOn {
    /// The events of a stream.
    Stream(String),
    /// The events put on a bus: `default`, or a stream's name.
    Bus(String),
    /// What happens in the pipeline itself.
    Bourn,
}

/// The bus that events without a bus are put on.
pub const DEFAULT_BUS: &str = "default";

/// Makes an input out of an event, as EventBridge does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputTransformer {
    /// Names for parts of the event: `{carrier: $.detail.carrier}`.
    #[serde(default)]
    pub paths: BTreeMap<String, String>,
    /// A JSON value in which `<name>` stands for such a part, `<aws.events.event.json>` for the whole event.
    pub template: Value,
}
