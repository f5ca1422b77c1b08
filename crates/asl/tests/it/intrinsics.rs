//! Every intrinsic function: results, rules for arguments, escapes.

use crate::support::{fits, with_scope};
use bourn_asl::Call;
use serde_json::{Value, json};

fn outcome(text: &str, input: &Value) -> Result<Value, String> {
    let call = Call::parse(text)?;
    with_scope(input, |scope| call.eval("Parameters/x.$", scope).map_err(|fault| fault.to_string()))
}

fn check(text: &str, input: Value, expected: Value) {
    let actual = outcome(text, &input).unwrap_or_else(|why| panic!("{text} on {input}: {why}"));
    assert!(fits(&expected, &actual), "{text} on {input}: {actual}, expected {expected}");
}

/// It compiles, and fails with `States.IntrinsicFailure`.
fn fails(text: &str, input: Value, part: &str) {
    let why = outcome(text, &input).expect_err(text);
    assert!(why.starts_with("States.IntrinsicFailure: The function '"), "{text}: {why}");
    assert!(why.contains(part), "{text}: {why}, expected {part}");
}

fn refused(text: &str, part: &str) {
    let why = Call::parse(text).map(|_| ()).expect_err(text);
    assert!(why.contains(part), "{text}: {why}, expected {part}");
}

#[test]
fn works_on_arrays() {
    check("States.Array()", json!({}), json!([]));
    check(
        "States.Array(1, 'a', null, true, $.x)",
        json!({"x": {"y": 1}}),
        json!([1, "a", null, true, {"y": 1}]),
    );
    check("States.ArrayPartition($, 2)", json!([1, 2, 3]), json!([[1, 2], [3]]));
    check("States.ArrayPartition($, 1.5)", json!([1, 2, 3]), json!([[1, 2], [3]]));
    fails("States.ArrayPartition($, 0)", json!([1]), "positive");
    fails("States.ArrayPartition($, 2)", json!({}), "array");
    check("States.ArrayContains($, 2)", json!([1, 2.0]), json!(true));
    check("States.ArrayContains($.a, $.v)", json!({"a": [{"k": 1}], "v": {"k": 1}}), json!(true));
    check("States.ArrayContains($, '2')", json!([1, 2]), json!(false));
    check("States.ArrayRange(1, 9, 2)", json!({}), json!([1, 3, 5, 7, 9]));
    check("States.ArrayRange(9, 1, -4)", json!({}), json!([9, 5, 1]));
    check("States.ArrayRange(1, 0, 1)", json!({}), json!([]));
    check("States.ArrayRange(0.5, 2.4, 1)", json!({}), json!([1, 2]));
    fails("States.ArrayRange(1, 2, 0)", json!({}), "zero");
    fails("States.ArrayRange(1, 2000, 1)", json!({}), "1000");
    check("States.ArrayGetItem($, 1)", json!(["a", "b"]), json!("b"));
    fails("States.ArrayGetItem($, 2)", json!(["a", "b"]), "bounds");
    fails("States.ArrayGetItem($, -1)", json!(["a", "b"]), "bounds");
    check("States.ArrayLength($list)", json!({}), json!(3));
    fails("States.ArrayLength($)", json!("text"), "array");
    check("States.ArrayUnique($)", json!([1, 1.0, "1", [2], [2], null, null]), json!([1, "1", [2], null]));
}

#[test]
fn encodes_and_hashes() {
    check("States.Base64Encode('Data to encode')", json!({}), json!("RGF0YSB0byBlbmNvZGU="));
    check("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", json!({}), json!("Data to encode"));
    fails("States.Base64Decode('%%%')", json!({}), "Base64");
    fails("States.Base64Encode($.t)", json!({"t": "x".repeat(10_001)}), "10000");
    check("States.Hash('abc', 'MD5')", json!({}), json!("900150983cd24fb0d6963f7d28e17f72"));
    check("States.Hash('abc', 'SHA-1')", json!({}), json!("a9993e364706816aba3e25717850c26c9cd0d89d"));
    check(
        "States.Hash('abc', 'SHA-256')",
        json!({}),
        json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    );
    let length = |algorithm: &str| {
        outcome(&format!("States.Hash('abc', '{algorithm}')"), &json!({}))
            .ok()
            .and_then(|v| v.as_str().map(str::len))
    };
    assert_eq!((length("SHA-384"), length("SHA-512")), (Some(96), Some(128)));
    fails("States.Hash('abc', 'SHA-3')", json!({}), "SHA-3");
}

