//! The verbs of what stands beside the route, carried out in the process that runs the pipeline.

use super::Compute;
use super::starter::refused;
use crate::admin::Report;
use crate::time;
use anyhow::{Result, anyhow, bail};
use bourn_config::{Schedule, Target};
use bourn_event::{Functions, Invocation, Micros, Run};
use bourn_schedule::{BackfillPlan, Backfills, When, parse_time, rfc3339, zone};
use bourn_workflow::{
    ErrorKind, ExecutionDescription, ExecutionItem, ExecutionStatus, GetHistory, HistoryEvent,
    ListExecutions, Paging, StartExecution, StopExecution,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a wait for an execution lasts before it is renewed.
const WAIT: Duration = Duration::from_secs(60);
/// Events of a history in one page.
const PAGE: u32 = 1000;

/// A verb and its arguments.
#[derive(Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Call {
    Functions,
    FunctionInvoke(FunctionInvoke),
    FunctionLogs(FunctionLogs),
    Workflows,
    WorkflowExecutions(WorkflowExecutions),
    WorkflowStart(WorkflowStart),
    WorkflowShow(WhichExecution),
    WorkflowHistory(WorkflowHistory),
    WorkflowStop(WorkflowStop),
    WorkflowRedrive(WhichExecution),
    WorkflowApprove(Answer),
    WorkflowRefuse(Answer),
    Runs(WhichRuns),
    Backfill(Backfill),
}

#[derive(Deserialize)]
pub struct FunctionInvoke {
    function: String,
    payload: String,
    #[serde(default)]
    log: bool,
    #[serde(default)]
    later: bool,
}

#[derive(Deserialize)]
pub struct FunctionLogs {
    #[serde(default)]
    function: Option<String>,
    limit: usize,
}

#[derive(Deserialize)]
pub struct WorkflowExecutions {
    workflow: String,
    #[serde(default)]
    status: Option<String>,
    limit: u32,
}

#[derive(Deserialize)]
pub struct WorkflowStart {
    workflow: String,
    input: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    wait: bool,
}

#[derive(Deserialize)]
pub struct WhichExecution {
    execution: String,
}

#[derive(Deserialize)]
pub struct WorkflowHistory {
    execution: String,
    #[serde(default)]
    reverse: bool,
}

#[derive(Deserialize)]
pub struct WorkflowStop {
    execution: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    cause: Option<String>,
}

#[derive(Deserialize)]
pub struct Answer {
    #[serde(default)]
    execution: Option<String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    cause: Option<String>,
}

#[derive(Deserialize)]
pub struct WhichRuns {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    status: Option<String>,
    limit: usize,
}

#[derive(Deserialize)]
pub struct Backfill {
    workflow: String,
    from: String,
    to: String,
    #[serde(default)]
    schedule: Option<String>,
    #[serde(default)]
    every: Option<String>,
    concurrency: usize,
    #[serde(default)]
    dry_run: bool,
}

pub async fn carry_out(compute: &Arc<Compute>, call: Call, report: Report) -> Result<Value> {
    match call {
        Call::Functions => Ok(serde_json::to_value(compute.host.functions())?),
        Call::FunctionInvoke(call) => invoke(compute, call).await,
        Call::FunctionLogs(call) => logs(compute, &call),
        Call::Workflows => workflows(compute).await,
        Call::WorkflowExecutions(call) => executions(compute, call).await,
        Call::WorkflowStart(call) => start(compute, call).await,
        Call::WorkflowShow(call) => show(compute, &call.execution).await,
        Call::WorkflowHistory(call) => {
            let arn = compute.execution_arn(&call.execution).await?;
            Ok(json!(history(compute, &arn, call.reverse).await?))
        }
        Call::WorkflowStop(call) => {
            let execution_arn = compute.execution_arn(&call.execution).await?;
            let request = StopExecution { execution_arn, error: call.error, cause: call.cause };
            let ended_at = compute.workflows.stop(request).await.map_err(|error| refused(&error))?;
            Ok(json!({"ended_at": time::format(ended_at)}))
        }
        Call::WorkflowRedrive(call) => {
            let arn = compute.execution_arn(&call.execution).await?;
            let at = compute.workflows.redrive(&arn).await.map_err(|error| refused(&error))?;
            Ok(json!({"redriven_at": time::format(at)}))
        }
        Call::WorkflowApprove(call) => approve(compute, call).await,
        Call::WorkflowRefuse(call) => refuse(compute, call).await,
        Call::Runs(call) => Ok(runs(compute, &call)),
        Call::Backfill(call) => backfill(compute, call, report).await,
    }
}

