//! The schedules as rows (`system.schedules`, `bourn schedules ls`).

use crate::plan::Planned;
use crate::progress::{Phase, Progress};
use crate::runs::Entry;
use crate::scheduler::{Scheduler, record_id};
use crate::starter::{kind_of, name_of};
use crate::when::When;
use bourn_config::Schedule;
use bourn_event::{Micros, RunKind, RunStatus};
use bourn_state::{Key, State, StateError};
use serde::Serialize;
use std::collections::BTreeMap;

/// A schedule as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleRow {
    pub name: String,
    pub when: String,
    pub timezone: String,
    pub kind: RunKind,
    /// Name of the workflow, function or job.
    pub target: String,
    /// The next time; none if it is disabled or its times are over.
    pub next: Option<Micros>,
    /// The latest time a run was begun for.
    pub last: Option<Micros>,
    /// How that run stands.
    pub last_status: Option<RunStatus>,
    pub status: ScheduleStatus,
}

/// What a schedule does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleStatus {
    Waiting,
    /// A run of it is not over.
    Running,
    Disabled,
    /// No time of it is left.
    Over,
}

/// The schedules as the state has them, without changing it: for readers of a pipeline that does not run.
pub fn read_schedules(
    state: &State,
    schedules: &BTreeMap<String, Schedule>,
    now: Micros,
) -> Result<Vec<ScheduleRow>, StateError> {
    let mut rows = Vec::new();
    for (name, schedule) in schedules {
        let Ok(when) = When::compile(schedule) else { continue };
        let kept: Option<Progress> = state.get(&Key::Schedule { name: name.clone() })?;
        let progress = kept.unwrap_or_else(|| Progress::new(String::new(), when.anchor(now), now));
        let planned = Planned { name: name.clone(), schedule: schedule.clone(), when, progress };
        let last = planned.progress.last.map(|due| Key::Run { id: record_id(name, due) });
        let last = last.map(|key| state.get::<Entry>(&key)).transpose()?.flatten();
        rows.push(row(&planned, last.map(|entry| entry.run.status)));
    }
    Ok(rows)
}

impl Scheduler {
    /// All schedules, by name.
    pub fn schedules(&self) -> Vec<ScheduleRow> {
        self.with_planned(|planned, runs| {
            // One that is gone is shown as long as a run of it is not over.
            let shown =
                planned.values().filter(|planned| !planned.is_gone() || !planned.progress.open.is_empty());
            let status = |planned: &Planned| {
                let last = planned.progress.last?;
                runs.get(&record_id(&planned.name, last)).map(|run| run.status)
            };
            shown.map(|planned| row(planned, status(planned))).collect()
        })
    }
}

fn row(planned: &Planned, last_status: Option<RunStatus>) -> ScheduleRow {
    let Planned { name, schedule, progress, .. } = planned;
    let next = planned.next_due();
    let runs_now = progress.open.iter().any(|run| run.phase != Phase::Queued);
    let status = match next {
        _ if runs_now => ScheduleStatus::Running,
        _ if !schedule.enabled => ScheduleStatus::Disabled,
        None if progress.open.is_empty() => ScheduleStatus::Over,
        _ => ScheduleStatus::Waiting,
    };
    ScheduleRow {
        name: name.clone(),
        when: schedule.when.clone(),
        timezone: schedule.timezone.clone(),
        kind: kind_of(&schedule.run),
        target: name_of(&schedule.run),
        next,
        last: progress.last,
        last_status,
        status,
    }
}
