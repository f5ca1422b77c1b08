//! Rules of a Choice: operators, combinations, what is missing.

use crate::support::with_scope;
use bourn_asl::Machine;
use serde_json::{Value, json};

/// The rule as the only one of a Choice: whether it matched.
fn holds(rule: Value, input: &Value) -> Result<bool, String> {
    let mut rule = rule;
    rule["Next"] = json!("Yes");
    let definition = json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [rule], "Default": "No"}, "Yes": {"Type": "Succeed"}, "No": {"Type": "Succeed"},
    }});
    let machine = Machine::from_value(&definition).unwrap_or_else(|f| panic!("{definition}: {f:?}"));
    let state = machine.flow.state("C").expect("C");
    with_scope(input, |scope| {
        let entered = state.enter(scope).map_err(|f| f.to_string())?;
        state.choose(scope, &entered).map(|c| c.next == "Yes").map_err(|f| f.to_string())
    })
}

fn check(operator: &str, operand: Value, value: Value, expected: bool) {
    let rule = json!({"Variable": "$.v", operator: operand});
    assert_eq!(holds(rule, &json!({"v": value})), Ok(expected), "{value} {operator} {operand}");
}

#[test]
fn compares_strings() {
    check("StringEquals", json!("a"), json!("a"), true);
    check("StringEquals", json!("1"), json!(1), false);
    check("StringLessThan", json!("b"), json!("a"), true);
    check("StringLessThan", json!("a"), json!("a"), false);
    check("StringGreaterThan", json!("a"), json!("b"), true);
    check("StringLessThanEquals", json!("a"), json!("a"), true);
    check("StringGreaterThanEquals", json!("b"), json!("a"), false);
}

#[test]
fn matches_wildcards() {
    for (text, pattern, expected) in [
        ("abc", "abc", true),
        ("abc", "a*", true),
        ("abc", "*c", true),
        ("abc", "a*c", true),
        ("abc", "*b*", true),
        ("abc", "a*d", false),
        ("", "*", true),
        ("abc", "", false),
        ("log-a.txt", "log-*.txt", true),
        ("a*c", r"a\*c", true),
        ("abc", r"a\*c", false),
        (r"a\b", r"a\\b", true),
        ("aXbXc", "*X*c", true),
    ] {
        check("StringMatches", json!(pattern), json!(text), expected);
    }
    let (text, pattern) = ("a".repeat(50_000), "*a".repeat(20) + "b");
    check("StringMatches", json!(pattern), json!(text), false);
}

#[test]
fn compares_numbers_booleans_and_times() {
    check("NumericEquals", json!(1), json!(1.0), true);
    check("NumericEquals", json!(1), json!("1"), false);
    check("NumericLessThan", json!(2), json!(1.5), true);
    check("NumericGreaterThan", json!(2), json!(2), false);
    check("NumericLessThanEquals", json!(2), json!(2), true);
    check("NumericGreaterThanEquals", json!(3), json!(2), false);
    check("BooleanEquals", json!(false), json!(false), true);
    check("BooleanEquals", json!(false), json!(null), false);
    check("TimestampEquals", json!("2026-01-01T00:00:00Z"), json!("2026-01-01T01:00:00+01:00"), true);
    check("TimestampLessThan", json!("2026-01-01T00:00:01Z"), json!("2026-01-01T00:00:00.5Z"), true);
    check("TimestampGreaterThan", json!("2026-01-01T00:00:00Z"), json!("not a time"), false);
    check("TimestampLessThanEquals", json!("2026-01-01T00:00:00Z"), json!("2026-01-01T00:00:00Z"), true);
    check("TimestampGreaterThanEquals", json!("2026-01-01T00:00:00Z"), json!("2025-01-01T00:00:00Z"), false);
}

