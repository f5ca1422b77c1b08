//! Recorded cases of Step Functions: every definition is read, and machines that need nobody else are run.

use crate::support::{Ended, cases, fits, name, run, runs_alone, with_scope, with_task_scope};
use bourn_asl::{Diagnostic, Kind, Machine};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Machines that AWS took are taken, and those it refused are refused.
#[test]
fn takes_every_definition_that_was_run() {
    let mut wrong = Vec::new();
    for case in cases() {
        let topic = case["topic"].as_str().unwrap_or_default();
        if topic == "validation" || case["definition"].is_string() || refused(&case) {
            continue;
        }
        let text = case["definition"].to_string();
        let faults = if case["definition"].get("States").is_some() {
            Machine::parse(&text).err()
        } else {
            Machine::parse_state("StateName", &text).err()
        };
        if let Some(faults) = faults {
            let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
            wrong.push(format!("{}: {}", name(&case), list.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{} refused:\n{}", wrong.len(), wrong.join("\n"));
}

/// A whole machine that AWS took.
fn taken(case: &Value) -> bool {
    case["definition"].get("States").is_some() && case["topic"] != "validation" && !refused(case)
}

/// Whether AWS answered that the definition is at fault.
fn refused(case: &Value) -> bool {
    case["expect"]["recorded"]["Error"]["Code"] == "InvalidDefinition"
}

/// Definitions that a TestState call refuses, in AWS's words.
#[test]
fn words_faults_of_tested_states_as_recorded() {
    let mut checked = 0;
    for case in cases().iter().filter(|c| c["topic"] == "test-state" && refused(c)) {
        let text = case["definition"].to_string();
        let faults = match case["definition"].get("States") {
            Some(_) => Machine::validate(&text),
            None => Machine::parse_state("StateName", &text).err().unwrap_or_default(),
        };
        let expected = &case["expect"]["recorded"]["message"];
        assert_eq!(json!(Diagnostic::invalid_definition(&faults)), *expected, "{}", name(case));
        checked += 1;
    }
    assert!(checked >= 2, "only {checked} were checked");
}

/// What is not the language's to fail: the size of an input is its caller's to bound.
const NOT_HERE: [&str; 1] = ["error_handling/test_states_errors/test_start_large_input"];

/// Every machine of Pass, Choice, Succeed and Fail states ends as recorded, state by state.
#[test]
fn runs_lone_machines_as_recorded() {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases() {
        if case["request"].is_object() || !case["definition"].is_object() {
            continue;
        }
        if NOT_HERE.contains(&name(&case)) {
            continue;
        }
        let Ok(machine) = Machine::parse(&case["definition"].to_string()) else { continue };
        if !runs_alone(&machine) {
            continue;
        }
        let ended = run(&machine, &case["input"]);
        let counts = counts.entry(case["topic"].as_str().unwrap_or_default().to_owned()).or_default();
        counts.1 += 1;
        match differs(&case["expect"], &ended) {
            None => counts.0 += 1,
            Some(how) => wrong.push(format!("{}: {how}", name(&case))),
        }
    }
    println!("passed of run, by topic: {counts:?}");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    let run: usize = counts.values().map(|(_, run)| run).sum();
    assert!(run > 300, "only {run} cases were run");
}

fn differs(expect: &Value, ended: &Ended) -> Option<String> {
    match &ended.outcome {
        Ok(output) if expect["status"] != "SUCCEEDED" => return Some(format!("succeeded with {output}")),
        Ok(output) if !fits(&expect["output"], output) => {
            return Some(format!("output {output}, expected {}", expect["output"]));
        }
        Err((error, cause)) if expect["status"] != "FAILED" => {
            return Some(format!("failed: {error}: {cause}"));
        }
        Err((error, cause)) => {
            let expected_error = expect["error"].as_str().unwrap_or_default();
            if expected_error != "StartState" && expected_error != error {
                return Some(format!("error {error}, expected {expected_error}; {cause}"));
            }
            let expected = expect["cause"].as_str().unwrap_or_default();
            if !fits(&json!(expected), &json!(cause)) {
                return Some(format!("cause {cause}, expected {expected}"));
            }
        }
        Ok(_) => {}
    }
    let exits = expect["events"].as_array().into_iter().flatten();
    let exits = exits.filter(|e| e["type"].as_str().is_some_and(|t| t.ends_with("StateExited")));
    for (event, (state, output, assigned)) in exits.zip(&ended.exits) {
        let details = &event["details"];
        if details["name"] != json!(state) || !fits(&details["output"], output) {
            return Some(format!("{state} gave {output}, expected {details}"));
        }
        let expected = details.get("assignedVariables").cloned().unwrap_or(Value::Null);
        let assigned = assigned.clone().unwrap_or(Value::Null);
        if !fits(&expected, &assigned) {
            return Some(format!("{state} assigned {assigned}, expected {expected}"));
        }
    }
    None
}

/// Every recorded fault of a definition, in AWS's words and at AWS's place.
#[test]
fn words_faults_as_recorded() {
    let mut checked = 0;
    for case in cases().iter().filter(|c| c["topic"] == "validation") {
        let text = match &case["definition"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut faults = Machine::validate(&text);
        let express = name(case).contains("express/test_illegal") || case["request"]["type"] == "EXPRESS";
        if let (Ok(machine), true) = (Machine::parse(&text), express) {
            faults.extend(machine.express_faults());
        }
        if name(case).contains("test_invalid_integration") {
            // Which resources there are is not the language's to say; how the fault reads is.
            let machine = Machine::parse(&text).expect("a machine");
            let used = machine.uses();
            faults.push(Diagnostic::unknown_resource(used[0].resource, &used[0].pointer));
        }
        let recorded = &case["expect"]["recorded"];
        let expected: Vec<String> = match recorded.get("diagnostics") {
            Some(list) => {
                let list = list.as_array().expect("diagnostics");
                list.iter()
                    .map(|d| {
                        format!(
                            "{}: {} at {}",
                            text_of(d, "code"),
                            text_of(d, "message"),
                            text_of(d, "location")
                        )
                    })
                    .collect()
            }
            None => {
                let message = recorded.get("message").or(recorded.get("exception_value")).expect("a message");
                let message = message.as_str().expect("a text");
                let from = message.find("'SCHEMA").expect("a fault") + 1;
                vec![message[from..message.len() - 1].replace("<partition>", "aws")]
            }
        };
        let actual: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(actual, expected, "{}", name(case));
        checked += 1;
    }
    assert_eq!(checked, 13);
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Each definition reads the same from YAML-free JSON text and from a value, and its sources survive.
#[test]
fn keeps_the_source() {
    for case in cases().iter().filter(|c| taken(c)) {
        let machine = Machine::from_value(&case["definition"]).expect("taken before");
        assert_eq!(machine.source, case["definition"]);
        assert!(machine.flow.state(&machine.flow.start_at).is_some());
    }
}

/// Items of a Map, its bounds, and the times of a Wait fail as recorded.
#[test]
fn evaluates_settings_as_recorded() {
    let mut checked = 0;
    for case in cases().iter().filter(|c| taken(c)) {
        let machine = Machine::parse(&case["definition"].to_string()).expect("taken before");
        let Some(state) = machine.flow.state(&machine.flow.start_at) else { continue };
        let Some(cause) = case["expect"]["cause"].as_str() else { continue };
        let wanted = matches!(&state.kind, Kind::Map(_) | Kind::Wait(_));
        if !wanted
            || !cause.starts_with(&format!("An error occurred while executing the state '{}'", state.name))
        {
            continue;
        }
        let fault = with_scope(&case["input"], |scope| settings_fault(state, scope));
        let fault = fault.unwrap_or_else(|| panic!("{}: nothing failed; expected {cause}", name(case)));
        let actual = fault.cause_in(&state.name, 2);
        assert!(fits(&json!(cause), &json!(actual)), "{}:\n {actual}\n {cause}", name(case));
        assert_eq!(fault.error, case["expect"]["error"], "{}", name(case));
        checked += 1;
    }
    println!("settings that fail as recorded: {checked}");
    assert!(checked >= 10, "only {checked} were checked");
}

fn settings_fault(state: &bourn_asl::State, scope: &bourn_asl::Scope<'_>) -> Option<bourn_asl::EvalError> {
    use bourn_asl::WaitUntil;
    let entered = match state.enter(scope) {
        Ok(entered) => entered,
        Err(fault) => return Some(fault),
    };
    let scope = scope.with_input(entered.effective());
    match &state.kind {
        Kind::Wait(wait) => match &wait.until {
            WaitUntil::Seconds(s) => s.seconds(&scope).err(),
            WaitUntil::Timestamp(s) => s.timestamp_ms(&scope).err(),
        },
        Kind::Map(map) => {
            let count = |s: &Option<bourn_asl::Setting>| s.as_ref().and_then(|s| s.count(&scope).err());
            let percentage = map.tolerated_failure_percentage.as_ref();
            count(&map.max_concurrency)
                .or_else(|| count(&map.tolerated_failure_count))
                .or_else(|| percentage.and_then(|s| s.percentage(&scope).err()))
                .or_else(|| state.map_items(&scope, &entered).err())
        }
        _ => None,
    }
}

/// What a first Task hands to its service, and what it makes of the answer, is as recorded.
#[test]
fn passes_tasks_input_and_output_as_recorded() {
    let (mut sent, mut handed_on, mut wrong) = (0, 0, Vec::new());
    for case in cases().iter().filter(|c| taken(c)) {
        let machine = Machine::parse(&case["definition"].to_string()).expect("taken before");
        let Some(state) = machine.flow.state(&machine.flow.start_at) else { continue };
        let Some(events) = case["expect"]["events"].as_array() else { continue };
        if !matches!(state.kind, Kind::Task(_)) {
            continue;
        }
        let details = |kind: &str| events.iter().find(|e| e["type"] == kind).map(|e| &e["details"]);
        let exit = details("TaskStateExited").filter(|d| d["name"] == json!(state.name));
        // Without a failure on the way the first answer belongs to the first state.
        let plain = !events
            .iter()
            .any(|e| e["type"].as_str().is_some_and(|t| t.contains("Failed") || t.contains("TimedOut")));
        with_task_scope(&case["input"], &state.name, |scope| {
            let Ok(entered) = state.enter(scope) else { return };
            let parameters =
                details("TaskScheduled").map(|d| filled(case, &d["parameters"])).filter(Value::is_object);
            if let Some(parameters) = parameters {
                sent += 1;
                if !fits(&parameters, entered.effective()) {
                    wrong.push(format!(
                        "{}: sent {}, expected {parameters}",
                        name(case),
                        entered.effective()
                    ));
                }
            }
            let answer = details("TaskSucceeded")
                .or(details("LambdaFunctionSucceeded"))
                .map(|d| filled(case, &d["output"]));
            let (Some(answer), Some(exit), true) = (answer, exit, plain) else { return };
            let Ok(finished) = state.finish(scope, &entered, answer) else { return };
            handed_on += 1;
            let expected = filled(case, &exit["output"]);
            if !fits(&expected, &finished.output) {
                wrong.push(format!("{}: gave {}, expected {expected}", name(case), finished.output));
            }
        });
    }
    println!("tasks sent as recorded: {sent}, handed on: {handed_on}");
    let wrong: Vec<String> = wrong.into_iter().map(|w| w.chars().take(900).collect()).collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(sent > 30 && handed_on > 20, "only {sent} and {handed_on} were checked");
}

/// The recording with the values this case has in the place of its placeholders.
fn filled(case: &Value, recorded: &Value) -> Value {
    let mut text = recorded.to_string();
    let mut tokens: Vec<(&String, &Value)> = case["placeholders"].as_object().into_iter().flatten().collect();
    tokens.sort_by_key(|(token, _)| std::cmp::Reverse(token.len()));
    for (token, value) in tokens {
        let value = value.as_str().unwrap_or_default();
        text = text.replace(token.as_str(), value);
    }
    serde_json::from_str(&text).unwrap_or_else(|_| recorded.clone())
}
