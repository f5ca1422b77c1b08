//! The process's metrics registry, and what those metrics mean that no single object owns.

use anyhow::{Context, Result};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::OnceLock;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Counters: name, and what it counts.
const COUNTERS: [(&str, &str); 23] = [
    ("bourn_ingest_events_total", "Events that came to a stream"),
    ("bourn_ingest_bytes_total", "Bytes of events that came to a stream"),
    ("bourn_ingest_rejects_total", "Events rejected at the door, by reason"),
    ("bourn_log_bytes_total", "Bytes written to a log"),
    ("bourn_log_frames_total", "Frames written to a log"),
    ("bourn_log_events_total", "Events written to a log"),
    ("bourn_commit_failures_total", "Commits of a table that failed and are tried again"),
    ("bourn_outbound_calls_total", "Calls of an outside API, attempts and all, by outcome"),
    ("bourn_stage_function_calls_total", "Batches that a step of a stream gave to a function, by outcome"),
    ("bourn_stage_cache_total", "Keys that a step looked up in its cache, by what it found"),
    ("bourn_workflow_started_total", "Standard executions that began"),
    ("bourn_workflow_ended_total", "Executions that ended, by workflow and status"),
    ("bourn_workflow_transitions_total", "Steps of Standard executions made durable"),
    ("bourn_workflow_express_started_total", "Express executions that began"),
    ("bourn_workflow_log_skipped_total", "Events of Express executions left out of their log's file"),
    ("bourn_trigger_unread_events_total", "Events of streams that triggers could not read"),
    ("bourn_own_events_dropped_total", "Events of Bourn's own that triggers had no room for"),
    ("bourn_bus_events_total", "Events that workflows put on a bus"),
    ("bourn_bus_unmatched_events_total", "Events on the default bus that no trigger matched: they are gone"),
    ("bourn_run_start_retries_total", "Times that a run could not begin and was tried again"),
    (
        "bourn_runs_ended_total",
        "Runs of schedules, triggers, backfills and jobs that ended, by kind and status",
    ),
    ("bourn_trigger_matches_total", "Events that a trigger matched"),
    ("bourn_function_dead_letters_total", "Asynchronous invocations that were given up"),
];

const GAUGES: [(&str, &str); 7] = [
    ("bourn_queue_lag_bytes", "Bytes of the log that its readers still need"),
    ("bourn_queue_lag_visible_events", "Events of the log that queries do not see yet"),
    ("bourn_queue_lag_committed_events", "Events of the log that are not committed to the table yet"),
    ("bourn_outbound_breaker_state", "Circuit breaker of an outside API: 0 closed, 1 half open, 2 open"),
    ("bourn_stage_waiting", "Does a step wait for what it calls? 1 if so"),
    ("bourn_workflow_open", "Standard executions that have not ended"),
    ("bourn_bus_waiting_events", "Events on buses whose runs have not begun"),
];

const HISTOGRAMS: [(&str, &str); 6] = [
    ("bourn_log_fsync_seconds", "Time of a sync of a log"),
    ("bourn_commit_seconds", "Time of a commit of a table"),
    ("bourn_outbound_seconds", "Time of a call of an outside API, from its first attempt to its end"),
    ("bourn_stage_function_seconds", "Time that a function took for a batch of a stream's step"),
    ("bourn_workflow_commit_seconds", "Time of a commit of workflows"),
    ("bourn_workflow_seconds", "Time of an execution from beginning to end, by workflow"),
];

/// Installs the registry once; later calls give the same one.
pub fn install() -> Result<PrometheusHandle> {
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = bourn_web::install_metrics().context("the metrics registry cannot be installed")?;
    for (name, meaning) in COUNTERS {
        describe_counter!(name, meaning);
    }
    for (name, meaning) in GAUGES {
        describe_gauge!(name, meaning);
    }
    for (name, meaning) in HISTOGRAMS {
        describe_histogram!(name, meaning);
    }
    Ok(HANDLE.get_or_init(|| handle).clone())
}
