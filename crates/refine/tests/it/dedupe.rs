//! The dedupe index against a hash map, under tiny budgets and restarts.

use crate::support::{Numbered, Random, SECOND, check, decoded, live, plan, story};
use bourn_event::{Micros, Offset};
use bourn_refine::{Index, IndexOptions, NO_KEY};
use serde_json::json;
use std::collections::HashMap;

struct Run {
    seed: u64,
    keys: u64,
    window: Micros,
    memory_bytes: usize,
    restarts: bool,
    clock_jumps: bool,
}

fn key(n: u64) -> u128 {
    if n == 0 { NO_KEY } else { xxhash(n) }
}

fn xxhash(n: u64) -> u128 {
    // Splitmix, twice: any spread will do, the index only compares.
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (u128::from(mix(n)) << 64) | u128::from(mix(n ^ 0x9e37_79b9_7f4a_7c15))
}

/// One frame of the log the model keeps.
struct Frame {
    first: Offset,
    at: Micros,
    keys: Vec<u128>,
}

#[derive(Default)]
struct Model(HashMap<u128, (Offset, Micros)>);

impl Model {
    fn judge(&mut self, key: u128, offset: Offset, at: Micros, window: Micros) -> Option<Offset> {
        match self.0.get(&key) {
            _ if key == NO_KEY => None,
            Some((kept, then)) if at - then <= window => Some(*kept),
            _ => {
                self.0.insert(key, (offset, at));
                None
            }
        }
    }
}

fn judge(index: &mut Index, frame: &Frame) -> Vec<(u32, Offset)> {
    let mut duplicates = Vec::new();
    index
        .judge(&frame.keys, |row| frame.first + row as Offset, frame.at, |_| true, &mut duplicates)
        .expect("judged");
    index.judged(frame.first + frame.keys.len() as Offset, frame.at);
    duplicates
}

fn run(case: &Run) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = IndexOptions {
        dir: folder.path().join("index"),
        window: case.window,
        memory_bytes: case.memory_bytes,
        fingerprint: 1,
    };
    let mut random = Random(case.seed | 1);
    let mut model = Model::default();
    let mut log: Vec<Frame> = Vec::new();
    let mut expected: Vec<Vec<(u32, Offset)>> = Vec::new();
    let (mut end, mut at, mut settled) = (0, 0, 0);
    let mut index = Index::open(options.clone(), 0).expect("opened");
    let mut runs_most = 0;
    for step in 0..600 {
        at += random.below(3 * SECOND as u64) as Micros;
        if case.clock_jumps && random.below(60) == 0 {
            // Never back: a log's times of receipt do not.
            at += case.window + 400 * 86_400 * SECOND;
        }
        let keys: Vec<u128> = (0..random.below(80)).map(|_| key(random.below(case.keys))).collect();
        let frame = Frame { first: end, at, keys };
        end += frame.keys.len() as Offset;
        let answer = frame.keys.iter().enumerate().filter_map(|(row, key)| {
            let kept = model.judge(*key, frame.first + row as Offset, at, case.window)?;
            Some((row as u32, kept))
        });
        let answer: Vec<_> = answer.collect();
        assert_eq!(judge(&mut index, &frame), answer, "seed {} step {step}", case.seed);
        log.push(frame);
        expected.push(answer);
        if random.below(3) == 0 {
            settled = log.len();
            index.settled(end).expect("settled");
            runs_most = runs_most.max(index.run_count());
        }
        if case.restarts && random.below(25) == 0 {
            if random.below(3) == 0 {
                index.checkpoint().expect("written");
            }
            drop(index);
            let start = log.get(settled).map_or(end, |frame| frame.first);
            index = Index::open(options.clone(), start).expect("opened again");
            let from = index.rebuild_from();
            assert!(from <= start, "seed {} step {step}", case.seed);
            // What is settled is remembered, what is not is judged again: with the same answers.
            for (i, frame) in log.iter().enumerate() {
                if frame.first + frame.keys.len() as Offset <= from && i < settled {
                    continue;
                }
                let again = judge(&mut index, frame);
                if i >= settled {
                    assert_eq!(again, expected[i], "seed {} step {step}, again", case.seed);
                } else {
                    index.settled(frame.first + frame.keys.len() as Offset).expect("settled");
                }
            }
        }
    }
    if case.memory_bytes < 10_000 {
        assert!(runs_most > 0, "seed {}: the case never spilled", case.seed);
    }
}

