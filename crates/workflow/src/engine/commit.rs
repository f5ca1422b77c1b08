//! The commit thread: many steps, one synced batch; then their effects.

use super::runner::Job;
use super::{Busy, Engine, TaskId};
use crate::WorkflowError;
use crate::api::ExecutionStatus;
use crate::machine::{FrameId, TimerRef};
use crate::store::Writes;
use bourn_event::Micros;
use bourn_state::Durability;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Writes in one batch, at most; it bounds the memory of a batch.
const BATCH_WRITES_MAX: usize = 20_000;

/// How long the thread waits before it looks whether the engine is gone.
const IDLE: Duration = Duration::from_millis(200);

/// A step to be made durable.
pub struct Commit {
    pub worker: usize,
    /// Counts up, worker by worker.
    pub number: u64,
    pub writes: Writes,
    pub effects: Vec<Effect>,
    pub busy: Option<Busy>,
}

/// What happens once it is.
pub enum Effect {
    /// Answers whether the input was meant for the execution.
    Reply(oneshot::Sender<Result<bool, WorkflowError>>, bool),
    Run(Box<Job>),
    Cancel(TaskId),
    Offered,
    SetTimer {
        seq: u64,
        frame: FrameId,
        timer: TimerRef,
    },
    ClearTimer {
        seq: u64,
        frame: FrameId,
        timer: TimerRef,
    },
    Started,
    Ended(Box<Ended>),
}

pub struct Ended {
    pub seq: u64,
    /// Not a child of a map run, which is not counted.
    pub is_counted: bool,
    pub status: ExecutionStatus,
    pub machine: String,
    pub took: Micros,
}

pub fn spawn(
    engine: &Arc<Engine>,
    queue: Receiver<Commit>,
) -> Result<std::thread::JoinHandle<()>, WorkflowError> {
    let weak = engine.weak();
    super::worker::thread("workflow-commit", move || run(&weak, &queue))
}

fn run(engine: &Weak<Engine>, queue: &Receiver<Commit>) {
    loop {
        let first = match queue.recv_timeout(IDLE) {
            Ok(commit) => commit,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => match engine.upgrade() {
                Some(engine) if !engine.is_drained() => continue,
                _ => return,
            },
            Err(_) => return,
        };
        let Some(engine) = engine.upgrade() else { return };
        let mut commits = vec![first];
        let mut writes = commits[0].writes.len();
        while writes < BATCH_WRITES_MAX {
            let Ok(commit) = queue.try_recv() else { break };
            writes += commit.writes.len();
            commits.push(commit);
        }
        engine.commit(commits);
    }
}

impl Engine {
    fn is_drained(&self) -> bool {
        self.closing.load(Ordering::SeqCst) && self.busy.load(Ordering::SeqCst) == 0
    }

    fn commit(self: &Arc<Self>, commits: Vec<Commit>) {
        let failed = self.failed.load(Ordering::SeqCst);
        let written = if failed { self.check_open() } else { self.write(&commits) };
        if let Err(error) = &written
            && !failed
        {
            self.failed.store(true, Ordering::SeqCst);
            tracing::error!(%error, "the workflow engine cannot write, and stops");
        }
        for commit in commits {
            if let Some(committed) = self.committed.get(commit.worker) {
                committed.store(commit.number, Ordering::SeqCst);
            }
            for effect in commit.effects {
                match &written {
                    Ok(()) => self.take_effect(effect),
                    Err(error) => refuse(effect, error),
                }
            }
            drop(commit.busy);
        }
    }

    fn write(&self, commits: &[Commit]) -> Result<(), WorkflowError> {
        let began = Instant::now();
        if let Some(fault) = &self.options.fault {
            fault()?;
        }
        let mut batch = self.state.batch();
        let mut steps = 0;
        for (key, value) in commits.iter().flat_map(|commit| &commit.writes) {
            match value {
                Some(value) => batch.put_raw(key, value),
                None => batch.delete(key),
            }
            steps += 1;
        }
        if steps > 0 {
            batch.commit(Durability::Synced)?;
        }
        metrics::counter!("bourn_workflow_transitions_total").increment(commits.len() as u64);
        metrics::histogram!("bourn_workflow_commit_seconds").record(began.elapsed().as_secs_f64());
        Ok(())
    }

    fn take_effect(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Reply(reply, taken) => {
                let _ = reply.send(Ok(taken));
            }
            Effect::Run(job) => self.run_task(*job),
            Effect::Cancel(id) => self.cancel_task(id),
            Effect::Offered => self.offered.notify_waiters(),
            Effect::SetTimer { seq, frame, timer } => self.timers.add(seq, frame, timer),
            Effect::ClearTimer { seq, frame, timer } => self.timers.remove(seq, frame, timer),
            Effect::Started => {
                let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
                metrics::counter!("bourn_workflow_started_total").increment(1);
                metrics::gauge!("bourn_workflow_open").set(open as f64);
            }
            Effect::Ended(ended) => {
                if ended.is_counted {
                    let open = self.open.fetch_sub(1, Ordering::SeqCst).saturating_sub(1);
                    metrics::gauge!("bourn_workflow_open").set(open as f64);
                    count_end(&ended.machine, ended.status, ended.took);
                }
                self.tell_end(ended.seq);
            }
        }
    }
}

/// Counts an execution that has ended.
pub fn count_end(machine: &str, status: ExecutionStatus, took: Micros) {
    let labels = [("workflow", machine.to_owned()), ("status", status.as_str().to_owned())];
    metrics::counter!("bourn_workflow_ended_total", &labels).increment(1);
    metrics::histogram!("bourn_workflow_seconds", "workflow" => machine.to_owned()).record(took as f64 / 1e6);
}

fn refuse(effect: Effect, error: &WorkflowError) {
    if let Effect::Reply(reply, _) = effect {
        let _ = reply.send(Err(error.clone()));
    }
}
