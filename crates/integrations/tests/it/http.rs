//! `http:invoke`, `apigateway:invoke` and `sns:publish` against a real server.

use crate::world::{World, serve};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

/// Tells what it was asked.
async fn mirror(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> axum::Json<Value> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(String::from);
    axum::Json(json!({
        "method": method.as_str(), "uri": uri.to_string(), "body": String::from_utf8_lossy(&body),
        "key": header("x-key"), "auth": header("authorization"), "type": header("content-type"), "mine": header("x-mine"),
    }))
}

async fn fails() -> Response {
    (StatusCode::NOT_FOUND, axum::Json(json!({"message": "Missing"}))).into_response()
}

async fn world() -> (World, String, Arc<Mutex<Vec<Value>>>) {
    let notices: Arc<Mutex<Vec<Value>>> = Arc::default();
    let held = notices.clone();
    let router = Router::new()
        .route("/api/{*rest}", any(mirror))
        .route("/prod/echo", any(mirror))
        .route("/fails", any(fails))
        .route("/text", any(|| async { "plain" }))
        .route("/huge", any(|| async { vec![b'x'; 5 << 20] }))
        .route("/hook", post(move |body: axum::Json<Value>| async move { held.lock().push(body.0) }));
    let address = serve(router).await;
    (World::at(&address), address, notices)
}

#[tokio::test]
async fn http_invoke_sends_what_the_parameters_say() {
    let (world, address, _) = world().await;
    let answer = world
        .run("http:invoke", "1", json!({
            "ApiEndpoint": format!("{address}/api/orders"), "Method": "POST",
            "Authentication": {"ConnectionArn": "arn:aws:events:us-east-1:000000000000:connection/crm/81210c42"},
            "Headers": {"x-mine": ["a", "b"], "x-key": "mine"}, "QueryParameters": {"q": "a b", "l": [1, 2]},
            "RequestBody": {"a": 1},
        }))
        .await
        .expect("an answer");
    assert_eq!(
        answer["ResponseBody"],
        json!({
            "method": "POST", "uri": "/api/orders?l=1&l=2&q=a+b", "body": "{\"a\":1}", "key": "hush-hush",
            "auth": "Basic bWU6cGFzcy13b3Jk", "type": "application/json", "mine": "a,b",
        })
    );
    assert_eq!((&answer["StatusCode"], &answer["StatusText"]), (&json!(200), &json!("OK")));
    assert_eq!(answer["Headers"]["content-type"], json!(["application/json"]));
    let form = world
        .run("http:invoke", "2", json!({
            "ApiEndpoint": format!("{address}/api/form"), "Method": "PUT", "RequestBody": {"a": [1, 2], "b": "x y"},
            "Transform": {"RequestBodyEncoding": "URL_ENCODED", "RequestEncodingOptions": {"ArrayFormat": "REPEAT"}},
        }))
        .await
        .expect("an answer");
    assert_eq!(form["ResponseBody"]["body"], "a=1&a=2&b=x+y");
    assert_eq!(form["ResponseBody"]["type"], "application/x-www-form-urlencoded");
    let text = world
        .run("http:invoke", "3", json!({"ApiEndpoint": format!("{address}/text"), "Method": "GET"}))
        .await;
    assert_eq!(text.expect("an answer")["ResponseBody"], "plain");
}

