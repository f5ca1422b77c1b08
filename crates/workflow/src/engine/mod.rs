//! The engine: durable executions.
//!
//! ```text
//!  requests, answers, timers ──► workers ──► commit thread ──► effects
//!                                (steps)     (one synced        (tasks started, timers set,
//!                                             batch of many)     callers answered)
//! ```
//!
//! An execution belongs to one worker, so that its inputs are taken one after the other. A worker goes on
//! without waiting for the disk: what it holds in memory is ahead of what is durable, but nothing that can
//! be seen from outside happens before the batch that holds it is synced. If a batch cannot be written,
//! the engine stops: every later request is refused, and a restart goes on from what is durable.
//!
//! Executions that wait are not kept in memory: a worker drops what it holds when it is many, and reads it
//! again when an input comes.

mod changes;
mod commit;
mod express;
mod maprun;
mod pace;
#[cfg(test)]
mod properties;
mod runner;
mod timers;
mod worker;

pub use changes::fingerprint;
pub use commit::{Commit, Effect};
pub use express::ExpressEnd;
pub use maprun::{MapRunRecord, children, counts, forget as forget_map_runs, map_runs_of, parent_of};
pub use worker::{Command, NAME_KEPT};

use crate::error::ErrorKind;
use crate::machine::{FrameId, Input, Meta, TimerRef};
use crate::service::Options;
use crate::store;
use crate::{WorkflowError, api::Activeness};
use bourn_asl::Machine;
use bourn_state::{Key, State, StoreOptions};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock, oneshot};
use tokio::task::AbortHandle;

/// How many workers take steps.
pub const WORKERS: usize = 2;

/// Numbers of executions are reserved in blocks, so that few of them cost a write.
const RESERVED: u64 = 10_000;

const CACHE_BYTES: u64 = 16 << 20;
const MEMTABLE_BYTES: u64 = 16 << 20;

/// Definitions kept parsed.
const MACHINES_MAX: usize = 256;

/// Commits that may wait for the disk; beyond it workers wait.
const COMMITS_MAX: usize = 4_096;

/// The try of a task.
pub type TaskId = (u64, FrameId, u32);

/// What all parts of the engine share.
pub struct Engine {
    pub options: Options,
    pub state: State,
    handle: Handle,
    workers: Vec<std::sync::mpsc::Sender<Command>>,
    commits: std::sync::mpsc::SyncSender<Commit>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    pub timers: timers::Timers,
    busy: AtomicU64,
    pub open: AtomicU64,
    /// Per worker: the last of its commits that is durable.
    committed: [AtomicU64; WORKERS],
    failed: AtomicBool,
    closing: AtomicBool,
    next_seq: Mutex<(u64, u64)>,
    machines: Mutex<HashMap<String, Arc<Machine>>>,
    /// Held by who is about to store something that refers to a definition, so that it is not swept.
    pub revisions: RwLock<()>,
    /// Names of activities.
    pub activities: Mutex<HashSet<String>>,
    /// Told of every offered task.
    pub offered: Notify,
    waiters: Mutex<HashMap<u64, Vec<oneshot::Sender<()>>>>,
    /// Tasks at work, each with the map run that it is, if it is one.
    running: Mutex<HashMap<TaskId, (AbortHandle, Option<u64>)>>,
    /// Map runs whose children are being stopped, and who is told when one is through.
    abandoning: Mutex<HashSet<u64>>,
    abandoned: Notify,
    /// Express executions that nobody waits for.
    apart: Mutex<Vec<AbortHandle>>,
    steady: pace::Steady,
}

