//! `kill -9` at random moments with 200 executions in flight: all end right, each transition happened
//! once, each task at least once.

use crate::support::{Dice, Folder, Running, post, within};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const EXECUTIONS: usize = 200;

/// Kills of one set of executions.
const KILLS_PER_WAVE: u64 = 4;

const MACHINE: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:work";

const DEFINITION: &str = "\
name: shop
functions:
  work:
    runtime: python3
    handler: handler.handler
    timeout: 5m
    concurrency: {max: 4}
    environment: {CALLS: 'FOLDER/calls', GATE: 'FOLDER/gate'}
";

/// Writes every call down, fails the first call for every third execution, and lets nobody through its
/// second step before the gate is there.
const HANDLER: &str = "\
import os, time

class Flaky(Exception):
    pass

def handler(event, context):
    n, step = event['n'], event['step']
    path = os.path.join(os.environ['CALLS'], f'{n}-{step}')
    is_first = not os.path.exists(path)
    with open(path, 'a') as calls:
        calls.write('.')
    while step == 2 and not os.path.exists(os.environ['GATE']):
        time.sleep(0.01)
    time.sleep(0.01)
    if is_first and step == 1 and n % 3 == 0:
        raise Flaky('try again')
    return {'n': n * 2 + step}
";

fn definition() -> Value {
    let task = |step: u32, next: &str| {
        json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": "work", "Payload": {"n": "{% $states.input.n %}", "step": step}},
            "Output": "{% $states.result.Payload %}",
            "Retry": [
                {"ErrorEquals": ["Flaky"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 1},
                {"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 1, "BackoffRate": 1,
                    "JitterStrategy": "FULL", "MaxAttempts": 10_000},
            ],
            "Next": next})
    };
    json!({"QueryLanguage": "JSONata", "StartAt": "Begin", "States": {
        "Begin": {"Type": "Pass", "Output": {"n": "{% $states.input.n + 1 %}"}, "Next": "First"},
        "First": task(1, "Rest"),
        "Rest": {"Type": "Wait", "Timestamp": "{% $fromMillis($millis() + 300) %}", "Next": "Second"},
        "Second": task(2, "Done"),
        "Done": {"Type": "Pass", "End": true},
    }})
}

/// What a history holds beside the tries that failed.
const TRANSITIONS: [(&str, &str); 18] = [
    ("ExecutionStarted", ""),
    ("PassStateEntered", "Begin"),
    ("PassStateExited", "Begin"),
    ("TaskStateEntered", "First"),
    ("TaskScheduled", ""),
    ("TaskStarted", ""),
    ("TaskSucceeded", ""),
    ("TaskStateExited", "First"),
    ("WaitStateEntered", "Rest"),
    ("WaitStateExited", "Rest"),
    ("TaskStateEntered", "Second"),
    ("TaskScheduled", ""),
    ("TaskStarted", ""),
    ("TaskSucceeded", ""),
    ("TaskStateExited", "Second"),
    ("PassStateEntered", "Done"),
    ("PassStateExited", "Done"),
    ("ExecutionSucceeded", ""),
];

fn call(address: &str, operation: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let target = format!("AWSStepFunctions.{operation}");
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
    post(address, "/", &headers, body.to_string().as_bytes())
}