async fn invoke(compute: &Compute, call: FunctionInvoke) -> Result<Value> {
    let invocation = Invocation {
        function: call.function,
        payload: call.payload.into(),
        wants_log: call.log,
        ..Invocation::default()
    };
    if call.later {
        let request_id = compute.host.invoke_later(invocation).await?;
        return Ok(json!({"request_id": request_id}));
    }
    let answer = compute.host.invoke(invocation).await?;
    Ok(json!({
        "request_id": answer.request_id,
        "payload": String::from_utf8_lossy(&answer.payload),
        "error": answer.error.map(|error| format!("{error:?}")),
        "log": call.log.then(|| String::from_utf8_lossy(&answer.log_tail).into_owned()),
    }))
}

fn logs(compute: &Compute, call: &FunctionLogs) -> Result<Value> {
    let names = compute.host.names();
    if let Some(name) = call.function.as_ref().filter(|name| !names.contains(name)) {
        bail!("there is no function `{name}`; there are: {}", names.join(", "));
    }
    let rows = compute.host.logs(call.function.as_deref());
    let newest = rows.iter().skip(rows.len().saturating_sub(call.limit));
    let line = |row: &Arc<bourn_functions::LogRow>| {
        json!({"at": time::format(row.at), "function": row.function, "request_id": row.request_id,
            "line": row.line})
    };
    Ok(newest.map(line).collect())
}

async fn workflows(compute: &Compute) -> Result<Value> {
    let mut rows = Vec::new();
    for item in compute.machines().await? {
        let list = |status, max_results| ListExecutions {
            machine_arn: Some(item.arn.clone()),
            status,
            page: Paging { max_results, next_token: None },
            ..ListExecutions::default()
        };
        let standard = item.machine_type == bourn_workflow::MachineType::Standard;
        let (mut running, mut latest) = (0, None);
        if standard {
            let page = compute.workflows.list(list(Some(ExecutionStatus::Running), PAGE)).await;
            running = page.map_err(|error| refused(&error))?.items.len();
            let page = compute.workflows.list(list(None, 1)).await.map_err(|error| refused(&error))?;
            latest = page.items.into_iter().next();
        }
        rows.push(json!({
            "name": item.name,
            "arn": item.arn,
            "type": item.machine_type.as_str(),
            "running": running,
            "last": latest.as_ref().map(|latest| time::format(latest.started_at)),
            "status": latest.as_ref().map(|latest| latest.status.as_str()),
        }));
    }
    Ok(Value::Array(rows))
}

async fn executions(compute: &Compute, call: WorkflowExecutions) -> Result<Value> {
    let status = match &call.status {
        None => None,
        Some(text) => match ExecutionStatus::parse(&text.to_uppercase()) {
            Some(status) => Some(status),
            None => bail!("`{text}` is not a status: running, succeeded, failed, timed_out or aborted"),
        },
    };
    let request = ListExecutions {
        machine_arn: Some(compute.machine_arn(&call.workflow).await?),
        status,
        page: Paging { max_results: call.limit.min(PAGE), next_token: None },
        ..ListExecutions::default()
    };
    let page = compute.workflows.list(request).await.map_err(|error| refused(&error))?;
    Ok(page.items.iter().map(item_json).collect())
}

/// An execution as lists and `system.executions` show it.
pub fn item_json(item: &ExecutionItem) -> Value {
    json!({
        "name": item.name,
        "arn": item.arn,
        "workflow": item.machine_arn.rsplit(':').next(),
        "status": item.status.as_str(),
        "started_at": time::format(item.started_at),
        "ended_at": item.ended_at.map(time::format),
        "redrives": item.redrive_count,
    })
}

fn execution_json(execution: &ExecutionDescription) -> Value {
    json!({
        "name": execution.name,
        "arn": execution.arn,
        "status": execution.status.as_str(),
        "started_at": time::format(execution.started_at),
        "ended_at": execution.ended_at.map(time::format),
        "input": execution.input,
        "output": execution.output,
        "error": execution.error,
        "cause": execution.cause,
        "events": execution.events,
        "redrives": execution.redrive_count,
    })
}

