//! The document's operations, with every status they answer.

use super::schemas::{event_name, reference};
use crate::problem::MEDIA_TYPE;
use crate::render::Format;
use crate::route::TaskVerb;
use serde_json::{Map, Value, json};

/// Who an operation asks for a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Open,
    /// A key, if there are any; without keys, pages of other origins are refused.
    Guarded {
        keys: bool,
    },
}

struct Operation<'a> {
    id: String,
    summary: &'a str,
    access: Access,
    parameters: Value,
    body: Option<Value>,
    answers: Vec<(u16, Value)>,
    /// Problems it answers with, beside those of its access.
    problems: &'a [u16],
}

impl Operation<'_> {
    fn build(self) -> Value {
        let mut responses: Map<String, Value> =
            self.answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        for status in self.problems.iter().copied().chain(access_problems(self.access)) {
            responses.entry(status.to_string()).or_insert_with(|| problem(status, "Problem"));
        }
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": responses,
        });
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if self.access == (Access::Guarded { keys: true }) {
            operation["security"] = json!([{"bearer": []}, {"apiKey": []}]);
        }
        operation
    }
}

fn access_problems(access: Access) -> Vec<u16> {
    match access {
        Access::Open => vec![],
        Access::Guarded { keys: true } => vec![401, 403],
        Access::Guarded { keys: false } => vec![403],
    }
}

fn problem(status: u16, schema: &str) -> Value {
    let mut answer = json!({
        "description": http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default(),
        "content": {MEDIA_TYPE: {"schema": reference(schema)}},
    });
    match status {
        429 | 503 => {
            answer["headers"] = json!({"Retry-After": {"schema": {"type": "integer", "minimum": 1},
                "description": "Seconds."}});
        }
        401 => answer["headers"] = json!({"WWW-Authenticate": {"schema": {"type": "string"}}}),
        _ => {}
    }
    answer
}

fn answer(description: &str, content: Value) -> Value {
    json!({"description": description, "content": content})
}

/// NDJSON and other bodies whose schema JSON Schema cannot tell.
fn text() -> Value {
    json!({"schema": {"type": "string"}})
}

fn binary() -> Value {
    json!({"schema": {}})
}

pub(super) fn ingest(stream: &str, keys: bool) -> Value {
    let event = reference(&event_name(stream));
    let parameters = json!([
        {"name": "ack", "in": "query", "schema": {"enum": ["durable", "memory", "visible"], "default": "durable"},
            "description": "What must have happened before the answer."},
        {"name": "strict", "in": "query", "schema": {"type": "boolean", "default": false},
            "description": "Any reject refuses the whole request; nothing but the rejects is stored."},
        {"name": "Content-Encoding", "in": "header", "schema": {"enum": ["identity", "gzip", "zstd", "deflate"]},
            "description": "How the body is compressed; several apply in the order they are listed."},
        {"name": "Bourn-Producer", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
            "description": "With `Bourn-Sequence`: makes a repeated request harmless."},
        {"name": "Bourn-Sequence", "in": "header", "schema": {"type": "integer", "minimum": 0, "maximum": u64::MAX},
            "description": "Greater in each new request of the producer."},
    ]);
    let any_events = json!({"type": "array", "description": "Each item is judged by itself."});
    let body = json!({"required": true, "content": {
        "application/json": {"schema": {"anyOf": [event, any_events]}},
        "application/x-ndjson": text(),
        "application/cloudevents+json": {"schema": {"allOf": [
            reference("CloudEvent"), {"type": "object", "properties": {"data": event}},
        ]}},
        "application/cloudevents-batch+json": {"schema": any_events},
    }});
    let accepted = answer(
        "The request was read; the counts say what became of its events.",
        json!({"application/json": {"schema": reference("IngestAnswer")}}),
    );
    let rejected = problem(422, "IngestProblem");
    let operation = Operation {
        id: format!("ingest_{stream}"),
        summary: "Send events",
        access: Access::Guarded { keys },
        parameters,
        body: Some(body),
        answers: vec![(200, accepted), (422, rejected)],
        problems: &[400, 404, 408, 413, 415, 429, 500, 503],
    };
    json!({"post": operation.build()})
}

