//! The `http` step: keys, caches, policies, outages, and a key that an API always fails on.

use crate::outside::{Fake, enrich, plan, records, run, transform};
use crate::support::{check, columns, decoded, live, options, text};
use bourn_event::{Offset, Refined};
use bourn_refine::{CallError, Fetched, Lookups};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

fn http(more: Value) -> Value {
    let mut step = json!({"url": "http://api/people/{id}", "take": {"tier": "text"}});
    for (key, value) in more.as_object().expect("an object") {
        step[key] = value.clone();
    }
    json!({"enrich": [{"http": step}]})
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter()
        .map(|id| if id.is_empty() { "{}".into() } else { json!({"id": id, "n": 1}).to_string() })
        .collect()
}

fn ok(body: Value) -> Result<Fetched, CallError> {
    Ok(Fetched { status: 200, body: body.to_string().into() })
}

fn status(status: u16) -> Result<Fetched, CallError> {
    Ok(Fetched { status, body: Bytes::from_static(b"oops") })
}

/// Each event's outcome: the added column, or what became of it.
fn tiers(refined: &Refined) -> Vec<String> {
    let mut lines: Vec<(Offset, String)> = text(&refined.rows, 0)
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            (cells[0].parse().expect("an offset"), cells[10].to_owned())
        })
        .collect();
    lines.extend(
        refined.rejects.iter().map(|r| (r.offset.expect("an offset"), format!("reject {}", r.fault.message))),
    );
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn an_api_is_asked_once_for_each_key_and_not_again_while_its_answer_is_kept() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let sink = asked.clone();
    let outside = Fake::api(move |request| {
        assert_eq!((request.method, &request.body), ("GET", &None));
        sink.lock().expect("unbroken").push(request.url.clone());
        match request.url.as_str() {
            "http://api/people/b" => status(404),
            url => ok(json!({"tier": url.trim_start_matches("http://api/people/")})),
        }
    });
    let (_folder, plan) = plan(http(json!({"cache": {}})));
    let mut refiner = plan.refiner_with(live(0), outside.clone()).expect("a refiner");
    let refined = check(&mut refiner, &decoded(0, 0, &ids(&["a", "b", "a", "", "c d/ä?", "b"])));
    assert_eq!(tiers(&refined), ["a", "null", "a", "null", "c%20d%2F%C3%A4%3F", "null"]);
    let refined = check(&mut refiner, &decoded(6, 0, &ids(&["b", "x", "a"])));
    assert_eq!(tiers(&refined), ["null", "x", "a"]);
    let mut asked = asked.lock().expect("unbroken").clone();
    asked.sort();
    let people = ["a", "b", "c%20d%2F%C3%A4%3F", "x"].map(|id| format!("http://api/people/{id}"));
    assert_eq!(asked, people);
}

#[test]
fn several_keys_are_asked_for_in_one_request_and_a_refused_one_is_found() {
    let outside = Fake::api(|request| {
        let body: Value = serde_json::from_slice(request.body.as_ref().expect("a body")).expect("JSON");
        let ids: Vec<&str> = records(&body).iter().filter_map(|record| record["id"].as_str()).collect();
        assert_eq!((request.method, request.url.as_str()), ("POST", "http://api/people"));
        match ids.contains(&"poison") {
            true => status(422),
            false => ok(
                json!({"records": ids.iter().map(|id| if *id == "b" { Value::Null } else { json!({"tier": id}) }).collect::<Vec<_>>()}),
            ),
        }
    });
    let yaml = http(json!({"url": "http://api/people", "on": "id", "batch": 4}));
    let refined = run(yaml, &outside, &ids(&["a", "b", "poison", "c", "d", "a"]));
    let told = tiers(&refined);
    assert_eq!(told[2], "reject the API answered with status 422");
    assert_eq!([&told[0], &told[1], &told[3], &told[4], &told[5]], ["a", "null", "c", "d", "a"]);
    assert_eq!(refined.rejects[0].fault.reason.name(), "http");
}

