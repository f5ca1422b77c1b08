//! Timers: all on disk in the order of time, the near ones in memory.

use super::Engine;
use crate::WorkflowError;
use crate::codec::decode;
use crate::machine::{FrameId, Now, TimerRef};
use crate::service::Pace;
use crate::store::key_time;
use bourn_event::Micros;
use bourn_state::Key;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Timers due within this are held in memory.
const NEAR: Micros = 60 * 1_000_000;

/// At most so many are; if more are due soon, the window is smaller.
const HELD_MAX: usize = 200_000;

/// How often the clock is looked at while nothing is due: the wall clock may be set.
const LOOK: Duration = Duration::from_millis(500);

/// The same for a clock that does not pass by itself.
const LOOK_VIRTUAL: Duration = Duration::from_millis(1);

type Entry = (Micros, u64, FrameId, u32, bool);

#[derive(Default)]
pub struct Timers {
    held: Mutex<Held>,
    sooner: Notify,
}

#[derive(Default)]
struct Held {
    entries: BTreeSet<Entry>,
    /// Everything due before this is held.
    until: Micros,
}

pub fn key(execution: u64, frame: FrameId, timer: TimerRef) -> Key {
    Key::WorkflowTimer {
        due: key_time(timer.due),
        execution,
        frame: u64::from(frame),
        serial: u64::from(timer.serial),
    }
}

fn entry(seq: u64, frame: FrameId, timer: TimerRef) -> Entry {
    (timer.due, seq, frame, timer.serial, timer.wall)
}

impl Timers {
    pub fn add(&self, seq: u64, frame: FrameId, timer: TimerRef) {
        let mut held = self.held.lock();
        if timer.due >= held.until {
            return;
        }
        let soonest = held.entries.first().is_none_or(|first| timer.due < first.0);
        held.entries.insert(entry(seq, frame, timer));
        while held.entries.len() > HELD_MAX {
            if let Some(last) = held.entries.pop_last() {
                held.until = last.0;
            }
        }
        drop(held);
        if soonest {
            self.sooner.notify_one();
        }
    }

    pub fn remove(&self, seq: u64, frame: FrameId, timer: TimerRef) {
        self.held.lock().entries.remove(&entry(seq, frame, timer));
    }

    /// Has the clock looked at now.
    pub fn look(&self) {
        self.sooner.notify_one();
    }

    pub fn next_due(&self) -> Option<Micros> {
        self.held.lock().entries.first().map(|first| first.0)
    }

    /// Takes those that are due.
    fn due(&self, now: Now) -> Vec<Entry> {
        let mut held = self.held.lock();
        let bound = now.wall.max(now.steady);
        let due: Vec<Entry> = held
            .entries
            .iter()
            .take_while(|entry| entry.0 <= bound)
            .filter(|entry| entry.0 <= if entry.4 { now.wall } else { now.steady })
            .copied()
            .collect();
        for entry in &due {
            held.entries.remove(entry);
        }
        due
    }
}

impl Engine {
    /// Reads the timers that have come near.
    fn read_timers(&self, now: Now) -> Result<(), WorkflowError> {
        let bound = now.wall.max(now.steady);
        let from = {
            let mut held = self.timers.held.lock();
            if held.until > bound.saturating_add(NEAR / 2) {
                return Ok(());
            }
            // From now on new ones in the window are held by whoever sets them.
            std::mem::replace(&mut held.until, bound.saturating_add(NEAR))
        };
        let key = |due| Key::WorkflowTimer { due: key_time(due), execution: 0, frame: 0, serial: 0 };
        for read in self.state.range_raw(&key(from), &key(bound.saturating_add(NEAR))) {
            let (key, value) = read?;
            let Key::WorkflowTimer { due, execution, frame, serial } = key else { continue };
            let wall: bool = decode(&value)?;
            let timer = TimerRef { serial: serial as u32, due: due as Micros, wall };
            self.timers.add(execution, frame as FrameId, timer);
        }
        Ok(())
    }
}

/// Fires timers for as long as the engine is there.
pub fn spawn(engine: &Arc<Engine>) {
    let weak = engine.weak();
    let look = if engine.options.pace == Pace::Virtual { LOOK_VIRTUAL } else { LOOK };
    engine.handle.spawn(async move {
        let mut looked = None;
        loop {
            let Some(engine) = weak.upgrade() else { return };
            if engine.check_open().is_err() {
                return;
            }
            if looked.is_none_or(|at: Instant| at.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                if let Err(error) = engine.look_at_clocks(false) {
                    tracing::error!(%error, "the time cannot be written down");
                }
            }
            let now = engine.now();
            if let Err(error) = engine.read_timers(now) {
                tracing::error!(%error, "timers cannot be read");
            }
            for (due, seq, frame, serial, wall) in engine.timers.due(now) {
                engine.fire(seq, frame, TimerRef { serial, due, wall });
            }
            let next = engine.timers.next_due().map_or(look, |due| {
                let left = Duration::from_micros(due.saturating_sub(now.steady).max(0) as u64);
                left.clamp(Duration::from_millis(1), look)
            });
            let sooner = async {
                // The engine must not live on through this task.
                let timers = &engine.timers.sooner;
                timers.notified().await;
            };
            let _ = tokio::time::timeout(next, sooner).await;
        }
    });
}
