//! Who of a function's processes does what, decided under one lock and without I/O.
//!
//! ```text
//!              next                call                answer              next
//!  Starting ─────────► Parked ─────────────► Busy ─────────────► Away ─────────────► Parked
//!                         ▲                                        │
//!                         └────────────────────────────────────────┘
//! ```
//!
//! Any phase may go over into `Ending`: the process is being killed, or put away. A process in `Away`
//! has answered and not asked again yet; that takes it a moment, so a call rather waits for it than
//! start another process. Processes that are not ending are never more than `max`, and calls that wait
//! or run are never more either.

use crate::call::{Call, Running, Work};
use crate::process::Process;
use bourn_event::Micros;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A process that has answered is waited for this long before another is started in its place.
pub(crate) const AWAY_FRESH: Duration = Duration::from_millis(20);

/// A process that has answered may take this long to ask again, if its deadline is not later.
const AWAY_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Roster {
    pub max: usize,
    pub reserved: usize,
    pub timeout: Duration,
    slots: HashMap<u64, Slot>,
    /// Parked processes, the most recently used last.
    idle: Vec<u64>,
    waiting: VecDeque<Call>,
    /// Calls that wait or run.
    inflight: usize,
    generation: u64,
    last_id: u64,
    closed: bool,
}

struct Slot {
    generation: u64,
    phase: Phase,
    process: Option<Arc<Process>>,
    /// When the phase began.
    since: Instant,
    /// How long it took to start, until the first call is told.
    init: Option<Duration>,
}

enum Phase {
    Starting,
    Parked(oneshot::Sender<Work>),
    Busy(Running),
    Away { until: Instant, request_id: Option<Arc<str>> },
    Ending,
}

/// Why a call was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Throttled,
    Closed,
}

/// Why a process may not do what it asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Misstep {
    /// It has no call with this id.
    UnknownId,
    /// The call is answered already, or the process is at another point.
    State(&'static str),
    /// It is being ended.
    Ending,
}

/// What the watcher of a process finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    Starting { since: Instant },
    Busy { deadline: Instant },
    Away { since: Instant, until: Instant },
    Parked { since: Instant, may_go: bool },
    Ending,
}

/// What a process leaves behind when it is gone.
#[derive(Default)]
pub(crate) struct Left {
    /// The call it was working on.
    pub running: Option<Running>,
    /// It had not asked for its first event; when it was started.
    pub unborn_since: Option<Instant>,
}

/// Counts for the list of functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub starting: usize,
    pub idle: usize,
    pub busy: usize,
    pub waiting: usize,
    pub inflight: usize,
    pub alive: usize,
}

impl Roster {
    pub fn new(max: usize, reserved: usize, timeout: Duration) -> Self {
        Self {
            max,
            reserved,
            timeout,
            slots: HashMap::new(),
            idle: Vec::new(),
            waiting: VecDeque::new(),
            inflight: 0,
            generation: 0,
            last_id: 0,
            closed: false,
        }
    }

