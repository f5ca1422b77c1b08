//! What the host tells about itself, as plain rows for SQL tables and commands.

use bourn_event::Micros;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// One line that a function wrote, or that was written about it (`system.function_logs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    pub at: Micros,
    pub function: Arc<str>,
    /// The invocation that ran; `None` while the process started or idled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Arc<str>>,
    /// The process's id.
    pub process: u32,
    pub line: String,
}

/// One invocation (`system.invocations`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InvocationRow {
    pub request_id: Arc<str>,
    pub function: Arc<str>,
    /// When its process got it.
    pub started_at: Micros,
    pub duration_us: u64,
    /// Duration and initialisation, rounded up.
    pub billed_ms: u64,
    /// The function's memory setting.
    pub memory_bytes: u64,
    /// Most memory that its process was seen to hold.
    pub memory_peak_bytes: u64,
    /// Billed time × memory.
    pub gb_seconds: f64,
    /// How long the process took to start; `None` if it was warm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_us: Option<u64>,
    /// The error's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// 0 for a synchronous invocation, else which attempt of an asynchronous one.
    pub attempt: u32,
    /// The process's id.
    pub process: u32,
}

/// A function and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionRow {
    pub name: String,
    pub runtime: &'static str,
    pub memory_bytes: u64,
    pub timeout_ms: u64,
    pub concurrency_max: u64,
    pub concurrency_reserved: u64,
    pub processes: u64,
    pub busy: u64,
    pub idle: u64,
    /// Invocations that wait for a process.
    pub waiting: u64,
    /// Asynchronous invocations that are not settled yet.
    pub pending: u64,
    /// Since the start.
    pub invocations: u64,
    pub errors: u64,
    pub throttles: u64,
    pub cold_starts: u64,
}

/// An asynchronous invocation that is not settled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PendingRow {
    pub function: String,
    pub sequence: u64,
    pub due_at: Micros,
}

/// An asynchronous invocation that was given up and has no destination.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadRow {
    pub function: String,
    /// Names it, with the function.
    pub sequence: u64,
    /// The record that a destination would have got.
    pub record: Value,
}
