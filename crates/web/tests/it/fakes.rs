//! A pipeline that is not there: fake query engine, admin and ingest routes, and a server around them.

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::routing::post;
use bourn_event::{Query, QueryError, QueryOptions, Rows};
use bourn_web::{Admin, AdminError, Readiness, StreamDoc, TaskAnswerError, TaskAnswers, WebOptions};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tower::ServiceExt;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// Answers statements by what they say; `dropped` tells when an endless query was cancelled.
pub struct FakeQuery {
    pub dropped: watch::Sender<u64>,
}

impl Default for FakeQuery {
    fn default() -> Self {
        Self { dropped: watch::channel(0).0 }
    }
}

struct OnDrop(watch::Sender<u64>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ]))
}

fn batch(rows: i64) -> RecordBatch {
    let numbers = Int64Array::from_iter_values((0..rows).map(|row| row + (1 << 53)));
    let texts = StringArray::from_iter((0..rows).map(|row| (row % 2 == 0).then_some("a,\"b\"")));
    RecordBatch::try_new(schema(), vec![Arc::new(numbers), Arc::new(texts)]).expect("columns fit")
}

#[async_trait]
impl Query for FakeQuery {
    async fn query(&self, sql: &str, options: QueryOptions) -> Result<Rows, QueryError> {
        let failure = || QueryError::Failed("the disk is on fire".into());
        let batches: BoxStream<'static, Result<RecordBatch, QueryError>> = match sql.trim() {
            "invalid" => return Err(QueryError::Invalid("table flihgts does not exist".into())),
            "timeout" => return Err(QueryError::Timeout(options.timeout.unwrap_or(Duration::from_secs(1)))),
            "memory" => return Err(QueryError::Memory("a sort".into())),
            "failed" => return Err(failure()),
            "panic" => panic!("a defect"),
            "fails at first" => stream::iter([Err(failure())]).boxed(),
            "fails later" => stream::iter([Ok(batch(3)), Ok(batch(3)), Err(failure())]).boxed(),
            "empty" => stream::empty().boxed(),
            "limited" => stream::iter([Ok(batch(options.limit.unwrap_or(9) as i64))]).boxed(),
            "endless" => {
                let guard = OnDrop(self.dropped.clone());
                stream::repeat_with(move || {
                    let _held = &guard;
                    Ok(batch(8192))
                })
                .boxed()
            }
            "stuck" => {
                let guard = OnDrop(self.dropped.clone());
                let stuck = async move {
                    let _held = guard;
                    std::future::pending().await
                };
                stream::iter([Ok(batch(1))]).chain(stuck.into_stream()).boxed()
            }
            _ => stream::iter([Ok(batch(2)), Ok(batch(1))]).boxed(),
        };
        Ok(Rows { schema: schema(), batches })
    }
}

pub struct FakeAdmin;

#[async_trait]
impl Admin for FakeAdmin {
    async fn call(&self, verb: &str, args: Value) -> Result<BoxStream<'static, Value>, AdminError> {
        let progress = json!({"progress": {"done": 1, "total": 2}});
        match verb {
            "compact" => Ok(stream::iter([progress, json!({"result": args})]).boxed()),
            "breaks" => Ok(stream::iter([progress, json!({"error": "half-way"})]).boxed()),
            "ends" => Ok(stream::iter([progress]).boxed()),
            "invalid" => Err(AdminError::Invalid("no such stream".into())),
            "failed" => Err(AdminError::Failed("no space left".into())),
            verb => Err(AdminError::NotFound(format!("there is no verb `{verb}`"))),
        }
    }

    fn verbs(&self) -> Vec<String> {
        vec!["compact".into()]
    }
}

/// Takes answers of the task `waits`; others are over, or were never there.
pub struct FakeTasks;

impl FakeTasks {
    fn find(token: &str, output: &str) -> Result<(), TaskAnswerError> {
        match token {
            "waits" | "wa/its+=" if output != "\"bad\"" => Ok(()),
            "waits" | "broken" => Err(TaskAnswerError::Invalid("that is no answer".into())),
            "over" => Err(TaskAnswerError::Over("the task is over".into())),
            "busy" => Err(TaskAnswerError::Unavailable("the disk is full".into())),
            "failed" => Err(TaskAnswerError::Failed("a defect".into())),
            _ => Err(TaskAnswerError::Unknown("there is no such task".into())),
        }
    }
}

#[async_trait]
impl TaskAnswers for FakeTasks {
    async fn succeed(&self, token: &str, output: &str) -> Result<(), TaskAnswerError> {
        Self::find(token, output)
    }

