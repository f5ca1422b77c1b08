//! Backfills: one run for each scheduled time of the past, a few at once, resumable.
//!
//! The state holds the next time to begin and those that are not over. A backfill that was cut off begins the open
//! ones again under the same ids, which [`Starter`] takes once, and goes on behind them.

use crate::runs::{Entry, Runs};
use crate::scheduler::start;
use crate::starter::{Ended, RunRef, Starter, kind_of, name_of, stream_of};
use crate::time::{rfc3339, sortable};
use crate::when::When;
use bourn_config::Target;
use bourn_event::{Clock, Micros, Run, RunStatus};
use bourn_state::{Durability, Key, StateError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A backfill of more times is refused.
pub const BACKFILL_TIMES_MAX: usize = 1_000_000;

/// What is to be made up for.
#[derive(Clone, Debug)]
pub struct BackfillPlan {
    /// The same name goes on with the same backfill.
    pub name: String,
    pub target: Target,
    pub when: When,
    /// Where a rate counts from.
    pub anchor: Micros,
    /// The first time, if it is one of `when`.
    pub from: Micros,
    /// Behind the last.
    pub to: Micros,
    /// Runs at once.
    pub concurrency: usize,
    /// The input of each; `{"backfill", "scheduled_at"}` if absent.
    pub input: Option<Value>,
}

/// How far a backfill has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackfillProgress {
    pub total: u64,
    pub succeeded: u64,
    pub failed: u64,
    /// Begun and not over.
    pub open: u64,
}

impl BackfillProgress {
    pub fn is_over(&self) -> bool {
        self.succeeded + self.failed == self.total
    }
}

/// Why a backfill does not run.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error("there is no scheduled time between {} and {}", rfc3339(*.from), rfc3339(*.to))]
    Empty { from: Micros, to: Micros },
    #[error("that makes more than {BACKFILL_TIMES_MAX} runs: choose a shorter time or a longer distance")]
    TooMany,
    #[error("backfill `{name}` was begun with other times ({begun}): choose another name, or the same times")]
    Changed { name: String, begun: String },
    #[error(transparent)]
    State(#[from] StateError),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// What it is about, to tell another by the same name.
    about: String,
    /// The next time to begin is at or behind this.
    next: Micros,
    open: BTreeSet<Micros>,
    succeeded: u64,
    failed: u64,
}

impl BackfillPlan {
    /// The name of a backfill that was given none.
    pub fn default_name(target: &Target, from: Micros, to: Micros) -> String {
        format!("{}-{}-{}", name_of(target), rfc3339(from), rfc3339(to))
    }

    /// The scheduled times, in order (`--dry-run`).
    pub fn times(&self) -> impl Iterator<Item = Micros> + use<> {
        self.when.between(self.anchor, self.from, self.to)
    }

    fn about(&self) -> String {
        let ends = [rfc3339(self.from), rfc3339(self.to)].join(" to ");
        let first: Vec<String> = self.times().take(2).map(rfc3339).collect();
        format!("{} from {ends}, first {}", name_of(&self.target), first.join(" and "))
    }

    fn count(&self) -> Result<u64, BackfillError> {
        match self.times().take(BACKFILL_TIMES_MAX + 1).count() {
            0 => Err(BackfillError::Empty { from: self.from, to: self.to }),
            count if count > BACKFILL_TIMES_MAX => Err(BackfillError::TooMany),
            count => Ok(count as u64),
        }
    }
}

/// Runs backfills.
pub struct Backfills {
    runs: Arc<Runs>,
    clock: Arc<dyn Clock>,
    starter: Arc<dyn Starter>,
}

impl Backfills {
    pub fn new(runs: Arc<Runs>, clock: Arc<dyn Clock>, starter: Arc<dyn Starter>) -> Self {
        Self { runs, clock, starter }
    }

