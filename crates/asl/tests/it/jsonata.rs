//! JSONata against what the reference implementation gives for the same expressions, and what Step Functions adds.

use crate::support::{fits, with_scope};
use bourn_asl::Jsonata;
use serde_json::{Value, json};

/// Expressions of our own with the results of jsonata 2.2.2; errors by their code.
#[test]
fn agrees_with_the_reference() {
    let data: Value = serde_json::from_str(include_str!("../data/jsonata.json")).expect("JSON");
    let mut wrong = Vec::new();
    let cases = data["cases"].as_array().expect("cases");
    for case in cases {
        let text = case["expr"].as_str().expect("an expression");
        let actual = outcome(text, &data["input"]);
        let good = match (&actual, case.get("result"), case.get("error")) {
            (Ok(value), Some(expected), _) => fits_exactly(expected, value),
            (Err(why), None, None) => why.contains("returned nothing (undefined)"),
            (Err(_), None, Some(code)) if LOOSE.contains(&text) => code.is_string(),
            (Err(why), None, Some(code)) => why.contains(&format!("{}:", code.as_str().unwrap_or_default())),
            _ => LOOSE.contains(&text),
        };
        if !good {
            wrong.push(format!("{text}\n    {actual:?}\n    expected {case}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Where Step Functions or this evaluator answers on purpose in other words: `$eval` is not there, a function is no
/// result, and a bare name has no input to look in.
const LOOSE: [&str; 2] = ["$eval(\"1\")", "function($x){$x}"];

fn fits_exactly(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-12 * a.abs()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| fits_exactly(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| fits_exactly(v, w)))
        }
        _ => expected == actual,
    }
}

/// The value, or the whole cause.
fn outcome(text: &str, input: &Value) -> Result<Value, String> {
    let jsonata = Jsonata::parse(text)?;
    with_scope(input, |scope| jsonata.eval("Output", scope).map_err(|fault| fault.cause))
}

#[test]
fn has_the_functions_of_step_functions() {
    let check = |text: &str, expected: Value| {
        let actual = outcome(text, &json!({"n": 2})).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert!(fits(&expected, &actual), "{text}: {actual}, expected {expected}");
    };
    check("$partition([1,2,3,4,5], 2)", json!([[1, 2], [3, 4], [5]]));
    check("$range(0, 10, 5)", json!([0, 5, 10]));
    check("$range(3, 1, -1)", json!([3, 2, 1]));
    check("$hash('abc', 'SHA-1')", json!("a9993e364706816aba3e25717850c26c9cd0d89d"));
    check("$parse('{\"a\":[1]}').a", json!([1]));
    check("$length($uuid())", json!(36));
    check("$random(5) = $random(5)", json!(true));
    check("$random() < 1", json!(true));
    check("$list[$ > 1]", json!([2, 3]));
    check("$name & $states.context.State.Name", json!("AdaState"));
    check("$millis() = $toMillis($now())", json!(true));
    check("$now()", json!("2026-01-01T00:00:00.000Z"));
    check("$states.input", json!({"n": 2}));
    check("$exists($states.result)", json!(false));
    check("$keys($states)", json!(["input", "context"]));
}

#[test]
fn names_what_failed() {
    let cause = |text: &str| outcome(text, &json!({})).expect_err("a failure");
    assert_eq!(
        cause("$doesNotExist"),
        "The JSONata expression '$doesNotExist' specified for the field 'Output' returned nothing (undefined)."
    );
    assert!(cause("1 + 'a'").contains("T2002"), "{}", cause("1 + 'a'"));
    assert!(cause("$eval('1')").contains("T1006"));
}
