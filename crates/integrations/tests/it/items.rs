//! Keyed tables through Tasks: shapes, errors, conditions, and doing a request once.

use crate::world::World;
use serde_json::{Value, json};

fn key(id: &str) -> Value {
    json!({"TableName": "carts", "Key": {"id": {"S": id}}})
}

fn with(mut parameters: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        parameters[name] = value.clone();
    }
    parameters
}

fn put(item: Value) -> Value {
    json!({"TableName": "carts", "Item": item})
}

fn add_one(id: &str) -> Value {
    with(
        key(id),
        json!({
            "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}, "ReturnValues": "UPDATED_NEW",
        }),
    )
}

async fn count(world: &World, id: &str) -> Value {
    world.run("dynamodb:getItem", "get", key(id)).await.expect("an item")["Item"]["n"]["N"].clone()
}

#[tokio::test]
async fn answers_look_as_recorded() {
    let world = World::new();
    let item = json!({"data": {"S": "HelloWorld"}, "id": {"S": "id1"}});
    let answer = world.run("dynamodb:putItem", "1", put(item.clone())).await.expect("put");
    assert!(answer.get("Attributes").is_none(), "{answer}");
    assert_eq!(answer["SdkHttpMetadata"]["HttpStatusCode"], 200);
    assert_eq!(answer["SdkHttpMetadata"]["HttpHeaders"]["Content-Length"], "2");
    assert_eq!(
        answer["SdkHttpMetadata"]["AllHttpHeaders"]["Content-Type"],
        json!(["application/x-amz-json-1.0"])
    );
    assert_eq!(
        answer["SdkResponseMetadata"]["RequestId"],
        answer["SdkHttpMetadata"]["HttpHeaders"]["x-amzn-RequestId"]
    );
    let update = with(
        key("id1"),
        json!({
            "UpdateExpression": "set S=:r", "ExpressionAttributeValues": {":r": {"S": "HelloWorldUpdated"}},
            "ReturnValues": "UPDATED_NEW",
        }),
    );
    let answer = world.run("aws-sdk:dynamodb:updateItem", "2", update).await.expect("updated");
    assert_eq!(answer, json!({"Attributes": {"S": {"S": "HelloWorldUpdated"}}}));
    let answer = world.run("aws-sdk:dynamodb:getItem", "3", key("id1")).await.expect("got");
    assert_eq!(
        answer,
        json!({"Item": {"S": {"S": "HelloWorldUpdated"}, "data": {"S": "HelloWorld"}, "id": {"S": "id1"}}})
    );
    let some = with(
        key("id1"),
        json!({"ProjectionExpression": "#d, missing", "ExpressionAttributeNames": {"#d": "data"}}),
    );
    let answer = world.run("aws-sdk:dynamodb:getItem", "4", some).await.expect("got");
    assert_eq!(answer, json!({"Item": {"data": {"S": "HelloWorld"}}}));
    let gone = with(key("id1"), json!({"ReturnValues": "ALL_OLD"}));
    let answer = world.run("aws-sdk:dynamodb:deleteItem", "5", gone).await.expect("deleted");
    assert_eq!(answer["Attributes"]["data"], json!({"S": "HelloWorld"}));
    assert_eq!(world.run("aws-sdk:dynamodb:getItem", "6", key("id1")).await.expect("got"), json!({}));
}

