//! Measures this machine: the route end to end, replay, start-up, functions and workflows. Figures only, no verdicts.

mod driver;
mod functions;
mod host;
mod ingest;
mod pipeline;
mod workflows;
mod yardstick;

pub use functions::functions;
pub use host::bare_server;
pub use ingest::{Figures, Mode, Plan, cold_start, ingest, replay, single_against_bare};
pub use workflows::{Amounts, workflows};
