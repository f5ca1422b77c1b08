//! Any schema on any event: the decoder's verdict is that of `jsonschema`, and a bad event leaves no row.
//!
//! Input: a schema and an event, each JSON, with a NUL byte between.
#![no_main]

use bourn_decode::{EventSchema, Options};
use bourn_event::RejectReason;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Some(split) = input.iter().position(|byte| *byte == 0) else { return };
    let (schema, event) = (&input[..split], &input[split + 1..]);
    let Ok(schema_text) = std::str::from_utf8(schema) else { return };
    let Ok(compiled) = EventSchema::compile_text(schema_text, Options::default()) else { return };
    let schema: Value = serde_json::from_str(schema_text).expect("it compiled");
    let judge = jsonschema::options().offline().build(&schema).expect("it compiled");

    let mut decoder = compiled.decoder();
    let pushed = decoder.push(event);
    assert_eq!(decoder.finish().num_rows(), usize::from(pushed.is_ok()));
    let value = serde_json::from_slice::<Value>(event).ok().filter(Value::is_object);
    match (pushed, value) {
        (Ok(()), Some(value)) => assert!(judge.is_valid(&value)),
        // A number that no float can hold is kept as text where no column needs it.
        (Ok(()), None) => assert!(event.iter().any(u8::is_ascii_digit)),
        (Err(fault), Some(value)) => match fault.reason {
            RejectReason::Schema => assert!(!judge.is_valid(&value)),
            RejectReason::Type => assert!(judge.is_valid(&value)),
            RejectReason::Parse => assert!(fault.message.contains("twice")),
            _ => {}
        },
        (Err(_), None) => {}
    }
});
