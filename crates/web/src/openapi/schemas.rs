//! The document's schemas: the streams' own, and those of requests and answers.

use crate::StreamDoc;
use serde_json::{Map, Value, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Name of a stream's schema among the components.
pub(super) fn event_name(stream: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    format!("Event.{}", stream.chars().map(plain).collect::<String>())
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub(super) fn all(streams: &[StreamDoc]) -> Value {
    let mut schemas = Map::new();
    schemas.insert("Problem".into(), problem());
    schemas.insert("IngestAnswer".into(), ingest_answer(false));
    schemas.insert("IngestProblem".into(), ingest_answer(true));
    schemas.insert("SqlRequest".into(), sql_request());
    schemas.insert("Readiness".into(), readiness());
    schemas.insert("TaskFailure".into(), task_failure());
    schemas.insert("CloudEvent".into(), cloud_event());
    for stream in streams {
        let name = event_name(&stream.name);
        schemas.insert(name.clone(), embed(&stream.json_schema, &format!("#/components/schemas/{name}")));
    }
    Value::Object(schemas)
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457. Branch on `type`; the other members are for people.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "pattern": "^/problems/[a-z-]+$"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
        },
    })
}

fn ingest_answer(refused: bool) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["accepted", "rejected", "first_offset", "errors"],
        "properties": {
            "accepted": {"type": "integer", "minimum": 0,
                "description": "Events that are in the log thanks to this request or an earlier one of the same producer and sequence."},
            "rejected": {"type": "integer", "minimum": 0},
            "first_offset": {"type": ["integer", "null"], "minimum": 0},
            "repeated": {"type": "integer", "minimum": 1,
                "description": "Of `accepted`, those an earlier request had brought; absent if none."},
            "errors": {"type": "array", "maxItems": 100, "items": {
                "type": "object",
                "required": ["index", "pointer", "keyword", "message"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "pointer": {"type": "string", "description": "JSON Pointer (RFC 6901)."},
                    "keyword": {"type": "string"},
                    "message": {"type": "string"},
                },
            }},
            "errors_omitted": {"type": "integer", "minimum": 1},
        },
    });
    if refused {
        schema = json!({"allOf": [reference("Problem"), schema]});
    }
    schema
}

fn sql_request() -> Value {
    json!({
        "type": "object",
        "required": ["sql"],
        "additionalProperties": false,
        "properties": {
            "sql": {"type": "string", "pattern": "\\S", "example": "select count(*) from silver.orders"},
            "limit": {"type": ["integer", "null"], "minimum": 0, "maximum": i64::MAX,
                "description": "Stop after this many rows."},
            "timeout": {"type": ["string", "null"], "pattern": "^[1-9][0-9]{0,5}(us|ms|s|m|h|d|w)$",
                "description": "Give up after this long; at most the configured limit.", "example": "30s"},
        },
    })
}

fn task_failure() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "error": {"type": ["string", "null"], "maxLength": 256},
            "cause": {"type": ["string", "null"], "maxLength": 32768},
        },
    })
}

fn readiness() -> Value {
    json!({
        "type": "object",
        "required": ["ready", "reasons"],
        "properties": {
            "ready": {"type": "boolean"},
            "reasons": {"type": "array", "items": {
                "type": "object",
                "required": ["subject", "message"],
                "properties": {"subject": {"type": "string"}, "message": {"type": "string"}},
            }},
        },
    })
}

fn cloud_event() -> Value {
    json!({
        "type": "object",
        "description": "CloudEvents 1.0. `data` is the event; the attributes are kept beside it as `ce_…`.",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1},
            "source": {"type": "string", "minLength": 1},
            "type": {"type": "string", "minLength": 1},
            "data": {"type": "object"},
        },
    })
}

/// A schema moved to `place`: its references to itself still hold there.
fn embed(schema: &Value, place: &str) -> Value {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        members.remove("$id");
        members.remove("id");
        if members
            .get("$schema")
            .and_then(Value::as_str)
            .is_some_and(|it| it.trim_end_matches('#') == DIALECT)
        {
            members.remove("$schema");
        }
    }
    rebase(&mut schema, place);
    schema
}

fn rebase(schema: &mut Value, place: &str) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), &*value) {
                    ("$ref" | "$dynamicRef", Value::String(target))
                        if target == "#" || target.starts_with("#/") =>
                    {
                        *value = Value::String(format!("{place}{}", &target[1..]));
                    }
                    // Data, not schemas.
                    ("const" | "enum" | "default" | "examples", _) => {}
                    _ => rebase(value, place),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rebase(item, place)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_follow_an_embedded_schema() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:x",
            "properties": {"a": {"$ref": "#/$defs/b"}, "c": {"$ref": "#"}, "d": {"const": {"$ref": "#/x"}}},
            "$defs": {"b": {"items": [{"$ref": "https://elsewhere.example/#/y"}]}},
        });
        let embedded = embed(&schema, "#/p");
        assert_eq!(
            embedded,
            json!({
                "properties": {
                    "a": {"$ref": "#/p/$defs/b"}, "c": {"$ref": "#/p"}, "d": {"const": {"$ref": "#/x"}},
                },
                "$defs": {"b": {"items": [{"$ref": "https://elsewhere.example/#/y"}]}},
            })
        );
    }
}
