//! The official test suite: compile and push give the verdict of `jsonschema` on every test.

use crate::support::{push, verdict};
use bourn_decode::{Draft, EventSchema, Options};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SUITE: &[u8] = include_bytes!("../suite/suite.ndjson.zst");

/// What became of a draft's tests.
#[derive(Default)]
struct Tally {
    /// Verdicts equal to the judge's, as a property of an event.
    wrapped: usize,
    /// The same for instances that are events by themselves.
    direct: usize,
    /// Verdicts equal to the one the suite states, of those above.
    as_stated: usize,
    skipped: BTreeMap<String, usize>,
}

#[test]
fn verdicts_equal_the_judges_on_the_official_suite() {
    let text = zstd::decode_all(SUITE).expect("the suite is zstd");
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut differences = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let group: Value = serde_json::from_slice(line).expect("a group");
        let name = group["draft"].as_str().expect("a draft");
        let tally = tallies.entry(name.to_owned()).or_default();
        // Each group as it is, and with formats asserted.
        for assert_format in [None, Some(true)] {
            check(&group, draft(name), assert_format, tally, &mut differences);
        }
    }
    for (name, tally) in &tallies {
        println!(
            "{name}: {} wrapped and {} direct verdicts equal, {} as the suite states; skipped {:?}",
            tally.wrapped, tally.direct, tally.as_stated, tally.skipped
        );
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences[..differences.len().min(40)].join("\n")
    );
    assert_eq!(tallies.len(), 5);
    for (name, tally) in tallies {
        let skipped: usize = tally.skipped.values().sum();
        assert!(tally.wrapped > 1_000 && skipped * 6 < tally.wrapped, "{name}: too much is skipped");
    }
}

fn draft(name: &str) -> Draft {
    match name {
        "draft4" => Draft::Draft4,
        "draft6" => Draft::Draft6,
        "draft7" => Draft::Draft7,
        "draft2019-09" => Draft::Draft201909,
        "draft2020-12" => Draft::Draft202012,
        other => panic!("no draft is called {other}"),
    }
}

fn check(
    group: &Value,
    draft: Draft,
    assert_format: Option<bool>,
    tally: &mut Tally,
    differences: &mut Vec<String>,
) {
    let tests = group["tests"].as_array().expect("tests");
    let wrapped = wrap(&group["schema"], draft);
    let forms = [(false, wrapped), (true, group["schema"].clone())];
    for (direct, schema) in forms {
        let options = Options { draft, assert_format, ..Options::default() };
        let ours = EventSchema::compile(&schema, options);
        let theirs = judge(&schema, draft, assert_format);
        let (ours, theirs) = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(faults), theirs) => {
                let refusal = faults[0].message.as_str();
                if direct && refusal.contains("refuses every object") {
                    // No schema of an event; its tests ran as those of a property.
                    continue;
                }
                let reason = ["leaves the document", "no known draft", "only in case", "system column"]
                    .into_iter()
                    .find(|known| refusal.contains(known));
                match reason {
                    Some(reason) => *tally.skipped.entry(reason.to_owned()).or_default() += tests.len(),
                    None if theirs.is_err() => {
                        *tally.skipped.entry("the judge refuses the schema too".into()).or_default() +=
                            tests.len();
                    }
                    None => differences.push(format!("{schema}: we refuse it: {faults:?}")),
                }
                continue;
            }
            (Ok(_), Err(error)) => {
                differences.push(format!("{schema}: only the judge refuses it: {error}"));
                continue;
            }
        };
        for test in tests {
            let event = if direct { test["data"].clone() } else { json!({"v": test["data"]}) };
            if !event.is_object() {
                continue;
            }
            let result = push(&ours, event.to_string().as_bytes());
            let expected = theirs.is_valid(&event);
            if verdict(&result) != Some(expected) {
                let (file, name) = (&group["file"], &test["description"]);
                differences.push(format!(
                    "{draft:?} {file} {name}: {schema} on {event}: {expected}, not {result:?}"
                ));
                continue;
            }
            *(if direct { &mut tally.direct } else { &mut tally.wrapped }) += 1;
            tally.as_stated += usize::from(test["valid"] == expected);
        }
    }
}

fn judge(schema: &Value, draft: Draft, assert_format: Option<bool>) -> Result<jsonschema::Validator, String> {
    let mut options = jsonschema::options().offline();
    if schema.get("$schema").is_none() {
        options = options.with_draft(match draft {
            Draft::Draft4 => jsonschema::Draft::Draft4,
            Draft::Draft6 => jsonschema::Draft::Draft6,
            Draft::Draft7 => jsonschema::Draft::Draft7,
            Draft::Draft201909 => jsonschema::Draft::Draft201909,
            Draft::Draft202012 => jsonschema::Draft::Draft202012,
        });
    }
    if let Some(assert) = assert_format {
        options = options.should_validate_formats(assert);
    }
    options.build(schema).map_err(|error| error.to_string())
}

/// The schema as that of the property `v`; references to its root follow it there.
fn wrap(schema: &Value, draft: Draft) -> Value {
    let mut inner = schema.clone();
    let mut outer = Map::new();
    let id = if draft == Draft::Draft4 { "id" } else { "$id" };
    if let Value::Object(map) = &mut inner {
        if let Some(uri) = map.remove("$schema") {
            outer.insert("$schema".into(), uri);
        }
        if !map.contains_key(id) {
            rebase(&mut inner);
        }
    }
    outer.insert("properties".into(), json!({"v": inner}));
    Value::Object(outer)
}

fn rebase(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(target) if key == "$ref" && (target == "#" || target.starts_with("#/")) => {
                        *target = format!("#/properties/v{}", &target[1..]);
                    }
                    other => rebase(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(rebase),
        _ => {}
    }
}
