//! AWS's routes: what reaches them, who may call them, and how the server itself refuses.

use crate::access::key;
use crate::server::{Answer, call, start};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use bourn_config::Verb;
use bourn_web::{AwsRoutes, WebOptions};
use std::time::Duration;

/// Answers with the method, the path and the size of the body.
async fn echo(request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    match to_bytes(body, 1 << 20).await {
        Ok(body) => Response::new(Body::from(format!("{} {} {}", head.method, head.uri, body.len()))),
        Err(_) => {
            let mut response = Response::new(Body::from("broken"));
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            response
        }
    }
}

fn aws(signed: bool) -> impl Fn(&mut WebOptions) {
    move |options| {
        let router = axum::Router::new().fallback(echo);
        options.aws = Some(AwsRoutes { router, signed });
    }
}

#[track_caller]
fn check_refusal(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let lower = name.to_lowercase();
    assert_eq!(answer.header("x-amzn-errortype"), Some(lower.as_str()), "{answer:?}");
    let document: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(document["__type"], name);
    assert!(document["message"].as_str().is_some_and(|message| !message.is_empty()), "{document}");
}

#[tokio::test]
async fn aws_paths_reach_their_router() {
    let server = start(aws(false)).await;
    let cases = [
        ("POST", "/", "{}", "POST / 2"),
        ("POST", "/2015-03-31/functions/a%3Ab/invocations?Qualifier=1", "", "/2015-03-31/functions/a%3Ab/"),
        ("GET", "/2015-03-31/functions", "", "GET /2015-03-31/functions 0"),
        ("DELETE", "/2015-03-31/functions/a", "", "DELETE /2015-03-31/functions/a 0"),
    ];
    for (method, path, body, said) in cases {
        let answer = call(server.addr, method, path, &[], body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        assert!(answer.body.contains(said), "{answer:?}");
    }
    check_refusal(&call(server.addr, "GET", "/", &[], "").await, 405, "UnknownOperationException");
    let metrics = call(server.addr, "GET", "/metrics", &[], "").await.body;
    for route in ["states", "lambda"] {
        assert!(metrics.contains(&format!("route=\"{route}\",status=\"200\"")), "{metrics}");
    }
}

#[tokio::test]
async fn without_aws_its_paths_are_unknown() {
    let server = start(|_| {}).await;
    for (method, path) in [("POST", "/"), ("GET", "/2015-03-31/functions")] {
        let answer = call(server.addr, method, path, &[], "").await;
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
}

#[tokio::test]
async fn api_keys_guard_aws_routes_that_check_no_signatures() {
    let keys = || vec![key("root", &[], &[]), key("sender", &[], &[Verb::Ingest])];
    let signature = "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=00";
    let cases = [
        // signed, Authorization, status
        (true, "", 200),
        (true, signature, 200),
        (true, "Bearer root", 200),
        (false, "", 401),
        (false, signature, 401),
        (false, "Bearer nobody", 401),
        (false, "Bearer sender", 403),
        (false, "Bearer root", 200),
    ];
    for (signed, authorization, status) in cases {
        let server = start(|options| {
            aws(signed)(options);
            options.server.keys = keys();
        })
        .await;
        let headers = if authorization.is_empty() { vec![] } else { vec![("Authorization", authorization)] };
        let answer = call(server.addr, "POST", "/", &headers, "{}").await;
        if status == 200 {
            assert_eq!(answer.status, 200, "{signed} {authorization}: {answer:?}");
        } else {
            check_refusal(&answer, status, "AccessDeniedException");
        }
        if status == 401 && authorization != "Bearer nobody" {
            assert!(answer.body.contains("aws.keys"), "it says the way out: {answer:?}");
        }
    }
}

#[tokio::test]
async fn without_api_keys_pages_of_other_origins_are_refused_in_awss_form() {
    for signed in [false, true] {
        let server = start(aws(signed)).await;
        let answer = call(server.addr, "POST", "/", &[("Origin", "https://evil.example")], "{}").await;
        check_refusal(&answer, 403, "AccessDeniedException");
    }
}

#[tokio::test]
async fn bodies_that_do_not_fit_or_do_not_come_are_told_so() {
    let server = start(|options| {
        aws(false)(options);
        options.server.max_in_flight = bourn_config::ByteSize(1_024);
        options.server.request_timeout = bourn_config::Span(Duration::from_millis(200));
    })
    .await;
    let big = "x".repeat(2_048);
    check_refusal(&call(server.addr, "POST", "/", &[], &big).await, 429, "ThrottlingException");
    let stalled = call(server.addr, "POST", "/", &[("Content-Length", "10")], "").await;
    check_refusal(&stalled, 408, "RequestTimeoutException");
}
