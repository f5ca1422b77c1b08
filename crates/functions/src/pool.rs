//! The processes of one function: calls in, answers out. What is to happen is decided by the roster;
//! here it is done.

use crate::account::{Measured, REPORT_FAILED};
use crate::call::{Answer, Call, Ended, Running, Work};
use crate::logs::{History, Log};
use crate::meter::Meter;
use crate::process::{Ending, Process};
use crate::roster::{Census, Left, Misstep, Refused, Roster};
use crate::settings::Settings;
use crate::spawn::{Program, Spawner};
use bourn_config::Function;
use bourn_event::{Clock, InvokeError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

/// After a reserved process failed to start, the next try waits this long, and twice as long each time.
const RESERVE_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What all pools of a host use.
pub(crate) struct Shared {
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    pub spawner: Spawner,
    pub history: Arc<History>,
    pub host_mark: String,
    pub runtime: Handle,
}

pub(crate) struct Pool {
    pub name: Arc<str>,
    pub arn: String,
    pub function: Function,
    pub log: Arc<Log>,
    pub meter: Meter,
    pub shared: Arc<Shared>,
    pub(crate) program: Arc<Program>,
    pub(crate) roster: Mutex<Roster>,
    /// Something ended.
    pub changed: Notify,
    /// Reserved processes that failed to start, one after another.
    reserve_failures: AtomicU32,
}

impl Pool {
    pub fn new(
        name: &str,
        function: Function,
        program: Program,
        log: Arc<Log>,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        let concurrency = function.concurrency;
        let (max, reserved) = (concurrency.max.max(1) as usize, concurrency.reserved as usize);
        let Settings { region, account, .. } = &shared.settings;
        Arc::new(Self {
            name: name.into(),
            arn: format!("arn:aws:lambda:{region}:{account}:function:{name}"),
            meter: Meter::new(name),
            roster: Mutex::new(Roster::new(max, reserved.min(max), function.timeout.0)),
            function,
            log,
            shared,
            program: Arc::new(program),
            changed: Notify::new(),
            reserve_failures: AtomicU32::new(0),
        })
    }

    /// Takes a call; its answer comes where it says.
    pub fn submit(self: &Arc<Self>, call: Call) -> Result<(), InvokeError> {
        let now_at = self.shared.clock.now();
        let submitted = self.roster.lock().submit(call, Instant::now(), now_at);
        match submitted {
            Ok(waits) => {
                self.meter.inflight.increment(1.0);
                if waits {
                    self.balance();
                }
                Ok(())
            }
            Err(Refused::Closed) => Err(InvokeError::Closed),
            Err(Refused::Throttled) => {
                self.meter.throttles.add();
                let retry_after = self.meter.retry_after();
                Err(InvokeError::Throttled { function: self.name.to_string(), retry_after })
            }
        }
    }

    /// Starts the processes that are wanting.
    pub fn balance(self: &Arc<Self>) {
        let reserved = self.reserve_failures.load(Ordering::Relaxed) == 0;
        self.start_all(reserved);
    }

    fn start_all(self: &Arc<Self>, reserved: bool) {
        let ids = self.roster.lock().starts(reserved, Instant::now());
        for id in ids {
            self.shared.runtime.spawn(self.clone().start(id));
        }
    }

    /// The process asks for an event.
    pub fn park(&self, process: &Process) -> Result<oneshot::Receiver<Work>, Misstep> {
        let now_at = self.shared.clock.now();
        let parked = self.roster.lock().park(process.id, Instant::now(), now_at);
        if parked.is_ok() {
            self.reserve_failures.store(0, Ordering::Relaxed);
        }
        self.changed.notify_waiters();
        parked
    }

    pub fn unpark(self: &Arc<Self>, process: &Process, event: &mut oneshot::Receiver<Work>) {
        let now_at = self.shared.clock.now();
        self.roster.lock().unpark(process.id, event, Instant::now(), now_at);
        self.balance();
    }

    pub fn holds(&self, process: &Process, request_id: &str) -> Result<(), Misstep> {
        self.roster.lock().holds(process.id, request_id)
    }

    pub fn is_starting(&self, process: &Process) -> bool {
        self.roster.lock().is_starting(process.id)
    }

    /// The process has answered.
    pub fn finish(&self, process: &Process, request_id: &str, ended: Ended) -> Result<(), Misstep> {
        let running = self.roster.lock().finish(process.id, request_id, Instant::now())?;
        self.settle(process, running, ended);
        Ok(())
    }

    /// Ends a process, and what it was doing.
    pub fn end(self: &Arc<Self>, process: &Arc<Process>, ending: Ending) {
        let Some(left) = self.roster.lock().end(process.id) else { return };
        process.end(&ending);
        if let Some(line) = self.epitaph(&ending) {
            process.intake.note(line);
        }
        self.resolve(process, left, |request_id| self.verdict(&ending, request_id));
        if matches!(ending, Ending::InitTimeout | Ending::InitError { .. } | Ending::OutOfMemory { .. }) {
            self.reserve_failed();
        }
        self.balance();
    }

    /// The process ended by itself.
    pub(crate) fn ended(self: &Arc<Self>, process: &Arc<Process>, status: std::process::ExitStatus) {
        let left = self.roster.lock().remove(process.id);
        if let Some(left) = left {
            let unborn = left.unborn_since.is_some();
            let what = exit_text(status);
            let init_error = process.take_init_error();
            self.resolve(process, left, |request_id| match &init_error {
                Some((kind, payload)) => Ended::Unborn { kind: kind.clone(), payload: payload.clone() },
                None => Ended::broken("Runtime.ExitError", request_id, &what),
            });
            if unborn {
                tracing::warn!(
                    "function {}: a process ended before it asked for an event: {what}",
                    self.name
                );
                self.reserve_failed();
            }
        }
        self.meter.processes.decrement(1.0);
        self.balance();
        self.changed.notify_waiters();
    }

    /// Answers the call that a process leaves behind. One that had not started yet was started for
    /// the call that waits longest.
    fn resolve(&self, process: &Process, left: Left, verdict: impl Fn(&str) -> Ended) {
        if let Some(running) = left.running {
            let ended = verdict(&running.request_id);
            self.settle(process, running, ended);
        }
        if let Some(since) = left.unborn_since {
            let ended = verdict("");
            if matches!(ended, Ended::Cut) {
                return;
            }
            let Some(call) = self.roster.lock().give_up_oldest() else { return };
            let ended = verdict(&call.request_id);
            process.intake.begin(&call.request_id, call.wants_log);
            let running = Running {
                request_id: call.request_id,
                wants_log: call.wants_log,
                attempt: call.attempt,
                answer: call.answer,
                begun: since,
                begun_at: self.shared.clock.now(),
                deadline: since,
                init: None,
            };
            self.settle(process, running, ended);
        }
    }

    /// Answers, and accounts for it.
    fn settle(&self, process: &Process, running: Running, ended: Ended) {
        self.meter.inflight.decrement(1.0);
        let measured = Measured::new(self, &running, &ended);
        let answer = |running: Answer, ended: Ended, id: &str, tail| {
            // Whoever asked may have gone.
            let _ = running.send(ended.into_answer(id, tail));
        };
        let id = running.request_id.clone();
        if running.wants_log {
            let (row, report) = measured.account(self, process);
            let tail = process.intake.end(&id, report);
            answer(running.answer, ended, &id, tail);
            self.record(row);
        } else {
            answer(running.answer, ended, &id, bytes::Bytes::new());
            let (row, report) = measured.account(self, process);
            process.intake.end(&id, report);
            self.record(row);
        }
        self.changed.notify_waiters();
    }

    fn record(&self, row: crate::rows::InvocationRow) {
        self.meter.count(&row);
        self.shared.history.add(row);
    }

    fn verdict(&self, ending: &Ending, request_id: &str) -> Ended {
        match ending {
            Ending::Timeout => {
                let seconds = self.function.timeout.0.as_secs_f64();
                let what = format!("Task timed out after {seconds:.2} seconds");
                Ended::broken("Sandbox.Timedout", request_id, &what)
            }
            Ending::InitTimeout => {
                let seconds = self.shared.settings.init_timeout.as_secs_f64();
                let what = format!("Init timed out after {seconds:.2} seconds");
                Ended::broken("Sandbox.Timedout", request_id, &what)
            }
            Ending::InitError { kind, payload } => {
                Ended::Unborn { kind: kind.clone(), payload: payload.clone() }
            }
            Ending::OutOfMemory { .. } => {
                let what = "Runtime exited with error: signal: killed";
                Ended::broken("Runtime.OutOfMemory", request_id, what)
            }
            Ending::Idle | Ending::Stale | Ending::Lost | Ending::Cut => Ended::Cut,
        }
    }

    fn epitaph(&self, ending: &Ending) -> Option<String> {
        match ending {
            Ending::OutOfMemory { bytes } => Some(format!(
                "{REPORT_FAILED} the process held {} MB and may hold {} MB: it was ended",
                bytes >> 20,
                self.function.memory.0 >> 20
            )),
            Ending::Lost => {
                Some(format!("{REPORT_FAILED} the process did not ask for another event: it was ended"))
            }
            _ => None,
        }
    }

    fn reserve_failed(self: &Arc<Self>) {
        let failures = self.reserve_failures.fetch_add(1, Ordering::Relaxed);
        let reserved = self.roster.lock().reserved > 0;
        if reserved {
            let delay = RESERVE_DELAYS.0.saturating_mul(1 << failures.min(6)).min(RESERVE_DELAYS.1);
            let pool = self.clone();
            self.shared.runtime.spawn(async move {
                tokio::time::sleep(delay).await;
                pool.start_all(true);
            });
        }
    }

    /// No process could be started for the call that waits longest.
    pub(crate) fn start_failed(self: &Arc<Self>, id: u64, error: &std::io::Error) {
        tracing::warn!("function {}: {error}", self.name);
        let call = {
            let mut roster = self.roster.lock();
            roster.remove(id);
            roster.give_up_oldest()
        };
        if let Some(call) = call {
            self.meter.inflight.decrement(1.0);
            let why = error.to_string();
            let _ = call.answer.send(Err(InvokeError::Unavailable { function: self.name.to_string(), why }));
        }
        self.reserve_failed();
        self.balance();
        self.changed.notify_waiters();
    }

    /// New calls get new processes.
    pub fn reload(self: &Arc<Self>) {
        let stale = self.roster.lock().restart();
        for process in stale {
            self.end(&process, Ending::Stale);
        }
        self.balance();
    }

    /// No more calls; those that were taken go on.
    pub fn close(self: &Arc<Self>) {
        let quiet = self.roster.lock().close();
        for process in quiet {
            self.end(&process, Ending::Stale);
        }
    }

    /// Ends everything now.
    pub fn cut(self: &Arc<Self>) {
        let (waiting, processes) = {
            let mut roster = self.roster.lock();
            roster.close();
            (roster.drain_waiting(), roster.processes())
        };
        for call in waiting {
            self.meter.inflight.decrement(1.0);
            let _ = call.answer.send(Err(InvokeError::Closed));
        }
        for process in processes {
            self.end(&process, Ending::Cut);
        }
    }

    pub fn census(&self) -> Census {
        self.roster.lock().census()
    }
}

/// How a process ended, in AWS's words.
fn exit_text(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(signal)) => format!("Runtime exited with error: signal: {}", signal_name(signal)),
        (None, None) => "Runtime exited with error: unknown".to_owned(),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGKILL => "killed",
        libc::SIGTERM => "terminated",
        libc::SIGSEGV => "segmentation fault",
        libc::SIGABRT => "aborted",
        libc::SIGBUS => "bus error",
        libc::SIGILL => "illegal instruction",
        libc::SIGFPE => "floating point exception",
        libc::SIGPIPE => "broken pipe",
        libc::SIGINT => "interrupt",
        other => return other.to_string(),
    };
    name.to_owned()
}
