//! What invocations cost, as metrics.

use crate::rows::InvocationRow;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Metrics of one function, registered once.
pub(crate) struct Meter {
    pub invocations: Tally,
    pub errors: Tally,
    pub throttles: Tally,
    pub cold_starts: Tally,
    duration: Histogram,
    init: Histogram,
    billed: Counter,
    gb_seconds: Gauge,
    pub processes: Gauge,
    pub inflight: Gauge,
    pub pending: Gauge,
    /// Moving mean of the durations, in µs.
    mean_us: AtomicU64,
}

/// A counter that can be read.
pub(crate) struct Tally(Counter, AtomicU64);

impl Tally {
    fn new(counter: Counter) -> Self {
        Self(counter, AtomicU64::new(0))
    }

    pub fn add(&self) {
        self.0.increment(1);
        self.1.fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }
}

impl Meter {
    pub fn new(function: &str) -> Self {
        describe();
        let label = || [("function", function.to_owned())];
        Self {
            invocations: Tally::new(counter!("bourn_function_invocations_total", &label())),
            errors: Tally::new(counter!("bourn_function_errors_total", &label())),
            throttles: Tally::new(counter!("bourn_function_throttles_total", &label())),
            cold_starts: Tally::new(counter!("bourn_function_cold_starts_total", &label())),
            duration: histogram!("bourn_function_seconds", &label()),
            init: histogram!("bourn_function_init_seconds", &label()),
            billed: counter!("bourn_function_billed_milliseconds_total", &label()),
            gb_seconds: gauge!("bourn_function_gb_seconds", &label()),
            processes: gauge!("bourn_function_processes", &label()),
            inflight: gauge!("bourn_function_inflight", &label()),
            pending: gauge!("bourn_function_pending", &label()),
            mean_us: AtomicU64::new(0),
        }
    }

    pub fn count(&self, row: &InvocationRow) {
        self.invocations.add();
        if row.error.is_some() {
            self.errors.add();
        }
        self.duration.record(row.duration_us as f64 / 1e6);
        if let Some(init) = row.init_us {
            self.cold_starts.add();
            self.init.record(init as f64 / 1e6);
        }
        self.billed.increment(row.billed_ms);
        self.gb_seconds.increment(row.gb_seconds);
        let mean = self.mean_us.load(Ordering::Relaxed);
        let next = if mean == 0 { row.duration_us } else { (mean * 7 + row.duration_us) / 8 };
        self.mean_us.store(next, Ordering::Relaxed);
    }

    /// When a call that was throttled may find a process free.
    pub fn retry_after(&self) -> Duration {
        let mean = Duration::from_micros(self.mean_us.load(Ordering::Relaxed));
        mean.clamp(Duration::from_millis(10), Duration::from_secs(5))
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("bourn_function_invocations_total", "Invocations that a process got");
    describe_counter!("bourn_function_errors_total", "Invocations that ended in an error");
    describe_counter!("bourn_function_throttles_total", "Invocations refused because of the concurrency");
    describe_counter!(
        "bourn_function_cold_starts_total",
        "Invocations that waited for their process to start"
    );
    describe_histogram!("bourn_function_seconds", "Time from event to answer");
    describe_histogram!("bourn_function_init_seconds", "Time from start to the first request for an event");
    describe_counter!("bourn_function_billed_milliseconds_total", "Duration and initialisation, rounded up");
    describe_gauge!("bourn_function_gb_seconds", "Billed time × memory, since the start");
    describe_gauge!("bourn_function_processes", "Processes that are not ending");
    describe_gauge!("bourn_function_inflight", "Invocations that wait or run");
    describe_gauge!("bourn_function_pending", "Asynchronous invocations that are not settled");
    describe_counter!("bourn_function_dead_letters_total", "Asynchronous invocations that were given up");
}
