//! HTTP: every status, by request.

use crate::world::World;
use axum::body::Body;
use bourn_event::AppendError;
use bourn_ingest::{BodyLimits, Budget, PROBLEM_JSON, handler};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

type Ingest = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

struct Served {
    world: World,
    budget: Arc<Budget>,
    ingest: Ingest,
}

fn serve() -> Served {
    let world = World::new();
    let budget = Budget::new(64 << 10);
    let limits = BodyLimits {
        max_body: 8 << 10,
        max_inflated: 32 << 10,
        in_flight: Arc::clone(&budget),
        timeout: Duration::from_millis(50),
    };
    let ports = BTreeMap::from([("orders".to_owned(), Arc::clone(&world.port))]);
    Served { ingest: Arc::new(handler(Arc::new(ports), limits)), budget, world }
}

impl Served {
    async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let response = (self.ingest)(request).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if !head.status.is_success() {
            assert_eq!(head.headers["content-type"], PROBLEM_JSON, "{}", head.status);
            assert_eq!(value["status"], head.status.as_u16());
            for member in ["type", "title", "detail"] {
                assert!(value[member].is_string(), "{member} of {value}");
            }
        }
        assert_eq!(self.budget.used(), 0, "the memory is given back");
        (head.status, head.headers, value)
    }
}