pub(super) fn sql(keys: bool) -> Value {
    let essence = |format: Format| format.media_type().split(';').next().unwrap_or_default().to_owned();
    let mut content = Map::new();
    content.insert(essence(Format::Json), json!({"schema": {"type": "array", "items": {"type": "object"}}}));
    for format in [Format::Ndjson, Format::Csv, Format::Table] {
        content.insert(essence(format), text());
    }
    for format in [Format::Arrow, Format::Parquet] {
        content.insert(essence(format), binary());
    }
    let statement = json!({"schema": {"type": "string", "pattern": "\\S"}});
    let operation = Operation {
        id: "sql".into(),
        summary: "Run a query; the Accept header picks the form of the answer",
        access: Access::Guarded { keys },
        parameters: json!([]),
        body: Some(json!({"required": true, "content": {
            "application/json": {"schema": reference("SqlRequest")},
            "application/sql": statement,
            "text/plain": statement,
        }})),
        answers: vec![(
            200,
            answer("The rows. An answer that was cut off has no end.", Value::Object(content)),
        )],
        problems: &[400, 406, 408, 413, 415, 429, 500, 503, 504, 507],
    };
    json!({"post": operation.build()})
}

pub(super) fn admin(verb: &str, keys: bool) -> Value {
    let lines = "Lines of `{\"progress\": …}`, then one `{\"result\": …}` or `{\"error\": …}`.";
    let operation = Operation {
        id: format!("admin_{verb}"),
        summary: "Administer the running pipeline",
        access: Access::Guarded { keys },
        parameters: json!([]),
        body: Some(
            json!({"required": false, "content": {"application/json": {"schema": {"type": "object"}}}}),
        ),
        answers: vec![(200, answer(lines, json!({"application/x-ndjson": text()})))],
        problems: &[400, 404, 408, 413, 429, 500, 503],
    };
    json!({"post": operation.build()})
}

pub(super) fn task(verb: TaskVerb, keys: bool) -> Value {
    let (summary, body) = match verb {
        TaskVerb::Success => {
            ("Answer a waiting task: here is its output", Some(json!({"description": "Any JSON."})))
        }
        TaskVerb::Failure => ("Answer a waiting task: it failed", Some(reference("TaskFailure"))),
        TaskVerb::Heartbeat => ("A waiting task is still worked on", None),
    };
    let schema = json!({"type": "object", "required": ["answered"],
        "properties": {"answered": {"const": verb.name()}}});
    let operation = Operation {
        id: format!("task_{}", verb.name()),
        summary,
        access: Access::Guarded { keys },
        parameters: json!([{"name": "token", "in": "path", "required": true,
            "schema": {"type": "string", "minLength": 1, "maxLength": 2048},
            "description": "The task token, percent-encoded."}]),
        body: body
            .map(|schema| json!({"required": false, "content": {"application/json": {"schema": schema}}})),
        answers: vec![(200, answer("The answer is taken.", json!({"application/json": {"schema": schema}})))],
        problems: &[400, 404, 408, 410, 413, 429, 500, 503],
    };
    json!({"post": operation.build()})
}

pub(super) fn healthz() -> Value {
    let schema = json!({"type": "object", "required": ["alive"], "properties": {"alive": {"const": true}}});
    get("healthz", "Does the process live?", Access::Open, "application/json", schema, vec![])
}

pub(super) fn readyz() -> Value {
    let content = json!({"application/json": {"schema": reference("Readiness")}});
    let not_ready = (503, answer("Not ready, and why.", content));
    let schema = reference("Readiness");
    get(
        "readyz",
        "Is the pipeline ready to take events?",
        Access::Open,
        "application/json",
        schema,
        vec![not_ready],
    )
}

pub(super) fn metrics(keys: bool) -> Value {
    let schema = json!({"type": "string"});
    get("metrics", "Metrics as Prometheus text", Access::Guarded { keys }, "text/plain", schema, vec![])
}

pub(super) fn openapi(keys: bool) -> Value {
    let schema = json!({"type": "object", "required": ["openapi", "paths"]});
    get("openapi", "This document", Access::Guarded { keys }, "application/json", schema, vec![])
}

fn get(
    id: &str,
    summary: &str,
    access: Access,
    media_type: &str,
    schema: Value,
    more: Vec<(u16, Value)>,
) -> Value {
    let ok = answer("", json!({media_type: {"schema": schema}}));
    let mut answers = vec![(200, ok)];
    answers.extend(more);
    let problems: &[u16] = if access == Access::Open { &[500] } else { &[500, 503] };
    let operation =
        Operation { id: id.into(), summary, access, parameters: json!([]), body: None, answers, problems };
    json!({"get": operation.build()})
}
