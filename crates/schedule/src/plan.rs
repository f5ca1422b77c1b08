//! The decision, pure: from the time and a schedule's progress to what is to be done, and when to look again.
//!
//! ```text
//!        settled            now - GRACE      now
//!  ─────────┼────────────────────┼────────────┼──────────►
//!           │  missed: skip,     │ on time    │  next time: look again
//!           │  once, all         │            │
//! ```
//!
//! * At the first look after a start every time that has passed was missed.
//! * The clock goes back: `settled` goes back with it, and the times that were decided one by one stay decided.
//!   So none runs twice, and a clock that had run ahead does not silence a schedule.
//! * The clock jumps ahead: what lies between was missed.

use crate::progress::{OpenRun, Phase, Progress};
use crate::when::When;
use bourn_config::{Missed, Overlap, Schedule};
use bourn_event::Micros;
use std::time::Duration;

/// A time that passed this short ago is on time: the process was awake and a little late.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// Runs of one schedule that wait; behind them, new ones are skipped.
pub(crate) const QUEUED_MAX: usize = 1_000;
/// Runs of one schedule at once, with `overlap: allow`; more wait.
pub(crate) const RUNNING_MAX: usize = 1_000;

/// Something to do, after it is persisted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// It waits. Said at each look as long as it does.
    Queue {
        due: Micros,
    },
    Start {
        due: Micros,
    },
    /// Not begun.
    Skip {
        due: Micros,
        why: String,
    },
    /// A newer run takes its place.
    Stop {
        due: Micros,
    },
}

/// A schedule, compiled, with its progress.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub name: String,
    pub schedule: Schedule,
    pub when: When,
    pub progress: Progress,
}

/// What a look at a schedule came to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Look {
    pub steps: Vec<Step>,
    /// Is there something to persist?
    pub changed: bool,
    /// When to look again, if nothing else happens.
    pub wake: Option<Micros>,
}

impl Planned {
    /// `first`: is this the first look since the process started?
    pub fn look(&mut self, now: Micros, first: bool) -> Look {
        let mut look = Look::default();
        if self.schedule.enabled {
            self.decide(now, first, &mut look);
        }
        self.begin(now, &mut look);
        let queued = self.progress.open.iter().filter(|run| run.phase == Phase::Queued);
        let begins = queued.map(|run| run.begin_at).filter(|at| *at > now).min();
        let due = self.next_due().filter(|due| *due > now);
        look.wake = begins.into_iter().chain(due).min();
        look
    }

    /// Is it kept only for its runs?
    pub fn is_gone(&self) -> bool {
        self.progress.definition.is_empty()
    }

    /// The next time that is not decided on.
    pub fn next_due(&self) -> Option<Micros> {
        if !self.schedule.enabled {
            return None;
        }
        self.undecided_after(self.progress.settled)
    }

    fn undecided_after(&self, after: Micros) -> Option<Micros> {
        let mut after = after;
        loop {
            let due = self.when.next_after(self.progress.anchor, after)?;
            match self.progress.decided.end_of(due) {
                Some(last) => after = last,
                None => return Some(due),
            }
        }
    }

    /// Which times have come, and which of them are run.
    fn decide(&mut self, now: Micros, first: bool, look: &mut Look) {
        if self.progress.settled > now {
            self.progress.settled = now;
            look.changed = true;
        }
        if self.undecided_after(self.progress.settled).is_none_or(|due| due > now) {
            return;
        }
        let missed_until = if first { now } else { now - GRACE.as_micros() as Micros };
        let room = QUEUED_MAX.saturating_sub(self.progress.queued());
        let missed = self.missed(missed_until, room);
        let makeup = self.schedule.missed == Missed::All;
        let is_cut = makeup && missed.len() == room;
        for due in &missed {
            self.queue(*due, makeup, now, look);
        }
        if is_cut {
            // The rest follows when there is room again.
            look.changed |= !missed.is_empty();
            self.progress.settled = missed.last().copied().unwrap_or(self.progress.settled);
            return;
        }
        look.changed = true;
        let mut after = self.progress.settled.max(missed_until);
        while let Some(due) = self.undecided_after(after).filter(|due| *due <= now) {
            self.queue(due, false, now, look);
            after = due;
        }
        self.progress.settled = now;
    }

