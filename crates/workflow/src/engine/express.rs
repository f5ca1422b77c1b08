//! Express executions: the same machine, in memory, for at most five minutes.

use super::{Engine, runner::Job};
use crate::api::{ExecutionStatus, HistoryEvent};
use crate::logging::Logging;
use crate::machine::{Action, Execution, FrameId, Input, Meta, Outcome, TimerRef, World};
use crate::service::Pace;
use bourn_asl::Machine;
use bourn_event::{Micros, TaskFailure};
use futures::future::{AbortHandle, Abortable};
use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long one may take.
const LIMIT: Micros = 5 * 60 * 1_000_000;

/// How often the clock is looked at while a timer is awaited.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_VIRTUAL: Duration = Duration::from_millis(1);

/// How it ended.
pub struct ExpressEnd {
    pub status: ExecutionStatus,
    pub outcome: Outcome,
}

type Done = (FrameId, u32, Result<Value, TaskFailure>);

struct Run<'a> {
    engine: &'a Arc<Engine>,
    ex: Execution,
    timers: BTreeMap<(Micros, u32), (FrameId, bool)>,
    aborts: HashMap<(FrameId, u32), AbortHandle>,
    ended: Option<Outcome>,
    logging: Logging,
    /// What has to be started.
    jobs: Vec<Job>,
}

impl Engine {
    /// Runs one that nobody waits for.
    pub fn run_apart(self: &Arc<Self>, meta: Meta, machine: Arc<Machine>) {
        let engine = self.clone();
        let task = self.handle.spawn(async move { engine.run_express(meta, machine).await });
        let mut apart = self.apart.lock();
        apart.retain(|task| !task.is_finished());
        apart.push(task.abort_handle());
    }

    /// Runs one to its end. Dropping the future gives it up.
    pub async fn run_express(self: &Arc<Self>, meta: Meta, machine: Arc<Machine>) -> ExpressEnd {
        let _busy = self.busy();
        let limit = self.now().steady + LIMIT;
        let name = meta.machine_name.clone();
        let mut run = Run {
            engine: self,
            ex: Execution::new(Arc::new(meta), machine),
            timers: BTreeMap::new(),
            aborts: HashMap::new(),
            ended: None,
            logging: self.logging(&name),
            jobs: Vec::new(),
        };
        let mut tasks = FuturesUnordered::new();
        let mut inputs = VecDeque::from([Input::Start]);
        metrics::counter!("bourn_workflow_express_started_total").increment(1);
        let outcome = loop {
            while let Some(input) = inputs.pop_front() {
                run.step(input);
            }
            if let Some(outcome) = run.ended.take() {
                break outcome;
            }
            for job in std::mem::take(&mut run.jobs) {
                let (abort, registration) = AbortHandle::new_pair();
                run.aborts.insert((job.id.1, job.id.2), abort);
                tasks.push(Abortable::new(work(self, job), registration));
            }
            let now = self.now();
            if now.steady >= limit {
                run.ex.head.status = ExecutionStatus::TimedOut;
                run.log_time_out(now.wall);
                break Outcome { ended_at: now.wall, ..Outcome::default() };
            }
            inputs.extend(run.due());
            if !inputs.is_empty() {
                continue;
            }
            let pause = run.pause(limit);
            if let Ok(Some(Ok(done))) = tokio::time::timeout(pause, next(&mut tasks)).await {
                inputs.push_back(run.input(done));
            }
        };
        let status = run.ex.head.status;
        super::commit::count_end(&name, status, outcome.ended_at - run.ex.meta.started_at);
        ExpressEnd { status, outcome }
    }
}

impl Engine {
    /// What a machine wants logged; of a distributed Map's children, what the machine that has the Map wants.
    fn logging(&self, machine: &str) -> Logging {
        if !self.options.express_log.enabled() {
            return Logging::OFF;
        }
        let name = machine.split('/').next().unwrap_or_default();
        let record = self.record(&self.machine_arn(name)).ok();
        Logging::of(record.and_then(|record| record.logging).as_deref())
    }
}

