//! Time as it passes, beside the wall clock, which somebody may set.
//!
//! While the process runs, time is what the machine's steady counter says, and the time that the machine
//! slept, which that counter leaves out. It means nothing to the next process, which goes on by the wall
//! clock, less what the clock was set by before: so a timer counts the time between two processes, and no
//! correction of the clock. Time never goes back, even if the clock was lost in between.

use super::Engine;
use crate::WorkflowError;
use crate::machine::Now;
use crate::service::Pace;
use crate::store;
use bourn_event::{Clock, Micros};
use bourn_state::{Key, State};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// Smaller differences between clocks are how exact they are.
const DIFFERENCE_MIN: Micros = 1_000_000;

/// How often the time is written down at least.
const KEEP: Micros = 60 * 1_000_000;

/// What is stored.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Wall clock less steady time.
    difference: Micros,
    steady: Micros,
}

/// Where the counting began, and what is known beside the counter.
pub struct Steady {
    from: Micros,
    since: Instant,
    /// For how long the machine was up then, its sleep counted.
    up: Option<Micros>,
    slept: AtomicI64,
    kept: Mutex<Kept>,
}

impl Steady {
    /// Goes on where the last process left off.
    pub fn resume(state: &State, clock: &dyn Clock) -> Result<Self, WorkflowError> {
        let kept = store::get::<Kept>(state, &Key::WorkflowClock)?;
        let from = match kept {
            Some(kept) => clock.now().saturating_sub(kept.difference).max(kept.steady),
            None => clock.now(),
        };
        let kept = Mutex::new(kept.unwrap_or_default());
        Ok(Self { from, since: Instant::now(), up: uptime(), slept: AtomicI64::new(0), kept })
    }

    fn now(&self) -> Micros {
        self.from.saturating_add(self.counted()).saturating_add(self.slept.load(Ordering::SeqCst))
    }

    fn counted(&self) -> Micros {
        self.since.elapsed().as_micros() as Micros
    }

    /// Looks whether the machine has slept. Where nobody tells for how long it is up, it has not.
    fn look(&self, up: Option<Micros>) {
        let (Some(from), Some(now)) = (self.up, up) else { return };
        let slept = now.saturating_sub(from).saturating_sub(self.counted());
        if slept - self.slept.load(Ordering::SeqCst) >= DIFFERENCE_MIN {
            self.slept.store(slept, Ordering::SeqCst);
        }
    }
}

/// For how long the machine is up, on Linux: unlike the counter, this goes on while it sleeps.
fn uptime() -> Option<Micros> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some((seconds * 1e6) as Micros)
}

impl Engine {
    pub fn now(&self) -> Now {
        let wall = self.options.clock.now();
        let steady = match self.options.pace {
            Pace::Virtual => wall,
            Pace::Steady => self.steady.now(),
        };
        Now { wall, steady }
    }

    /// Looks at the clocks, and writes down what the next process needs of them if it has changed.
    pub(super) fn look_at_clocks(&self, is_last: bool) -> Result<(), WorkflowError> {
        self.steady.look(uptime());
        let now = self.now();
        let mut kept = self.steady.kept.lock();
        let new = Kept { difference: now.wall.saturating_sub(now.steady), steady: now.steady };
        let is_set = new.difference.abs_diff(kept.difference) >= DIFFERENCE_MIN.unsigned_abs();
        let is_old = new.steady.saturating_sub(kept.steady) >= KEEP;
        if is_set || is_old || is_last {
            let mut writes = Vec::new();
            store::put(&mut writes, Key::WorkflowClock, &new)?;
            store::commit(&self.state, writes)?;
            *kept = new;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_sleep_counts() {
        let slept = |up, now| {
            let (slept, kept) = (AtomicI64::new(0), Mutex::default());
            let steady = Steady { from: 0, since: Instant::now(), up, slept, kept };
            steady.look(now);
            steady.now() / (3_600 * 1_000_000)
        };
        let hours = |hours: i64| Some(hours * 3_600 * 1_000_000 + 1_000_000);
        assert_eq!(slept(hours(5), hours(12)), 7);
        // Nobody tells, or only as much as the counter does.
        assert_eq!(slept(None, hours(12)), 0);
        assert_eq!(slept(hours(5), None), 0);
        assert_eq!(slept(hours(5), hours(5)), 0);
    }
}
