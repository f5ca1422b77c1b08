//! The Step Functions API over the engine itself, with tasks that echo: what a client sees from a
//! machine's making to its execution's end.

use crate::fakes::{Answer, Server, server_over};
use async_trait::async_trait;
use bourn_config::Aws;
use bourn_event::{SystemClock, TaskFailure, TaskRequest, Tasks};
use bourn_workflow::{NoExpressLog, NoObjects, Options, Pace, Workflows};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const ROLE: &str = "arn:aws:iam::000000000000:role/any";
const STATES: &str = "arn:aws:states:us-east-1:000000000000";

/// `lambda:invoke` gives its payload back.
struct Echo;

#[async_trait]
impl Tasks for Echo {
    fn check(&self, resource: &str, _suffix: &str, _parameters: Option<&Value>) -> Result<(), String> {
        if resource == "arn:aws:states:::lambda:invoke" { Ok(()) } else { Err("not here".into()) }
    }

    async fn submit(&self, request: &TaskRequest) -> Result<Value, TaskFailure> {
        Ok(json!({"StatusCode": 200, "Payload": request.parameters["Payload"]}))
    }

    async fn wait(&self, _request: &TaskRequest, submitted: &Value) -> Result<Value, TaskFailure> {
        Ok(submitted.clone())
    }
}

pub async fn workflows(dir: &Path) -> Workflows {
    let options = Options {
        dir: dir.to_owned(),
        region: "us-east-1".into(),
        account: "000000000000".into(),
        clock: Arc::new(SystemClock),
        pace: Pace::Steady,
        tasks: Arc::new(Echo),
        objects: Arc::new(NoObjects),
        express_log: Arc::new(NoExpressLog),
        fault: None,
    };
    Workflows::open(options).await.expect("opens")
}

/// A server over an engine, and its folder.
async fn start() -> (Server, Workflows, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let flows = workflows(dir.path()).await;
    let server = server_over(Aws::default(), Arc::new(SystemClock), Arc::new(flows.clone()));
    (server, flows, dir)
}

