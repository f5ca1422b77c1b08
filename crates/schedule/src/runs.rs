//! The runs: what was begun by schedules, triggers, backfills, upkeep and by hand, and how it ended
//! (`system.runs`, `bourn runs`).
//!
//! All are in memory and in the state. Kept are the last [`RUNS_MAX`] and none older than [`RUN_AGE_MAX`]; what is
//! not over is always kept. Jobs live in the process: those that a crash cut off are marked so when the runs are
//! opened. Workflows and functions outlive it; who began them follows them again.

use crate::starter::{Ended, RunRef};
use crate::time::sortable;
use crate::troubles::Troubles;
use bourn_config::{JobName, JobTarget, Target};
use bourn_event::{Clock, JobDone, Jobs, Micros, Run, RunKind, RunStatus};
use bourn_state::{Durability, Key, KeyKind, Scope, State, StateError};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub const RUNS_MAX: usize = 10_000;
pub const RUN_AGE_MAX: Duration = Duration::from_secs(90 * 86_400);

/// Upkeep that takes longer is shown while it runs, whether or not it will have done something.
const QUIET_MAX: Duration = Duration::from_secs(2);

/// The cause of jobs that the pipeline does by itself, often, and mostly in vain.
pub const UPKEEP: &str = "upkeep";

/// A run with the id it was begun with, as the state holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub run: Run,
    #[serde(default)]
    pub start_id: Option<String>,
}

impl Entry {
    /// How [`crate::Starter`] knows it, if it began it.
    pub fn reference(&self) -> Option<RunRef> {
        let run = &self.run;
        let target = match run.kind {
            RunKind::Workflow => Target::Workflow(run.name.clone()),
            RunKind::Function => Target::Function(run.name.clone()),
            RunKind::Job => Target::Job(JobTarget { name: job_of(&run.name)?, stream: run.stream.clone() }),
        };
        Some(RunRef { target, id: self.start_id.clone()?, execution: run.execution.clone() })
    }

    pub fn close(&mut self, ended: Ended, now: Micros) {
        self.run.status = ended.status;
        self.run.rows = ended.rows;
        self.run.error = ended.error;
        self.run.ended_at = Some(now);
    }
}

fn job_of(name: &str) -> Option<JobName> {
    let all = [JobName::Compact, JobName::Vacuum, JobName::Retention, JobName::Replay];
    all.into_iter().find(|job| crate::job_name(*job) == name)
}

type Listener = Arc<dyn Fn(&Run) + Send + Sync>;

/// The store of runs.
pub struct Runs {
    state: State,
    clock: Arc<dyn Clock>,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Upkeep that runs now and may turn out to do nothing: in memory only.
    quiet: Mutex<BTreeMap<String, Run>>,
    sequence: AtomicU64,
    listener: RwLock<Option<Listener>>,
    troubles: Troubles,
}

/// The runs that a state holds, the latest first, without changing any: for readers of a pipeline that does not run.
pub fn read_runs(state: &State) -> Result<Vec<Run>, StateError> {
    let runs: Result<Vec<Run>, StateError> =
        state.scan::<Entry>(Scope::all(KeyKind::Run)).map(|entry| Ok(entry?.1.run)).collect();
    let mut runs = runs?;
    runs.reverse();
    Ok(runs)
}

impl Runs {
    /// Reads the runs; jobs that were running are marked [`RunStatus::Aborted`].
    pub fn open(state: State, clock: Arc<dyn Clock>) -> Result<Arc<Self>, StateError> {
        let mut entries = BTreeMap::new();
        let mut cut_off = Vec::new();
        for entry in state.scan::<Entry>(Scope::all(KeyKind::Run)) {
            let (_, mut entry) = entry?;
            if entry.run.kind == RunKind::Job && entry.run.status == RunStatus::Running {
                entry.close(Ended::aborted("the process ended while it ran"), clock.now());
                cut_off.push(entry.clone());
            }
            entries.insert(entry.run.id.clone(), entry);
        }
        let runs = Self {
            state,
            clock,
            entries: Mutex::new(entries),
            quiet: Mutex::default(),
            sequence: AtomicU64::new(0),
            listener: RwLock::new(None),
            troubles: Troubles::default(),
        };
        runs.commit(Vec::new(), cut_off, Durability::Buffered)?;
        Ok(Arc::new(runs))
    }

