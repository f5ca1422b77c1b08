//! Functions and streams through Tasks: shapes and errors as AWS has them.

use crate::world::World;
use serde_json::{Value, json};

const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function";

#[tokio::test]
async fn functions_are_found_under_all_their_names() {
    let world = World::new();
    for name in
        ["echo", "echo:$LATEST", "000000000000:function:echo", "function:echo:1", &format!("{ARN}:echo:live")]
    {
        let answer =
            world.run("lambda:invoke", "1", json!({"FunctionName": name, "Payload": {"a": 1}})).await;
        let answer = answer.expect(name);
        assert_eq!(answer["Payload"], json!({"a": 1}), "{name}");
        assert_eq!((&answer["StatusCode"], &answer["ExecutedVersion"]), (&json!(200), &json!("$LATEST")));
        assert_eq!(answer["SdkHttpMetadata"]["HttpHeaders"]["X-Amz-Executed-Version"], "$LATEST");
        assert_eq!(
            answer["SdkResponseMetadata"]["RequestId"],
            answer["SdkHttpMetadata"]["AllHttpHeaders"]["x-amzn-RequestId"][0]
        );
    }
    assert_eq!(world.run(&format!("{ARN}:echo"), "1", json!([1, 2])).await, Ok(json!([1, 2])));
    let sdk =
        world.run("aws-sdk:lambda:invoke", "1", json!({"FunctionName": "echo", "Payload": {"a": 1}})).await;
    assert_eq!(sdk, Ok(json!({"ExecutedVersion": "$LATEST", "Payload": "{\"a\":1}", "StatusCode": 200})));
}

#[tokio::test]
async fn a_payload_is_json_whatever_it_is() {
    let cases = [
        ("lambda:invoke", json!("{\"a\":1}"), "\"{\\\"a\\\":1}\""),
        ("lambda:invoke", json!("bar"), "\"bar\""),
        ("lambda:invoke", json!({"a": 1}), "{\"a\":1}"),
        ("lambda:invoke", json!(null), "null"),
        ("aws-sdk:lambda:invoke", json!("{\"a\":1}"), "\"{\\\"a\\\":1}\""),
        ("aws-sdk:lambda:invoke", json!({"a": 1}), "{\"a\":1}"),
    ];
    let world = World::new();
    for (resource, payload, expected) in cases {
        let parameters = json!({"FunctionName": "echo", "Payload": payload});
        world.run(resource, "1", parameters).await.expect(resource);
        let got = world.functions.calls.lock().pop().expect("a call").payload;
        assert_eq!(got, expected, "{resource} {payload}");
    }
}

#[tokio::test]
async fn calls_carry_what_the_parameters_say() {
    let world = World::new();
    let tail = json!({"FunctionName": "echo", "LogType": "Tail", "ClientContext": "eyJhIjoxfQ=="});
    let answer = world.run("lambda:invoke", "1", tail).await.expect("an answer");
    assert_eq!((&answer["LogResult"], &answer["Payload"]), (&json!("YSBsb2c="), &json!({})));
    assert_eq!(world.functions.calls.lock()[0].client_context.as_deref(), Some("{\"a\":1}"));
    let later =
        world.run("lambda:invoke", "2", json!({"FunctionName": "echo", "InvocationType": "Event"})).await;
    assert_eq!(later.expect("taken")["StatusCode"], 202);
}

#[tokio::test]
async fn functions_fail_under_their_errors_names() {
    let world = World::new();
    let service = |name: &str, code: u16| {
        format!("(Service: AWSLambda; Status Code: {code}; Error Code: {name}; Request ID: ")
    };
    let cases = [
        ("raises", "ValueError", "\"errorMessage\":\"no\"".to_string()),
        ("crashes", "Lambda.Unknown", "exited".into()),
        ("busy", "Lambda.TooManyRequestsException", service("TooManyRequestsException", 429)),
        ("broken", "Lambda.ServiceException", service("ServiceException", 500)),
        ("large", "Lambda.RequestTooLargeException", service("RequestTooLargeException", 413)),
        ("odd", "Lambda.InvalidRequestContentException", service("InvalidRequestContentException", 400)),
        (
            "ghost",
            "Lambda.ResourceNotFoundException",
            format!("Function not found: {ARN}:ghost {}", service("ResourceNotFoundException", 404)),
        ),
    ];
    for (function, error, part) in cases {
        World::failed(world.run("lambda:invoke", "1", json!({"FunctionName": function})).await, error, &part);
        World::failed(world.run(&format!("{ARN}:{function}"), "1", json!({})).await, error, &part);
    }
    let sdk =
        world.run("aws-sdk:lambda:invoke", "1", json!({"FunctionName": "raises"})).await.expect("an answer");
    assert_eq!(sdk["FunctionError"], "Handled");
    let bad = json!({"FunctionName": "echo", "InvocationType": "Soon"});
    World::failed(
        world.run("lambda:invoke", "1", bad).await,
        "Lambda.InvalidParameterValueException",
        "cannot be `Soon`",
    );
}

