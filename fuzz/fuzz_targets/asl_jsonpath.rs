//! Any text as a path over a small document: a value, a list or a miss.
#![no_main]

use bourn_asl::{Path, ResultPath, Scope, Seeded, Variables};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let Ok(path) = Path::parse(&text) else { return };
    assert_eq!(path.text(), text);
    let input = json!({"a": [1, {"b": "x", "c": [2, 3]}, null], "b": {"a": true}, "s": "text"});
    let (variables, outside) = (Variables::new(), Seeded::new(1, 0));
    let scope = Scope::new(&input, &input, &variables, &outside);
    if let Ok(found) = path.find(&scope) {
        assert!(path.is_definite() || found.is_array(), "{text}: an indefinite path gives a list");
    }
    if path.is_reference() && !path.is_whole_input() {
        let _ = ResultPath::At(path).apply(&input, json!("result"));
    }
});
