//! Any event pattern on any event: faults or an answer, never a panic; what is told before an event is parsed
//! never rules out one that matches.
//!
//! Input: a pattern and an event, each JSON, with a NUL byte between.
#![no_main]

use bourn_schedule::Pattern;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Some(split) = input.iter().position(|byte| *byte == 0) else { return };
    let (pattern, event) = (&input[..split], &input[split + 1..]);
    let Ok(pattern) = serde_json::from_slice::<Value>(pattern) else { return };
    let compiled = match Pattern::compile(&pattern) {
        Ok(compiled) => compiled,
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without saying why");
            // The first part of a place is a field of the pattern.
            for fault in faults.iter().filter(|fault| !fault.pointer.is_empty()) {
                let parent = fault.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                assert!(pattern.pointer(parent).is_some(), "no such place: {}", fault.pointer);
            }
            return;
        }
    };
    let Ok(event) = serde_json::from_slice::<Value>(event) else { return };
    if !compiled.matches(&event) {
        return;
    }
    let texts = event.as_object().into_iter().flatten();
    let known: Vec<(&str, &str)> =
        texts.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
    assert!(compiled.could_match(&known), "ruled out by its top-level texts");
    assert!(compiled.could_match_detail(event.to_string().as_bytes()), "ruled out by its bytes");
});