    /// The missed times that are made up for.
    fn missed(&self, until: Micros, room: usize) -> Vec<Micros> {
        let progress = &self.progress;
        let oldest = until.saturating_sub(self.schedule.missed_max_age.micros());
        // A clock that was wrong when the schedule was first seen proves nothing.
        let since = if progress.since <= until { progress.since } else { Micros::MIN };
        let after = progress.settled.max(oldest.saturating_sub(1)).max(since);
        if after >= until {
            return Vec::new();
        }
        match self.schedule.missed {
            Missed::Skip => Vec::new(),
            Missed::Once => {
                let last = self.when.last_until(progress.anchor, after, until);
                last.filter(|due| progress.decided.end_of(*due).is_none()).into_iter().collect()
            }
            Missed::All => {
                let first = self.undecided_after(after);
                let times = std::iter::successors(first, |due| self.undecided_after(*due));
                times.take_while(|due| *due <= until).take(room).collect()
            }
        }
    }

    fn queue(&mut self, due: Micros, makeup: bool, now: Micros, look: &mut Look) {
        let (when, anchor) = (&self.when, self.progress.anchor);
        self.progress.decided.add(due, |after| when.next_after(anchor, after));
        if self.progress.queued() >= QUEUED_MAX {
            let why = format!("{QUEUED_MAX} earlier runs of this schedule wait already");
            look.steps.push(Step::Skip { due, why });
            return;
        }
        let begin_at = due.saturating_add(self.jitter(due));
        let run = OpenRun {
            due,
            begin_at,
            makeup,
            phase: Phase::Queued,
            execution: None,
            target: self.schedule.run.clone(),
        };
        let at = self.progress.open.partition_point(|open| open.due < due);
        self.progress.open.insert(at, run);
        if begin_at > now {
            look.steps.push(Step::Queue { due });
        }
    }

    /// Where between nothing and the longest delay a time begins: the same whenever it is asked for.
    fn jitter(&self, due: Micros) -> Micros {
        let Some(longest) = self.schedule.jitter.map(|span| span.micros()).filter(|longest| *longest > 0)
        else {
            return 0;
        };
        let mut seed = self.name.clone().into_bytes();
        seed.extend_from_slice(&due.to_be_bytes());
        (xxhash_rust::xxh3::xxh3_64(&seed) % (longest as u64 + 1)) as Micros
    }

    /// Which of the waiting runs begin.
    fn begin(&mut self, now: Micros, look: &mut Look) {
        let ready: Vec<(Micros, bool)> = self.ready(now).map(|run| (run.due, run.makeup)).collect();
        let latest = ready.last().map(|(due, _)| *due);
        for (due, makeup) in ready {
            let active = self.progress.active();
            match self.schedule.overlap {
                Overlap::Allow if active < RUNNING_MAX => self.start(due, look),
                Overlap::Allow => look.steps.push(Step::Queue { due }),
                _ if active == 0 => self.start(due, look),
                _ if makeup => look.steps.push(Step::Queue { due }),
                Overlap::Skip => self.skip(due, look, "the run before is not over"),
                Overlap::Queue => look.steps.push(Step::Queue { due }),
                Overlap::Replace if latest != Some(due) => {
                    self.skip(due, look, "a later run took its place before it began");
                }
                Overlap::Replace => {
                    self.stop_active(look);
                    look.steps.push(Step::Queue { due });
                }
            }
        }
    }

    fn ready(&self, now: Micros) -> impl Iterator<Item = &OpenRun> {
        self.progress.open.iter().filter(move |run| run.phase == Phase::Queued && run.begin_at <= now)
    }

    fn start(&mut self, due: Micros, look: &mut Look) {
        if let Some(run) = self.progress.find(due) {
            run.phase = Phase::Starting;
            run.target = self.schedule.run.clone();
        }
        self.progress.last = self.progress.last.max(Some(due));
        look.steps.push(Step::Start { due });
        look.changed = true;
    }

    fn skip(&mut self, due: Micros, look: &mut Look, why: &str) {
        self.progress.take(due);
        look.steps.push(Step::Skip { due, why: why.into() });
        look.changed = true;
    }

    fn stop_active(&mut self, look: &mut Look) {
        for run in self.progress.open.iter_mut().filter(|run| run.phase == Phase::Running) {
            run.phase = Phase::Stopping;
            look.steps.push(Step::Stop { due: run.due });
            look.changed = true;
        }
    }
}
