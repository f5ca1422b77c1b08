//! Workers: each takes the steps of its executions, one after the other.

use super::changes::{collect, job, name_key, named, wants_runner};
use super::{Busy, Commit, Effect, Engine, WORKERS};
use crate::WorkflowError;
use crate::error::ErrorKind;
use crate::machine::{Action, Execution, FrameId, Input, Meta, TimerRef, World};
use crate::store::{self, Named, Writes, delete, put};
use bourn_asl::Machine;
use bourn_state::Key;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// Frames that a worker holds in memory, about; beyond it everything that is durable is dropped.
const FRAMES_MAX: usize = 8_000;

const IDLE: Duration = Duration::from_millis(200);

/// A name is not given again within this.
pub const NAME_KEPT: bourn_event::Micros = 90 * 86_400 * 1_000_000;

/// What a worker is told.
pub enum Command {
    Start {
        worker: usize,
        meta: Box<Meta>,
        machine: Arc<Machine>,
        /// Answers with the execution's number and start: its own, or the one that has the name.
        reply: oneshot::Sender<Result<(u64, bourn_event::Micros), WorkflowError>>,
    },
    Input {
        seq: u64,
        input: Input,
        /// The secret of the token it was sent with.
        expect: Option<u64>,
        reply: Option<oneshot::Sender<Result<bool, WorkflowError>>>,
    },
    Timer {
        seq: u64,
        frame: FrameId,
        timer: TimerRef,
    },
    /// Runs a task again that was under way.
    Resume {
        seq: u64,
        frame: FrameId,
    },
    /// Answers when everything that the worker was told before is durable.
    Settle {
        worker: usize,
        reply: oneshot::Sender<Result<bool, WorkflowError>>,
    },
    Close,
    Counted(Box<Command>, Busy),
}

impl Command {
    pub fn worker(&self) -> usize {
        match self {
            Self::Start { worker, .. } | Self::Settle { worker, .. } => *worker,
            Self::Input { seq, .. } | Self::Timer { seq, .. } | Self::Resume { seq, .. } => {
                *seq as usize % WORKERS
            }
            Self::Close => 0,
            Self::Counted(command, _) => command.worker(),
        }
    }

    pub(super) fn with(self, busy: Busy) -> Self {
        Self::Counted(Box::new(self), busy)
    }
}

struct Live {
    ex: Execution,
    /// The last commit that changed it.
    commit: u64,
}

/// What a worker has in memory.
#[derive(Default)]
struct Memory {
    live: HashMap<u64, Live>,
    frames: usize,
    /// Names given lately that may not be durable yet, with the commit that makes them so.
    names: HashMap<(String, String), (Named, u64)>,
    commits: u64,
}

struct Worker<'a> {
    index: usize,
    engine: &'a Arc<Engine>,
    memory: &'a mut Memory,
}

pub(super) fn thread(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, WorkflowError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
        WorkflowError::new(ErrorKind::ServiceUnavailable, format!("a thread cannot be started: {error}"))
    })
}

pub fn spawn(
    engine: &Arc<Engine>,
    index: usize,
    queue: Receiver<Command>,
) -> Result<std::thread::JoinHandle<()>, WorkflowError> {
    let weak = engine.weak();
    thread(&format!("workflow-{index}"), move || run(index, &weak, &queue))
}

fn run(index: usize, weak: &Weak<Engine>, queue: &Receiver<Command>) {
    let mut memory = Memory::default();
    loop {
        let command = match queue.recv_timeout(IDLE) {
            Ok(Command::Close) => return,
            Ok(command) => command,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if weak.strong_count() > 0 => continue,
            Err(_) => return,
        };
        let Some(engine) = weak.upgrade() else { return };
        let mut worker = Worker { index, engine: &engine, memory: &mut memory };
        worker.take(command, None);
        worker.drop_idle();
    }
}

