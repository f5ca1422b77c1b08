//! Workflows: executions of Amazon States Language machines, durable and resumable.

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
mod machine;
mod machines;
mod objects;
mod service;
mod store;
mod test_state;
mod token;
mod waiting;

pub use api::*;
pub use error::{ErrorKind, WorkflowError};
pub use objects::{NoObjects, ObjectItem, Objects};
pub use service::{ExpressLog, Fault, NoExpressLog, Options, Pace, Workflows};
pub use waiting::WaitingTask;
