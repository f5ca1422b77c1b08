//! The scheduler: looks at the time, decides ([`crate::plan`]), persists, and only then begins runs.
//!
//! ```text
//!        ┌──────────────── look ─────────────┐
//!  clock ┤                                   ▼
//!  events of runs ─► note ─► one batch: progress + runs ─► begin, stop
//!        ▲                                                     │
//!        └────────────── started, refused, ended ◄─────────────┘
//! ```
//!
//! A crash before the batch: the time is still to come, and falls under the missed policy. Behind it: the run is
//! begun again under the same id, which [`Starter`] takes once. A run that was begun is followed again; a job, which
//! lives in the process, is over.

use crate::backoff::Backoff;
use crate::plan::{Planned, Step};
use crate::progress::{OpenRun, Phase, Progress};
use crate::runs::{Entry, Runs};
use crate::starter::{Ended, RunRef, StartError, Started, Starter, kind_of, name_of, stream_of};
use crate::time::{MICROS_PER_SECOND, rfc3339, sortable};
use crate::when::{When, WhenFault};
use bourn_config::{Schedule, Target};
use bourn_event::{Clock, Micros, Run, RunStatus};
use bourn_state::{Durability, Key, KeyKind, Scope, State, StateError};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The clock is looked at this often, whatever is due: it may have been set.
const CHECK_MAX: Duration = Duration::from_secs(30);
const EVENTS_MAX: usize = 256;

/// What the scheduler's troubles are about.
const ABOUT: &str = "schedules";

/// Why schedules were not taken; those before stay in force.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error("schedule `{name}`: {fault}")]
    Invalid { name: String, fault: WhenFault },
    #[error(transparent)]
    State(#[from] StateError),
}

/// Owns all schedules.
pub struct Scheduler {
    state: State,
    runs: Arc<Runs>,
    clock: Arc<dyn Clock>,
    starter: Arc<dyn Starter>,
    planned: Mutex<BTreeMap<String, Planned>>,
    changed: Notify,
}

/// What became of a run.
enum Event {
    Started { name: String, due: Micros, started: Started },
    Refused { name: String, due: Micros, error: String },
    Ended { name: String, due: Micros, ended: Ended },
}

/// What is to be persisted, and then done.
#[derive(Default)]
struct Work {
    schedules: BTreeSet<String>,
    entries: BTreeMap<String, Entry>,
    steps: Vec<(String, Step)>,
}

impl Scheduler {
    pub fn new(state: State, runs: Arc<Runs>, clock: Arc<dyn Clock>, starter: Arc<dyn Starter>) -> Arc<Self> {
        let planned = Mutex::default();
        Arc::new(Self { state, runs, clock, starter, planned, changed: Notify::new() })
    }

    /// Takes these schedules instead of those before. One that is new, or whose times changed, begins with the
    /// next time from now on. Runs of one that is gone are followed to their end; those that wait are given up.
    pub fn set(&self, schedules: &BTreeMap<String, Schedule>) -> Result<(), ScheduleError> {
        let now = self.clock.now();
        let mut compiled = BTreeMap::new();
        for (name, schedule) in schedules {
            let when = When::compile(schedule).map_err(|faults| {
                let fault = faults.into_iter().next();
                let fault = fault.unwrap_or(WhenFault { key: "when", message: "is not valid".into() });
                ScheduleError::Invalid { name: name.clone(), fault }
            })?;
            compiled.insert(name.clone(), (schedule.clone(), when));
        }
        let mut planned = self.planned.lock();
        let mut known = self.known(&planned)?;
        let mut next = BTreeMap::new();
        for (name, (schedule, when)) in compiled {
            let definition = definition(&schedule);
            let fresh = || {
                let whole_seconds = now - now.rem_euclid(MICROS_PER_SECOND);
                Progress::new(definition.clone(), when.anchor(whole_seconds), now)
            };
            let progress = match known.remove(&name) {
                None => fresh(),
                Some(progress) if progress.definition == definition => progress,
                Some(old) => Progress { open: old.open, decided: old.decided, last: old.last, ..fresh() },
            };
            next.insert(name.clone(), Planned { name, schedule, when, progress });
        }
        for (name, mut progress) in known {
            self.retire(&name, &mut progress)?;
            if let Some(gone) = gone(&name, progress) {
                next.insert(name, gone);
            }
        }
        for planned in next.values() {
            let key = Key::Schedule { name: planned.name.clone() };
            self.state.put(&key, &planned.progress, Durability::Buffered)?;
        }
        self.state.sync()?;
        *planned = next;
        drop(planned);
        self.wake();
        Ok(())
    }

