//! The Lambda API.

use crate::fakes::{Answer, Server, server};
use serde_json::json;

async fn invoke(
    server: &Server,
    name: &str,
    headers: &[(&str, &str)],
    body: impl Into<axum::body::Body>,
) -> Answer {
    server.call("POST", &format!("/2015-03-31/functions/{name}/invocations"), headers, body).await
}

#[track_caller]
fn check_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.header("x-amzn-errortype"), code, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    let message = body.get("message").or(body.get("Message")).and_then(|message| message.as_str());
    assert!(message.is_some_and(|message| !message.is_empty()), "{body}");
    assert_eq!(body["Type"], if status < 500 { "User" } else { "Service" });
}

#[tokio::test]
async fn an_invocation_gives_what_the_function_answers() {
    let server = server();
    for name in ["echo", "echo:$LATEST", "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aecho"] {
        let answer = invoke(&server, name, &[], "{\"a\": 1}").await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert_eq!(answer.body, "{\"a\": 1}");
        assert_eq!(answer.header("x-amz-executed-version"), "$LATEST");
        assert_eq!(answer.header("x-amzn-requestid"), "11111111-2222-3333-4444-555555555555");
        assert!(!answer.headers.contains_key("x-amz-function-error"));
        assert!(!answer.headers.contains_key("x-amz-log-result"));
    }
    let empty = invoke(&server, "echo", &[], "").await;
    assert_eq!(empty.body, "{}", "no payload is an empty object");
}

#[tokio::test]
async fn a_functions_error_is_an_answer_with_a_header() {
    let server = server();
    for (name, kind) in [("fails", "Handled"), ("crashes", "Unhandled")] {
        let answer = invoke(&server, name, &[], "{}").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("x-amz-function-error"), kind);
        assert_eq!(answer.json()["errorType"], "ValueError");
    }
}

#[tokio::test]
async fn headers_travel_to_the_function_and_back() {
    let server = server();
    let headers = [
        ("x-amz-log-type", "Tail"),
        ("x-amz-client-context", "eyJjdXN0b20iOiB7ImEiOiAxfX0="),
        ("x-amzn-trace-id", "Root=1-2-3"),
    ];
    let answer = invoke(&server, "echo", &headers, "1").await;
    assert_eq!(answer.header("x-amz-log-result"), "U1RBUlQKRU5ECg==");
    assert_eq!(answer.header("x-amzn-trace-id"), "Root=1-2-3");
    let call = server.functions.invoked.lock().expect("no panic").pop().expect("a call");
    assert_eq!(call.client_context.as_deref(), Some("{\"custom\": {\"a\": 1}}"));
    assert_eq!(call.trace.as_deref(), Some("Root=1-2-3"));
    assert!(call.wants_log);
}