    /// Calls this for each run that ends from now on. It must not block, nor call back.
    pub fn on_end(&self, listener: impl Fn(&Run) + Send + Sync + 'static) {
        *self.listener.write() = Some(Arc::new(listener));
    }

    /// What keeps schedules and triggers from beginning runs at the moment.
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// All runs, the latest first.
    pub fn list(&self) -> Vec<Run> {
        let mut runs: BTreeMap<String, Run> =
            self.entries.lock().iter().map(|(id, entry)| (id.clone(), entry.run.clone())).collect();
        runs.extend(self.quiet.lock().iter().map(|(id, run)| (id.clone(), run.clone())));
        runs.into_values().rev().collect()
    }

    pub fn get(&self, id: &str) -> Option<Run> {
        let kept = self.entries.lock().get(id).map(|entry| entry.run.clone());
        kept.or_else(|| self.quiet.lock().get(id).cloned())
    }

    /// Notes a run that is about to begin, or changes it.
    pub fn begin(&self, run: Run) -> Result<(), StateError> {
        let start_id = self.entries.lock().get(&run.id).and_then(|entry| entry.start_id.clone());
        self.commit(Vec::new(), vec![Entry { run, start_id }], Durability::Buffered)
    }

    /// Notes how a run ended. A run that is over or not known stays as it is.
    pub fn end(&self, id: &str, ended: Ended) -> Result<(), StateError> {
        let Some(mut entry) = self.entry(id).filter(|entry| entry.run.ended_at.is_none()) else {
            return Ok(());
        };
        entry.close(ended, self.clock.now());
        self.commit(Vec::new(), vec![entry], Durability::Buffered)
    }

    /// Runs a job of the pipeline and notes it; upkeep only if it did something, failed, or takes long.
    pub async fn run_job(
        &self,
        jobs: &dyn Jobs,
        cause: &str,
        job: &str,
        stream: Option<&str>,
        arguments: &Value,
    ) -> Result<JobDone, String> {
        self.record(cause, job, stream, jobs.run(job, stream, arguments)).await
    }