    /// Looks at the clock now. Needed by who moves a clock by hand.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Begins what is due, until `stop`. Runs that were begun go on without it. Call it once.
    pub async fn run(&self, stop: CancellationToken) {
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        let mut tasks = JoinSet::new();
        let mut work = Work::default();
        self.reattach(&mut work, &mut tasks, &sender);
        let mut first = true;
        let mut backoff = Backoff::default();
        loop {
            while let Ok(event) = events.try_recv() {
                self.note(event, &mut work);
            }
            let now = self.clock.now();
            let wake = self.look(now, first, &mut work);
            first = false;
            let mut pause = wake.map_or(CHECK_MAX, |wake| Duration::from_micros((wake - now).max(0) as u64));
            match self.persist(&mut work).await {
                Ok(steps) => {
                    self.runs.troubles().clear(ABOUT);
                    backoff = Backoff::default();
                    self.perform(steps, &mut tasks, &sender);
                }
                Err(error) => {
                    let why = format!("nothing is begun, because it cannot be noted: {error}");
                    tracing::warn!("schedules: {why}");
                    self.runs.troubles().note(ABOUT, why);
                    pause = backoff.grow();
                }
            }
            while tasks.try_join_next().is_some() {}
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause.min(CHECK_MAX)) => {}
                Some(event) = events.recv() => self.note(event, &mut work),
            }
        }
        while let Ok(event) = events.try_recv() {
            self.note(event, &mut work);
        }
        if let Err(error) = self.persist(&mut work).await {
            tracing::warn!(%error, "schedules cannot be persisted");
        }
    }

    pub(crate) fn with_planned<T>(&self, read: impl FnOnce(&BTreeMap<String, Planned>, &Runs) -> T) -> T {
        read(&self.planned.lock(), &self.runs)
    }

    /// The progress of all schedules, those that are gone too.
    fn known(&self, planned: &BTreeMap<String, Planned>) -> Result<BTreeMap<String, Progress>, StateError> {
        let mut known = BTreeMap::new();
        for entry in self.state.scan::<Progress>(Scope::all(KeyKind::Schedule)) {
            if let (Key::Schedule { name }, progress) = entry? {
                known.insert(name, progress);
            }
        }
        known.extend(planned.iter().map(|(name, planned)| (name.clone(), planned.progress.clone())));
        Ok(known)
    }

    /// Gives up what waits of a schedule that is gone, and forgets the schedule if nothing of it runs.
    fn retire(&self, name: &str, progress: &mut Progress) -> Result<(), StateError> {
        let (waiting, active): (Vec<_>, Vec<_>) =
            progress.open.drain(..).partition(|run| run.phase == Phase::Queued);
        progress.open = active;
        for run in waiting {
            self.runs.end(&record_id(name, run.due), Ended::aborted("the schedule is gone"))?;
        }
        if progress.open.is_empty() {
            self.state.delete(&Key::Schedule { name: name.into() }, Durability::Buffered)?;
        }
        Ok(())
    }

    fn look(&self, now: Micros, first: bool, work: &mut Work) -> Option<Micros> {
        let mut wake: Option<Micros> = None;
        for planned in self.planned.lock().values_mut() {
            let look = planned.look(now, first);
            if look.changed {
                work.schedules.insert(planned.name.clone());
            }
            for step in look.steps {
                self.record(planned, &step, now, work);
                work.steps.push((planned.name.clone(), step));
            }
            wake = wake.into_iter().chain(look.wake).min();
        }
        wake
    }

    /// The run of a step, as `system.runs` shows it.
    fn record(&self, planned: &Planned, step: &Step, now: Micros, work: &mut Work) {
        let (due, status, error) = match step {
            Step::Queue { due } => (*due, RunStatus::Queued, None),
            Step::Start { due } => (*due, RunStatus::Running, None),
            Step::Skip { due, why } => (*due, RunStatus::Skipped, Some(why.clone())),
            Step::Stop { .. } => return,
        };
        let id = record_id(&planned.name, due);
        if status == RunStatus::Queued && self.runs.entry(&id).is_some_and(|entry| entry.run.status == status)
        {
            return;
        }
        let target = &planned.schedule.run;
        let run = Run {
            id: id.clone(),
            kind: kind_of(target),
            name: name_of(target),
            stream: stream_of(target),
            cause: format!("schedule:{}", planned.name),
            scheduled_at: Some(due),
            started_at: now,
            ended_at: (status == RunStatus::Skipped).then_some(now),
            status,
            rows: None,
            error,
            execution: None,
        };
        work.entries.insert(id, Entry { run, start_id: Some(start_id(&planned.name, due)) });
    }

    /// What became of a run, into its schedule's progress and the runs.
    fn note(&self, event: Event, work: &mut Work) {
        let (name, due) = match &event {
            Event::Started { name, due, .. }
            | Event::Refused { name, due, .. }
            | Event::Ended { name, due, .. } => (name.clone(), *due),
        };
        let mut all = self.planned.lock();
        let Some(planned) = all.get_mut(&name) else { return };
        let id = record_id(&name, due);
        let Some(mut entry) = work.entries.get(&id).cloned().or_else(|| self.runs.entry(&id)) else { return };
        let now = self.clock.now();
        match event {
            Event::Started { started, .. } => {
                if let Some(run) = planned.progress.find(due) {
                    run.phase = Phase::Running;
                    run.execution.clone_from(&started.execution);
                }
                entry.run.execution = started.execution;
            }
            Event::Refused { error, .. } => {
                planned.progress.take(due);
                entry.close(Ended::failed(format!("it could not begin: {error}")), now);
            }
            Event::Ended { ended, .. } => {
                let run = planned.progress.take(due);
                let was_replaced = run.is_some_and(|run| run.phase == Phase::Stopping);
                entry.close(ended, now);
                if was_replaced && entry.run.status != RunStatus::Succeeded {
                    entry.run.status = RunStatus::Aborted;
                    entry.run.error = Some("a later run took its place".into());
                }
            }
        }
        work.schedules.insert(name);
        work.entries.insert(id, entry);
    }

    /// One batch; gives what is to be done now. What could not be written is kept for the next time.
    async fn persist(&self, work: &mut Work) -> Result<Vec<(String, Step)>, StateError> {
        let mut values = Vec::with_capacity(work.schedules.len());
        for name in &work.schedules {
            if let Some(planned) = self.planned.lock().get(name) {
                values.push((Key::Schedule { name: name.clone() }, json!(planned.progress)));
            }
        }
        let entries: Vec<Entry> = work.entries.values().cloned().collect();
        if !values.is_empty() || !entries.is_empty() {
            let runs = self.runs.clone();
            let written =
                tokio::task::spawn_blocking(move || runs.commit(values, entries, Durability::Synced));
            if let Ok(result) = written.await {
                result?;
            }
        }
        Ok(std::mem::take(work).steps)
    }

    fn perform(&self, steps: Vec<(String, Step)>, tasks: &mut JoinSet<()>, sender: &mpsc::Sender<Event>) {
        for (name, step) in steps {
            match step {
                Step::Start { due } => self.follow(&name, due, tasks, sender),
                Step::Stop { due } => {
                    if let Some(run) = self.reference(&name, due) {
                        tasks.spawn(stop(self.starter.clone(), run));
                    }
                }
                Step::Queue { .. } | Step::Skip { .. } => {}
            }
        }
    }

    /// After a start of the process: runs that were open go on being followed, jobs are over.
    fn reattach(&self, work: &mut Work, tasks: &mut JoinSet<()>, sender: &mpsc::Sender<Event>) {
        let open: Vec<(String, OpenRun)> = (self.planned.lock().values())
            .flat_map(|planned| planned.progress.open.iter().map(|run| (planned.name.clone(), run.clone())))
            .filter(|(_, run)| run.phase != Phase::Queued)
            .collect();
        for (name, run) in open {
            let due = run.due;
            if matches!(run.target, Target::Job(_)) && run.phase != Phase::Starting {
                let ended = Ended::aborted("the process ended while it ran");
                self.note(Event::Ended { name, due, ended }, work);
                continue;
            }
            self.follow(&name, due, tasks, sender);
            if run.phase == Phase::Stopping
                && let Some(run) = self.reference(&name, due)
            {
                tasks.spawn(stop(self.starter.clone(), run));
            }
        }
    }

    fn reference(&self, name: &str, due: Micros) -> Option<RunRef> {
        let mut all = self.planned.lock();
        let run = all.get_mut(name)?.progress.find(due)?;
        Some(RunRef { target: run.target.clone(), id: start_id(name, due), execution: run.execution.clone() })
    }

    fn follow(&self, name: &str, due: Micros, tasks: &mut JoinSet<()>, sender: &mpsc::Sender<Event>) {
        let Some(run) = self.reference(name, due) else { return };
        let mut all = self.planned.lock();
        let Some(planned) = all.get_mut(name) else { return };
        let input = planned.schedule.input.clone();
        let input = input.unwrap_or_else(|| json!({"schedule": name, "scheduled_at": rfc3339(due)}));
        let starts = planned.progress.find(due).is_some_and(|run| run.phase == Phase::Starting);
        let starter = self.starter.clone();
        let (name, sender) = (name.to_owned(), sender.clone());
        tasks.spawn(async move {
            drive(starter, run, starts.then_some(input), name, due, sender).await;
        });
    }
}