async fn start(compute: &Compute, call: WorkflowStart) -> Result<Value> {
    serde_json::from_str::<Value>(&call.input).map_err(|error| anyhow!("the input is not JSON: {error}"))?;
    let machine_arn = compute.machine_arn(&call.workflow).await?;
    let request = StartExecution { machine_arn, name: call.name, input: Some(call.input), trace: None };
    if compute.is_express(&call.workflow).await? {
        let done = compute.workflows.start_sync(request).await.map_err(|error| refused(&error))?;
        return Ok(json!({
            "name": done.name, "arn": done.arn, "status": done.status.as_str(), "output": done.output,
            "error": done.error, "cause": done.cause, "started_at": time::format(done.started_at),
            "ended_at": time::format(done.ended_at),
        }));
    }
    let arn = begin(compute, request).await?;
    let mut described = compute.workflows.describe(&arn).await.map_err(|error| refused(&error))?;
    while call.wait && described.status == ExecutionStatus::Running {
        described = compute.workflows.wait(&arn, WAIT).await.map_err(|error| refused(&error))?;
    }
    Ok(execution_json(&described))
}

/// Begins an execution. One of the same name and input that has ended already is the one that is meant.
async fn begin(compute: &Compute, request: StartExecution) -> Result<String> {
    let error = match compute.workflows.start(request.clone()).await {
        Ok(started) => return Ok(started.arn),
        Err(error) => error,
    };
    if let (ErrorKind::ExecutionAlreadyExists, Some(name)) = (error.kind(), &request.name) {
        let arn = format!("{}:{name}", request.machine_arn.replace(":stateMachine:", ":execution:"));
        let earlier = compute.workflows.describe(&arn).await.map_err(|error| refused(&error))?;
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        if value(&earlier.input) == request.input.as_deref().and_then(value) {
            return Ok(arn);
        }
    }
    Err(refused(&error))
}

async fn show(compute: &Compute, execution: &str) -> Result<Value> {
    let arn = compute.execution_arn(execution).await?;
    let described = compute.workflows.describe(&arn).await.map_err(|error| refused(&error))?;
    let waiting = compute.workflows.waiting(&arn).await.map_err(|error| refused(&error))?;
    let waiting = waiting.iter().map(|task| json!({"state": task.state, "token": task.token}));
    Ok(json!({
        "execution": execution_json(&described),
        "events": history(compute, &arn, false).await?,
        "waiting": waiting.collect::<Vec<_>>(),
    }))
}

/// Every event, in the API's words.
async fn history(compute: &Compute, arn: &str, reverse: bool) -> Result<Vec<Value>> {
    if arn.contains(":express:") {
        return logged(compute, arn, reverse);
    }
    let mut events = Vec::new();
    let mut request = GetHistory { reverse, ..GetHistory::of(arn) };
    loop {
        let page = compute.workflows.history(request.clone()).await.map_err(|error| refused(&error))?;
        events.extend(page.items.into_iter().map(HistoryEvent::into_api));
        match page.next_token {
            Some(token) => request.page.next_token = Some(token),
            None => return Ok(events),
        }
    }
}

/// What is logged of an Express execution.
fn logged(compute: &Compute, arn: &str, reverse: bool) -> Result<Vec<Value>> {
    let mut events: Vec<Value> = compute.express.of(arn).iter().map(|event| event.to_api()).collect();
    if events.is_empty() {
        bail!(
            "nothing is logged of {arn}: how much is says `log:` of its workflow, and old events are not kept"
        );
    }
    if reverse {
        events.reverse();
    }
    Ok(events)
}

/// The token that is meant: the one given, or the only one that the execution waits with.
async fn token_of(compute: &Compute, call: &Answer) -> Result<String> {
    if let Some(token) = &call.token {
        return Ok(token.clone());
    }
    let Some(execution) = &call.execution else { bail!("name an execution or a --token") };
    let arn = compute.execution_arn(execution).await?;
    let waiting = compute.workflows.waiting(&arn).await.map_err(|error| refused(&error))?;
    match waiting.as_slice() {
        [task] => Ok(task.token.clone()),
        [] => bail!("no task of {execution} waits for an answer"),
        several => {
            let states: Vec<_> = several.iter().map(|task| task.state.as_str()).collect();
            bail!("several tasks wait ({}): name one by its --token", states.join(", "))
        }
    }
}

