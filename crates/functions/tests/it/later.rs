//! Asynchronous invocations: durable, in order, retried, delivered or kept.

use crate::kit::{ECHO, Kit, Taken, call, rows, until};
use bourn_config::{Destination, Span};
use bourn_event::{Functions, InvokeError};
use bourn_functions::{Host, LATER_PAYLOAD_BYTES_MAX};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Writes what it gets into a file, and fails the first so many times.
const NOTE: &str = r#"
import os

def main(event, context):
    with open(os.environ["FILE"], "a") as file:
        file.write("%s %s\n" % (context.aws_request_id, event["n"]))
    with open(os.environ["FILE"]) as file:
        tries = sum(line.startswith(context.aws_request_id) for line in file)
    if tries <= event.get("failures", 0):
        raise RuntimeError("try %d of %d" % (tries, event["n"]))
"#;

fn noting(kit: Kit) -> Kit {
    let file = kit.dir.path().join("notes").display().to_string();
    kit.python("f", NOTE).with("f", |f| {
        f.environment.insert("FILE".into(), file);
    })
}

fn notes(kit: &Kit) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(kit.dir.path().join("notes")).unwrap_or_default();
    let pair = |line: &str| line.split_once(' ').map(|(id, n)| (id.to_owned(), n.to_owned()));
    text.lines().filter_map(pair).collect()
}

async fn later(host: &Host, function: &str, event: &Value) -> String {
    host.invoke_later(call(function, &event.to_string())).await.expect("taken")
}

fn pending(host: &Host) -> u64 {
    host.functions().iter().map(|row| row.pending).sum()
}

#[tokio::test]
async fn calls_are_made_in_the_order_they_came() {
    let kit = noting(Kit::new()).with("f", |f| f.concurrency.max = 1);
    let host = kit.open();
    let mut expected = Vec::new();
    for n in 0..20 {
        expected.push((later(&host, "f", &json!({"n": n})).await, n.to_string()));
    }
    assert_eq!(pending(&host), 20);
    host.start(Arc::new(Taken::default()));
    until("all are settled", || pending(&host) == 0).await;
    assert_eq!(notes(&kit), expected);
    assert!(host.dead_letters(10).expect("read").is_empty());
    assert!(rows(&host, "f").iter().all(|row| row.attempt == 1));
}

#[tokio::test]
async fn failure_is_retried_twice_under_the_same_id() {
    let kit = noting(Kit::new());
    let host = kit.open();
    host.start(Arc::new(Taken::default()));
    let id = later(&host, "f", &json!({"n": 1, "failures": 2})).await;
    until("it is settled", || pending(&host) == 0).await;
    assert_eq!(notes(&kit), vec![(id, "1".to_owned()); 3]);
    let attempts: Vec<u32> = rows(&host, "f").iter().map(|row| row.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(host.dead_letters(10).expect("read").is_empty());
}

#[tokio::test]
async fn call_that_keeps_failing_becomes_a_dead_letter_that_can_be_made_again() {
    let kit = noting(Kit::new());
    let host = kit.open();
    host.start(Arc::new(Taken::default()));
    let id = later(&host, "f", &json!({"n": 1, "failures": 3})).await;
    until("it is settled", || pending(&host) == 0).await;
    let dead = host.dead_letters(10).expect("read");
    assert_eq!(dead.len(), 1);
    let record = &dead[0].record;
    assert_eq!(record["requestContext"]["requestId"], json!(id));
    assert_eq!(record["requestContext"]["condition"], json!("RetriesExhausted"));
    assert_eq!(record["requestContext"]["approximateInvokeCount"], json!(3));
    assert_eq!(record["requestPayload"], json!({"n": 1, "failures": 3}));
    assert_eq!(record["responseContext"]["functionError"], json!("Handled"));
    assert_eq!(record["responsePayload"]["errorMessage"], json!("try 3 of 1"));
    host.close(Duration::ZERO).await;
    drop(host);

    let host = kit.open();
    host.start(Arc::new(Taken::default()));
    assert_eq!(host.dead_letters(10).expect("read"), dead);
    assert_eq!(host.forget_dead_letter("f", dead[0].sequence + 1).await, Ok(false));
    assert_eq!(host.retry_dead_letter("f", dead[0].sequence).await, Ok(true));
    until("it is made again", || notes(&kit).len() == 6).await;
    until("and is dead again", || host.dead_letters(10).expect("read").len() == 1).await;
    let again = host.dead_letters(10).expect("read").remove(0);
    assert_ne!(again.record["requestContext"]["requestId"], json!(id));
    assert_eq!(host.forget_dead_letter("f", again.sequence).await, Ok(true));
    assert!(host.dead_letters(10).expect("read").is_empty());
}

#[tokio::test]
async fn what_is_given_up_goes_to_its_stream_even_if_that_refuses_first() {
    let kit = noting(Kit::new()).with("f", |f| {
        f.retries = 0;
        f.on_failure = Some(Destination::Stream("failures".into()));
    });
    let host = kit.open();
    let streams = Arc::new(Taken::default());
    *streams.refusals.lock() = 3;
    host.start(streams.clone());
    let id = later(&host, "f", &json!({"n": 1, "failures": 9})).await;
    until("it is settled", || pending(&host) == 0).await;
    let events = streams.events.lock().clone();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].0, "failures");
    assert_eq!(events[0].1["requestContext"]["requestId"], json!(id));
    assert_eq!(events[0].1["requestContext"]["approximateInvokeCount"], json!(1));
    assert_eq!(notes(&kit).len(), 1, "the destination's refusal repeats no attempt");
}

