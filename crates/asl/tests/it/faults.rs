//! Faults of definitions: each is found, at its place, and all are found at once.

use bourn_asl::{Machine, Severity};
use serde_json::{Value, json};

/// `code at location` of every fault.
fn found(definition: &Value) -> Vec<String> {
    Machine::validate(&definition.to_string())
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .map(|f| format!("{} at {}", f.code, f.location))
        .collect()
}

fn machine(state: Value) -> Value {
    json!({"StartAt": "S", "States": {"S": state}})
}

/// The state alone in a machine has exactly one fault: these words, there.
fn check(state: Value, location: &str, part: &str) {
    let definition = machine(state);
    let faults = Machine::validate(&definition.to_string());
    assert_eq!(faults.len(), 1, "{definition}: {faults:?}");
    assert_eq!(faults[0].location, format!("/States/S{location}"), "{definition}: {faults:?}");
    assert!(faults[0].message.contains(part), "{definition}: {faults:?}");
}

fn pass(more: Value) -> Value {
    with(json!({"Type": "Pass", "End": true}), more)
}

fn task(more: Value) -> Value {
    with(json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true}), more)
}

fn with(mut state: Value, more: Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        state[key] = value.clone();
    }
    state
}

#[test]
fn names_unknown_and_missing_fields() {
    check(pass(json!({"Nope": 1})), "/Nope", "Field is not supported");
    check(json!({"Type": "Task", "End": true}), "", "These fields are required: [Resource]");
    check(json!({"Type": "Nope"}), "/Type", "The field 'Type' should have one of these values: [Task, Wait,");
    check(json!({"End": true}), "", "These fields are required: [Type]");
    check(json!(1), "", "Object");
    check(pass(json!({"Comment": 1})), "/Comment", "String");
    check(json!({"Type": "Pass"}), "", "Exactly one of these fields is required: [Next, End]");
    check(pass(json!({"Next": "S"})), "", "Only one of these fields is allowed: [Next, End]");
    check(json!({"Type": "Succeed", "End": true}), "/End", "not supported");
    check(task(json!({"Retry": [{"ErrorEquals": ["A"], "X": 1}]})), "/Retry/0/X", "not supported");
}

#[test]
fn keeps_the_languages_apart() {
    check(
        pass(json!({"QueryLanguage": "JSONata", "InputPath": "$"})),
        "/InputPath",
        "only supported for the 'JSONPath'",
    );
    check(pass(json!({"Output": 1})), "/Output", "only supported for the 'JSONata'");
    check(task(json!({"Arguments": {}})), "/Arguments", "only supported for the 'JSONata'");
    check(task(json!({"QueryLanguage": "JSONata", "ResultSelector": {}})), "/ResultSelector", "'JSONPath'");
    check(pass(json!({"QueryLanguage": "XPath"})), "/QueryLanguage", "[JSONPath, JSONata]");
    let mixed = json!({"QueryLanguage": "JSONata", "StartAt": "S", "States": {"S": pass(json!({"QueryLanguage": "JSONPath"}))}});
    assert_eq!(found(&mixed), ["SCHEMA_VALIDATION_FAILED at /States/S/QueryLanguage"]);
}

#[test]
fn compiles_paths_templates_and_expressions() {
    check(pass(json!({"InputPath": "$."})), "/InputPath", "must not end with");
    check(pass(json!({"ResultPath": "$.a[*]"})), "/ResultPath", "Reference Path");
    check(pass(json!({"ResultPath": "$$.a"})), "/ResultPath", "Reference Path");
    let dynamic = "must be a valid JSONPath or a valid intrinsic function call";
    check(pass(json!({"Parameters": {"a": [{"b.$": "x"}]}})), "/Parameters/a/0", dynamic);
    check(pass(json!({"Parameters": {"b.$": 1}})), "/Parameters", dynamic);
    check(pass(json!({"Parameters": {"b.$": "States.Nope()"}})), "/Parameters", dynamic);
    check(pass(json!({"Parameters": {"b.$": "$.a", "b": 1}})), "/Parameters", "given twice");
    check(
        pass(json!({"QueryLanguage": "JSONata", "Output": {"a": ["{% 1 + %}"]}})),
        "/Output/a/0",
        "JSONata",
    );
    check(pass(json!({"Assign": {"1a": 1}})), "/Assign/1a", "Invalid variable name");
    check(pass(json!({"Assign": {"states": 1}})), "/Assign/states", "Reserved");
    assert!(found(&machine(pass(json!({"Result": {"a.$": "nothing"}})))).is_empty());
}

