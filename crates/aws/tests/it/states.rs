//! The Step Functions API: each operation's shape, each error's name.

use crate::fakes::{Answer, server};
use crate::flows::{ACTIVITY, EXECUTION, KINDS, MACHINE, MAP_RUN};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bourn_workflow::ErrorKind;
use serde_json::{Value, json};

/// The fake's token as clients have it.
fn more(list: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:more"))
}

const AT_S: f64 = 1_767_225_600.123;

#[track_caller]
fn check_error(answer: &Answer, code: &str, said: &str) {
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.header("x-amzn-errortype"), code, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["__type"], code);
    let message = body["message"].as_str().expect("a message");
    assert!(message.contains(said), "`{said}` in `{message}`");
}

#[tokio::test]
async fn every_operation_answers_in_its_shape() {
    let machine_item =
        json!({"stateMachineArn": MACHINE, "name": "nightly", "type": "STANDARD", "creationDate": AT_S});
    let described = json!({
        "stateMachineArn": MACHINE, "name": "nightly", "definition": "{}",
        "roleArn": "arn:aws:iam::000000000000:role/r",
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": false},
        "tracingConfiguration": {"enabled": true},
        "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
        "revisionId": "r1",
    });
    let with = |base: &Value, more: Value| {
        let mut merged = base.clone();
        let (Some(to), Value::Object(from)) = (merged.as_object_mut(), more) else { return merged };
        to.extend(from);
        merged
    };
    let activity = json!({"activityArn": ACTIVITY, "name": "approve", "creationDate": AT_S});
    let counts = |more: Value| {
        let zero = json!({"pending": 0, "running": 0, "succeeded": 0, "failed": 0, "timedOut": 0, "aborted": 0,
            "total": 0, "resultsWritten": 0, "failuresNotRedrivable": 0, "pendingRedrive": 0});
        with(&zero, more)
    };
    let cases = [
        (
            "CreateStateMachine",
            json!({"name": "nightly", "definition": "{}", "roleArn": "arn:aws:iam::1:role/r"}),
            json!({"stateMachineArn": MACHINE, "creationDate": AT_S}),
        ),
        (
            "UpdateStateMachine",
            json!({"stateMachineArn": MACHINE, "definition": "{}"}),
            json!({"updateDate": AT_S, "revisionId": "r2"}),
        ),
        (
            "DescribeStateMachine",
            json!({"stateMachineArn": MACHINE}),
            with(&described, json!({"status": "ACTIVE", "type": "EXPRESS", "creationDate": AT_S})),
        ),
        (
            "DescribeStateMachineForExecution",
            json!({"executionArn": EXECUTION}),
            with(&described, json!({"updateDate": AT_S})),
        ),
        (
            "ListStateMachines",
            json!({}),
            json!({"stateMachines": [machine_item], "nextToken": more("stateMachines")}),
        ),
        ("DeleteStateMachine", json!({"stateMachineArn": MACHINE}), json!({})),
        (
            "ListStateMachineVersions",
            json!({"stateMachineArn": MACHINE}),
            json!({"stateMachineVersions": []}),
        ),
        ("ListStateMachineAliases", json!({"stateMachineArn": MACHINE}), json!({"stateMachineAliases": []})),
        (
            "ValidateStateMachineDefinition",
            json!({"definition": "{\"States\": {}}"}),
            json!({"result": "FAIL", "truncated": false, "diagnostics": [{"severity": "ERROR",
                "code": "SCHEMA_VALIDATION_FAILED", "message": "These fields are required: [StartAt]",
                "location": "/"}]}),
        ),
        (
            "TestState",
            json!({"definition": "{}", "inspectionLevel": "DEBUG"}),
            json!({"status": "SUCCEEDED", "output": "{\"a\":1}", "nextState": "Next",
                "inspectionData": {"input": "{}", "errorDetails": {"retryIndex": 0}}}),
        ),
        (
            "StartExecution",
            json!({"stateMachineArn": MACHINE, "input": "{}"}),
            json!({"executionArn": EXECUTION, "startDate": AT_S}),
        ),
        (
            "StartSyncExecution",
            json!({"stateMachineArn": MACHINE}),
            json!({"executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": "one", "startDate": AT_S,
                "stopDate": AT_S + 1.0, "status": "FAILED", "error": "Refused", "cause": "too dear",
                "input": "{}", "inputDetails": {"included": true},
                "billingDetails": {"billedMemoryUsedInMB": 64, "billedDurationInMilliseconds": 1000}}),
        ),
        (
            "DescribeExecution",
            json!({"executionArn": EXECUTION}),
            json!({"executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": "one", "status": "SUCCEEDED",
                "startDate": AT_S, "stopDate": AT_S + 2.0, "input": "{\"a\":1}", "output": "{\"b\":2}",
                "inputDetails": {"included": true}, "outputDetails": {"included": true}, "redriveCount": 0,
                "redriveStatus": "NOT_REDRIVABLE",
                "redriveStatusReason": "Execution is SUCCEEDED and cannot be redriven"}),
        ),
        (
            "GetExecutionHistory",
            json!({"executionArn": EXECUTION, "nextToken": more("events")}),
            json!({"events": [
                {"timestamp": AT_S, "type": "TaskStateEntered", "id": 2, "previousEventId": 0,
                    "stateEnteredEventDetails": {"name": "Count", "input": "{\"a\":1}",
                        "inputDetails": {"truncated": false}}},
                {"timestamp": AT_S, "type": "MapStateSucceeded", "id": 3, "previousEventId": 2},
            ]}),
        ),
        (
            "ListExecutions",
            json!({"stateMachineArn": MACHINE, "statusFilter": "TIMED_OUT", "nextToken": more("executions")}),
            json!({"executions": [{"executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": "one",
                "status": "TIMED_OUT", "startDate": AT_S, "stopDate": AT_S, "itemCount": 5, "redriveCount": 1,
                "redriveDate": AT_S}]}),
        ),
        ("StopExecution", json!({"executionArn": EXECUTION}), json!({"stopDate": AT_S})),
        ("RedriveExecution", json!({"executionArn": EXECUTION}), json!({"redriveDate": AT_S})),
        ("SendTaskSuccess", json!({"taskToken": "t", "output": "{}"}), json!({})),
        ("SendTaskFailure", json!({"taskToken": "t", "error": "E", "cause": "C"}), json!({})),
        ("SendTaskHeartbeat", json!({"taskToken": "t"}), json!({})),
        (
            "CreateActivity",
            json!({"name": "approve", "tags": [{"key": "team", "value": "data"}]}),
            json!({"activityArn": ACTIVITY, "creationDate": AT_S}),
        ),
        ("DescribeActivity", json!({"activityArn": ACTIVITY}), activity.clone()),
        (
            "ListActivities",
            json!({"maxResults": 1000}),
            json!({"activities": [activity], "nextToken": more("activities")}),
        ),
        ("DeleteActivity", json!({"activityArn": ACTIVITY}), json!({})),
        (
            "GetActivityTask",
            json!({"activityArn": ACTIVITY, "workerName": "w"}),
            json!({"taskToken": "token", "input": "{\"a\":1}"}),
        ),
        ("GetActivityTask", json!({"activityArn": format!("{ACTIVITY}:idle")}), json!({"taskToken": null})),
        (
            "ListMapRuns",
            json!({"executionArn": EXECUTION, "nextToken": more("mapRuns")}),
            json!({"mapRuns": [{"executionArn": EXECUTION, "mapRunArn": MAP_RUN, "stateMachineArn": MACHINE,
                "startDate": AT_S}]}),
        ),
        (
            "DescribeMapRun",
            json!({"mapRunArn": MAP_RUN}),
            json!({"mapRunArn": MAP_RUN, "executionArn": EXECUTION, "status": "RUNNING", "startDate": AT_S,
                "maxConcurrency": 3, "toleratedFailurePercentage": 12.5, "toleratedFailureCount": 4,
                "itemCounts": counts(json!({"total": 10, "pending": 7, "timedOut": 1})),
                "executionCounts": counts(json!({"total": 5, "resultsWritten": 2})), "redriveCount": 0}),
        ),
        ("UpdateMapRun", json!({"mapRunArn": MAP_RUN, "maxConcurrency": 9}), json!({})),
        ("TagResource", json!({"resourceArn": MACHINE, "tags": [{"key": "a", "value": ""}]}), json!({})),
        ("UntagResource", json!({"resourceArn": MACHINE, "tagKeys": ["a"]}), json!({})),
        (
            "ListTagsForResource",
            json!({"resourceArn": MACHINE}),
            json!({"tags": [{"key": "team", "value": "data"}]}),
        ),
    ];
    let server = server();
    for (operation, input, output) in cases {
        let answer = server.operate(operation, input).await;
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/x-amz-json-1.0");
        assert_eq!(answer.json(), output, "{operation}");
    }
}

