//! Invoke: one call of a function, waited for, queued, or only tried.

use super::name::FunctionName;
use super::{EVENT_BYTES_MAX, not_found};
use crate::error::{AwsError, REQUEST_ID};
use crate::router::Shared;
use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bourn_event::{FunctionError, Invocation, InvokeError, Invoked};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;

/// `X-Amz-Client-Context`, before it is decoded.
const CLIENT_CONTEXT_BYTES_MAX: usize = 3_583;
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");
const TRACE: &str = "x-amzn-trace-id";

enum InvocationType {
    RequestResponse,
    Event,
    DryRun,
}

pub(super) async fn answer(
    shared: &Shared,
    name: &FunctionName,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, AwsError> {
    let kind = invocation_type(headers)?;
    if !name.is_latest || !shared.functions.names().contains(&name.name) {
        return Err(not_found(name));
    }
    let call = invocation(name, headers, &kind, body)?;
    match kind {
        InvocationType::DryRun => Ok(respond(StatusCode::NO_CONTENT, Bytes::new())),
        InvocationType::Event => {
            let id = shared.functions.invoke_later(call).await.map_err(|error| refuse(name, error))?;
            let mut response = respond(StatusCode::ACCEPTED, Bytes::new());
            insert(&mut response, REQUEST_ID, &id);
            Ok(response)
        }
        InvocationType::RequestResponse => {
            let wants_log = call.wants_log;
            let trace = call.trace.clone();
            let invoked = shared.functions.invoke(call).await.map_err(|error| refuse(name, error))?;
            Ok(invoked_response(invoked, wants_log, trace))
        }
    }
}

fn invocation_type(headers: &HeaderMap) -> Result<InvocationType, AwsError> {
    match headers.get("x-amz-invocation-type").map(|value| value.as_bytes()) {
        None | Some(b"RequestResponse") => Ok(InvocationType::RequestResponse),
        Some(b"Event") => Ok(InvocationType::Event),
        Some(b"DryRun") => Ok(InvocationType::DryRun),
        Some(other) => {
            let detail = format!(
                "1 validation error detected: Value '{}' at 'invocationType' failed to satisfy constraint: \
                 Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
                String::from_utf8_lossy(other)
            );
            Err(AwsError::new("ValidationException", detail))
        }
    }
}

fn invocation(
    name: &FunctionName,
    headers: &HeaderMap,
    kind: &InvocationType,
    body: Bytes,
) -> Result<Invocation, AwsError> {
    let is_event = matches!(kind, InvocationType::Event);
    if is_event && body.len() > EVENT_BYTES_MAX {
        return Err(too_large(body.len(), EVENT_BYTES_MAX, "Event"));
    }
    let payload = if body.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { body };
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(&payload) {
        return Err(invalid_content(format!(
            "Could not parse request body into json: Could not parse payload into json: {error}"
        )));
    }
    let log_type = headers.get("x-amz-log-type").map(|value| value.as_bytes());
    Ok(Invocation {
        function: name.name.clone(),
        payload,
        // The context reaches the function of synchronous calls only.
        client_context: if is_event { None } else { client_context(headers)? },
        trace: headers.get(TRACE).and_then(|value| value.to_str().ok()).map(str::to_owned),
        wants_log: !is_event && log_type == Some(b"Tail"),
        request_id: None,
    })
}

fn client_context(headers: &HeaderMap) -> Result<Option<String>, AwsError> {
    let Some(value) = headers.get("x-amz-client-context") else { return Ok(None) };
    if value.len() > CLIENT_CONTEXT_BYTES_MAX {
        let detail = format!("Client context must be no more than {CLIENT_CONTEXT_BYTES_MAX} bytes.");
        return Err(invalid_content(detail));
    }
    let decoded = STANDARD.decode(value.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let json = decoded.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    json.map(Some)
        .ok_or_else(|| invalid_content("Client context must be a valid Base64-encoded JSON object.".into()))
}

fn invalid_content(detail: String) -> AwsError {
    AwsError::new("InvalidRequestContentException", detail)
}

fn too_large(bytes: usize, bytes_max: usize, kind: &str) -> AwsError {
    let detail =
        format!("{bytes} byte payload is too large for the {kind} invocation type (limit {bytes_max} bytes)");
    AwsError::new("RequestTooLargeException", detail).status(StatusCode::PAYLOAD_TOO_LARGE)
}

fn refuse(name: &FunctionName, error: InvokeError) -> AwsError {
    match error {
        InvokeError::NotFound(_) => not_found(name),
        InvokeError::Throttled { retry_after, .. } => {
            AwsError::new("TooManyRequestsException", "Rate Exceeded.")
                .status(StatusCode::TOO_MANY_REQUESTS)
                .field("Reason", "ReservedFunctionConcurrentInvocationLimitExceeded")
                .retry_after(retry_after)
        }
        InvokeError::TooLarge { bytes, bytes_max } => too_large(bytes, bytes_max, "RequestResponse"),
        InvokeError::Invalid(detail) => invalid_content(detail),
        InvokeError::Unavailable { .. } | InvokeError::Closed => {
            AwsError::new("ServiceException", error.to_string()).status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn invoked_response(invoked: Invoked, wants_log: bool, trace: Option<String>) -> Response {
    let mut response = respond(StatusCode::OK, invoked.payload);
    insert(&mut response, REQUEST_ID, &invoked.request_id);
    if let Some(trace) = trace {
        insert(&mut response, HeaderName::from_static(TRACE), &trace);
    }
    if let Some(error) = invoked.error {
        let kind = match error {
            FunctionError::Handled => "Handled",
            FunctionError::Unhandled => "Unhandled",
        };
        insert(&mut response, FUNCTION_ERROR, kind);
    }
    if wants_log {
        insert(&mut response, LOG_RESULT, &STANDARD.encode(&invoked.log_tail));
    }
    response
}

fn respond(status: StatusCode, payload: Bytes) -> Response {
    let mut response = Response::new(Body::from(payload));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(EXECUTED_VERSION, HeaderValue::from_static("$LATEST"));
    response
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
