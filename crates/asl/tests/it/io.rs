//! The order of input and output processing, retries, and which errors are taken.

use crate::support::with_scope;
use bourn_asl::{DATA_DEPTH_MAX, Kind, Machine, State, UseKind};
use serde_json::{Value, json};

fn state(definition: Value) -> State {
    Machine::parse_state("S", &definition.to_string()).unwrap_or_else(|f| panic!("{definition}: {f:?}"))
}

/// What the state's work gets, what it hands on, and what it assigns.
fn through(state: &State, input: &Value, result: Value) -> Result<(Value, Value, Value), String> {
    with_scope(input, |scope| {
        let entered = state.enter(scope).map_err(|f| f.to_string())?;
        let finished = state.finish(scope, &entered, result).map_err(|f| f.to_string())?;
        let assigned = finished.assigned.map_or(Value::Null, Value::Object);
        Ok((entered.effective().clone(), finished.output, assigned))
    })
}

#[test]
fn goes_through_json_path_in_order() {
    let task = state(json!({
        "Type": "Task", "Resource": "r", "End": true,
        "InputPath": "$.in", "Parameters": {"x.$": "$.a", "lit": "$.a"},
        "ResultSelector": {"picked.$": "$.value"}, "ResultPath": "$.out", "OutputPath": "$.out",
        "Assign": {"seen.$": "$.picked"},
    }));
    let input = json!({"in": {"a": 1}, "keep": true});
    let (effective, output, assigned) =
        through(&task, &input, json!({"value": 7, "rest": 0})).expect("a result");
    assert_eq!(effective, json!({"x": 1, "lit": "$.a"}));
    assert_eq!(output, json!({"picked": 7}));
    assert_eq!(assigned, json!({"seen": 7}));
}

#[test]
fn selects_nothing_and_discards() {
    let task =
        state(json!({"Type": "Task", "Resource": "r", "End": true, "InputPath": null, "ResultPath": null}));
    let (effective, output, _) = through(&task, &json!({"a": 1}), json!("result")).expect("a result");
    assert_eq!((effective, output), (json!({}), json!({"a": 1})));
    let task = state(json!({"Type": "Task", "Resource": "r", "End": true, "OutputPath": null}));
    assert_eq!(through(&task, &json!(1), json!(2)).expect("a result").1, json!({}));
}

#[test]
fn goes_through_jsonata_in_order() {
    let task = state(json!({
        "Type": "Task", "QueryLanguage": "JSONata", "Resource": "r", "End": true,
        "Arguments": {"x": "{% $states.input.a %}", "lit": "$.a"},
        "Output": {"r": "{% $states.result.value %}", "old": "{% $name %}"},
        "Assign": {"name": "{% $states.result.value %}", "was": "{% $name %}"},
    }));
    let (effective, output, assigned) =
        through(&task, &json!({"a": 1}), json!({"value": 7})).expect("a result");
    assert_eq!(effective, json!({"x": 1, "lit": "$.a"}));
    assert_eq!(output, json!({"r": 7, "old": "Ada"}));
    assert_eq!(assigned, json!({"name": 7, "was": "Ada"}));
}

/// A path that is missing can be caught where there is a Catch; elsewhere it ends the execution.
#[test]
fn names_missing_paths_by_type_of_state() {
    let fault = |kind: Value| {
        let mut definition = kind;
        definition["End"] = json!(true);
        definition["Parameters"] = json!({"x.$": "$.nope"});
        through(&state(definition), &json!({}), json!(1)).expect_err("missing")
    };
    let words = "The JSONPath '$.nope' specified for the field 'x.$' could not be found in the input '{}'";
    assert_eq!(fault(json!({"Type": "Pass"})), format!("States.Runtime: {words}"));
    let task = json!({"Type": "Task", "Resource": "r"});
    assert_eq!(fault(task), format!("States.ParameterPathFailure: {words}"));
}

#[test]
fn catches_in_both_languages() {
    let error = json!({"Error": "E", "Cause": "C"});
    let caught = |definition: Value| {
        let state = state(definition);
        with_scope(&json!({"a": 1}), |scope| {
            let done = state.catch(scope, &state.common.catch[0], error.clone()).expect("caught");
            (done.output, done.assigned.map_or(Value::Null, Value::Object))
        })
    };
    let json_path = caught(json!({"Type": "Task", "Resource": "r", "End": true, "Catch": [
        {"ErrorEquals": ["E"], "ResultPath": "$.err", "Assign": {"e.$": "$.Error"}, "Next": "N"}]}));
    assert_eq!(json_path, (json!({"a": 1, "err": error}), json!({"e": "E"})));
    let jsonata =
        caught(json!({"Type": "Task", "QueryLanguage": "JSONata", "Resource": "r", "End": true, "Catch": [
        {"ErrorEquals": ["E"], "Output": "{% $states.errorOutput.Cause %}", "Next": "N"}]}));
    assert_eq!(jsonata, (json!("C"), json!(null)));
}

