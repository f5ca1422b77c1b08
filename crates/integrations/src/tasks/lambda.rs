//! Functions: `lambda:invoke` and functions named as resources.

use super::read::Reader;
use super::resource::{Style, function_name};
use super::service::{Caller, object};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bourn_config::Aws;
use bourn_event::{Functions, Invocation, InvokeError, Invoked, TaskFailure};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// The only version that there is.
const LATEST: &str = "$LATEST";

/// A function named as the resource: the parameters are its payload.
pub(super) async fn call(
    functions: &dyn Functions,
    aws: &Aws,
    caller: Caller<'_>,
    function: &str,
    payload: &Value,
) -> Result<Value, TaskFailure> {
    let call = Invocation { function: function.into(), payload: text(payload), ..Invocation::default() };
    let invoked = functions.invoke(call).await.map_err(|error| refused(caller, aws, function, error))?;
    result(&invoked)
}

/// `lambda:invoke`.
pub(super) async fn invoke(
    functions: &dyn Functions,
    aws: &Aws,
    caller: Caller<'_>,
    parameters: &Value,
) -> Result<Value, TaskFailure> {
    let read = Reader::new(caller, parameters);
    let function = function_name(read.text("FunctionName")?);
    let context = read.maybe_text("ClientContext")?.map(|context| {
        BASE64_STANDARD.decode(context).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(
            || {
                caller.fail(
                    "InvalidRequestContentException",
                    "InvalidRequestContentException",
                    400,
                    "Client context must be a valid Base64-encoded JSON object.",
                )
            },
        )
    });
    let call = Invocation {
        function: function.clone(),
        payload: parameters.get("Payload").map_or_else(|| Bytes::from_static(b"{}"), text),
        client_context: context.transpose()?,
        wants_log: read.maybe_text("LogType")? == Some("Tail"),
        ..Invocation::default()
    };
    let wants_log = call.wants_log;
    match read.maybe_text("InvocationType")?.unwrap_or("RequestResponse") {
        "Event" => {
            functions.invoke_later(call).await.map_err(|error| refused(caller, aws, &function, error))?;
            Ok(caller.answer(object(json!({"StatusCode": 202, "Payload": ""})), "application/json", &[]))
        }
        "DryRun" if functions.names().contains(&function) => {
            Ok(caller.answer(object(json!({"StatusCode": 204, "Payload": ""})), "application/json", &[]))
        }
        "DryRun" => Err(refused(caller, aws, &function, InvokeError::NotFound(function.clone()))),
        "RequestResponse" => {
            let invoked =
                functions.invoke(call).await.map_err(|error| refused(caller, aws, &function, error))?;
            let mut body = Map::new();
            body.insert("ExecutedVersion".into(), LATEST.into());
            if caller.is_sdk() {
                // The SDK gives the payload as it came, and function errors as an answer.
                if let Some(error) = invoked.error {
                    body.insert("FunctionError".into(), format!("{error:?}").into());
                }
                body.insert("Payload".into(), String::from_utf8_lossy(&invoked.payload).into_owned().into());
            } else {
                body.insert("Payload".into(), result(&invoked)?);
            }
            body.insert("StatusCode".into(), 200.into());
            if wants_log {
                body.insert("LogResult".into(), BASE64_STANDARD.encode(&invoked.log_tail).into());
            }
            Ok(caller.answer(body, "application/json", &[("X-Amz-Executed-Version", LATEST)]))
        }
        other => Err(caller.fail(
            "InvalidParameterValueException",
            "InvalidParameterValueException",
            400,
            format!("InvocationType cannot be `{other}`: there is RequestResponse, Event and DryRun"),
        )),
    }
}

/// Of both integrations: Step Functions writes what is to be bytes as JSON, so that a text is a JSON text.
fn text(json: &Value) -> Bytes {
    Bytes::from(json.to_string())
}

/// A function's result, or its error under the error's own name.
fn result(invoked: &Invoked) -> Result<Value, TaskFailure> {
    let payload = || serde_json::from_slice::<Value>(&invoked.payload);
    if invoked.error.is_none() {
        return match payload() {
            Ok(value) => Ok(value),
            Err(_) if invoked.payload.is_empty() => Ok(Value::Null),
            Err(error) => {
                Err(TaskFailure::new("Lambda.Unknown", format!("the function's answer is not JSON: {error}")))
            }
        };
    }
    let name = payload().ok().and_then(|value| {
        value.get("errorType").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_string)
    });
    let cause = String::from_utf8_lossy(&invoked.payload).into_owned();
    Err(TaskFailure::new(name.unwrap_or_else(|| "Lambda.Unknown".into()), cause))
}

fn refused(caller: Caller<'_>, aws: &Aws, function: &str, error: InvokeError) -> TaskFailure {
    let Aws { region, account, .. } = aws;
    let (name, status, message) = match error {
        InvokeError::NotFound(_) => (
            "ResourceNotFoundException",
            404,
            format!("Function not found: arn:aws:lambda:{region}:{account}:function:{function}"),
        ),
        InvokeError::Throttled { .. } => ("TooManyRequestsException", 429, "Rate Exceeded.".into()),
        InvokeError::TooLarge { .. } => ("RequestTooLargeException", 413, error.to_string()),
        InvokeError::Invalid(_) => ("InvalidRequestContentException", 400, error.to_string()),
        InvokeError::Unavailable { .. } | InvokeError::Closed => ("ServiceException", 500, error.to_string()),
    };
    // A function named as the resource fails as the service does.
    let caller = Caller { style: if caller.is_sdk() { Style::Sdk } else { Style::Optimized }, ..caller };
    caller.fail(name, name, status, message)
}