    /// The same for work that is a future already. Dropping it notes the run as aborted.
    pub async fn record(
        &self,
        cause: &str,
        job: &str,
        stream: Option<&str>,
        work: impl Future<Output = Result<JobDone, String>> + Send,
    ) -> Result<JobDone, String> {
        let run = self.new_job(cause, job, stream);
        let mut noted = Noted { runs: self, id: run.id.clone(), is_kept: false, is_over: false };
        self.quiet.lock().insert(run.id.clone(), run);
        if cause != UPKEEP {
            noted.keep();
        }
        tokio::pin!(work);
        let done = match tokio::time::timeout(QUIET_MAX, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                noted.keep();
                work.await
            }
        };
        match &done {
            Ok(done) if !noted.is_kept && !did_something(done) => noted.forget(),
            Ok(done) => noted.end(Ended { rows: done.rows, ..Ended::succeeded() }),
            Err(error) => noted.end(Ended::failed(error.clone())),
        }
        done
    }

    fn new_job(&self, cause: &str, job: &str, stream: Option<&str>) -> Run {
        let now = self.clock.now();
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let mut id = format!("{}-{job}", sortable(now));
        for part in stream.map(str::to_owned).into_iter().chain((sequence > 0).then(|| sequence.to_string()))
        {
            id = format!("{id}-{part}");
        }
        Run {
            id,
            kind: RunKind::Job,
            name: job.to_owned(),
            stream: stream.map(str::to_owned),
            cause: cause.to_owned(),
            scheduled_at: None,
            started_at: now,
            ended_at: None,
            status: RunStatus::Running,
            rows: None,
            error: None,
            execution: None,
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn entry(&self, id: &str) -> Option<Entry> {
        self.entries.lock().get(id).cloned()
    }

    /// The latest run that was begun under an id.
    pub(crate) fn begun_as(&self, start_id: &str) -> Option<Entry> {
        let entries = self.entries.lock();
        entries.values().rev().find(|entry| entry.start_id.as_deref() == Some(start_id)).cloned()
    }

    /// The runs of a kind of cause that are not over: `trigger:`, `schedule:`.
    pub(crate) fn open_of(&self, cause: &str) -> Vec<Entry> {
        let entries = self.entries.lock();
        let open = entries.values().filter(|entry| entry.run.ended_at.is_none());
        open.filter(|entry| entry.run.cause.starts_with(cause)).cloned().collect()
    }

    /// Writes runs and other keys in one batch; in memory once it is written.
    pub(crate) fn commit(
        &self,
        others: Vec<(Key, Value)>,
        changed: Vec<Entry>,
        durability: Durability,
    ) -> Result<(), StateError> {
        let mut entries = self.entries.lock();
        let mut batch = self.state.batch();
        for (key, value) in &others {
            batch.put(key, value)?;
        }
        for entry in &changed {
            batch.put(&Key::Run { id: entry.run.id.clone() }, entry)?;
        }
        let over = self.over_the_limits(&entries, changed.len());
        for id in &over {
            batch.delete(&Key::Run { id: id.clone() });
        }
        batch.commit(durability)?;
        for id in &over {
            entries.remove(id);
        }
        let mut ended = Vec::new();
        for entry in changed {
            let was_open = entries.get(&entry.run.id).is_none_or(|entry| entry.run.ended_at.is_none());
            if was_open && entry.run.ended_at.is_some() {
                ended.push(entry.run.clone());
            }
            entries.insert(entry.run.id.clone(), entry);
        }
        drop(entries);
        for run in &ended {
            let labels = [("kind", word(&run.kind)), ("status", word(&run.status))];
            metrics::counter!("bourn_runs_ended_total", &labels).increment(1);
        }
        let listener = self.listener.read().clone();
        if let Some(listener) = listener {
            ended.iter().for_each(|run| listener(run));
        }
        Ok(())
    }

    fn over_the_limits(&self, entries: &BTreeMap<String, Entry>, more: usize) -> Vec<String> {
        let surplus = (entries.len() + more).saturating_sub(RUNS_MAX);
        let oldest = self.clock.now().saturating_sub(RUN_AGE_MAX.as_micros() as Micros);
        let closed = entries.values().filter_map(|entry| Some((entry.run.ended_at?, &entry.run.id)));
        // In the order of their ids, which is that of their times.
        let over = closed.enumerate().take_while(|(index, (ended, _))| *index < surplus || *ended < oldest);
        over.map(|(_, (_, id))| id.clone()).collect()
    }
}

/// A kind or a status as tables show it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Did a job change anything?
fn did_something(done: &JobDone) -> bool {
    done.rows.is_some_and(|rows| rows > 0) || says_something(&done.detail)
}

fn says_something(detail: &Value) -> bool {
    match detail {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(members) => members.iter().any(says_something),
        Value::Object(object) => object.values().any(says_something),
    }
}

/// A job that runs: however its future ends, it does not stay open.
struct Noted<'a> {
    runs: &'a Runs,
    id: String,
    /// Is it in the state?
    is_kept: bool,
    is_over: bool,
}

impl Noted<'_> {
    fn keep(&mut self) {
        let run = self.runs.quiet.lock().get(&self.id).cloned();
        if let Some(run) = run {
            self.write(Entry { run, start_id: None });
        }
    }

    fn end(&mut self, ended: Ended) {
        let now = self.runs.clock.now();
        let quiet = self.runs.quiet.lock().get(&self.id).cloned();
        let entry = self.runs.entry(&self.id).or(quiet.map(|run| Entry { run, start_id: None }));
        if let Some(mut entry) = entry {
            entry.close(ended, now);
            self.write(entry);
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.runs.quiet.lock().remove(&self.id);
        self.is_over = true;
    }

    /// A run that cannot be noted is no reason not to do the work: it stays in memory, and the log says why.
    fn write(&mut self, entry: Entry) {
        match self.runs.commit(Vec::new(), vec![entry], Durability::Buffered) {
            Ok(()) => {
                self.runs.quiet.lock().remove(&self.id);
                self.is_kept = true;
            }
            Err(error) => tracing::warn!(run = self.id, %error, "a run could not be noted"),
        }
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            if self.is_kept {
                self.end(Ended::aborted("stopped"));
            }
            self.forget();
        }
    }
}
