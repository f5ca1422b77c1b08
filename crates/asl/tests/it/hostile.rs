//! Any text at all: faults or a result, never a panic, never without end.

use crate::support::with_scope;
use bourn_asl::{Call, Jsonata, Machine, Path, place};
use proptest::prelude::*;
use serde_json::json;

/// Text that is often nearly right.
fn pieces(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(of), 0..24).prop_map(|parts| parts.concat())
}

const PATH: &[&str] = &[
    "$", "$$", ".", "..", "[", "]", "a", "'a'", "\"b\"", "0", "-1", ":", ",", "*", "?", "(", ")", "@", "==",
    "<", "&&", "||", "!", "/x/", "=~", " in ", "é", "\\", " ",
];
const CALL: &[&str] = &[
    "States.", "Array", "Format", "MathAdd", "UUID", "(", ")", ",", "'", "{}", "\\", "$.a", "$", "1", "-2.5",
    "null", "é", " ",
];
const JSONATA: &[&str] = &[
    "$states.input",
    "$",
    "a",
    ".",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "1",
    "-",
    "+",
    "*",
    "/",
    "%",
    "^",
    "?",
    ":",
    ":=",
    "~>",
    "function",
    "$x",
    "'s'",
    "\"",
    "`",
    "and",
    "or",
    "in",
    "&",
    "..",
    "**",
    "#$i",
    "@$v",
    "|",
    ";",
    ",",
    "<",
    ">",
    "=",
    "!=",
    "$map",
    "$sum",
    "$string",
    "é",
    "\\u00e9",
    "/a/",
    " ",
    "null",
    "true",
];
const DEFINITION: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\"States\"",
    "\"StartAt\"",
    "\"A\"",
    "\"Type\"",
    "\"Pass\"",
    "\"End\"",
    "true",
    "1",
    "null",
    "\n",
    "- ",
    "  ",
    "a",
    "é",
    "&x",
    "*x",
    "!t",
    "#",
    "|",
    ">",
    "\\",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn paths_never_panic(text in prop_oneof![".{0,40}", pieces(PATH)]) {
        if let Ok(path) = Path::parse(&text) {
            prop_assert_eq!(path.text(), text.as_str());
            with_scope(&json!({"a": [1, {"b": "x"}]}), |scope| drop(path.find(scope)));
        }
    }

    #[test]
    fn calls_never_panic(text in prop_oneof![".{0,40}", pieces(CALL)]) {
        if let Ok(call) = Call::parse(&text) {
            with_scope(&json!({"a": [1, {"b": "x"}]}), |scope| drop(call.eval("x", scope)));
        }
    }

    #[test]
    fn expressions_never_panic(text in prop_oneof![".{0,40}", pieces(JSONATA)]) {
        if let Ok(jsonata) = Jsonata::parse(&text) {
            with_scope(&json!({"a": [1, {"b": "x"}]}), |scope| drop(jsonata.eval("x", scope)));
        }
    }

    #[test]
    fn definitions_never_panic(text in prop_oneof![".{0,60}", pieces(DEFINITION)]) {
        if Machine::parse(&text).is_err() {
            prop_assert!(!Machine::validate(&text).is_empty());
        }
        let _ = place(&text, "/States/A/Type");
    }
}

#[test]
fn refuses_what_is_nested_too_deeply() {
    for text in
        ["[".repeat(100_000), "{\"a\":".repeat(100_000), "a: [".repeat(50_000), "- ".repeat(50_000) + "a: 1"]
    {
        assert!(Machine::parse(&text).is_err());
    }
    assert!(Machine::parse(&" ".repeat(2 << 20)).is_err_and(|f| f[0].message.contains("longer")));
}
