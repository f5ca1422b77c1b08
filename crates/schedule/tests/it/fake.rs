//! A starter that outlives crashes, and a scheduler around it that may crash.

use async_trait::async_trait;
use bourn_config::{Schedule, Target};
use bourn_event::{Clock, ManualClock, Run};
use bourn_schedule::{Ended, RunRef, Runs, Scheduler, StartError, Started, Starter};
use bourn_state::State;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How a call of `start` goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mood {
    #[default]
    Well,
    /// Never begins, never answers.
    HangsBefore,
    /// Begins, never answers.
    HangsBehind,
    /// So many times "later" first.
    Busy(u32),
    Refuses,
}

#[derive(Default)]
pub struct Fake {
    mood: Mutex<Mood>,
    /// What was begun, in order: each once.
    begun: Mutex<Vec<(String, Value)>>,
    calls: Mutex<Vec<String>>,
    ended: Mutex<BTreeMap<String, Ended>>,
    stopped: Mutex<Vec<String>>,
    ends_at_once: Mutex<bool>,
    changed: Notify,
}

impl Fake {
    pub fn set_mood(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    pub fn end_at_once(&self) {
        *self.ends_at_once.lock() = true;
        self.changed.notify_waiters();
    }

    pub fn begun(&self) -> Vec<String> {
        self.begun.lock().iter().map(|(id, _)| id.clone()).collect()
    }

    pub fn inputs(&self) -> Vec<Value> {
        self.begun.lock().iter().map(|(_, input)| input.clone()).collect()
    }

    pub fn calls(&self) -> usize {
        self.calls.lock().len()
    }

    pub fn stopped(&self) -> Vec<String> {
        self.stopped.lock().clone()
    }

    pub fn end(&self, id: &str, ended: Ended) {
        self.ended.lock().insert(id.to_owned(), ended);
        self.changed.notify_waiters();
    }

    fn begin(&self, id: &str, input: Value) {
        let mut begun = self.begun.lock();
        if !begun.iter().any(|(known, _)| known == id) {
            begun.push((id.to_owned(), input));
        }
    }
}

#[async_trait]
impl Starter for Fake {
    async fn start(&self, _: &Target, run_id: &str, input: Value) -> Result<Started, StartError> {
        self.calls.lock().push(run_id.to_owned());
        let mood = *self.mood.lock();
        match mood {
            Mood::HangsBefore => std::future::pending::<()>().await,
            Mood::HangsBehind => {
                self.begin(run_id, input);
                std::future::pending::<()>().await;
            }
            Mood::Refuses => return Err(StartError::Never("no such workflow".into())),
            Mood::Busy(0) | Mood::Well => self.begin(run_id, input),
            Mood::Busy(times) => {
                *self.mood.lock() = Mood::Busy(times - 1);
                return Err(StartError::Later("busy".into()));
            }
        }
        Ok(Started { execution: Some(format!("arn:{run_id}")) })
    }

    async fn finished(&self, run: &RunRef) -> Ended {
        loop {
            let changed = self.changed.notified();
            if let Some(ended) = self.ended.lock().get(&run.id) {
                return ended.clone();
            }
            if *self.ends_at_once.lock() {
                return Ended::succeeded();
            }
            changed.await;
        }
    }

    async fn stop(&self, run: &RunRef) -> Result<(), String> {
        self.stopped.lock().push(run.id.clone());
        self.end(&run.id, Ended::aborted("stopped"));
        Ok(())
    }
}

/// The lasting things: the state, the clock, and what was begun outside.
pub struct World {
    pub state: State,
    pub clock: Arc<ManualClock>,
    pub fake: Arc<Fake>,
    _dir: tempfile::TempDir,
}

impl World {
    pub fn at(now: i64) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let state = State::open(dir.path().join("state")).expect("state");
        Self { state, clock: Arc::new(ManualClock::at(now)), fake: Arc::new(Fake::default()), _dir: dir }
    }

    pub fn runs(&self) -> Arc<Runs> {
        Runs::open(self.state.clone(), self.clock.clone()).expect("runs")
    }

    /// Starts a process.
    pub fn boot(&self, schedules: &[(&str, Schedule)]) -> Process {
        let runs = self.runs();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let scheduler = Scheduler::new(self.state.clone(), runs.clone(), clock, self.fake.clone());
        scheduler.set(&named(schedules)).expect("schedules");
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (scheduler, stop) = (scheduler.clone(), stop.clone());
            async move { scheduler.run(stop).await }
        });
        Process { runs, scheduler, clock: self.clock.clone(), stop, task: Some(task) }
    }
}

pub fn named(schedules: &[(&str, Schedule)]) -> BTreeMap<String, Schedule> {
    schedules.iter().map(|(name, schedule)| ((*name).to_owned(), schedule.clone())).collect()
}

/// A running scheduler.
pub struct Process {
    pub runs: Arc<Runs>,
    pub scheduler: Arc<Scheduler>,
    pub stop: CancellationToken,
    clock: Arc<ManualClock>,
    task: Option<JoinHandle<()>>,
}

impl Process {
    /// Sets the clock, as it goes on or is set.
    pub fn clock_shows(&self, now: i64) {
        self.clock.set(now);
        self.scheduler.wake();
    }

    /// As `kill -9`: nothing more is done or written.
    pub async fn crash(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// The statuses of all runs, the earliest first, as `status@hh:mm`.
    pub fn shown(&self) -> Vec<String> {
        self.runs.list().iter().rev().map(shown).collect()
    }

    /// Waits until the runs are these.
    #[track_caller]
    pub fn shows<'a>(&'a self, expected: &'a [&'a str]) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            if !holds(|| self.shown() == expected).await {
                panic!("{place}: expected {expected:?}, found {:?}", self.shown());
            }
        }
    }

    /// Waits until the scheduler had the time to do all it wants to.
    pub async fn settles(&self) {
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn shown(run: &Run) -> String {
    let at = run.scheduled_at.map(bourn_schedule::rfc3339).unwrap_or_default();
    format!("{:?}@{}", run.status, at.get(11..16).unwrap_or_default())
}

/// Waits, in virtual time, until something is so.
pub async fn holds(condition: impl Fn() -> bool) -> bool {
    for _ in 0..20_000 {
        if condition() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