    /// Takes a call: hands it to a parked process or lets it wait. Does it wait?
    pub fn submit(&mut self, call: Call, now: Instant, now_at: Micros) -> Result<bool, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        if self.inflight >= self.max {
            return Err(Refused::Throttled);
        }
        self.inflight += 1;
        self.place(call, now, now_at);
        Ok(!self.waiting.is_empty())
    }

    fn place(&mut self, call: Call, now: Instant, now_at: Micros) {
        let mut call = call;
        while let Some(id) = self.idle.pop() {
            match self.hand(id, call, now, now_at) {
                None => return,
                Some(back) => call = back,
            }
        }
        self.waiting.push_back(call);
    }

    /// Gives a call to a parked process; gives it back if the process has hung up meanwhile.
    fn hand(&mut self, id: u64, call: Call, now: Instant, now_at: Micros) -> Option<Call> {
        let timeout = self.timeout;
        let Some(slot) = self.slots.get_mut(&id) else { return Some(call) };
        let away = Phase::Away { until: now + AWAY_MAX, request_id: None };
        let Phase::Parked(next) = std::mem::replace(&mut slot.phase, away) else { return Some(call) };
        slot.since = now;
        let Call { request_id, payload, client_context, trace, wants_log, attempt, answer } = call;
        let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        let work = Work {
            request_id: request_id.clone(),
            payload,
            client_context,
            trace,
            deadline_ms: (now_at / 1000).saturating_add(timeout_ms),
            wants_log,
        };
        if let Err(work) = next.send(work) {
            return Some(rebuilt(work, attempt, answer));
        }
        slot.phase = Phase::Busy(Running {
            request_id,
            wants_log,
            attempt,
            answer,
            begun: now,
            begun_at: now_at,
            deadline: now + timeout,
            init: slot.init.take(),
        });
        if let Some(process) = &slot.process {
            process.mind();
        }
        None
    }

    /// The processes to be started now; each has its id at once. `reserved`: also those that are only
    /// kept in reserve.
    pub fn starts(&mut self, reserved: bool, now: Instant) -> Vec<u64> {
        let (mut starting, mut coming, mut alive) = (0, 0, 0);
        for slot in self.slots.values() {
            match slot.phase {
                Phase::Ending => continue,
                Phase::Starting => starting += 1,
                Phase::Away { .. } if now.duration_since(slot.since) < AWAY_FRESH => coming += 1,
                _ => {}
            }
            alive += 1;
        }
        let wanted = self.waiting.len().saturating_sub(starting + coming);
        let kept = if reserved && !self.closed { self.reserved.saturating_sub(alive) } else { 0 };
        let count = wanted.max(kept).min(self.max.saturating_sub(alive));
        (0..count).map(|_| self.enlist(now)).collect()
    }

    fn enlist(&mut self, now: Instant) -> u64 {
        self.last_id += 1;
        let slot = Slot {
            generation: self.generation,
            phase: Phase::Starting,
            process: None,
            since: now,
            init: None,
        };
        self.slots.insert(self.last_id, slot);
        self.last_id
    }

    /// The process of an id runs. False if it is not wanted any more.
    pub fn spawned(&mut self, id: u64, process: Arc<Process>) -> bool {
        match self.slots.get_mut(&id) {
            Some(slot) => {
                slot.process = Some(process);
                !matches!(slot.phase, Phase::Ending)
            }
            None => false,
        }
    }

    /// The process asks for an event.
    pub fn park(
        &mut self,
        id: u64,
        now: Instant,
        now_at: Micros,
    ) -> Result<oneshot::Receiver<Work>, Misstep> {
        let generation = self.generation;
        let slot = self.slots.get_mut(&id).ok_or(Misstep::Ending)?;
        match &slot.phase {
            Phase::Busy(_) => return Err(Misstep::State("Next")),
            Phase::Ending => return Err(Misstep::Ending),
            Phase::Starting => slot.init = Some(now.duration_since(slot.since)),
            Phase::Parked(_) | Phase::Away { .. } => {}
        }
        if slot.generation != generation || (self.closed && self.waiting.is_empty()) {
            return Err(Misstep::Ending);
        }
        let (sender, receiver) = oneshot::channel();
        let again = matches!(slot.phase, Phase::Parked(_));
        slot.phase = Phase::Parked(sender);
        slot.since = now;
        if !again {
            self.idle.push(id);
        }
        if let Some(call) = self.waiting.pop_front() {
            self.idle.retain(|other| *other != id);
            if let Some(call) = self.hand(id, call, now, now_at) {
                self.waiting.push_front(call);
            }
        }
        Ok(receiver)
    }

    /// The connection on which the process waited is gone. A call that was handed over and not told
    /// yet goes back to the front.
    pub fn unpark(&mut self, id: u64, receiver: &mut oneshot::Receiver<Work>, now: Instant, now_at: Micros) {
        receiver.close();
        let untold = receiver.try_recv().ok();
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let away = Phase::Away { until: now + AWAY_MAX, request_id: None };
        match (std::mem::replace(&mut slot.phase, away), untold) {
            (Phase::Parked(sender), None) if !sender.is_closed() => slot.phase = Phase::Parked(sender),
            (Phase::Parked(_), None) => {
                slot.since = now;
                self.idle.retain(|other| *other != id);
            }
            (Phase::Busy(running), Some(work)) if running.request_id == work.request_id => {
                slot.since = now;
                slot.init = running.init;
                self.place(rebuilt(work, running.attempt, running.answer), now, now_at);
            }
            (phase, _) => slot.phase = phase,
        }
    }

    /// May the process answer this call now?
    pub fn holds(&self, id: u64, request_id: &str) -> Result<(), Misstep> {
        match self.slots.get(&id).map(|slot| &slot.phase) {
            Some(Phase::Busy(running)) if &*running.request_id == request_id => Ok(()),
            Some(Phase::Away { request_id: Some(last), .. }) if &**last == request_id => {
                Err(Misstep::State("InvocationResponse"))
            }
            Some(Phase::Ending) | None => Err(Misstep::Ending),
            Some(_) => Err(Misstep::UnknownId),
        }
    }

    pub fn is_starting(&self, id: u64) -> bool {
        self.slots.get(&id).is_some_and(|slot| matches!(slot.phase, Phase::Starting))
    }

    /// The process has answered.
    pub fn finish(&mut self, id: u64, request_id: &str, now: Instant) -> Result<Running, Misstep> {
        self.holds(id, request_id)?;
        let slot = self.slots.get_mut(&id).ok_or(Misstep::Ending)?;
        let Phase::Busy(running) = std::mem::replace(&mut slot.phase, Phase::Ending) else {
            return Err(Misstep::UnknownId);
        };
        let until = running.deadline.max(now + AWAY_MAX);
        slot.phase = Phase::Away { until, request_id: Some(running.request_id.clone()) };
        slot.since = now;
        self.inflight -= 1;
        Ok(running)
    }

    /// The process is being ended; gives what it was doing. `None` if it was ending already.
    pub fn end(&mut self, id: u64) -> Option<Left> {
        let slot = self.slots.get_mut(&id)?;
        let phase = std::mem::replace(&mut slot.phase, Phase::Ending);
        self.idle.retain(|other| *other != id);
        let mut left = Left::default();
        match phase {
            Phase::Ending => return None,
            Phase::Starting => left.unborn_since = Some(slot.since),
            Phase::Busy(running) => {
                self.inflight -= 1;
                left.running = Some(running);
            }
            Phase::Parked(_) | Phase::Away { .. } => {}
        }
        Some(left)
    }

    /// The process is gone.
    pub fn remove(&mut self, id: u64) -> Option<Left> {
        let left = self.end(id);
        self.slots.remove(&id);
        left
    }

    /// The call that waits longest, for an error that its process gave before it got it.
    pub fn give_up_oldest(&mut self) -> Option<Call> {
        let call = self.waiting.pop_front()?;
        self.inflight -= 1;
        Some(call)
    }

    pub fn stand(&self, id: u64, now: Instant) -> Stand {
        let Some(slot) = self.slots.get(&id) else { return Stand::Ending };
        match &slot.phase {
            Phase::Ending => Stand::Ending,
            Phase::Starting => Stand::Starting { since: slot.since },
            Phase::Busy(running) => Stand::Busy { deadline: running.deadline },
            Phase::Away { until, .. } => Stand::Away { since: slot.since, until: (*until).max(now) },
            Phase::Parked(_) => Stand::Parked { since: slot.since, may_go: self.alive() > self.reserved },
        }
    }

    /// The code has changed: processes of the old code get no more calls. Gives those that are to end
    /// now; the busy ones end when they ask again.
    pub fn restart(&mut self) -> Vec<Arc<Process>> {
        self.generation += 1;
        self.quiet()
    }

    /// No more calls. Gives the processes that do nothing, which are to end now.
    pub fn close(&mut self) -> Vec<Arc<Process>> {
        self.closed = true;
        if self.waiting.is_empty() { self.quiet() } else { Vec::new() }
    }

    fn quiet(&self) -> Vec<Arc<Process>> {
        let quiet = |slot: &&Slot| !matches!(slot.phase, Phase::Busy(_) | Phase::Ending);
        self.slots.values().filter(quiet).filter_map(|slot| slot.process.clone()).collect()
    }

    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.slots.values().filter_map(|slot| slot.process.clone()).collect()
    }

    /// Everything that waits, to be told that we close.
    pub fn drain_waiting(&mut self) -> Vec<Call> {
        self.inflight -= self.waiting.len();
        self.waiting.drain(..).collect()
    }

    pub fn is_quiet(&self) -> bool {
        self.inflight == 0
    }

    pub fn has_processes(&self) -> bool {
        !self.slots.is_empty()
    }

    fn alive(&self) -> usize {
        self.slots.values().filter(|slot| !matches!(slot.phase, Phase::Ending)).count()
    }

    pub fn census(&self) -> Census {
        let count = |test: fn(&Phase) -> bool| self.slots.values().filter(|slot| test(&slot.phase)).count();
        Census {
            starting: count(|phase| matches!(phase, Phase::Starting)),
            idle: count(|phase| matches!(phase, Phase::Parked(_) | Phase::Away { .. })),
            busy: count(|phase| matches!(phase, Phase::Busy(_))),
            waiting: self.waiting.len(),
            inflight: self.inflight,
            alive: self.alive(),
        }
    }
}

fn rebuilt(work: Work, attempt: u32, answer: crate::call::Answer) -> Call {
    let Work { request_id, payload, client_context, trace, wants_log, .. } = work;
    Call { request_id, payload, client_context, trace, wants_log, attempt, answer }
}
