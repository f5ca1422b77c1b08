//! Runs: what was done on a schedule, on a trigger or by hand, and how it ended. And the seam of jobs.

use crate::Micros;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    Job,
    Workflow,
    Function,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Waits for an earlier run (`overlap: queue`).
    Queued,
    Running,
    Succeeded,
    Failed,
    /// Not begun, by policy; `error` says which.
    Skipped,
    /// Ended from outside: replaced, stopped, or cut off by a crash.
    Aborted,
}

/// One run (`system.runs`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Sorts by time.
    pub id: String,
    pub kind: RunKind,
    /// Name of the workflow, function or job.
    pub name: String,
    /// Stream that a job works on.
    pub stream: Option<String>,
    /// `schedule:NAME`, `trigger:NAME`, `backfill:NAME`, `upkeep`, `manual`.
    pub cause: String,
    /// The time it was due, for schedules and backfills.
    pub scheduled_at: Option<Micros>,
    pub started_at: Micros,
    pub ended_at: Option<Micros>,
    pub status: RunStatus,
    /// Rows it wrote or removed, where that means something.
    pub rows: Option<u64>,
    pub error: Option<String>,
    /// ARN of the execution, or request id of the invocation.
    pub execution: Option<String>,
}

/// What a job did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobDone {
    pub rows: Option<u64>,
    /// Anything else that is worth knowing.
    pub detail: Value,
}

/// Runs the pipeline's own jobs: `compact`, `vacuum`, `retention`, `replay`.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// The names of all jobs.
    fn names(&self) -> Vec<String>;

    /// Does it; `stream` is one stream, or all. Dropping the future cancels it.
    async fn run(&self, job: &str, stream: Option<&str>, arguments: &Value) -> Result<JobDone, String>;
}