#[tokio::test]
async fn what_is_asked_reaches_the_engine() {
    let cases = [
        (
            "CreateStateMachine",
            json!({"name": "n", "definition": "{}", "roleArn": "r", "type": "EXPRESS",
                "tags": [{"key": "a", "value": "b"}], "loggingConfiguration": {"level": "ALL"},
                "encryptionConfiguration": {"type": "AWS_OWNED_KEY"}, "publish": false}),
            "CreateMachine { name: \"n\", definition: \"{}\", machine_type: Express, role_arn: \"r\", \
             logging: Some(Object {\"level\": String(\"ALL\")}), tracing: None, tags: {\"a\": \"b\"} }",
        ),
        (
            "UpdateStateMachine",
            json!({"stateMachineArn": "m", "roleArn": "r", "tracingConfiguration": {"enabled": true}}),
            "UpdateMachine { arn: \"m\", definition: None, role_arn: Some(\"r\"), logging: None, \
             tracing: Some(Object {\"enabled\": Bool(true)}) }",
        ),
        (
            "StartExecution",
            json!({"stateMachineArn": "m", "name": "e", "input": "[1]", "traceHeader": "Root=1"}),
            "StartExecution { machine_arn: \"m\", name: Some(\"e\"), input: Some(\"[1]\"), trace: Some(\"Root=1\") }",
        ),
        (
            "GetExecutionHistory",
            json!({"executionArn": "e", "reverseOrder": true, "includeExecutionData": false, "maxResults": 7}),
            "GetHistory { execution_arn: \"e\", reverse: true, include_data: false, \
             page: Paging { max_results: 7, next_token: None } }",
        ),
        (
            "ListExecutions",
            json!({"mapRunArn": "r", "statusFilter": "ABORTED", "redriveFilter": "NOT_REDRIVEN",
                "nextToken": more("executions")}),
            "ListExecutions { machine_arn: None, map_run_arn: Some(\"r\"), status: Some(Aborted), \
             redriven: Some(false), page: Paging { max_results: 0, next_token: Some(\"more\") } }",
        ),
        (
            "StopExecution",
            json!({"executionArn": "e", "error": "E", "cause": "C"}),
            "StopExecution { execution_arn: \"e\", error: Some(\"E\"), cause: Some(\"C\") }",
        ),
        ("SendTaskSuccess", json!({"taskToken": "t", "output": "1"}), "(\"t\", \"1\")"),
        ("SendTaskFailure", json!({"taskToken": "t", "cause": "C"}), "(\"t\", None, Some(\"C\"))"),
        ("GetActivityTask", json!({"activityArn": ACTIVITY, "workerName": "w"}), "Some(\"w\"), 60s)"),
        (
            "UpdateMapRun",
            json!({"mapRunArn": "r", "toleratedFailurePercentage": 2.5, "toleratedFailureCount": 3}),
            "UpdateMapRun { arn: \"r\", max_concurrency: None, tolerated_failure_percentage: Some(2.5), \
             tolerated_failure_count: Some(3) }",
        ),
        (
            "ValidateStateMachineDefinition",
            json!({"definition": "d", "type": "EXPRESS", "severity": "WARNING", "maxResults": 5}),
            "ValidateMachine { definition: \"d\", machine_type: Express, warnings: true, max_results: 5 }",
        ),
        (
            "TestState",
            json!({"definition": "d", "input": "1", "inspectionLevel": "TRACE", "stateName": "S",
                "roleArn": "r", "revealSecrets": true, "variables": "{}", "context": "{}",
                "mock": {"errorOutput": {"error": "E"}, "fieldValidationMode": "NONE"},
                "stateConfiguration": {"retrierRetryCount": 1}}),
            "TestState { definition: \"d\", input: Some(\"1\"), inspection: Trace, state_name: Some(\"S\"), \
             role_arn: Some(\"r\"), reveal_secrets: true, variables: Some(\"{}\"), context: Some(\"{}\"), \
             mock: Some(Mock { result: None, error_output: Some((Some(\"E\"), None)), \
             field_validation: Some(\"NONE\") }), \
             configuration: Some(Object {\"retrierRetryCount\": Number(1)}) }",
        ),
        ("UntagResource", json!({"resourceArn": "r", "tagKeys": ["a", "b"]}), "[\"a\", \"b\"]"),
    ];
    let server = server();
    for (operation, input, asked) in cases {
        let answer = server.operate(operation, input).await;
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        let last = server.flows.last();
        assert!(last.contains(asked), "{operation}: {last}");
    }
}

