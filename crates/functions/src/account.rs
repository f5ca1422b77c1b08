//! What one invocation took, as a row and as Lambda's REPORT line.

use crate::call::{Ended, Running};
use crate::pool::Pool;
use crate::process::Process;
use crate::rows::InvocationRow;
use bourn_event::Micros;
use std::sync::Arc;
use std::time::Duration;

/// How lines of ours about a process begin.
pub(crate) const REPORT_FAILED: &str = "BOURN";

/// What is known once an invocation has ended.
pub(crate) struct Measured {
    request_id: Arc<str>,
    begun_at: Micros,
    duration: Duration,
    init: Option<Duration>,
    attempt: u32,
    error: Option<String>,
}

impl Measured {
    pub fn new(pool: &Pool, running: &Running, ended: &Ended) -> Self {
        Self {
            request_id: running.request_id.clone(),
            begun_at: running.begun_at,
            // A watcher comes a little late; what is over the limit is not the function's.
            duration: running
                .begun
                .elapsed()
                .min(pool.function.timeout.0.max(pool.shared.settings.init_timeout)),
            init: running.init,
            attempt: running.attempt,
            error: ended.error_type().map(str::to_owned),
        }
    }

    pub fn account(self, pool: &Pool, process: &Process) -> (InvocationRow, String) {
        let memory_bytes = pool.function.memory.0;
        let billed = self.duration + self.init.unwrap_or_default();
        let billed_ms = u64::try_from(billed.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let row = InvocationRow {
            request_id: self.request_id,
            function: pool.name.clone(),
            started_at: self.begun_at,
            duration_us: micros(self.duration),
            billed_ms,
            memory_bytes,
            memory_peak_bytes: process.peak_bytes(),
            gb_seconds: billed_ms as f64 / 1000.0 * memory_bytes as f64 / f64::from(1 << 30),
            init_us: self.init.map(micros),
            error: self.error,
            attempt: self.attempt,
            process: process.pid,
        };
        let report = report(&row);
        (row, report)
    }
}

fn report(row: &InvocationRow) -> String {
    let mut line = format!(
        "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB",
        row.request_id,
        row.duration_us as f64 / 1000.0,
        row.billed_ms,
        row.memory_bytes >> 20,
        row.memory_peak_bytes.div_ceil(1 << 20),
    );
    if let Some(init) = row.init_us {
        line.push_str(&format!("\tInit Duration: {:.2} ms", init as f64 / 1000.0));
    }
    match row.error.as_deref() {
        Some("Sandbox.Timedout") => line.push_str("\tStatus: timeout"),
        Some(kind) if kind.starts_with("Runtime.") => {
            line.push_str(&format!("\tStatus: error\tError Type: {kind}"));
        }
        _ => {}
    }
    line
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