impl Worker<'_> {
    fn take(&mut self, command: Command, busy: Option<Busy>) {
        match command {
            Command::Counted(command, busy) => self.take(*command, Some(busy)),
            Command::Start { meta, machine, reply, .. } => self.start(*meta, machine, reply, busy),
            Command::Input { seq, input, expect, reply } => {
                let taken = self.input(seq, input, expect, Writes::new(), reply, busy);
                self.report(seq, taken);
            }
            Command::Timer { seq, frame, timer } => {
                let mut writes = Writes::new();
                delete(&mut writes, super::timers::key(seq, frame, timer));
                let input = Input::Timer { frame, serial: timer.serial };
                let taken = self.input(seq, input, None, writes, None, busy);
                self.report(seq, taken);
            }
            Command::Resume { seq, frame } => {
                let resumed = self.resume(seq, frame, busy);
                self.report(seq, resumed);
            }
            Command::Settle { reply, .. } => {
                self.commit(Writes::new(), vec![Effect::Reply(reply, true)], busy);
            }
            Command::Close => {}
        }
    }

    fn report(&self, seq: u64, done: Result<(), WorkflowError>) {
        if let Err(error) = done {
            tracing::error!(execution = seq, %error, "an execution cannot go on");
        }
    }

    fn start(
        &mut self,
        meta: Meta,
        machine: Arc<Machine>,
        reply: oneshot::Sender<Result<(u64, bourn_event::Micros), WorkflowError>>,
        busy: Option<Busy>,
    ) {
        match self.begin(meta, machine, busy) {
            Ok((Begun::Fresh(durable), seq, started_at)) => {
                self.engine.handle.spawn(async move {
                    let done = durable.await.unwrap_or_else(|_| Err(WorkflowError::closed()));
                    let _ = reply.send(done.map(|_| (seq, started_at)));
                });
            }
            Ok((Begun::Before, seq, started_at)) => {
                let _ = reply.send(Ok((seq, started_at)));
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    fn begin(
        &mut self,
        meta: Meta,
        machine: Arc<Machine>,
        busy: Option<Busy>,
    ) -> Result<(Begun, u64, bourn_event::Micros), WorkflowError> {
        self.engine.check_open()?;
        if let Some(had) = self.name_holder(&meta)? {
            let same = had.input == super::fingerprint(meta.input.text());
            if had.ended_at.is_none() && same {
                return Ok((Begun::Before, had.seq, had.started_at));
            }
            let message = format!("Execution Already Exists: '{}'", meta.arn);
            return Err(WorkflowError::new(ErrorKind::ExecutionAlreadyExists, message));
        }
        let (seq, started_at) = (meta.seq, meta.started_at);
        let mut writes = Writes::new();
        put(&mut writes, Key::WorkflowExecution { execution: seq }, &meta)?;
        let mut effects = Vec::new();
        if meta.map_run.is_none() {
            let key = store::index_key(&meta.machine_name, crate::ExecutionStatus::Running, seq);
            writes.push((key, Some(Vec::new())));
            effects.push(Effect::Started);
        }
        if let Some(child) = meta.map_run {
            super::maprun::begins(&self.engine.state, seq, child, &mut writes)?;
        }
        let name = (meta.machine_name.clone(), meta.name.clone());
        let mut ex = Execution::new(Arc::new(meta), machine);
        let holder = named(&ex, None);
        put(&mut writes, name_key(&name.0, &name.1), &holder)?;
        let stepped = self.step(&mut ex, Input::Start);
        let (reply, durable) = oneshot::channel();
        effects.push(Effect::Reply(reply, true));
        let ended = stepped.actions.iter().any(|action| matches!(action, Action::End(_)));
        collect(&mut ex, stepped, &mut writes, &mut effects)?;
        let commit = self.commit(writes, effects, busy);
        let ended_at = ended.then_some(started_at);
        self.memory.names.insert(name, (Named { ended_at, ..holder }, commit));
        self.keep(ex, commit);
        Ok((Begun::Fresh(durable), seq, started_at))
    }

    fn name_holder(&self, meta: &Meta) -> Result<Option<Named>, WorkflowError> {
        // What is durable is read from the store.
        let committed = self.engine.committed.get(self.index).map_or(0, |c| c.load(Ordering::SeqCst));
        let name = (meta.machine_name.clone(), meta.name.clone());
        let lately = self.memory.names.get(&name).filter(|(_, commit)| *commit > committed);
        let stored = store::get(&self.engine.state, &name_key(&meta.machine_name, &meta.name))?;
        let holder: Option<Named> = stored.or_else(|| lately.map(|(named, _)| named.clone()));
        Ok(holder.filter(|named| named.ended_at.is_none_or(|at| meta.started_at - at < NAME_KEPT)))
    }

    fn load(&mut self, seq: u64) -> Result<Option<Live>, WorkflowError> {
        if let Some(live) = self.memory.live.remove(&seq) {
            self.memory.frames = self.memory.frames.saturating_sub(weight(&live.ex));
            return Ok(Some(live));
        }
        Ok(self.engine.load(seq)?.map(|ex| Live { ex, commit: 0 }))
    }

    fn input(
        &mut self,
        seq: u64,
        input: Input,
        expect: Option<u64>,
        mut writes: Writes,
        reply: Option<oneshot::Sender<Result<bool, WorkflowError>>>,
        busy: Option<Busy>,
    ) -> Result<(), WorkflowError> {
        let refuse = |reply: Option<oneshot::Sender<_>>, answer: Result<bool, WorkflowError>| {
            if let Some(reply) = reply {
                let _ = reply.send(answer);
            }
        };
        let live = match self.load(seq) {
            Ok(Some(live)) => live,
            Ok(None) => {
                refuse(reply, Ok(false));
                self.commit(writes, Vec::new(), busy);
                return Ok(());
            }
            Err(error) => {
                refuse(reply, Err(error.clone()));
                return Err(error);
            }
        };
        let Live { mut ex, commit } = live;
        if expect.is_some_and(|secret| !is_secret(&ex, &input, secret)) {
            refuse(reply, Ok(false));
            self.keep(ex, commit);
            return Ok(());
        }
        let redriven = matches!(input, Input::Redrive);
        let stepped = self.step(&mut ex, input);
        let mut effects = Vec::new();
        if let Some(reply) = reply {
            effects.push(Effect::Reply(reply, !stepped.ignored));
        }
        if stepped.ignored {
            let commit = commit.max(self.commit(writes, effects, busy));
            self.keep(ex, commit);
            return Ok(());
        }
        if redriven {
            self.reopen(&ex, &mut writes, &mut effects)?;
        }
        collect(&mut ex, stepped, &mut writes, &mut effects)?;
        let commit = self.commit(writes, effects, busy);
        self.keep(ex, commit);
        Ok(())
    }

    /// A redrive moves an execution back among those that run.
    fn reopen(
        &self,
        ex: &Execution,
        writes: &mut Writes,
        effects: &mut Vec<Effect>,
    ) -> Result<(), WorkflowError> {
        let execution = ex.meta.seq;
        if let Some(known) = store::known(&self.engine.state, execution)?
            && let Some(outcome) = known.outcome
        {
            let at = store::key_time(outcome.ended_at);
            delete(writes, Key::WorkflowEnded { at, execution });
            delete(writes, Key::WorkflowOutcome { execution });
            if ex.meta.map_run.is_none() {
                delete(writes, store::index_key(&ex.meta.machine_name, known.head.status, execution));
            }
        }
        if ex.meta.map_run.is_none() {
            let running = crate::ExecutionStatus::Running;
            writes.push((store::index_key(&ex.meta.machine_name, running, execution), Some(Vec::new())));
        }
        put(writes, name_key(&ex.meta.machine_name, &ex.meta.name), &named(ex, None))?;
        match ex.meta.map_run {
            Some(child) => super::maprun::begins(&self.engine.state, execution, child, writes)?,
            None => effects.push(Effect::Started),
        }
        Ok(())
    }

    fn resume(&mut self, seq: u64, frame: FrameId, busy: Option<Busy>) -> Result<(), WorkflowError> {
        let Some(Live { ex, commit }) = self.load(seq)? else { return Ok(()) };
        let job = wants_runner(&ex, frame).then(|| job(&ex, frame)).flatten();
        let effects = job.map(|job| Effect::Run(Box::new(job))).into_iter().collect();
        let commit = commit.max(self.commit(Writes::new(), effects, busy));
        self.keep(ex, commit);
        Ok(())
    }

    fn step(&self, ex: &mut Execution, input: Input) -> crate::machine::Stepped {
        let engine = self.engine;
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let activity = |arn: &str| engine.has_activity(arn);
        ex.step(input, &World { now: engine.now(), seed, record: true, activity: &activity })
    }

    fn commit(&mut self, writes: Writes, effects: Vec<Effect>, busy: Option<Busy>) -> u64 {
        self.memory.commits += 1;
        let number = self.memory.commits;
        // Fails only when the commit thread is gone; then nobody is answered, and a restart goes on.
        let _ = self.engine.commits.send(Commit { worker: self.index, number, writes, effects, busy });
        number
    }

    fn keep(&mut self, ex: Execution, commit: u64) {
        self.memory.frames += weight(&ex);
        self.memory.live.insert(ex.meta.seq, Live { ex, commit });
    }

    /// Drops what is durable once there is too much.
    fn drop_idle(&mut self) {
        if self.memory.frames <= FRAMES_MAX {
            return;
        }
        let Some(committed) = self.engine.committed.get(self.index) else { return };
        let committed = committed.load(Ordering::SeqCst);
        let failed = self.engine.failed.load(Ordering::SeqCst);
        if failed {
            return;
        }
        self.memory.live.retain(|_, live| live.commit > committed);
        self.memory.frames = self.memory.live.values().map(|live| weight(&live.ex)).sum();
        self.memory.names.retain(|_, (_, commit)| *commit > committed);
    }
}

enum Begun {
    Fresh(oneshot::Receiver<Result<bool, WorkflowError>>),
    Before,
}

fn weight(ex: &Execution) -> usize {
    ex.frames.len() + 1
}

fn is_secret(ex: &Execution, input: &Input, secret: u64) -> bool {
    let frame = match input {
        Input::Succeeded { frame, .. } | Input::Failed { frame, .. } | Input::Heartbeat { frame, .. } => {
            frame
        }
        _ => return false,
    };
    let task = ex.frames.get(frame).and_then(|frame| frame.task());
    task.is_some_and(|task| task.secret == Some(secret))
}
