//! Workflows, functions, schedules and triggers of a real pipeline, through its verbs.

use crate::support::{Folder, Running, eventually};
use serde_json::{Value, json};

const DEFINITION: &str = "\
name: shop
streams:
  orders:
    schema: schemas/order.json
    sources: [{http: {}}]
    commit: {every: 200ms, bytes: 1MB}
  letters:
    schema: schemas/letter.json
    sources: [{http: {}}]
    commit: {every: 200ms, bytes: 1MB}
functions:
  double: {runtime: python3, handler: handler.handler, timeout: 10s, on_failure: {stream: letters}}
keyed:
  totals: {key: day}
triggers:
  big: {pattern: {source: [bourn.stream], detail-type: [orders], detail: {quantity: [{numeric: ['>', 100]}]}}, run: {workflow: judge}}
schedules:
  often: {when: rate(1 minute), run: {job: {name: compact}}}
";

const ORDER: &str = r#"{"type": "object", "required": ["order_id", "quantity"],
  "properties": {"order_id": {"type": "string"}, "quantity": {"type": "integer"}}}"#;

const LETTER: &str = r#"{"type": "object", "properties": {"token": {"type": "string"}}}"#;

const HANDLER: &str = "\
def handler(event, context):
    return {'doubled': event['value'] * 2}
";

/// Counts, asks a function, and waits for a person if the number is odd.
const JUDGE: &str = r#"{
  "QueryLanguage": "JSONata",
  "StartAt": "Count",
  "States": {
    "Count": {"Type": "Task", "Resource": "arn:aws:states:::bourn:sql",
      "Arguments": {"Query": "select count(*) as orders from silver.orders"},
      "Assign": {"orders": "{% $states.result.Rows[0].orders %}"}, "Next": "Double"},
    "Double": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
      "Arguments": {"FunctionName": "double", "Payload": {"value": "{% $orders %}"}},
      "Assign": {"doubled": "{% $states.result.Payload.doubled %}"}, "Next": "Odd"},
    "Odd": {"Type": "Choice", "Choices": [{"Condition": "{% $orders % 2 = 1 %}", "Next": "Ask"}], "Default": "Keep"},
    "Ask": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
      "Arguments": {"QueueUrl": "letters", "MessageBody": {"token": "{% $states.context.Task.Token %}"}},
      "Catch": [{"ErrorEquals": ["Refused"], "Next": "No"}], "Next": "Keep"},
    "Keep": {"Type": "Task", "Resource": "arn:aws:states:::dynamodb:putItem",
      "Arguments": {"TableName": "totals", "Item": {"day": {"S": "today"}, "n": {"N": "{% $string($doubled) %}"}}},
      "Output": {"doubled": "{% $doubled %}"}, "End": true},
    "No": {"Type": "Fail", "Error": "Odd", "Cause": "a person said no"}
  }
}"#;

fn folder() -> Folder {
    let folder = Folder::empty();
    folder.write("bourn.yaml", DEFINITION);
    folder.write("schemas/order.json", ORDER);
    folder.write("schemas/letter.json", LETTER);
    folder.write("functions/double/handler.py", HANDLER);
    folder.write("workflows/judge.asl.json", JUDGE);
    folder
}

fn orders(running: &Running, count: u64) {
    let lines: String = (0..count).map(|id| format!("{{\"order_id\":\"{id}\",\"quantity\":1}}\n")).collect();
    running.send("orders", &lines);
}

