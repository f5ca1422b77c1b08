//! Routes, methods, problem documents, health, metrics, TLS.

use crate::fakes::{self, FakeQuery};
use bourn_web::{Readiness, Serving, WebError, WebOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// A server that drains when this is dropped.
pub struct Server {
    pub addr: SocketAddr,
    pub drain: CancellationToken,
    pub join: tokio::task::JoinHandle<()>,
}

pub async fn start(change: impl FnOnce(&mut WebOptions)) -> Server {
    let mut options = fakes::options(Arc::new(FakeQuery::default()));
    change(&mut options);
    let drain = CancellationToken::new();
    let Serving { addr, join } = bourn_web::serve(options, drain.clone()).await.expect("serves");
    Server { addr, drain, join }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
    /// Did a chunked body come with its end?
    pub whole: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Reads one answer of a connection that then closes.
pub async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut bytes = Vec::new();
    // An answer that is cut off may end with a reset.
    let _ = stream.read_to_end(&mut bytes).await;
    parse(&bytes)
}

pub fn parse(bytes: &[u8]) -> Answer {
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&bytes[..split]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let raw = &bytes[split + 4..];
    let (body, whole) =
        if head.contains("transfer-encoding: chunked") { unchunk(raw) } else { (raw.to_vec(), true) };
    Answer { status, head, body: String::from_utf8_lossy(&body).into_owned(), whole }
}

fn unchunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = raw.windows(2).position(|window| window == b"\r\n") {
        let size =
            std::str::from_utf8(&raw[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let (Some(size), Some(rest)) = (size, raw.get(end + 2..)) else { break };
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(..size) else { break };
        body.extend_from_slice(chunk);
        raw = rest.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text + "\r\n" + body
}

pub async fn call(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let stream = TcpStream::connect(addr).await.expect("connects");
    call_over(stream, &request(method, path, headers, body)).await
}

async fn call_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.expect("writes");
    read_answer(&mut stream).await
}

#[track_caller]
pub fn check_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let document: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(document["type"], format!("/problems/{kind}"), "{document}");
    assert_eq!(document["status"], status);
    assert!(document["title"].is_string() && document["detail"].is_string(), "{document}");
}

#[tokio::test]
async fn every_path_and_method_has_its_answer() {
    let server = start(|_| {}).await;
    let cases = [
        ("GET", "/healthz", 200, ""),
        ("HEAD", "/healthz", 200, ""),
        ("GET", "/readyz", 200, ""),
        ("GET", "/metrics", 200, ""),
        ("GET", "/v1/openapi.json", 200, ""),
        ("OPTIONS", "/v1/sql", 204, ""),
        ("OPTIONS", "/metrics", 204, ""),
        ("GET", "/", 404, "not-found"),
        ("GET", "/v1/nothing", 404, "not-found"),
        ("POST", "/v1/streams/a/b", 404, "not-found"),
        ("POST", "/v1/admin/unknown", 404, "not-found"),
        ("POST", "/healthz", 405, "method-not-allowed"),
        ("GET", "/v1/sql", 405, "method-not-allowed"),
        ("DELETE", "/v1/streams/orders", 405, "method-not-allowed"),
        ("TRACE", "/v1/admin/compact", 405, "method-not-allowed"),
        ("BREW", "/v1/openapi.json", 405, "method-not-allowed"),
        ("POST", "/v1/sql", 400, "bad-request"),
        ("POST", "/v1/admin/invalid", 400, "bad-request"),
        ("POST", "/v1/admin/failed", 500, "admin-failed"),
    ];
    for (method, path, status, kind) in cases {
        let answer = call(server.addr, method, path, &[], "").await;
        if kind.is_empty() {
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        } else {
            check_problem(&answer, status, kind);
        }
        if matches!(status, 204 | 405) {
            let allow = answer.header("allow").unwrap_or_default();
            assert!(allow.contains("options"), "{method} {path}: {answer:?}");
        }
        if method == "HEAD" {
            assert_eq!(answer.body, "");
        }
    }
}

#[tokio::test]
async fn events_reach_the_ingest_routes() {
    let server = start(|_| {}).await;
    let answer = call(server.addr, "POST", "/v1/streams/orders", &[], "{\"id\": 1}").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("\"accepted\":1"), "{answer:?}");
    check_problem(&call(server.addr, "POST", "/v1/streams/other", &[], "{}").await, 404, "unknown-stream");
}

