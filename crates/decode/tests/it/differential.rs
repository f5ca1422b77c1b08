//! Generated schemas and events: the verdict is that of `jsonschema`, the values are those of a slow decode.

use crate::support::{push, row, verdict};
use bourn_decode::{EventSchema, Options};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

/// Schemas: mostly of the kinds that have columns, with keywords in and outside the fast path.
fn schema() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "string", "minLength": 2, "maxLength": 4})),
        Just(json!({"type": ["string", "null"], "pattern": "^[a-c]{2,3}$"})),
        Just(json!({"type": "string", "pattern": "b"})),
        Just(json!({"type": "string", "pattern": "^(?!a)"})),
        Just(json!({"type": "string", "format": "date-time"})),
        Just(json!({"type": "string", "format": "date"})),
        Just(json!({"type": "string", "format": "uuid"})),
        Just(json!({"type": "string", "format": "email"})),
        Just(json!({"enum": ["a", "ab", "b"]})),
        Just(json!({"enum": ["a", null, 1]})),
        Just(json!({"enum": [1, 2, 3]})),
        Just(json!({"type": ["string", "null"], "enum": ["a", null]})),
        Just(json!({"type": ["string", "null"], "enum": ["a"]})),
        Just(json!({"const": "ab"})),
        Just(json!({"const": 2})),
        Just(json!({"type": "integer", "const": 2.0})),
        Just(json!({"type": "integer"})),
        Just(json!({"type": "integer", "minimum": 0, "exclusiveMaximum": 3.5})),
        Just(json!({"type": "integer", "multipleOf": 2})),
        Just(json!({"type": "integer", "maximum": u64::MAX})),
        Just(json!({"type": ["integer", "null"], "exclusiveMinimum": -1})),
        Just(json!({"type": "number", "minimum": 0.5, "maximum": 9_007_199_254_740_993_i64})),
        Just(json!({"type": "number", "multipleOf": 0.5})),
        Just(json!({"type": ["number", "integer"]})),
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "boolean", "const": true})),
        Just(json!({"type": "null"})),
        Just(json!({"type": ["string", "integer"], "minimum": 1})),
        Just(json!({"type": ["string", "number"]})),
        Just(json!({"minimum": 1})),
        Just(json!({"type": "object"})),
        Just(json!({"type": "object", "additionalProperties": {"type": "integer"}})),
        Just(json!({"type": "array"})),
        Just(json!({"type": "array", "prefixItems": [{"type": "integer"}]})),
        Just(json!({"$ref": "#/$defs/name"})),
        Just(json!({"$ref": "#/$defs/name", "maxLength": 2})),
        Just(json!({"$ref": "#/$defs/tree"})),
        Just(json!({"anyOf": [{"$ref": "#/$defs/name"}, {"type": "null"}]})),
        Just(json!({"oneOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})),
        Just(json!({"oneOf": [{"minimum": 1}, {"type": "null"}]})),
        Just(json!({"not": {"type": "string"}})),
        Just(json!(true)),
        Just(json!(false)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            3 => object(inner.clone()),
            1 => (inner.clone(), 0..3u64, 1..4u64)
                .prop_map(|(items, min, max)| json!({"type": "array", "items": items, "minItems": min, "maxItems": max})),
            1 => inner.clone().prop_map(|items| json!({"type": ["array", "null"], "items": items, "uniqueItems": true})),
            1 => (object(inner.clone()), object(inner.clone())).prop_map(|(a, b)| json!({"allOf": [a, b]})),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"allOf": [a, b]})),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"anyOf": [a, b]})),
            1 => (inner.clone(), inner).prop_map(|(a, b)| json!({"if": a, "then": b})),
        ]
    })
    .boxed()
}