#[test]
fn works_on_json_and_strings() {
    let objects = json!({"a": {"x": {"p": 1}, "y": 1}, "b": {"x": {"q": 2}}});
    check("States.JsonMerge($.a, $.b, false)", objects.clone(), json!({"x": {"q": 2}, "y": 1}));
    fails("States.JsonMerge($.a, $.b, true)", objects.clone(), "shallow");
    fails("States.JsonMerge($.a, 1, false)", objects, "objects");
    check("States.StringToJson('{\"a\": [1, 2.5]}')", json!({}), json!({"a": [1, 2.5]}));
    check("States.StringToJson('  ')", json!({}), json!(null));
    fails("States.StringToJson('{')", json!({}), "Invalid JSON");
    check("States.JsonToString($)", json!({"a": [1, "x"]}), json!("{\"a\":[1,\"x\"]}"));
    check("States.StringSplit('1,2+3', ',+')", json!({}), json!(["1", "2", "3"]));
    check("States.StringSplit(',,a,,', ',')", json!({}), json!(["a"]));
    fails("States.StringSplit(1, ',')", json!({}), "strings");
    check("States.Format('Hi {}, {} of {}', $name, 1.5, $list)", json!({}), json!("Hi Ada, 1.5 of [1,2,3]"));
    check("States.Format($.t, 1)", json!({"t": "<{}>"}), json!("<1>"));
    check(r"States.Format('\{{}\} it\'s \\ {}', 'a', null)", json!({}), json!(r"{a} it's \ null"));
    refused("States.Format('{}')", "arguments");
    refused("States.Format('{} {}', 1)", "arguments");
    refused("States.Format('{a}', 1)", "Matching");
    fails("States.Format($.t, 1)", json!({"t": "none"}), "arguments");
    check("States.Array('{\"a\"}', ',', ')')", json!({}), json!(["{\"a\"}", ",", ")"]));
}

#[test]
fn works_on_numbers() {
    check("States.MathAdd(1, -2)", json!({}), json!(-1));
    check("States.MathAdd(1.49, 1.5)", json!({}), json!(3));
    check("States.MathAdd(-0.5, 0.5)", json!({}), json!(1));
    check("States.MathAdd(-1.5, 0)", json!({}), json!(-1));
    check("States.MathAdd(2147483647, 0)", json!({}), json!(2_147_483_647));
    fails("States.MathAdd(2147483648, 0)", json!({}), "2147483647");
    fails("States.MathAdd('1', 0)", json!({}), "number");
    check("States.MathRandom(3, 4)", json!({}), json!(3));
    fails("States.MathRandom(4, 4)", json!({}), "less than");
    for seed in 0..50 {
        let text = format!("States.MathRandom(-2, 3, {seed})");
        let first = outcome(&text, &json!({})).expect("a number");
        assert_eq!(outcome(&text, &json!({})), Ok(first.clone()), "a seed repeats itself");
        assert!((-2..3).contains(&first.as_i64().expect("a whole number")), "{text}: {first}");
    }
    let uuid = outcome("States.UUID()", &json!({})).expect("a UUID");
    let uuid = uuid.as_str().expect("a string").to_owned();
    assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'), "{uuid}");
}

#[test]
fn nests_and_reads_paths() {
    check("States.ArrayLength(States.StringSplit($.a.b, ' '))", json!({"a": {"b": "x y z"}}), json!(3));
    check(
        "States.Array($['a,b'], $.c[?(@.d == ')')].e, $$.State.Name)",
        json!({"a,b": 1, "c": [{"d": ")", "e": 2}]}),
        json!([1, [2], "State"]),
    );
    fails(
        "States.Array($.nope)",
        json!({"a": 1}),
        "The JsonPath argument for the field '$.nope' could not be found in the input '{\"a\":1}'",
    );
}

#[test]
fn refuses_what_is_no_call() {
    refused("States.Nope()", "Unknown function");
    refused("Array(1)", "States.");
    refused("States.Array(1", "Expected ','");
    refused("States.Array(1) x", "behind the call");
    refused("States.Array('a)", "not closed");
    refused(r#"States.Array('a\"b')"#, "Illegal escape");
    refused("States.UUID(1)", "takes 0");
    refused("States.MathAdd(1)", "takes 2");
    refused("States.Array($.a[)", "Invalid path");
    refused("States.Array({})", "Not an argument");
    refused(&"States.Array(".repeat(50), "nested deeper");
}