#[tokio::test]
async fn every_error_of_the_engine_has_its_name() {
    let server = server();
    for kind in KINDS {
        let arn = format!("arn:aws:states:us-east-1:000000000000:execution:a:b!{}", kind.code());
        let answer = server.operate("DescribeExecution", json!({"executionArn": arn})).await;
        let status = match kind {
            ErrorKind::ServiceUnavailable => 503,
            ErrorKind::InternalServerError => 500,
            _ => 400,
        };
        assert_eq!(answer.status.as_u16(), status, "{kind:?}: {answer:?}");
        assert_eq!(answer.header("x-amzn-errortype"), kind.code());
        assert_eq!(answer.json()["__type"], kind.code());
        assert_eq!(answer.header("retry-after"), if status == 503 { "1" } else { "" });
    }
}

#[tokio::test]
async fn requests_that_break_the_model_are_refused_before_the_engine() {
    let long = |chars: usize| "x".repeat(chars);
    let null =
        |name: &str| format!("Value null at '{name}' failed to satisfy constraint: Member must not be null");
    let cases = [
        ("DescribeStateMachine", json!({}), "ValidationException", null("stateMachineArn")),
        ("CreateStateMachine", json!({}), "ValidationException", "3 validation errors detected".into()),
        (
            "CreateStateMachine",
            json!({"name": "", "definition": "d", "roleArn": "r"}),
            "ValidationException",
            "1 validation error detected: Value '' at 'name' failed to satisfy constraint: Member must have \
             length greater than or equal to 1"
                .into(),
        ),
        (
            "CreateStateMachine",
            json!({"name": long(81), "definition": "d", "roleArn": "r"}),
            "ValidationException",
            "Member must have length less than or equal to 80".into(),
        ),
        (
            "CreateStateMachine",
            json!({"name": "n", "definition": "d", "roleArn": "r", "type": "FAST"}),
            "ValidationException",
            "Value 'FAST' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, EXPRESS]"
                .into(),
        ),
        (
            "CreateStateMachine",
            json!({"name": "n", "definition": "d", "roleArn": "r", "publish": true}),
            "ValidationException",
            "publish".into(),
        ),
        (
            "CreateStateMachine",
            json!({"name": "n", "definition": "d", "roleArn": "r",
                "encryptionConfiguration": {"type": "CUSTOMER_MANAGED_KMS_KEY"}}),
            "InvalidEncryptionConfiguration",
            "CUSTOMER_MANAGED_KMS_KEY".into(),
        ),
        ("UpdateStateMachine", json!({"stateMachineArn": "m"}), "MissingRequiredParameter", "must be specified".into()),
        ("ListStateMachines", json!({"maxResults": 1001}), "ValidationException", "less than or equal to 1000".into()),
        ("ListStateMachines", json!({"maxResults": -1}), "ValidationException", "greater than or equal to 0".into()),
        ("ListStateMachines", json!({"maxResults": "1"}), "SerializationException", "'maxResults' must be a number".into()),
        ("ListStateMachines", json!([]), "SerializationException", "structure".into()),
        ("DescribeExecution", json!({"executionArn": {"a": 1}}), "SerializationException", "a structure".into()),
        ("DescribeExecution", json!({"executionArn": long(257)}), "ValidationException", "equal to 256".into()),
        ("DescribeMapRun", json!({"mapRunArn": long(2001)}), "ValidationException", "equal to 2000".into()),
        ("SendTaskSuccess", json!({"taskToken": "t"}), "ValidationException", null("output")),
        ("SendTaskSuccess", json!({"output": "{}"}), "ValidationException", null("taskToken")),
        ("SendTaskHeartbeat", json!({"taskToken": long(2049)}), "ValidationException", "Value at 'taskToken'".into()),
        ("StopExecution", json!({"executionArn": "e", "error": long(257)}), "ValidationException", "'error'".into()),
        ("StopExecution", json!({"executionArn": "e", "cause": long(32_769)}), "ValidationException", "'cause'".into()),
        ("ListExecutions", json!({"statusFilter": "DONE"}), "ValidationException", "PENDING_REDRIVE".into()),
        ("ListStateMachines", json!({"nextToken": "t"}), "InvalidToken", "Invalid token".into()),
        ("ListActivities", json!({"nextToken": more("mapRuns")}), "InvalidToken", "Invalid token".into()),
        ("TagResource", json!({"resourceArn": "r"}), "ValidationException", null("tags")),
        (
            "TagResource",
            json!({"resourceArn": "r", "tags": [{"key": long(129), "value": "v"}]}),
            "ValidationException",
            "between 1 and 128".into(),
        ),
        ("UntagResource", json!({"resourceArn": "r", "tagKeys": [""]}), "ValidationException", "tagKeys".into()),
        (
            "UpdateMapRun",
            json!({"mapRunArn": "r", "toleratedFailurePercentage": 101}),
            "ValidationException",
            "from 0 to 100".into(),
        ),
        ("PublishStateMachineVersion", json!({"stateMachineArn": "m"}), "UnknownOperationException", "Publish".into()),
        ("Nothing", json!({}), "UnknownOperationException", "Nothing".into()),
    ];
    let server = server();
    for (operation, input, code, said) in cases {
        check_error(&server.operate(operation, input).await, code, &said);
    }
    assert_eq!(server.flows.count(), 0, "nothing was asked of the engine");
}