    async fn fail(
        &self,
        token: &str,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<(), TaskAnswerError> {
        // Tells what it was given, so that a test sees it.
        match (error, cause) {
            (Some(error), Some(cause)) => Err(TaskAnswerError::Over(format!("{error}: {cause}"))),
            _ => Self::find(token, "{}"),
        }
    }

    async fn heartbeat(&self, token: &str) -> Result<(), TaskAnswerError> {
        Self::find(token, "{}")
    }
}

/// Judges events by one rule: an object with an integer `id` from 0.
fn ingest_answer(stream: &str, media_type: &str, strict: bool, body: &[u8]) -> Response<Body> {
    let problem = |status: u16, kind: &str, extra: Value| {
        let mut document = json!({
            "type": format!("/problems/{kind}"), "title": kind, "status": status, "detail": kind,
        });
        if let (Some(document), Some(extra)) = (document.as_object_mut(), extra.as_object()) {
            document.extend(extra.clone());
        }
        respond(status, "application/problem+json", document.to_string())
    };
    if stream != "orders" {
        return problem(404, "unknown-stream", json!({}));
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return problem(400, "unreadable-body", json!({}));
    };
    let good = |event: &Value| {
        event.get("id").is_some_and(|id| {
            id.as_f64().is_some_and(|id| id.fract() == 0.0 && (0.0..=1_000_000.0).contains(&id))
        })
    };
    let error =
        |index: usize| json!({"index": index, "pointer": "", "keyword": "required", "message": "no id"});
    let envelope = media_type.starts_with("application/cloudevents");
    let single = !value.is_array() || media_type == "application/cloudevents+json";
    let unwrap =
        |event: &Value| if envelope { event.get("data").cloned().unwrap_or_default() } else { event.clone() };
    let events: Vec<Value> = match value.as_array().filter(|_| !single) {
        Some(events) if events.is_empty() => return problem(400, "unreadable-body", json!({})),
        Some(events) => events.iter().map(unwrap).collect(),
        None => vec![unwrap(&value)],
    };
    let errors: Vec<Value> =
        events.iter().enumerate().filter(|(_, event)| !good(event)).map(|(index, _)| error(index)).collect();
    let accepted = events.len() - errors.len();
    let answer = json!({
        "accepted": accepted, "rejected": errors.len(), "errors": errors.iter().take(100).collect::<Vec<_>>(),
        "first_offset": (accepted > 0).then_some(0),
    });
    if (single && accepted == 0) || (strict && !errors.is_empty()) {
        return problem(422, "rejected", answer);
    }
    respond(200, "application/json", answer.to_string())
}

fn respond(status: u16, media_type: &str, body: String) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a status"))
        .header("content-type", media_type)
        .body(Body::from(body))
        .expect("a response")
}

/// What the real routes say about headers and parameters, in little.
fn refusal(query: &str, headers: &HeaderMap) -> Option<u16> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("\u{e4}"));
    match text("content-encoding") {
        None | Some("identity") => {}
        Some("gzip" | "zstd" | "deflate") => return Some(400),
        Some(_) => return Some(415),
    }
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let good = match name {
            "ack" => ["durable", "memory", "visible"].contains(&value),
            "strict" => ["true", "false"].contains(&value),
            _ => false,
        };
        if !good || seen.contains(&name) {
            return Some(400);
        }
        seen.push(name);
    }
    let producer = text("bourn-producer")
        .map(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    let sequence =
        text("bourn-sequence").map(|digits| digits.parse::<u64>().is_ok() && !digits.starts_with('+'));
    match (producer, sequence) {
        (None, None) | (Some(true), Some(true)) => {}
        _ => return Some(400),
    }
    let media_type = text("content-type").unwrap_or("application/json").split(';').next().unwrap_or_default();
    let known = [
        "application/json",
        "application/x-ndjson",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    ];
    (!known.contains(&media_type)).then_some(415)
}

async fn ingest(
    Path(stream): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let query = query.unwrap_or_default();
    let strict = query.split('&').any(|pair| pair == "strict=true");
    if let Some(status) = refusal(&query, &headers) {
        let document = json!({"type": "/problems/refused", "title": "", "status": status, "detail": ""});
        return respond(status, "application/problem+json", document.to_string());
    }
    let media_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    ingest_answer(&stream, media_type, strict, &body)
}

/// Options of a server on a free port of loopback.
pub fn options(query: Arc<FakeQuery>) -> WebOptions {
    let event = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"$ref": "#/$defs/id"}},
        "$defs": {"id": {"type": "integer", "minimum": 0, "maximum": 1_000_000}},
    });
    WebOptions {
        server: bourn_config::Server { listen: "127.0.0.1:0".into(), ..Default::default() },
        query,
        admin: Arc::new(FakeAdmin),
        streams: vec![StreamDoc { name: "orders".into(), json_schema: event }],
        ingest: {
            let router = axum::Router::new().route("/v1/streams/{stream}", post(ingest));
            Arc::new(move |request| Box::pin(router.clone().oneshot(request).map(Result::unwrap)))
        },
        aws: None,
        tasks: Some(Arc::new(FakeTasks)),
        ready: Arc::new(Readiness::ready),
        metrics: recorder(),
        drain_max: Duration::from_secs(30),
    }
}

/// The process has one recorder, whichever test comes first.
fn recorder() -> metrics_exporter_prometheus::PrometheusHandle {
    static RECORDER: std::sync::OnceLock<metrics_exporter_prometheus::PrometheusHandle> =
        std::sync::OnceLock::new();
    RECORDER.get_or_init(|| bourn_web::install_metrics().expect("the first recorder")).clone()
}
