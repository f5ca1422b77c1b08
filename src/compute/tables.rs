//! `system.*` of what stands beside the route: runs, schedules, functions, invocations, executions, and their logs.

use super::Compute;
use super::calls::{item_json, run_json};
use super::express::LoggedEvent;
use crate::catalog::{number, register_rows, text, time};
use arrow::datatypes::{DataType, Field};
use bourn_functions::{InvocationRow, LogRow};
use bourn_schedule::ScheduleRow;
use bourn_sql::Engine;
use bourn_workflow::{ListExecutions, Paging};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::{Arc, Weak};

/// Executions shown of each workflow, the latest.
pub const EXECUTIONS_SHOWN: usize = 1000;

/// The tables, by name.
const TABLES: [&str; 7] =
    ["runs", "schedules", "functions", "invocations", "function_logs", "executions", "execution_logs"];

/// Whoever has their rows: a running pipeline, or the files of one that does not run.
pub trait Rows: Send + Sync {
    /// The rows of a table, as JSON objects. Called on a blocking thread of the runtime.
    fn rows(&self, table: &str) -> Result<Vec<Value>, String>;
}

/// Registers the tables; their rows are asked for on every query.
pub fn register(engine: &Arc<Engine>, rows: impl Rows + Clone + 'static) {
    for table in TABLES {
        let rows = rows.clone();
        register_rows(engine, table, columns(table), move || rows.rows(table));
    }
}

fn columns(table: &str) -> Vec<Field> {
    let (texts, times, numbers): (&[&str], &[&str], &[&str]) = match table {
        "runs" => (
            &["id", "kind", "name", "stream", "cause", "status", "error", "execution"],
            &["scheduled_at", "started_at", "ended_at"],
            &["took_ms", "rows"],
        ),
        "schedules" => {
            (&["name", "when", "timezone", "kind", "target", "last_status", "status"], &["next", "last"], &[])
        }
        "functions" => (
            &["name", "runtime"],
            &[],
            &[
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
            ],
        ),
        "invocations" => (
            &["request_id", "function", "error"],
            &["started_at"],
            &[
                "duration_us",
                "billed_ms",
                "memory_bytes",
                "memory_peak_bytes",
                "init_us",
                "attempt",
                "process",
            ],
        ),
        "function_logs" => (&["function", "request_id", "line"], &["at"], &["process"]),
        "executions" => (&["name", "arn", "workflow", "status"], &["started_at", "ended_at"], &["redrives"]),
        _ => (&["workflow", "execution", "type", "details"], &["at"], &["event", "previous"]),
    };
    let mut columns: Vec<Field> = texts.iter().copied().map(text).collect();
    columns.extend(times.iter().copied().map(time));
    columns.extend(numbers.iter().copied().map(number));
    if table == "invocations" {
        columns.push(Field::new("gb_seconds", DataType::Float64, true));
    }
    columns
}

/// A running pipeline. The engine lives in what it asks.
#[derive(Clone)]
pub struct Running(pub Weak<Compute>);

impl Rows for Running {
    fn rows(&self, table: &str) -> Result<Vec<Value>, String> {
        let Some(compute) = self.0.upgrade() else { return Ok(Vec::new()) };
        match table {
            "runs" => Ok(compute.runs.list().iter().map(run_json).collect()),
            "schedules" => schedules(&compute.scheduler.schedules()),
            "functions" => rows(compute.host.functions()),
            "invocations" => invocations(compute.host.invocations().iter().map(|row| &**row)),
            "function_logs" => function_logs(compute.host.logs(None).iter().map(|row| &**row)),
            "executions" => executions(&compute),
            _ => Ok(execution_logs(compute.express.events().iter().map(|event| &**event))),
        }
    }
}

pub fn rows<T: Serialize>(of: impl IntoIterator<Item = T>) -> Result<Vec<Value>, String> {
    of.into_iter().map(|row| serde_json::to_value(row).map_err(|error| error.to_string())).collect()
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

pub fn schedules(of: &[ScheduleRow]) -> Result<Vec<Value>, String> {
    Ok(rows(of)?.into_iter().map(|row| timed(row, &["next", "last"])).collect())
}

pub fn invocations<'a>(of: impl Iterator<Item = &'a InvocationRow>) -> Result<Vec<Value>, String> {
    Ok(rows(of)?.into_iter().map(|row| timed(row, &["started_at"])).collect())
}

pub fn function_logs<'a>(of: impl Iterator<Item = &'a LogRow>) -> Result<Vec<Value>, String> {
    Ok(rows(of)?.into_iter().map(|row| timed(row, &["at"])).collect())
}

pub fn execution_logs<'a>(of: impl Iterator<Item = &'a LoggedEvent>) -> Vec<Value> {
    let row = |event: &LoggedEvent| {
        json!({
            "at": crate::time::format(event.at),
            "workflow": event.workflow,
            "execution": event.execution,
            "event": event.id,
            "previous": event.previous_id,
            "type": event.kind,
            "details": event.details.as_ref().map(|(_, details)| details.to_string()),
        })
    };
    of.map(row).collect()
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
