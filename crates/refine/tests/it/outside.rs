//! Steps that call functions and APIs: order, partial answers, poison, throttling, caches, and that
//! whatever the other side does, every event ends in exactly one place.

use crate::support::{Numbered, Random, check, decoded, live, options, story, text};
use async_trait::async_trait;
use bourn_event::{Drop as Dropped, Outcome, Refined};
use bourn_refine::{Cached, CallError, Fetched, Lookups, Outside, Plan, RefineError, Request};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Function = dyn Fn(&Value) -> Result<String, CallError> + Send + Sync;
type Api = dyn Fn(&Request) -> Result<Fetched, CallError> + Send + Sync;

/// A scripted outside that never waits.
pub struct Fake {
    function: Box<Function>,
    api: Box<Api>,
    cache: Mutex<BTreeMap<String, Option<Bytes>>>,
    calls: AtomicUsize,
    pauses: AtomicUsize,
    /// Closes after so many pauses.
    pauses_max: usize,
}

impl Fake {
    fn function(function: impl Fn(&Value) -> Result<String, CallError> + Send + Sync + 'static) -> Arc<Self> {
        Self::new(Box::new(function), Box::new(|_| Err(CallError::Impossible("no API".into()))))
    }

    pub fn api(api: impl Fn(&Request) -> Result<Fetched, CallError> + Send + Sync + 'static) -> Arc<Self> {
        Self::new(Box::new(|_| Err(CallError::Impossible("no function".into()))), Box::new(api))
    }

