//! The circuit breaker: a pure state machine over calls and the time.
//!
//! ```text
//!           `failures` in a row, or `failure_percent` of a window
//!  closed ────────────────────────────────────────────────────────► open
//!    ▲                                                               │ `open_for`
//!    │ `probes` successes                             any failure:   ▼
//!    └──────────────────────────────── half-open ◄── twice as long ──┤
//! ```
//!
//! The outcome of a call that was let in before the latest change of state says nothing about the
//! present state and is ignored. A clock that steps back never keeps the breaker open for longer
//! than `open_for_max`.

use bourn_event::Micros;
use std::time::Duration;

/// When a breaker opens, and how it closes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerRule {
    /// This many failures in a row open it; 0: never.
    pub failures: u32,
    /// So many percent of failures within `window` open it; 0: never.
    pub failure_percent: u32,
    /// Fewer calls within `window` say nothing about the rate.
    pub calls_min: u32,
    pub window: Duration,
    /// How long nothing is let through; doubled each time the probes fail.
    pub open_for: Duration,
    pub open_for_max: Duration,
    /// Calls that are let through at once when it is half-open, and successes that close it.
    pub probes: u32,
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self {
            failures: 10,
            failure_percent: 50,
            calls_min: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            open_for_max: Duration::from_secs(60),
            probes: 2,
        }
    }
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// A few calls go through, to see whether the endpoint is well again.
    HalfOpen,
    /// Nothing goes through.
    Open,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// The caller went away before there was an answer.
    Abandoned,
}

/// A call that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    epoch: u64,
}

/// A call that was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Asking again sooner is in vain.
    pub retry_after: Duration,
}

/// The breaker of one endpoint.
#[derive(Clone, Debug)]
pub struct Breaker {
    rule: BreakerRule,
    phase: Phase,
    /// Counts the changes of state.
    epoch: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    Closed { in_a_row: u32, window: Window },
    Open { since: Micros, open_for: Duration },
    HalfOpen { in_flight: u32, successes: u32, open_for: Duration },
}

/// A half-open breaker whose probes are under way may close or open at any moment.
const HALF_OPEN_RETRY: Duration = Duration::from_millis(200);

impl Breaker {
    pub fn new(rule: BreakerRule) -> Self {
        let rule = BreakerRule { probes: rule.probes.max(1), ..rule };
        Self { rule, phase: Phase::Closed { in_a_row: 0, window: Window::default() }, epoch: 0 }
    }

    /// The state at this time. An open breaker whose time is over is half-open.
    pub fn state(&self, now: Micros) -> BreakerState {
        match &self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::Open { since, open_for } if remaining(now, *since, *open_for).is_zero() => {
                BreakerState::HalfOpen
            }
            Phase::Open { .. } => BreakerState::Open,
        }
    }

    /// Asks to make a call; the permit is handed back with the outcome.
    pub fn admit(&mut self, now: Micros) -> Result<Permit, Refused> {
        if let Phase::Open { since, open_for } = &mut self.phase {
            // The clock was set back: begin anew, or the breaker would be open until it catches up.
            *since = (*since).min(now);
            let left = remaining(now, *since, *open_for);
            if !left.is_zero() {
                return Err(Refused { retry_after: left });
            }
            let open_for = *open_for;
            self.change(Phase::HalfOpen { in_flight: 0, successes: 0, open_for });
        }
        if let Phase::HalfOpen { in_flight, successes, .. } = &mut self.phase {
            if *in_flight + *successes >= self.rule.probes {
                return Err(Refused { retry_after: HALF_OPEN_RETRY });
            }
            *in_flight += 1;
        }
        Ok(Permit { epoch: self.epoch })
    }

    /// Takes the outcome of a call.
    pub fn record(&mut self, now: Micros, permit: Permit, outcome: Outcome) {
        if permit.epoch != self.epoch {
            return;
        }
        match &mut self.phase {
            Phase::Closed { in_a_row, window } => {
                if outcome == Outcome::Abandoned {
                    return;
                }
                let failed = outcome == Outcome::Failure;
                *in_a_row = if failed { *in_a_row + 1 } else { 0 };
                window.count(now, self.rule.window, failed);
                let by_count = self.rule.failures > 0 && *in_a_row >= self.rule.failures;
                if failed && (by_count || window.is_over(&self.rule)) {
                    self.change(Phase::Open { since: now, open_for: self.rule.open_for });
                }
            }
            Phase::HalfOpen { in_flight, successes, open_for } => {
                *in_flight = in_flight.saturating_sub(1);
                match outcome {
                    Outcome::Abandoned => {}
                    Outcome::Failure => {
                        let longer = (*open_for * 2).min(self.rule.open_for_max).max(self.rule.open_for);
                        self.change(Phase::Open { since: now, open_for: longer });
                    }
                    Outcome::Success => {
                        *successes += 1;
                        if *successes >= self.rule.probes {
                            self.change(Phase::Closed { in_a_row: 0, window: Window::default() });
                        }
                    }
                }
            }
            Phase::Open { .. } => {}
        }
    }

    fn change(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
    }
}

fn remaining(now: Micros, since: Micros, open_for: Duration) -> Duration {
    let elapsed = Duration::from_micros(now.saturating_sub(since).max(0) as u64);
    open_for.saturating_sub(elapsed)
}

const BUCKETS: usize = 10;

/// Successes and failures of the last `window`, in ten parts.
#[derive(Clone, Debug, Default)]
struct Window {
    /// Number of the latest part since the epoch.
    latest: i64,
    parts: [(u32, u32); BUCKETS],
}

impl Window {
    fn count(&mut self, now: Micros, window: Duration, failed: bool) {
        let part = now.div_euclid((window.as_micros() as i64 / BUCKETS as i64).max(1));
        if part != self.latest {
            // Parts that were passed over are empty; a clock that was set back starts an empty window.
            let passed = part.checked_sub(self.latest).filter(|passed| (1..BUCKETS as i64).contains(passed));
            match passed {
                Some(passed) => {
                    for step in 1..=passed {
                        self.parts[index(self.latest + step)] = (0, 0);
                    }
                }
                None => self.parts = [(0, 0); BUCKETS],
            }
            self.latest = part;
        }
        let (calls, failures) = &mut self.parts[index(part)];
        *calls += 1;
        *failures += u32::from(failed);
    }

    fn is_over(&self, rule: &BreakerRule) -> bool {
        if rule.failure_percent == 0 {
            return false;
        }
        let sum = |of: fn(&(u32, u32)) -> u32| self.parts.iter().map(|part| u64::from(of(part))).sum::<u64>();
        let (calls, failures) = (sum(|part| part.0), sum(|part| part.1));
        calls >= u64::from(rule.calls_min.max(1)) && failures * 100 >= calls * u64::from(rule.failure_percent)
    }
}

fn index(part: i64) -> usize {
    part.rem_euclid(BUCKETS as i64) as usize
}