#[tokio::test]
async fn secrets_of_requests_are_not_repeated() {
    let server = server();
    let secret = format!("hush{}", "x".repeat(32_769));
    let answer = server.operate("SendTaskFailure", json!({"taskToken": "t", "cause": secret})).await;
    assert!(!String::from_utf8_lossy(&answer.body).contains("hush"), "{answer:?}");
}

#[tokio::test]
async fn what_is_not_step_functions_is_told_so() {
    let server = server();
    let cases = [
        ("Kinesis_20131202.PutRecord", "{}", "UnknownOperationException"),
        ("", "{}", "UnknownOperationException"),
        ("AWSStepFunctions.ListStateMachines", "{", "SerializationException"),
        ("AWSStepFunctions.ListStateMachines", "\u{feff}{}", "SerializationException"),
    ];
    for (target, body, code) in cases {
        let answer = server.call("POST", "/", &[("x-amz-target", target)], body).await;
        check_error(&answer, code, "");
    }
    let empty = server.call("POST", "/", &[("x-amz-target", "AWSStepFunctions.ListStateMachines")], "").await;
    assert_eq!(empty.status, 200, "no body is an empty request: {empty:?}");
}

#[tokio::test]
async fn a_megabyte_is_taken_and_a_byte_more_is_not() {
    let server = server();
    let target = [("x-amz-target", "AWSStepFunctions.ListStateMachines")];
    let fits = server.call("POST", "/", &target, format!("{{}}{}", " ".repeat((1 << 20) - 2))).await;
    assert_eq!(fits.status, 200, "{}", fits.status);
    let more = server.call("POST", "/", &target, format!("{{}}{}", " ".repeat((1 << 20) - 1))).await;
    assert_eq!(more.status, 413, "{}", more.status);
    assert_eq!(more.json()["__type"], "RequestEntityTooLargeException");
}