#[tokio::test]
async fn messages_become_events_once() {
    let world = World::new();
    let url = "https://sqs.us-east-1.amazonaws.com/000000000000/orders";
    let message = json!({"QueueUrl": url, "MessageBody": {"b": 1}});
    let first = world.run("sqs:sendMessage", "1", message.clone()).await.expect("sent");
    let again = world.run("sqs:sendMessage", "1", message).await.expect("sent");
    assert_eq!(first["MessageId"], again["MessageId"]);
    assert_eq!(first["MD5OfMessageBody"], "e17d0ee99013e5ee01d0b073ed2bab2c");
    let text =
        world.run("sqs:sendMessage", "2", json!({"QueueUrl": "orders", "MessageBody": "{\"a\": 2}"})).await;
    assert_eq!(text.expect("sent")["SdkHttpMetadata"]["HttpStatusCode"], 200);
    let sent = world.streams.sent.lock();
    let shown: Vec<_> =
        sent.iter().map(|sending| (&sending.events[0][..], sending.source.as_str())).collect();
    assert_eq!(shown, [(&b"{\"b\":1}"[..], "workflow:nightly"), (&b"{\"a\": 2}"[..], "workflow:nightly")]);
}

#[tokio::test]
async fn records_and_messages_fail_as_recorded() {
    let world = World::new();
    let message = |queue: &str, body: Value| json!({"QueueUrl": queue, "MessageBody": body});
    let record = |stream: &str, data: Value| json!({"StreamName": stream, "Data": data, "PartitionKey": "k"});
    let cases = [
        (
            "sqs:sendMessage",
            message("orders", Value::Null),
            "SQS.AmazonSQSException",
            "The request must contain the parameter MessageBody. (Service: AmazonSQS; Status Code: 400; Error Code: MissingParameter; Request ID: ",
        ),
        (
            "sqs:sendMessage",
            message("none", json!({})),
            "SQS.QueueDoesNotExistException",
            "there is no stream `none`",
        ),
        ("sqs:sendMessage", message("full", json!({})), "SQS.AmazonSQSException", "the log is full"),
        (
            "sqs:sendMessage",
            message("orders", json!("plain")),
            "SQS.InvalidMessageContentsException",
            "kept among its rejects: not an object",
        ),
        (
            "aws-sdk:sqs:sendMessage",
            message("full", json!({})),
            "Sqs.SqsException",
            "(Service: Sqs, Status Code: 503",
        ),
        (
            "kinesis:putRecord",
            record("none", json!({})),
            "Kinesis.ResourceNotFoundException",
            "Stream none not found",
        ),
        (
            "kinesis:putRecord",
            record("full", json!({})),
            "Kinesis.ProvisionedThroughputExceededException",
            "the log is full",
        ),
        (
            "kinesis:putRecord",
            record("orders", json!([1])),
            "Kinesis.InvalidArgumentException",
            "not an object",
        ),
        (
            "kinesis:putRecord",
            record("orders", Value::Null),
            "Kinesis.AmazonKinesisException",
            "parameter Data",
        ),
    ];
    for (resource, parameters, error, part) in cases {
        World::failed(world.run(resource, "1", parameters).await, error, part);
    }
    let answer = world.run("aws-sdk:kinesis:putRecord", "2", record("orders", json!("eyJhIjoxfQ=="))).await;
    assert_eq!(
        answer,
        Ok(json!({"SequenceNumber": "41", "ShardId": "shardId-000000000000", "EncryptionType": "NONE"}))
    );
    assert_eq!(&world.streams.sent.lock()[0].events[0][..], b"{\"a\":1}");
}

#[tokio::test]
async fn what_is_no_resource_of_ours_does_not_run() {
    let world = World::new();
    World::failed(world.run("s3:getObject", "1", json!({})).await, "States.Runtime", "Bourn cannot run");
    let waited =
        world.run_sync("sqs:sendMessage", "1", json!({"QueueUrl": "orders", "MessageBody": {}})).await;
    World::failed(waited, "States.Runtime", "cannot be waited for");
}
