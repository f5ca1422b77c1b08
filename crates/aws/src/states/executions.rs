//! Operations on executions.

use super::input::{Input, LONG_ARN_CHARS_MAX, NAME_CHARS_MAX};
use super::output::{maybe_time, page, present, time};
use crate::error::AwsError;
use crate::seam::StepFunctions;
use bourn_workflow::{ExecutionStatus, GetHistory, ListExecutions, StartExecution, StopExecution};
use serde_json::{Value, json};

const ERROR_CHARS_MAX: usize = 256;
const CAUSE_CHARS_MAX: usize = 32_768;
const TRACE_CHARS_MAX: usize = 256;
const CLIENT_TOKEN_CHARS_MAX: usize = 64;
/// What an Express execution is charged for at least.
const BILLED_MEMORY_MB: u32 = 64;

fn start_request(input: &mut Input) -> StartExecution {
    StartExecution {
        machine_arn: input.arn("stateMachineArn"),
        name: input.text("name", 1, NAME_CHARS_MAX),
        input: input.free_text("input"),
        trace: input.text("traceHeader", 0, TRACE_CHARS_MAX),
    }
}

pub(super) async fn start(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let request = start_request(&mut input);
    input.finish()?;
    let started = flows.start(request).await?;
    Ok(json!({"executionArn": started.arn, "startDate": time(started.started_at)}))
}

pub(super) async fn start_sync(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let (request, wants_data) = (start_request(&mut input), input.wants_data());
    input.finish()?;
    let ended = flows.start_sync(request).await?;
    let mut answer = json!({
        "executionArn": ended.arn,
        "stateMachineArn": ended.machine_arn,
        "name": ended.name,
        "startDate": time(ended.started_at),
        "stopDate": time(ended.ended_at),
        "status": ended.status.as_str(),
        "error": ended.error,
        "cause": ended.cause,
        "traceHeader": ended.trace,
        "billingDetails": {
            "billedMemoryUsedInMB": BILLED_MEMORY_MB,
            "billedDurationInMilliseconds": ended.billed_ms,
        },
    });
    put_data(&mut answer, wants_data, ended.input, ended.output);
    Ok(present(answer))
}

/// Input and output, and whether they are told.
fn put_data(answer: &mut Value, wants_data: bool, input: String, output: Option<String>) {
    let details = json!({"included": wants_data});
    answer["inputDetails"] = details.clone();
    if output.is_some() {
        answer["outputDetails"] = details;
    }
    if wants_data {
        answer["input"] = input.into();
        answer["output"] = output.into();
    }
}

pub(super) async fn describe(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let (arn, wants_data) = (input.arn("executionArn"), input.wants_data());
    input.finish()?;
    let execution = flows.describe(&arn).await?;
    let mut answer = json!({
        "executionArn": execution.arn,
        "stateMachineArn": execution.machine_arn,
        "name": execution.name,
        "status": execution.status.as_str(),
        "startDate": time(execution.started_at),
        "stopDate": maybe_time(execution.ended_at),
        "error": execution.error,
        "cause": execution.cause,
        "mapRunArn": execution.map_run_arn,
        "traceHeader": execution.trace,
        "redriveCount": execution.redrive_count,
        "redriveDate": maybe_time(execution.redriven_at),
        "redriveStatus": execution.redrive_status,
        "redriveStatusReason": execution.redrive_reason,
    });
    put_data(&mut answer, wants_data, execution.input, execution.output);
    Ok(present(answer))
}

pub(super) async fn history(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let request = GetHistory {
        execution_arn: input.arn("executionArn"),
        reverse: input.flag("reverseOrder").unwrap_or(false),
        include_data: input.flag("includeExecutionData").unwrap_or(true),
        page: input.paging("events"),
    };
    input.finish()?;
    let events = flows.history(request).await?;
    Ok(page("events", events, |event| {
        let at = time(event.at);
        let mut told = event.into_api();
        told["timestamp"] = at;
        told
    }))
}

pub(super) async fn list(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let redriven = |text: &str| match text {
        "REDRIVEN" => Some(true),
        "NOT_REDRIVEN" => Some(false),
        _ => None,
    };
    let statuses = ExecutionStatus::ALL.map(ExecutionStatus::as_str);
    let request = ListExecutions {
        machine_arn: input.text("stateMachineArn", 1, super::input::ARN_CHARS_MAX),
        map_run_arn: input.text("mapRunArn", 1, LONG_ARN_CHARS_MAX),
        status: input.word("statusFilter", &statuses, ExecutionStatus::parse),
        redriven: input.word("redriveFilter", &["REDRIVEN", "NOT_REDRIVEN"], redriven),
        page: input.paging("executions"),
    };
    input.finish()?;
    let executions = flows.list(request).await?;
    Ok(page("executions", executions, |execution| {
        present(json!({
            "executionArn": execution.arn,
            "stateMachineArn": execution.machine_arn,
            "name": execution.name,
            "status": execution.status.as_str(),
            "startDate": time(execution.started_at),
            "stopDate": maybe_time(execution.ended_at),
            "mapRunArn": execution.map_run_arn,
            "itemCount": execution.item_count,
            "redriveCount": execution.redrive_count,
            "redriveDate": maybe_time(execution.redriven_at),
        }))
    }))
}

pub(super) async fn stop(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let request = StopExecution {
        execution_arn: input.arn("executionArn"),
        error: input.text("error", 0, ERROR_CHARS_MAX),
        cause: input.text("cause", 0, CAUSE_CHARS_MAX),
    };
    input.finish()?;
    let stopped_at = flows.stop(request).await?;
    Ok(json!({"stopDate": time(stopped_at)}))
}

pub(super) async fn redrive(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let arn = input.arn("executionArn");
    // A redrive of what runs again is refused, so that the token of a repeated request is not needed.
    input.text("clientToken", 1, CLIENT_TOKEN_CHARS_MAX);
    input.finish()?;
    let redriven_at = flows.redrive(&arn).await?;
    Ok(json!({"redriveDate": time(redriven_at)}))
}