#[test]
fn a_workflow_runs_sql_a_function_and_keyed_state() {
    let folder = folder();
    let running = folder.start();
    orders(&running, 4);
    let done = folder.json(&["workflows", "start", "judge", "--name", "even", "--wait", "--json"]);
    assert_eq!((&done["status"], &done["output"]), (&json!("SUCCEEDED"), &json!("{\"doubled\":8}")));
    // The same name and input again is the same execution.
    let again = folder.json(&["workflows", "start", "judge", "--name", "even", "--wait", "--json"]);
    assert_eq!(again["arn"], done["arn"]);
    let shown = folder.ok(&["workflows", "show", "judge/even"]);
    for state in ["Count (Task)", "Double (Task)", "Odd (Choice)", "Keep (Task)"] {
        assert!(shown.contains(&format!("✓ {state}")), "{shown}");
    }
    let listed = folder.json(&["workflows", "ls", "judge", "--json"]);
    assert_eq!((&listed[0]["name"], &listed[0]["status"]), (&json!("even"), &json!("SUCCEEDED")));
    let invocations = folder.sql("select function, error from system.invocations");
    assert_eq!(json!(invocations), json!([{"function": "double", "error": null}]));
    assert_eq!(running.stop(), Some(0));
    // What ended is told of a stopped pipeline too.
    let listed = folder.json(&["workflows", "ls", "judge", "--json"]);
    assert_eq!(listed[0]["status"], "SUCCEEDED");
}

#[test]
fn a_person_answers_even_after_a_kill() {
    let folder = folder();
    let mut running = folder.start();
    orders(&running, 3);
    let waits = |name: &str| {
        folder.json(&["workflows", "start", "judge", "--name", name, "--json"]);
        eventually("the task waits for its answer", || {
            let shown = folder.json(&["workflows", "show", &format!("judge/{name}"), "--json"]);
            shown["waiting"].as_array().is_some_and(|waiting| !waiting.is_empty())
        });
    };
    waits("yes");
    waits("no");
    running.kill();
    let running = folder.start();
    folder.ok(&["workflows", "approve", "judge/yes"]);
    folder.ok(&["workflows", "refuse", "judge/no", "--cause", "not today"]);
    let status = |name: &str| {
        let shown = folder.json(&["workflows", "show", &format!("judge/{name}"), "--json"]);
        shown["execution"].clone()
    };
    eventually("both have ended", || ["yes", "no"].iter().all(|name| status(name)["status"] != "RUNNING"));
    assert_eq!(status("yes")["status"], "SUCCEEDED");
    assert_eq!((&status("no")["status"], &status("no")["error"]), (&json!("FAILED"), &json!("Odd")));
    // Each asked once, and both letters are accounted for.
    eventually("the letters are stored", || folder.json(&["ledger", "--json"])["letters"]["stored"] == 2);
    folder.prove();
    drop(running);
}

#[test]
fn a_matching_event_begins_a_run_exactly_once() {
    let folder = folder();
    let mut running = folder.start();
    let order = |id: &str, quantity: u64| json!({"order_id": id, "quantity": quantity}).to_string();
    running.send("orders", &[order("a", 5), order("b", 500), order("c", 7), order("d", 101)].join("\n"));
    let begun = || folder.json(&["workflows", "ls", "judge", "--json"]).as_array().map_or(0, Vec::len);
    eventually("two executions have begun", || begun() == 2);
    running.kill();
    let running = folder.start();
    running.send("orders", &order("e", 1000));
    eventually("the third has begun", || begun() == 3);
    let runs = folder.json(&["runs", "--name", "judge", "--json"]);
    assert_eq!(runs.as_array().map(Vec::len), Some(3), "{runs}");
    assert!(runs.as_array().into_iter().flatten().all(|run| run["cause"] == "trigger:big"), "{runs}");
}

#[test]
fn an_asynchronous_call_that_keeps_failing_becomes_a_letter() {
    let folder = folder();
    folder.write("bourn.yaml", DEFINITION.replace("timeout: 10s", "timeout: 10s, retries: 0"));
    let running = folder.start();
    folder.ok(&["functions", "invoke", "double", "--later", "--payload", "{}"]);
    eventually("the letter is stored", || folder.json(&["ledger", "--json"])["letters"]["stored"] == 1);
    let logs = folder.ok(&["functions", "logs", "double"]);
    assert!(logs.contains("KeyError"), "{logs}");
    assert_eq!(running.stop(), Some(0));
    folder.prove();
}