#[test]
fn the_index_equals_a_hash_map() {
    // More of them with BOURN_TEST_SEEDS, in the long runs.
    let seeds = std::env::var("BOURN_TEST_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(2);
    for seed in 1..=seeds {
        for (keys, window, memory_bytes, restarts, clock_jumps) in [
            (2_000, 60 * SECOND, 1 << 20, false, false),
            (2_000, 60 * SECOND, 4096, false, false),
            (500, 10 * SECOND, 4096, true, false),
            (5_000, 100_000 * SECOND, 8192, true, false),
            (20_000, 3600 * SECOND, 1, true, false),
            (50, 0, 4096, true, false),
            (300, 20 * SECOND, 4096, true, true),
        ] {
            run(&Run { seed, keys, window, memory_bytes, restarts, clock_jumps });
        }
    }
}

#[test]
fn a_damaged_run_names_its_file_and_the_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_owned();
    let options = IndexOptions { dir: dir.clone(), window: SECOND, memory_bytes: 1, fingerprint: 1 };
    let mut index = Index::open(options.clone(), 0).expect("opened");
    judge(&mut index, &Frame { first: 0, at: 0, keys: (1..1000).map(key).collect() });
    index.settled(999).expect("settled");
    index.checkpoint().expect("written");
    drop(index);
    let file = std::fs::read_dir(&dir).expect("listed").next().expect("a run").expect("listed").path();
    let whole = std::fs::read(&file).expect("read");
    for at in [0, 8, 20, 50, 101, 5000, whole.len() - 2000, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&file, &bytes).expect("written");
        let result = Index::open(IndexOptions { memory_bytes: 1 << 20, ..options.clone() }, 999).and_then(
            |mut index| {
                let keys: Vec<u128> = (1..1000).map(key).collect();
                index.judge(&keys, |row| 999 + row as Offset, 0, |_| true, &mut Vec::new())
            },
        );
        let error = result.expect_err("damage is found").to_string();
        assert!(error.contains(".run") && error.contains("delete the folder"), "byte {at}: {error}");
    }
    std::fs::write(&file, &whole[..whole.len() - 1]).expect("written");
    assert!(Index::open(options, 999).is_err(), "a short file");
}

#[test]
fn keys_are_told_apart_by_type_and_position() {
    let cases = [
        // key · events · outcome of each
        (json!("id"), vec![r#"{"id":"a"}"#, r#"{"id":"a"}"#, r#"{"id":"b"}"#, "{}", "{}"], "r 0 r r r"),
        (json!("n"), vec![r#"{"n":1}"#, r#"{"n":1}"#, r#"{"n":0}"#, r#"{"n":null}"#, "{}"], "r 0 r r r"),
        (json!(["id", "n"]), vec![r#"{"id":"1"}"#, r#"{"n":1}"#, r#"{"id":"1"}"#, "{}", "{}"], "r r 0 r r"),
        (
            json!("/who/id"),
            vec![r#"{"who":{"id":"a"}}"#, r#"{"who":null}"#, "{}", r#"{"who":{"id":"a"}}"#],
            "r r r 0",
        ),
        (
            json!("/doc/k"),
            vec![
                r#"{"doc":"{\"k\":1}"}"#,
                r#"{"doc":"{\"k\":\"1\"}"}"#,
                r#"{"doc":"{\"k\":1.0}"}"#,
                r#"{"doc":"no json"}"#,
                r#"{"doc":"{}"}"#,
            ],
            "r r 0 r r",
        ),
        (json!("x"), vec![r#"{"x":1.5}"#, r#"{"x":1.25}"#, r#"{"x":1.5}"#], "r r 0"),
    ];
    for (key, events, expected) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = plan(folder.path(), json!({"dedupe": {"key": key}}), None).expect("a plan");
        let mut refiner = plan.refiner(live(0)).expect("a refiner");
        let events: Vec<String> = events.into_iter().map(str::to_owned).collect();
        let refined = check(&mut refiner, &decoded(0, 0, &events));
        let got: Vec<String> = (0..events.len() as u64)
            .map(|o| {
                refined
                    .drops
                    .iter()
                    .find(|d| d.offset == o)
                    .and_then(|d| d.kept)
                    .map_or("r".into(), |k| k.to_string())
            })
            .collect();
        assert_eq!(got.join(" "), expected, "{key}");
    }
}

#[test]
fn an_event_that_ends_as_a_reject_keeps_nobody_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let sql = "SELECT id, 10 / n AS q FROM events";
    let plan = plan(folder.path(), json!({"dedupe": {"key": "id"}}), Some(sql)).expect("a plan");
    let events: Vec<String> = [("a", 0), ("a", 0), ("a", 5), ("a", 2), ("b", 1)]
        .iter()
        .map(|(id, n)| format!(r#"{{"id":"{id}","n":{n}}}"#))
        .collect();
    let expected = [
        "0: reject transform",
        "1: reject transform",
        "2: row a|2|null",
        "3: duplicate of 2",
        "4: row b|10|null",
    ];
    let mut whole = plan.refiner(live(0)).expect("a refiner");
    assert_eq!(story(&check(&mut whole, &decoded(0, 0, &events))), expected);
    drop(whole);
    let mut single = plan.refiner(live(0)).expect("a refiner");
    let lines: Vec<String> =
        (0..5).flat_map(|i| story(&check(&mut single, &decoded(i as u64, 0, &events[i..=i])))).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_new_key_begins_a_new_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = vec![r#"{"id":"a","n":1}"#.to_owned()];
    let first = plan(folder.path(), json!({"dedupe": {"key": "id"}}), None).expect("a plan");
    let mut refiner = first.refiner(live(0)).expect("a refiner");
    check(&mut refiner, &decoded(0, 0, &events));
    refiner.settled(1).expect("settled");
    refiner.checkpoint().expect("written");
    assert_eq!(refiner.needs_log_from(), 1);
    drop(refiner);
    let second = plan(folder.path(), json!({"dedupe": {"key": "n"}}), None).expect("a plan");
    let mut refiner = second.refiner(live(1)).expect("a refiner");
    assert_eq!(refiner.rebuild_from(), 0);
    refiner.remember(&decoded(0, 0, &events), &[]).expect("remembered");
    let refined = refiner.process(&decoded(1, 0, &events), &mut Numbered).expect("refined");
    assert_eq!(story(&refined), ["1: duplicate of 0"]);
}
