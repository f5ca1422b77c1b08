//! What is kept of an asynchronous invocation, and the record of one that was given up, in the shape that
//! AWS sends to a destination.

use bourn_event::{FunctionError, Micros};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// An asynchronous invocation as the state keeps it (format v1, JSON).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub request_id: Arc<str>,
    pub payload: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_context: Option<String>,
    pub trace: String,
    pub accepted_at: Micros,
    /// Not before this.
    pub due_at: Micros,
    /// Attempts whose outcome is known.
    #[serde(default)]
    pub attempts: u32,
    /// How often it was put back since the last attempt.
    #[serde(default)]
    pub throttles: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastError>,
    /// Given up for this reason, and on its way to its destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<Condition>,
}

/// How its last attempt failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LastError {
    pub handled: bool,
    pub payload: Box<RawValue>,
}

/// Why it was given up, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Condition {
    RetriesExhausted,
    EventAgeExceeded,
}

/// As `FunctionError` of the Invoke API.
pub(crate) fn error_name(error: FunctionError) -> &'static str {
    match error {
        FunctionError::Handled => "Handled",
        FunctionError::Unhandled => "Unhandled",
    }
}

/// Why a dead letter cannot be read or made again.
pub(crate) const NO_PAYLOAD: &str = "the dead letter has no `requestPayload`";

/// The record for a destination.
pub(crate) fn record(stored: &Stored, arn: &str, condition: Condition, now: Micros) -> Box<RawValue> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Record<'a> {
        version: &'static str,
        timestamp: String,
        request_context: RequestContext<'a>,
        request_payload: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        response_context: Option<ResponseContext>,
        #[serde(skip_serializing_if = "Option::is_none")]
        response_payload: Option<&'a RawValue>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct RequestContext<'a> {
        request_id: &'a str,
        function_arn: String,
        condition: Condition,
        approximate_invoke_count: u32,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ResponseContext {
        status_code: u16,
        executed_version: &'static str,
        function_error: &'static str,
    }
    let error =
        |last: &LastError| if last.handled { FunctionError::Handled } else { FunctionError::Unhandled };
    let moment = chrono::DateTime::from_timestamp_micros(now).unwrap_or_default();
    let record = Record {
        version: "1.0",
        timestamp: moment.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        request_context: RequestContext {
            request_id: &stored.request_id,
            function_arn: format!("{arn}:$LATEST"),
            condition,
            approximate_invoke_count: stored.attempts,
        },
        request_payload: &stored.payload,
        response_context: stored.last.as_ref().map(|last| ResponseContext {
            status_code: 200,
            executed_version: "$LATEST",
            function_error: error_name(error(last)),
        }),
        response_payload: stored.last.as_ref().map(|last| &*last.payload),
    };
    // Texts and numbers: it cannot fail.
    serde_json::value::to_raw_value(&record).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn record_has_the_shape_of_aws() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        let stored = Stored {
            request_id: "e4b46cbf".into(),
            payload: raw(r#"{"n": 1.0}"#),
            client_context: None,
            trace: String::new(),
            accepted_at: 0,
            due_at: 0,
            attempts: 3,
            throttles: 0,
            last: Some(LastError { handled: false, payload: raw(r#"{"errorMessage":"x"}"#) }),
            given_up: None,
        };
        let text = record(&stored, "arn:f", Condition::RetriesExhausted, 1_573_755_365_568_000);
        let value: Value = serde_json::from_str(text.get()).expect("JSON");
        let expected = json!({
            "version": "1.0",
            "timestamp": "2019-11-14T18:16:05.568Z",
            "requestContext": {"requestId": "e4b46cbf", "functionArn": "arn:f:$LATEST",
                "condition": "RetriesExhausted", "approximateInvokeCount": 3},
            "requestPayload": {"n": 1.0},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": {"errorMessage": "x"},
        });
        assert_eq!(value, expected);
    }
}