#[tokio::test]
async fn errors_look_as_recorded() {
    let world = World::new();
    world.run("dynamodb:putItem", "1", put(json!({"id": {"S": "a"}, "n": {"N": "1"}}))).await.expect("put");
    let fresh = json!({"ConditionExpression": "attribute_not_exists(id)"});
    let nowhere = json!({"TableName": "cart", "Item": {"id": {"S": "a"}}});
    let general = "DynamoDB.AmazonDynamoDBException";
    let cases = [
        (
            "putItem",
            with(put(json!({"id": {"S": "a"}})), fresh),
            "DynamoDB.ConditionalCheckFailedException",
            "The conditional request failed (Service: AmazonDynamoDBv2; Status Code: 400; Error Code: ConditionalCheckFailedException; Request ID: ",
        ),
        (
            "putItem",
            nowhere.clone(),
            "DynamoDB.ResourceNotFoundException",
            "Requested resource not found (Service: AmazonDynamoDBv2; Status Code: 400; Error Code: ResourceNotFoundException; Request ID: ",
        ),
        (
            "putItem",
            put(Value::Null),
            general,
            "1 validation error detected: Value null at 'item' failed to satisfy constraint: Member must not be null (Service: AmazonDynamoDBv2; Status Code: 400; Error Code: ValidationException; ",
        ),
        (
            "putItem",
            json!({"TableName": "/carts", "Item": {}}),
            general,
            "Value '/carts' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+ (Service",
        ),
        ("putItem", put(json!({"n": {"N": "1"}})), general, "Missing the key id in the item"),
        ("putItem", put(json!({"id": {"BOOL": true}})), general, "Type mismatch for key id"),
        ("putItem", put(json!({"id": {"S": ""}})), general, "cannot contain an empty string value"),
        (
            "putItem",
            put(json!({"id": {"S": "x".repeat(2049)}})),
            general,
            "has exceeded the maximum size limit",
        ),
        (
            "putItem",
            put(json!({"id": {"S": "x"}, "d": {"S": "x".repeat(410_000)}})),
            general,
            "Item size has exceeded",
        ),
        (
            "putItem",
            with(put(json!({"id": {"S": "a"}})), json!({"ReturnValues": "ALL_NEW"})),
            general,
            "ReturnValues can only be NONE or ALL_OLD",
        ),
        (
            "getItem",
            json!({"TableName": "carts", "Key": {"id": {"S": "a"}, "x": {"S": "b"}}}),
            general,
            "The provided key element does not match the schema",
        ),
        (
            "updateItem",
            with(
                key("a"),
                json!({"UpdateExpression": "SET id = :x", "ExpressionAttributeValues": {":x": {"S": "b"}}}),
            ),
            general,
            "Cannot update attribute id. This attribute is part of the key",
        ),
        (
            "updateItem",
            with(key("a"), json!({"UpdateExpression": "SET x ="})),
            general,
            "Invalid UpdateExpression: Syntax error",
        ),
        (
            "deleteItem",
            with(
                key("a"),
                json!({"ConditionExpression": "n > :x", "ExpressionAttributeValues": {":x": {"N": "5"}}}),
            ),
            "DynamoDB.ConditionalCheckFailedException",
            "failed",
        ),
    ];
    for (action, parameters, error, part) in cases {
        World::failed(world.run(&format!("dynamodb:{action}"), "2", parameters).await, error, part);
    }
    let cause = "Requested resource not found (Service: DynamoDb, Status Code: 400, Request ID: ";
    World::failed(
        world.run("aws-sdk:dynamodb:putItem", "3", nowhere).await,
        "DynamoDb.ResourceNotFoundException",
        cause,
    );
    World::failed(
        world.run("aws-sdk:dynamodb:putItem", "4", put(Value::Null)).await,
        "DynamoDb.DynamoDbException",
        "Member must not be null",
    );
    assert_eq!(count(&world, "a").await, "1");
}

#[tokio::test]
async fn a_request_that_is_made_again_changes_nothing_again() {
    let world = World::new();
    let first = world.run("dynamodb:updateItem", "one", add_one("a")).await.expect("added");
    let again = world.run("dynamodb:updateItem", "one", add_one("a")).await.expect("added");
    assert_eq!(first["Attributes"], json!({"n": {"N": "1"}}));
    assert_eq!(first["Attributes"], again["Attributes"]);
    world.run("dynamodb:updateItem", "two", add_one("a")).await.expect("added");
    let world = world.restart().await;
    let after = world.run("dynamodb:updateItem", "one", add_one("a")).await.expect("added");
    assert_eq!(after["Attributes"], first["Attributes"]);
    assert_eq!(count(&world, "a").await, "2");
    // The same id with something else to do is something else.
    world.run("dynamodb:updateItem", "one", add_one("b")).await.expect("added");
    assert_eq!(count(&world, "b").await, "1");
}

