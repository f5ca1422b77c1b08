//! Activities and task tokens.

use super::input::{Input, NAME_CHARS_MAX};
use super::output::{empty, page, time};
use crate::error::AwsError;
use crate::seam::StepFunctions;
use bourn_workflow::Activity;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const TOKEN_CHARS_MAX: usize = 2_048;
const ERROR_CHARS_MAX: usize = 256;
const CAUSE_CHARS_MAX: usize = 32_768;
/// How long GetActivityTask waits for a task.
const POLL_MAX: Duration = Duration::from_secs(60);

pub(super) async fn send_success(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let token = input.required("taskToken", TOKEN_CHARS_MAX);
    let output = input.required_free("output");
    input.finish()?;
    flows.send_task_success(&token, &output).await?;
    Ok(empty())
}

pub(super) async fn send_failure(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let token = input.required("taskToken", TOKEN_CHARS_MAX);
    let error = input.text("error", 0, ERROR_CHARS_MAX);
    let cause = input.text("cause", 0, CAUSE_CHARS_MAX);
    input.finish()?;
    flows.send_task_failure(&token, error, cause).await?;
    Ok(empty())
}

pub(super) async fn send_heartbeat(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let token = input.required("taskToken", TOKEN_CHARS_MAX);
    input.finish()?;
    flows.send_task_heartbeat(&token).await?;
    Ok(empty())
}

pub(super) async fn create(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let (name, tags) = (input.required("name", NAME_CHARS_MAX), input.tags(false));
    input.finish()?;
    let activity = flows.create_activity(&name, tags).await?;
    Ok(json!({"activityArn": activity.arn, "creationDate": time(activity.created_at)}))
}

pub(super) async fn describe(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let arn = input.arn("activityArn");
    input.finish()?;
    Ok(told(flows.describe_activity(&arn).await?))
}

pub(super) async fn list(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let paging = input.paging("activities");
    input.finish()?;
    Ok(page("activities", flows.list_activities(paging).await?, told))
}

fn told(activity: Activity) -> Value {
    json!({
        "activityArn": activity.arn,
        "name": activity.name,
        "creationDate": time(activity.created_at),
    })
}

pub(super) async fn delete(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let arn = input.arn("activityArn");
    input.finish()?;
    flows.delete_activity(&arn).await?;
    Ok(empty())
}

pub(super) async fn get_task(
    flows: &dyn StepFunctions,
    drain: &CancellationToken,
    mut input: Input,
) -> Result<Value, AwsError> {
    let (arn, worker) = (input.arn("activityArn"), input.text("workerName", 1, NAME_CHARS_MAX));
    input.finish()?;
    let task = tokio::select! {
        biased;
        task = flows.get_activity_task(&arn, worker, POLL_MAX) => task?,
        () = drain.cancelled() => None,
    };
    // As AWS answers that there is nothing to do.
    let nothing = || json!({"taskToken": null});
    Ok(task.map_or_else(nothing, |task| json!({"taskToken": task.token, "input": task.input})))
}
