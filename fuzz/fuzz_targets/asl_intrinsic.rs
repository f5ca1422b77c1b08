//! Any text as an intrinsic function: a value, or a named failure.
#![no_main]

use bourn_asl::{Call, Scope, Seeded, Variables, errors};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let Ok(call) = Call::parse(&text) else { return };
    let input = json!({"a": [1, 2.5, "x"], "o": {"k": 1}, "s": "a,b", "n": 7});
    let (variables, outside) = (Variables::new(), Seeded::new(1, 0));
    let scope = Scope::new(&input, &input, &variables, &outside);
    if let Err(fault) = call.eval("x.$", &scope) {
        assert_eq!(fault.error, errors::INTRINSIC_FAILURE);
    }
});