#[test]
fn holds_numbers_to_their_ranges() {
    check(task(json!({"TimeoutSeconds": 0})), "/TimeoutSeconds", "from 1 to 99999999");
    check(task(json!({"TimeoutSeconds": "5"})), "/TimeoutSeconds", "Integer");
    check(task(json!({"TimeoutSeconds": 5, "HeartbeatSeconds": 5})), "/HeartbeatSeconds", "less than");
    check(task(json!({"TimeoutSeconds": 5, "TimeoutSecondsPath": "$.t"})), "", "Only one");
    check(
        task(json!({"Retry": [{"ErrorEquals": ["A"], "BackoffRate": 0.5}]})),
        "/Retry/0/BackoffRate",
        "from 1",
    );
    check(
        task(json!({"Retry": [{"ErrorEquals": ["A"], "MaxAttempts": -1}]})),
        "/Retry/0/MaxAttempts",
        "from 0",
    );
    check(
        task(json!({"Retry": [{"ErrorEquals": ["A"], "IntervalSeconds": 9, "MaxDelaySeconds": 9}]})),
        "/Retry/0/MaxDelaySeconds",
        "greater",
    );
    check(
        task(json!({"Retry": [{"ErrorEquals": ["A"], "JitterStrategy": "HALF"}]})),
        "/Retry/0/JitterStrategy",
        "[FULL, NONE]",
    );
    check(json!({"Type": "Wait", "Seconds": -1, "End": true}), "/Seconds", "from 0");
    check(json!({"Type": "Wait", "Timestamp": "2026-01-01", "End": true}), "/Timestamp", "RFC3339");
    check(json!({"Type": "Wait", "End": true}), "", "Exactly one");
    check(json!({"Type": "Wait", "Seconds": 1, "SecondsPath": "$.a", "End": true}), "", "Only one");
}

#[test]
fn judges_retry_and_catch() {
    check(task(json!({"Retry": [{"ErrorEquals": []}]})), "/Retry/0/ErrorEquals", "cannot be empty");
    check(task(json!({"Retry": [{"ErrorEquals": ["States.ALL", "A"]}]})), "/Retry/0/ErrorEquals", "alone");
    check(
        task(json!({"Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["A"]}]})),
        "/Retry/0/ErrorEquals",
        "last",
    );
    check(
        task(json!({"Catch": [{"ErrorEquals": ["A"], "Next": "X"}]})),
        "/Catch/0/Next",
        "Missing 'Next' target: X",
    );
    check(task(json!({"Catch": {}})), "/Catch", "Array");
    check(
        task(json!({"Credentials": {}})),
        "/Credentials",
        "The field 'RoleArn' is required but was missing",
    );
}

#[test]
fn judges_choices() {
    let choice = |rule: Value| {
        json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [rule]}, "E": {"Type": "Succeed"}}})
    };
    let check = |rule: Value, expected: &[&str]| {
        let expected: Vec<String> = expected
            .iter()
            .map(|at| format!("SCHEMA_VALIDATION_FAILED at /States/C/Choices/0{at}"))
            .collect();
        let all = found(&choice(rule.clone()));
        let schema: Vec<String> = all.into_iter().filter(|f| f.starts_with("SCHEMA")).collect();
        assert_eq!(schema, expected, "{rule}");
    };
    check(json!({"Variable": "$.a", "NumericEquals": "1", "Next": "E"}), &["/NumericEquals"]);
    check(json!({"Variable": "$.a", "IsNull": 1, "Next": "E"}), &["/IsNull"]);
    check(json!({"Variable": "$.a", "StringMatchesPath": "$.b", "Next": "E"}), &["/StringMatchesPath", ""]);
    check(json!({"Variable": "$.a", "Next": "E"}), &[""]);
    check(json!({"Variable": "a", "IsNull": true, "Next": "E"}), &["/Variable"]);
    check(json!({"Variable": "$.a", "TimestampEquals": "x", "Next": "E"}), &["/TimestampEquals"]);
    check(json!({"Not": {"Variable": "$.a", "IsNull": true, "Next": "E"}, "Next": "E"}), &["/Not/Next"]);
    check(json!({"And": [], "Next": "E"}), &["/And"]);
    check(json!({"Condition": "{% true %}", "Next": "E"}), &["/Condition", "", ""]);
    check(json!({"Variable": "$.a", "IsNull": true}), &[""]);
}

