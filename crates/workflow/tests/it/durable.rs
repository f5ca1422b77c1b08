//! What has to be true of durable executions, whatever happens to the process.

use crate::player::{Player, Script};
use crate::rig::{BEGIN, Rig, options};
use bourn_event::ManualClock;
use bourn_workflow::*;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const FUNCTION: &str = "arn:aws:lambda:us-east-1:111111111111:function:echo";

fn two_tasks() -> Value {
    let task = |next: &str| {
        json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "echo", "Payload.$": "$"},
            "ResultSelector": {"n.$": "$.Payload.n"}, "Next": next})
    };
    json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Next": "B"}, "B": task("C"), "C": task("D"), "D": {"Type": "Pass", "End": true},
    }})
}

fn script() -> Script {
    Script::of(&json!({"lambdas": {FUNCTION: {"kind": "echo"}}}))
}

pub async fn create(workflows: &Workflows, name: &str, definition: &Value) -> String {
    let request =
        CreateMachine { name: name.into(), definition: definition.to_string(), ..CreateMachine::default() };
    workflows.create_machine(request).await.expect("is made").arn
}

pub fn start(machine_arn: &str, name: &str, input: &Value) -> StartExecution {
    StartExecution {
        machine_arn: machine_arn.into(),
        name: Some(name.into()),
        input: Some(input.to_string()),
        trace: None,
    }
}