#[tokio::test]
async fn concurrent_updates_are_all_counted() {
    let world = std::sync::Arc::new(World::new());
    let updates: Vec<_> = (0..100)
        .map(|n| {
            let world = world.clone();
            tokio::spawn(async move { world.run("dynamodb:updateItem", &n.to_string(), add_one("a")).await })
        })
        .collect();
    for update in updates {
        update.await.expect("a task").expect("an update");
    }
    assert_eq!(count(&world, "a").await, "100");
}

#[tokio::test]
async fn queries_page_through_a_partition_in_order() {
    let world = World::new();
    for at in ["-5", "10", "2", "0.5", "100"] {
        let item = json!({"TableName": "log", "Item": {"id": {"S": "a"}, "at": {"N": at}}});
        world.run("dynamodb:putItem", at, item).await.expect("put");
    }
    let other = json!({"TableName": "log", "Item": {"id": {"S": "ab"}, "at": {"N": "1"}}});
    world.run("dynamodb:putItem", "other", other).await.expect("put");
    let query = |condition: &str, more: Value| {
        let values = match condition.contains(":n") {
            true => json!({":a": {"S": "a"}, ":n": {"N": "2"}}),
            false => json!({":a": {"S": "a"}}),
        };
        with(
            json!({"TableName": "log", "KeyConditionExpression": condition, "ExpressionAttributeValues": values}),
            more,
        )
    };
    let all = |answer: &Value| -> Vec<String> {
        let items = answer["Items"].as_array().expect("items").iter();
        items.map(|item| item["at"]["N"].as_str().expect("a number").to_string()).collect()
    };
    let start = |at: &str| json!({"id": {"S": "a"}, "at": {"N": at}});
    let cases = [
        ("id = :a", json!({}), vec!["-5", "0.5", "2", "10", "100"], None),
        ("id = :a AND at >= :n", json!({}), vec!["2", "10", "100"], None),
        ("id = :a", json!({"Limit": 2}), vec!["-5", "0.5"], Some("0.5")),
        ("id = :a", json!({"Limit": 2, "ExclusiveStartKey": start("0.5")}), vec!["2", "10"], Some("10")),
        ("id = :a", json!({"Limit": 2, "ExclusiveStartKey": start("10")}), vec!["100"], None),
        ("id = :a", json!({"ScanIndexForward": false}), vec!["100", "10", "2", "0.5", "-5"], None),
        ("id = :a", json!({"ScanIndexForward": false, "Limit": 2}), vec!["100", "10"], Some("10")),
        (
            "id = :a",
            json!({"ScanIndexForward": false, "Limit": 2, "ExclusiveStartKey": start("10")}),
            vec!["2", "0.5"],
            Some("0.5"),
        ),
        ("id = :a", json!({"FilterExpression": "at < :n"}), vec!["-5", "0.5"], None),
    ];
    for (condition, more, expected, last) in cases {
        let mut parameters = query(condition, more.clone());
        if more.get("FilterExpression").is_some() {
            parameters["ExpressionAttributeValues"] = json!({":a": {"S": "a"}, ":n": {"N": "2"}});
        }
        let answer = world.run("aws-sdk:dynamodb:query", "q", parameters).await.expect(condition);
        assert_eq!(all(&answer), expected, "{condition} {more}");
        assert_eq!(answer["LastEvaluatedKey"]["at"]["N"].as_str(), last, "{condition} {more}");
    }
    let none = query("at = :n AND :a = :a", json!({}));
    World::failed(
        world.run("aws-sdk:dynamodb:query", "q", none).await,
        "DynamoDb.DynamoDbException",
        "missed key schema element: id",
    );
}