    fn new(function: Box<Function>, api: Box<Api>) -> Arc<Self> {
        Arc::new(Self {
            function,
            api,
            cache: Mutex::default(),
            calls: AtomicUsize::new(0),
            pauses: AtomicUsize::new(0),
            pauses_max: 10_000,
        })
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Gives way once, so that calls overlap.
async fn yield_once() {
    let mut is_second = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut is_second, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[async_trait]
impl Outside for Fake {
    async fn invoke(&self, function: &str, payload: Bytes) -> Result<Bytes, CallError> {
        assert_eq!(function, "f");
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let payload: Value = serde_json::from_slice(&payload).expect("a JSON payload");
        // Of two calls the first ends last.
        for _ in 0..(call % 2) * 3 {
            yield_once().await;
        }
        (self.function)(&payload).map(Bytes::from)
    }

    async fn fetch(&self, step: &str, request: &Request) -> Result<Fetched, CallError> {
        assert_eq!(step, "s/enrich[0]");
        self.calls.fetch_add(1, Ordering::Relaxed);
        yield_once().await;
        (self.api)(request)
    }

    fn look(&self, _: &str, key: &str) -> Cached {
        match self.cache.lock().expect("unbroken").get(key) {
            None => Cached::Unknown,
            Some(None) => Cached::Absent,
            Some(Some(answer)) => Cached::Found(answer.clone()),
        }
    }

    fn keep(&self, _: &str, key: &str, answer: Option<Bytes>) {
        self.cache.lock().expect("unbroken").insert(key.to_owned(), answer);
    }

    async fn pause(&self, wait: Duration) -> Result<(), CallError> {
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(5), "{wait:?}");
        match self.pauses.fetch_add(1, Ordering::Relaxed) < self.pauses_max {
            true => Ok(()),
            false => Err(CallError::Closed),
        }
    }
}

pub fn plan(yaml: Value) -> (tempfile::TempDir, Plan) {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = bourn_refine::plan(options(folder.path(), yaml, None), &Lookups::default()).expect("a plan");
    (folder, plan)
}

/// Events `{"id": "e<n>", "n": <n>}`.
fn events(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!(r#"{{"id":"e{n}","n":{n}}}"#)).collect()
}

pub fn run(yaml: Value, outside: &Arc<Fake>, events: &[String]) -> Refined {
    let (_folder, plan) = plan(yaml);
    let mut refiner = plan.refiner_with(live(0), outside.clone()).expect("a refiner");
    check(&mut refiner, &decoded(0, 0, events))
}

pub fn records(payload: &Value) -> &Vec<Value> {
    payload["records"].as_array().expect("records")
}

fn answer(records: impl IntoIterator<Item = Value>) -> Result<String, CallError> {
    Ok(json!({"records": records.into_iter().collect::<Vec<_>>()}).to_string())
}

fn failed(why: &str) -> Result<String, CallError> {
    Err(CallError::Failed(why.to_owned()))
}

fn doubling(payload: &Value) -> Result<String, CallError> {
    answer(records(payload).iter().map(|record| json!({"m": record["event"]["n"].as_u64().map(|n| n * 2)})))
}

pub fn enrich(more: Value) -> Value {
    let mut function =
        json!({"name": "f", "take": {"m": "bigint"}, "batch": 3, "in_flight": 2, "retries": 1});
    for (key, value) in more.as_object().expect("an object") {
        function[key] = value.clone();
    }
    json!({"enrich": [{"function": function}]})
}

pub fn transform(more: Value) -> Value {
    let mut function = json!({"name": "f", "columns": {"m": "bigint"}, "batch": 3, "retries": 1});
    for (key, value) in more.as_object().expect("an object") {
        function[key] = value.clone();
    }
    json!({"transform": {"function": function}})
}

#[test]
fn a_function_is_given_whole_events_in_order_and_its_columns_are_added() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let outside = Fake::function(move |payload| {
        assert_eq!(payload["stream"], "s");
        sink.lock().expect("unbroken").extend(records(payload).clone());
        doubling(payload)
    });
    let mut all = events(0..8);
    all[5] = r#"{"id":"a \"quoted\"","n":5,"x":0.5,"at":1700000000123456,"who":{"id":"w"},"_extra":"{\"more\":[1]}"}"#.into();
    let refined = run(enrich(json!({})), &outside, &all);
    let rows = text(&refined.rows, 5);
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().enumerate().all(|(n, row)| row.contains(&format!("|{}", n * 2))), "{rows:?}");
    assert_eq!(outside.calls(), 3, "batches of three");
    let mut seen = seen.lock().expect("unbroken").clone();
    seen.sort_by_key(|record| record["offset"].as_u64());
    let expected = json!({"offset": 5, "event": {"id": "a \"quoted\"", "n": 5, "x": 0.5, "at": "2023-11-14T22:13:20.123456Z",
        "who": {"id": "w"}, "_extra": {"more": [1]}}});
    assert_eq!(seen[5], expected);
    assert_eq!(seen[0], json!({"offset": 0, "event": {"id": "e0", "n": 0}}));
}

#[test]
fn every_type_of_column_is_taken_from_where_it_lies() {
    let outside = Fake::function(|_| {
        answer([json!({"a": {"b": [10, 2.5]}, "yes": true, "name": "x", "at": "2026-01-31T02:00:00+02:00",
            "day": "2026-01-31", "doc": {"k": [1, null]}, "ms": 1_700_000_000_000i64})])
    });
    let take = json!({
        "big": {"type": "bigint", "from": "/a/b/0"}, "dbl": {"type": "double", "from": "/a/b/1"}, "yes": "boolean",
        "name": "text", "at": "timestamp", "ms": "timestamp", "day": "date", "doc": "json",
        "none": "text", "a": "json",
    });
    let refined = run(transform(json!({"columns": take})), &outside, &events(0..1));
    // By name: a, at, big, day, dbl, doc, ms, name, none, yes; then `_extra`.
    let expected = "{\"b\":[10,2.5]}|2026-01-31T00:00:00Z|10|2026-01-31|2.5|{\"k\":[1,null]}|2023-11-14T22:13:20Z|x|null|true|null";
    assert_eq!(text(&refined.rows, 4), [expected]);
}

#[test]
fn answers_decide_row_by_row() {
    // What the function says of the events 0 to 2, and what becomes of them, in an enrichment and in a transform.
    let cases: &[(&str, &str, [&str; 3], [&str; 3])] = &[
        (
            "null",
            r#"{"records":[{"m":1},null,{"m":3}]}"#,
            ["row 1", "row null", "row 3"],
            ["row 1", "filtered", "row 3"],
        ),
        (
            "no type",
            r#"{"records":[{"m":1},{"m":"x"},{"m":3}]}"#,
            ["row 1", "reject", "row 3"],
            ["row 1", "reject", "row 3"],
        ),
        (
            "no object",
            r#"{"records":[{"m":1},7,{"m":3}]}"#,
            ["row 1", "reject", "row 3"],
            ["row 1", "reject", "row 3"],
        ),
        (
            "fraction",
            r#"{"records":[{"m":1},{"m":1.5},{"m":3.0}]}"#,
            ["row 1", "reject", "row 3"],
            ["row 1", "reject", "row 3"],
        ),
        (
            "too large",
            r#"{"records":[{"m":1},{"m":99999999999999999999},{"m":3}]}"#,
            ["row 1", "reject", "row 3"],
            ["row 1", "reject", "row 3"],
        ),
        (
            "named and given",
            r#"{"records":[{"m":1},{"m":2},{"m":3}],"batchItemFailures":[{"itemIdentifier":"1"}]}"#,
            ["row 1", "reject", "row 3"],
            ["row 1", "reject", "row 3"],
        ),
        (
            "named only",
            r#"{"batchItemFailures":[{"itemIdentifier":"0"},{"itemIdentifier":2,"errorMessage":"no"}]}"#,
            ["reject", "row null", "reject"],
            ["reject", "row null", "reject"],
        ),
        ("nothing to say", "null", ["row null"; 3], ["row null"; 3]),
        ("an empty list", r#"{"batchItemFailures":[]}"#, ["row null"; 3], ["row null"; 3]),
        ("too few", r#"{"records":[{"m":1}]}"#, ["row 1"; 3], ["row 1"; 3]),
        ("too many", r#"{"records":[{"m":1},{"m":1},{"m":1},{"m":1}]}"#, ["reject"; 3], ["reject"; 3]),
        ("not JSON", r#"{"records":[{"m":1"#, ["reject"; 3], ["reject"; 3]),
        ("another shape", "[1,2,3]", ["reject"; 3], ["reject"; 3]),
        (
            "a strange name",
            r#"{"batchItemFailures":[{"itemIdentifier":"77"}]}"#,
            ["reject"; 3],
            ["reject"; 3],
        ),
        ("an empty name", r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#, ["reject"; 3], ["reject"; 3]),
    ];
    for (name, said, enriched, transformed) in cases {
        for (yaml, expected, column) in
            [(enrich(json!({})), enriched, 10), (transform(json!({})), transformed, 4)]
        {
            let said = said.to_string();
            // Events that are named are named again only while they are in the batch.
            let outside = Fake::function(move |payload| {
                let offsets: BTreeSet<u64> =
                    records(payload).iter().filter_map(|r| r["offset"].as_u64()).collect();
                let mut answer: Value = match serde_json::from_str(&said) {
                    Ok(answer) => answer,
                    Err(_) => return Ok(said.clone()),
                };
                if let Some(named) = answer.get_mut("batchItemFailures").and_then(Value::as_array_mut) {
                    let is_known = |n: &Value| match &n["itemIdentifier"] {
                        Value::String(s) => s.parse().map_or(true, |n: u64| n > 9 || offsets.contains(&n)),
                        other => other.as_u64().is_some_and(|n| offsets.contains(&n)),
                    };
                    named.retain(is_known);
                }
                if offsets.len() < 3 && answer["records"].as_array().is_some_and(|r| r.len() == 3) {
                    let kept: Vec<Value> =
                        offsets.iter().map(|at| answer["records"][*at as usize].clone()).collect();
                    answer["records"] = kept.into();
                }
                Ok(answer.to_string())
            });
            let refined = run(yaml, &outside, &events(0..3));
            let rows = text(&refined.rows, column);
            let mut rows = rows.iter().map(|row| row.split('|').next().unwrap_or_default().to_owned());
            let told: Vec<String> = story(&refined)
                .iter()
                .map(|line| match line.split(": ").nth(1) {
                    Some(row) if row.starts_with("row") => format!("row {}", rows.next().expect("a row")),
                    Some(other) => other.replace(" function", ""),
                    None => String::new(),
                })
                .collect();
            assert_eq!(told, expected, "{name}: {:?}", refined.rejects);
        }
    }
}

#[test]
fn a_transform_that_only_names_failures_passes_the_events_on() {
    let outside = Fake::function(|_| {
        Ok(r#"{"batchItemFailures":[{"itemIdentifier":"1","errorMessage":"odd"}]}"#.into())
    });
    let yaml =
        transform(json!({"columns": {"n": "bigint", "name": {"type": "text", "from": "/id"}}, "retries": 0}));
    let refined = run(yaml, &outside, &events(0..3));
    assert_eq!(text(&refined.rows, 4), ["0|e0|null", "2|e2|null"]);
    assert_eq!(refined.rejects[0].fault.message, "odd");
    assert_eq!(refined.rejects[0].fault.reason.name(), "function");
}

#[test]
fn a_poison_event_costs_itself_alone_and_few_calls() {
    let outside = Fake::function(|payload| match records(payload).iter().any(|r| r["event"]["n"] == 700) {
        true => failed("ValueError: poison"),
        false => doubling(payload),
    });
    let refined = run(enrich(json!({"batch": 1000, "retries": 2})), &outside, &events(0..1000));
    assert_eq!(refined.rows.num_rows(), 999);
    assert_eq!(refined.rejects.len(), 1);
    assert_eq!(refined.rejects[0].offset, Some(700));
    assert_eq!(refined.rejects[0].fault.message, "ValueError: poison");
    assert!(outside.calls() <= 3 + 2 * 10 + 2, "{} calls", outside.calls());
}

#[test]
fn a_failure_of_the_moment_costs_nothing() {
    let calls = AtomicUsize::new(0);
    let outside = Fake::function(move |payload| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => failed("lost its head"),
        1 => Err(CallError::Unavailable {
            why: "throttled".into(),
            retry_after: Some(Duration::from_millis(7)),
        }),
        2..40 => Err(CallError::Unavailable { why: "no process".into(), retry_after: None }),
        _ => doubling(payload),
    });
    let refined = run(enrich(json!({"in_flight": 1})), &outside, &events(0..7));
    assert_eq!(refined.rows.num_rows(), 7);
    assert!(outside.pauses.load(Ordering::Relaxed) >= 39);
}

#[test]
fn an_enrichment_may_go_without() {
    let outside = Fake::function(|_| failed("always"));
    let refined = run(enrich(json!({"on_failure": "null"})), &outside, &events(0..3));
    // The column, and `_extra`.
    assert_eq!(text(&refined.rows, 10), ["null|null"; 3]);
}

#[test]
fn closing_ends_the_wait_without_an_outcome() {
    let mut fake = Fake::function(|_| Err(CallError::Unavailable { why: "down".into(), retry_after: None }));
    Arc::get_mut(&mut fake).expect("alone").pauses_max = 3;
    let (_folder, plan) = plan(enrich(json!({})));
    let mut refiner = plan.refiner_with(live(0), fake).expect("a refiner");
    let result = refiner.process(&decoded(0, 0, &events(0..5)), &mut Numbered);
    assert!(matches!(result, Err(RefineError::Closed)), "{:?}", result.err());
}

#[test]
fn what_nobody_can_call_is_an_error_and_loses_nothing() {
    let (_folder, plan) = plan(enrich(json!({})));
    let mut refiner = plan.refiner(live(0)).expect("a refiner");
    let result = refiner.process(&decoded(0, 0, &events(0..5)), &mut Numbered);
    assert!(matches!(result, Err(RefineError::Outside(_))), "{:?}", result.err());
}

#[test]
fn payloads_stay_below_six_megabytes() {
    let outside = Fake::function(|payload| {
        assert!(payload.to_string().len() <= 6 << 20);
        doubling(payload)
    });
    let long = |n: usize, bytes: usize| format!(r#"{{"id":"{}","n":{n}}}"#, "x".repeat(bytes));
    let events: Vec<String> = (0..8).map(|n| long(n, if n == 5 { 7 << 20 } else { 2 << 20 })).collect();
    let refined = run(enrich(json!({"batch": 1000})), &outside, &events);
    assert_eq!(refined.rows.num_rows(), 7);
    assert_eq!(refined.rejects[0].offset, Some(5));
    assert!(refined.rejects[0].fault.message.contains("6 MiB"), "{}", refined.rejects[0].fault.message);
    assert!(outside.calls() >= 4);
}

/// G2, G6 and G7 under anything a function may do: the poisoned are rejects, and nobody else.
#[test]
fn whatever_fails_every_event_ends_in_exactly_one_place_and_in_order() {
    for seed in 1..=60 {
        let mut random = Random(seed * 0x9E37_79B9);
        let count = 1 + random.below(40);
        let poison: BTreeSet<u64> = (0..random.below(6)).map(|_| random.below(count)).collect();
        let named: BTreeSet<u64> = (0..random.below(4)).map(|_| random.below(count)).collect();
        let dull: BTreeSet<u64> = (0..random.below(4)).map(|_| random.below(count)).collect();
        let trouble = Mutex::new((0..random.below(30)).map(|_| random.below(3)).collect::<VecDeque<_>>());
        let (bad, told, none) = (poison.clone(), named.clone(), dull.clone());
        let outside = Fake::function(move |payload| {
            let numbers: Vec<u64> =
                records(payload).iter().filter_map(|r| r["event"]["n"].as_u64()).collect();
            if trouble.lock().expect("unbroken").pop_front() == Some(1) {
                return Err(CallError::Unavailable { why: "busy".into(), retry_after: None });
            }
            if numbers.iter().any(|n| bad.contains(n)) {
                return failed("poison");
            }
            let records: Vec<Value> = numbers
                .iter()
                .map(|n| if none.contains(n) { Value::Null } else { json!({"m": n * 2}) })
                .collect();
            let failures: Vec<Value> = numbers
                .iter()
                .filter(|n| told.contains(n))
                .map(|n| json!({"itemIdentifier": n.to_string()}))
                .collect();
            Ok(json!({"records": records, "batchItemFailures": failures}).to_string())
        });
        let batch = 1 + random.below(9);
        let yaml =
            transform(json!({"batch": batch, "in_flight": 1 + random.below(4), "retries": random.below(3)}));
        // `check` holds that each offset has one outcome, in order.
        let refined = run(yaml, &outside, &events(0..count));
        let rejected: BTreeSet<u64> = refined.rejects.iter().filter_map(|reject| reject.offset).collect();
        assert_eq!(rejected, &poison | &named, "seed {seed}");
        let filtered: BTreeSet<u64> = refined.drops.iter().map(|drop| drop.offset).collect();
        assert_eq!(filtered, &dull - &rejected, "seed {seed}");
        for row in text(&refined.rows, 0) {
            let mut cells = row.split('|');
            let offset: u64 = cells.next().and_then(|cell| cell.parse().ok()).expect("an offset");
            assert_eq!(cells.nth(3), Some(&*(offset * 2).to_string()), "seed {seed}");
        }
    }
}

#[test]
fn what_was_told_of_stays_so_and_dedupe_knows() {
    let yaml = {
        let mut yaml = enrich(json!({}));
        yaml["dedupe"] = json!({"key": "id"});
        yaml
    };
    let (_folder, plan) = plan(yaml);
    let outside = Fake::function(doubling);
    let mut refiner = plan.refiner_with(live(0), outside).expect("a refiner");
    let drop = |offset, outcome, kept| Dropped { offset, outcome, source: "http".into(), kept };
    // Before the crash the function refused event 0, so that its like at 2 was kept; 1 was filtered;
    // 4 was told to repeat 2.
    refiner.recall([
        drop(0, Outcome::Rejected, None),
        drop(1, Outcome::Filtered, None),
        drop(4, Outcome::Duplicate, Some(2)),
    ]);
    let events: Vec<String> =
        ["a", "b", "a", "b", "a", "a"].iter().map(|id| format!(r#"{{"id":"{id}","n":1}}"#)).collect();
    let refined = refiner.process(&decoded(0, 0, &events), &mut Numbered).expect("refined");
    let told: Vec<String> =
        story(&refined).iter().map(|line| line.split(" a|").next().unwrap_or(line).to_owned()).collect();
    assert_eq!(
        told,
        [
            "0: reject file",
            "1: filtered",
            "2: row",
            "3: duplicate of 1",
            "4: duplicate of 2",
            "5: duplicate of 2"
        ]
    );
    assert!(refined.rejects[0].original.is_empty(), "its record is kept already");
    assert!(refiner.told(0).is_some() && refiner.told(2).is_none());
    refiner.settled(4).expect("settled");
    assert!(refiner.told(1).is_none() && refiner.told(4).is_some());
}