    /// Runs it, or goes on with it; resolves when it is over or `stop` is. Runs that are open then go on by
    /// themselves. `report` hears of every step.
    pub async fn run(
        &self,
        plan: &BackfillPlan,
        stop: &CancellationToken,
        mut report: impl FnMut(&BackfillProgress),
    ) -> Result<BackfillProgress, BackfillError> {
        let total = plan.count()?;
        let mut kept = self.load(plan)?;
        report(&progress(&kept, total));
        let mut running = FuturesUnordered::new();
        for due in kept.open.clone() {
            running.push(self.one(plan, due, true));
        }
        let mut times = plan.when.between(plan.anchor, kept.next, plan.to).peekable();
        loop {
            while running.len() < plan.concurrency.max(1) && !stop.is_cancelled() {
                let Some(due) = times.next() else { break };
                kept.next = due + 1;
                kept.open.insert(due);
                self.keep(plan, &kept, Durability::Synced)?;
                running.push(self.one(plan, due, false));
                report(&progress(&kept, total));
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some((due, status)) = running.next() => {
                    kept.open.remove(&due);
                    let count = if status == RunStatus::Succeeded { &mut kept.succeeded } else { &mut kept.failed };
                    *count += 1;
                    self.keep(plan, &kept, Durability::Buffered)?;
                    report(&progress(&kept, total));
                }
            }
        }
        Ok(progress(&kept, total))
    }

    /// Forgets how far a backfill has come. Under the same name the same ids are given again: what the starter still
    /// knows is not done again.
    pub fn forget(&self, name: &str) -> Result<(), StateError> {
        self.runs.state().delete(&Key::Backfill { name: name.into() }, Durability::Synced)
    }

    fn load(&self, plan: &BackfillPlan) -> Result<Kept, BackfillError> {
        let about = plan.about();
        match self.runs.state().get::<Kept>(&Key::Backfill { name: plan.name.clone() })? {
            Some(kept) if kept.about == about => Ok(kept),
            Some(kept) => Err(BackfillError::Changed { name: plan.name.clone(), begun: kept.about }),
            None => Ok(Kept { about, next: plan.from, open: BTreeSet::new(), succeeded: 0, failed: 0 }),
        }
    }

    fn keep(&self, plan: &BackfillPlan, kept: &Kept, durability: Durability) -> Result<(), StateError> {
        self.runs.state().put(&Key::Backfill { name: plan.name.clone() }, kept, durability)
    }

    /// One time, from its beginning to its end.
    async fn one(&self, plan: &BackfillPlan, due: Micros, resumed: bool) -> (Micros, RunStatus) {
        let id = format!("backfill/{}/{}", plan.name, rfc3339(due));
        let mut run = RunRef { target: plan.target.clone(), id, execution: None };
        let input = plan.input.clone();
        let input = input.unwrap_or_else(|| json!({"backfill": plan.name, "scheduled_at": rfc3339(due)}));
        let mut entry = self.entry(plan, due, &run.id, resumed);
        let ended = match start(&*self.starter, &run, input).await {
            Ok(started) => {
                run.execution.clone_from(&started.execution);
                entry.run.execution = started.execution;
                self.note(&entry);
                self.starter.finished(&run).await
            }
            Err(error) => Ended::failed(format!("it could not begin: {error}")),
        };
        let status = ended.status;
        entry.close(ended, self.clock.now());
        self.note(&entry);
        (due, status)
    }

    fn entry(&self, plan: &BackfillPlan, due: Micros, start_id: &str, resumed: bool) -> Entry {
        let now = self.clock.now();
        let cause = format!("backfill:{}", plan.name);
        // One that was begun before keeps its place, also if it is over by now.
        let before = if resumed { self.runs.begun_as(start_id) } else { None };
        let (id, started_at) = match before {
            Some(entry) => (entry.run.id, entry.run.started_at),
            None => (format!("{}-{}", sortable(now), start_id.replace('/', "-")), now),
        };
        let run = Run {
            id,
            kind: kind_of(&plan.target),
            name: name_of(&plan.target),
            stream: stream_of(&plan.target),
            cause,
            scheduled_at: Some(due),
            started_at,
            ended_at: None,
            status: RunStatus::Running,
            rows: None,
            error: None,
            execution: None,
        };
        Entry { run, start_id: Some(start_id.into()) }
    }

    fn note(&self, entry: &Entry) {
        if let Err(error) = self.runs.commit(Vec::new(), vec![entry.clone()], Durability::Buffered) {
            tracing::warn!(run = entry.run.id, %error, "a run could not be noted");
        }
    }
}

fn progress(kept: &Kept, total: u64) -> BackfillProgress {
    let Kept { succeeded, failed, open, .. } = kept;
    BackfillProgress { total, succeeded: *succeeded, failed: *failed, open: open.len() as u64 }
}
