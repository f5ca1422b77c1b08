//! CloudEvents.

use bourn_ingest::cloudevents::{Attributes, binary, structured};

const ATTRIBUTES: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;
const FIELDS: &str = r#""ce_specversion":"1.0","ce_id":"1","ce_source":"/s","ce_type":"t""#;

/// The event, or `pointer keyword`.
fn check(result: Result<Vec<u8>, Box<bourn_event::Fault>>, expected: &str, case: &str) {
    let got = match result {
        Ok(event) => String::from_utf8(event).expect("text"),
        Err(fault) if fault.pointer.is_empty() => fault.reason.to_string(),
        Err(fault) => format!("{} {}", fault.pointer, fault.keyword),
    };
    assert_eq!(got, expected, "{case}");
}

#[test]
fn structured_events_become_plain_ones_as_the_table_says() {
    let cases = [
        (format!(r#"{{{ATTRIBUTES},"data":{{"id":7}}}}"#), format!(r#"{{"id":7,{FIELDS}}}"#)),
        (format!(r#"{{{ATTRIBUTES}}}"#), format!("{{{FIELDS}}}")),
        (format!(r#"{{{ATTRIBUTES},"data":null}}"#), format!("{{{FIELDS}}}")),
        (format!("{{{ATTRIBUTES},\"data\":{{\n }}}}"), format!("{{  {FIELDS}}}")),
        (format!(r#"{{{ATTRIBUTES},"priority":3,"data":{{}}}}"#), format!(r#"{{{FIELDS},"ce_priority":3}}"#)),
        (format!(r#"{{{ATTRIBUTES},"data":[1]}}"#), "/data type".into()),
        (format!(r#"{{{ATTRIBUTES},"data":"text"}}"#), "/data type".into()),
        (format!(r#"{{{ATTRIBUTES},"data_base64":"AA=="}}"#), "/data_base64 not".into()),
        (format!(r#"{{{ATTRIBUTES},"Big":1}}"#), "/Big propertyNames".into()),
        (format!(r#"{{{ATTRIBUTES},"nested":{{}}}}"#), "/nested type".into()),
        (format!(r#"{{{ATTRIBUTES},"id":"2"}}"#), "parse".into()),
        (r#"{"specversion":"1.0","source":"/s","type":"t"}"#.into(), "/id required".into()),
        (r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#.into(), "/id minLength".into()),
        (r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#.into(), "/specversion const".into()),
        (r#"{"specversion":1,"id":"1","source":"/s","type":"t"}"#.into(), "/specversion type".into()),
        ("[]".into(), "parse".into()),
        ("{".into(), "parse".into()),
        (String::new(), "parse".into()),
    ];
    for (event, expected) in &cases {
        check(structured(event.as_bytes()), expected, event);
    }
}

#[test]
fn binary_events_become_plain_ones_as_the_table_says() {
    let required = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
    let with = |more: &[(&str, &str)], without: &str, body: &str| {
        let headers: Vec<_> =
            required.iter().chain(more).filter(|(name, _)| *name != without).copied().collect();
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        binary(&Attributes::from_headers(headers), body.as_bytes())
    };
    check(with(&[], "", r#"{"id":7}"#), &format!(r#"{{"id":7,{FIELDS}}}"#), "plain");
    check(with(&[], "", ""), &format!("{{{FIELDS}}}"), "no data");
    let decoded = format!(r#"{{{FIELDS},"ce_subject":"Euro € \" 100%"}}"#);
    check(with(&[("ce-subject", "Euro%20%E2%82%AC %22 100%")], "", "{}"), &decoded, "percent");
    let typed = format!(r#"{{{FIELDS},"ce_datacontenttype":"application/json; charset=utf-8"}}"#);
    check(with(&[("content-type", "application/json; charset=utf-8")], "", "{}"), &typed, "typed");
    check(with(&[("content-type", "text/plain")], "", "hi"), "/datacontenttype const", "text");
    check(with(&[("ce-id", "2")], "", "{}"), "parse", "twice");
    check(with(&[], "ce-type", "{}"), "/type required", "no type");
    check(with(&[], "", "[1]"), "/data type", "an array");
    check(with(&[], "", "{} {}"), "parse", "two values");
    check(with(&[], "", "{\"a\":1}, \"b\":{}"), "parse", "an escape from the object");
}