/// Something is under way, for as long as this lives.
pub struct Busy(Arc<Engine>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine {
    /// Opens the store and begins to work; tasks that were under way are done again.
    pub fn open(options: Options) -> Result<Arc<Self>, WorkflowError> {
        let budget = StoreOptions { cache_bytes: CACHE_BYTES, memtable_bytes: MEMTABLE_BYTES };
        let state = State::open_with(&options.dir, budget)?;
        let reserved = store::get::<u64>(&state, &Key::WorkflowCounter)?.unwrap_or(WORKERS as u64);
        let (commits, commit_queue) = std::sync::mpsc::sync_channel(COMMITS_MAX);
        let (workers, queues): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| std::sync::mpsc::channel()).unzip();
        let steady = pace::Steady::resume(&state, &*options.clock)?;
        let engine = Arc::new(Self {
            state,
            handle: Handle::current(),
            workers,
            commits,
            threads: Mutex::default(),
            timers: timers::Timers::default(),
            busy: AtomicU64::new(0),
            open: AtomicU64::new(0),
            committed: std::array::from_fn(|_| AtomicU64::new(0)),
            failed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            next_seq: Mutex::new((reserved, reserved)),
            machines: Mutex::default(),
            revisions: RwLock::default(),
            activities: Mutex::default(),
            offered: Notify::new(),
            waiters: Mutex::default(),
            running: Mutex::default(),
            abandoning: Mutex::default(),
            abandoned: Notify::new(),
            apart: Mutex::default(),
            steady,
            options,
        });
        engine.recover()?;
        let mut threads = vec![commit::spawn(&engine, commit_queue)?];
        for (index, queue) in queues.into_iter().enumerate() {
            threads.push(worker::spawn(&engine, index, queue)?);
        }
        *engine.threads.lock() = threads;
        timers::spawn(&engine);
        Ok(engine)
    }

    fn recover(&self) -> Result<(), WorkflowError> {
        let (from, to) = (
            Key::WorkflowActivity { name: String::new() },
            Key::WorkflowOffer { activity: String::new(), execution: 0, frame: 0 },
        );
        let mut activities = self.activities.lock();
        for entry in self.state.range_raw(&from, &to) {
            if let Key::WorkflowActivity { name } = entry?.0 {
                activities.insert(name);
            }
        }
        drop(activities);
        let mut open = 0;
        let to = Key::WorkflowEnded { at: 0, execution: 0 };
        for entry in self.state.range_raw(&store::index_key("", crate::ExecutionStatus::Running, 0), &to) {
            if let Key::WorkflowIndex { status: 0, .. } = entry?.0 {
                open += 1;
            }
        }
        self.open.store(open, Ordering::SeqCst);
        Ok(())
    }

    /// Does again what was under way when the last process ended.
    pub fn resume(self: &Arc<Self>) -> Result<(), WorkflowError> {
        let (from, to) = (
            Key::WorkflowInFlight { execution: 0, frame: 0 },
            Key::WorkflowInFlight { execution: u64::MAX, frame: u64::MAX },
        );
        for entry in self.state.range_raw(&from, &to) {
            if let Key::WorkflowInFlight { execution, frame } = entry?.0 {
                self.send(Command::Resume { seq: execution, frame: frame as FrameId })?;
            }
        }
        for map_run in self.orphaned_map_runs()? {
            self.abandon_map_run(map_run, None);
        }
        Ok(())
    }

    /// Lets what is under way become durable, and ends the threads.
    pub async fn close(self: &Arc<Self>) {
        if self.closing.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.look_at_clocks(true) {
            tracing::error!(%error, "the time cannot be written down");
        }
        let mut tasks: Vec<AbortHandle> = self.running.lock().drain().map(|(_, (task, _))| task).collect();
        tasks.append(&mut self.apart.lock());
        for task in &tasks {
            task.abort();
        }
        self.timers.look();
        for worker in &self.workers {
            let _ = worker.send(Command::Close);
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        let join = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        });
        let _ = join.await;
        self.waiters.lock().clear();
        while tasks.iter().any(|task| !task.is_finished()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn activeness(&self) -> Activeness {
        Activeness {
            open: self.open.load(Ordering::SeqCst),
            busy: self.busy.load(Ordering::SeqCst),
            next_timer: self.timers.next_due(),
        }
    }

    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(self.clone())
    }

    pub fn check_open(&self) -> Result<(), WorkflowError> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(WorkflowError::closed());
        }
        if self.failed.load(Ordering::SeqCst) {
            return Err(WorkflowError::new(
                ErrorKind::ServiceUnavailable,
                "the workflow engine stopped after a failed write; restart to go on",
            ));
        }
        Ok(())
    }

    /// A number for an execution that the worker of `key` owns.
    pub fn number(&self, worker: usize) -> Result<u64, WorkflowError> {
        let mut next = self.next_seq.lock();
        let mut seq = next.0;
        while seq as usize % WORKERS != worker {
            seq += 1;
        }
        if seq >= next.1 {
            let reserved = seq + RESERVED;
            let mut writes = Vec::new();
            store::put(&mut writes, Key::WorkflowCounter, &reserved)?;
            store::commit(&self.state, writes)?;
            next.1 = reserved;
        }
        next.0 = seq + 1;
        Ok(seq)
    }

    pub fn send(self: &Arc<Self>, command: Command) -> Result<(), WorkflowError> {
        self.check_open()?;
        let busy = self.busy();
        let worker = command.worker();
        let sent = self.workers.get(worker).map(|queue| queue.send(command.with(busy)));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(WorkflowError::closed()),
        }
    }

    /// Gives an input to an execution, and waits until what it did is durable. `false` if it was stale.
    pub async fn input(self: &Arc<Self>, seq: u64, input: Input) -> Result<bool, WorkflowError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Input { seq, input, expect: None, reply: Some(reply) })?;
        answer.await.map_err(|_| WorkflowError::closed())?
    }

    /// Waits until everything that the workers were told is durable.
    pub(crate) async fn settle(self: &Arc<Self>) -> Result<(), WorkflowError> {
        for worker in 0..WORKERS {
            let (reply, answer) = oneshot::channel();
            self.send(Command::Settle { worker, reply })?;
            answer.await.map_err(|_| WorkflowError::closed())??;
        }
        Ok(())
    }

    /// The definition of a revision, parsed.
    pub fn machine(&self, revision: &str) -> Result<Arc<Machine>, WorkflowError> {
        if let Some(machine) = self.machines.lock().get(revision) {
            return Ok(machine.clone());
        }
        let key = Key::WorkflowRevision { hash: revision.to_owned() };
        let text: String = store::get(&self.state, &key)?.ok_or_else(|| {
            WorkflowError::new(
                ErrorKind::InternalServerError,
                format!("the definition {revision} is not stored"),
            )
        })?;
        let machine = Machine::parse(&text).map_err(|faults| {
            WorkflowError::new(
                ErrorKind::InvalidDefinition,
                bourn_asl::Diagnostic::invalid_definition(&faults),
            )
        })?;
        let machine = Arc::new(machine);
        self.keep_machine(revision, machine.clone());
        Ok(machine)
    }

    pub fn keep_machine(&self, revision: &str, machine: Arc<Machine>) {
        let mut machines = self.machines.lock();
        if machines.len() >= MACHINES_MAX {
            machines.clear();
        }
        machines.insert(revision.to_owned(), machine);
    }

    /// Told when an execution ends. Look whether it has ended after asking for this.
    pub fn watch(&self, seq: u64) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut waiters = self.waiters.lock();
        let list = waiters.entry(seq).or_default();
        list.retain(|waiter| !waiter.is_closed());
        list.push(tell);
        told
    }

    fn tell_end(&self, seq: u64) {
        for waiter in self.waiters.lock().remove(&seq).unwrap_or_default() {
            let _ = waiter.send(());
        }
    }

    fn fire(self: &Arc<Self>, seq: u64, frame: FrameId, timer: TimerRef) {
        // Refused only while closing: the timer is on disk, and fires at the next start.
        let _ = self.send(Command::Timer { seq, frame, timer });
    }

    fn weak(self: &Arc<Self>) -> Weak<Self> {
        Arc::downgrade(self)
    }

    /// What a definition may know of activities.
    pub fn has_activity(&self, arn: &str) -> bool {
        let name = arn.rsplit(':').next().unwrap_or_default();
        self.activities.lock().contains(name)
    }
}

/// Does an execution's end leave it open to a redrive?
pub fn is_redrivable(meta: &Meta, status: crate::ExecutionStatus) -> bool {
    use crate::ExecutionStatus::{Aborted, Failed, TimedOut};
    !meta.express && matches!(status, Failed | TimedOut | Aborted)
}
