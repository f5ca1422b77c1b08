//! What a definition may name: refused with what there is instead.

use crate::world::World;
use bourn_event::Tasks;
use serde_json::{Value, json};

#[test]
fn what_can_run_is_allowed() {
    let world = World::new();
    let cases = [
        ("arn:aws:states:::lambda:invoke", "", json!({"FunctionName": "echo", "Payload.$": "$"})),
        ("arn:aws:states:::lambda:invoke", ".waitForTaskToken", json!({"FunctionName.$": "$.f"})),
        ("arn:aws:states:::lambda:invoke", "", json!({"FunctionName": "{% $f %}"})),
        ("arn:aws:states:::lambda:invoke", "", json!("{% $arguments %}")),
        ("arn:aws:states:::lambda:invoke", "", Value::Null),
        (
            "arn:aws:states:::lambda:invoke",
            "",
            json!({"FunctionName": "arn:aws:lambda:us-east-1:0:function:echo:$LATEST"}),
        ),
        ("arn:aws:lambda:us-east-1:000000000000:function:echo", "", json!({"anything": 1})),
        ("arn:aws:states:::athena:startQueryExecution", ".sync", json!({"QueryString": "SELECT 1"})),
        ("arn:aws:states:::bourn:sql", "", json!({"Query": "SELECT 1", "MaxRows": 5})),
        (
            "arn:aws:states:::glue:startJobRun",
            ".sync",
            json!({"JobName": "compact", "Arguments": {"--stream": "orders"}}),
        ),
        ("arn:aws:states:::bourn:job", "", json!({"Job": "vacuum", "Stream": "orders"})),
        (
            "arn:aws:states:::dynamodb:updateItem",
            "",
            json!({"TableName": "carts", "Key": {}, "UpdateExpression": "x"}),
        ),
        (
            "arn:aws:states:::aws-sdk:dynamodb:query",
            "",
            json!({"TableName": "log", "KeyConditionExpression": "x"}),
        ),
        (
            "arn:aws:states:::sqs:sendMessage",
            ".waitForTaskToken",
            json!({"QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/orders", "MessageBody": {}}),
        ),
        (
            "arn:aws:states:::aws-sdk:kinesis:putRecord",
            "",
            json!({"StreamName": "orders", "Data": {}, "PartitionKey": "k"}),
        ),
        (
            "arn:aws:states:::events:putEvents",
            "",
            json!({"Entries": [{"EventBusName": "default"}, {"EventBusName.$": "$.b"}]}),
        ),
        ("arn:aws:states:::aws-sdk:eventbridge:putEvents", "", json!({"Entries": []})),
        (
            "arn:aws:states:::sns:publish",
            "",
            json!({"TopicArn": "arn:aws:sns:us-east-1:0:ops", "Message": "m"}),
        ),
        (
            "arn:aws:states:::http:invoke",
            "",
            json!({"ApiEndpoint": "x", "Method": "GET", "Authentication": {"ConnectionArn": "arn:aws:events:a:b:connection/crm/1"}}),
        ),
        (
            "arn:aws:states:::apigateway:invoke",
            ".waitForTaskToken",
            json!({"ApiEndpoint": "x", "Method": "GET"}),
        ),
    ];
    for (resource, suffix, parameters) in cases {
        let parameters = Some(&parameters).filter(|parameters| !parameters.is_null());
        assert_eq!(world.tasks.check(resource, suffix, parameters), Ok(()), "{resource}{suffix}");
    }
}