#[test]
fn a_workflow_that_cannot_run_is_refused_with_its_place() {
    let folder = folder();
    let check = |from: &str, to: &str, expected: &[&str]| {
        folder.write("workflows/judge.asl.json", JUDGE.replace(from, to));
        let output = folder.bourn(&["validate"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        for part in expected {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
    };
    check("\"Next\": \"Double\"", "\"Next\": \"Duble\"", &["workflows/judge.asl.json:7:", "Duble"]);
    check("states:::bourn:sql", "states:::ecs:runTask", &["workflows/judge.asl.json:5:", "ecs:runTask"]);
    check("\"FunctionName\": \"double\"", "\"FunctionName\": \"duoble\"", &["duoble", "double"]);
}

#[test]
fn a_backfill_runs_each_time_once_and_goes_on_after_a_stop() {
    let folder = folder();
    let running = folder.start();
    orders(&running, 2);
    let args = |more: &[&'static str]| -> Vec<&str> {
        let base = [
            "backfill",
            "judge",
            "--every",
            "0 0 * * *",
            "--from",
            "2026-01-01",
            "--to",
            "2026-01-04",
            "--json",
        ];
        base.into_iter().chain(more.iter().copied()).collect()
    };
    let times = folder.json(&args(&["--dry-run"]));
    assert_eq!(times["times"].as_array().map(Vec::len), Some(3), "{times}");
    for _ in 0..2 {
        let done = folder.json(&args(&[]));
        assert_eq!((&done["total"], &done["failed"]), (&json!(3), &json!(0)), "{done}");
    }
    let listed = folder.json(&["workflows", "ls", "judge", "--json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    let inputs: Value = json!(folder.sql("select count(*) as n from system.executions"));
    assert_eq!(inputs[0]["n"], 3);
}

#[test]
fn a_map_reads_the_rows_of_a_parquet_object() {
    let folder = folder();
    let reader = json!({"Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "PARQUET", "MaxItems": 3},
        "Arguments": {"Bucket": "inbox", "Key": "orders.parquet"}});
    let processor = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        "StartAt": "Keep", "States": {"Keep": {"Type": "Pass", "End": true}}});
    let rows = json!({"QueryLanguage": "JSONata", "StartAt": "Rows", "States": {
        "Rows": {"Type": "Map", "ItemReader": reader, "ItemProcessor": processor, "End": true}}});
    folder.write("workflows/rows.asl.json", rows.to_string());
    let running = folder.start();
    orders(&running, 5);
    let object = folder.join("lake/objects/inbox/orders.parquet");
    std::fs::create_dir_all(object.parent().expect("a folder")).expect("a folder");
    let statement = "select order_id, quantity, cast(null as int) as missing, \
        timestamp '2026-01-01 06:00:00' as at from silver.orders order by order_id";
    folder.ok(&["sql", statement, "--format", "parquet", "--output", &object.display().to_string()]);
    let done = folder.json(&["workflows", "start", "rows", "--wait", "--json"]);
    let row = |id: u64| json!({"order_id": id.to_string(), "quantity": 1, "missing": null, "at": "2026-01-01T06:00:00"});
    let output: Value = serde_json::from_str(done["output"].as_str().unwrap_or_default()).unwrap_or_default();
    assert_eq!(output, json!([row(0), row(1), row(2)]), "{done}");
    folder.write("lake/objects/inbox/orders.parquet", "no Parquet");
    assert!(!folder.bourn(&["workflows", "start", "rows", "--wait"]).status.success());
    let failed = folder.json(&["workflows", "show", "rows", "--json"])["execution"].clone();
    assert_eq!((&failed["status"], &failed["error"]), (&json!("FAILED"), &json!("States.ItemReaderFailed")));
}
