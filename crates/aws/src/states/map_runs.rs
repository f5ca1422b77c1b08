//! Operations on runs of distributed Maps.

use super::input::{Input, LONG_ARN_CHARS_MAX};
use super::output::{empty, maybe_time, page, present, time};
use crate::error::AwsError;
use crate::seam::StepFunctions;
use bourn_workflow::{ExecutionStatus, UpdateMapRun};
use serde_json::{Value, json};

const PERCENT_MAX: f64 = 100.0;

pub(super) async fn list(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let (arn, paging) = (input.arn("executionArn"), input.paging("mapRuns"));
    input.finish()?;
    Ok(page("mapRuns", flows.list_map_runs(&arn, paging).await?, |run| {
        present(json!({
            "executionArn": run.execution_arn,
            "mapRunArn": run.arn,
            "stateMachineArn": run.machine_arn,
            "startDate": time(run.started_at),
            "stopDate": maybe_time(run.ended_at),
        }))
    }))
}

pub(super) async fn describe(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let arn = input.required("mapRunArn", LONG_ARN_CHARS_MAX);
    input.finish()?;
    let run = flows.describe_map_run(&arn).await?;
    Ok(present(json!({
        "mapRunArn": run.arn,
        "executionArn": run.execution_arn,
        "status": run.status.as_str(),
        "startDate": time(run.started_at),
        "stopDate": maybe_time(run.ended_at),
        "maxConcurrency": run.max_concurrency,
        "toleratedFailurePercentage": run.tolerated_failure_percentage,
        "toleratedFailureCount": run.tolerated_failure_count,
        "itemCounts": run.items,
        "executionCounts": run.executions,
        "redriveCount": run.redrive_count,
        "redriveDate": maybe_time(run.redriven_at),
    })))
}

pub(super) async fn update(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let concurrency = input.number("maxConcurrency", u64::from(u32::MAX));
    let request = UpdateMapRun {
        arn: input.required("mapRunArn", LONG_ARN_CHARS_MAX),
        max_concurrency: concurrency.and_then(|number| u32::try_from(number).ok()),
        tolerated_failure_percentage: input.fraction("toleratedFailurePercentage", PERCENT_MAX),
        tolerated_failure_count: input.number("toleratedFailureCount", i64::MAX as u64),
    };
    input.finish()?;
    if flows.describe_map_run(&request.arn).await?.status != ExecutionStatus::Running {
        let refused = AwsError::new("ValidationException", "A map run that has ended cannot be changed");
        return Err(refused.field("reason", "CANNOT_UPDATE_COMPLETED_MAP_RUN"));
    }
    flows.update_map_run(request).await?;
    Ok(empty())
}