#[test]
fn a_body_takes_values_as_they_are() {
    let outside = Fake::api(|request| {
        let body: Value = serde_json::from_slice(request.body.as_ref().expect("a body")).expect("JSON");
        assert_eq!(body, json!({"who": {"id": "a"}, "n": 7, "text": "a-7", "rest": ["{none}", 1]}));
        ok(json!({"tier": "x"}))
    });
    let body = json!({"who": {"id": "{id}"}, "n": "{n}", "text": "{id}-{n}", "rest": ["{none}", 1]});
    let yaml = http(json!({"url": "http://api", "on": ["id", "n"], "body": body}));
    let refined = run(yaml, &outside, &[r#"{"id":"a","n":7}"#.to_owned()]);
    assert_eq!(tiers(&refined), ["x"]);
}

#[test]
fn an_api_that_fails_costs_what_its_policy_says() {
    let down = || Err(CallError::Unavailable { why: "down".into(), retry_after: None });
    // How it fails, the policy, and what becomes of the event.
    type Failure = fn() -> Result<Fetched, CallError>;
    let cases: &[(Failure, Value, &str)] = &[
        (down, json!({"on_failure": "reject"}), "reject down"),
        (down, json!({"on_failure": "null"}), "null"),
        (|| status(503), json!({"on_failure": "reject"}), "reject the API answered with status 503"),
        (|| status(429), json!({"on_failure": "null"}), "null"),
        (|| status(400), json!({}), "reject the API answered with status 400"),
        (|| status(302), json!({}), "reject the API answered with status 302"),
        (|| status(400), json!({"on_failure": "null"}), "null"),
        (|| ok(json!({"tier": 7})), json!({}), "reject the column `tier`: expected text, found 7"),
        (|| ok(json!({"tier": 7})), json!({"on_failure": "null"}), "null"),
        (|| ok(json!([1])), json!({}), "null"),
        (|| ok(json!("x")), json!({}), "reject expected an object, found text"),
        (|| ok(Value::Null), json!({}), "null"),
        (|| status(404), json!({"missing": "reject"}), "reject the API does not know its key"),
        (
            || status(410),
            json!({"missing": "reject", "on_failure": "null"}),
            "reject the API does not know its key",
        ),
        (|| status(204), json!({}), "null"),
        (|| Err(CallError::Failed("too large".into())), json!({}), "reject too large"),
    ];
    for (failure, policy, expected) in cases {
        let failure = *failure;
        let outside = Fake::api(move |request| match request.url.ends_with("/poison") {
            true => failure(),
            false => ok(json!({"tier": "fine"})),
        });
        let refined = run(http(policy.clone()), &outside, &ids(&["a", "poison", "b"]));
        assert_eq!(tiers(&refined), ["fine", expected, "fine"], "{policy}");
    }
}

#[test]
fn an_outage_is_waited_for_and_costs_nothing() {
    let calls = AtomicUsize::new(0);
    let outside = Fake::api(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0..50 => Err(CallError::Unavailable { why: "refused".into(), retry_after: None }),
        50..60 => status(503),
        _ => ok(json!({"tier": "fine"})),
    });
    let refined = run(http(json!({"concurrency": 2})), &outside, &ids(&["a", "b", "c"]));
    assert_eq!(tiers(&refined), ["fine"; 3]);
}

#[test]
fn a_key_that_an_api_always_fails_on_holds_nobody_up() {
    let outside = Fake::api(|request| match request.url.ends_with("/poison") {
        true => Err(CallError::Unavailable { why: "timed out".into(), retry_after: None }),
        false => ok(json!({"tier": "fine"})),
    });
    let (_folder, plan) = plan(http(json!({})));
    let mut refiner = plan.refiner_with(live(0), outside.clone()).expect("a refiner");
    assert_eq!(tiers(&check(&mut refiner, &decoded(0, 0, &ids(&["a"])))), ["fine"]);
    // Alone in its batch, and beside others.
    for (first, events) in [(1, vec!["poison"]), (2, vec!["b", "poison", "c"])] {
        let told = tiers(&check(&mut refiner, &decoded(first, 0, &ids(&events))));
        let at = events.iter().position(|id| *id == "poison").expect("one");
        assert_eq!(told[at], "reject timed out, while it answers others");
        assert!(told.iter().enumerate().all(|(i, tier)| i == at || tier == "fine"), "{told:?}");
    }
    assert!(outside.calls() < 20, "{} calls", outside.calls());
}

#[test]
fn a_definition_that_cannot_work_is_refused_with_its_place() {
    let cases = [
        (http(json!({"url": "http://api/{idd}"})), "enrich[0].http.url", "no field `idd`", "`id`"),
        (
            http(json!({"on": "doc", "url": "http://api", "take": {"n": "text"}})),
            "enrich[0].http.take",
            "a column `n` already",
            "`from`",
        ),
        (http(json!({"take": {"_offset": "text"}})), "enrich[0].http.take", "Bourn's own", ""),
        (http(json!({"url": "http://api/{/doc/x}"})), "enrich[0].http.url", "JSON text", ""),
        (
            enrich(json!({"take": {"id": "text"}})),
            "enrich[0].function.take",
            "a column `id` already",
            "`from`",
        ),
        (transform(json!({"columns": {"_source": "text"}})), "transform.function.columns", "Bourn's own", ""),
    ];
    for (yaml, key, message, hint) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let faults = bourn_refine::plan(options(folder.path(), yaml.clone(), None), &Lookups::default());
        let Err(faults) = faults else { panic!("{yaml}") };
        assert!(faults.len() == 1 && faults[0].key == key, "{yaml}: {faults:?}");
        assert!(faults[0].message.contains(message) && faults[0].hint.contains(hint), "{yaml}: {faults:?}");
    }
    assert!(columns().field_with_name("id").is_ok());
}
