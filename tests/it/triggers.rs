//! Event buses, the log of Express executions, what functions are told, and what a stopped pipeline tells, through the
//! verbs of a real pipeline.

use crate::probe::{SmallDisk, get};
use crate::support::{Folder, Running, eventually};
use serde_json::{Value, json};

const DEFINITION: &str = "\
name: shop
streams:
  orders:
    schema: schemas/any.json
    sources: [{http: {}}]
    commit: {every: 200ms, bytes: 1MB}
functions:
  note: {runtime: python3, handler: handler.handler, timeout: 10s}
workflows:
  tell: {type: standard}
  quick: {type: express}
  silent: {type: express, file: workflows/quick.asl.json, log: {level: off}}
  chatty: {type: express, file: workflows/quick.asl.json, log: {level: all, data: false}}
triggers:
  paid:
    on: {bus: default}
    pattern: {source: [shop.till], detail: {amount: [{numeric: ['>', 10]}]}}
    run: {workflow: receipt}
    input: {paths: {amount: $.detail.amount}, template: {amount: <amount>, rule: <aws.events.rule-name>}}
  everything:
    pattern: {detail-type: [paid]}
    run: {function: note}
  of-orders:
    on: {bus: orders}
    pattern: {source: [shop.till]}
    run: {workflow: receipt}
  at-once:
    on: {bus: default}
    pattern: {detail-type: [check]}
    run: {workflow: silent}
    input: {paths: {amount: $.detail.amount}, template: {fail: <amount>}}
";

const ANY: &str = r#"{"type": "object"}"#;

/// Says which run it is.
const HANDLER: &str = "\
def handler(event, context):
    print('run', context.client_context.custom['run'] if context.client_context else None)
    if event.get('fail'):
        raise ValueError('asked to')
    return {'source': event.get('source')}
";

/// Puts one event.
const TELL: &str = r#"{
  "QueryLanguage": "JSONata",
  "StartAt": "Tell",
  "States": {
    "Tell": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:eventbridge:putEvents",
      "Arguments": {"Entries": [
        {"Source": "shop.till", "DetailType": "{% $states.input.kind %}", "EventBusName": "{% $states.input.bus %}",
         "Detail": {"amount": "{% $states.input.amount %}"}}
      ]}, "End": true}
  }
}"#;

const RECEIPT: &str = r#"{"StartAt": "Print", "States": {"Print": {"Type": "Pass", "End": true}}}"#;

/// Fails if the input says so; else it passes.
const QUICK: &str = r#"{"StartAt": "Which", "States": {
  "Which": {"Type": "Choice", "Choices": [{"Variable": "$.fail", "IsPresent": true, "Next": "No"}], "Default": "Yes"},
  "Yes": {"Type": "Pass", "End": true},
  "No": {"Type": "Fail", "Error": "Asked", "Cause": "to fail"}
}}"#;

fn folder() -> Folder {
    let folder = Folder::empty();
    folder.write("bourn.yaml", DEFINITION);
    folder.write("schemas/any.json", ANY);
    folder.write("functions/note/handler.py", HANDLER);
    folder.write("workflows/tell.asl.json", TELL);
    folder.write("workflows/receipt.asl.json", RECEIPT);
    folder.write("workflows/quick.asl.json", QUICK);
    folder
}

/// Runs the workflow that puts an event; what it was answered.
fn tell(folder: &Folder, name: &str, bus: &str, kind: &str, amount: u64) -> Value {
    let input = json!({"bus": bus, "kind": kind, "amount": amount}).to_string();
    let done =
        folder.json(&["workflows", "start", "tell", "--name", name, "--input", &input, "--wait", "--json"]);
    assert_eq!(done["status"], "SUCCEEDED", "{done}");
    serde_json::from_str(done["output"].as_str().unwrap_or_default()).expect("JSON")
}

fn count(folder: &Folder, workflow: &str) -> usize {
    folder.json(&["workflows", "ls", workflow, "--json"]).as_array().map_or(0, Vec::len)
}

