//! The recorded cases: each is run, and compared with what AWS did.
//!
//! The table in `docs/workflows-conformance.md` is written by this test and held to it. A case that does
//! not agree has to be on the list, with the reason; one on the list that agrees has to leave it.

use crate::compare::Matcher;
use crate::player::Script;
use crate::rig::Rig;
use bourn_workflow::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Cases that do not agree, and why.
const SKIPPED: &str = include_str!("skipped.txt");

fn cases() -> Vec<Value> {
    let packed: &[u8] = include_bytes!("../../../asl/tests/data/cases.jsonl.zst");
    let text = zstd::decode_all(packed).expect("zstd");
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("a case")).collect()
}

fn skipped() -> BTreeMap<String, String> {
    let lines = SKIPPED.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    let pair = |line: &str| line.split_once(" | ").map(|(name, why)| (name.to_owned(), why.to_owned()));
    lines.filter_map(pair).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_cases_agree() {
    let rig = Rig::new().await;
    let only = std::env::var("BOURN_CASE").ok();
    let (mut table, mut failed) = (BTreeMap::<String, (usize, usize)>::new(), Vec::new());
    for (index, case) in cases().iter().enumerate() {
        let name = case["name"].as_str().unwrap_or_default().to_owned();
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let why = run(&rig, case, index).await;
        let row = table.entry(case["topic"].as_str().unwrap_or_default().to_owned()).or_default();
        row.1 += 1;
        row.0 += usize::from(why.is_none());
        if let Some(why) = why {
            failed.push((name, why));
        }
    }
    rig.workflows.close().await;
    judge(&table, &failed, only.is_none());
}

fn judge(table: &BTreeMap<String, (usize, usize)>, failed: &[(String, String)], all: bool) {
    let skipped = skipped();
    let unlisted: Vec<_> = failed.iter().filter(|(name, _)| !skipped.contains_key(name)).collect();
    for (name, why) in &unlisted {
        println!("{name}\n    {}", why.chars().take(600).collect::<String>());
    }
    let document = document(table, &skipped);
    println!("{document}");
    assert!(unlisted.is_empty(), "{} cases do not agree and are not on the list", unlisted.len());
    if !all {
        return;
    }
    let agree: Vec<_> = skipped.keys().filter(|name| !failed.iter().any(|(f, _)| f == *name)).collect();
    assert!(agree.is_empty(), "on the list, but they agree: {agree:?}");
    let path = "../../docs/workflows-conformance.md";
    if std::env::var_os("BOURN_WRITE").is_some() {
        std::fs::write(path, &document).expect("written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, document, "run with BOURN_WRITE=1 to write {path}");
}

fn document(table: &BTreeMap<String, (usize, usize)>, skipped: &BTreeMap<String, String>) -> String {
    let mut text = "# Workflows: conformance\n\nRecorded executions of AWS Step Functions, run here and compared: \
        status, output, error, cause and every event of the history. Written by the test `recorded_cases_agree` \
        of `crates/workflow`.\n\n| topic | agree | cases |\n| --- | --- | --- |\n"
        .to_owned();
    let (mut agree, mut all) = (0, 0);
    for (topic, (good, count)) in table {
        text += &format!("| {topic} | {good} | {count} |\n");
        agree += good;
        all += count;
    }
    text += &format!("| **all** | **{agree}** | **{all}** |\n\n## Cases that do not agree\n\n");
    for (name, why) in skipped {
        text += &format!("- `{name}`: {why}\n");
    }
    text
}

async fn run(rig: &Rig, case: &Value, index: usize) -> Option<String> {
    match case["topic"].as_str() {
        Some("validation") => validation(rig, case, index).await,
        Some("test-state") => test_state(rig, case).await,
        _ => execution(rig, case, index).await,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Messages of errors are recorded bare, or within a sentence of the client's.
fn error_differs(matcher: &Matcher, recorded: &Value, error: &WorkflowError) -> Option<String> {
    if let Some(sentence) = recorded["exception_value"].as_str() {
        let (_, message) = sentence.split_once("operation: ")?;
        let expected = json!([recorded["exception_typename"], message]);
        return matcher.differs("error", &expected, &json!([error.code(), error.message()]));
    }
    let expected = json!([recorded["Error"]["Code"], recorded["Error"]["Message"]]);
    matcher.differs("error", &expected, &json!([error.code(), error.message()]))
}

async fn validation(rig: &Rig, case: &Value, index: usize) -> Option<String> {
    let matcher = Matcher::new(case);
    let recorded = &case["expect"]["recorded"];
    let express = case["machine_type"] == "EXPRESS"
        || case["request"]["type"] == "EXPRESS"
        || case["name"].as_str().is_some_and(|name| name.contains("api_express"));
    let machine_type = if express { MachineType::Express } else { MachineType::Standard };
    let definition = text(&case["definition"]);
    if case["request"]["operation"] == "ValidateStateMachineDefinition" {
        let request = ValidateMachine { definition, machine_type, ..ValidateMachine::default() };
        let found = rig.workflows.validate(request);
        let result = if found.ok { "OK" } else { "FAIL" };
        let actual =
            json!({"result": result, "diagnostics": found.diagnostics, "truncated": found.truncated});
        return matcher.differs("validation", recorded, &actual);
    }
    let request =
        CreateMachine { name: format!("case-{index}"), definition, machine_type, ..CreateMachine::default() };
    match rig.workflows.create_machine(request).await {
        Ok(_) => Some("the definition was accepted".into()),
        Err(error) => error_differs(&matcher, recorded, &error),
    }
}

async fn test_state(rig: &Rig, case: &Value) -> Option<String> {
    let (matcher, call, recorded) = (Matcher::new(case), &case["request"], &case["expect"]["recorded"]);
    *rig.player.script.lock() = Script::of(case);
    let optional = |key: &str| call.get(key).filter(|value| !value.is_null()).map(text);
    let mock = call.get("mock").map(|mock| {
        let output = mock.get("errorOutput");
        let part = |key: &str| output.and_then(|output| output[key].as_str()).map(str::to_owned);
        Mock {
            result: mock.get("result").map(text),
            error_output: output.map(|_| (part("error"), part("cause"))),
            field_validation: mock.get("fieldValidationMode").map(text),
        }
    });
    let inspection = match call["inspectionLevel"].as_str() {
        Some("DEBUG") => Inspection::Debug,
        Some("TRACE") => Inspection::Trace,
        _ => Inspection::Info,
    };
    let request = TestState {
        definition: text(&case["definition"]),
        input: Some(case["input"].to_string()),
        inspection,
        state_name: optional("stateName"),
        role_arn: Some("arn:aws:iam::111111111111:role/r".into()),
        reveal_secrets: false,
        variables: optional("variables"),
        context: optional("context"),
        mock,
        configuration: call.get("stateConfiguration").cloned(),
    };
    let tested = match rig.workflows.test_state(request).await {
        Ok(tested) => tested,
        Err(error) if case["expect"]["status"].is_null() => return error_differs(&matcher, recorded, &error),
        Err(error) => return Some(format!("refused: {error}")),
    };
    let mut actual = json!({"status": tested.status});
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            actual[key] = value;
        }
    };
    put("output", tested.output.map(|output| serde_json::from_str(&output).unwrap_or_default()));
    put("error", tested.error.map(Value::from));
    put("cause", tested.cause.map(Value::from));
    put("nextState", tested.next_state.map(Value::from));
    put("inspectionData", tested.inspection);
    matcher.differs("test", recorded, &actual)
}

async fn execution(rig: &Rig, case: &Value, index: usize) -> Option<String> {
    let (matcher, expect) = (Matcher::new(case), &case["expect"]);
    *rig.player.script.lock() = Script::of(case);
    rig.player.tokens.lock().clear();
    let definition = text(&case["definition"]);
    if case["resources"]["state_machines"].is_object() {
        // Names that another case gave may be given again.
        rig.clock.advance(91 * 86_400 * 1_000_000);
    }
    for (arn, other) in case["resources"]["state_machines"].as_object().into_iter().flatten() {
        let name = arn.rsplit(':').next().unwrap_or_default();
        let _ = rig.workflows.delete_machine(arn).await;
        if let Err(error) = create(rig, name, text(other), MachineType::Standard).await {
            return Some(format!("{arn}: {error}"));
        }
    }
    for arn in activities(&definition) {
        let name = arn.rsplit(':').next().unwrap_or_default();
        let _ = rig.workflows.create_activity(name, Tags::new()).await;
        if case["name"].as_str().is_some_and(|name| name.contains("on_deleted")) {
            let _ = rig.workflows.delete_activity(&arn).await;
        }
    }
    let express = case["machine_type"] == "EXPRESS";
    let machine_type = if express { MachineType::Express } else { MachineType::Standard };
    let arn = match create(rig, &format!("case-{index}"), definition, machine_type).await {
        Ok(arn) => arn,
        Err(error) => return Some(format!("refused: {error}")),
    };
    let request = StartExecution {
        machine_arn: arn,
        input: Some(case["input"].to_string()),
        ..StartExecution::default()
    };
    if express {
        return express_differs(rig, &matcher, request, expect).await;
    }
    let started = match rig.workflows.start(request).await {
        Ok(started) => started.arn,
        Err(error) => return Some(format!("not started: {error}")),
    };
    answer(rig, case, &started).await;
    let ended = rig.ended(&started).await;
    let actual = json!({
        "status": ended.status.as_str(), "error": ended.error, "cause": ended.cause,
        "output": ended.output.as_deref().map(|output| serde_json::from_str::<Value>(output).unwrap_or_default()),
    });
    let mut history = Vec::new();
    let mut request = GetHistory::of(&started);
    request.page.max_results = 1_000;
    loop {
        let page = rig.workflows.history(request.clone()).await.expect("a history");
        history.extend(page.items);
        request.page.next_token = page.next_token;
        if request.page.next_token.is_none() {
            break;
        }
    }
    let events = expect["events"].as_array();
    if events.is_some_and(|events| events.first().is_some_and(|first| first["type"] != "ExecutionStarted")) {
        history.reverse();
    }
    let by_history = events.and_then(|events| matcher.histories(events, &history));
    let by_end = ["status", "error", "cause", "output"]
        .into_iter()
        .find_map(|key| matcher.differs(key, &expect[key], &actual[key]));
    by_end.or(by_history)
}

async fn express_differs(
    rig: &Rig,
    matcher: &Matcher,
    request: StartExecution,
    expect: &Value,
) -> Option<String> {
    let ended = match rig.workflows.start_sync(request).await {
        Ok(ended) => ended,
        Err(error) => return Some(format!("not started: {error}")),
    };
    let output =
        ended.output.as_deref().map(|output| serde_json::from_str::<Value>(output).unwrap_or_default());
    let actual = json!({"status": ended.status.as_str(), "error": ended.error, "cause": ended.cause, "output": output});
    ["status", "error", "cause", "output"]
        .into_iter()
        .find_map(|key| matcher.differs(key, &expect[key], &actual[key]))
}

async fn create(
    rig: &Rig,
    name: &str,
    definition: String,
    machine_type: MachineType,
) -> Result<String, WorkflowError> {
    let role_arn = "arn:aws:iam::111111111111:role/r".into();
    let request =
        CreateMachine { name: name.into(), definition, machine_type, role_arn, ..CreateMachine::default() };
    Ok(rig.workflows.create_machine(request).await?.arn)
}

fn activities(definition: &str) -> Vec<String> {
    let pattern = regex::Regex::new(r#""(arn:aws:states:[^"]*:activity:[^"]+)""#).expect("a pattern");
    pattern.captures_iter(definition).map(|found| found[1].to_owned()).collect()
}

/// Does what was done from outside when the case was recorded.
async fn answer(rig: &Rig, case: &Value, arn: &str) {
    let events = case["expect"]["events"].as_array().cloned().unwrap_or_default();
    let has = |kind: &str| events.iter().find(|event| event["type"] == kind);
    if case["expect"]["status"] == "ABORTED" {
        settle(rig).await;
        let _ =
            rig.workflows.stop(StopExecution { execution_arn: arn.into(), ..StopExecution::default() }).await;
    }
    if let Some(taken) = has("ActivityStarted") {
        let worker = taken["details"]["workerName"].as_str().map(str::to_owned);
        let scheduled = has("ActivityScheduled").map(|event| text(&event["details"]["resource"]));
        let arn = match activities(&text(&case["definition"])).into_iter().next().or(scheduled) {
            Some(arn) => arn,
            None => return,
        };
        let task = rig.workflows.get_activity_task(&arn, worker, Duration::from_secs(5)).await;
        if let Ok(Some(task)) = task {
            if let Some(done) = has("ActivitySucceeded") {
                let output = done["details"]["output"].to_string();
                let _ = rig.workflows.send_task_success(&task.token, &output).await;
            } else if let Some(done) = has("ActivityFailed") {
                let part = |key: &str| match &done["details"][key] {
                    Value::Null => None,
                    value => Some(text(value)),
                };
                let _ = rig.workflows.send_task_failure(&task.token, part("error"), part("cause")).await;
            }
        }
    }
    let ends: Vec<&Value> = events
        .iter()
        .filter(|event| {
            event["details"]["resource"].as_str().is_some_and(|r| r.contains("waitForTaskToken"))
                && matches!(event["type"].as_str(), Some("TaskSucceeded" | "TaskFailed"))
        })
        .collect();
    for end in ends {
        settle(rig).await;
        let Some(token) = rig.player.tokens.lock().pop_front() else { return };
        let token = text(&token);
        let details = &end["details"];
        let part = |key: &str| (!details[key].is_null()).then(|| text(&details[key]));
        let _ = match end["type"].as_str() {
            Some("TaskSucceeded") => {
                rig.workflows.send_task_success(&token, &details["output"].to_string()).await
            }
            _ => rig.workflows.send_task_failure(&token, part("error"), part("cause")).await,
        };
    }
}

/// Lets everything happen that does not wait for time.
async fn settle(rig: &Rig) {
    let mut quiet = 0;
    while quiet < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        quiet = if rig.workflows.activeness().busy == 0 { quiet + 1 } else { 0 };
    }
}
