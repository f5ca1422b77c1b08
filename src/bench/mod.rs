//! Measures this machine: the route end to end, replay, and start-up. Figures only, no verdicts.

mod driver;
mod host;
mod ingest;
mod pipeline;

pub use host::bare_server;
pub use ingest::{Figures, Mode, Plan, cold_start, ingest, replay, single_against_bare};