/// Begins a run, unless it was, and waits for its end.
async fn drive(
    starter: Arc<dyn Starter>,
    mut run: RunRef,
    input: Option<Value>,
    name: String,
    due: Micros,
    sender: mpsc::Sender<Event>,
) {
    if let Some(input) = input {
        let event = match start(&*starter, &run, input).await {
            Ok(started) => {
                run.execution.clone_from(&started.execution);
                Event::Started { name: name.clone(), due, started }
            }
            Err(error) => Event::Refused { name: name.clone(), due, error },
        };
        let is_over = matches!(event, Event::Refused { .. });
        if sender.send(event).await.is_err() || is_over {
            return;
        }
    }
    let ended = starter.finished(&run).await;
    // Nobody listens any more: the next start follows the run again.
    let _ = sender.send(Event::Ended { name, due, ended }).await;
}

/// Tries until it begins or is refused for good.
pub(crate) async fn start(starter: &dyn Starter, run: &RunRef, input: Value) -> Result<Started, String> {
    let mut backoff = Backoff::default();
    loop {
        match starter.start(&run.target, &run.id, input.clone()).await {
            Ok(started) => return Ok(started),
            Err(StartError::Never(error)) => return Err(error),
            Err(StartError::Later(error)) => {
                metrics::counter!("bourn_run_start_retries_total").increment(1);
                tracing::warn!(run = run.id, error, "a run cannot begin now and is tried again");
                tokio::time::sleep(backoff.grow()).await;
            }
        }
    }
}

