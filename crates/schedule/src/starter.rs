//! The seam of what begins runs: the root implements it over workflows, functions and jobs.

use crate::envelope::uuid_of;
use async_trait::async_trait;
use bourn_config::{JobName, Target};
use bourn_event::{RunKind, RunStatus};
use serde_json::Value;

/// A run that was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// ARN of the execution, or request id of the invocation.
    pub execution: Option<String>,
}

/// Why a run did not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It may begin later: the target is at its limit, the disk is full. It is tried again.
    #[error("{0}")]
    Later(String),
    /// It never will: there is no such target, it refuses the input.
    #[error("{0}")]
    Never(String),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// `Succeeded`, `Failed` or `Aborted`.
    pub status: RunStatus,
    pub rows: Option<u64>,
    pub error: Option<String>,
}

impl Ended {
    pub fn succeeded() -> Self {
        Self { status: RunStatus::Succeeded, rows: None, error: None }
    }

    pub fn failed(error: impl Into<String>) -> Self {
        Self { status: RunStatus::Failed, rows: None, error: Some(error.into()) }
    }

    pub fn aborted(why: impl Into<String>) -> Self {
        Self { status: RunStatus::Aborted, rows: None, error: Some(why.into()) }
    }
}

/// A run as [`Starter`] knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRef {
    pub target: Target,
    /// The id it was begun with.
    pub id: String,
    /// What [`Started`] said.
    pub execution: Option<String>,
}

/// Begins, follows and stops runs.
///
/// Ids are deterministic: `schedule/<name>/<due time>`, `trigger/<name>/<stream>/<offset>`,
/// `trigger/<name>/bourn/<event id>`, `trigger/<name>/bus/<event id>`, `backfill/<name>/<due time>`. After a crash the
/// same id may be given again: a run that was begun under it is not begun twice, and the answer is that of the first
/// time.
#[async_trait]
pub trait Starter: Send + Sync {
    /// Begins a run; resolves when that is durable.
    async fn start(&self, target: &Target, run_id: &str, input: Value) -> Result<Started, StartError>;

    /// Waits for a run's end, also for one that was begun before a restart. A run that is not known is
    /// [`RunStatus::Aborted`]. Dropping the future leaves the run alone.
    async fn finished(&self, run: &RunRef) -> Ended;

    /// Stops a run; [`Starter::finished`] then resolves. A run that is over or not known is no error.
    async fn stop(&self, run: &RunRef) -> Result<(), String>;
}

/// The kind of run that a target makes.
pub fn kind_of(target: &Target) -> RunKind {
    match target {
        Target::Workflow(_) => RunKind::Workflow,
        Target::Function(_) => RunKind::Function,
        Target::Job(_) => RunKind::Job,
    }
}

/// The name of the workflow, function or job.
pub fn name_of(target: &Target) -> String {
    match target {
        Target::Workflow(name) | Target::Function(name) => name.clone(),
        Target::Job(job) => job_name(job.name).into(),
    }
}

/// A job's name as settings and `bourn_event::Jobs` have it.
pub fn job_name(job: JobName) -> &'static str {
    match job {
        JobName::Compact => "compact",
        JobName::Vacuum => "vacuum",
        JobName::Retention => "retention",
        JobName::Replay => "replay",
    }
}

/// The stream that a target works on.
pub fn stream_of(target: &Target) -> Option<String> {
    match target {
        Target::Job(job) => job.stream.clone(),
        _ => None,
    }
}

/// A run's id as the request id of an invocation: always the same UUID.
pub fn request_id(run_id: &str) -> String {
    uuid_of(run_id)
}

/// Longest name that Step Functions gives an execution.
const EXECUTION_NAME_MAX: usize = 80;

/// A run's id as the name of an execution, in the characters and the length that Step Functions allows. Different
/// ids have different names: where the readable form could be shared or is too long, it ends in a hash.
pub fn execution_name(run_id: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let written = |c: char| match c {
        '/' => '.',
        c if allowed(c) => c,
        _ => '-',
    };
    let name: String = run_id.chars().map(written).collect();
    let (front, last) = run_id.rsplit_once('/').unwrap_or(("", run_id));
    // A colon is written `-`; only times of day have one, and they stand last.
    let is_plain =
        front.chars().all(|c| c == '/' || allowed(c)) && last.chars().all(|c| c == ':' || allowed(c));
    if is_plain && name.len() <= EXECUTION_NAME_MAX {
        return name;
    }
    let hash = format!("-{:016x}", xxhash_rust::xxh3::xxh3_64(run_id.as_bytes()));
    let kept: String = name.chars().take(EXECUTION_NAME_MAX - hash.len()).collect();
    kept + &hash
}