#[tokio::test]
async fn an_event_is_queued_and_a_dry_run_does_nothing() {
    let server = server();
    let headers = [
        ("x-amz-invocation-type", "Event"),
        ("x-amz-log-type", "Tail"),
        ("x-amz-client-context", "eyJhIjogMX0="),
    ];
    let answer = invoke(&server, "echo", &headers, "{\"a\":1}").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (202, 0), "{answer:?}");
    assert_eq!(answer.header("x-amzn-requestid"), "99999999-2222-3333-4444-555555555555");
    let queued = server.functions.queued.lock().expect("no panic").pop().expect("a call");
    assert_eq!(queued.payload, "{\"a\":1}");
    assert_eq!((queued.client_context, queued.wants_log), (None, false));

    let answer = invoke(&server, "echo", &[("x-amz-invocation-type", "DryRun")], "{}").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{answer:?}");
    assert!(server.functions.queued.lock().expect("no panic").is_empty());
    assert!(server.functions.invoked.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn every_refusal_has_lambdas_name_and_status() {
    let server = server();
    let big = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let event = ("x-amz-invocation-type", "Event");
    let dry = ("x-amz-invocation-type", "DryRun");
    let cases = [
        ("nobody", None, "{}".to_owned(), 404, "ResourceNotFoundException"),
        ("nobody", Some(event), "{}".into(), 404, "ResourceNotFoundException"),
        ("nobody", Some(dry), "{}".into(), 404, "ResourceNotFoundException"),
        ("gone", None, "{}".into(), 404, "ResourceNotFoundException"),
        ("echo:live", None, "{}".into(), 404, "ResourceNotFoundException"),
        ("busy", None, "{}".into(), 429, "TooManyRequestsException"),
        ("picky", None, "{}".into(), 400, "InvalidRequestContentException"),
        ("echo", None, "{".into(), 400, "InvalidRequestContentException"),
        ("echo", Some(("x-amz-client-context", "***")), "{}".into(), 400, "InvalidRequestContentException"),
        ("echo", Some(("x-amz-client-context", "YWJj")), "{}".into(), 400, "InvalidRequestContentException"),
        ("echo", Some(("x-amz-invocation-type", "Later")), "{}".into(), 400, "ValidationException"),
        ("a%20b", None, "{}".into(), 400, "ValidationException"),
        ("echo", Some(event), big((1 << 20) + 1), 413, "RequestTooLargeException"),
        ("echo", None, big((6 << 20) + 1), 413, "RequestTooLargeException"),
        ("small", None, "{}".into(), 413, "RequestTooLargeException"),
        ("broken", None, "{}".into(), 500, "ServiceException"),
        ("closed", Some(event), "{}".into(), 500, "ServiceException"),
    ];
    for (name, header, body, status, code) in cases {
        let answer = invoke(&server, name, header.as_slice(), body).await;
        check_error(&answer, status, code);
        let retry = if status == 429 { "2" } else { "" };
        assert_eq!(answer.header("retry-after"), retry, "{answer:?}");
    }
    for (bytes, header) in [(1 << 20, Some(event)), (6 << 20, None)] {
        let answer = invoke(&server, "echo", header.as_slice(), big(bytes)).await;
        assert!(answer.status.is_success(), "{bytes} bytes fit: {}", answer.status);
    }
    let path = "/2015-03-31/functions/echo:2/invocations?Qualifier=3";
    let twice = server.call("POST", path, &[], "{}").await;
    check_error(&twice, 400, "InvalidParameterValueException");
}

#[tokio::test]
async fn functions_are_listed_in_pages_and_described() {
    let server = server();
    let all = server.call("GET", "/2015-03-31/functions/", &[], "").await.json();
    let names = |list: &serde_json::Value| -> Vec<String> {
        let functions = list["Functions"].as_array().expect("a list");
        functions.iter().map(|function| function["FunctionName"].as_str().expect("a name").into()).collect()
    };
    assert_eq!(names(&all).len(), 9);
    assert!(all.get("NextMarker").is_none());
    let (mut seen, mut marker) = (Vec::new(), String::new());
    loop {
        let path = format!("/2015-03-31/functions?MaxItems=4&Marker={marker}");
        let page = server.call("GET", &path, &[], "").await.json();
        assert!(names(&page).len() <= 4);
        seen.extend(names(&page));
        match page.get("NextMarker").and_then(|marker| marker.as_str()) {
            Some(next) => marker = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, names(&all));

    let got = server.call("GET", "/2015-03-31/functions/echo", &[], "").await.json();
    let configuration = json!({
        "FunctionName": "echo",
        "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:echo",
        "Role": "arn:aws:iam::000000000000:role/bourn",
        "Version": "$LATEST",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Runtime": "python3",
        "Handler": "app.handler",
        "Timeout": 30,
        "MemorySize": 128,
    });
    assert_eq!(got["Configuration"], configuration);
    let alone = server.call("GET", "/2015-03-31/functions/echo/configuration", &[], "").await.json();
    assert_eq!(alone, configuration);
}

#[tokio::test]
async fn what_is_not_offered_is_an_unknown_operation() {
    let server = server();
    let cases = [
        ("GET", "/2015-03-31/functions/nobody", 404, "ResourceNotFoundException"),
        ("GET", "/2015-03-31/functions/echo?Qualifier=7", 404, "ResourceNotFoundException"),
        ("GET", "/2015-03-31/functions?MaxItems=0", 400, "InvalidParameterValueException"),
        ("DELETE", "/2015-03-31/functions/echo", 404, "UnknownOperationException"),
        ("POST", "/2015-03-31/functions", 404, "UnknownOperationException"),
        ("GET", "/2015-03-31/event-source-mappings", 404, "UnknownOperationException"),
    ];
    for (method, path, status, code) in cases {
        check_error(&server.call(method, path, &[], "").await, status, code);
    }
}
