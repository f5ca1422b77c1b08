//! Any text as JSONata: a value, or a failure within its bounds.
#![no_main]

use bourn_asl::{Jsonata, Scope, Seeded, Variables, errors};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let Ok(jsonata) = Jsonata::parse(&text) else { return };
    let input = json!({"a": [1, {"b": "x", "c": [2, 3]}, null], "b": {"a": true}, "s": "text"});
    let (variables, outside) = (Variables::new(), Seeded::new(1, 0));
    let scope = Scope::new(&input, &input, &variables, &outside);
    if let Err(fault) = jsonata.eval("Output", &scope) {
        assert_eq!(fault.error, errors::QUERY_EVALUATION_ERROR);
    }
});
