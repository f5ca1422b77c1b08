//! `bourn bench workflows`: executions a minute, and what waiting ones cost.

use super::pipeline::prepare_echo;
use crate::compute::Compute;
use crate::definition::Definition;
use crate::pipeline::Pipeline;
use anyhow::{Context, Result, anyhow};
use bourn_workflow::bench::{Load, Measured, measure};
use bourn_workflow::{ExecutionStatus, StartExecution, WorkflowError};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Executions begun at once.
const AT_ONCE: usize = 32;
/// An execution that takes longer stops the bench.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct WorkflowFigures {
    pub standard_per_minute: f64,
    pub standard_ms_p50: f64,
    pub standard_ms_p99: f64,
    pub express_per_second: f64,
    pub map_items: usize,
    pub map_seconds: f64,
    pub waiting: usize,
    /// More memory with that many executions waiting on a timer.
    pub waiting_bytes: u64,
}

/// How much of each.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    pub standard: usize,
    pub express: usize,
    pub map_items: usize,
    pub waiting: usize,
}

/// Runs all of it in `dir`, in this process.
pub async fn workflows(dir: &Path, amounts: Amounts) -> Result<WorkflowFigures> {
    write_machines(dir)?;
    prepare_echo(dir, 1)?;
    let definition = Definition::load(dir, None).map_err(|faults| anyhow!("{faults}"))?;
    let pipeline = Pipeline::open(definition).await.map_err(|stop| anyhow!("{stop:?}"))?;
    let compute = pipeline.compute().await?.clone();
    // Warm: the measured executions find their function's processes running.
    run_all(&compute, "standard", AT_ONCE * 2, false).await?;
    let standard = run_all(&compute, "standard", amounts.standard, false).await?;
    let express = run_all(&compute, "express", amounts.express, true).await?;
    let map = map(&compute, amounts.map_items).await?;
    let before = resident_bytes()?;
    start_all(&compute, "wait", amounts.waiting).await?;
    let waiting_bytes = resident_bytes()?.saturating_sub(before);
    let figures = WorkflowFigures {
        standard_per_minute: standard.per_second() * 60.0,
        standard_ms_p50: standard.p50_ms,
        standard_ms_p99: standard.p99_ms,
        express_per_second: express.per_second(),
        map_items: amounts.map_items,
        map_seconds: map.as_secs_f64(),
        waiting: amounts.waiting,
        waiting_bytes,
    };
    pipeline.close().await?;
    Ok(figures)
}

fn write_machines(dir: &Path) -> Result<()> {
    let pass = |next: &str| json!({"Type": "Pass", "Next": next});
    let task = |next: Option<&str>| {
        let mut task = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "echo0", "Payload.$": "$"}, "OutputPath": "$.Payload"});
        match next {
            Some(next) => task["Next"] = json!(next),
            None => task["End"] = json!(true),
        }
        task
    };
    let machines = [
        (
            "standard",
            json!({"StartAt": "A", "States": {
            "A": pass("B"), "B": task(Some("C")), "C": pass("D"), "D": task(None)}}),
        ),
        (
            "express",
            json!({"StartAt": "A", "States": {
            "A": pass("B"), "B": pass("C"), "C": pass("D"), "D": {"Type": "Succeed"}}}),
        ),
        (
            "map",
            json!({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.items", "End": true,
            "ResultPath": null, "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "P",
            "States": {"P": {"Type": "Pass", "End": true}}}}}}),
        ),
        ("wait", json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 86400, "End": true}}})),
    ];
    std::fs::create_dir_all(dir.join("workflows"))?;
    for (name, machine) in machines {
        std::fs::write(dir.join(format!("workflows/{name}.asl.json")), machine.to_string())?;
    }
    Ok(())
}

fn request(compute: &Compute, workflow: &str, input: &Value) -> StartExecution {
    StartExecution {
        machine_arn: compute.workflows.machine_arn(workflow),
        name: None,
        input: Some(input.to_string()),
        trace: None,
    }
}

fn failed(error: &WorkflowError) -> anyhow::Error {
    anyhow!("{error}")
}

/// Runs `count` executions, [`AT_ONCE`] at a time; all must succeed.
async fn run_all(compute: &Compute, workflow: &str, count: usize, express: bool) -> Result<Measured> {
    let load = Load {
        machine_arn: compute.workflows.machine_arn(workflow),
        input: json!({"n": 1}).to_string(),
        count,
        concurrency: AT_ONCE,
        express,
    };
    let measured = measure(&compute.workflows, &load).await.map_err(|error| failed(&error))?;
    anyhow::ensure!(measured.failed == 0, "{} of {count} executions of {workflow} failed", measured.failed);
    Ok(measured)
}

async fn start_all(compute: &Arc<Compute>, workflow: &'static str, count: usize) -> Result<()> {
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..AT_ONCE {
        let compute = compute.clone();
        workers.spawn(async move {
            for _ in (worker..count).step_by(AT_ONCE) {
                let started = compute.workflows.start(request(&compute, workflow, &json!({}))).await;
                started.map_err(|error| failed(&error))?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.context("a worker panicked")??;
    }
    Ok(())
}

async fn map(compute: &Arc<Compute>, items: usize) -> Result<Duration> {
    let input = json!({"items": (0..items).collect::<Vec<_>>()});
    let begun = Instant::now();
    let started = compute.workflows.start(request(compute, "map", &input)).await;
    let started = started.map_err(|error| failed(&error))?;
    let ended = compute.workflows.wait(&started.arn, WAIT_MAX).await.map_err(|error| failed(&error))?;
    anyhow::ensure!(ended.status == ExecutionStatus::Succeeded, "the Map ended as {ended:?}");
    Ok(begun.elapsed())
}

/// Resident memory of this process, in bytes.
fn resident_bytes() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("no resident size")?.parse()?;
    // SAFETY: sysconf only reads a constant of the system.
    Ok(pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as u64)
}