#[track_caller]
fn good(answer: Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn create(server: &Server, name: &str, definition: &Value, machine_type: &str) -> Value {
    let input = json!({"name": name, "definition": definition.to_string(), "roleArn": ROLE,
        "type": machine_type});
    good(server.operate("CreateStateMachine", input).await)["stateMachineArn"].clone()
}

/// An execution's description once it has ended.
async fn ended(server: &Server, flows: &Workflows, execution: &Value) -> Value {
    let arn = execution.as_str().expect("an ARN");
    flows.wait(arn, std::time::Duration::from_secs(60)).await.expect("it is known");
    good(server.operate("DescribeExecution", json!({"executionArn": arn})).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_is_told_from_start_to_end() {
    let (server, flows, _dir) = start().await;
    let call = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true,
        "Parameters": {"FunctionName": "echo", "Payload.$": "$"}, "OutputPath": "$.Payload"});
    let machine =
        create(&server, "double", &json!({"StartAt": "Call", "States": {"Call": call}}), "STANDARD").await;
    assert_eq!(machine, format!("{STATES}:stateMachine:double"));
    let input = json!({"stateMachineArn": machine, "name": "one", "input": "{\"n\": 1}"});
    let started = good(server.operate("StartExecution", input).await);
    assert_eq!(started["executionArn"], format!("{STATES}:execution:double:one"));
    let done = ended(&server, &flows, &started["executionArn"]).await;
    assert_eq!((&done["status"], &done["output"]), (&json!("SUCCEEDED"), &json!("{\"n\":1}")), "{done}");

    let execution = json!({"executionArn": started["executionArn"]});
    let history = good(server.operate("GetExecutionHistory", execution.clone()).await);
    let types: Vec<&str> = history["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["type"].as_str().expect("a type"))
        .collect();
    let expected = [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ];
    assert_eq!(types, expected);
    let scheduled = &history["events"][2]["taskScheduledEventDetails"];
    assert_eq!((&scheduled["resourceType"], &scheduled["resource"]), (&json!("lambda"), &json!("invoke")));
    assert!(scheduled["parameters"].is_string(), "JSON texts are strings: {scheduled}");

    let paged = json!({"executionArn": started["executionArn"], "maxResults": 3});
    let first = good(server.operate("GetExecutionHistory", paged).await);
    let next = json!({"executionArn": started["executionArn"], "nextToken": first["nextToken"]});
    let rest = good(server.operate("GetExecutionHistory", next).await);
    assert_eq!(first["events"].as_array().map(Vec::len), Some(3));
    assert_eq!(rest["events"].as_array().map(Vec::len), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_express_execution_is_answered_at_once() {
    let (server, _flows, _dir) = start().await;
    let pass = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": 7, "End": true}}});
    let machine = create(&server, "quick", &pass, "EXPRESS").await;
    let answer = good(server.operate("StartSyncExecution", json!({"stateMachineArn": machine})).await);
    assert_eq!((&answer["status"], &answer["output"]), (&json!("SUCCEEDED"), &json!("7")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_answers_an_activity() {
    let (server, flows, _dir) = start().await;
    let activity =
        good(server.operate("CreateActivity", json!({"name": "ask"})).await)["activityArn"].clone();
    let ask = json!({"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": activity, "End": true}}});
    let machine = create(&server, "asks", &ask, "STANDARD").await;
    let started = good(server.operate("StartExecution", json!({"stateMachineArn": machine})).await);
    let task = good(server.operate("GetActivityTask", json!({"activityArn": activity})).await);
    assert_eq!(task["input"], "{}");
    let answer = json!({"taskToken": task["taskToken"], "output": "{\"ok\": true}"});
    good(server.operate("SendTaskSuccess", answer.clone()).await);
    let done = ended(&server, &flows, &started["executionArn"]).await;
    assert_eq!(done["output"], "{\"ok\":true}", "{done}");
    let again = server.operate("SendTaskSuccess", answer).await;
    assert_eq!(again.header("x-amzn-errortype"), "TaskTimedOut", "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_refusals_have_awss_names() {
    let (server, _flows, _dir) = start().await;
    let pass = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
    let wait = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": true}}});
    let machine = create(&server, "pass", &pass, "STANDARD").await;
    let waits = create(&server, "waits", &wait, "STANDARD").await;
    let named = json!({"stateMachineArn": waits, "name": "n", "input": "{}"});
    let running = good(server.operate("StartExecution", named).await)["executionArn"].clone();
    let none = |kind: &str| format!("{STATES}:{kind}:none");
    let cases = [
        (
            "DescribeStateMachine",
            json!({"stateMachineArn": none("stateMachine")}),
            "StateMachineDoesNotExist",
        ),
        ("StartExecution", json!({"stateMachineArn": none("stateMachine")}), "StateMachineDoesNotExist"),
        ("DescribeExecution", json!({"executionArn": none("execution:pass")}), "ExecutionDoesNotExist"),
        ("GetExecutionHistory", json!({"executionArn": none("execution:pass")}), "ExecutionDoesNotExist"),
        ("DescribeActivity", json!({"activityArn": none("activity")}), "ActivityDoesNotExist"),
        ("ListTagsForResource", json!({"resourceArn": none("stateMachine")}), "ResourceNotFound"),
        ("DescribeExecution", json!({"executionArn": "nonsense"}), "InvalidArn"),
        ("DescribeStateMachine", json!({"stateMachineArn": none("activity")}), "InvalidArn"),
        ("DescribeStateMachine", json!({"stateMachineArn": "nonsense"}), "InvalidArn"),
        ("DeleteStateMachine", json!({"stateMachineArn": "nonsense"}), "InvalidArn"),
        ("StopExecution", json!({"executionArn": "nonsense"}), "InvalidArn"),
        ("ListMapRuns", json!({"executionArn": "nonsense"}), "InvalidArn"),
        ("DescribeMapRun", json!({"mapRunArn": "nonsense"}), "InvalidArn"),
        ("DescribeActivity", json!({"activityArn": "nonsense"}), "InvalidArn"),
        ("GetActivityTask", json!({"activityArn": "nonsense"}), "InvalidArn"),
        ("TagResource", json!({"resourceArn": "nonsense", "tags": []}), "InvalidArn"),
        ("CreateActivity", json!({"name": "a b"}), "InvalidName"),
        (
            "CreateStateMachine",
            json!({"name": "a<b", "definition": pass.to_string(), "roleArn": ROLE}),
            "InvalidName",
        ),
        ("CreateStateMachine", json!({"name": "x", "definition": "{", "roleArn": ROLE}), "InvalidDefinition"),
        (
            "CreateStateMachine",
            json!({"name": "x", "definition": "{\"StartAt\": \"P\"}", "roleArn": ROLE}),
            "InvalidDefinition",
        ),
        (
            "CreateStateMachine",
            json!({"name": "pass", "definition": wait.to_string(), "roleArn": ROLE}),
            "StateMachineAlreadyExists",
        ),
        ("StartExecution", json!({"stateMachineArn": machine, "input": "{"}), "InvalidExecutionInput"),
        ("StartExecution", json!({"stateMachineArn": machine, "name": "a b"}), "InvalidName"),
        (
            "StartExecution",
            json!({"stateMachineArn": waits, "name": "n", "input": "{\"other\": 1}"}),
            "ExecutionAlreadyExists",
        ),
        ("StartSyncExecution", json!({"stateMachineArn": machine}), "StateMachineTypeNotSupported"),
        ("RedriveExecution", json!({"executionArn": running}), "ExecutionNotRedrivable"),
        ("SendTaskSuccess", json!({"taskToken": "nonsense", "output": "{}"}), "InvalidToken"),
        ("ListStateMachines", json!({"nextToken": "nonsense"}), "InvalidToken"),
        ("ListExecutions", json!({}), "ValidationException"),
        ("TestState", json!({"definition": "{"}), "InvalidDefinition"),
    ];
    for (operation, input, code) in cases {
        let answer = server.operate(operation, input.clone()).await;
        assert_eq!(answer.header("x-amzn-errortype"), code, "{operation} {input}: {answer:?}");
        assert_eq!(answer.status, 400, "{operation}: {answer:?}");
        assert!(answer.json()["message"].as_str().is_some_and(|said| !said.is_empty()), "{answer:?}");
    }
}
