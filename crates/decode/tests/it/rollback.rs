//! A bad event leaves no trace, wherever it comes and however it fails.

use crate::support::compile;
use arrow_array::RecordBatch;
use bourn_decode::EventSchema;
use bourn_event::click::{ClickEvents, SCHEMA};
use serde_json::json;

fn batch(schema: &EventSchema, events: &[&[u8]]) -> (RecordBatch, Vec<bool>) {
    let mut decoder = schema.decoder();
    let taken: Vec<bool> = events.iter().map(|event| decoder.push(event).is_ok()).collect();
    assert_eq!(decoder.len(), taken.iter().filter(|taken| **taken).count());
    (decoder.finish(), taken)
}

/// The batch of all events equals that of the good ones alone.
fn check(schema: &EventSchema, events: &[&[u8]], bad: usize) {
    let (all, taken) = batch(schema, events);
    assert_eq!(taken.iter().filter(|taken| !**taken).count(), bad);
    let good: Vec<&[u8]> =
        events.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(event, _)| *event).collect();
    let (alone, taken) = batch(schema, &good);
    assert!(taken.iter().all(|taken| *taken));
    assert_eq!(all, alone);
}

#[test]
fn bad_events_leave_the_batch_of_the_good_ones() {
    let schema = compile(&json!({
        "required": ["z"],
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "object", "properties": {"c": {"type": "integer"}, "d": {"type": "array", "items": {"type": "string"}}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
            "t": {"type": "string", "format": "date-time"},
            "f": {"type": "boolean"},
            "z": {"type": "integer", "minimum": 0}
        }
    }));
    let good = br#"{"a":"one","b":{"c":1,"d":["p","q"],"e":5},"l":[{"x":1},{"x":2,"y":3}],"t":"2026-11-21T00:00:00Z","f":true,"z":1,"u":[1]}"#;
    let sparse = br#"{"z":2}"#;
    let bad: [&[u8]; 8] = [
        br#"{"a":"one","b":{"c":1,"d":["p","q"],"e":5},"l":[{"x":1},{"x":2}],"f":true,"u":1,"z":-1}"#,
        br#"{"a":"one","b":{"c":1,"d":["p","q"]},"l":[{"x":1},{"x":"no"}],"z":1}"#,
        br#"{"a":"one","b":{"c":1,"d":["p",3"#,
        br#"{"a":"one","a":"two","z":1}"#,
        br#"{"b":{"c":99999999999999999999},"z":1}"#,
        br#"{"t":"yesterday","z":1}"#,
        br#"{"a":"no z","u":{"v":1}}"#,
        br#"[]"#,
    ];
    for one in bad {
        for order in [[one, good, sparse], [good, one, sparse], [sparse, good, one]] {
            check(&schema, &order, 1);
        }
        check(&schema, &[one, one], 2);
    }
    let mut mixed: Vec<&[u8]> = vec![good, sparse];
    for one in bad {
        mixed.extend([one, good, sparse]);
    }
    check(&schema, &mixed, bad.len());
}

#[test]
fn a_tenth_of_the_clicks_being_bad_leaves_the_others() {
    let schema = compile(&serde_json::from_str(SCHEMA).expect("JSON"));
    let mut text = Vec::new();
    ClickEvents::new(5, 10, 1).write_many(2_000, &mut text);
    let events: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let (_, taken) = batch(&schema, &events);
    let bad = taken.iter().filter(|taken| !**taken).count();
    assert!((150..250).contains(&bad), "{bad} are bad");
    check(&schema, &events, bad);
}

#[test]
fn a_decoder_begins_anew_after_finish() {
    let schema = compile(
        &json!({"properties": {"a": {"type": "string"}, "l": {"type": "array", "items": {"type": "integer"}}}}),
    );
    let mut decoder = schema.decoder();
    let mut batches = Vec::new();
    for _ in 0..3 {
        decoder.push(br#"{"a":"x","l":[1,2]}"#).expect("valid");
        decoder.push(br#"{"n":1}"#).expect("valid");
        batches.push(decoder.finish());
        assert!(decoder.is_empty());
    }
    assert_eq!(batches[0], batches[1]);
    assert_eq!(batches[0], batches[2]);
    assert_eq!(decoder.finish().num_rows(), 0);
}
