//! Workflows: executions of Amazon States Language machines, durable and resumable.

mod api;
mod error;
mod objects;
mod service;

pub use api::*;
pub use error::{ErrorKind, WorkflowError};
pub use objects::{NoObjects, ObjectItem, Objects};
pub use service::{ExpressLog, NoExpressLog, Options, Pace, Workflows};