async fn approve(compute: &Compute, call: Answer) -> Result<Value> {
    let token = token_of(compute, &call).await?;
    let output = call.output.as_deref().unwrap_or("{}");
    compute.workflows.send_task_success(&token, output).await.map_err(|error| refused(&error))?;
    Ok(json!({}))
}

async fn refuse(compute: &Compute, call: Answer) -> Result<Value> {
    let token = token_of(compute, &call).await?;
    let done = compute.workflows.send_task_failure(&token, call.error, call.cause).await;
    done.map_err(|error| refused(&error))?;
    Ok(json!({}))
}

fn runs(compute: &Compute, call: &WhichRuns) -> Value {
    let rows = compute.runs.list().into_iter().map(|run| run_json(&run));
    let wanted = rows.filter(|row| {
        call.name.as_ref().is_none_or(|name| row["name"] == **name)
            && call.status.as_ref().is_none_or(|status| row["status"] == **status)
    });
    wanted.take(call.limit).collect()
}

/// A run as lists and `system.runs` show it.
pub fn run_json(run: &Run) -> Value {
    json!({
        "id": run.id,
        "kind": run.kind,
        "name": run.name,
        "stream": run.stream,
        "cause": run.cause,
        "scheduled_at": run.scheduled_at.map(time::format),
        "started_at": time::format(run.started_at),
        "ended_at": run.ended_at.map(time::format),
        "took_ms": run.ended_at.map(|ended| (ended - run.started_at).max(0) / 1000),
        "status": run.status,
        "rows": run.rows,
        "error": run.error,
        "execution": run.execution,
    })
}

async fn backfill(compute: &Arc<Compute>, call: Backfill, report: Report) -> Result<Value> {
    compute.machine_arn(&call.workflow).await?;
    let plan = plan(compute, &call)?;
    if call.dry_run {
        let times: Vec<String> = plan.times().map(rfc3339).collect();
        return Ok(json!({"times": times}));
    }
    let backfills = Backfills::new(compute.runs.clone(), compute.clock.clone(), compute.starter.clone());
    // What the caller does not wait for any more goes on by itself; the same call goes on with it.
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let begun_before = compute.runs.list().iter().filter(|run| run.cause == cause(&plan)).count();
    let done = backfills.run(&plan, &stop, |at| report(at.succeeded + at.failed, at.total)).await?;
    let failed =
        compute.runs.list().into_iter().filter(|run| run.cause == cause(&plan) && run.error.is_some());
    let failures: Vec<Value> = failed
        .map(|run| json!({"scheduled_at": run.scheduled_at.map(rfc3339), "error": run.error}))
        .collect();
    Ok(json!({"total": done.total, "succeeded": done.succeeded, "failed": done.failed,
        "repeated": begun_before, "failures": failures}))
}

fn cause(plan: &BackfillPlan) -> String {
    format!("backfill:{}", plan.name)
}

fn plan(compute: &Compute, call: &Backfill) -> Result<BackfillPlan> {
    let target = Target::Workflow(call.workflow.clone());
    let schedule = match (&call.every, &call.schedule) {
        (Some(every), _) => serde_json::from_value(json!({"when": every, "run": target}))?,
        (None, Some(name)) => {
            let schedule = compute.schedules.get(name);
            schedule.cloned().ok_or_else(|| anyhow!("there is no schedule `{name}`"))?
        }
        (None, None) => {
            let own: Vec<_> = compute.schedules.values().filter(|schedule| schedule.run == target).collect();
            match own.as_slice() {
                [schedule] => Schedule::clone(schedule),
                [] => bail!("no schedule begins {}: say when with --every", call.workflow),
                _ => bail!("several schedules begin {}: name one with --schedule", call.workflow),
            }
        }
    };
    // The times of a backfill may lie outside the schedule's own window.
    let schedule = Schedule { from: None, until: None, ..schedule };
    let zone = zone(&schedule.timezone).map_err(|error| anyhow!("{error}"))?;
    let moment =
        |text: &str| -> Result<Micros> { parse_time(text, zone).map_err(|error| anyhow!("{error}")) };
    let (from, to) = (moment(&call.from)?, moment(&call.to)?);
    let when = When::compile(&schedule).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow!("{}", faults.join("; "))
    })?;
    Ok(BackfillPlan {
        name: BackfillPlan::default_name(&target, from, to),
        target,
        when,
        anchor: from,
        from,
        to,
        concurrency: call.concurrency.max(1),
        input: None,
    })
}
