//! Which column each part of a schema becomes, and which schemas are refused.

use crate::support::{push, row};
use bourn_decode::{EventSchema, Options};
use serde_json::{Value, json};

const RICH: &str = r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object", "required": ["id"],
  "properties": {
    "z_first": {"type": "string"},
    "id": {"$ref": "#/$defs/id"},
    "count": {"type": "integer", "minimum": 0},
    "big": {"type": "integer", "maximum": 18446744073709551615},
    "price": {"type": "number"},
    "either": {"type": ["integer", "number", "null"]},
    "ok": {"type": "boolean"},
    "at": {"type": "string", "format": "date-time"},
    "day": {"type": ["string", "null"], "format": "date"},
    "clock": {"type": "string", "format": "time"},
    "took": {"type": "string", "format": "duration"},
    "uuid": {"type": "string", "format": "uuid"},
    "kind": {"enum": ["a", "b"]},
    "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "mixed": {"type": ["string", "integer"]},
    "any": {},
    "free": {"type": "object"},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    "page": {"type": "object", "properties": {"url": {"type": "string"}, "at": {"type": "string", "format": "date"}}},
    "tags": {"type": "array", "items": {"type": "string"}},
    "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}}}},
    "set": {"type": "array", "items": {"type": "integer"}, "uniqueItems": true},
    "tuple": {"type": "array", "prefixItems": [{"type": "integer"}]},
    "tree": {"$ref": "#/$defs/tree"},
    "both": {"allOf": [{"type": "object", "properties": {"x": {"type": "integer"}}}, {"properties": {"y": {"type": "string"}}}]},
    "choice": {"oneOf": [{"type": "string"}, {"type": "integer"}]}
  },
  "$defs": {
    "id": {"type": "string", "minLength": 1},
    "tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "n": {"type": "integer"}}}
  }
}"##;

const GOLDEN: &str = include_str!("../golden/mapping.txt");

#[test]
fn the_mapping_of_a_rich_schema_is_the_golden_one() {
    let schema = EventSchema::compile_text(RICH, Options::default()).expect("compiles");
    let lines: Vec<String> = schema
        .mapping()
        .iter()
        .map(|c| {
            format!("{} | {} | {}{}", c.path, c.data_type, c.why, if c.judged { " | judged" } else { "" })
        })
        .collect();
    let text = lines.join("\n") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("tests/golden/mapping.txt", &text).expect("the golden file can be written");
        return;
    }
    assert_eq!(text, GOLDEN, "UPDATE_GOLDEN=1 writes the file anew");
}

#[test]
fn the_version_is_stable_and_follows_schema_and_options() {
    let compile = |text: &str, options| {
        EventSchema::compile_text(text, options).expect("compiles").version().to_owned()
    };
    let one = compile(RICH, Options::default());
    assert_eq!(one, compile(RICH, Options::default()));
    assert_eq!(one.len(), 16);
    assert_ne!(one, compile(&RICH.replace("z_first", "first"), Options::default()));
    assert_ne!(one, compile(RICH, Options { assert_format: Some(true), ..Options::default() }));
    let ordered =
        |a, b| compile(&format!(r#"{{"properties":{{"{a}":{{}},"{b}":{{}}}}}}"#), Options::default());
    assert_ne!(ordered("a", "b"), ordered("b", "a"), "the order of columns counts");
}

#[test]
fn unnamed_fields_are_kept_under_their_path() {
    let schema = EventSchema::compile_text(RICH, Options::default()).expect("compiles");
    let event = r#"{"new": [1, 2.50], "id":"x","page":{"url":"u", "ref":"r"},"lines":[{"n":1},{"n":2,"w": null}],"lone":1}"#;
    let taken = row(&push(&schema, event.as_bytes()).expect("valid"), 0);
    assert_eq!(
        taken["_extra"],
        json!(r#"{"new":[1, 2.50],"page":{"ref":"r"},"lines":{"1":{"w":null}},"lone":1}"#)
    );
    serde_json::from_str::<Value>(taken["_extra"].as_str().expect("text")).expect("JSON");
}

#[test]
fn schemas_that_cannot_work_are_refused_with_place_and_hint() {
    for (schema, pointer, message) in [
        (
            json!({"properties": {"a": {"$ref": "https://example.com/x.json"}}}),
            "/properties/a/$ref",
            "leaves the document",
        ),
        (
            json!({"properties": {"a": {"$ref": "other.json#/x"}}}),
            "/properties/a/$ref",
            "leaves the document",
        ),
        (json!({"properties": {"a": {"$ref": "#/$defs/none"}}}), "/properties/a/$ref", "leads nowhere"),
        (
            json!({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}}),
            "/$defs/a",
            "circles",
        ),
        (json!({"$ref": "#"}), "", "circles"),
        (json!({"properties": {"_offset": {"type": "integer"}}}), "/properties/_offset", "system column"),
        (json!({"properties": {"_extra": {}}}), "/properties/_extra", "system column"),
        (json!({"properties": {"Id": {}, "id": {}}}), "/properties/id", "only in case"),
        (json!({"type": "array"}), "/type", "refuses every object"),
        (json!({"$schema": "https://example.com/own"}), "/$schema", "no known draft"),
        (json!({"properties": {"a": {"type": "text"}}}), "/properties/a/type", ""),
        (json!({"properties": {"a": {"minLength": -1}}}), "/properties/a/minLength", ""),
    ] {
        let faults = EventSchema::compile(&schema, Options::default()).expect_err("refused");
        let found = faults.iter().any(|fault| fault.pointer == pointer && fault.message.contains(message));
        assert!(found, "{schema}: {faults:?}");
    }
    let two = json!({"properties": {"a": {"$ref": "x.json"}, "b": {"type": 3}, "c": {"$ref": "#/$defs/d"}}});
    let faults = EventSchema::compile(&two, Options::default()).expect_err("refused");
    assert!(faults.len() >= 3, "all at once: {faults:?}");
}

#[test]
fn the_click_schema_is_decided_without_the_judge() {
    use bourn_event::click::{ClickEvents, SCHEMA};
    let schema = EventSchema::compile_text(SCHEMA, Options::default()).expect("compiles");
    assert!(schema.mapping().iter().all(|column| !column.judged));
    let mut text = Vec::new();
    ClickEvents::new(1, 5, 0).write_many(1_000, &mut text);
    let judge = jsonschema::validator_for(&serde_json::from_str(SCHEMA).expect("JSON")).expect("compiles");
    let mut decoder = schema.decoder();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Value = serde_json::from_slice(line).expect("JSON");
        let expected = judge.validate(&event).err();
        let fault = decoder.push(line).err();
        assert_eq!(fault.is_some(), expected.is_some());
        if let (Some(fault), Some(error)) = (fault, expected) {
            assert_eq!(fault.pointer, error.instance_path().as_str());
            assert_eq!(fault.keyword, error.kind().keyword());
        }
    }
    assert_eq!(decoder.stats().judged, 0);
}