#[tokio::test]
async fn readiness_gives_its_reasons() {
    let server = start(|options| {
        options.ready = Arc::new(|| Readiness::not("orders", "replaying"));
    })
    .await;
    let answer = call(server.addr, "GET", "/readyz", &[], "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, r#"{"ready":false,"reasons":[{"subject":"orders","message":"replaying"}]}"#);
}

#[tokio::test]
async fn admin_answers_with_lines_and_never_passes_a_part_for_the_whole() {
    let server = start(|_| {}).await;
    let progress = "{\"progress\":{\"done\":1,\"total\":2}}\n";
    let cases = [
        ("compact", "{\"stream\":\"orders\"}", "{\"result\":{\"stream\":\"orders\"}}\n"),
        ("compact", "", "{\"result\":{}}\n"),
        ("breaks", "{}", "{\"error\":\"half-way\"}\n"),
    ];
    for (verb, args, last) in cases {
        let answer = call(server.addr, "POST", &format!("/v1/admin/{verb}"), &[], args).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
        assert_eq!((answer.body, answer.whole), (format!("{progress}{last}"), true), "{verb}");
    }
    let cut_off = call(server.addr, "POST", "/v1/admin/ends", &[], "").await;
    assert!(!cut_off.whole, "no result, no end: {cut_off:?}");
    for args in ["[]", "{", "1"] {
        let answer = call(server.addr, "POST", "/v1/admin/compact", &[], args).await;
        check_problem(&answer, 400, "bad-request");
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_server_goes_on() {
    let server = start(|_| {}).await;
    check_problem(&call(server.addr, "POST", "/v1/sql", &[], "panic").await, 500, "internal");
    assert_eq!(call(server.addr, "GET", "/healthz", &[], "").await.status, 200);
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_status() {
    let server = start(|_| {}).await;
    call(server.addr, "POST", "/v1/streams/orders", &[], "{\"id\": 1}").await;
    let text = call(server.addr, "GET", "/metrics", &[], "").await.body;
    for expected in [
        "bourn_http_requests_total{route=\"ingest\",status=\"200\"}",
        "bourn_http_request_seconds_bucket{route=\"ingest\",le=\"0.001\"}",
        "# TYPE bourn_http_request_seconds histogram",
        "bourn_http_connections",
        "bourn_http_body_bytes",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
}

#[tokio::test]
async fn tls_serves_both_versions_and_refuses_files_that_do_not_fit() {
    let dir = tempfile::tempdir().expect("dir");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("write");
        path
    };
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("certificate");
    let cert = write("cert.pem", &made.cert.pem());
    let key = write("key.pem", &made.signing_key.serialize_pem());
    let tls = bourn_config::Tls { cert: cert.clone(), key: key.clone() };
    let server = start(|options| options.server.tls = Some(tls)).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("root");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tcp = TcpStream::connect(server.addr).await.expect("connects");
        let name = rustls_pki_types::ServerName::try_from("localhost").expect("name");
        let stream = connector.connect(name, tcp).await.expect("handshake");
        let answer = call_over(stream, &request("POST", "/v1/streams/orders", &[], "{\"id\":1}")).await;
        assert_eq!(answer.status, 200, "{version:?}: {answer:?}");
    }

    let empty = write("empty.pem", "");
    let missing = dir.path().join("missing.pem");
    for (cert, key) in [(&empty, &key), (&cert, &empty), (&missing, &key), (&cert, &missing), (&key, &key)] {
        let mut options = fakes::options(Arc::new(FakeQuery::default()));
        options.server.tls = Some(bourn_config::Tls { cert: cert.clone(), key: key.clone() });
        let error = bourn_web::serve(options, CancellationToken::new()).await.err().expect("refused");
        assert!(matches!(error, WebError::Tls { .. }), "{error}");
        assert!(error.to_string().contains(".pem"), "{error}");
    }
}

#[tokio::test]
async fn the_openapi_document_tells_of_the_pipeline() {
    let server = start(|_| {}).await;
    let text = call(server.addr, "GET", "/v1/openapi.json", &[], "").await.body;
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/v1/streams/orders"]["post"]["responses"]["422"].is_object());
    assert!(document["paths"]["/v1/admin/compact"]["post"].is_object());
    assert!(document["components"].get("securitySchemes").is_none(), "no keys, no security");
    let id = &document["components"]["schemas"]["Event.orders"]["properties"]["id"]["$ref"];
    assert_eq!(id, "#/components/schemas/Event.orders/$defs/id");
}