async fn stop(starter: Arc<dyn Starter>, run: RunRef) {
    let mut backoff = Backoff::default();
    while let Err(error) = starter.stop(&run).await {
        tracing::warn!(run = run.id, error, "a run cannot be stopped now and is tried again");
        tokio::time::sleep(backoff.grow()).await;
    }
}

/// What the times of a schedule depend on.
fn definition(schedule: &Schedule) -> String {
    let Schedule { when, timezone, from, until, enabled, .. } = schedule;
    json!([when, timezone, from, until, enabled]).to_string()
}

/// A schedule that is gone, kept for its runs; `None` if there are none.
fn gone(name: &str, progress: Progress) -> Option<Planned> {
    let run = progress.open.first()?.target.clone();
    let schedule = Schedule {
        when: "@yearly".into(),
        timezone: "UTC".into(),
        run,
        input: None,
        missed: Default::default(),
        missed_max_age: bourn_config::Span::from_secs(0),
        jitter: None,
        overlap: Default::default(),
        from: None,
        until: None,
        enabled: false,
    };
    let when = When::compile(&schedule).ok()?;
    let progress = Progress { definition: String::new(), ..progress };
    Some(Planned { name: name.into(), schedule, when, progress })
}

/// The id that a run is begun with.
fn start_id(name: &str, due: Micros) -> String {
    format!("schedule/{name}/{}", rfc3339(due))
}

/// The id of the same run among the runs, which sorts by time.
pub(crate) fn record_id(name: &str, due: Micros) -> String {
    format!("{}-schedule-{name}", sortable(due))
}
