//! The Runtime API, by processes that use it rightly and wrongly.

use crate::kit::{ECHO, Kit, call, error, invoke, value};
use bourn_event::{Functions, Invocation, InvokeError};
use bourn_functions::PAYLOAD_BYTES_MAX;
use serde_json::json;

#[tokio::test]
async fn event_comes_with_documented_headers() {
    let program = r#"
while True:
    id, event, headers = next()
    named = {name.lower(): value for name, value in headers.items() if name.lower().startswith("lambda-")}
    answer(id, {"event": event, "headers": named, "now": time.time() * 1000})
"#;
    let kit = Kit::new().raw("f", program);
    let host = kit.open();
    let call = Invocation {
        client_context: Some("{\"custom\":\n{\"a\":1}}".into()),
        trace: Some("Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1".into()),
        ..call("f", r#"{"n": 1}"#)
    };
    let invoked = host.invoke(call).await;
    let id = invoked.as_ref().expect("an answer").request_id.clone();
    let answer = value(invoked);
    assert_eq!(answer["event"], json!({"n": 1}));
    let headers = &answer["headers"];
    assert_eq!(headers["lambda-runtime-aws-request-id"], json!(id));
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    assert_eq!(headers["lambda-runtime-invoked-function-arn"], json!(arn));
    assert_eq!(headers["lambda-runtime-client-context"], json!("{\"custom\": {\"a\":1}}"));
    assert!(
        headers["lambda-runtime-trace-id"].as_str().is_some_and(|trace| trace.starts_with("Root=1-5bef"))
    );
    let deadline: f64 = headers["lambda-runtime-deadline-ms"].as_str().expect("text").parse().expect("ms");
    let left = deadline - answer["now"].as_f64().expect("ms");
    assert!((0.0..=30_000.0).contains(&left), "{left}");
    host.close(std::time::Duration::ZERO).await;
}

#[tokio::test]
async fn wrong_requests_get_their_status() {
    let program = r#"
seen = {}
id, event, _ = next()
seen["next while busy"] = call("GET", "/invocation/next")[0]
seen["wrong id"] = post("/invocation/nobody/response", 1)
seen["wrong id, error"] = post("/invocation/nobody/error", {})
seen["init error when started"] = post("/init/error", {})
seen["wrong method"] = call("GET", "/invocation/%s/response" % id)[0]
seen["no such place"] = call("GET", "/restore/next")[0]
seen["right"] = answer(id, 1)
seen["twice"] = answer(id, 2)
seen["twice, error"] = post("/invocation/%s/error" % id, {})
id, event, _ = next()
answer(id, seen)
next()
"#;
    let kit = Kit::new().raw("f", program);
    let host = kit.open();
    assert_eq!(value(invoke(&host, "f", "{}").await), json!(1));
    let expected = json!({
        "next while busy": 403,
        "wrong id": [400, "InvalidRequestID"],
        "wrong id, error": [400, "InvalidRequestID"],
        "init error when started": [403, "InvalidStateTransition"],
        "wrong method": 405,
        "no such place": 404,
        "right": [202, null],
        "twice": [403, "InvalidStateTransition"],
        "twice, error": [403, "InvalidStateTransition"],
    });
    assert_eq!(value(invoke(&host, "f", "{}").await), expected);
}

#[tokio::test]
async fn answer_above_the_limit_is_an_error_of_one_invocation() {
    let program = r#"
status = None
while True:
    id, event, _ = next()
    if event == "status":
        answer(id, status)
    else:
        status = call("POST", "/invocation/%s/response" % id, b'"' + b"x" * (event - 2) + b'"')[0]
"#;
    let kit = Kit::new().raw("f", program);
    let host = kit.open();
    let (kind, message) = error(invoke(&host, "f", &(PAYLOAD_BYTES_MAX + 1).to_string()).await);
    assert_eq!(kind, "Function.ResponseSizeTooLarge");
    assert_eq!(
        message,
        "Response payload size (6291557 bytes) exceeded maximum allowed payload size (6291556 bytes)."
    );
    assert_eq!(value(invoke(&host, "f", "\"status\"").await), json!(413));
    let whole = invoke(&host, "f", &PAYLOAD_BYTES_MAX.to_string()).await.expect("an answer");
    assert_eq!(whole.payload.len(), PAYLOAD_BYTES_MAX);
    let (kind, _) = error(invoke(&host, "f", &(32 << 20).to_string()).await);
    assert_eq!(kind, "Function.ResponseSizeTooLarge");
    assert_eq!(value(invoke(&host, "f", "\"status\"").await), json!(413));
}

#[tokio::test]
async fn streamed_answer_is_collected_with_its_trailers() {
    let program = r#"
import base64, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
while True:
    id, event, _ = next()
    s = socket.create_connection((host, int(port)))
    head = "POST %s/invocation/%s/response HTTP/1.1\r\nHost: x\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n" % (BASE, id)
    head += "Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
    s.sendall(head.encode())
    for part in ["{\"a\":", "[1,", "2]}"]:
        s.sendall(("%x\r\n%s\r\n" % (len(part), part)).encode())
    if event == "fail":
        body = base64.b64encode(json.dumps({"errorMessage": "midway"}).encode()).decode()
        s.sendall(("0\r\nLambda-Runtime-Function-Error-Type: Stream.Broke\r\nLambda-Runtime-Function-Error-Body: %s\r\n\r\n" % body).encode())
    else:
        s.sendall(b"0\r\n\r\n")
    s.recv(65536)
    s.close()
"#;
    let kit = Kit::new().raw("f", program);
    let host = kit.open();
    assert_eq!(value(invoke(&host, "f", "{}").await), json!({"a": [1, 2]}));
    let invoked = invoke(&host, "f", "\"fail\"").await.expect("an answer");
    assert!(invoked.error.is_some());
    assert_eq!(&invoked.payload[..], br#"{"errorMessage": "midway"}"#);
}

#[tokio::test]
async fn payloads_are_checked_before_anything_starts() {
    let kit = Kit::new().raw("f", ECHO);
    let host = kit.open();
    let too_large = "1".repeat(PAYLOAD_BYTES_MAX + 1);
    let cases = [
        ("f", "{", "the payload is not JSON"),
        ("f", too_large.as_str(), "more than"),
        ("g", "{}", "there is no function `g`"),
    ];
    for (function, payload, expected) in cases {
        let refusal = invoke(&host, function, payload).await.expect_err("a refusal");
        assert!(refusal.to_string().contains(expected), "{refusal}");
    }
    let bad = Invocation { client_context: Some("{".into()), ..call("f", "") };
    assert!(matches!(host.invoke(bad).await, Err(InvokeError::Invalid(_))));
    assert_eq!(host.functions()[0].processes, 0);
    assert_eq!(value(invoke(&host, "f", "").await), json!({}));
}

#[tokio::test]
async fn answers_that_are_no_json_become_strings() {
    let script = r#"
while true; do
  id=$(curl -sD - -o /dev/null "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next" |
    tr -d '\r' | sed -n 's/^lambda-runtime-aws-request-id: //ip')
  curl -s -o /dev/null -d "Echoing 'it'" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response"
done"#;
    let kit = Kit::new().shell("f", script);
    let host = kit.open();
    assert_eq!(value(invoke(&host, "f", "{}").await), json!("Echoing 'it'"));
    assert_eq!(value(invoke(&host, "f", "{}").await), json!("Echoing 'it'"));
}
