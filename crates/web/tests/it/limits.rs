//! Slow clients, many clients, much memory, and the end.

use crate::fakes::FakeQuery;
use crate::server::{call, check_problem, parse, read_answer, request, start};
use bourn_config::{ByteSize, Span};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn brief() -> Span {
    Span(Duration::from_millis(300))
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_cut_with_408() {
    let server = start(|options| options.server.request_timeout = brief()).await;
    let mut stream = TcpStream::connect(server.addr).await.expect("connects");
    let head = "POST /v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("writes");
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(50));
        while writer.write_all(b"x").await.is_ok() {
            every.tick().await;
        }
    });
    let answer = read_answer(&mut reader).await;
    check_problem(&answer, 408, "timeout");
    assert_eq!(answer.header("connection"), Some("close"));
    drip.abort();
}

#[tokio::test]
async fn a_head_that_never_ends_loses_its_connection() {
    let server = start(|options| options.server.request_timeout = brief()).await;
    for beginning in ["", "P", "PRI * HT", "POST /v1/sql HTTP/1.1\r\nHost:"] {
        let mut stream = TcpStream::connect(server.addr).await.expect("connects");
        stream.write_all(beginning.as_bytes()).await.expect("writes");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{beginning:?}");
    }
}

#[tokio::test]
async fn bodies_share_a_memory_budget() {
    let server = start(|options| options.server.max_in_flight = ByteSize(100)).await;
    let small = "select 1".to_owned();
    let large = format!("select {}", "1".repeat(100));
    let answer = call(server.addr, "POST", "/v1/sql", &[], &large).await;
    check_problem(&answer, 429, "busy");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let chunked = format!(
        "POST /v1/sql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    let mut stream = TcpStream::connect(server.addr).await.expect("connects");
    stream.write_all(chunked.as_bytes()).await.expect("writes");
    check_problem(&read_answer(&mut stream).await, 429, "busy");
    for _ in 0..50 {
        let answer = call(server.addr, "POST", "/v1/sql", &[], &small).await;
        assert_eq!(answer.status, 200, "what was held is given back: {answer:?}");
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = start(|_| {}).await;
    let body = vec![b' '; 24 << 20];
    for path in ["/v1/sql", "/v1/streams/orders"] {
        let mut stream = TcpStream::connect(server.addr).await.expect("connects");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("writes");
        stream.write_all(&body).await.expect("the server reads on");
        let _ = stream.shutdown().await;
        assert_eq!(read_answer(&mut stream).await.status, 413, "{path}");
    }
}

#[tokio::test]
async fn places_are_limited_and_given_back() {
    let server = start(|options| options.server.max_connections = 2).await;
    let idle = [TcpStream::connect(server.addr).await, TcpStream::connect(server.addr).await];
    let waiting = tokio::spawn(async move { call(server.addr, "GET", "/healthz", &[], "").await.status });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(idle);
    assert_eq!(waiting.await.expect("answered"), 200);
}

#[tokio::test]
async fn idle_connections_do_not_keep_others_from_being_served() {
    let server = start(|_| {}).await;
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(TcpStream::connect(server.addr).await.expect("connects"));
    }
    assert_eq!(call(server.addr, "GET", "/healthz", &[], "").await.status, 200);
    drop(idle);
}

#[tokio::test]
async fn draining_finishes_what_began_and_refuses_the_rest() {
    let query = Arc::new(FakeQuery::default());
    let server = start(|options| options.query = query.clone()).await;
    let mut kept_alive = TcpStream::connect(server.addr).await.expect("connects");
    let live = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    kept_alive.write_all(live.as_bytes()).await.expect("writes");
    let mut first = [0; 15];
    kept_alive.read_exact(&mut first).await.expect("answered");
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    let mut uploading = TcpStream::connect(server.addr).await.expect("connects");
    let head = "POST /v1/sql HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n";
    uploading.write_all(head.as_bytes()).await.expect("writes");
    let mut interim = [0; 25];
    uploading.read_exact(&mut interim).await.expect("the request is under way");
    assert!(interim.starts_with(b"HTTP/1.1 100"));

    server.drain.cancel();
    let mut rest = Vec::new();
    kept_alive.read_to_end(&mut rest).await.expect("idle connections are closed");

    let refused = call(server.addr, "POST", "/v1/sql", &[], "select 1").await;
    check_problem(&refused, 503, "draining");
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(call(server.addr, "GET", "/healthz", &[], "").await.status, 200);
    let ready = call(server.addr, "GET", "/readyz", &[], "").await;
    assert!(ready.status == 503 && ready.body.contains("draining"), "{ready:?}");

    uploading.write_all(b"select 1").await.expect("writes");
    let mut bytes = Vec::new();
    uploading.read_to_end(&mut bytes).await.expect("answered");
    let answer = parse(&bytes);
    assert_eq!((answer.status, answer.whole), (200, true), "{answer:?}");
    server.join.await.expect("drained");
    assert!(TcpStream::connect(server.addr).await.is_err(), "nobody listens any more");
}

/// Answers no ping, so that it never says that it has seen the end.
#[tokio::test]
async fn draining_does_not_wait_for_an_idle_http2_client() {
    let server = start(|options| options.drain_max = Duration::from_secs(3600)).await;
    let mut stream = TcpStream::connect(server.addr).await.expect("connects");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("writes");
    stream.read_exact(&mut [0; 9]).await.expect("the server's settings");
    server.drain.cancel();
    server.join.await.expect("drained");
}

#[tokio::test]
async fn draining_cuts_off_what_does_not_end() {
    let server = start(|options| options.drain_max = Duration::from_millis(200)).await;
    let mut stream = TcpStream::connect(server.addr).await.expect("connects");
    stream.write_all(request("POST", "/v1/sql", &[], "stuck").as_bytes()).await.expect("writes");
    stream.read_exact(&mut [0; 64]).await.expect("the answer begins");
    server.drain.cancel();
    server.join.await.expect("drained");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a part must not look like the whole");
}
