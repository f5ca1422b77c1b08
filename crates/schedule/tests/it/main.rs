//! The schedule crate's integration tests, one binary.

mod backfill;
mod bus;
mod cron;
mod fake;
mod input;
mod pattern;
mod properties;
mod runs;
mod scheduler;
mod triggers;
mod when;
