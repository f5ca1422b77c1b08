//! `events:putEvents`: envelopes, buses, and answers as AWS has them.

use crate::world::{EXECUTION, World};
use serde_json::{Value, json};

const MACHINE: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:nightly";

fn entry(detail: Value) -> Value {
    json!({"Detail": detail, "DetailType": "kind", "Source": "some.source"})
}

fn with(mut entry: Value, name: &str, value: Value) -> Value {
    entry[name] = value;
    entry
}

#[tokio::test]
async fn events_reach_their_bus_in_the_envelope() {
    let world = World::new();
    let bus = json!("arn:aws:events:us-east-1:000000000000:event-bus/orders");
    let to_stream = with(entry(json!({"a": 1})), "EventBusName", bus);
    let entries = json!({"Entries": [entry(json!("{\"Message\": \"m\"}")), to_stream]});
    let answer = world.run("events:putEvents", "1", entries.clone()).await.expect("put");
    assert_eq!(answer["FailedEntryCount"], 0);
    let events = world.events.0.lock().clone();
    let expected = json!({
        "version": "0", "id": answer["Entries"][0]["EventId"], "detail-type": "kind", "source": "some.source",
        "account": "000000000000", "time": "2024-04-18T06:27:01Z", "region": "us-east-1",
        "resources": [EXECUTION, MACHINE], "detail": {"Message": "m"},
    });
    assert_eq!(events[0], ("default".to_string(), expected));
    assert_eq!(events[1].0, "orders");
    let sent: Value = serde_json::from_slice(&world.streams.sent.lock()[0].events[0]).expect("JSON");
    assert_eq!(sent, events[1].1);
    // Done again after a crash, they are the same events.
    assert_eq!(world.run("events:putEvents", "1", entries).await, Ok(answer));
    assert_eq!(world.events.0.lock().len(), 2);
}

#[tokio::test]
async fn time_and_resources_are_those_of_the_entry() {
    let cases = [
        (json!("2026-02-03T04:05:06.789+01:00"), "2026-02-03T03:05:06Z"),
        (json!(1_713_421_621), "2024-04-18T06:27:01Z"),
        (json!(1_713_421_621.9), "2024-04-18T06:27:01Z"),
    ];
    let world = World::new();
    for (index, (time, expected)) in cases.into_iter().enumerate() {
        let entry = with(with(entry(json!({})), "Time", time), "Resources", json!(["r"]));
        let put = json!({"Entries": [entry]});
        world.run("aws-sdk:eventbridge:putEvents", &index.to_string(), put).await.expect("put");
        let (_, event) = world.events.0.lock().pop().expect("an event");
        assert_eq!((&event["time"], &event["resources"]), (&json!(expected), &json!(["r"])));
    }
}

#[tokio::test]
async fn a_failed_entry_is_told_with_the_others() {
    let world = World::new();
    let failed = json!({"Entries": [entry(json!({})), entry(json!("\"jsonstring\""))]});
    let failure = world.run("events:putEvents", "2", failed.clone()).await.expect_err("a failed entry");
    assert_eq!(failure.error, "EventBridge.FailedEntry");
    let cause: Value = serde_json::from_str(&failure.cause).expect("JSON");
    let malformed = json!({"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."});
    assert_eq!((&cause["Entries"][1], &cause["FailedEntryCount"]), (&malformed, &json!(1)));
    assert!(cause["Entries"][0]["EventId"].is_string());
    let answer = world.run("aws-sdk:eventbridge:putEvents", "3", failed).await.expect("an answer");
    assert_eq!((&answer["Entries"][1], &answer["FailedEntryCount"]), (&malformed, &json!(1)));
}

#[tokio::test]
async fn entries_are_refused_in_the_words_of_aws() {
    let whole = || entry(json!({}));
    let cases = [
        (json!({"Detail": "{}", "DetailType": "k"}), "Source is a required argument"),
        (json!({"DetailType": "k", "Source": "s"}), "Detail is a required argument"),
        (with(whole(), "EventBusName", json!("none")), "Event bus none does not exist"),
        (with(whole(), "EventBusName", json!("full")), "the log is full"),
        (with(whole(), "Time", json!("yesterday")), "Parameter Time is not valid"),
        (with(whole(), "Source", json!("aws.s3")), "NotAuthorizedForSourceException"),
        (with(whole(), "Source", json!("bourn")), "NotAuthorizedForSourceException"),
        (with(whole(), "Source", json!("bourn.stream")), "NotAuthorizedForSourceException"),
        (with(whole(), "DetailType", json!("too many")), "ThrottlingException"),
        (with(whole(), "DetailType", json!("no room")), "InternalFailure"),
    ];
    let world = World::new();
    for (entry, part) in cases {
        let outcome = world.run("events:putEvents", "3", json!({ "Entries": [entry] })).await;
        World::failed(outcome, "EventBridge.FailedEntry", part);
    }
    let error = "EventBridge.AmazonEventBridgeException";
    let none = world.run("events:putEvents", "4", json!({"Entries": []})).await;
    World::failed(none, error, "length from 1 to 10");
    let half = entry(json!({"text": "x".repeat(600_000)}));
    let large = world.run("events:putEvents", "5", json!({"Entries": [half, half]})).await;
    World::failed(large, error, "over the limit");
}