#[test]
fn takes_the_errors_it_names() {
    let check = |names: Value, error: &str, expected: bool| {
        let state =
            state(json!({"Type": "Task", "Resource": "r", "End": true, "Retry": [{"ErrorEquals": names}]}));
        assert_eq!(state.common.retry[0].matches(error), expected, "{names} and {error}");
    };
    check(json!(["States.ALL"]), "Anything", true);
    check(json!(["States.ALL"]), "States.Timeout", true);
    check(json!(["States.ALL"]), "States.Runtime", false);
    check(json!(["States.ALL"]), "States.DataLimitExceeded", true);
    check(json!(["States.TaskFailed"]), "Anything", true);
    check(json!(["States.TaskFailed"]), "States.Timeout", false);
    check(json!(["States.TaskFailed"]), "States.Runtime", false);
    check(json!(["States.TaskFailed"]), "States.TaskFailed", true);
    check(json!(["States.TaskFailed"]), "States.HeartbeatTimeout", false);
    check(json!(["States.TaskFailed"]), "States.DataLimitExceeded", true);
    check(json!(["States.Runtime"]), "States.Runtime", true);
    check(json!(["States.Timeout"]), "States.HeartbeatTimeout", true);
    check(json!(["A", "B"]), "B", true);
    check(json!(["A"]), "B", false);
}

#[test]
fn backs_off() {
    let retrier = |fields: Value| {
        let mut retry = fields;
        retry["ErrorEquals"] = json!(["States.ALL"]);
        state(json!({"Type": "Task", "Resource": "r", "End": true, "Retry": [retry]})).common.retry[0].clone()
    };
    let plain = retrier(json!({}));
    assert_eq!((plain.interval_seconds, plain.max_attempts, plain.backoff_rate), (1, 3, 2.0));
    assert_eq!([0, 1, 2].map(|n| plain.delay_seconds(n, 0.5)), [1.0, 2.0, 4.0]);
    let capped = retrier(json!({"IntervalSeconds": 3, "BackoffRate": 1.5, "MaxDelaySeconds": 5}));
    assert_eq!([0, 1, 2].map(|n| capped.delay_seconds(n, 0.0)), [3.0, 4.5, 5.0]);
    let jitter = retrier(json!({"IntervalSeconds": 10, "JitterStrategy": "FULL"}));
    assert_eq!(jitter.delay_seconds(0, 0.25), 2.5);
    assert!(plain.delay_seconds(u64::MAX, 0.0).is_finite());
}

#[test]
fn lists_every_resource() {
    let inner = json!({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "inner", "Parameters": {"p": 1}, "End": true}}});
    let mut map = json!({"Type": "Map", "End": true, "ItemProcessor": inner,
        "ItemReader": {"Resource": "reader", "Parameters": {"Bucket": "b"}}, "ResultWriter": {"Resource": "writer"}});
    map["ItemProcessor"]["ProcessorConfig"] = json!({"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"});
    let machine = Machine::from_value(&json!({"StartAt": "M", "States": {"M": map}})).expect("a machine");
    let uses: Vec<(UseKind, String, &str, Value)> =
        machine.uses().into_iter().map(|u| (u.kind, u.pointer, u.resource, u.parameters)).collect();
    assert_eq!(
        uses,
        [
            (
                UseKind::ItemReader,
                "/States/M/ItemReader/Resource".to_owned(),
                "reader",
                json!({"Bucket": "b"})
            ),
            (UseKind::ResultWriter, "/States/M/ResultWriter/Resource".to_owned(), "writer", json!(null)),
            (UseKind::Task, "/States/M/ItemProcessor/States/T/Resource".to_owned(), "inner", json!({"p": 1})),
        ]
    );
    assert!(matches!(machine.find_state("T").map(|s| &s.kind), Some(Kind::Task(_))));
    assert_eq!(machine.states().len(), 2);
}

/// A machine goes from task to task of the runtime.
#[test]
fn may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Machine>();
}

/// What is nested deeper than readers of JSON go could be written, and never read again.
#[test]
fn refuses_data_that_a_loop_nests_without_end() {
    let check = |fields: Value, carried: fn((Value, Value, Value)) -> Value| {
        let mut definition = json!({"Type": "Pass", "End": true});
        definition.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let state = state(definition);
        let mut data = json!({"v": 1});
        for _ in 0..=DATA_DEPTH_MAX {
            match through(&state, &data, data.clone()) {
                Ok(given) => data = carried(given),
                Err(why) => return assert!(why.contains("nested deeper"), "{fields}: {why}"),
            }
        }
        panic!("{fields} nests without end");
    };
    check(
        json!({"Parameters": {"a.$": "$"}, "OutputPath": "$.v"}),
        |(effective, ..)| json!({"a": effective, "v": 1}),
    );
    check(json!({"ResultPath": "$.a"}), |(_, output, _)| output);
    check(json!({"Assign": {"a.$": "States.Array($)"}}), |(.., assigned)| assigned);
    let jsonata = |output: Value| json!({"QueryLanguage": "JSONata", "Output": output});
    check(jsonata(json!("{% [[$states.input]] %}")), |(_, output, _)| output);
    check(jsonata(json!({"a": "{% $states.input %}"})), |(_, output, _)| output);
}