fn post(query: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(format!("/v1/streams/orders{query}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).expect("a request")
}

fn typed(content_type: &str, body: impl Into<Body>) -> Request<Body> {
    post("", &[("content-type", content_type)], body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[tokio::test]
async fn requests_are_answered_as_the_table_says() {
    let producer = [("bourn-producer", "p"), ("bourn-sequence", "1")];
    let only_producer = [("bourn-producer", "p")];
    let bad_sequence = [("bourn-producer", "p"), ("bourn-sequence", "-1")];
    let blank_producer = [("bourn-producer", "a b"), ("bourn-sequence", "1")];
    let ce = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
    let cloud = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"id":1}}"#;
    let cases: Vec<(&str, Request<Body>, u16)> = vec![
        ("an object", typed(JSON, r#"{"id":1}"#), 200),
        ("an array", typed(JSON, r#"[{"id":1},{"id":2}]"#), 200),
        ("an empty array", typed(JSON, "[]"), 200),
        ("lines", typed(NDJSON, "{\"id\":1}\n{\"id\":2}\n"), 200),
        ("lines as JSON", typed(JSON, "{\"id\":1}\n{\"id\":2}\n"), 200),
        ("no content type", post("", &[], r#"{"id":1}"#), 200),
        ("utf-8", typed("application/json; charset=\"UTF-8\"", r#"{"id":1}"#), 200),
        ("all of a list rejected", typed(JSON, "[{}]"), 200),
        ("no lines", typed(NDJSON, "\n"), 200),
        ("a producer", post("", &producer, r#"{"id":1}"#), 200),
        ("memory", post("?ack=memory&strict=false", &[], r#"{"id":1}"#), 200),
        ("structured", typed("application/cloudevents+json; charset=utf-8", cloud), 200),
        ("a batch", typed("application/cloudevents-batch+json", format!("[{cloud},{cloud}]")), 200),
        ("binary", post("", &ce, r#"{"id":1}"#), 200),
        ("nothing", typed(JSON, " "), 400),
        ("only a producer", post("", &only_producer, r#"{"id":1}"#), 400),
        ("a bad sequence", post("", &bad_sequence, r#"{"id":1}"#), 400),
        ("a bad producer", post("", &blank_producer, r#"{"id":1}"#), 400),
        ("a bad ack", post("?ack=soon", &[], r#"{"id":1}"#), 400),
        ("a bad strict", post("?strict=1", &[], r#"{"id":1}"#), 400),
        ("an unknown parameter", post("?ak=memory", &[], r#"{"id":1}"#), 400),
        ("a parameter twice", post("?ack=memory&ack=memory", &[], r#"{"id":1}"#), 400),
        ("broken gzip", post("", &[("content-encoding", "gzip")], "nope"), 400),
        ("cut gzip", post("", &[("content-encoding", "gzip")], gzip(b"{\"id\":1}")[..15].to_vec()), 400),
        ("a long body", typed(JSON, "x".repeat(9 << 10)), 413),
        ("text", typed("text/plain", "hi"), 415),
        ("latin-1", typed("application/json; charset=latin1", r#"{"id":1}"#), 415),
        ("utf-16", typed(JSON, b"\xff\xfe{\0}\0".to_vec()), 415),
        ("an unknown coding", post("", &[("content-encoding", "br")], "x"), 415),
        ("a rejected object", typed(JSON, "{}"), 422),
        ("no JSON", typed(JSON, "nope"), 422),
        ("NUL bytes", typed(JSON, b"\0\0".to_vec()), 422),
        ("a rejected CloudEvent", typed("application/cloudevents+json", "{}"), 422),
        ("strict", post("?strict=true", &[("content-type", NDJSON)], "{\"id\":1}\n{}"), 422),
    ];
    for (name, request, expected) in cases {
        let (status, _, body) = serve().send(request).await;
        assert_eq!(status.as_u16(), expected, "{name}: {body}");
    }
}

#[tokio::test]
async fn an_answer_has_the_members_scripts_rely_on() {
    let served = serve();
    let (_, _, body) = served.send(typed(NDJSON, "{\"id\":1}\nnope\n")).await;
    assert_eq!(body["accepted"], 1);
    assert_eq!(body["rejected"], 1);
    assert_eq!(body["first_offset"], 0);
    assert_eq!(body["errors"][0]["index"], 1);
    let (_, _, body) = served.send(typed(JSON, "{}")).await;
    assert_eq!((&body["rejected"], &body["errors"][0]["keyword"]), (&1.into(), &"required".into()));
    assert_eq!(served.world.rejects.lines().len(), 2);
}

#[tokio::test]
async fn unknown_streams_and_methods_are_problems() {
    let served = serve();
    for path in ["/v1/streams/nope", "/v1/streams/%FF", "/v1/streams/%6frders"] {
        let request = Request::post(path).body(Body::from("{}")).expect("a request");
        assert_eq!(served.send(request).await.0, 404, "{path}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let request = Request::builder().method(&method).uri("/v1/streams/orders");
        let (status, headers, _) = served.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(
            (status.as_u16(), &headers["allow"]),
            (405, &"POST".parse().expect("a value")),
            "{method}"
        );
        assert_eq!(headers.get_all("allow").iter().count(), 1);
    }
}

#[tokio::test]
async fn every_coding_is_undone_also_one_on_the_other() {
    let event = br#"{"id":1,"name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(event).expect("memory");
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
    raw.write_all(event).expect("memory");
    let zstd = zstd::encode_all(&event[..], 1).expect("memory");
    for (coding, body) in [
        ("gzip", gzip(event)),
        ("deflate", zlib.finish().expect("memory")),
        ("deflate", raw.finish().expect("memory")),
        ("zstd", zstd.clone()),
        ("zstd, gzip", gzip(&zstd)),
        ("identity", event.to_vec()),
    ] {
        let served = serve();
        let (status, _, answer) = served.send(post("", &[("content-encoding", coding)], body)).await;
        assert_eq!((status.as_u16(), &answer["accepted"]), (200, &1.into()), "{coding}: {answer}");
        assert_eq!(served.world.ids(), [1]);
    }
}

#[tokio::test]
async fn a_bomb_is_refused_at_the_limit() {
    let zeros = vec![b' '; 64 << 20];
    let twice = gzip(&gzip(&zeros));
    assert!(twice.len() < 8 << 10, "small on the wire: {}", twice.len());
    let zstd = zstd::encode_all(&zeros[..], 3).expect("memory");
    assert!(zstd.len() < 8 << 10, "small on the wire: {}", zstd.len());
    for (coding, body) in [("gzip, gzip", twice), ("zstd", zstd)] {
        let (status, _, _) = serve().send(post("", &[("content-encoding", coding)], body)).await;
        assert_eq!(status, 413, "{coding}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_timeout() {
    let endless = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    let (status, _, _) = serve().send(typed(JSON, Body::from_stream(endless))).await;
    assert_eq!(status, 408);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_unreadable() {
    let broken = futures::stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("gone"))]);
    let served = serve();
    assert_eq!(served.send(typed(JSON, Body::from_stream(broken))).await.0, 400);
    assert!(served.world.rejects.lines().is_empty());
}

#[tokio::test]
async fn failures_of_the_log_say_when_to_come_back() {
    let full = AppendError::Full { retry_after: Duration::from_millis(2500) };
    for (error, status, kind) in [
        (full, 429, "/problems/busy"),
        (AppendError::Unavailable("no space".into()), 503, "/problems/log-unavailable"),
        (AppendError::Closed, 503, "/problems/draining"),
    ] {
        let served = serve();
        served.world.log.fail([error]);
        let (got, headers, body) = served.send(typed(JSON, r#"{"id":1}"#)).await;
        assert_eq!((got.as_u16(), &body["type"]), (status, &kind.into()));
        assert_eq!(headers["retry-after"], if status == 429 { "3" } else { "1" });
    }
}

#[tokio::test]
async fn the_memory_of_bodies_in_flight_is_bounded() {
    let served = serve();
    let spaces = vec![b' '; 30 << 10];
    let small = Budget::new(16 << 10);
    let limits = BodyLimits {
        max_body: 8 << 10,
        max_inflated: 32 << 10,
        in_flight: Arc::clone(&small),
        timeout: Duration::from_secs(5),
    };
    let ports = BTreeMap::from([("orders".to_owned(), Arc::clone(&served.world.port))]);
    let served = Served { ingest: Arc::new(handler(Arc::new(ports), limits)), budget: small, ..served };
    let (status, _, body) = served.send(post("", &[("content-encoding", "gzip")], gzip(&spaces))).await;
    assert_eq!((status.as_u16(), &body["type"]), (413, &"/problems/too-large".into()), "it never fits");

    for _ in 0..2 {
        let begun = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 8 << 10]))]);
        let stalled = futures::StreamExt::chain(begun, futures::stream::pending());
        tokio::spawn((served.ingest)(typed(JSON, Body::from_stream(stalled))));
    }
    while served.budget.used() < 16 << 10 {
        tokio::task::yield_now().await;
    }
    let refused = (served.ingest)(typed(JSON, r#"{"id":1}"#)).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"1".parse().expect("a value"))
    );
}

#[tokio::test]
async fn a_draining_stream_says_so() {
    let served = serve();
    served.world.port.drain();
    let (status, headers, body) = served.send(typed(JSON, r#"{"id":1}"#)).await;
    assert_eq!((status.as_u16(), &body["type"]), (503, &"/problems/draining".into()));
    assert!(headers.contains_key("retry-after"));
}
