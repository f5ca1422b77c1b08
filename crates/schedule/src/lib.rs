//! Schedules, triggers and runs: when something begins, and how it ended.
//!
//! ```text
//!  schedules ─ When ─► plan ─┐                    ┌─► Starter (the root: workflows, functions, jobs)
//!  backfills ─ When ─────────┼─ deterministic ids ┤
//!  events ─ Pattern ─ Input ─┘                    └─► Runs (`system.runs`)
//! ```
//!
//! Nothing here reads a log, runs a job or opens a port: the root does, over [`Starter`], and feeds events in.

mod backfill;
mod backoff;
mod bus;
mod cron;
mod envelope;
mod feeds;
mod input;
mod path;
mod pattern;
mod plan;
mod progress;
mod rows;
mod runs;
mod scheduler;
mod starter;
mod time;
mod triggers;
mod troubles;
mod when;

pub use backfill::{BACKFILL_TIMES_MAX, BackfillError, BackfillPlan, BackfillProgress, Backfills};
pub use backoff::Backoff;
pub use bus::{BUS_WAITING_MAX, Bus, BusError};
pub use cron::{Cron, CronError};
pub use envelope::{Home, OWN_SOURCE, OwnEvent, STREAM_SOURCE};
pub use feeds::{Announcer, FeedError, OwnTriggers, REJECT_WINDOW_S, RejectMeter, StreamTrigger};
pub use input::{Facts, Input, InputFault};
pub use pattern::{Known, Pattern, PatternFault};
pub use rows::{ScheduleRow, ScheduleStatus, read_schedules};
pub use runs::{RUN_AGE_MAX, RUNS_MAX, Runs, UPKEEP, read_runs};
pub use scheduler::{ScheduleError, Scheduler};
pub use starter::{
    Ended, RunRef, StartError, Started, Starter, execution_name, job_name, kind_of, name_of, request_id,
    stream_of,
};
pub use time::{parse_time, rfc3339, zone};
pub use triggers::{Closing, Launcher, TriggerFault, Triggers};
pub use troubles::Troubles;
pub use when::{When, WhenFault};