fn object(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let properties = prop::collection::btree_map("[abc]", inner, 0..4);
    let additional = prop_oneof![
        4 => Just(None),
        1 => Just(Some(json!(false))),
        1 => Just(Some(json!({"type": "integer"}))),
    ];
    (properties, prop::collection::btree_set("[abd]", 0..2), additional, any::<bool>(), 0..3u64)
        .prop_map(|(properties, required, additional, typed, min)| {
            let mut schema = json!({"properties": properties, "required": required});
            if typed {
                schema["type"] = json!("object");
            }
            if let Some(additional) = additional {
                schema["additionalProperties"] = additional;
            }
            if min == 2 {
                schema["minProperties"] = json!(min);
                schema["maxProperties"] = json!(3);
            }
            schema
        })
        .boxed()
}

/// Values that often meet the schemas above, and as often just miss them.
fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "",
            "a",
            "ab",
            "abc",
            "abcd",
            "abcde",
            "b",
            "é",
            "😀😀",
            "2026-11-21",
            "2026-11-21T01:02:03Z",
            "2026-02-30",
            "2eb8aa08-aa98-11ea-b4aa-73b441d16380",
            "a@b.example",
            "x\n\"\\\u{0}",
        ])
        .prop_map(|text| json!(text)),
        (-2..5i64).prop_map(|whole| json!(whole)),
        prop::sample::select(vec![0.0, 0.5, 1.0, 2.0, 3.5, -0.0, 3.75, 1e300, 9_007_199_254_740_992.0, 0.1])
            .prop_map(|float| json!(float)),
        prop::sample::select(vec![u64::MAX, i64::MAX as u64 + 1, 9_007_199_254_740_994])
            .prop_map(|big| json!(big)),
        any::<bool>().prop_map(|bool| json!(bool)),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            2 => prop::collection::btree_map("[abcd]", inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
    .boxed()
}

/// A value that tries to meet `schema`, so that enough events are valid.
fn near(schema: &Value, other: &Value, depth: usize) -> Value {
    let Value::Object(map) = schema else { return other.clone() };
    if let (Some(Value::Object(properties)), true) = (map.get("properties"), depth < 5) {
        let mut members = match other {
            Value::Object(members) => members.clone(),
            _ => Map::new(),
        };
        for (index, (name, schema)) in properties.iter().enumerate() {
            if index != 2 {
                let own = members.get(name).cloned().unwrap_or_else(|| other.clone());
                members.insert(name.clone(), near(schema, &own, depth + 1));
            }
        }
        return Value::Object(members);
    }
    match (map.get("type").and_then(Value::as_str), map.get("enum"), map.get("items")) {
        (_, Some(Value::Array(values)), _) => values[0].clone(),
        (Some("array"), _, Some(items)) if depth < 5 => json!([near(items, other, depth + 1)]),
        (Some("string"), ..) if !other.is_string() => json!("ab"),
        (Some("integer" | "number"), ..) if !other.is_number() => json!(2),
        (Some("boolean"), ..) => json!(true),
        (Some("null"), ..) => Value::Null,
        _ => other.clone(),
    }
}