#[tokio::test]
async fn http_invoke_fails_under_the_names_of_aws() {
    let (world, address, _) = world().await;
    let get = |path: &str| json!({"ApiEndpoint": format!("{address}{path}"), "Method": "GET"});
    let with = |name: &str, value: Value| {
        let mut parameters = get("/api/x");
        parameters[name] = value;
        parameters
    };
    let cases = [
        (get("/fails"), "States.Http.StatusCode.404", "{\"message\":\"Missing\"}"),
        (get("/huge"), "States.DataLimitExceeded", "more than 4194304 bytes"),
        (
            json!({"ApiEndpoint": "http://127.0.0.1:1/", "Method": "GET"}),
            "States.Http.Socket",
            "cannot connect",
        ),
        (json!({"ApiEndpoint": "nowhere", "Method": "GET"}), "States.Runtime", "is no address"),
        (
            json!({"ApiEndpoint": "file:///etc/passwd", "Method": "GET"}),
            "States.Runtime",
            "must begin with https",
        ),
        (json!({"Method": "GET"}), "States.Runtime", "`ApiEndpoint` must be a text"),
        (with("Method", json!("BREW")), "States.Runtime", "`Method` must be GET"),
        (with("Headers", json!({"Host": "x"})), "States.Runtime", "belongs to the connection"),
        (with("Headers", json!({"x y": "x"})), "States.Runtime", "is not valid"),
        (with("QueryParameters", json!({"a": {}})), "States.Runtime", "must be a text or a list"),
        (
            with("Authentication", json!({"ConnectionArn": "arn:aws:events:x:y:connection/crn/1"})),
            "States.Runtime",
            "there is no connection `crn`: did you mean `crm`?",
        ),
    ];
    for (parameters, error, part) in cases {
        World::failed(world.run("http:invoke", "1", parameters).await, error, part);
    }
    let mut outside = get("/text");
    outside["InvocationConfig"] = json!({"ConnectionArn": "crm"});
    World::failed(
        world.run("http:invoke", "1", outside).await,
        "States.Runtime",
        "is only for addresses that begin with",
    );
}

#[tokio::test]
async fn gateway_calls_look_as_recorded() {
    let (world, address, _) = world().await;
    let call = |path: &str| json!({"ApiEndpoint": address, "Stage": "prod", "Path": path, "Method": "POST", "RequestBody": {"message": "HelloWorld!"}});
    let answer = world.run("apigateway:invoke", "1", call("/echo")).await.expect("an answer");
    assert_eq!(answer["ResponseBody"]["body"], "{\"message\":\"HelloWorld!\"}");
    assert_eq!(answer["ResponseBody"]["uri"], "/prod/echo");
    let fails = json!({"ApiEndpoint": address, "Path": "fails", "Method": "POST"});
    World::failed(
        world.run("apigateway:invoke", "1", fails).await,
        "ApiGateway.404",
        "{\"message\":\"Missing\"}",
    );
    let down = json!({"ApiEndpoint": "http://127.0.0.1:1", "Method": "GET"});
    World::failed(
        world.run("apigateway:invoke", "1", down).await,
        "ApiGateway.SdkClientException",
        "cannot connect",
    );
}

#[tokio::test]
async fn notices_reach_their_webhook() {
    let (world, _, notices) = world().await;
    let parameters = json!({
        "TopicArn": "arn:aws:sns:us-east-1:000000000000:ops", "Subject": "s", "Message": {"a": 1},
        "MessageAttributes": {"k": {"DataType": "String", "StringValue": "v"}},
    });
    let first = world.run("sns:publish", "1", parameters.clone()).await.expect("published");
    let again = world.run("sns:publish", "1", parameters.clone()).await.expect("published");
    assert_eq!(first["MessageId"], again["MessageId"]);
    assert_eq!(
        notices.lock()[0],
        json!({"id": first["MessageId"], "subject": "s", "message": {"a": 1}, "attributes": {"k": "v"}})
    );
    let to = |topic: &str| json!({"TopicArn": topic, "Message": "m"});
    let missing =
        "Topic does not exist (Service: AmazonSNS; Status Code: 404; Error Code: NotFound; Request ID: ";
    World::failed(
        world.run("sns:publish", "2", to("arn:aws:sns:us-east-1:0:nobody")).await,
        "SNS.NotFoundException",
        missing,
    );
    World::failed(
        world.run("sns:publish", "3", to("deaf")).await,
        "SNS.InternalErrorException",
        "answered with status 404",
    );
    let empty = json!({"TopicArn": "ops", "Message": ""});
    World::failed(
        world.run("sns:publish", "4", empty).await,
        "SNS.InvalidParameterException",
        "Empty message",
    );
    World::failed(
        world.run("aws-sdk:sns:publish", "5", to("nobody")).await,
        "Sns.NotFoundException",
        "(Service: Sns, Status Code: 404",
    );
}
