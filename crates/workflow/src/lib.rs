//! Workflows: executions of Amazon States Language machines, durable and resumable.
//!
//! ```text
//!  API, schedules, triggers ─► engine ─ input ─► machine (pure) ─► events, changes ─► state
//!                                ▲                    └─► actions, once those are durable
//!                                └── answers, timers ◄── Tasks (seam) ◄──┘
//! ```

mod activities;
mod api;
mod arn;
pub mod bench;
mod codec;
mod data;
mod engine;
mod error;
mod event;
mod executions;
mod items;
mod logging;
mod machine;
mod machines;
mod objects;
mod reading;
mod service;
mod store;
mod test_state;
mod token;
mod waiting;

pub use api::*;
pub use error::{ErrorKind, WorkflowError};
pub use logging::{ExpressLog, NoExpressLog};
pub use objects::{NoObjects, ObjectItem, Objects};
pub use reading::read_executions;
pub use service::{Fault, Options, Pace, Workflows};
pub use waiting::WaitingTask;