fn runner(cases: u32) -> TestRunner {
    // PROPTEST_CASES asks for more; a failure prints its minimal case.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

fn event_schema(mut schema: Value) -> Value {
    if !schema.is_object() {
        schema = json!({"properties": {"a": schema}});
    }
    schema["$defs"] = json!({
        "name": {"type": "string", "minLength": 1},
        "tree": {"type": "object", "properties": {"a": {"$ref": "#/$defs/tree"}, "b": {"type": "integer"}}}
    });
    schema
}

fn check(schema: &Value, event: &Value, assert_format: bool) -> Result<Option<bool>, TestCaseError> {
    let options = Options { assert_format: Some(assert_format), ..Options::default() };
    let Ok(ours) = EventSchema::compile(schema, options) else { return Ok(None) };
    let theirs =
        jsonschema::options().should_validate_formats(assert_format).build(schema).expect("ours compiled");
    // Compact and spaced, since keys are predicted by their bytes.
    for text in [event.to_string(), serde_json::to_string_pretty(event).expect("JSON")] {
        let result = push(&ours, text.as_bytes());
        let expected = theirs.is_valid(event);
        prop_assert_eq!(verdict(&result), Some(expected), "{} on {}: {:?}", schema, text, result);
        if let Ok(batch) = &result {
            prop_assert_eq!(batch.num_rows(), 1);
            let slow = slow_row(event, ours.arrow().fields());
            prop_assert_eq!(normal(&row(batch, 0)), normal(&slow), "{} on {}", schema, text);
        }
    }
    Ok(Some(theirs.is_valid(event)))
}

/// The row as a slow decode of the value into the same columns gives it.
fn slow_row(event: &Value, fields: &arrow_schema::Fields) -> Value {
    let mut extra = Map::new();
    let known: Vec<_> = fields.iter().filter(|field| field.name() != "_extra").cloned().collect();
    let mut row = slow_struct(event, &known, &mut extra);
    if !extra.is_empty() {
        row.insert("_extra".into(), Value::Object(extra));
    }
    Value::Object(row)
}

fn slow_struct(
    object: &Value,
    fields: &[arrow_schema::FieldRef],
    extra: &mut Map<String, Value>,
) -> Map<String, Value> {
    let mut row = Map::new();
    for (name, value) in object.as_object().expect("an object") {
        match fields.iter().find(|field| field.name() == name) {
            None => drop(extra.insert(name.clone(), value.clone())),
            Some(_) if value.is_null() => {}
            Some(field) => {
                let mut inner = Map::new();
                row.insert(name.clone(), slow_cell(value, field.data_type(), &mut inner));
                if !inner.is_empty() {
                    extra.insert(name.clone(), Value::Object(inner));
                }
            }
        }
    }
    row
}

fn slow_cell(value: &Value, data_type: &arrow_schema::DataType, extra: &mut Map<String, Value>) -> Value {
    use arrow_schema::DataType;
    match (data_type, value) {
        (_, Value::Null) => Value::Null,
        (DataType::Struct(fields), value) => Value::Object(slow_struct(value, fields, extra)),
        (DataType::List(item), Value::Array(items)) => {
            let mut cells = Vec::new();
            for (index, value) in items.iter().enumerate() {
                let mut inner = Map::new();
                cells.push(slow_cell(value, item.data_type(), &mut inner));
                if !inner.is_empty() {
                    extra.insert(index.to_string(), Value::Object(inner));
                }
            }
            cells.into()
        }
        (DataType::Float64, value) => json!(value.as_f64()),
        (DataType::Int64, Value::Number(number)) => {
            json!(number.as_i64().unwrap_or_else(|| number.as_f64().expect("a number") as i64))
        }
        (DataType::Decimal128(..), Value::Number(number)) => json!(match number.as_u64() {
            Some(whole) => whole.to_string(),
            None => (number.as_f64().expect("a number") as i128).to_string(),
        }),
        (DataType::Timestamp(..), _) => json!(1_795_222_923_000_000_i64),
        (DataType::Date32, _) => json!(20_778),
        (_, value) => value.clone(),
    }
}

/// Texts that are JSON become the value they spell, on both sides of a comparison.
fn normal(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(name, value)| (name.clone(), normal(value))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn verdicts_and_values_equal_the_slow_way() {
    let mut seen = [0usize; 3];
    let tally = std::cell::RefCell::new(&mut seen);
    let schemas = prop_oneof![3 => object(schema()), 1 => schema()].prop_map(event_schema);
    let cases = (schemas, prop::collection::vec(value(), 1..4), any::<bool>());
    let result = runner(3_000).run(&cases, |(schema, values, assert_format)| {
        for value in values {
            let wild = if value.is_object() { value.clone() } else { json!({"a": value}) };
            let close = near(&schema, &value, 0);
            for event in [wild, close] {
                if event.is_object() {
                    let verdict = check(&schema, &event, assert_format)?;
                    tally.borrow_mut()[verdict.map_or(2, usize::from)] += 1;
                }
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let [invalid, valid, refused] = seen;
    println!("{valid} valid, {invalid} invalid events; {refused} of schemas that are refused");
    assert!(valid > 1_000 && invalid > 1_000, "{valid} valid, {invalid} invalid");
}
