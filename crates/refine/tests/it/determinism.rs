//! G5: the same events give the same outcomes, however they are cut, budgeted or restarted.

use crate::support::{Random, SECOND, check, decoded, live, plan, story};
use bourn_event::Offset;
use bourn_refine::{Mode, Start};
use serde_json::json;

/// Frames of the log: offset, time of receipt, events.
fn log(seed: u64) -> Vec<(Offset, i64, Vec<String>)> {
    let mut random = Random(seed);
    let (mut offset, mut at) = (0, 1_700_000_000 * SECOND);
    (0..40)
        .map(|_| {
            at += random.below(20 * SECOND as u64) as i64;
            let events: Vec<String> = (0..random.below(30))
                .map(|_| {
                    let time = at / 1000 - 60_000 + random.below(100_000) as i64;
                    let time = time as f64 / 1000.0;
                    format!(
                        r#"{{"id":"k{}","n":{},"at":{time:.0},"x":{}.5}}"#,
                        random.below(60),
                        random.below(6),
                        random.below(9)
                    )
                    .replace(&format!("\"at\":{time:.0}"), &format!("\"at\":{}", (time * 1e6) as i64))
                })
                .collect();
            let frame = (offset, at, events);
            offset += frame.2.len() as Offset;
            frame
        })
        .collect()
}

#[test]
fn outcomes_do_not_depend_on_batches_budgets_or_restarts() {
    let sql = "SELECT id, 12 / n AS q, x * 2 AS y FROM events WHERE x > 1";
    for seed in [3, 17, 99, 1234, 777] {
        let frames = log(seed);
        let mut stories: Vec<Vec<String>> = Vec::new();
        for (memory, cut, restarts, mode) in [
            ("1MiB", false, false, Mode::Live),
            ("1KiB", false, false, Mode::Live),
            ("1MiB", true, false, Mode::Replay),
            ("1KiB", true, true, Mode::Live),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let settings = json!({
                "dedupe": {"key": "id", "window": "60s", "memory": memory},
                "event_time": {"field": "at", "lateness": "10s", "max_future": "30s"},
                "policy": {"late": "drop"},
            });
            let plan = plan(folder.path(), settings, Some(sql)).expect("a plan");
            let mut refiner = plan.refiner(Start { mode, ..live(0) }).expect("a refiner");
            let (mut lines, mut max) = (Vec::new(), None);
            let mut unstored: Vec<Offset> = Vec::new();
            for (i, (first, at, events)) in frames.iter().enumerate() {
                let size = if cut { 1 } else { events.len().max(1) };
                for (j, part) in events.chunks(size).enumerate() {
                    let refined = check(&mut refiner, &decoded(first + (j * size) as Offset, *at, part));
                    lines.extend(story(&refined));
                    unstored.extend(refined.rejects.iter().filter_map(|reject| reject.offset));
                    let late = refined.drops.iter().filter(|drop| drop.outcome.name() == "late");
                    unstored.extend(late.map(|drop| drop.offset));
                    unstored.sort_unstable();
                    max = refined.event_time_max;
                }
                let end = first + events.len() as Offset;
                refiner.settled(end).expect("settled");
                if restarts && i % 5 == 4 {
                    drop(refiner);
                    let start = Start { offset: end, event_time_max: max, mode };
                    refiner = plan.refiner(start).expect("a refiner");
                    let from = refiner.rebuild_from();
                    for (first, at, events) in &frames[..=i] {
                        if first + events.len() as Offset > from {
                            refiner.remember(&decoded(*first, *at, events), &unstored).expect("remembered");
                        }
                    }
                }
            }
            stories.push(lines);
        }
        for kind in ["row", "duplicate", "late", "filtered", "reject transform", "reject future_time"] {
            assert!(stories[0].iter().any(|line| line.contains(kind)), "seed {seed} has no {kind}");
        }
        for other in &stories[1..] {
            assert_eq!(&stories[0], other, "seed {seed}");
        }
    }
}