#[tokio::test]
async fn what_is_given_up_goes_to_another_function() {
    let kit = noting(Kit::new()).shell("g", "exit 1").with("g", |f| {
        f.retries = 1;
        f.on_failure = Some(Destination::Function("f".into()));
    });
    // The record is the event: it has no `n`, which `f` reports.
    let host = kit.open();
    host.start(Arc::new(Taken::default()));
    later(&host, "g", &json!({"n": 1})).await;
    until("it is settled", || pending(&host) == 0).await;
    let dead = host.dead_letters(10).expect("read");
    assert_eq!(dead.iter().map(|row| row.function.as_str()).collect::<Vec<_>>(), ["f"]);
    let record = &dead[0].record["requestPayload"];
    assert_eq!(record["requestContext"]["approximateInvokeCount"], json!(2));
    assert_eq!(record["responseContext"]["functionError"], json!("Unhandled"));
    assert_eq!(record["responsePayload"]["errorType"], json!("Runtime.ExitError"));
}

#[tokio::test]
async fn throttled_call_waits_until_it_is_too_old() {
    let kit = Kit::new().python("f", "import time\ndef main(event, context):\n    time.sleep(event)\n").with(
        "f",
        |f| {
            f.concurrency.max = 1;
            f.max_age = Span::parse("400ms").expect("a span");
        },
    );
    let host = kit.open();
    host.start(Arc::new(Taken::default()));
    let running = tokio::spawn({
        let host = host.clone();
        async move { host.invoke(call("f", "3600")).await }
    });
    until("it runs", || host.functions()[0].busy == 1).await;
    later(&host, "f", &json!(0)).await;
    until("it is settled", || pending(&host) == 0).await;
    let dead = host.dead_letters(10).expect("read");
    assert_eq!(dead[0].record["requestContext"]["condition"], json!("EventAgeExceeded"));
    assert_eq!(dead[0].record["requestContext"]["approximateInvokeCount"], json!(0));
    assert_eq!(dead[0].record.get("responsePayload"), None);
    assert!(host.functions()[0].throttles > 0);
    host.close(Duration::ZERO).await;
    assert!(matches!(running.await.expect("joined"), Err(InvokeError::Closed)));
}

#[tokio::test]
async fn calls_outlive_a_close_and_are_made_at_the_next_start() {
    let kit = noting(Kit::new());
    let host = kit.open();
    let id = later(&host, "f", &json!({"n": 1})).await;
    host.close(Duration::ZERO).await;
    assert!(matches!(host.invoke_later(call("f", "{}")).await, Err(InvokeError::Closed)));
    drop(host);
    let host = kit.open();
    assert_eq!(host.pending(10).len(), 1);
    host.start(Arc::new(Taken::default()));
    until("it is settled", || pending(&host) == 0).await;
    assert_eq!(notes(&kit), [(id, "1".to_owned())]);
}

#[tokio::test]
async fn too_large_and_unknown_calls_are_refused() {
    let kit = Kit::new().raw("f", ECHO);
    let host = kit.open();
    let large = "1".repeat(LATER_PAYLOAD_BYTES_MAX + 1);
    let refused = host.invoke_later(call("f", &large)).await;
    assert!(matches!(refused, Err(InvokeError::TooLarge { .. })), "{refused:?}");
    let refused = host.invoke_later(call("g", "{}")).await;
    assert_eq!(refused, Err(InvokeError::NotFound("g".into())));
    assert_eq!(pending(&host), 0);
}