#[test]
fn judges_maps_and_parallels() {
    let processor = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
    let map = |more: Value| with(json!({"Type": "Map", "End": true, "ItemProcessor": processor}), more);
    let mut distributed = map(json!({"Label": "a b"}));
    distributed["ItemProcessor"]["ProcessorConfig"] =
        json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"});
    check(distributed, "/Label", "label");
    check(map(json!({"Label": "ab"})), "/Label", "DISTRIBUTED");
    check(map(json!({"MaxConcurrency": -1})), "/MaxConcurrency", "from 0");
    check(map(json!({"ToleratedFailurePercentage": 101})), "/ToleratedFailurePercentage", "from 0 to 100");
    check(
        map(json!({"Iterator": processor})),
        "",
        "Only one of these fields is allowed: [ItemProcessor, Iterator]",
    );
    check(map(json!({"ItemSelector": {}, "Parameters": {}})), "", "Only one");
    check(map(json!({"ItemReader": {"Resource": "r"}})), "/ItemReader", "DISTRIBUTED");
    check(json!({"Type": "Map", "End": true}), "", "Exactly one");
    check(json!({"Type": "Parallel", "End": true, "Branches": []}), "/Branches", "cannot be empty");
    check(
        json!({"Type": "Parallel", "End": true, "Branches": [{"StartAt": "X", "States": {"P": {"Type": "Pass", "End": true}}}]}),
        "/Branches/0/StartAt",
        "Missing 'StartAt' target: X",
    );
}

#[test]
fn follows_transitions() {
    let two = json!({"StartAt": "pass1", "States": {
        "pass1": {"Type": "Pass", "Next": "pass3"}, "pass2": {"Type": "Pass", "End": true}}});
    let shown: Vec<String> = Machine::validate(&two.to_string()).iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: pass3 at /States/pass1/Next",
            "MISSING_TRANSITION_TARGET: State \"pass2\" is not reachable. at /States/pass2",
        ]
    );
    let endless = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}});
    assert_eq!(found(&endless), ["MISSING_END_STATE at /States"]);
    let twice = json!({"StartAt": "A", "States": {"A": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}]}}});
    assert_eq!(found(&twice), ["DUPLICATE_STATE_NAME at /States/A/Branches/0/States/A"]);
    let long = json!({"StartAt": "x".repeat(81), "States": {"x".repeat(81): {"Type": "Succeed"}}});
    assert_eq!(found(&long), [format!("INVALID_STATE_NAME at /States/{}", "x".repeat(81))]);
}

#[test]
fn finds_all_faults_at_once() {
    let definition = json!({"StartAt": "Nowhere", "Extra": 1, "TimeoutSeconds": "x", "States": {
        "A": {"Type": "Task", "Next": "B", "InputPath": "x", "Retry": [{}]},
        "B": {"Type": "Choice", "Choices": []},
        "C": {"Type": "What"},
    }});
    let all = found(&definition);
    for expected in [
        "SCHEMA_VALIDATION_FAILED at /Extra",
        "SCHEMA_VALIDATION_FAILED at /TimeoutSeconds",
        "SCHEMA_VALIDATION_FAILED at /States/A",
        "SCHEMA_VALIDATION_FAILED at /States/A/InputPath",
        "SCHEMA_VALIDATION_FAILED at /States/A/Retry/0",
        "SCHEMA_VALIDATION_FAILED at /States/B/Choices",
        "SCHEMA_VALIDATION_FAILED at /States/C/Type",
        "MISSING_TRANSITION_TARGET at /StartAt",
    ] {
        assert!(all.iter().any(|f| f == expected), "{expected} is not in {all:?}");
    }
}
