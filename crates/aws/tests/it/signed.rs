//! Both APIs with access keys: who signs is let in, and everybody else is told why not in the API's form.

use crate::fakes::{Answer, Server, server_with};
use axum::body::Body;
use bourn_config::{AccessKey, Aws, Secret};
use bourn_event::{ManualClock, Micros};
use http::Request;
use std::sync::Arc;

/// 2015-08-30T12:36:00Z
const AT: Micros = 1_440_938_160_000_000;

fn signed_server() -> Server {
    let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    let aws = Aws { keys: vec![AccessKey { id: "AKIDEXAMPLE".into(), secret }], ..Aws::default() };
    server_with(aws, Arc::new(ManualClock::at(AT)))
}

/// As botocore signs it.
fn list_machines(body: &'static str) -> Request<Body> {
    Request::builder()
        .method("POST")
        .uri("/")
        .header("Host", "127.0.0.1:8686")
        .header("Content-Type", "application/x-amz-json-1.0")
        .header("X-Amz-Target", "AWSStepFunctions.ListStateMachines")
        .header("X-Amz-Date", "20150830T123600Z")
        .header(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/states/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
             Signature=44414aa9de4871b27810bb00fa44425a91da72edb59f86d8ec5c71dc9131781f",
        )
        .body(Body::from(body))
        .expect("a request")
}

#[track_caller]
fn check_denied(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.header("x-amzn-errortype"), code, "{answer:?}");
}

#[tokio::test]
async fn a_signed_call_is_answered() {
    let server = signed_server();
    let answer = server.send(list_machines("{}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["stateMachines"][0]["name"], "nightly");
}

#[tokio::test]
async fn a_call_that_is_not_signed_right_does_nothing() {
    let server = signed_server();
    check_denied(&server.send(list_machines("{} ")).await, 400, "InvalidSignatureException");
    let unsigned = server.operate("ListStateMachines", serde_json::json!({})).await;
    check_denied(&unsigned, 400, "MissingAuthenticationTokenException");
    assert_eq!(unsigned.json()["__type"], "MissingAuthenticationTokenException");
    let mut stolen = list_machines("{}");
    stolen
        .headers_mut()
        .insert("x-amz-target", "AWSStepFunctions.DeleteStateMachine".parse().expect("a value"));
    check_denied(&server.send(stolen).await, 400, "InvalidSignatureException");
    assert_eq!(server.flows.count(), 0);

    let path = "/2015-03-31/functions/echo/invocations";
    check_denied(&server.call("POST", path, &[], "{}").await, 403, "MissingAuthenticationTokenException");
    let unknown = "AWS4-HMAC-SHA256 Credential=AKIDNOBODY/20150830/us-east-1/lambda/aws4_request, \
                   SignedHeaders=host;x-amz-date, Signature=00";
    let headers = [("host", "localhost"), ("x-amz-date", "20150830T123600Z"), ("authorization", unknown)];
    check_denied(&server.call("POST", path, &headers, "{}").await, 403, "UnrecognizedClientException");
    assert!(server.functions.invoked.lock().expect("no panic").is_empty());
}
