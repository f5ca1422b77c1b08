//! SQL over HTTP: forms of request and answer, errors before and after the first row, cancelling.

use crate::fakes::FakeQuery;
use crate::server::{call, check_problem, request, start};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn the_answer_comes_in_the_accepted_form() {
    let server = start(|_| {}).await;
    let cases = [
        (
            "*/*",
            "application/json",
            "[{\"n\":9007199254740992,\"text\":\"a,\\\"b\\\"\"},\n{\"n\":9007199254740993,\"text\":null},\n\
             {\"n\":9007199254740992,\"text\":\"a,\\\"b\\\"\"}]\n",
        ),
        (
            "application/x-ndjson",
            "application/x-ndjson",
            "{\"n\":9007199254740992,\"text\":\"a,\\\"b\\\"\"}\n{\"n\":9007199254740993,\"text\":null}\n\
             {\"n\":9007199254740992,\"text\":\"a,\\\"b\\\"\"}\n",
        ),
        (
            "text/csv",
            "text/csv; charset=utf-8; header=present",
            "n,text\n9007199254740992,\"a,\"\"b\"\"\"\n9007199254740993,\n9007199254740992,\"a,\"\"b\"\"\"\n",
        ),
    ];
    for (accept, media_type, body) in cases {
        let answer = call(server.addr, "POST", "/v1/sql", &[("Accept", accept)], "select 1").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)));
        assert_eq!((answer.body.as_str(), answer.whole), (body, true));
    }
    let arrow = [("Accept", "application/vnd.apache.arrow.stream")];
    assert_eq!(call(server.addr, "POST", "/v1/sql", &arrow, "select 1").await.status, 200);
    let png = [("Accept", "image/png")];
    check_problem(&call(server.addr, "POST", "/v1/sql", &png, "select 1").await, 406, "not-acceptable");
}

#[tokio::test]
async fn requests_are_text_or_json() {
    let server = start(|_| {}).await;
    let xml = ("Content-Type", "application/xml");
    let cases = [
        (JSON, "{\"sql\":\"select 1\"}", 200, ""),
        (JSON, "{\"sql\":\"select 1\",\"limit\":null,\"timeout\":\"30s\"}", 200, ""),
        (("Content-Type", "application/sql; charset=utf-8"), "select 1", 200, ""),
        (JSON, "{\"sql\":\"select 1\",\"limit\":-1}", 400, "bad-request"),
        (JSON, "{\"sql\":\"select 1\",\"timeout\":\"0s\"}", 400, "bad-request"),
        (JSON, "{\"sql\":\"select 1\",\"timeout\":\"soon\"}", 400, "bad-request"),
        (JSON, "{\"sql\":\"select 1\",\"limits\":1}", 400, "bad-request"),
        (JSON, "{\"sql\":\" \"}", 400, "bad-request"),
        (JSON, "select 1", 400, "bad-request"),
        (xml, "<sql/>", 415, "unsupported-media-type"),
    ];
    for (content_type, body, status, kind) in cases {
        let answer = call(server.addr, "POST", "/v1/sql", &[content_type], body).await;
        if status == 200 {
            assert_eq!(answer.status, 200, "{body}: {answer:?}");
        } else {
            check_problem(&answer, status, kind);
        }
    }
    let limited = call(server.addr, "POST", "/v1/sql", &[JSON], "{\"sql\":\"limited\",\"limit\":2}").await;
    assert_eq!(limited.body.lines().count(), 2);
    let large = "x".repeat((1 << 20) + 1);
    check_problem(&call(server.addr, "POST", "/v1/sql", &[], &large).await, 413, "too-large");
}

#[tokio::test]
async fn an_error_before_the_first_row_is_a_problem() {
    let server = start(|_| {}).await;
    let cases = [
        ("invalid", 400, "invalid-query"),
        ("timeout", 504, "query-timeout"),
        ("memory", 507, "query-memory"),
        ("failed", 500, "query-failed"),
        ("fails at first", 500, "query-failed"),
    ];
    for (sql, status, kind) in cases {
        check_problem(&call(server.addr, "POST", "/v1/sql", &[], sql).await, status, kind);
    }
}

#[tokio::test]
async fn an_error_after_rows_were_sent_cuts_the_answer_off() {
    let server = start(|_| {}).await;
    for accept in ["application/json", "application/x-ndjson", "text/csv"] {
        let answer = call(server.addr, "POST", "/v1/sql", &[("Accept", accept)], "fails later").await;
        assert_eq!((answer.status, answer.whole), (200, false), "{answer:?}");
    }
}

#[tokio::test]
async fn no_rows_are_an_empty_answer() {
    let server = start(|_| {}).await;
    for (accept, body) in
        [("application/json", "[]\n"), ("text/csv", "n,text\n"), ("application/x-ndjson", "")]
    {
        let answer = call(server.addr, "POST", "/v1/sql", &[("Accept", accept)], "empty").await;
        assert_eq!((answer.status, answer.body.as_str(), answer.whole), (200, body, true));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_query() {
    let query = Arc::new(FakeQuery::default());
    let mut dropped = query.dropped.subscribe();
    let server = start(|options| options.query = query.clone()).await;
    for (index, sql) in ["endless", "stuck"].into_iter().enumerate() {
        let mut stream = TcpStream::connect(server.addr).await.expect("connects");
        stream.write_all(request("POST", "/v1/sql", &[], sql).as_bytes()).await.expect("writes");
        stream.read_exact(&mut [0; 64]).await.expect("the answer begins");
        drop(stream);
        dropped.wait_for(|count| *count == index as u64 + 1).await.expect("cancelled");
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_cancels_its_query() {
    let query = Arc::new(FakeQuery::default());
    let mut dropped = query.dropped.subscribe();
    let server = start(|options| {
        options.query = query.clone();
        options.server.request_timeout = bourn_config::Span(std::time::Duration::from_millis(300));
    })
    .await;
    let mut stream = TcpStream::connect(server.addr).await.expect("connects");
    stream.write_all(request("POST", "/v1/sql", &[], "endless").as_bytes()).await.expect("writes");
    dropped.wait_for(|count| *count == 1).await.expect("cancelled");
    drop(stream);
}
