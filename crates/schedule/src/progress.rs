//! What is persisted of a schedule: how far it has come, and its runs that are not over.

use bourn_config::Target;
use bourn_event::Micros;
use serde::{Deserialize, Serialize};

/// More runs of past times than these are remembered as one stretch.
const STRETCHES_MAX: usize = 32;

/// How far a schedule has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The times it is about: a schedule whose times change begins anew.
    pub definition: String,
    /// Where a rate counts from.
    pub anchor: Micros,
    /// When it was first seen: times before were never missed.
    pub since: Micros,
    /// Every time up to here was decided on: begun, skipped or passed over.
    pub settled: Micros,
    /// The times that were begun or skipped one by one; they never come again, even if the clock goes back.
    pub decided: Decided,
    /// Runs that are not over, in the order of their times.
    pub open: Vec<OpenRun>,
    /// The latest time a run was begun for.
    pub last: Option<Micros>,
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenRun {
    pub due: Micros,
    /// Not before: the time it was due, and the jitter.
    pub begin_at: Micros,
    /// Makes up for a missed time: it waits for its turn, whatever the overlap policy.
    pub makeup: bool,
    pub phase: Phase,
    pub execution: Option<String>,
    pub target: Target,
}

/// How far a run is.
///
/// ```text
///  Queued ─► Starting ─► Running ─► (over)
///                │          └─► Stopping ─► (over)
///                └─► (over: refused)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Waits for its moment, or for the run before it.
    Queued,
    /// It may have begun: after a crash it is begun again under the same id.
    Starting,
    Running,
    /// A newer run takes its place.
    Stopping,
}

impl Progress {
    pub fn new(definition: String, anchor: Micros, now: Micros) -> Self {
        let decided = Decided::default();
        Self { definition, anchor, since: now, settled: now, decided, open: Vec::new(), last: None }
    }

    pub fn find(&mut self, due: Micros) -> Option<&mut OpenRun> {
        self.open.iter_mut().find(|run| run.due == due)
    }

    pub fn take(&mut self, due: Micros) -> Option<OpenRun> {
        let at = self.open.iter().position(|run| run.due == due)?;
        Some(self.open.remove(at))
    }

    /// Runs that were begun and are not over.
    pub fn active(&self) -> usize {
        self.open.iter().filter(|run| run.phase != Phase::Queued).count()
    }

    pub fn queued(&self) -> usize {
        self.open.len() - self.active()
    }
}

/// Times as stretches: first and last of each, in order, none overlapping. All times of the schedule within a
/// stretch are among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decided(Vec<(Micros, Micros)>);

impl Decided {
    /// The last time of the stretch that a time lies in.
    pub fn end_of(&self, due: Micros) -> Option<Micros> {
        self.0.iter().find(|(first, last)| (*first..=*last).contains(&due)).map(|(_, last)| *last)
    }

    /// Adds a time; `next` gives the schedule's time behind another.
    pub fn add(&mut self, due: Micros, next: impl Fn(Micros) -> Option<Micros>) {
        if self.end_of(due).is_some() {
            return;
        }
        let at = self.0.partition_point(|(first, _)| *first < due);
        match at.checked_sub(1).and_then(|before| self.0.get_mut(before)) {
            Some((_, last)) if next(*last) == Some(due) => *last = due,
            _ => self.0.insert(at, (due, due)),
        }
        if self.0.len() > STRETCHES_MAX {
            // What lies between counts as decided: rather never than twice.
            let (_, last) = self.0.remove(1);
            self.0[0].1 = last;
        }
    }
}
