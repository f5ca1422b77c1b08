//! Where the host keeps its files, and its limits that are not a function's own.

use std::path::PathBuf;
use std::time::Duration;

/// Largest payload and largest answer of a synchronous invocation, as AWS has it.
pub const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024 + 100;

/// Largest payload of an asynchronous invocation, as AWS has it.
pub const LATER_PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Asynchronous invocations of one function that may wait at once.
pub const PENDING_MAX: usize = 100_000;

/// Settings of a [`crate::Host`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// The pipeline's folder, which a function's `code` is relative to.
    pub project: PathBuf,
    /// The folder for shims, logs and history. One host owns it.
    pub dir: PathBuf,
    /// Region in ARNs and in `AWS_REGION`.
    pub region: String,
    /// Account in ARNs.
    pub account: String,
    /// How long a process may take until it asks for its first event.
    pub init_timeout: Duration,
    /// How long an asynchronous invocation waits before its first and its second retry.
    pub retry_delays: [Duration; 2],
    /// The shortest and the longest wait of an asynchronous invocation that was throttled; it doubles.
    pub throttle_delays: (Duration, Duration),
    /// How often the folders of running functions are looked at for changes.
    pub watch_every: Duration,
}

impl Settings {
    pub fn new(project: impl Into<PathBuf>, dir: impl Into<PathBuf>) -> Self {
        Self {
            project: project.into(),
            dir: dir.into(),
            region: "us-east-1".into(),
            account: "000000000000".into(),
            init_timeout: Duration::from_secs(10),
            retry_delays: [Duration::from_secs(60), Duration::from_secs(120)],
            throttle_delays: (Duration::from_secs(1), Duration::from_secs(300)),
            watch_every: Duration::from_millis(500),
        }
    }
}
