//! A CloudEvent that is taken becomes one line that is a JSON object with its attributes.
#![no_main]

use bourn_ingest::cloudevents::{Attributes, binary, structured};
use libfuzzer_sys::fuzz_target;

fn check(event: &[u8]) {
    let text = std::str::from_utf8(event).expect("UTF-8");
    // Duplicate names and depth are for the decoder to judge; the shape is not.
    assert!(text.starts_with('{') && text.ends_with('}'));
    assert!(text.contains("\"ce_id\":"));
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = structured(bytes) {
        check(&event);
    }
    let (value, data) = bytes.split_at(bytes.len() / 2);
    let headers = [
        ("ce-specversion", b"1.0".as_slice()),
        ("ce-id", b"1"),
        ("ce-source", b"/s"),
        ("ce-type", b"t"),
        ("ce-subject", value),
    ];
    if let Ok(event) = binary(&Attributes::from_headers(headers.into_iter()), data) {
        check(&event);
    }
});