fn metric(running: &Running, line: &str) -> Option<f64> {
    let text = get(&running.http, "/metrics").body;
    text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn an_event_on_the_default_bus_begins_what_listens_exactly_once_over_kills() {
    let folder = folder();
    let mut running = folder.start();
    let answer = tell(&folder, "first", "default", "sold", 50);
    assert_eq!(answer["FailedEntryCount"], 0);
    eventually("the receipt has begun", || count(&folder, "receipt") == 1);
    let shown = folder.json(&["workflows", "show", "receipt", "--json"]);
    assert_eq!(shown["execution"]["input"], r#"{"amount":50,"rule":"paid"}"#);
    for round in 0..4 {
        // Killed at once: the event is durable, whether or not its run has begun.
        tell(&folder, &format!("round-{round}"), "default", "sold", 50 + round);
        running.kill();
        running = folder.start();
        eventually("its receipt has begun", || count(&folder, "receipt") == 2 + round as usize);
    }
    running.kill();
    let running = folder.start();
    // A later event settles behind those before it.
    tell(&folder, "last", "default", "sold", 99);
    eventually("the last receipt has begun", || count(&folder, "receipt") == 6);
    let runs = folder.json(&["runs", "--name", "receipt", "--json"]);
    let causes = runs.as_array().into_iter().flatten().filter(|run| run["cause"] == "trigger:paid").count();
    assert_eq!(causes, 6, "{runs}");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_trigger_listens_where_it_says() {
    let folder = folder();
    let running = folder.start();
    // Nobody listens: taken, counted and gone.
    let answer = tell(&folder, "small", "default", "sold", 5);
    assert_eq!(answer["FailedEntryCount"], 0);
    assert_eq!(metric(&running, "bourn_bus_unmatched_events_total"), Some(1.0));
    // A stream is a bus: the event is in the stream, and its trigger begins.
    tell(&folder, "stream", "orders", "sold", 5);
    eventually("the trigger on the bus has begun", || count(&folder, "receipt") == 1);
    let ledger = || folder.json(&["ledger", "--json"])["orders"]["stored"].clone();
    eventually("the event is in the stream", || ledger() == 1);
    // Without `on`, the default bus; with it, nothing else.
    tell(&folder, "paid", "default", "paid", 5);
    let invoked = || folder.sql("select request_id from system.invocations");
    eventually("the function was invoked", || invoked().len() == 1);
    assert_eq!(count(&folder, "receipt"), 1);
    let failed = tell(&folder, "nowhere", "elsewhere", "sold", 5);
    assert_eq!(failed["FailedEntryCount"], 1, "{failed}");
    // The function was told which run it is, by an id that is always the same for it.
    let runs = || folder.sql("select execution from system.runs where kind = 'function'");
    assert_eq!(runs()[0]["execution"], invoked()[0]["request_id"]);
    let logs = folder.ok(&["functions", "logs", "note"]);
    assert!(logs.contains("run trigger/everything/bus/"), "{logs}");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_trigger_on_what_there_is_not_is_refused_with_its_place() {
    let folder = folder();
    folder.write("bourn.yaml", DEFINITION.replace("on: {bus: orders}", "on: {bus: ordes}"));
    let output = folder.bourn(&["validate"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("bourn.yaml:24:") && said.contains("orders"), "{said}");
}

#[test]
fn a_run_of_an_express_workflow_tells_its_end() {
    let folder = folder();
    folder.write(
        "workflows/quick.asl.json",
        QUICK.replace("\"IsPresent\": true", "\"NumericGreaterThan\": 10"),
    );
    let running = folder.start();
    tell(&folder, "well", "default", "check", 5);
    tell(&folder, "badly", "default", "check", 50);
    let ends = || {
        folder
            .sql("select status, error from system.runs where cause = 'trigger:at-once' order by status desc")
    };
    eventually("both have ended", || ends().iter().filter(|run| run["status"] != "running").count() == 2);
    assert_eq!(ends()[0], json!({"status": "succeeded", "error": null}));
    assert_eq!(ends()[1], json!({"status": "failed", "error": "Asked: to fail"}));
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn express_executions_are_logged_as_their_workflow_says() {
    let folder = folder();
    let running = folder.start();
    let start = |workflow: &str, name: &str, input: &str| {
        folder.bourn(&["workflows", "start", workflow, "--name", name, "--input", input, "--json"]);
    };
    for workflow in ["quick", "silent", "chatty"] {
        start(workflow, "well", r#"{"n": 1}"#);
        start(workflow, "badly", r#"{"fail": true}"#);
    }
    let kinds = |which: &str| -> Vec<String> {
        let events = folder.json(&["workflows", "history", which, "--json"]);
        let kinds = events.as_array().into_iter().flatten().map(|event| event["type"].clone());
        kinds.filter_map(|kind| kind.as_str().map(str::to_string)).collect()
    };
    assert_eq!(kinds("quick/well"), ["ExecutionStarted", "ExecutionSucceeded"]);
    let failed = ["ExecutionStarted", "FailStateEntered", "ExecutionFailed"];
    assert_eq!(kinds("quick/badly"), failed);
    assert_eq!(kinds("quick"), failed, "the latest");
    assert_eq!(kinds("chatty/well").len(), 6);
    let refused = folder.bourn(&["workflows", "history", "silent/well"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("logged"), "{refused:?}");
    let counted = "select workflow, count(*) as n from system.execution_logs group by 1 order by 1";
    let expected = json!([{"workflow": "chatty", "n": 11}, {"workflow": "quick", "n": 5}]);
    assert_eq!(json!(folder.sql(counted)), expected);
    let with_data =
        "select count(*) as n from system.execution_logs where details like '%input\"%' and workflow = ";
    assert_eq!(folder.number(&format!("{with_data}'quick'")), 3);
    assert_eq!(folder.number(&format!("{with_data}'chatty'")), 0);
    assert_eq!(running.stop(), Some(0));
    // They are read from a stopped pipeline, and are there after a start.
    assert_eq!(json!(folder.sql(counted)), expected);
    let running = folder.start();
    assert_eq!(kinds("quick/badly"), failed);
    drop(running);
}

#[test]
fn a_stopped_pipeline_tells_what_was_done() {
    let folder = folder();
    folder.write(
        "bourn.yaml",
        format!("{DEFINITION}schedules:\n  often: {{when: rate(1 hour), run: {{workflow: receipt}}}}\n"),
    );
    let running = folder.start();
    tell(&folder, "one", "default", "paid", 50);
    eventually("both have ended", || {
        folder.number("select count(*) as n from system.runs where status = 'succeeded'") == 2
    });
    let tables = [
        ("runs", "id, kind, name, cause, status, started_at", 2),
        ("schedules", "name, \"when\", next, last, status", 1),
        ("functions", "name, runtime, timeout_ms", 1),
        ("invocations", "request_id, function, duration_us", 1),
        ("executions", "name, workflow, status, started_at, ended_at", 2),
    ];
    let read = |table: &str, columns: &str| {
        let mut rows = folder.sql(&format!("select {columns} from system.{table}"));
        rows.sort_by_key(Value::to_string);
        rows
    };
    let before: Vec<_> = tables.iter().map(|(table, columns, _)| read(table, columns)).collect();
    assert_eq!(running.stop(), Some(0));
    for ((table, columns, count), before) in tables.iter().zip(before) {
        assert_eq!(before.len(), *count, "{table}: {before:?}");
        assert_eq!(read(table, columns), before, "{table}");
    }
    assert!(!folder.sql("select line from system.function_logs").is_empty());
}

#[test]
fn triggers_and_schedules_say_that_the_disk_is_full_and_lose_nothing() {
    let folder = folder();
    let more = "  stored:\n    on: {stream: orders}\n    pattern: {detail: {late: [true]}}\n    run: {workflow: receipt}\n\
        schedules:\n  often: {when: rate(1 second), run: {workflow: receipt}, overlap: allow, missed: all}\n";
    folder.write("bourn.yaml", format!("{DEFINITION}{more}"));
    let Some(disk) = SmallDisk::mount(&folder.join(".bourn/state"), 96) else { return };
    let mut running = folder.start();
    let runs = |cause: &str| -> Vec<Value> {
        let statement = format!("select scheduled_at, status from system.runs where cause = '{cause}'");
        folder.sql(&format!("{statement} order by scheduled_at"))
    };
    eventually("the schedule runs", || !runs("schedule:often").is_empty());
    disk.fill();
    let troubled = |running: &Running, subject: &str| {
        let ready = get(&running.http, "/readyz");
        ready.status == 503 && ready.body.contains(subject)
    };
    eventually("schedules say that they wait", || troubled(&running, "\"schedules\""));
    running.send("orders", "{\"late\": true}\n");
    eventually("triggers say that they wait", || troubled(&running, "triggers on stream orders"));
    running.kill();
    disk.free();
    let running = folder.start();
    eventually("it is ready", || get(&running.http, "/readyz").status == 200);
    eventually("the event's run has begun", || runs("trigger:stored").len() == 1);
    let before = runs("schedule:often").len();
    eventually("the schedule goes on", || runs("schedule:often").len() > before);
    // Each second has its run, and none has two: what the disk held up was made up for.
    let due: Vec<i64> = runs("schedule:often").iter().map(|run| second(&run["scheduled_at"])).collect();
    let gaps: Vec<_> = due.windows(2).filter(|pair| pair[1] - pair[0] != 1).collect();
    assert!(gaps.is_empty(), "{gaps:?}");
    drop(running);
}

/// The seconds of a time, from the hour on.
fn second(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_default();
    let part = |range: std::ops::Range<usize>| -> i64 { text[range].parse().expect("a number") };
    (part(8..10) * 24 + part(11..13)) * 3600 + part(14..16) * 60 + part(17..19)
}

#[test]
fn every_metric_says_what_it_is_and_functions_count_right() {
    let folder = folder();
    let one_at_a_time = DEFINITION.replace("timeout: 10s}", "timeout: 10s, concurrency: {max: 1}}");
    folder.write("bourn.yaml", one_at_a_time);
    folder.write(
        "functions/note/handler.py",
        format!("import time\n{HANDLER}").replace(
            "    if event.get('fail')",
            "    time.sleep(event.get('sleep', 0))\n    if event.get('fail')",
        ),
    );
    let running = folder.start();
    let invoke = |payload: &str| folder.bourn(&["functions", "invoke", "note", "--payload", payload]);
    invoke("{}");
    invoke(r#"{"fail": true}"#);
    let labelled = |name: &str| metric(&running, &format!("{name}{{function=\"note\"}}"));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| invoke(r#"{"sleep": 3}"#));
        eventually("it is busy", || labelled("bourn_function_inflight") == Some(1.0));
        assert!(!invoke("{}").status.success());
        assert!(slow.join().expect("joined").status.success());
    });
    tell(&folder, "one", "default", "sold", 50);
    eventually("the receipt has begun", || count(&folder, "receipt") == 1);
    folder.bourn(&["workflows", "start", "quick", "--input", "{}"]);
    assert_eq!(labelled("bourn_function_invocations_total"), Some(3.0));
    assert_eq!(labelled("bourn_function_errors_total"), Some(1.0));
    assert_eq!(labelled("bourn_function_throttles_total"), Some(1.0));
    assert_eq!(labelled("bourn_function_cold_starts_total"), Some(1.0));
    assert_eq!(labelled("bourn_function_seconds_count"), Some(3.0));
    assert!(labelled("bourn_function_seconds_sum").is_some_and(|seconds| seconds >= 3.0));
    assert!(labelled("bourn_function_billed_milliseconds_total").is_some_and(|billed| billed >= 3000.0));
    let text = get(&running.http, "/metrics").body;
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let undescribed: Vec<_> = names.filter(|name| !text.contains(&format!("# HELP {name} "))).collect();
    assert!(undescribed.is_empty(), "{undescribed:?}");
    for name in ["bourn_workflow_started_total", "bourn_runs_ended_total", "bourn_trigger_matches_total"] {
        assert!(text.contains(&format!("# TYPE {name} counter")), "{name}");
    }
}
