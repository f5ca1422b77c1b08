//! Schedules, triggers and runs: when something begins, and how it ended.
//!
//! ```text
//!  schedules ─ When ─► plan ─┐                    ┌─► Starter (the root: workflows, functions, jobs)
//!  backfills ─ When ─────────┼─ deterministic ids ┤
//!  events ─ Pattern ─ Input ─┘                    └─► Runs (`system.runs`)
//! ```
//!
//! Nothing here reads a log, runs a job or opens a port: the root does, over [`Starter`], and feeds events in.

mod cron;
mod input;
mod path;
mod pattern;
mod starter;
mod time;
mod when;

pub use cron::{Cron, CronError};
pub use input::{Facts, Input, InputFault};
pub use pattern::{Known, Pattern, PatternFault};
pub use starter::{
    Ended, RunRef, StartError, Started, Starter, execution_name, job_name, kind_of, name_of, stream_of,
};
pub use time::{parse_time, rfc3339, zone};
pub use when::{When, WhenFault};