fn ask(running: &Running, operation: &str, body: &Value) -> Value {
    let (status, answer) = call(&running.http, operation, body).expect("an answer");
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

/// Begins every execution that is not begun yet, from several clients; stops early when the process is
/// gone. `begun` counts answers; who has none asks again, and gets the same execution.
fn begin(address: &str, wanted: &[usize], begun: &AtomicUsize) -> Vec<usize> {
    std::thread::scope(|scope| {
        let shares = wanted.chunks(wanted.len().div_ceil(4).max(1));
        let clients: Vec<_> = shares
            .map(|share| {
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for n in share {
                        let request = json!({"stateMachineArn": MACHINE, "name": format!("e{n}"),
                            "input": json!({"n": n}).to_string()});
                        match call(address, "StartExecution", &request) {
                            Ok((200, _)) => mine.push(*n),
                            Ok((status, answer)) => panic!("{status}: {answer}"),
                            Err(_) => break,
                        }
                        begun.fetch_add(1, Ordering::Relaxed);
                    }
                    mine
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    })
}

/// Kills while executions begin, while all are held at the gate, and twice while they go through it.
fn wave(dice: &mut Dice) -> u64 {
    let folder = Folder::empty();
    folder.write("bourn.yaml", DEFINITION.replace("FOLDER", &folder.path().display().to_string()));
    folder.write("functions/work/handler.py", HANDLER);
    folder.write("workflows/work.asl.json", definition().to_string());
    std::fs::create_dir(folder.join("calls")).expect("a folder");
    let pause = |dice: &mut Dice, bound_ms| std::thread::sleep(Duration::from_millis(dice.below(bound_ms)));

    let mut wanted: Vec<usize> = (0..EXECUTIONS).collect();
    let begun = AtomicUsize::new(0);
    let mut running = folder.start();
    let enough = dice.below(EXECUTIONS as u64 / 2) as usize;
    let acknowledged = std::thread::scope(|scope| {
        let address = running.http.clone();
        let (wanted, begun) = (&wanted, &begun);
        let clients = scope.spawn(move || begin(&address, wanted, begun));
        while begun.load(Ordering::Relaxed) < enough && !clients.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        running.kill();
        clients.join().expect("the clients")
    });
    wanted.retain(|n| !acknowledged.contains(n));

    let mut running = folder.start();
    begin(&running.http, &wanted, &begun);
    assert_eq!(in_flight(&running), EXECUTIONS, "all are in flight");
    pause(dice, 1_500);
    running.kill();

    folder.write("gate", "");
    for _ in 2..KILLS_PER_WAVE {
        let mut running = folder.start();
        pause(dice, 1_000);
        running.kill();
    }
    judge(&folder)
}

/// How many executions have not ended.
fn in_flight(running: &Running) -> usize {
    let (mut count, mut request) = (0, json!({"stateMachineArn": MACHINE, "statusFilter": "RUNNING"}));
    loop {
        let page = ask(running, "ListExecutions", &request);
        count += page["executions"].as_array().map_or(0, Vec::len);
        match &page["nextToken"] {
            Value::Null => return count,
            token => request["nextToken"] = token.clone(),
        }
    }
}

/// Lets all end, and looks at each; gives how many tries failed as the function meant them to.
fn judge(folder: &Folder) -> u64 {
    let running = folder.start();
    within(Duration::from_secs(300), "all executions have ended", || in_flight(&running) == 0);
    let (mut flaky, mut calls) = (0, 0);
    for n in 0..EXECUTIONS {
        let arn = format!("{}:e{n}", MACHINE.replace(":stateMachine:", ":execution:"));
        let described = ask(&running, "DescribeExecution", &json!({"executionArn": arn}));
        let output = json!({"n": ((n + 1) * 2 + 1) * 2 + 2}).to_string();
        assert_eq!(
            (&described["status"], &described["output"]),
            (&json!("SUCCEEDED"), &json!(output)),
            "{arn}"
        );
        flaky += history(&running, &arn);
        for call in [format!("{}-1", n + 1), format!("{}-2", (n + 1) * 2 + 1)] {
            let made = std::fs::read(folder.join(&format!("calls/{call}"))).unwrap_or_default();
            assert!(!made.is_empty(), "task {call} was never run");
            calls += made.len();
        }
    }
    println!("{calls} calls for {} tasks, {flaky} of them failed as meant", EXECUTIONS * 2);
    assert_eq!(running.stop(), Some(0));
    flaky
}

/// Holds a history against the transitions; gives its tries that failed.
fn history(running: &Running, arn: &str) -> u64 {
    let (mut events, mut request) = (Vec::new(), json!({"executionArn": arn, "maxResults": 1000}));
    loop {
        let page = ask(running, "GetExecutionHistory", &request);
        events.extend(page["events"].as_array().expect("events").iter().cloned());
        match &page["nextToken"] {
            Value::Null => break,
            token => request["nextToken"] = token.clone(),
        }
    }
    let mut left: Vec<(&str, &str)> = Vec::new();
    let mut failures = BTreeMap::<&str, u64>::new();
    for (index, event) in events.iter().enumerate() {
        let id = event["id"].as_u64().expect("an id");
        assert_eq!(id, index as u64 + 1, "the ids of {arn} have a gap");
        assert!(event["previousEventId"].as_u64().is_some_and(|previous| previous < id), "{event}");
        let kind = event["type"].as_str().expect("a type");
        if kind == "TaskFailed" {
            *failures
                .entry(event["taskFailedEventDetails"]["error"].as_str().unwrap_or_default())
                .or_default() += 1;
            assert_eq!(
                (left.pop(), left.pop()),
                (Some(("TaskStarted", "")), Some(("TaskScheduled", ""))),
                "{arn}"
            );
            continue;
        }
        let name = ["stateEnteredEventDetails", "stateExitedEventDetails"]
            .iter()
            .find_map(|details| event[*details]["name"].as_str());
        left.push((kind, name.unwrap_or_default()));
    }
    assert_eq!(left, TRANSITIONS, "{arn}");
    failures.remove("Lambda.TooManyRequestsException");
    let flaky = failures.remove("Flaky").unwrap_or_default();
    assert!(flaky <= 1 && failures.is_empty(), "{arn}: {flaky} times Flaky, and {failures:?}");
    flaky
}

#[test]
fn two_hundred_executions_survive_kills() {
    let kills: u64 = std::env::var("BOURN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS_PER_WAVE);
    let seed: u64 = std::env::var("BOURN_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0x5eed);
    println!("seed {seed}, {kills} kills");
    let mut dice = Dice(seed);
    let flaky: u64 = (0..kills.div_ceil(KILLS_PER_WAVE)).map(|_| wave(&mut dice)).sum();
    assert!(flaky > 0, "nothing was retried");
}
