//! The Step Functions API, AWS JSON 1.0: `POST /` with `X-Amz-Target: AWSStepFunctions.<Operation>`.

mod activities;
mod executions;
mod input;
mod machines;
mod map_runs;
mod output;
mod tags;
mod test_state;

use crate::error::{AwsError, Protocol};
use crate::request::{self, Api, with_request_id};
use crate::router::Shared;
use axum::body::Body;
use axum::response::Response;
use bourn_workflow::{ErrorKind, WorkflowError};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use input::Input;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const TARGET_PREFIX: &str = "AWSStepFunctions.";
/// A request, as AWS limits it.
const REQUEST_BYTES_MAX: usize = 1 << 20;

const API: Api = Api {
    service: "states",
    protocol: Protocol::Json10,
    body_bytes_max: REQUEST_BYTES_MAX,
    too_large: "RequestEntityTooLargeException",
    denied: StatusCode::BAD_REQUEST,
};

/// Answers one request.
pub(crate) async fn answer(shared: Arc<Shared>, request: Request<Body>) -> Response {
    let answered = match request::admit(API, &shared.verifier, request).await {
        Ok((head, body)) => operate(&shared, &head.headers, &body).await,
        Err(error) => Err(error),
    };
    let response = match answered {
        Ok(output) => {
            let mut response = Response::new(Body::from(output.to_string()));
            response.headers_mut().insert(CONTENT_TYPE, API.protocol.media_type());
            response
        }
        Err(error) => error.into_response(API.protocol),
    };
    with_request_id(response)
}

async fn operate(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Value, AwsError> {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(operation) = target.strip_prefix(TARGET_PREFIX) else {
        let detail = format!("`{target}` is no X-Amz-Target of this endpoint: it offers `{TARGET_PREFIX}*`");
        return Err(AwsError::new("UnknownOperationException", detail));
    };
    let input = Input::parse(body)?;
    let flows = &*shared.workflows;
    match operation {
        "CreateStateMachine" => machines::create(flows, input).await,
        "UpdateStateMachine" => machines::update(flows, input).await,
        "DescribeStateMachine" => machines::describe(flows, input).await,
        "DescribeStateMachineForExecution" => machines::describe_for_execution(flows, input).await,
        "ListStateMachines" => machines::list(flows, input).await,
        "DeleteStateMachine" => machines::delete(flows, input).await,
        "ListStateMachineVersions" => machines::list_versions(flows, input).await,
        "ListStateMachineAliases" => machines::list_aliases(flows, input).await,
        "ValidateStateMachineDefinition" => machines::validate(flows, input),
        "TestState" => test_state::answer(flows, input).await,
        "StartExecution" => executions::start(flows, input).await,
        "StartSyncExecution" => executions::start_sync(flows, input).await,
        "DescribeExecution" => executions::describe(flows, input).await,
        "GetExecutionHistory" => executions::history(flows, input).await,
        "ListExecutions" => executions::list(flows, input).await,
        "StopExecution" => executions::stop(flows, input).await,
        "RedriveExecution" => executions::redrive(flows, input).await,
        "SendTaskSuccess" => activities::send_success(flows, input).await,
        "SendTaskFailure" => activities::send_failure(flows, input).await,
        "SendTaskHeartbeat" => activities::send_heartbeat(flows, input).await,
        "CreateActivity" => activities::create(flows, input).await,
        "DescribeActivity" => activities::describe(flows, input).await,
        "ListActivities" => activities::list(flows, input).await,
        "DeleteActivity" => activities::delete(flows, input).await,
        "GetActivityTask" => activities::get_task(flows, &shared.drain, input).await,
        "ListMapRuns" => map_runs::list(flows, input).await,
        "DescribeMapRun" => map_runs::describe(flows, input).await,
        "UpdateMapRun" => map_runs::update(flows, input).await,
        "TagResource" => tags::tag(flows, input).await,
        "UntagResource" => tags::untag(flows, input).await,
        "ListTagsForResource" => tags::list(flows, input).await,
        other => {
            let detail = format!("Unknown operation: {other}");
            Err(AwsError::new("UnknownOperationException", detail))
        }
    }
}

impl From<WorkflowError> for AwsError {
    fn from(error: WorkflowError) -> Self {
        let refused = Self::new(error.code(), error.message());
        match error.kind() {
            ErrorKind::ServiceUnavailable => {
                refused.status(StatusCode::SERVICE_UNAVAILABLE).retry_after(Duration::from_secs(1))
            }
            ErrorKind::InternalServerError => refused.status(StatusCode::INTERNAL_SERVER_ERROR),
            _ => refused,
        }
    }
}