#[tokio::test]
async fn a_map_run_that_has_ended_is_not_changed() {
    let server = server();
    let ended = json!({"mapRunArn": format!("{MAP_RUN}:ended"), "maxConcurrency": 1});
    let answer = server.operate("UpdateMapRun", ended).await;
    check_error(&answer, "ValidationException", "ended");
    assert_eq!(answer.json()["reason"], "CANNOT_UPDATE_COMPLETED_MAP_RUN");
    assert!(!server.flows.last().contains("UpdateMapRun"), "the engine is not asked");
}

#[tokio::test]
async fn metadata_comes_without_data() {
    let server = server();
    let only = |name: &str, arn: &str| json!({name: arn, "includedData": "METADATA_ONLY"});
    let execution = server.operate("DescribeExecution", only("executionArn", EXECUTION)).await.json();
    assert_eq!(execution["inputDetails"], json!({"included": false}));
    assert!(execution.get("input").is_none() && execution.get("output").is_none(), "{execution}");
    let machine = server.operate("DescribeStateMachine", only("stateMachineArn", MACHINE)).await.json();
    assert!(machine.get("definition").is_none(), "{machine}");
}

#[tokio::test]
async fn a_worker_that_waits_is_let_go_when_the_server_drains() {
    let server = server();
    let waits = server.operate("GetActivityTask", json!({"activityArn": "arn:waits"}));
    let drain = server.drain.clone();
    let (answer, ()) = tokio::join!(waits, async move {
        tokio::task::yield_now().await;
        drain.cancel();
    });
    assert_eq!(answer.json(), json!({"taskToken": null}));
}