#[test]
fn what_cannot_run_is_refused_with_what_there_is() {
    let world = World::new();
    let none = Value::Null;
    let cases = [
        ("nonsense", "", none.clone(), "is no ARN"),
        ("arn:aws:batch:us-east-1:0:job", "", none.clone(), "Bourn runs no resources of `batch`"),
        ("arn:aws:states:::batch:submitJob", "", none.clone(), "there is `lambda:invoke`"),
        (
            "arn:aws:states:::lambda:invokes",
            "",
            none.clone(),
            "did you mean `arn:aws:states:::lambda:invoke`?",
        ),
        (
            "arn:aws:states:::aws-sdk:sqs:sendMessages",
            "",
            none.clone(),
            "did you mean `arn:aws:states:::aws-sdk:sqs:sendMessage`?",
        ),
        (
            "arn:aws:states:::dynamodb:query",
            "",
            none.clone(),
            "did you mean `arn:aws:states:::aws-sdk:dynamodb:query`?",
        ),
        (
            "arn:aws:states:::aws-sdk:http:invoke",
            "",
            none.clone(),
            "did you mean `arn:aws:states:::http:invoke`?",
        ),
        ("arn:aws:states:::sns:createTopic", "", none.clone(), "of sns, there is `sns:publish`"),
        (
            "arn:aws:lambda:us-east-1:0:function:ecko",
            "",
            none.clone(),
            "there is no function `ecko`: did you mean `echo`?",
        ),
        (
            "arn:aws:lambda:us-east-1:0:function:echo",
            ".waitForTaskToken",
            none.clone(),
            "leave the suffix out",
        ),
        ("arn:aws:states:::lambda:invoke", ".sync", none.clone(), "there is `.waitForTaskToken`, or none"),
        ("arn:aws:states:::athena:startQueryExecution", ".sync:2", none.clone(), "there is `.sync`, or none"),
        (
            "arn:aws:states:::aws-sdk:glue:startJobRun",
            ".sync",
            none.clone(),
            "there is `.waitForTaskToken`, or none",
        ),
        ("arn:aws:states:::dynamodb:getItem", ".waitForTaskToken", none, "leave the suffix out"),
        ("arn:aws:states:::lambda:invoke", "", json!({"Payload": {}}), "needs the parameter `FunctionName`"),
        (
            "arn:aws:states:::lambda:invoke",
            "",
            json!({"FunctionNam.$": "$.f"}),
            "did you mean `FunctionName`?",
        ),
        (
            "arn:aws:states:::sqs:sendMessage",
            "",
            json!({"QueueUrl": "orders", "MessageBody": "", "DelaySeconds": 5}),
            "`DelaySeconds` is no parameter",
        ),
        ("arn:aws:states:::lambda:invoke", "", json!({"FunctionName": "eco"}), "did you mean `echo`?"),
        (
            "arn:aws:states:::sqs:sendMessage",
            "",
            json!({"QueueUrl": "https://x/1/order", "MessageBody": ""}),
            "there is no stream `order`: did you mean `orders`?",
        ),
        (
            "arn:aws:states:::dynamodb:getItem",
            "",
            json!({"TableName": "cart", "Key": {}}),
            "there is no keyed table `cart`: did you mean `carts`?",
        ),
        (
            "arn:aws:states:::sns:publish",
            "",
            json!({"TopicArn": "arn:aws:sns:x:0:opps", "Message": ""}),
            "there is no notifier `opps`: did you mean `ops`?",
        ),
        (
            "arn:aws:states:::glue:startJobRun",
            "",
            json!({"JobName": "compactt"}),
            "there is no job `compactt`: did you mean `compact`?",
        ),
        (
            "arn:aws:states:::glue:startJobRun",
            "",
            json!({"JobName": "compact", "Arguments": {"--stream": "oders"}}),
            "there is no stream `oders`",
        ),
        (
            "arn:aws:states:::events:putEvents",
            "",
            json!({"Entries": [{"EventBusName": "bus"}]}),
            "there is no event bus",
        ),
        (
            "arn:aws:states:::http:invoke",
            "",
            json!({"ApiEndpoint": "x", "Method": "GET", "InvocationConfig": {"ConnectionArn": "cmr"}}),
            "there is no connection `cmr`: did you mean `crm`?",
        ),
    ];
    for (resource, suffix, parameters, part) in cases {
        let parameters = Some(&parameters).filter(|parameters| !parameters.is_null());
        let error = world.tasks.check(resource, suffix, parameters).expect_err(resource);
        assert!(error.contains(part), "{resource}{suffix}: {error}");
    }
}