#[test]
fn tests_types() {
    check("IsNull", json!(true), json!(null), true);
    check("IsNull", json!(false), json!(1), true);
    check("IsNumeric", json!(true), json!(1.5), true);
    check("IsString", json!(true), json!(1), false);
    check("IsBoolean", json!(true), json!(false), true);
    check("IsTimestamp", json!(true), json!("2026-01-01T00:00:00Z"), true);
    check("IsTimestamp", json!(true), json!("2026-01-01"), false);
    check("IsTimestamp", json!(false), json!(5), true);
    check("IsPresent", json!(true), json!(null), true);
    check("IsPresent", json!(false), json!(null), false);
    assert_eq!(holds(json!({"Variable": "$.x", "IsPresent": false}), &json!({})), Ok(true));
    assert_eq!(holds(json!({"Variable": "$.x", "IsPresent": true}), &json!({})), Ok(false));
}

#[test]
fn compares_with_paths_and_variables() {
    let by_path = |operator: &str, input: Value| holds(json!({"Variable": "$.a", operator: "$.b"}), &input);
    assert_eq!(by_path("StringEqualsPath", json!({"a": "x", "b": "x"})), Ok(true));
    assert_eq!(by_path("NumericLessThanPath", json!({"a": 1, "b": 2})), Ok(true));
    assert_eq!(by_path("BooleanEqualsPath", json!({"a": true, "b": 1})), Ok(false));
    let times = json!({"a": "2026-01-01T00:00:00Z", "b": "2026-01-01T00:00:00Z"});
    assert_eq!(by_path("TimestampGreaterThanEqualsPath", times), Ok(true));
    assert_eq!(holds(json!({"Variable": "$name", "StringEquals": "Ada"}), &json!({})), Ok(true));
    assert_eq!(holds(json!({"Variable": "$$.State.Name", "StringEquals": "State"}), &json!({})), Ok(true));
}

#[test]
fn combines() {
    let one = |n: i64| json!({"Variable": "$.v", "NumericEquals": n});
    let input = json!({"v": 1});
    assert_eq!(holds(json!({"And": [one(1), one(1)]}), &input), Ok(true));
    assert_eq!(holds(json!({"And": [one(1), one(2)]}), &input), Ok(false));
    assert_eq!(holds(json!({"Or": [one(2), one(1)]}), &input), Ok(true));
    assert_eq!(holds(json!({"Not": one(2)}), &input), Ok(true));
    assert_eq!(holds(json!({"Not": {"And": [one(1), {"Or": [one(2), {"Not": one(1)}]}]}}), &input), Ok(true));
}

/// `And` and `Or` stop early, so a guard protects what stands behind it.
#[test]
fn fails_on_what_is_missing() {
    let missing = json!({"Variable": "$.x", "NumericEquals": 1});
    let why = holds(missing.clone(), &json!({})).expect_err("missing");
    assert_eq!(
        why,
        "States.Runtime: Invalid path '$.x': The choice state's condition path references an invalid value."
    );
    let guard = json!({"Variable": "$.x", "IsPresent": true});
    assert_eq!(holds(json!({"And": [guard, missing]}), &json!({})), Ok(false));
}

#[test]
fn names_when_nothing_matched() {
    let definition = json!({"StartAt": "C", "QueryLanguage": "JSONata", "States": {
        "C": {"Type": "Choice", "Choices": [{"Condition": "{% $states.input.a %}", "Next": "E"}]}, "E": {"Type": "Succeed"},
    }});
    let machine = Machine::from_value(&definition).expect("a machine");
    let choose = |input: Value| {
        let state = machine.flow.state("C").expect("C");
        with_scope(&input, |scope| {
            let entered = state.enter(scope).expect("input");
            state.choose(scope, &entered).map(|c| c.next).map_err(|f| (f.error, f.location))
        })
    };
    assert_eq!(choose(json!({"a": true})), Ok("E".to_owned()));
    assert_eq!(choose(json!({"a": false})), Err(("States.NoChoiceMatched", None)));
    let location = Some("Choices[0]/Condition".to_owned());
    assert_eq!(choose(json!({"a": 1})), Err(("States.QueryEvaluationError", location)));
}