pub async fn kinds(workflows: &Workflows, arn: &str) -> Vec<&'static str> {
    let mut request = GetHistory::of(arn);
    request.page.max_results = 1_000;
    let page = workflows.history(request).await.expect("a history");
    page.items.into_iter().map(|event| event.kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_executions_end_right_after_crashes_at_any_commit() {
    const COUNT: usize = 200;
    let dir = TempDir::new().expect("a folder");
    let clock = Arc::new(ManualClock::at(BEGIN));
    let player = Arc::new(Player::new(clock));
    *player.script.lock() = script();
    let (mut machine, mut started) = (None, Vec::new());
    for round in 0..12 {
        // Each round the disk fails a little later; the last one goes to the end.
        let left = Arc::new(AtomicI64::new(if round == 11 { i64::MAX } else { 2 + round * 3 }));
        let mut options = options(dir.path(), &player);
        options.fault = Some(Arc::new(move || match left.fetch_sub(1, Ordering::SeqCst) > 0 {
            true => Ok(()),
            false => Err(WorkflowError::new(ErrorKind::ServiceUnavailable, "the disk fails")),
        }));
        // What is resumed may meet the fault before all of it is resumed.
        let workflows = match Workflows::open(options).await {
            Ok(workflows) => workflows,
            Err(error) if round < 11 => {
                assert_eq!(error.kind(), ErrorKind::ServiceUnavailable, "{error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let machine: &String = match &mut machine {
            Some(machine) => machine,
            none => none.insert(create(&workflows, "two", &two_tasks()).await),
        };
        let begin = |n: usize| start(machine, &format!("e{n}"), &json!({"n": n}));
        let wanted: Vec<usize> = (0..COUNT).filter(|n| !started.contains(n)).collect();
        let begun = futures::future::join_all(wanted.iter().map(|n| workflows.start(begin(*n)))).await;
        started.extend(wanted.iter().zip(begun).filter_map(|(n, done)| done.is_ok().then_some(*n)));
        if round == 11 {
            for n in 0..COUNT {
                let arn = format!("arn:aws:states:us-east-1:111111111111:execution:two:e{n}");
                let ended = workflows.wait(&arn, Duration::from_secs(60)).await.expect("is there");
                assert_eq!(ended.status, ExecutionStatus::Succeeded, "{arn}");
                assert_eq!(ended.output, Some(json!({"n": n}).to_string()));
                let kinds = kinds(&workflows, &arn).await;
                let count = |kind: &str| kinds.iter().filter(|k| **k == kind).count();
                assert_eq!(
                    (count("TaskScheduled"), count("TaskSucceeded"), kinds.len()),
                    (2, 2, 16),
                    "{arn}"
                );
            }
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        workflows.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_outlive_the_process_and_fire_once() {
    let rig = Rig::new().await;
    let waits = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": true}}});
    let machine = create(&rig.workflows, "waits", &waits).await;
    let mut arns = Vec::new();
    for n in 0..50 {
        arns.push(
            rig.workflows.start(start(&machine, &format!("w{n}"), &json!({}))).await.expect("starts").arn,
        );
    }
    let Rig { workflows, player, clock, dir } = rig;
    workflows.close().await;
    drop(workflows);
    let workflows = Workflows::open(options(dir.path(), &player)).await.expect("opens");
    assert_eq!(workflows.activeness().open, 50);
    clock.advance(3_599 * 1_000_000);
    while workflows.activeness().next_timer.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(workflows.activeness().open, 50);
    clock.advance(2_000_000);
    for arn in arns {
        let ended = workflows.wait(&arn, Duration::from_secs(30)).await.expect("is there");
        assert_eq!(ended.status, ExecutionStatus::Succeeded);
        let kinds = kinds(&workflows, &arn).await;
        assert_eq!(kinds, ["ExecutionStarted", "WaitStateEntered", "WaitStateExited", "ExecutionSucceeded"]);
    }
    workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_given_once_and_the_same_start_is_the_same_execution() {
    let rig = Rig::new().await;
    let waits = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 10, "End": true}}});
    let machine = create(&rig.workflows, "named", &waits).await;
    let begin = |input| rig.workflows.start(start(&machine, "one", &input));
    let first = begin(json!({"a": 1})).await.expect("starts");
    assert_eq!(begin(json!({"a": 1})).await, Ok(first.clone()));
    let kind = |result: Result<ExecutionStarted, WorkflowError>| result.map_err(|error| error.kind());
    assert_eq!(kind(begin(json!({"a": 2})).await), Err(ErrorKind::ExecutionAlreadyExists));
    assert_eq!(rig.ended(&first.arn).await.status, ExecutionStatus::Succeeded);
    assert_eq!(kind(begin(json!({"a": 1})).await), Err(ErrorKind::ExecutionAlreadyExists));
    // After ninety days the execution and its name are gone.
    rig.clock.advance(91 * 86_400 * 1_000_000);
    let swept = rig.workflows.sweep().await.expect("sweeps");
    assert_eq!(swept, Swept { executions: 1, ..Swept::default() });
    assert_eq!(rig.workflows.sweep().await, Ok(Swept { names: 1, ..Swept::default() }));
    assert!(begin(json!({"a": 2})).await.is_ok());
    rig.workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_goes_on_where_it_failed() {
    let rig = Rig::new().await;
    let machine = create(&rig.workflows, "redriven", &two_tasks()).await;
    let arn = rig.workflows.start(start(&machine, "r", &json!({"n": 1}))).await.expect("starts").arn;
    let failed = rig.ended(&arn).await;
    assert_eq!((failed.status, failed.redrive_status), (ExecutionStatus::Failed, "REDRIVABLE"));
    *rig.player.script.lock() = script();
    rig.workflows.redrive(&arn).await.expect("goes on");
    let ended = rig.ended(&arn).await;
    assert_eq!((ended.status, ended.redrive_count), (ExecutionStatus::Succeeded, 1));
    let kinds = kinds(&rig.workflows, &arn).await;
    let at = kinds.iter().position(|kind| *kind == "ExecutionRedriven").expect("is told");
    assert_eq!(kinds[at - 1..at + 2], ["ExecutionFailed", "ExecutionRedriven", "TaskScheduled"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "PassStateEntered").count(), 2);
    rig.workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_answered_once_and_a_stopped_task_not_at_all() {
    let rig = Rig::new().await;
    let asks = json!({"StartAt": "Ask", "States": {"Ask": {
        "Type": "Task", "Resource": "arn:aws:states:::sns:publish.waitForTaskToken",
        "Parameters": {"Message": {"TaskToken.$": "$$.Task.Token"}}, "End": true}}});
    let machine = create(&rig.workflows, "asks", &asks).await;
    for (name, stop) in [("answered", false), ("stopped", true)] {
        let submitted = json!({"type": "TaskSubmitted", "details": {"output": {}, "resource": "publish"}});
        *rig.player.script.lock() = Script::of(&json!({"expect": {"events": [submitted]}}));
        let arn = rig.workflows.start(start(&machine, name, &json!({}))).await.expect("starts").arn;
        while rig.player.tokens.lock().is_empty() || rig.workflows.activeness().busy > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let token = rig.player.tokens.lock().pop_front().expect("a token");
        let token = token.as_str().expect("a text").to_owned();
        if stop {
            let request = StopExecution { execution_arn: arn.clone(), ..StopExecution::default() };
            rig.workflows.stop(request).await.expect("stops");
        } else {
            rig.workflows.send_task_success(&token, "{\"yes\":true}").await.expect("is taken");
        }
        let again = rig.workflows.send_task_success(&token, "1").await.map_err(|error| error.kind());
        assert_eq!(again, Err(ErrorKind::TaskTimedOut));
        let expected = if stop { ExecutionStatus::Aborted } else { ExecutionStatus::Succeeded };
        assert_eq!(rig.ended(&arn).await.status, expected);
    }
    let wrong = rig.workflows.send_task_success("no token", "1").await.map_err(|error| error.kind());
    assert_eq!(wrong, Err(ErrorKind::InvalidToken));
    rig.workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_executions_keep_the_definition_they_began_with() {
    let rig = Rig::new().await;
    let says = |word: &str| {
        json!({"StartAt": "W", "States": {
            "W": {"Type": "Wait", "Seconds": 5, "Next": "P"}, "P": {"Type": "Pass", "Result": word, "End": true}}})
    };
    let machine = create(&rig.workflows, "changed", &says("old")).await;
    let old = rig.workflows.start(start(&machine, "old", &json!({}))).await.expect("starts").arn;
    let definition = Some(says("new").to_string());
    let update = UpdateMachine { arn: machine.clone(), definition, ..UpdateMachine::default() };
    rig.workflows.update_machine(update).await.expect("is changed");
    let new = rig.workflows.start(start(&machine, "new", &json!({}))).await.expect("starts").arn;
    assert_eq!(rig.ended(&old).await.output.as_deref(), Some("\"old\""));
    assert_eq!(rig.ended(&new).await.output.as_deref(), Some("\"new\""));
    let list = ListExecutions { machine_arn: Some(machine), ..ListExecutions::default() };
    let names: Vec<_> =
        rig.workflows.list(list).await.expect("a list").items.into_iter().map(|e| e.name).collect();
    assert_eq!(names.len(), 2);
    rig.workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_is_kept_while_a_machine_has_it_or_an_execution_ran_it() {
    let rig = Rig::new().await;
    let says =
        |word: &str| json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": word, "End": true}}});
    let machine = create(&rig.workflows, "changes", &says("ran")).await;
    let arn = rig.workflows.start(start(&machine, "old", &json!({}))).await.expect("starts").arn;
    assert_eq!(rig.ended(&arn).await.output.as_deref(), Some("\"ran\""));
    for word in ["unused", "now"] {
        let definition = Some(says(word).to_string());
        let update = UpdateMachine { arn: machine.clone(), definition, ..UpdateMachine::default() };
        rig.workflows.update_machine(update).await.expect("is changed");
    }
    let revisions = |revisions| Ok(Swept { revisions, ..Swept::default() });
    assert_eq!(rig.workflows.sweep().await, revisions(1));
    assert_eq!(rig.workflows.sweep().await, revisions(0));
    let ran = rig.workflows.describe_machine_for_execution(&arn).await.expect("is there");
    assert_eq!(ran.definition, says("ran").to_string());
    // The last execution takes its definition with it.
    rig.clock.advance(91 * 86_400 * 1_000_000);
    let last = Swept { executions: 1, names: 0, revisions: 1 };
    assert_eq!(rig.workflows.sweep().await, Ok(last));
    let now = rig.workflows.start(start(&machine, "new", &json!({}))).await.expect("starts").arn;
    assert_eq!(rig.ended(&now).await.output.as_deref(), Some("\"now\""));
    rig.workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_over_tasks_ends_with_every_output_in_its_place() {
    let rig = Rig::new().await;
    *rig.player.script.lock() = script();
    let map = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 7,
        "ItemProcessor": {"StartAt": "T", "States": {"T": {
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "echo", "Payload": {"n.$": "$"}},
            "ResultSelector": {"n.$": "$.Payload.n"}, "OutputPath": "$.n", "End": true}}}, "End": true}}});
    let machine = create(&rig.workflows, "maps", &map).await;
    let items: Vec<usize> = (0..300).collect();
    let arn = rig.workflows.start(start(&machine, "m", &json!({"items": items}))).await.expect("starts").arn;
    let ended = rig.workflows.wait(&arn, Duration::from_secs(60)).await.expect("is there");
    assert_eq!(ended.output, Some(json!(items).to_string()));
    rig.workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_has_one_worker_per_task() {
    let rig = Rig::new().await;
    let activity = rig.workflows.create_activity("review", Tags::new()).await.expect("is made").arn;
    let asks = json!({"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": activity, "End": true}}});
    let machine = create(&rig.workflows, "reviews", &asks).await;
    let arn = rig.workflows.start(start(&machine, "a", &json!({"x": 1}))).await.expect("starts").arn;
    let given = Mutex::new(Vec::new());
    let worker = |name: &'static str| {
        let (workflows, activity, given) = (rig.workflows.clone(), activity.clone(), &given);
        async move {
            let wait = Duration::from_millis(200);
            let task =
                workflows.get_activity_task(&activity, Some(name.into()), wait).await.expect("answers");
            given.lock().extend(task);
        }
    };
    futures::future::join_all([worker("one"), worker("two"), worker("three")]).await;
    let given = given.into_inner();
    assert_eq!(given.len(), 1);
    assert_eq!(given[0].input, "{\"x\":1}");
    rig.workflows.send_task_success(&given[0].token, "\"done\"").await.expect("is taken");
    assert_eq!(rig.ended(&arn).await.output.as_deref(), Some("\"done\""));
    rig.workflows.close().await;
}