/// The next task that ends; waits for ever if there is none.
async fn next<F: Future>(tasks: &mut FuturesUnordered<F>) -> Option<F::Output> {
    if tasks.is_empty() {
        return std::future::pending().await;
    }
    tasks.next().await
}

async fn work(engine: &Arc<Engine>, job: Job) -> Done {
    let done = engine.submit(&job).await;
    (job.id.1, job.id.2, done)
}

impl Run<'_> {
    fn step(&mut self, input: Input) {
        let engine = self.engine;
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let activity = |arn: &str| engine.has_activity(arn);
        let world = World { now: engine.now(), seed, record: !self.logging.is_off(), activity: &activity };
        let stepped = self.ex.step(input, &world);
        self.ex.changed.clear();
        self.ex.removed.clear();
        for event in stepped.events.iter().filter(|event| self.logging.wants(event.kind.name())) {
            self.log(event.to_api(self.logging.data));
        }
        for action in stepped.actions {
            self.act(action);
        }
    }

    fn log(&self, event: HistoryEvent) {
        let meta = &self.ex.meta;
        self.engine.options.express_log.event(&meta.machine_name, &meta.arn, event);
    }

    /// The limit of five minutes is no step of the machine.
    fn log_time_out(&self, at: Micros) {
        let kind = "ExecutionTimedOut";
        if self.logging.wants(kind) {
            let id = self.ex.head.next_event;
            self.log(HistoryEvent { id, previous_id: id.saturating_sub(1), at, kind, details: None });
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Task { frame, .. } => self.jobs.extend(super::changes::job(&self.ex, frame)),
            Action::CancelTask { frame, attempt } => {
                if let Some(abort) = self.aborts.remove(&(frame, attempt)) {
                    abort.abort();
                }
            }
            Action::SetTimer { frame, timer } => {
                self.timers.insert((timer.due, timer.serial), (frame, timer.wall));
            }
            Action::ClearTimer { timer: TimerRef { due, serial, .. }, .. } => {
                self.timers.remove(&(due, serial));
            }
            Action::End(outcome) => self.ended = Some(outcome),
            // Express machines have no activities: validation refuses them.
            Action::Offer { .. } | Action::Withdraw { .. } => {}
        }
    }

    fn due(&mut self) -> Vec<Input> {
        let now = self.engine.now();
        let is_due = |due: Micros, wall: bool| due <= if wall { now.wall } else { now.steady };
        let due: Vec<_> = self
            .timers
            .iter()
            .filter(|((due, _), (_, wall))| is_due(*due, *wall))
            .map(|(key, (frame, _))| (*key, *frame))
            .collect();
        due.into_iter()
            .map(|(key, frame)| {
                self.timers.remove(&key);
                Input::Timer { frame, serial: key.1 }
            })
            .collect()
    }

    fn pause(&self, limit: Micros) -> Duration {
        let look = if self.engine.options.pace == Pace::Virtual { LOOK_VIRTUAL } else { LOOK };
        let Some(((due, _), _)) = self.timers.first_key_value() else {
            let left = (limit - self.engine.now().steady).max(1_000) as u64;
            return Duration::from_micros(left).min(Duration::from_secs(5));
        };
        let left = (due - self.engine.now().steady).max(0) as u64;
        Duration::from_micros(left).clamp(Duration::from_millis(1), look)
    }

    fn input(&mut self, (frame, attempt, done): Done) -> Input {
        self.aborts.remove(&(frame, attempt));
        let some = |text: String| (!text.is_empty()).then_some(text);
        match done {
            Ok(output) => Input::Succeeded { frame, attempt, output: output.into() },
            Err(failure) => {
                Input::Failed { frame, attempt, error: some(failure.error), cause: some(failure.cause) }
            }
        }
    }
}
