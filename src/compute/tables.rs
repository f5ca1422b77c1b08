//! `system.*` of what stands beside the route: runs, schedules, functions, invocations, their logs, and
//! executions.

use super::Compute;
use super::calls::{item_json, run_json};
use crate::catalog::{number, register_rows, text, time};
use arrow::datatypes::{DataType, Field};
use bourn_sql::Engine;
use bourn_workflow::{ListExecutions, Paging};
use serde_json::{Value, json};
use std::sync::Arc;

/// Executions shown of each workflow, the latest.
const EXECUTIONS_SHOWN: usize = 1000;

/// Columns of `system.runs`.
fn runs_columns() -> Vec<Field> {
    let mut columns =
        ["id", "kind", "name", "stream", "cause", "status", "error", "execution"].map(text).to_vec();
    columns.extend(["scheduled_at", "started_at", "ended_at"].map(time));
    columns.extend(["took_ms", "rows"].map(number));
    columns
}

pub fn register(engine: &Arc<Engine>, compute: &Arc<Compute>) {
    let of = |rows: fn(&Compute) -> Result<Vec<Value>, String>| {
        let compute = Arc::downgrade(compute);
        // The engine lives in what it asks.
        move || compute.upgrade().map_or_else(|| Ok(Vec::new()), |compute| rows(&compute))
    };
    let runs = of(|compute| Ok(compute.runs.list().iter().map(run_json).collect()));
    register_rows(engine, "runs", runs_columns(), runs);
    let mut columns =
        ["name", "when", "timezone", "kind", "target", "last_status", "status"].map(text).to_vec();
    columns.extend(["next", "last"].map(time));
    register_rows(engine, "schedules", columns, of(schedules));
    let mut columns = ["name", "runtime"].map(text).to_vec();
    columns.extend(
        [
            "memory_bytes",
            "timeout_ms",
            "concurrency_max",
            "concurrency_reserved",
            "processes",
            "busy",
            "idle",
            "waiting",
            "pending",
            "invocations",
            "errors",
            "throttles",
            "cold_starts",
        ]
        .map(number),
    );
    let functions = of(|compute| rows(&compute.host.functions()));
    register_rows(engine, "functions", columns, functions);
    let mut columns = ["request_id", "function", "error"].map(text).to_vec();
    columns.push(time("started_at"));
    columns.extend(
        ["duration_us", "billed_ms", "memory_bytes", "memory_peak_bytes", "init_us", "attempt", "process"]
            .map(number),
    );
    columns.push(Field::new("gb_seconds", DataType::Float64, true));
    register_rows(engine, "invocations", columns, of(invocations));
    let mut columns = ["function", "request_id", "line"].map(text).to_vec();
    columns.extend([time("at"), number("process")]);
    register_rows(engine, "function_logs", columns, of(function_logs));
    let mut columns = ["name", "arn", "workflow", "status"].map(text).to_vec();
    columns.extend([time("started_at"), time("ended_at"), number("redrives")]);
    register_rows(engine, "executions", columns, of(executions));
}

fn rows<T: serde::Serialize>(of: &[T]) -> Result<Vec<Value>, String> {
    of.iter().map(|row| serde_json::to_value(row).map_err(|error| error.to_string())).collect()
}

/// Replaces microseconds by text that the engine reads as a time.
fn timed(mut row: Value, keys: &[&str]) -> Value {
    for key in keys {
        if let Some(at) = row[*key].as_i64() {
            row[*key] = json!(crate::time::format(at));
        }
    }
    row
}

fn schedules(compute: &Compute) -> Result<Vec<Value>, String> {
    let rows = rows(&compute.scheduler.schedules())?;
    Ok(rows.into_iter().map(|row| timed(row, &["next", "last"])).collect())
}

fn invocations(compute: &Compute) -> Result<Vec<Value>, String> {
    let rows = rows(&compute.host.invocations())?;
    Ok(rows.into_iter().map(|row| timed(row, &["started_at"])).collect())
}

fn function_logs(compute: &Compute) -> Result<Vec<Value>, String> {
    let rows = rows(&compute.host.logs(None))?;
    Ok(rows.into_iter().map(|row| timed(row, &["at"])).collect())
}

/// Called on a blocking thread of the runtime.
fn executions(compute: &Compute) -> Result<Vec<Value>, String> {
    let list = async {
        let mut rows = Vec::new();
        for machine in compute.machines().await.map_err(|error| format!("{error:#}"))? {
            let mut request = ListExecutions { machine_arn: Some(machine.arn), ..ListExecutions::default() };
            let mut left = EXECUTIONS_SHOWN;
            while left > 0 {
                request.page.max_results = left.min(EXECUTIONS_SHOWN) as u32;
                // Express executions are not kept, and not listed.
                let Ok(page) = compute.workflows.list(request.clone()).await else { break };
                left -= page.items.len().min(left);
                rows.extend(page.items.iter().map(item_json));
                match page.next_token {
                    Some(token) => request.page = Paging { next_token: Some(token), ..request.page },
                    None => break,
                }
            }
        }
        Ok(rows)
    };
    tokio::runtime::Handle::current().block_on(list)
}
